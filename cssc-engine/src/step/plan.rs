//! Making the plan.

use std::time::{Duration, Instant};

use cssc_core::cycle::{
    CycleImage, ImageFilter, LeftOut, LeftOutReason, PinnedPolicy, PlanOutcome, PlanStep,
};
use cssc_core::plan::{Image, ImageLimit};
use cssc_core::tags::PatchTag;
use cssc_core::workflow::PatcherKind;
use cssc_core::{Plan, PlanOptions, Policy, Repository, Tag};
use cssc_registry::list_all;

use super::pin::{Row, pin};
use super::{StepContext, StepError};
use crate::doctor;

/// How often a listing that takes long says how far it has come.
const PROGRESS_PAUSE: Duration = Duration::from_secs(10);

pub(super) fn perform(
    step: &PlanStep,
    context: &StepContext<'_>,
) -> Result<PlanOutcome, StepError> {
    let workflow = context.policy.read()?;
    let policy: Policy = workflow.policy().parse().map_err(|error| {
        StepError::permanent(format!("the policy is not valid: {}", one_line(&error)))
    })?;
    let kind = step
        .patcher
        .unwrap_or(workflow.settings().effective_patcher());
    let patcher = step.patches.then_some(kind);
    if !step.for_others {
        check_tools(patcher, context)?;
    }
    let repositories = policy.enabled_repositories().into_iter();
    let repositories: Vec<Repository> = repositories
        .filter(|repository| step.takes_any_of(repository))
        .cloned()
        .collect();
    let mut told = Instant::now();
    let inventory = list_all(context.registry, &repositories, context.list, |progress| {
        if told.elapsed() >= PROGRESS_PAUSE {
            told = Instant::now();
            context.log.line(&progress.to_string());
        }
    });
    let options = PlanOptions {
        dialect: workflow.dialect(),
        limit: ImageLimit::NONE,
    };
    let plan = Plan::new(&policy, &inventory, &options);
    let mut left_out = what_is_left_out(&plan, step);
    check_unavailable(&left_out, step)?;
    let rows = plan.images().map(Row::from);
    let rows: Vec<Row> = rows
        .filter(|row| step.takes(&row.repository, row.tag.as_str()))
        .collect();
    left_out.extend(unknown_filters(&rows, &left_out, step));
    let platforms = step.platforms.clone();
    let platforms = platforms.or_else(|| workflow.settings().platforms.clone());
    let platforms = platforms.unwrap_or_default();
    let (images, not_pinned) = pin(&rows, &platforms, step.for_others, context);
    if let Some(interrupt) = context.stop.interrupt() {
        return Err(StepError::Interrupted(interrupt));
    }
    check_unavailable(&not_pinned, step)?;
    left_out.extend(not_pinned);
    for row in &left_out {
        let message = format!(
            "`{}:{}` is left out: {}",
            row.repository, row.tag, row.reason
        );
        context.log.line(&message);
    }
    tell_of_patches(&images, context);
    if let (Some(patcher), false) = (patcher, step.for_others) {
        doctor::warn(patcher, &images, context)?;
    }
    context.log.line(&format!("images: {}", images.len()));
    Ok(PlanOutcome {
        images,
        left_out,
        policy: Some(PinnedPolicy {
            digest: cssc_registry::digest::of(workflow.policy().as_bytes()),
            tag_convention: policy.tag_convention(),
        }),
        settings: workflow.settings().clone(),
    })
}

impl From<Image<'_>> for Row {
    fn from(image: Image<'_>) -> Self {
        Self {
            repository: image.repository().clone(),
            tag: image.tag().to_tag(),
            latest_patch: image.latest_patch().map(PatchTag::to_tag),
            patch_tag: image.patch_tag().ok().map(PatchTag::to_tag),
        }
    }
}

/// Fails for what cannot be read just now, unless it is to be left out. What is refused now is
/// refused later as well: nobody waits for that.
fn check_unavailable(left_out: &[LeftOut], step: &PlanStep) -> Result<(), StepError> {
    if step.leave_out_unavailable {
        return Ok(());
    }
    let reasons: Vec<String> = left_out
        .iter()
        .filter_map(|row| match &row.reason {
            LeftOutReason::Unavailable(error) if error.is_transient() => {
                Some(format!("`{}:{}`: {error}", row.repository, row.tag))
            }
            _ => None,
        })
        .collect();
    if reasons.is_empty() {
        return Ok(());
    }
    let message = format!("cannot read {}", reasons.join("; "));
    Err(StepError::transient(message))
}

