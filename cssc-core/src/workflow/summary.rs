//! How the images of a cycle stand, in numbers.

use serde::{Deserialize, Serialize};

use super::run::Run;
use super::status::Status;

/// How many images a cycle has, and how they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All of them.
    pub images: usize,
    /// Not begun yet.
    pub queued: usize,
    /// Begun, and not done.
    pub running: usize,
    /// Done, with a new patch tag.
    pub patched: usize,
    /// Done; there was nothing to patch, or nothing worth a tag.
    pub skipped: usize,
    /// Not scanned or not patched, though they should have been.
    pub failed: usize,
    /// Canceled before they were done.
    pub canceled: usize,
}

impl Summary {
    /// How many images nothing more will happen to.
    pub fn done(&self) -> usize {
        self.images
            .saturating_sub(self.queued)
            .saturating_sub(self.running)
    }

    pub(super) fn add(&mut self, state: ImageState) {
        self.images = self.images.saturating_add(1);
        let count = self.of(state);
        *count = count.saturating_add(1);
    }

    pub(super) fn remove(&mut self, state: ImageState) {
        self.images = self.images.saturating_sub(1);
        let count = self.of(state);
        *count = count.saturating_sub(1);
    }

    fn of(&mut self, state: ImageState) -> &mut usize {
        match state {
            ImageState::Queued => &mut self.queued,
            ImageState::Running => &mut self.running,
            ImageState::Patched => &mut self.patched,
            ImageState::Skipped => &mut self.skipped,
            ImageState::Failed => &mut self.failed,
            ImageState::Canceled => &mut self.canceled,
        }
    }
}

/// How one image stands, its scan and its patch taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageState {
    Queued,
    Running,
    Patched,
    Skipped,
    Failed,
    Canceled,
}

impl ImageState {
    pub(super) fn of(scan: &Run, patch: Option<&Run>) -> Self {
        match (scan.status, patch.map(|patch| patch.status)) {
            (Status::Queued, _) => Self::Queued,
            (Status::Running, _) | (_, Some(Status::Queued | Status::Running)) => Self::Running,
            (Status::Failed, _) | (_, Some(Status::Failed)) => Self::Failed,
            (Status::Canceled, _) | (_, Some(Status::Canceled)) => Self::Canceled,
            (Status::Succeeded, None) => Self::Skipped,
            (Status::Succeeded, Some(Status::Succeeded)) => {
                if patch.is_some_and(|patch| patch.published.is_some()) {
                    Self::Patched
                } else {
                    Self::Skipped
                }
            }
        }
    }
}
