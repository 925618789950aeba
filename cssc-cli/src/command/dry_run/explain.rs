//! Why each tag is or is not patched.

use std::borrow::Cow;

use cssc_core::plan::Explanation;
use cssc_core::{Inventory, Listing, Plan, TagRef};

use super::plan::tell_what_has_no_tags;
use crate::args::{Format, ImageArg};
use crate::exit::Failure;
use crate::output::rows::{self, Row};
use crate::output::suggest::did_you_mean;

impl Row<4> for Explanation<'_> {
    const HEADS: [&'static str; 4] = ["REPOSITORY", "TAG", "DECIDED BY", "VERDICT"];

    fn cells(&self) -> [Cow<'_, str>; 4] {
        let decided_by = match self.decided_by {
            Some(by) => format!("rule {}, `{}`", by.rule.saturating_add(1), by.selector).into(),
            None => "".into(),
        };
        let (repository, tag) = (self.repository.as_str().into(), self.tag.as_str().into());
        [repository, tag, decided_by, self.verdict.to_string().into()]
    }

    fn tsv(&self) -> String {
        let (repository, tag, verdict) = (self.repository, self.tag, self.verdict);
        let rule = self.decided_by.map(|by| by.to_string()).unwrap_or_default();
        format!(
            "{repository}\t{tag}\t{}\t{rule}\t{verdict}",
            verdict.as_str()
        )
    }

    fn plain(&self) -> String {
        format!("{}:{} {}", self.repository, self.tag, self.verdict)
    }
}

/// Tells of every tag, or of those asked for, why it is or is not patched.
pub(super) fn explain(
    format: Format,
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
    rows::print(format, rows)?;
    tell_what_has_no_tags(plan);
    Ok(())
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
