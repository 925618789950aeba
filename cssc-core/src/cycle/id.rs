//! Names of cycles, of tasks, and of the runs of tasks.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{Platform, excerpt};

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

    /// The name as it stands in the name of a run: `scan`.
    fn short(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Scan => "scan",
            Self::Patch => "patch",
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

/// The name of a cycle: its start in UTC, to the second, and four random hexadecimal digits.
///
/// Names sort by time, and are the same on every machine that takes part in the cycle.
///
/// ```
/// use cssc_core::cycle::CycleId;
///
/// let id = CycleId::new("2026-01-07T09:30:00Z".parse()?, 0x3f2a);
/// assert_eq!(id.to_string(), "20260107T093000Z-3f2a");
/// assert_eq!("20260107T093000Z-3f2a".parse(), Ok(id));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CycleId {
    started: DateTime<Utc>,
    random: u16,
}

const TIME: &str = "%Y%m%dT%H%M%SZ";

impl CycleId {
    /// The name of a cycle that starts at `now`. `random` tells cycles apart that start within
    /// the same second.
    pub fn new(now: DateTime<Utc>, random: u16) -> Self {
        let started = now.trunc_subsecs(0);
        Self { started, random }
    }

    /// When the cycle started, to the second.
    pub fn started(self) -> DateTime<Utc> {
        self.started
    }
}

impl fmt::Display for CycleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!(
            "{}-{:04x}",
            self.started.format(TIME),
            self.random
        ))
    }
}

impl FromStr for CycleId {
    type Err = CycleIdError;

    fn from_str(text: &str) -> Result<Self, CycleIdError> {
        let parse = || {
            let (time, random) = text.split_once('-')?;
            let id = Self {
                started: NaiveDateTime::parse_from_str(time, TIME).ok()?.and_utc(),
                random: u16::from_str_radix(random, 16).ok()?,
            };
            // Only the one way to write it: names are compared as text in a registry.
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| CycleIdError(excerpt(text)))
    }
}

/// A text that names no cycle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a cycle: expected the form `20260107T093000Z-3f2a`")]
pub struct CycleIdError(String);

/// The name of a run: its cycle, its task, and which image of the plan, counted from 0, it is
/// about, with the platform where an image has several.
///
/// It is written `20260107T093000Z-3f2a.scan.17`, and with a platform
/// `20260107T093000Z-3f2a.patch.17.linux-arm64-v8`. The run that makes the plan is
/// `20260107T093000Z-3f2a.trigger`. Names sort by cycle, then by image, then by task.
///
/// ```
/// use cssc_core::cycle::{RunId, Task};
///
/// let id: RunId = "20260107T093000Z-3f2a.scan.17".parse()?;
/// assert_eq!((id.task(), id.image(), id.platform()), (Task::Scan, Some(17), None));
/// # Ok::<(), cssc_core::cycle::RunIdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    cycle: CycleId,
    /// None for the trigger run alone.
    image: Option<u32>,
    task: Task,
    platform: Option<Platform>,
}

impl RunId {
    /// The run that makes the plan of `cycle`.
    pub fn trigger(cycle: CycleId) -> Self {
        Self {
            cycle,
            image: None,
            task: Task::Trigger,
            platform: None,
        }
    }

    /// The run that scans image `image` of the plan.
    pub fn scan(cycle: CycleId, image: u32) -> Self {
        Self {
            cycle,
            image: Some(image),
            task: Task::Scan,
            platform: None,
        }
    }

    /// The run that patches image `image` of the plan.
    pub fn patch(cycle: CycleId, image: u32) -> Self {
        Self {
            cycle,
            image: Some(image),
            task: Task::Patch,
            platform: None,
        }
    }

    /// The same run for one platform of the image. The trigger run, which has no image, stays as
    /// it is.
    pub fn for_platform(mut self, platform: Platform) -> Self {
        self.platform = self.image.map(|_| platform);
        self
    }

    /// The cycle it belongs to.
    pub fn cycle(&self) -> CycleId {
        self.cycle
    }

    /// The task it is a run of.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Which image of the plan it is about, counted from 0; none for the trigger run.
    pub fn image(&self) -> Option<u32> {
        self.image
    }

