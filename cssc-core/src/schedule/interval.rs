//! How many days lie between two runs: `7d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::excerpt;

/// How many days lie between two runs of a workflow, from 1 to 30: the `--schedule` of `az`.
///
/// Written as the number and `d`; leading zeros are read and not printed.
///
/// ```
/// use cssc_core::Interval;
///
/// let weekly: Interval = "7d".parse()?;
/// assert_eq!(weekly.days(), 7);
/// assert_eq!("07d".parse::<Interval>()?.to_string(), "7d");
/// # Ok::<(), cssc_core::schedule::IntervalError>(())
/// ```
///
/// # Errors
///
/// Parsing fails for `7` (no unit), `7D` (upper case), `+7d` (a sign), ` 7d` (white space),
/// `0d` and `31d` (out of range), `1w` (another unit), `７d` (digits that are not ASCII) and an
/// empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u8);

impl Interval {
    /// A run every day.
    pub const MIN: Self = Self(1);
    /// The longest interval there is.
    pub const MAX: Self = Self(30);

    /// The interval of `days` days, or `None` outside 1 to 30.
    pub fn new(days: u8) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&days)
            .then_some(Self(days))
    }

    /// The number of days.
    pub fn days(self) -> u8 {
        self.0
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        read(text).ok_or_else(|| IntervalError::new(text))
    }
}

fn read(text: &str) -> Option<Interval> {
    let digits = text.strip_suffix('d')?;
    // The parser of integers takes a sign, a schedule has none.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let days = digits.trim_start_matches('0').parse().ok()?;
    Interval::new(days)
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}d", self.0))
    }
}

impl TryFrom<&str> for Interval {
    type Error = IntervalError;

    fn try_from(text: &str) -> Result<Self, IntervalError> {
        text.parse()
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "a schedule from `1d` to `30d`")
    }
}

/// Why a text is no interval; the message says what is allowed, and what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntervalError {
    text: Box<str>,
    kind: IntervalErrorKind,
    meant: Option<Interval>,
}

/// What is wrong with a text that is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IntervalErrorKind {
    /// It is empty.
    Empty,
    /// It holds white space.
    WhiteSpace,
    /// It has a sign.
    Sign,
    /// It holds a digit that is not an ASCII one.
    Digit(char),
    /// It has a unit and no number.
    NoNumber,
    /// It has a number and no unit.
    NoUnit,
    /// Its unit is in upper case.
    UpperCase,
    /// Its unit is not days.
    Unit,
    /// It is a number of days, just not one from 1 to 30.
    OutOfRange,
    /// It is nothing like a number of days.
    Shape,
}

impl IntervalError {
    #[cold]
    fn new(text: &str) -> Self {
        Self {
            text: excerpt(text).into(),
            kind: kind_of(text),
            meant: meant(text),
        }
    }

    /// What is wrong with the text.
    pub fn kind(&self) -> IntervalErrorKind {
        self.kind
    }

    /// Whether the text is a number of days, just not one from 1 to 30.
    pub fn is_out_of_range(&self) -> bool {
        self.kind == IntervalErrorKind::OutOfRange
    }
}

/// What is wrong with a text that [`read`] refuses.
fn kind_of(text: &str) -> IntervalErrorKind {
    if text.is_empty() {
        return IntervalErrorKind::Empty;
    }
    if text.contains(char::is_whitespace) {
        return IntervalErrorKind::WhiteSpace;
    }
    if text.starts_with(['+', '-']) {
        return IntervalErrorKind::Sign;
    }
    if let Some(digit) = text.chars().find(|c| c.is_numeric() && !c.is_ascii()) {
        return IntervalErrorKind::Digit(digit);
    }
    match split(text) {
        ("", "d") => IntervalErrorKind::NoNumber,
        ("", _) => IntervalErrorKind::Shape,
        (_, "") => IntervalErrorKind::NoUnit,
        (_, "d") => IntervalErrorKind::OutOfRange,
        (_, "D") => IntervalErrorKind::UpperCase,
        (_, unit) if unit.chars().all(char::is_alphabetic) => IntervalErrorKind::Unit,
        _ => IntervalErrorKind::Shape,
    }
}

