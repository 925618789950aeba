//! `cssc dry-run`: what a policy selects, and what would happen.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use cssc_core::{
    Config, DEFAULT_LIMIT, Dialect, DialectDifference, Explanation, Inventory, Listing, Plan,
    PlanDocument, PlanOptions, Schedule, SkipReason, dialect_differences,
};

use crate::args::{
    CreatedArgs, DialectArgs, Format, FormatArgs, ImageArg, PolicyArgs, RegistryArgs,
    parse_interval,
};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::table::Columns;
use crate::output::{self, BOLD, noun, styled};
use crate::registry::Registry;
use crate::source::PolicySource;

/// Show which images would be patched, under which tag, and when
#[derive(Debug, Args)]
pub(crate) struct DryRun {
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// How often a workflow would run: `1d` to `30d`
    #[arg(long, value_name = "DAYS", value_parser = parse_interval)]
    schedule: Option<cssc_core::Interval>,
    #[command(flatten)]
    created: CreatedArgs,
    #[command(flatten)]
    dialect: DialectArgs,
    /// How many images a workflow may run, or `none`; Azure's limit is 100
    #[arg(long, value_name = "N", default_value_t = Limit(Some(DEFAULT_LIMIT)))]
    max_images: Limit,
    /// Tell of every tag why it is or is not patched; of those of one repository, or of one tag
    #[arg(long, value_name = "REPOSITORY[:TAG]", num_args = 0..=1, conflicts_with = "diff_dialects")]
    #[expect(
        clippy::option_option,
        reason = "how clap tells an option without its value"
    )]
    explain: Option<Option<ImageArg>>,
    /// Show only the rows on which the two dialects differ
    #[arg(long)]
    diff_dialects: bool,
    #[command(flatten)]
    format: FormatArgs,
}

/// A limit of images, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(Option<usize>);

impl Limit {
    pub(crate) fn get(self) -> Option<usize> {
        self.0
    }
}

impl From<Option<usize>> for Limit {
    fn from(limit: Option<usize>) -> Self {
        Self(limit)
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl std::str::FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(limit) => Ok(Self(Some(limit))),
                Err(_) => Err("expected a number of images, or `none`"),
            },
        }
    }
}

impl DryRun {
    /// What `create` and `update` would do, shown and not done.
    pub(crate) fn of(
        config: &PolicySource,
        registry: &RegistryArgs,
        (schedule, dialect): (Option<cssc_core::Interval>, Dialect),
        max_images: Limit,
        output: Format,
    ) -> Outcome {
        run(&Self {
            policy: PolicyArgs {
                config: Some(config.clone()),
                policy: false,
            },
            registry: registry.clone(),
            schedule,
            created: CreatedArgs { created: None },
            dialect: DialectArgs { dialect },
            max_images,
            explain: None,
            diff_dialects: false,
            format: FormatArgs { output },
        })
    }
}

pub(crate) fn run(args: &DryRun) -> Outcome {
    let source = args.policy.config.as_ref();
    if source.is_some_and(PolicySource::is_standard_input) && args.registry.reads_standard_input() {
        let message = "only one of policy, inventory and password can come from standard input";
        return Err(Failure::new(message));
    }
    let registry = Registry::open(&args.registry)?;
    let config = match source {
        Some(source) => source.load()?,
        None => registry.stored_policy()?,
    };
    // An explanation also tells of what only disabled rules name.
    let repositories = match args.explain {
        Some(_) => config.repositories(),
        None => config.enabled_repositories(),
    };
    let inventory = registry.list(&repositories);
    if args.diff_dialects {
        return differences(args, &config, &inventory);
    }
    let options = PlanOptions {
        dialect: args.dialect.dialect,
        limit: args.max_images.0,
    };
    let plan = Plan::new(&config, &inventory, &options);
    match &args.explain {
        Some(subject) => explain(args, &plan, &inventory, subject.as_ref())?,
        None => show(args, &plan)?,
    }
    Ok(if plan.unavailable().next().is_some() {
        Answer::Incomplete
    } else {
        Answer::from_good(args.explain.is_some() || !plan.limit_exceeded())
    })
}

/// The next run, and a note when the other dialect would run on another day.
fn next_run(args: &DryRun) -> Option<DateTime<Utc>> {
    let created = args.created.created.unwrap_or_else(Utc::now);
    let schedule = Schedule::new(args.schedule?, created, args.dialect.dialect);
    super::schedule::note_difference(&schedule, created);
    schedule.next_after(created)
}

