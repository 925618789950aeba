//! Which shard a worker does.

use std::env;
use std::num::NonZeroU32;

use cssc_core::cycle::{CycleDocument, Shard, ShardError};

use crate::exit::Failure;

/// A shard as it is named on the command line: `2/8`, or `2` of those that there are.
#[derive(Debug, Clone, Copy)]
pub(super) enum ShardArg {
    Whole(Shard),
    Number(NonZeroU32),
}

impl std::str::FromStr for ShardArg {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => text.parse().map(Self::Whole),
        }
    }
}

impl ShardArg {
    /// The shard that was named, or that the engine which started this process says, or the only
    /// one.
    pub(super) fn choose(named: Option<Self>, plan: &CycleDocument) -> Result<Shard, Failure> {
        let count = plan.shards();
        match named {
            Some(Self::Whole(shard)) => Ok(shard),
            Some(Self::Number(number)) => of(number, count, "--shard"),
            None => match from_engine(&|name| env::var(name).ok(), count)? {
                Some((number, variable)) => of(number, count, variable),
                None if count.get() == 1 => of(count, count, "--shard"),
                None => Err(Failure::new(format!(
                    "which of the {count} shards? pass --shard I/{count}"
                ))),
            },
        }
    }
}

fn of(number: NonZeroU32, count: NonZeroU32, origin: &str) -> Result<Shard, Failure> {
    Shard::new(number, count).ok_or_else(|| {
        Failure::new(format!(
            "{origin} says {number}, and the cycle was planned with {count} shards"
        ))
    })
}

/// What GitLab says of a job with `parallel`, from 1, and Kubernetes of an indexed job, from 0.
fn from_engine(
    variable: &dyn Fn(&str) -> Option<String>,
    count: NonZeroU32,
) -> Result<Option<(NonZeroU32, &'static str)>, Failure> {
    if let Some(total) = variable("CI_NODE_TOTAL").filter(|total| *total != count.to_string()) {
        return Err(Failure::new(format!(
            "`CI_NODE_TOTAL` says {}, and the cycle was planned with {count} shards",
            total.escape_debug()
        )));
    }
    for (name, first) in [("CI_NODE_INDEX", 1), ("JOB_COMPLETION_INDEX", 0)] {
        let Some(text) = variable(name) else { continue };
        let number = text.parse::<u32>().ok();
        let number = number.and_then(|number| number.checked_sub(first)?.checked_add(1));
        return match number.and_then(NonZeroU32::new) {
            Some(number) => Ok(Some((number, name))),
            None => Err(Failure::new(format!(
                "`{name}` is `{}`, and should be a number from {first} on",
                text.escape_debug()
            ))),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_count_from_where_they_count() {
        let say = |name: &str, value: &str| {
            let given = |asked: &str| (asked == name).then(|| value.to_owned());
            let found = from_engine(&given, NonZeroU32::new(8).unwrap());
            found
                .map(|found| found.map(|(number, _)| number.get()))
                .ok()
        };
        assert_eq!(say("CI_NODE_INDEX", "1"), Some(Some(1)));
        assert_eq!(say("JOB_COMPLETION_INDEX", "0"), Some(Some(1)));
        assert_eq!(say("JOB_COMPLETION_INDEX", "7"), Some(Some(8)));
        assert_eq!(say("CI_NODE_INDEX", "0"), None);
        assert_eq!(say("CI_NODE_INDEX", ""), None);
        assert_eq!(say("JOB_COMPLETION_INDEX", "4294967295"), None);
        assert_eq!(say("OTHER", "1"), Some(None));
        assert_eq!(say("CI_NODE_TOTAL", "8"), Some(None));
        assert_eq!(say("CI_NODE_TOTAL", "9"), None);
    }
}
