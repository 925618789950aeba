//! `cssc dry-run`: what a policy selects, and what would happen.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use cssc_core::plan::{
    DialectDifference, Explanation, ImageLimit, PlanDocument, dialect_differences,
};
use cssc_core::schedule::ScheduleDifference;
use cssc_core::{
    Dialect, Inventory, Listing, Plan, PlanOptions, Policy, Repository, Schedule, TagRef, Workflow,
};
use serde::Serialize;

use crate::args::{
    CreatedArgs, Format, FormatArgs, ImageArg, LimitArgs, LintArgs, PolicyArgs, RegistryArgs,
    dialects, parse_interval,
};
use crate::exit::{Answer, Failure, Outcome, OutputError};
use crate::output::rows::{self, Row};
use crate::output::suggest::did_you_mean;
use crate::output::table::Columns;
use crate::output::{self, BOLD, Output, noun, styled};
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
    /// Whose reading of the rules decides: the documentation's, or what Azure's service was
    /// observed to do; by default the stored workflow's, or the documentation's
    #[arg(long, value_name = "DIALECT", value_parser = dialects())]
    dialect: Option<Dialect>,
    #[command(flatten)]
    limit: LimitArgs,
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
    lints: LintArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What is planned: by `dry-run` and by what `create` and `update` would do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanRequest {
    pub(crate) schedule: Option<cssc_core::Interval>,
    /// Now, if not given.
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) dialect: Dialect,
    pub(crate) limit: ImageLimit,
}

impl PlanRequest {
    /// What a workflow would run.
    pub(crate) fn of(workflow: &Workflow) -> Self {
        Self {
            schedule: Some(workflow.interval()),
            created: Some(workflow.created()),
            dialect: workflow.dialect(),
            limit: workflow.settings().effective_limit(),
        }
    }

    pub(crate) fn plan(&self, policy: &Policy, inventory: &Inventory) -> Plan {
        let options = PlanOptions {
            dialect: self.dialect,
            limit: self.limit,
        };
        Plan::new(policy, inventory, &options)
    }

    /// When it runs, and the instant after which it is asked for: now, or the creation that was
    /// given for an example.
    fn schedule(&self) -> Option<Schedule> {
        let created = self.created.unwrap_or_else(Utc::now);
        Some(Schedule::new(self.schedule?, created, self.dialect))
    }

    /// Shows what the policy selects.
    pub(crate) fn show(
        &self,
        registry: &Registry,
        policy: &Policy,
        after: DateTime<Utc>,
        format: Format,
    ) -> Outcome {
        let inventory = registry.list(&policy.enabled_repositories());
        let plan = self.plan(policy, &inventory);
        show(&plan, self.next_run(after), format)?;
        Ok(answer(&plan))
    }

    /// The next run, and a note when the other dialect would run on another day.
    fn next_run(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let schedule = self.schedule()?;
        super::schedule::note_difference(&schedule, after);
        schedule.next_after(after)
    }
}

fn answer(plan: &Plan) -> Answer {
    if plan.unavailable().next().is_some() {
        Answer::Incomplete
    } else {
        Answer::from_good(!plan.limit_exceeded())
    }
}

pub(crate) fn run(args: &DryRun) -> Outcome {
    let source = args.policy.config.as_ref();
    if source.is_some_and(PolicySource::is_standard_input) && args.registry.reads_standard_input() {
        let message = "only one of policy, inventory and password can come from standard input";
        return Err(Failure::new(message));
    }
    let registry = Registry::open(&args.registry)?;
    let (policy, stored) = match source {
        Some(source) => (source.load(&args.lints.lints())?, None),
        None => registry.stored_workflow(&args.lints.lints())?,
    };
    // What is stored counts where nothing else was said; its next run is asked for as of now.
    let interval = args.schedule.or(stored.as_ref().map(Workflow::interval));
    let created = args.created.created;
    let after = created.unwrap_or_else(Utc::now);
    let created = created.or(stored.as_ref().map(Workflow::created));
    let dialect = args.dialect.or(stored.as_ref().map(Workflow::dialect));
    let stored_limit = || stored.as_ref()?.settings().limit;
    let request = PlanRequest {
        schedule: interval,
        created: created.or(Some(after)),
        dialect: dialect.unwrap_or_default(),
        limit: args
            .limit
            .max_images
            .or_else(stored_limit)
            .unwrap_or_default(),
    };
    // An explanation also tells of what only disabled rules name.
    let repositories = match args.explain {
        Some(_) => policy.repositories(),
        None => policy.enabled_repositories(),
    };
    let inventory = registry.list(&repositories);
    if args.diff_dialects {
        let schedule = request.schedule();
        let schedule = schedule.and_then(|schedule| schedule.dialect_difference(after));
        return differences(args, schedule, &policy, &inventory);
    }
    let plan = request.plan(&policy, &inventory);
    let Some(subject) = &args.explain else {
        show(&plan, request.next_run(after), args.format.output)?;
        return Ok(answer(&plan));
    };
    explain(args, &plan, &inventory, subject.as_ref())?;
    Ok(match answer(&plan) {
        Answer::No => Answer::Yes,
        answer => answer,
    })
}

fn show(plan: &Plan, next_run: Option<DateTime<Utc>>, format: Format) -> Result<(), Failure> {
    match format {
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
                if format == Format::Plain {
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
            plan.limit()
        ));
    }
    Ok(())
}