fn show(args: &DryRun, plan: &Plan) -> Result<(), Failure> {
    let next_run = next_run(args);
    match args.format.output {
        Format::Json => output::json(&PlanDocument::new(plan, next_run))?,
        Format::Table => {
            let mut out = output::stdout();
            tables(&mut out, plan)?;
            summary(&mut out, plan, next_run)?;
            out.flush()?;
        }
        Format::Tsv | Format::Plain => {
            let mut out = output::stdout();
            for image in plan.images() {
                if args.format.output == Format::Plain {
                    writeln!(out, "{}:{}", image.repository(), image.tag())?;
                } else {
                    let latest = image.latest_patch().map(|patch| patch.to_string());
                    let patch = image.patch_tag().map(|patch| patch.to_string());
                    writeln!(
                        out,
                        "{}\t{}\t{}\t{}\t{}",
                        image.repository(),
                        image.tag(),
                        latest.unwrap_or_default(),
                        image.scan_tag(),
                        patch.unwrap_or_default()
                    )?;
                }
            }
            out.flush()?;
            tell_the_rest(plan);
        }
    }
    for image in plan.images().filter(|image| image.is_nearly_exhausted()) {
        output::warning(&format!(
            "`{}:{}` is near the last patch number, 999: push a new original tag in time",
            image.repository(),
            image.tag()
        ));
    }
    if plan.limit_exceeded() {
        output::warning(&format!(
            "{} are more than the limit of {}: `create`, `update` and `run` would refuse \
             (--max-images sets the limit)",
            noun(plan.matches(), "image"),
            plan.limit().unwrap_or_default()
        ));
    }
    Ok(())
}

/// What the formats that list images alone leave out.
fn tell_the_rest(plan: &Plan) {
    for skipped in plan.skipped() {
        let reason = in_words(skipped.reason);
        output::note(&format!(
            "skipped `{}:{}`: {reason}",
            skipped.repository, skipped.tag
        ));
    }
    for not_found in plan.not_found() {
        output::note(&format!(
            "not found: `{}:{}`",
            not_found.repository, not_found.selector
        ));
    }
    for unavailable in plan.unavailable() {
        let (repository, reason) = (unavailable.repository, unavailable.reason);
        output::error(&format!("cannot list `{repository}`: {reason}"));
    }
}

fn in_words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::BaseMissing => "reads as a patch, but its original is not there",
        SkipReason::Exhausted => "its patch numbers are used up, the newest is 999",
        SkipReason::TagTooLong => "its patch tag would be longer than 128 characters",
    }
}

