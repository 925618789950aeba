//! What Azure's service would do differently.

use std::borrow::Cow;

use cssc_core::plan::{DialectDifference, dialect_differences};
use cssc_core::schedule::{ScheduleDifference, rfc3339};
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
    let rows = || differences.iter();
    match format {
        Format::Json => {
            output::json(&serde_json::json!({
                "differences": differences,
                "nextRun": schedule.map(|difference| serde_json::json!({
                    "documented": rfc3339(difference.documented),
                    "service": rfc3339(difference.service),
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

impl Row<4> for &DialectDifference {
    const HEADS: [&'static str; 4] = ["LIST", "TAG", "DOCUMENTED", "SERVICE"];

    fn cells(&self) -> [Cow<'_, str>; 4] {
        let name = match self.tag.as_str() {
            "" => self.repository.as_str().into(),
            tag => format!("{}:{tag}", self.repository).into(),
        };
        let [documented, service] = sides(self).map(Cow::from);
        [self.list.as_str().into(), name, documented, service]
    }

    fn tsv(&self) -> String {
        let (list, [documented, service]) = (self.list.as_str(), sides(self));
        let (repository, tag) = (&self.repository, &self.tag);
        format!("{list}\t{repository}\t{tag}\t{documented}\t{service}")
    }
}

/// What each dialect does with it.
fn sides(difference: &DialectDifference) -> [&str; 2] {
    [&difference.documented, &difference.service].map(|side| side.as_deref().unwrap_or_default())
}
