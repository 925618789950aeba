//! How a workflow is written down: as annotations of its policy's manifest.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use cssc_core::schedule::rfc3339;
use cssc_core::workflow::WorkflowSettings;
use cssc_core::{Dialect, Workflow};
use cssc_registry::RegistryClient;

use super::WorkflowError;
use crate::policy_artifact::PolicyArtifact;

/// What the annotations of a workflow begin with.
const PREFIX: &str = "dev.cssc.";
/// What the annotations mean; a later meaning gets a later number.
const VERSION: &str = "dev.cssc.version";
const VERSION_1: &str = "1";
const SCHEDULE: &str = "dev.cssc.schedule";
const CREATED: &str = "dev.cssc.created";
const MODIFIED: &str = "dev.cssc.modified";
const DIALECT: &str = "dev.cssc.dialect";
const MAX_IMAGES: &str = "dev.cssc.max-images";
const PATCHER: &str = "dev.cssc.patcher";
const ATTEMPTS: &str = "dev.cssc.attempts";
const PLATFORMS: &str = "dev.cssc.platforms";
const RECORD: &str = "dev.cssc.record";

/// All that is known. Whoever may push to the repository of policies must not choose what a
/// runner executes, so that no program, argument or address will ever be among them.
const KNOWN: [&str; 10] = [
    VERSION, SCHEDULE, CREATED, MODIFIED, DIALECT, MAX_IMAGES, PATCHER, ATTEMPTS, PLATFORMS, RECORD,
];

/// How much is shown of what somebody else stored.
const MAX_SHOWN: usize = 64;

type Annotations = BTreeMap<String, String>;

/// Whether this program stored what has these annotations.
fn is_ours(annotations: &Annotations) -> bool {
    annotations.keys().any(|key| key.starts_with(PREFIX))
}

/// Checks that the stored policy, if there is one, may be replaced or deleted: this program
/// stored it, or `take_over` says so.
///
/// # Errors
///
/// Fails when another client stored it ([`WorkflowErrorKind::Foreign`]), and when the registry
/// does not say.
///
/// [`WorkflowErrorKind::Foreign`]: super::WorkflowErrorKind::Foreign
pub fn check_ours(client: &dyn RegistryClient, take_over: bool) -> Result<(), WorkflowError> {
    match PolicyArtifact::annotations(client)? {
        Some(annotations) if !take_over && !is_ours(&annotations) => Err(WorkflowError::foreign()),
        _ => Ok(()),
    }
}

/// Adds to the annotations of a policy that this program stores it.
pub fn mark_as_ours(annotations: &mut Annotations) {
    annotations.insert(VERSION.to_owned(), VERSION_1.to_owned());
}

/// The annotations of a workflow.
pub(super) fn encode(workflow: &Workflow) -> Annotations {
    let settings = workflow.settings();
    let annotations = [
        (VERSION, Some(VERSION_1.to_owned())),
        (SCHEDULE, Some(workflow.interval().to_string())),
        (CREATED, Some(rfc3339(workflow.created()))),
        (MODIFIED, Some(rfc3339(workflow.modified()))),
        (DIALECT, Some(workflow.dialect().to_string())),
        (MAX_IMAGES, settings.limit.map(|limit| limit.to_string())),
        (PATCHER, settings.patcher.map(|kind| kind.to_string())),
        (ATTEMPTS, settings.attempts.map(|number| number.to_string())),
        (
            PLATFORMS,
            settings.platforms.as_ref().map(ToString::to_string),
        ),
        (RECORD, settings.record.map(|is_kept| is_kept.to_string())),
    ];
    let annotations = annotations.into_iter();
    annotations
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}

/// The workflow with this policy and these annotations.
pub(super) fn decode(policy: String, annotations: &Annotations) -> Result<Workflow, WorkflowError> {
    let (Some(schedule), Some(created)) = (annotations.get(SCHEDULE), annotations.get(CREATED))
    else {
        return Err(WorkflowError::no_schedule());
    };
    check_known(annotations)?;
    let schedule = value(SCHEDULE, schedule)?;
    let created = value(CREATED, created)?;
    let dialect: Option<Dialect> = optional(annotations, DIALECT)?;
    let mut settings = WorkflowSettings::default();
    settings.limit = optional(annotations, MAX_IMAGES)?;
    settings.patcher = optional(annotations, PATCHER)?;
    settings.attempts = optional(annotations, ATTEMPTS)?;
    settings.platforms = optional(annotations, PLATFORMS)?;
    settings.record = optional(annotations, RECORD)?;
    let workflow = Workflow::new(policy, schedule, dialect.unwrap_or_default(), created)
        .with_settings(settings);
    Ok(match optional(annotations, MODIFIED)? {
        Some(modified) => workflow.modified_at(modified),
        None => workflow,
    })
}

fn optional<T>(annotations: &Annotations, key: &str) -> Result<Option<T>, WorkflowError>
where
    T: FromStr<Err: Display>,
{
    let found = annotations.get(key);
    found.map(|text| value(key, text)).transpose()
}

fn value<T: FromStr<Err: Display>>(key: &str, text: &str) -> Result<T, WorkflowError> {
    text.parse().map_err(|error| {
        let text = shown(text);
        WorkflowError::invalid(&format_args!("`{key}` is `{text}`: {error}"))
    })
}

/// Refuses what this program does not know: it might change what is run.
fn check_known(annotations: &Annotations) -> Result<(), WorkflowError> {
    match annotations.get(VERSION).map(String::as_str) {
        None | Some(VERSION_1) => {}
        Some(other) => {
            return Err(WorkflowError::invalid(&format_args!(
                "its version is `{}`, and this program knows version {VERSION_1}",
                shown(other)
            )));
        }
    }
    let mut ours = annotations.keys().filter(|key| key.starts_with(PREFIX));
    match ours.find(|key| !KNOWN.contains(&key.as_str())) {
        Some(key) => Err(WorkflowError::invalid(&format_args!(
            "it has the option `{}`, which is not known",
            shown(key)
        ))),
        None => Ok(()),
    }
}

fn shown(text: &str) -> String {
    text.escape_debug().take(MAX_SHOWN).collect()
}