fn tables(out: &mut impl Write, plan: &Plan) -> std::io::Result<()> {
    if plan.matches() > 0 {
        let mut columns = Columns::new(["REPOSITORY", "TAG", "SCAN", "PATCH TO"]);
        for image in plan.images() {
            columns.measure([image.repository(), &image.tag(), &image.scan_tag(), &""]);
        }
        columns.write_heads(out)?;
        for image in plan.images() {
            let patch: &dyn std::fmt::Display = match &image.patch_tag() {
                Ok(patch) => &patch.to_string(),
                Err(_) => &"none left, the patch will fail",
            };
            columns.write(
                out,
                [image.repository(), &image.tag(), &image.scan_tag(), patch],
            )?;
        }
        writeln!(out)?;
    }
    if plan.skipped().next().is_some() {
        let mut columns = Columns::new(["SKIPPED", "REASON", "MEANING"]);
        let name = |row: &cssc_core::Skipped<'_>| format!("{}:{}", row.repository, row.tag);
        for row in plan.skipped() {
            columns.measure([&name(&row), &row.reason, &""]);
        }
        columns.write_heads(out)?;
        for row in plan.skipped() {
            columns.write(out, [&name(&row), &row.reason, &in_words(row.reason)])?;
        }
        writeln!(out)?;
    }
    if plan.not_found().next().is_some() {
        writeln!(out, "{}", styled(BOLD, "NOT FOUND"))?;
        for row in plan.not_found() {
            writeln!(out, "{}:{}", row.repository, row.selector)?;
        }
        writeln!(out)?;
    }
    if plan.unavailable().next().is_some() {
        let mut columns = Columns::new(["UNAVAILABLE", "REASON"]);
        for row in plan.unavailable() {
            columns.measure([row.repository, &""]);
        }
        columns.write_heads(out)?;
        for row in plan.unavailable() {
            columns.write(out, [row.repository, &row.reason])?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn summary(
    out: &mut impl Write,
    plan: &Plan,
    next_run: Option<DateTime<Utc>>,
) -> std::io::Result<()> {
    write!(out, "{}", styled(BOLD, noun(plan.matches(), "image")))?;
    for (count, what) in [
        (plan.skipped().count(), "skipped"),
        (plan.not_found().count(), "not found"),
        (plan.unavailable().count(), "unavailable"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    write!(
        out,
        "; {} tags, {} dialect",
        plan.tag_convention(),
        plan.dialect()
    )?;
    if let Some(next_run) = next_run {
        write!(
            out,
            "; next run {}",
            next_run.format("%a %Y-%m-%d %H:%M UTC")
        )?;
    }
    writeln!(out)
}

fn explain(
    args: &DryRun,
    plan: &Plan,
    inventory: &Inventory,
    subject: Option<&ImageArg>,
) -> Result<(), Failure> {
    let is_asked = |row: &Explanation<'_>| {
        subject.is_none_or(|subject| {
            let tag = subject.tag.as_ref();
            subject.repository == *row.repository
                && tag.is_none_or(|tag| tag.as_str() == row.tag.as_str())
        })
    };
    let rows = || plan.explain(inventory).filter(is_asked);
    if let Some(subject) = subject
        && rows().next().is_none()
    {
        return Err(why_nothing(plan, inventory, subject));
    }
    match args.format.output {
        Format::Json => output::json_list(rows())?,
        Format::Table => {
            let mut out = output::stdout();
            let mut columns = Columns::new(["REPOSITORY", "TAG", "DECIDED BY", "VERDICT"]);
            let decided_by = |row: &Explanation<'_>| match row.decided_by {
                Some(by) => format!("rule {}, `{}`", by.rule.saturating_add(1), by.selector),
                None => String::new(),
            };
            for row in rows() {
                columns.measure([row.repository, &row.tag, &decided_by(&row), &""]);
            }
            columns.write_heads(&mut out)?;
            for row in rows() {
                columns.write(
                    &mut out,
                    [row.repository, &row.tag, &decided_by(&row), &row.verdict],
                )?;
            }
            out.flush()?;
        }
        Format::Tsv | Format::Plain => {
            let mut out = output::stdout();
            for row in rows() {
                let (repository, tag, verdict) = (row.repository, row.tag, row.verdict);
                if args.format.output == Format::Plain {
                    writeln!(out, "{repository}:{tag} {verdict}")?;
                } else {
                    let rule = row.decided_by.map(|by| by.to_string()).unwrap_or_default();
                    let name = verdict.as_str();
                    writeln!(out, "{repository}\t{tag}\t{name}\t{rule}\t{verdict}")?;
                }
            }
            out.flush()?;
        }
    }
    tell_the_rest_of_explain(plan);
    Ok(())
}

/// Entries and repositories that have no tags to explain.
fn tell_the_rest_of_explain(plan: &Plan) {
    for row in plan.not_found() {
        output::note(&format!("not found: `{}:{}`", row.repository, row.selector));
    }
    for row in plan.unavailable() {
        output::error(&format!("cannot list `{}`: {}", row.repository, row.reason));
    }
}

/// Why there is nothing to explain.
fn why_nothing(plan: &Plan, inventory: &Inventory, subject: &ImageArg) -> Failure {
    let repository = &subject.repository;
    let is_named = plan.rules().any(|rule| rule.repository() == repository);
    let why = match (is_named, inventory.listing(repository), &subject.tag) {
        (false, _, _) => format!("the policy has no rule for `{repository}`"),
        (_, Listing::Absent, _) => format!("the registry has no repository `{repository}`"),
        (_, Listing::Unavailable(reason), _) => {
            return Failure::new(format!("cannot list `{repository}`: {reason}"));
        }
        (_, Listing::Found(_), Some(tag)) => format!("`{repository}` has no tag `{tag}`"),
        (_, Listing::Found(_), None) => format!("`{repository}` has no tags"),
    };
    Failure::No(why)
}

fn differences(args: &DryRun, config: &Config, inventory: &Inventory) -> Outcome {
    let rows = dialect_differences(config, inventory);
    let schedule = args.schedule.and_then(|interval| {
        let created = args.created.created.unwrap_or_else(Utc::now);
        Schedule::new(interval, created, args.dialect.dialect).dialect_difference(created)
    });
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_default();
    let mut out = output::stdout();
    match args.format.output {
        Format::Json => {
            let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
            output::json(&serde_json::json!({
                "differences": rows,
                "nextRun": schedule.map(|difference| serde_json::json!({
                    "documented": time(difference.documented),
                    "service": time(difference.service),
                })),
            }))?;
        }
        Format::Table => {
            let name = |row: &DialectDifference| match row.tag.as_str() {
                "" => row.repository.clone(),
                tag => format!("{}:{tag}", row.repository),
            };
            let mut columns = Columns::new(["LIST", "TAG", "DOCUMENTED", "SERVICE"]);
            for row in &rows {
                columns.measure([&row.list.as_str(), &name(row), &cell(&row.documented), &""]);
            }
            if rows.is_empty() {
                writeln!(
                    out,
                    "The dialects agree on every image of this policy and registry."
                )?;
            } else {
                columns.write_heads(&mut out)?;
            }
            for row in &rows {
                let (documented, service) = (cell(&row.documented), cell(&row.service));
                columns.write(
                    &mut out,
                    [&row.list.as_str(), &name(row), &documented, &service],
                )?;
            }
            if let Some(difference) = schedule {
                writeln!(out, "\nnext run: {}", super::schedule::in_both(&difference))?;
            }
        }
        Format::Tsv | Format::Plain => {
            for row in &rows {
                let (list, documented, service) =
                    (row.list.as_str(), cell(&row.documented), cell(&row.service));
                let (repository, tag) = (&row.repository, &row.tag);
                writeln!(out, "{list}\t{repository}\t{tag}\t{documented}\t{service}")?;
            }
        }
    }
    out.flush()?;
    let unavailable = inventory
        .iter()
        .any(|(_, listing)| matches!(listing, Listing::Unavailable(_)));
    Ok(if unavailable {
        Answer::Incomplete
    } else {
        Answer::Yes
    })
}
