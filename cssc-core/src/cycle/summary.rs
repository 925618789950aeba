//! How the images of a cycle stand, in numbers.

use serde::{Deserialize, Serialize};

use super::outcome::ImageOutcome;
use super::row::StatusRow;
use super::standing::ImageStanding;
use super::status::{RowStatus, Status};

/// How many images a cycle has, and how they stand: queued, running, or with one of the outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Summary {
    /// All of them, but for what was left out.
    pub images: usize,
    /// Not begun yet.
    pub queued: usize,
    /// Begun, and not done.
    pub running: usize,
    /// Patched, and nothing that can be fixed is left.
    pub patched: usize,
    /// Nothing in them can be fixed.
    pub clean: usize,
    /// Something that can be fixed is left.
    pub vulnerable: usize,
    /// Their operating system is out of service.
    pub end_of_life: usize,
    /// Nobody can say whether they are vulnerable.
    pub unsupported: usize,
    /// Not scanned, not patched or not published, though they should have been.
    pub failed: usize,
    /// Canceled before they were done.
    pub canceled: usize,
    /// What the policy names or matches beside the images.
    pub left_out: usize,
    /// How many images got a new patch tag, whatever their outcome.
    pub published: usize,
}

impl Summary {
    /// How many images nothing more will happen to.
    pub fn done(&self) -> usize {
        self.images
            .saturating_sub(self.queued)
            .saturating_sub(self.running)
    }

    /// How many have this outcome.
    pub fn of(&self, outcome: ImageOutcome) -> usize {
        let mut summary = *self;
        *summary.outcome_mut(outcome)
    }

    /// How a cycle ends with these images, and a plan that ended so.
    pub(super) fn status(&self, plan: Status) -> Status {
        if plan == Status::Canceled || self.canceled > 0 {
            Status::Canceled
        } else if plan == Status::Failed || self.failed > 0 {
            Status::Failed
        } else {
            Status::Succeeded
        }
    }

    /// The numbers of some rows.
    pub(super) fn of_rows<'a>(rows: impl IntoIterator<Item = &'a StatusRow>) -> Self {
        let mut summary = Self::default();
        for row in rows {
            if row.outcome == Some(ImageOutcome::LeftOut) {
                summary.left_out = summary.left_out.saturating_add(1);
            } else {
                summary.add(ImageState::of(
                    row.outcome,
                    row.scan_status,
                    row.patched_image.is_some(),
                ));
            }
        }
        summary
    }

    pub(super) fn add(&mut self, state: ImageState) {
        self.change(state, |count| *count = count.saturating_add(1));
    }

    pub(super) fn remove(&mut self, state: ImageState) {
        self.change(state, |count| *count = count.saturating_sub(1));
    }

    fn change(&mut self, state: ImageState, change: impl Fn(&mut usize)) {
        change(&mut self.images);
        if state.is_published {
            change(&mut self.published);
        }
        change(match state.progress {
            ImageProgress::Queued => &mut self.queued,
            ImageProgress::Running => &mut self.running,
            ImageProgress::Done(outcome) => self.outcome_mut(outcome),
        });
    }

    fn outcome_mut(&mut self, outcome: ImageOutcome) -> &mut usize {
        match outcome {
            ImageOutcome::Patched => &mut self.patched,
            ImageOutcome::Clean => &mut self.clean,
            ImageOutcome::Vulnerable => &mut self.vulnerable,
            ImageOutcome::EndOfLife => &mut self.end_of_life,
            ImageOutcome::Unsupported => &mut self.unsupported,
            ImageOutcome::Failed => &mut self.failed,
            ImageOutcome::Canceled => &mut self.canceled,
            ImageOutcome::LeftOut => &mut self.left_out,
        }
    }
}

/// How one image counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageState {
    progress: ImageProgress,
    is_published: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ImageProgress {
    Queued,
    Running,
    Done(ImageOutcome),
}

impl ImageState {
    fn of(outcome: Option<ImageOutcome>, scan: RowStatus, is_published: bool) -> Self {
        Self {
            progress: match outcome {
                Some(outcome) => ImageProgress::Done(outcome),
                None if scan == RowStatus::Queued => ImageProgress::Queued,
                None => ImageProgress::Running,
            },
            is_published,
        }
    }
}

impl From<ImageStanding> for ImageState {
    fn from(standing: ImageStanding) -> Self {
        Self::of(standing.outcome, standing.scan, standing.is_published)
    }
}
