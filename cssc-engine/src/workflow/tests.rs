//! Workflows in a tree of layouts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cssc_core::plan::ImageLimit;
use cssc_core::workflow::{PatcherKind, WorkflowSettings, WorkflowUpdate};
use cssc_core::{Dialect, Interval, Inventory, Plan, PlanOptions, Workflow};
use cssc_registry::LayoutRegistry;

use super::*;
use crate::policy_artifact::PolicyDeletion;
use crate::state::MemoryState;

const POLICY: &str =
    r#"{"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}"#;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn plan(limit: ImageLimit) -> Plan {
    let tags = cssc_core::tags::TagSet::new(["3.11", "3.12"]).unwrap();
    let inventory: Inventory = [("python".parse().unwrap(), cssc_core::Listing::Found(tags))]
        .into_iter()
        .collect();
    let dialect = Dialect::Service;
    Plan::new(
        &POLICY.parse().unwrap(),
        &inventory,
        &PlanOptions { dialect, limit },
    )
}

fn workflow() -> Workflow {
    let created = at("2024-01-03T09:30:00.7Z");
    Workflow::new(POLICY, "7d".parse().unwrap(), Dialect::Service, created)
}

fn settings() -> WorkflowSettings {
    let mut settings = WorkflowSettings::default();
    settings.limit = Some(ImageLimit::NONE);
    settings.patcher = Some(PatcherKind::Buildah);
    settings.platforms = Some("linux/amd64,linux/arm/v7".parse().unwrap());
    settings
}

fn kind<T: std::fmt::Debug>(result: Result<T, WorkflowError>) -> WorkflowErrorKind {
    result.unwrap_err().kind()
}

/// A registry with a policy that has these annotations.
fn registry(annotations: &[(&str, &str)]) -> (tempfile::TempDir, LayoutRegistry) {
    let folder = tempfile::tempdir().unwrap();
    let client = LayoutRegistry::open(folder.path()).unwrap();
    let annotations: BTreeMap<_, _> = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    PolicyArtifact::push(&client, POLICY.as_bytes(), &annotations).unwrap();
    (folder, client)
}

#[test]
fn created_changed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let client = LayoutRegistry::open(folder.path()).unwrap();
    let store = MemoryState::default();
    let later = at("2024-01-04T09:31:00Z");
    assert_eq!(read(&client).unwrap(), None);
    let daily = WorkflowUpdate {
        schedule: Some(Interval::MIN),
        ..WorkflowUpdate::default()
    };
    let missing = update(&client, daily.clone(), None, later);
    assert_eq!(kind(missing), WorkflowErrorKind::Absent);
    let one = plan(ImageLimit::at_most(1));
    let error = create(&client, &workflow(), &one, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the policy selects 2 images and a workflow may run 1: narrow the policy or raise the \
         limit"
    );
    let any = plan(ImageLimit::NONE);
    let made = create(&client, &workflow().with_settings(settings()), &any, false).unwrap();
    assert_eq!(read(&client).unwrap().as_ref(), Some(&made));
    assert_eq!(made.workflow.created(), at("2024-01-03T09:30:00Z"));
    assert_eq!(*made.workflow.settings(), settings());
    let again = create(&client, &workflow(), &any, true);
    assert_eq!(kind(again), WorkflowErrorKind::Exists);
    let nothing = update(&client, WorkflowUpdate::default(), None, later);
    assert_eq!(kind(nothing), WorkflowErrorKind::NothingToUpdate);
    update(&client, daily, None, later).unwrap();
    let mut copa = WorkflowUpdate::default();
    copa.settings.patcher = Some(PatcherKind::Copa);
    update(&client, copa, None, later).unwrap();
    let changed = read(&client).unwrap().unwrap().workflow;
    assert_eq!(
        (changed.interval(), changed.created(), changed.modified()),
        (Interval::MIN, made.workflow.created(), later)
    );
    assert_eq!(changed.settings().limit, Some(ImageLimit::NONE));
    assert_eq!(changed.settings().patcher, Some(PatcherKind::Copa));
    let deleted = delete(&client, &store, "layout:x", false, later).unwrap();
    assert_eq!(deleted.policy, Some(PolicyDeletion::Deleted));
    let gone = delete(&client, &store, "layout:x", false, later);
    assert_eq!(kind(gone), WorkflowErrorKind::Absent);
}

#[test]
fn a_policy_of_others_is_left_alone_until_it_is_taken_over() {
    let any = plan(ImageLimit::NONE);
    let (_folder, client) = registry(&[("org.opencontainers.image.created", "2024")]);
    let now = at("2024-01-03T09:30:00Z");
    assert_eq!(kind(read(&client)), WorkflowErrorKind::NoSchedule);
    let refused = create(&client, &workflow(), &any, false);
    assert_eq!(kind(refused), WorkflowErrorKind::Foreign);
    let store = MemoryState::default();
    let refused = delete(&client, &store, "layout:x", false, now);
    assert_eq!(kind(refused), WorkflowErrorKind::Foreign);
    create(&client, &workflow(), &any, true).unwrap();
    assert!(check_ours(&client, false).is_ok());

    // One that this program pushed is none of somebody else.
    let (_folder, client) = registry(&[("dev.cssc.version", "1")]);
    assert_eq!(kind(read(&client)), WorkflowErrorKind::NoSchedule);
    create(&client, &workflow(), &any, false).unwrap();
}

#[test]
fn what_is_stored_and_not_understood_is_refused() {
    let any = plan(ImageLimit::NONE);
    let valid = [
        ("dev.cssc.schedule", "7d"),
        ("dev.cssc.created", "2024-01-03T09:30:00Z"),
    ];
    for (key, value, why) in [
        ("dev.cssc.schedule", "7w", "`7w` is not a valid schedule"),
        (
            "dev.cssc.max-images",
            "many",
            "`dev.cssc.max-images` is `many`: expected a number of images, or `none`",
        ),
        (
            "dev.cssc.patcher",
            "/bin/sh",
            "`dev.cssc.patcher` is `/bin/sh`: expected `copa`, `buildah` or `command`",
        ),
        ("dev.cssc.attempts", "0", "`dev.cssc.attempts` is `0`: "),
        (
            "dev.cssc.patcher-program",
            "/bin/sh",
            "it has the option `dev.cssc.patcher-program`, which is not known",
        ),
        (
            "dev.cssc.version",
            "2",
            "its version is `2`, and this program knows version 1",
        ),
    ] {
        let (_folder, client) = registry(&[&valid[..], &[(key, value)]].concat());
        let error = read(&client).unwrap_err();
        assert_eq!(error.kind(), WorkflowErrorKind::Invalid);
        let error = error.to_string();
        assert!(error.starts_with("the stored workflow cannot be used: "));
        assert!(error.contains(why), "{error}");
        let error = RegistryPolicy(&client).read().unwrap_err();
        assert!(!error.is_transient() && !error.is_absent);
        create(&client, &workflow(), &any, false).unwrap();
    }
}