/// What the formats that list images alone leave out.
fn tell_the_rest(plan: &Plan) {
    for skipped in plan.skipped() {
        let reason = skipped.reason.describe();
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
    tell_unavailable(plan, output::error);
}

/// Tells which repositories cannot be listed, each reason once.
pub(crate) fn tell_unavailable(plan: &Plan, tell: fn(&str)) {
    for (reason, repositories) in unavailable_by_reason(plan) {
        let repositories = named(&repositories, "`");
        tell(&format!("cannot list {repositories}: {reason}"));
    }
}

/// The repositories that cannot be listed under each reason, in the order of the plan: a registry
/// that is away has the same one for all.
fn unavailable_by_reason(plan: &Plan) -> Vec<(String, Vec<&Repository>)> {
    let mut places = BTreeMap::new();
    let mut reasons: Vec<(String, Vec<&Repository>)> = Vec::new();
    for row in plan.unavailable() {
        let reason = row.error.to_string();
        let place = *places.entry(reason.clone()).or_insert_with(|| {
            reasons.push((reason, Vec::new()));
            reasons.len().saturating_sub(1)
        });
        if let Some((_, repositories)) = reasons.get_mut(place) {
            repositories.push(row.repository);
        }
    }
    reasons
}

/// The first names, and how many more there are.
fn named(repositories: &[&Repository], quote: &str) -> String {
    const NAMED: usize = 3;
    let names = repositories.iter().take(NAMED);
    let names: Vec<String> = names.map(|name| format!("{quote}{name}{quote}")).collect();
    let names = names.join(", ");
    match repositories.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

fn tables(out: &mut Output, plan: &Plan) -> Result<(), OutputError> {
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
        let name = |row: &cssc_core::plan::Skipped<'_>| format!("{}:{}", row.repository, row.tag);
        for row in plan.skipped() {
            columns.measure([&name(&row), &row.reason, &""]);
        }
        columns.write_heads(out)?;
        for row in plan.skipped() {
            columns.write(out, [&name(&row), &row.reason, &row.reason.describe()])?;
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
        let rows = unavailable_by_reason(plan);
        for (_, repositories) in &rows {
            columns.measure([&named(repositories, ""), &""]);
        }
        columns.write_heads(out)?;
        for (reason, repositories) in &rows {
            columns.write(out, [&named(repositories, ""), reason])?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn summary(
    out: &mut Output,
    plan: &Plan,
    next_run: Option<DateTime<Utc>>,
) -> Result<(), OutputError> {
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

/// An explanation as it is printed.
#[derive(Serialize)]
#[serde(transparent)]
struct Explained<'a>(Explanation<'a>);

impl Row<4> for Explained<'_> {
    const HEADS: [&'static str; 4] = ["REPOSITORY", "TAG", "DECIDED BY", "VERDICT"];

    fn cells(&self) -> [String; 4] {
        let row = &self.0;
        let decided_by = match row.decided_by {
            Some(by) => format!("rule {}, `{}`", by.rule.saturating_add(1), by.selector),
            None => String::new(),
        };
        let (repository, tag) = (row.repository.to_string(), row.tag.to_string());
        [repository, tag, decided_by, row.verdict.to_string()]
    }

    fn tsv(&self) -> String {
        let row = &self.0;
        let (repository, tag, verdict) = (row.repository, row.tag, row.verdict);
        let rule = row.decided_by.map(|by| by.to_string()).unwrap_or_default();
        format!(
            "{repository}\t{tag}\t{}\t{rule}\t{verdict}",
            verdict.as_str()
        )
    }

    fn plain(&self) -> String {
        format!("{}:{} {}", self.0.repository, self.0.tag, self.0.verdict)
    }
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
    rows::print(args.format.output, || rows().map(Explained))?;
    tell_the_rest_of_explain(plan);
    Ok(())
}

/// Entries and repositories that have no tags to explain.
fn tell_the_rest_of_explain(plan: &Plan) {
    for row in plan.not_found() {
        output::note(&format!("not found: `{}:{}`", row.repository, row.selector));
    }
    tell_unavailable(plan, output::error);
}

/// Why there is nothing to explain.
fn why_nothing(plan: &Plan, inventory: &Inventory, subject: &ImageArg) -> Failure {
    let repository = &subject.repository;
    let is_named = plan.rules().any(|rule| rule.repository() == repository);
    let why = match (is_named, inventory.listing(repository), &subject.tag) {
        (false, _, _) => {
            let named = plan.rules().map(|rule| rule.repository().as_str());
            let hint = did_you_mean(repository.as_str(), named);
            format!("the policy has no rule for `{repository}`{hint}")
        }
        (_, Listing::Absent, _) => {
            let others = inventory.iter().map(|(name, _)| name.as_str());
            let hint = did_you_mean(repository.as_str(), others);
            format!("the registry has no repository `{repository}`{hint}")
        }
        (_, Listing::Unavailable(reason), _) => {
            return Failure::new(format!("cannot list `{repository}`: {reason}"));
        }
        (_, Listing::Found(tags), Some(tag)) => {
            let hint = did_you_mean(tag.as_str(), tags.iter().map(TagRef::as_str));
            format!("`{repository}` has no tag `{tag}`{hint}")
        }
        (_, Listing::Found(_), None) => format!("`{repository}` has no tags"),
    };
    Failure::No(why)
}

fn differences(
    args: &DryRun,
    schedule: Option<ScheduleDifference>,
    policy: &Policy,
    inventory: &Inventory,
) -> Outcome {
    let rows = dialect_differences(policy, inventory);
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
