//! What Azure's service would do differently.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use cssc_core::plan::{DialectDifference, dialect_differences};
use cssc_core::schedule::ScheduleDifference;
use cssc_core::{Inventory, Listing, Policy};

use crate::args::Format;
use crate::command::schedule::in_both;
use crate::exit::{Answer, Outcome};
use crate::output;
use crate::output::rows::{self, Row};

/// Shows on which images, and on which day, the dialects differ.
pub(super) fn differences(
    format: Format,
    schedule: Option<ScheduleDifference>,
    policy: &Policy,
    inventory: &Inventory,
) -> Outcome {
    let differences = dialect_differences(policy, inventory);
    let rows = || differences.iter().map(Difference);
    match format {
        Format::Json => {
            let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
            output::json(&serde_json::json!({
                "differences": differences,
                "nextRun": schedule.map(|difference| serde_json::json!({
                    "documented": time(difference.documented),
                    "service": time(difference.service),
                })),
            }))?;
        }
        Format::Table => {
            let mut out = output::stdout();
            if differences.is_empty() {
                let agree = "The dialects agree on every image of this policy and registry.";
                writeln!(out, "{agree}")?;
            } else {
                rows::table(&mut out, rows)?;
            }
            if let Some(difference) = schedule {
                let difference = in_both(&difference);
                writeln!(out, "\nnext run: {difference}")?;
            }
            out.flush()?;
        }
        Format::Tsv | Format::Plain => rows::print_text(format, rows)?,
    }
    let unavailable = inventory
        .iter()
        .any(|(_, listing)| matches!(listing, Listing::Unavailable(_)));
    Ok(if unavailable {
        Answer::Incomplete
    } else {
        Answer::Yes
    })
}

/// An image on which they differ, as a row.
struct Difference<'a>(&'a DialectDifference);

impl Difference<'_> {
    fn sides(&self) -> [&str; 2] {
        [&self.0.documented, &self.0.service].map(|side| side.as_deref().unwrap_or_default())
    }
}

impl Row<4> for Difference<'_> {
    const HEADS: [&'static str; 4] = ["LIST", "TAG", "DOCUMENTED", "SERVICE"];

    fn cells(&self) -> [Cow<'_, str>; 4] {
        let name = match self.0.tag.as_str() {
            "" => self.0.repository.as_str().into(),
            tag => format!("{}:{tag}", self.0.repository).into(),
        };
        let [documented, service] = self.sides().map(Cow::from);
        [self.0.list.as_str().into(), name, documented, service]
    }

    fn tsv(&self) -> String {
        let (list, [documented, service]) = (self.0.list.as_str(), self.sides());
        let (repository, tag) = (&self.0.repository, &self.0.tag);
        format!("{list}\t{repository}\t{tag}\t{documented}\t{service}")
    }
}
