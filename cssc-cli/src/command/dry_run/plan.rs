//! How a plan is shown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cssc_core::plan::{Image, PlanDocument, Skipped};
use cssc_core::{Plan, Repository};

use crate::args::Format;
use crate::exit::{Failure, OutputError};
use crate::output::rows::{self, Row};
use crate::output::{self, BOLD, Output, noun, styled};

/// Shows a plan.
pub(super) fn show(
    plan: &Plan,
    next_run: Option<DateTime<Utc>>,
    format: Format,
) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(&PlanDocument::new(plan, next_run))?,
        Format::Table => {
            let mut out = output::stdout();
            tables(&mut out, plan)?;
            summary(&mut out, plan, next_run)?;
            out.flush()?;
        }
        Format::Tsv | Format::Plain => {
            rows::print_text(format, || plan.images())?;
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
    tell_what_has_no_tags(plan);
}

/// Tells of the entries and repositories that no tag was found for.
pub(super) fn tell_what_has_no_tags(plan: &Plan) {
    for row in plan.not_found() {
        output::note(&format!("not found: `{}:{}`", row.repository, row.selector));
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
fn unavailable_by_reason(plan: &Plan) -> Vec<Unavailable<'_>> {
    let mut places = BTreeMap::new();
    let mut reasons: Vec<Unavailable<'_>> = Vec::new();
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
        rows::table(out, || plan.images())?;
        writeln!(out)?;
    }
    if plan.skipped().next().is_some() {
        rows::table(out, || plan.skipped())?;
        writeln!(out)?;
    }
    if plan.not_found().next().is_some() {
        writeln!(out, "{}", styled(BOLD, "NOT FOUND"))?;
        for row in plan.not_found() {
            writeln!(out, "{}:{}", row.repository, row.selector)?;
        }
        writeln!(out)?;
    }
    let unavailable = unavailable_by_reason(plan);
    if !unavailable.is_empty() {
        rows::table(out, || unavailable.iter())?;
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

impl Row<4> for Image<'_> {
    const HEADS: [&'static str; 4] = ["REPOSITORY", "TAG", "SCAN", "PATCH TO"];

    fn cells(&self) -> [Cow<'_, str>; 4] {
        let patch = match self.patch_tag() {
            Ok(patch) => patch.to_string().into(),
            Err(_) => "none left, the patch will fail".into(),
        };
        [
            self.repository().as_str().into(),
            self.tag().as_str().into(),
            self.scan_tag().to_string().into(),
            patch,
        ]
    }

    fn tsv(&self) -> String {
        let latest = self.latest_patch().map(|patch| patch.to_string());
        let patch = self.patch_tag().map(|patch| patch.to_string());
        format!(
            "{}\t{}\t{}\t{}\t{}",
            self.repository(),
            self.tag(),
            latest.unwrap_or_default(),
            self.scan_tag(),
            patch.unwrap_or_default()
        )
    }

    fn plain(&self) -> String {
        format!("{}:{}", self.repository(), self.tag())
    }
}

impl Row<3> for Skipped<'_> {
    const HEADS: [&'static str; 3] = ["SKIPPED", "REASON", "MEANING"];

    fn cells(&self) -> [Cow<'_, str>; 3] {
        [
            format!("{}:{}", self.repository, self.tag).into(),
            self.reason.to_string().into(),
            self.reason.describe().into(),
        ]
    }
}

/// The repositories that cannot be listed for one reason.
type Unavailable<'a> = (String, Vec<&'a Repository>);

impl Row<2> for &Unavailable<'_> {
    const HEADS: [&'static str; 2] = ["UNAVAILABLE", "REASON"];

    fn cells(&self) -> [Cow<'_, str>; 2] {
        let (reason, repositories) = self;
        [named(repositories, "").into(), reason.as_str().into()]
    }
}