    /// Which platform of the image it is about; none when it is about all of it.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.image.map(|image| format!(".{image}"));
        let platform = self.platform.as_ref().map(|platform| {
            let platform = platform.to_string();
            format!(".{}", platform.replace('/', "-"))
        });
        let text = format!(
            "{}.{}{}{}",
            self.cycle,
            self.task.short(),
            image.unwrap_or_default(),
            platform.unwrap_or_default()
        );
        f.pad(&text)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let parse = || {
            let mut parts = text.splitn(4, '.');
            let cycle = parts.next()?.parse().ok()?;
            let name = parts.next()?;
            let task = Task::ALL.into_iter().find(|task| task.short() == name)?;
            let image = parts.next().map(str::parse).transpose().ok()?;
            let platform = parts.next().map(|text| text.replace('-', "/").parse());
            let id = Self {
                cycle,
                image,
                task,
                platform: platform.transpose().ok()?,
            };
            let has_image = id.image.is_some() == (task != Task::Trigger);
            (has_image && id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| RunIdError(excerpt(text)))
    }
}

/// A text that names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a run: expected the form `20260107T093000Z-3f2a.scan.17`")]
pub struct RunIdError(String);

macro_rules! as_text {
    ($($type:ty: $expected:literal),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::serde_text::parse(deserializer, $expected)
            }
        }
    )*};
}

as_text! {
    Task: "the name of a task",
    CycleId: "the name of a cycle such as `20260107T093000Z-3f2a`",
    RunId: "the name of a run such as `20260107T093000Z-3f2a.scan.17`"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle() -> CycleId {
        "20260107T093000Z-3f2a".parse().unwrap()
    }

    #[test]
    fn text_and_back() {
        let arm: Platform = "linux/arm64/v8".parse().unwrap();
        for (id, text) in [
            (RunId::trigger(cycle()), "20260107T093000Z-3f2a.trigger"),
            (RunId::scan(cycle(), 0), "20260107T093000Z-3f2a.scan.0"),
            (
                RunId::patch(cycle(), u32::MAX),
                "20260107T093000Z-3f2a.patch.4294967295",
            ),
            (
                RunId::patch(cycle(), 17).for_platform(arm),
                "20260107T093000Z-3f2a.patch.17.linux-arm64-v8",
            ),
        ] {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
        for task in Task::ALL {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
    }

    #[test]
    fn what_names_no_run_is_refused() {
        for text in [
            "",
            "c12-3",
            "20260107T093000Z-3f2a",
            "20260107T093000Z-3f2a.scan",
            "20260107T093000Z-3f2a.trigger.0",
            "20260107T093000Z-3f2a.scan.01",
            "20260107T093000Z-3f2a.scan.+1",
            "20260107T093000Z-3f2a.scan.4294967296",
            "20260107T093000Z-3F2A.scan.1",
            "20260107T093000Z-03f2a.scan.1",
            "20261307T093000Z-3f2a.scan.1",
            "20260107T093000Z-3f2a.scan.1.linux",
            "20260107T093000Z-3f2a.scan.1.linux-arm64-v8-x",
            "20260107T093000Z-3f2a.verify.1",
        ] {
            assert_eq!(
                text.parse::<RunId>().unwrap_err().to_string(),
                format!(
                    "`{text}` is not the name of a run: expected the form \
                     `20260107T093000Z-3f2a.scan.17`"
                )
            );
        }
        assert_eq!(
            "20260107T093000Z"
                .parse::<CycleId>()
                .unwrap_err()
                .to_string(),
            "`20260107T093000Z` is not the name of a cycle: expected the form \
             `20260107T093000Z-3f2a`"
        );
        assert_eq!(
            "cssc-patch".parse::<Task>().unwrap_err().to_string(),
            "`cssc-patch` is not a task: use `cssc-trigger-workflow`, `cssc-scan-image` or \
             `cssc-patch-image`"
        );
    }

    #[test]
    fn names_sort_by_time_then_image_then_task() {
        let later = CycleId::new("2026-01-07T09:30:01Z".parse().unwrap(), 0);
        let names = [
            RunId::trigger(cycle()),
            RunId::scan(cycle(), 2),
            RunId::patch(cycle(), 2),
            RunId::scan(cycle(), 10),
            RunId::trigger(later),
        ];
        assert!(names.is_sorted());
    }
}