/// The interval somebody had in mind who wrote `text`, when that is plain to see.
fn meant(text: &str) -> Option<Interval> {
    // Nothing longer than `+30 weeks` with some space around can be plain to see.
    let compact: String = text
        .chars()
        .take(32)
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect();
    let (number, unit) = split(compact.trim_start_matches(['+', '-']));
    let number: u8 = number.parse().ok()?;
    match unit {
        "" | "d" | "day" | "days" => Interval::new(number),
        "w" | "week" | "weeks" => Interval::new(number.checked_mul(7)?),
        _ => None,
    }
}

/// The ASCII digits that `text` begins with, and the rest.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

impl std::error::Error for IntervalError {}

impl fmt::Display for IntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason: &dyn fmt::Display = match &self.kind {
            IntervalErrorKind::Empty => {
                return f.write_str("a schedule cannot be empty; allowed are `1d` to `30d`");
            }
            IntervalErrorKind::WhiteSpace => &"white space is not allowed",
            IntervalErrorKind::Sign => &"a sign is not allowed",
            IntervalErrorKind::Digit(digit) => {
                &format!("`{digit}` is not one of the digits 0 to 9")
            }
            IntervalErrorKind::NoNumber => &"the number of days is missing",
            IntervalErrorKind::NoUnit => &"the unit `d` for days is missing",
            IntervalErrorKind::UpperCase => &"the unit `d` must be lower case",
            IntervalErrorKind::Unit => &"the unit must be `d` for days",
            IntervalErrorKind::OutOfRange => &"the number of days must be from 1 to 30",
            IntervalErrorKind::Shape => &"it must be a whole number of days and `d`",
        };
        write!(f, "`{}` is not a valid schedule: {reason}", self.text)?;
        if let Some(meant) = self.meant {
            write!(f, " (`{meant}`)")?;
        }
        f.write_str("; allowed are `1d` to `30d`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_interval_reads_as_it_prints() {
        for days in 1..=30 {
            let interval = Interval::new(days).unwrap();
            assert_eq!(interval.days(), days);
            assert_eq!(interval.to_string().parse(), Ok(interval));
            assert_eq!(format!("0{days}d").parse(), Ok(interval));
            assert_eq!(format!("000{days}d").parse(), Ok(interval));
        }
        assert_eq!(Interval::new(0), None);
        assert_eq!(Interval::new(31), None);
    }

    #[test]
    fn serde_takes_the_parsers_way() {
        let interval: Interval = serde_json::from_str("\"07d\"").unwrap();
        assert_eq!(serde_json::to_string(&interval).unwrap(), "\"7d\"");
        let error = serde_json::from_str::<Interval>("\"7\"").unwrap_err();
        assert!(error.to_string().contains("the unit `d` for days"));
        let error = serde_json::from_str::<Interval>("7").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a schedule from `1d` to `30d`"),
            "{error}"
        );
    }

    #[test]
    fn a_huge_text_is_cut_in_the_message() {
        let error = format!("{}d", "9".repeat(1_000_000))
            .parse::<Interval>()
            .unwrap_err();
        assert!(error.is_out_of_range());
        assert!(error.to_string().len() < 300);
        let zeros = format!("{}7d", "0".repeat(1_000_000));
        assert_eq!(zeros.parse(), Ok(Interval(7)));
    }

    proptest! {
        #[test]
        fn what_a_message_suggests_is_valid(text in "[+ -]?[0-9]{0,3}[ ]?[dDwhm]?.?") {
            if let Err(error) = text.parse::<Interval>() {
                let message = error.to_string();
                prop_assert!(message.ends_with("allowed are `1d` to `30d`"), "{}", message);
                prop_assert_ne!(Some(text), error.meant.map(|meant| meant.to_string()));
            }
        }
    }
}
