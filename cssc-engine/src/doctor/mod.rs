//! What a cycle needs, checked before it is needed.
//!
//! Nothing is left behind: the right to push is tried with an upload that is canceled, and the right
//! to delete with a manifest that does not exist.

mod check;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use cssc_core::cycle::{CycleImage, CycleOptions, ImageFilter, Until};
use cssc_core::name::{NameError, Platform};
use cssc_core::schedule::rfc3339;
use cssc_core::workflow::PatcherKind;
use cssc_core::{Listing, Plan, PlanOptions, Policy, Repository, Workflow};
use cssc_registry::{check_deletion, list_all};

use crate::policy_artifact::POLICY_REPOSITORY;
use crate::relay::Relay;
use crate::step::pin::{Row, pin};
use crate::step::{StepContext, StepError};
use crate::tool::{Patcher, Version};

pub use check::{Check, Health, Subject};

/// Checks what a cycle with these options needs for these images.
pub(crate) fn examine(
    context: &StepContext<'_>,
    options: &CycleOptions,
    only: &[ImageFilter],
    on_check: &mut dyn FnMut(Check),
) {
    let patches = options.until != Some(Until::Scan);
    let reached = reach(context);
    let is_there = reached.health == Health::Good;
    on_check(reached);
    let workflow = is_there.then(|| context.policy.read());
    let workflow = match workflow {
        Some(Ok(workflow)) => Some(workflow),
        Some(Err(error)) => {
            on_check(Check::new(Subject::Policy, Health::Bad, error.to_string()));
            None
        }
        None => None,
    };
    let images = workflow.as_ref().map_or_else(Vec::new, |workflow| {
        images(workflow, options, only, context, on_check)
    });
    if let (Some(image), true) = (images.first(), patches) {
        rights(&image.repository, context, on_check);
    }
    scanner(context, on_check);
    on_check(relay(context));
    if patches {
        let named = workflow.map(|workflow| workflow.settings().effective_patcher());
        let kind = options.settings.patcher.or(named);
        patcher(
            kind.unwrap_or_default(),
            &platforms(&images),
            context,
            on_check,
        );
    }
}

fn reach(context: &StepContext<'_>) -> Check {
    let host = context.host;
    let listing = match POLICY_REPOSITORY.parse::<Repository>() {
        Ok(repository) => context.registry.list_tags(&repository),
        Err(error) => return Check::new(Subject::Registry, Health::Bad, error.to_string()),
    };
    match listing {
        Listing::Unavailable(error) => {
            Check::new(Subject::Registry, Health::Bad, error.to_string())
        }
        _ => Check::new(Subject::Registry, Health::Good, format!("`{host}` answers")),
    }
}

/// One image of each repository that the policy selects, read.
fn images(
    workflow: &Workflow,
    options: &CycleOptions,
    only: &[ImageFilter],
    context: &StepContext<'_>,
    on_check: &mut dyn FnMut(Check),
) -> Vec<CycleImage> {
    let policy: Policy = match workflow.policy().parse() {
        Ok(policy) => policy,
        Err(error) => {
            on_check(Check::new(Subject::Policy, Health::Bad, error.to_string()));
            return Vec::new();
        }
    };
    let repositories: Vec<Repository> =
        policy.enabled_repositories().into_iter().cloned().collect();
    let inventory = list_all(context.registry, &repositories, context.list, |_| {});
    let plan_options = PlanOptions {
        dialect: workflow.dialect(),
        limit: (options.settings.limit).unwrap_or(workflow.settings().effective_limit()),
    };
    let plan = Plan::new(&policy, &inventory, &plan_options);
    on_check(selected(&plan));
    let mut seen = BTreeSet::new();
    let first = plan
        .images()
        .map(Row::from)
        .filter(|row| ImageFilter::take(only, &row.repository, row.tag.as_str()))
        .filter(|row| seen.insert(row.repository.clone()));
    let rows: Vec<Row> = first.collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let settings = options.settings.clone().or(workflow.settings());
    let platforms = settings.platforms.unwrap_or_default();
    let (images, not_pinned) = pin(&rows, &platforms, false, context);
    let count = images.len();
    let unread = not_pinned.first().map_or(Ok(count), |row| {
        Err(format!("`{}:{}`: {}", row.repository, row.tag, row.reason))
    });
    let good = |count| format!("an image of each repository can be read, {count} in all");
    // What is no image is left out, and the others are patched.
    let otherwise = if images.is_empty() {
        Health::Bad
    } else {
        Health::Doubtful
    };
    on_check(Check::of(Subject::Pull, unread, good, otherwise));
    images
}

/// What the policy selects.
fn selected(plan: &Plan) -> Check {
    let check = |health, text| Check::new(Subject::Policy, health, text);
    if let Some(unavailable) = plan.unavailable().next() {
        let text = format!(
            "cannot list `{}`: {}",
            unavailable.repository, unavailable.error
        );
        return check(Health::Bad, text);
    }
    if let Err(exceeded) = plan.check_limit() {
        return check(Health::Bad, exceeded.to_string());
    }
    let not_found = plan.not_found().count();
    let health = match (plan.matches(), not_found) {
        (1.., 0) => Health::Good,
        _ => Health::Doubtful,
    };
    let mut text = format!("images selected: {}", plan.matches());
    if not_found > 0 {
        text = format!("{text}; entries that name nothing in the registry: {not_found}");
    }
    check(health, text)
}

