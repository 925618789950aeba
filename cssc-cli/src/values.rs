//! Options with a value out of many: a shell completes it, and help does not list them all.

use std::ffi::OsStr;
use std::fmt::Display;
use std::str::FromStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::Error;
use clap::{Arg, Command};
use cssc_core::Interval;
use cssc_core::cycle::{RowStatus, StatusFilter, Task};
use cssc_core::policy::LintName;

/// Reads what [`FromStr`] reads, and knows what it may be.
#[derive(Clone)]
struct Known<T> {
    values: Vec<String>,
    read: fn(&str) -> Result<T, String>,
}

impl<T> TypedValueParser for Known<T>
where
    T: Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, Error> {
        let read = self.read;
        StringValueParser::new()
            .try_map(move |text| read(&text))
            .parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.values.iter().map(PossibleValue::new)))
    }
}

fn known<T>(values: impl IntoIterator<Item = String>) -> Known<T>
where
    T: FromStr<Err: Display>,
{
    Known {
        values: values.into_iter().collect(),
        read: |text| text.parse().map_err(|error: T::Err| error.to_string()),
    }
}

/// `1d` to `30d`.
pub(crate) fn interval() -> impl TypedValueParser<Value = Interval> {
    let days = Interval::MIN.days()..=Interval::MAX.days();
    known(days.map(|days| format!("{days}d")))
}

/// `failed`.
pub(crate) fn status() -> impl TypedValueParser<Value = StatusFilter> {
    known(RowStatus::ALL.map(|status| match status {
        // As `az` says it.
        RowStatus::Succeeded => "successful".to_owned(),
        status => status.as_str().to_lowercase(),
    }))
}

/// `cssc-scan-image`.
pub(crate) fn task() -> impl TypedValueParser<Value = Task> {
    known(Task::ALL.map(|task| task.as_str().to_owned()))
}

/// `warnings`, or the code of one.
pub(crate) fn lint() -> impl TypedValueParser<Value = LintName> {
    let warnings = LintName::codes().map(|code| code.to_string());
    known(std::iter::once("warnings".to_owned()).chain(warnings))
}
