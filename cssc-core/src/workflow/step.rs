//! What belongs to which step of a run.

use super::error::CycleError;
use super::event::{Outcome, Step};
use super::id::{RunId, Task};
use super::image::CycleImage;
use super::run::{Phase, Run};
use crate::convention::{Suffix, TagConvention};

/// The step that a run is at, in the caller's terms.
pub(super) fn step_of(run: &Run, scan_run: RunId) -> Option<Step> {
    let phase = &run.progress.as_ref()?.phase;
    if *phase == Phase::Plan {
        return Some(Step::Plan);
    }
    let image = run.image.as_ref()?;
    let repository = image.repository.clone();
    let scanned = image.effective_scan_tag().clone();
    let candidate = || run.candidate.clone();
    Some(match phase {
        Phase::Plan => Step::Plan,
        Phase::Scan => Step::Scan {
            repository,
            tag: scanned,
            original: image.tag.clone(),
        },
        Phase::Patch => Step::Patch {
            repository,
            original: image.tag.clone(),
            scanned,
            scan_run,
            candidate: candidate()?,
        },
        Phase::Verify { digest } => Step::Verify {
            repository,
            candidate: candidate()?,
            digest: digest.clone(),
            scanned,
            scan_run,
        },
        Phase::Publish { digest } => Step::Publish {
            repository,
            digest: digest.clone(),
            tag: image.patch_tag.clone()?,
            replace: may_replace(image),
        },
        Phase::Discard { .. } => Step::Discard {
            repository,
            candidate: candidate()?,
        },
    })
}

/// Only the floating tag moves; every other patch tag is written once.
fn may_replace(image: &CycleImage) -> bool {
    let suffix = image
        .patch_tag
        .as_ref()
        .and_then(|tag| Suffix::of(tag.as_ref()));
    suffix.is_some_and(|suffix| suffix.convention() == TagConvention::Floating)
}

pub(super) fn fits(phase: &Phase, outcome: &Outcome, image: Option<&CycleImage>) -> bool {
    match outcome {
        Outcome::Failed { .. } => true,
        Outcome::Planned { .. } => *phase == Phase::Plan,
        Outcome::Scanned { .. } => *phase == Phase::Scan,
        Outcome::Patched { .. } | Outcome::NothingMade => *phase == Phase::Patch,
        Outcome::Verified { .. } => matches!(phase, Phase::Verify { .. }),
        Outcome::Published => matches!(phase, Phase::Publish { .. }),
        Outcome::TagTaken => {
            matches!(phase, Phase::Publish { .. }) && !image.is_some_and(may_replace)
        }
        Outcome::Discarded => matches!(phase, Phase::Discard { .. }),
    }
}

pub(super) fn check_stored(run: &Run) -> Result<(), CycleError> {
    let id = run.id;
    let Some(progress) = &run.progress else {
        return if run.status.is_final() {
            Ok(())
        } else {
            Err(CycleError::stored(format!("the run `{id}` is at no step")))
        };
    };
    let fits = match (id.task(), &progress.phase) {
        (Task::Trigger, Phase::Plan) | (Task::Scan, Phase::Scan) | (Task::Patch, Phase::Patch) => {
            true
        }
        (Task::Patch, Phase::Plan | Phase::Scan) => false,
        (Task::Patch, _) => run.candidate.is_some(),
        _ => false,
    };
    let has_image = id.task() == Task::Trigger || run.image.is_some();
    let has_patch_tag = id.task() != Task::Patch
        || run
            .image
            .as_ref()
            .is_some_and(|image| image.patch_tag.is_some());
    if !run.status.is_final() && fits && has_image && has_patch_tag {
        Ok(())
    } else {
        Err(CycleError::stored(format!(
            "the run `{id}` cannot be at its step `{}`",
            progress.phase.name()
        )))
    }
}