/// What the account may do in a repository, and what the registry can.
fn rights(repository: &Repository, context: &StepContext<'_>, on_check: &mut dyn FnMut(Check)) {
    let client = context.registry;
    let pushed = client.check_push(repository);
    let good = |()| format!("`{repository}` is writable");
    on_check(Check::of(Subject::Push, pushed, good, Health::Bad));
    on_check(deletion(context));
    on_check(match client.has_referrers_api(repository) {
        Ok(true) => Check::new(
            Subject::Referrers,
            Health::Good,
            "the registry supports the referrers API",
        ),
        Ok(false) => Check::new(
            Subject::Referrers,
            Health::Doubtful,
            "the registry does not support the referrers API: nothing is attached to patched \
             images by default",
        ),
        Err(error) => Check::new(Subject::Referrers, Health::Doubtful, error.to_string()),
    });
}

/// Cycles delete nothing but their own records.
fn deletion(context: &StepContext<'_>) -> Check {
    let asked = POLICY_REPOSITORY
        .parse()
        .map_err(|error: NameError| error.to_string())
        .and_then(|repository| {
            check_deletion(context.registry, &repository).map_err(|error| error.to_string())
        })
        .map_err(|error| format!("{error}: old records and a stored policy cannot be removed"));
    let good = |()| "old records and a stored policy can be removed".to_owned();
    Check::of(Subject::Delete, asked, good, Health::Doubtful)
}

fn scanner(context: &StepContext<'_>, on_check: &mut dyn FnMut(Check)) {
    let scanner = context.scanner;
    let version = context.with_tool(|job| scanner.check(job));
    let can_scan = version.is_ok();
    let good = |version| with_version(scanner.name(), version);
    on_check(Check::of(Subject::Scanner, version, good, Health::Bad));
    if can_scan {
        let made = context
            .with_tool(|job| scanner.prepare(job))
            .and_then(|()| context.with_tool(|job| scanner.database(job)));
        let good = |made: Option<DateTime<Utc>>| match made {
            Some(made) => format!("made at {}", rfc3339(made)),
            None => "ready".to_owned(),
        };
        on_check(Check::of(Subject::Database, made, good, Health::Doubtful));
    }
}

fn relay(context: &StepContext<'_>) -> Check {
    let good = |relay: &Relay| {
        format!(
            "images are served to the tools at `{}`; whether a `BuildKit` elsewhere reaches that, \
             only a patch shows",
            relay.authority()
        )
    };
    Check::of(Subject::Relay, context.relay(), good, Health::Bad)
}

fn patcher(
    kind: PatcherKind,
    platforms: &BTreeSet<Platform>,
    context: &StepContext<'_>,
    on_check: &mut dyn FnMut(Check),
) {
    let patcher = match context.patchers.get(kind) {
        Ok(patcher) => patcher,
        Err(error) => {
            return on_check(Check::new(Subject::Patcher, Health::Bad, error.to_string()));
        }
    };
    let version = context.with_tool(|job| patcher.check(job));
    let can_patch = version.is_ok();
    let good = |version| with_version(patcher.name(), version);
    on_check(Check::of(Subject::Patcher, version, good, Health::Bad));
    if can_patch {
        surroundings(patcher, platforms, on_check);
    }
}

/// What the patcher itself needs.
fn surroundings(
    patcher: &dyn Patcher,
    platforms: &BTreeSet<Platform>,
    on_check: &mut dyn FnMut(Check),
) {
    match patcher.daemon() {
        Ok(None) => {}
        Ok(Some(text)) => on_check(Check::new(Subject::Daemon, Health::Good, text)),
        Err(why) => on_check(Check::new(Subject::Daemon, Health::Bad, why)),
    }
    let missing: Vec<String> = platforms
        .iter()
        .filter_map(|platform| patcher.can_run(platform).err())
        .collect();
    if !missing.is_empty() {
        on_check(Check::new(
            Subject::Emulation,
            Health::Doubtful,
            missing.join("; "),
        ));
    } else if !platforms.is_empty() {
        let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        let text = format!("images for {} can be patched here", names.join(", "));
        on_check(Check::new(Subject::Emulation, Health::Good, text));
    }
}

/// Warns in the log of a cycle of what will keep its patches from being made, which is no reason not
/// to begin.
pub(crate) fn warn(
    kind: PatcherKind,
    images: &[CycleImage],
    context: &StepContext<'_>,
) -> Result<(), StepError> {
    if images.is_empty() {
        return Ok(());
    }
    let mut warn = |check: Check| {
        if check.health > Health::Good {
            let (subject, text) = (check.subject.as_str(), check.text);
            context.log.line(&format!("warning: {subject}: {text}"));
        }
    };
    surroundings(context.patchers.get(kind)?, &platforms(images), &mut warn);
    Ok(())
}

fn platforms(images: &[CycleImage]) -> BTreeSet<Platform> {
    let all = images.iter().flat_map(|image| &image.platforms);
    all.map(|one| one.platform.clone()).collect()
}

fn with_version(name: &str, version: Option<Version>) -> String {
    match version {
        Some(version) => format!("{name} {version}"),
        None => format!("{name}, which tells no version"),
    }
}