/// Says which newest patches were not made from the originals as they are now.
fn tell_of_patches(images: &[CycleImage], context: &StepContext<'_>) {
    for image in images {
        let Some(patch) = &image.latest_patch else {
            continue;
        };
        let (repository, tag) = (&image.repository, &patch.tag);
        if patch.is_foreign {
            context.log.line(&format!(
                "warning: `{repository}:{tag}` does not say what it was made from: it may not be \
                 a patch of `{}`",
                image.tag
            ));
        }
        for platform in image.platforms.iter().filter(|one| one.has_moved()) {
            context.log.line(&format!(
                "`{repository}:{}` has moved since `{tag}` was made ({})",
                image.tag, platform.platform
            ));
        }
    }
}

/// Finds out that a tool is missing before an hour of scans, not after it, and makes the scanner
/// ready.
///
/// No patcher is named by who patches nothing.
pub(crate) fn check_tools(
    patcher: Option<PatcherKind>,
    context: &StepContext<'_>,
) -> Result<(), StepError> {
    let patcher = patcher.map(|kind| context.patchers.get(kind)).transpose()?;
    let scanner = context.call(|job| context.scanner.check(job))?;
    let patcher = patcher
        .map(|patcher| context.call(|job| patcher.check(job)))
        .transpose()?;
    for checked in [Some(scanner), patcher].into_iter().flatten() {
        match checked {
            Err(error) if error.is_unusable() || error.interrupt().is_some() => {
                return Err(error.into());
            }
            // It may well work when it is needed.
            Err(error) => context.log.line(&format!("warning: {error}")),
            Ok(_) => {}
        }
    }
    match context.call(|job| context.scanner.prepare(job))? {
        Err(error) if error.interrupt().is_some() => Err(error.into()),
        // Each scan tries for itself.
        Err(error) => {
            context.log.line(&format!("warning: {error}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Filters that take nothing which the policy selects.
fn unknown_filters(rows: &[Row], left_out: &[LeftOut], step: &PlanStep) -> Vec<LeftOut> {
    let is_known = |filter: &&ImageFilter| {
        let mut images = rows.iter();
        images.any(|row| filter.matches(&row.repository, row.tag.as_str()))
            || left_out
                .iter()
                .any(|row| row.repository == filter.repository)
    };
    let unknown = step.only.iter().filter(|filter| !is_known(filter));
    let rows = unknown.map(|filter| LeftOut {
        repository: filter.repository.clone(),
        tag: filter.tag.as_ref().map_or("*", Tag::as_str).to_owned(),
        reason: LeftOutReason::NotFound,
    });
    rows.collect()
}

fn what_is_left_out(plan: &Plan, step: &PlanStep) -> Vec<LeftOut> {
    let row = |repository: &Repository, tag: &str, reason| LeftOut {
        repository: repository.clone(),
        tag: tag.to_owned(),
        reason,
    };
    let skipped = plan.skipped().map(|skipped| {
        let reason = LeftOutReason::Skipped(skipped.reason);
        row(skipped.repository, skipped.tag.as_str(), reason)
    });
    let not_found = plan.not_found().map(|not_found| {
        let tag = not_found.selector.as_str();
        row(not_found.repository, tag, LeftOutReason::NotFound)
    });
    let unavailable = plan.unavailable().map(|unavailable| {
        let reason = LeftOutReason::Unavailable(unavailable.error.clone());
        row(unavailable.repository, "*", reason)
    });
    let rows = skipped.chain(not_found).chain(unavailable);
    rows.filter(|row| {
        step.only.is_empty()
            || step.takes(&row.repository, &row.tag)
            || matches!(row.reason, LeftOutReason::Unavailable(_))
                && step.takes_any_of(&row.repository)
    })
    .collect()
}

fn one_line(error: &impl ToString) -> String {
    error.to_string().lines().collect::<Vec<_>>().join("; ")
}
