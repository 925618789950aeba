//! Names of the tasks and of their runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::excerpt;

/// One of the three tasks a workflow is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Reads the policy, lists tags and makes the plan.
    Trigger,
    /// Scans one image.
    Scan,
    /// Patches one image.
    Patch,
}

impl Task {
    /// The three tasks, in the order they run.
    pub const ALL: [Self; 3] = [Self::Trigger, Self::Scan, Self::Patch];

    /// The name, as Azure has it: `cssc-scan-image`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "cssc-trigger-workflow",
            Self::Scan => "cssc-scan-image",
            Self::Patch => "cssc-patch-image",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Task {
    type Err = TaskError;

    fn from_str(text: &str) -> Result<Self, TaskError> {
        Self::ALL
            .into_iter()
            .find(|task| task.as_str() == text)
            .ok_or_else(|| TaskError(excerpt(text)))
    }
}

/// A text that names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a task: use `cssc-trigger-workflow`, `cssc-scan-image` or `cssc-patch-image`"
)]
pub struct TaskError(String);

/// The name of one run: `c12-3` is run 3 of cycle 12.
///
/// Run 1 is the trigger run; image *i* of the plan, counted from 0, is scanned by run 2*i*+2
/// and patched by run 2*i*+3. So a run has the same name however the cycle went.
///
/// ```
/// use cssc_core::{RunId, Task};
///
/// let id: RunId = "c12-4".parse()?;
/// assert_eq!((id.cycle(), id.task(), id.image()), (12, Task::Scan, Some(1)));
/// # Ok::<(), cssc_core::RunIdError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    cycle: u64,
    number: u64,
}

impl RunId {
    /// The run of the trigger task in `cycle`.
    pub fn trigger(cycle: u64) -> Self {
        Self { cycle, number: 1 }
    }

    /// The run that scans image `image` of the plan.
    pub fn scan(cycle: u64, image: u32) -> Self {
        let number = u64::from(image).saturating_mul(2).saturating_add(2);
        Self { cycle, number }
    }

    /// The run that patches image `image` of the plan.
    pub fn patch(cycle: u64, image: u32) -> Self {
        let number = u64::from(image).saturating_mul(2).saturating_add(3);
        Self { cycle, number }
    }

    /// The cycle it belongs to.
    pub fn cycle(self) -> u64 {
        self.cycle
    }

    /// Its number in the cycle, from 1.
    pub fn number(self) -> u64 {
        self.number
    }

    /// The task it is a run of.
    pub fn task(self) -> Task {
        match self.number {
            1 => Task::Trigger,
            number if number.is_multiple_of(2) => Task::Scan,
            _ => Task::Patch,
        }
    }

    /// Which image of the plan it is about, counted from 0; none for the trigger run.
    pub fn image(self) -> Option<u32> {
        let pair = self.number.checked_sub(2)? >> 1;
        u32::try_from(pair).ok()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("c{}-{}", self.cycle, self.number))
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let number = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'));
            digits.parse::<u64>().ok().filter(|_| plain)
        };
        text.strip_prefix('c')
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(cycle, run)| {
                let (cycle, number) = (number(cycle)?, number(run)?);
                let id = Self { cycle, number };
                (number == 1 || id.image().is_some()).then_some(id)
            })
            .ok_or_else(|| RunIdError(excerpt(text)))
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "the name of a run such as `c12-3`")
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::parse(deserializer, "the name of a task")
    }
}

/// A text that names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a run: expected the form `c12-3`, run 3 of cycle 12")]
pub struct RunIdError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for id in [
            RunId::trigger(0),
            RunId::scan(12, 0),
            RunId::patch(u64::MAX, u32::MAX),
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in [
            "",
            "c",
            "c1",
            "12-3",
            "c1-0",
            "c01-2",
            "c1-02",
            "c1-+2",
            "c-1-2",
            "c1-99999999999",
        ] {
            assert_eq!(
                text.parse::<RunId>().unwrap_err().to_string(),
                format!(
                    "`{text}` is not the name of a run: expected the form `c12-3`, run 3 of cycle 12"
                )
            );
        }
        for task in Task::ALL {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
        assert_eq!(
            "cssc-patch".parse::<Task>().unwrap_err().to_string(),
            "`cssc-patch` is not a task: use `cssc-trigger-workflow`, `cssc-scan-image` or \
             `cssc-patch-image`"
        );
    }

    #[test]
    fn an_image_has_its_own_runs() {
        for image in [0, 1, 2, u32::MAX] {
            let (scan, patch) = (RunId::scan(1, image), RunId::patch(1, image));
            assert_eq!((scan.task(), scan.image()), (Task::Scan, Some(image)));
            assert_eq!((patch.task(), patch.image()), (Task::Patch, Some(image)));
            assert!(scan < patch);
        }
        assert_eq!(RunId::trigger(1).image(), None);
    }
}
