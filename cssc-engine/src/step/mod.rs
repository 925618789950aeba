//! Performs the steps of a cycle: one file per step.
//!
//! A step carries all it needs, and the context says what it is performed with. Nothing here
//! knows a state, a cycle or a schedule: whoever performs a step reports its outcome to the cycle
//! that issued it.

pub(crate) mod attachments;
mod attest;
pub(crate) mod content;
mod copy;
pub(crate) mod origin;
mod patch;
pub(crate) mod pin;
pub(crate) mod plan;
mod publish;
mod scan;
mod sign;
pub(crate) mod statement;
mod test;
mod verify;

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use cssc_core::cycle::{FailureCode, Interrupt, Step, StepFailure, StepOutcome};
use cssc_core::{Digest, Registry, Repository, Tag};
use cssc_registry::{Image, ListOptions, Manifest, Reference, RegistryClient, RegistryError};

pub use self::publish::publish;

use self::content::{ContentError, MAX_CONFIG_LEN};
use crate::image::UnusableImage;
use crate::policy_source::{PolicyReadError, PolicySource};
use crate::relay::{Login, Relay, RelayError, RelayFailure, RelayOnDemand};
use crate::reports::Reports;
use crate::tool::{
    ImageRef, Job, Log, Patchers, ProcessGroup, Scanner, SignCommand, StopToken, TestCommand,
    ToolError,
};

/// What a step is performed with.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// The registry.
    pub registry: &'a dyn RegistryClient,
    /// How people name the registry.
    pub host: &'a Registry,
    /// Where the policy is read from.
    pub policy: &'a dyn PolicySource,
    /// What scans.
    pub scanner: &'a dyn Scanner,
    /// What patches: one patcher, or those that a workflow may name.
    pub patchers: &'a dyn Patchers,
    /// What tries patched images, in cycles that have them tried.
    pub test: Option<&'a TestCommand>,
    /// What signs images before they have a tag.
    pub sign: Option<&'a SignCommand>,
    /// What tools read images from and push them to.
    pub relay: &'a RelayOnDemand,
    /// Reports of earlier steps.
    pub reports: &'a Reports,
    /// A folder for this run alone; it is made when it is needed.
    pub folder: &'a Path,
    /// A folder for caches that is kept for the workflow.
    pub kept: &'a Path,
    /// Takes what is said about the step, line by line.
    pub log: &'a dyn Log,
    /// Ends the step when it says so.
    pub stop: &'a StopToken,
    /// How repositories are listed.
    pub list: &'a ListOptions,
}

impl std::fmt::Debug for StepContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepContext")
            .field("host", self.host)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Performs a step. What goes wrong is an outcome like any other.
pub fn perform(step: &Step, context: &StepContext<'_>) -> StepOutcome {
    let outcome = match step {
        Step::Plan(step) => plan::perform(step, context).map(Into::into),
        Step::Scan(step) => scan::perform(step, context).map(Into::into),
        Step::Patch(step) => patch::perform(step, context).map(Into::into),
        Step::Verify(step) => verify::perform(step, context).map(Into::into),
        Step::Test(step) => test::perform(step, context).map(Into::into),
        Step::Copy(step) => copy::perform(step, context).map(Into::into),
        Step::Attest(step) => attest::perform(step, context).map(Into::into),
        Step::Sign(step) => sign::perform(step, context).map(Into::into),
        Step::Publish(step) => publish::perform(step, context).map(Into::into),
        step => Err(StepError::permanent(format!(
            "this version does not know the step `{}`",
            step.kind()
        ))),
    };
    let kind = step.kind();
    outcome.unwrap_or_else(|error| {
        // Whatever a tool says that was ended: it was not the tool that failed.
        match (error, context.stop.interrupt()) {
            (StepError::Interrupted(interrupt), _) | (_, Some(interrupt)) => {
                context.log.line(&format!("{kind} was ended: {interrupt}"));
                interrupt.into()
            }
            (StepError::Failed(failure), None) => {
                context.log.line(&format!("{kind} failed: {failure}"));
                failure.into()
            }
        }
    })
}

/// Why a step was not done.
#[derive(Debug)]
pub(crate) enum StepError {
    Failed(StepFailure),
    Interrupted(Interrupt),
}

impl std::fmt::Display for StepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Interrupted(interrupt) => interrupt.fmt(f),
        }
    }
}

impl StepError {
    fn transient(message: impl Into<String>) -> Self {
        Self::Failed(StepFailure::transient(message))
    }

    fn permanent(message: impl Into<String>) -> Self {
        Self::Failed(StepFailure::permanent(message))
    }

    /// A candidate is gone with the files of the relay.
    fn lost(candidate: &Digest) -> Self {
        let message = format!("the candidate `{candidate}` is not in the relay any more");
        Self::Failed(StepFailure::lost(message))
    }

    fn of(message: String, is_transient: bool) -> Self {
        if is_transient {
            Self::transient(message)
        } else {
            Self::permanent(message)
        }
    }
}

impl From<RegistryError> for StepError {
    fn from(error: RegistryError) -> Self {
        Self::of(error.to_string(), error.is_retryable())
    }
}

impl From<ToolError> for StepError {
    fn from(error: ToolError) -> Self {
        match error.interrupt() {
            Some(interrupt) => Self::Interrupted(interrupt),
            None => Self::of(error.to_string(), error.is_retryable()),
        }
    }
}

impl From<RelayError> for StepError {
    fn from(error: RelayError) -> Self {
        Self::transient(error.to_string())
    }
}

impl From<UnusableImage> for StepError {
    fn from(error: UnusableImage) -> Self {
        Self::permanent(format!("not a usable container image: {error}"))
    }
}

impl From<PolicyReadError> for StepError {
    fn from(error: PolicyReadError) -> Self {
        Self::of(error.message.clone(), error.is_transient())
    }
}

impl StepContext<'_> {
    fn image(&self, repository: &Repository, tag: &Tag, digest: &Digest) -> ImageRef {
        ImageRef::new(self.host.clone(), repository.clone(), tag.clone())
            .with_digest(digest.clone())
    }

    /// How people name an image of the registry: `HOST/REPOSITORY:TAG`.
    fn name(&self, repository: &Repository, tag: &Tag) -> String {
        ImageRef::new(self.host.clone(), repository.clone(), tag.clone()).by_tag()
    }

    /// When the database that the scanner uses was made, where it tells.
    fn database(&self) -> Result<Option<DateTime<Utc>>, StepError> {
        self.with_tool(|job| self.scanner.database(job))
    }

    fn make_folder(&self) -> Result<(), StepError> {
        fs::create_dir_all(self.folder).map_err(|error| {
            StepError::transient(format!(
                "cannot make the folder `{}`: {error}",
                self.folder.display()
            ))
        })
    }

    /// The relay, which is started when it is needed first.
    pub(crate) fn relay(&self) -> Result<&Relay, StepError> {
        self.relay.get().map_err(|error| {
            StepError::permanent(format!("cannot serve the relay for the tools: {error}"))
        })
    }

    /// A manifest that was made here or is in the registry.
    fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Manifest, StepError> {
        if let Some(manifest) = self.relay()?.manifest(digest) {
            return Ok(manifest);
        }
        let reference = Reference::Digest(digest.clone());
        Ok(self.registry.get_manifest(repository, &reference)?)
    }

    /// The manifest of a candidate: in the relay or, after it was copied, in the registry.
    fn candidate(&self, repository: &Repository, digest: &Digest) -> Result<Manifest, StepError> {
        if let Some(manifest) = self.relay()?.manifest(digest) {
            return Ok(manifest);
        }
        let reference = Reference::Digest(digest.clone());
        match self.registry.get_manifest(repository, &reference) {
            Err(error) if error.is_absent() => Err(StepError::lost(digest)),
            manifest => Ok(manifest?),
        }
    }

    /// The configuration that a manifest names.
    fn config_of(
        &self,
        repository: &Repository,
        manifest: &Manifest,
    ) -> Result<Vec<u8>, StepError> {
        let image =
            Image::read(manifest).map_err(|what| ContentError::NotAnImage(what.to_string()))?;
        let Image::Manifest(image) = image else {
            let what = "an index, not the manifest of a platform";
            return Err(ContentError::NotAnImage(what.to_owned()).into());
        };
        if let Some(file) = self.relay()?.blob_file(&image.config().digest) {
            return fs::read(&file).map_err(|error| {
                StepError::transient(format!("cannot read `{}`: {error}", file.display()))
            });
        }
        Ok(self
            .registry
            .get_blob(repository, image.config(), MAX_CONFIG_LEN)
            .map_err(RegistryError::lost)?)
    }

    /// A text in which images are named as the registry has them, instead of the relay.
    fn in_names_of_the_registry(&self, text: &str) -> String {
        match self.relay.started() {
            None => text.to_owned(),
            Some(relay) => {
                let (relay, host) = (relay.authority(), self.host.as_str());
                let encoded = |text: &str| text.replace(':', "%3A").replace('/', "%2F");
                text.replace(relay, host)
                    .replace(&encoded(relay), &encoded(host))
            }
        }
    }

    /// A document that is going to be attached, unless it names the relay.
    fn without_relay(&self, document: String) -> Result<String, StepError> {
        if self.in_names_of_the_registry(&document) == document {
            return Ok(document);
        }
        debug_assert!(false, "a document names the relay: {document}");
        let message = "a defect of this program: what is to be attached names the relay";
        Err(StepError::permanent(message))
    }

    /// Does something with tools that are given images: with a login to the relay which reads these
    /// manifests, and what they name, for as long as that takes.
    fn with_login<T>(
        &self,
        repository: &Repository,
        readable: &[Manifest],
        work: impl FnOnce(&Login, &Job<'_>) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        self.with(&self.relay()?.login(repository, readable), work)
    }

    fn with<T>(
        &self,
        login: &Login,
        work: impl FnOnce(&Login, &Job<'_>) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let log = RenamingLog(self);
        let done = self.call_with(Some(login), &log, |job| work(login, job))?;
        done.map_err(|error| match error {
            StepError::Failed(failure) => StepError::Failed(self.explained(&failure, login)),
            interrupted @ StepError::Interrupted(_) => interrupted,
        })
    }

    /// A failure of a tool, with what the relay knows of it.
    fn explained(&self, failure: &StepFailure, login: &Login) -> StepFailure {
        let message = self.in_names_of_the_registry(&failure.message);
        let failure = StepFailure {
            message,
            ..failure.clone()
        };
        if let Some(cause) = login.failure() {
            let message = format!("{cause}; {}", failure.message);
            return match cause {
                RelayFailure::Full { .. } => {
                    StepFailure::permanent(message).with_code(FailureCode::RelayFull)
                }
                RelayFailure::Registry(error) if !error.is_retryable() => {
                    StepFailure::permanent(message)
                }
                _ => StepFailure::transient(message),
            };
        }
        if login.blob_requests() == 0 && is_about_a_connection(&failure.message) {
            let message = format!(
                "{}; the relay at `{}` was not asked for a single layer: BuildKit must reach that \
                 address, so start it beside this program in the same network, or give an address \
                 of this machine that it reaches (`--relay ADDRESS`)",
                failure.message,
                login.authority()
            );
            return StepFailure { message, ..failure }.with_code(FailureCode::RelayNotReached);
        }
        failure
    }

    /// Calls a tool. The process groups that it starts are noted in the folder of the run, so that
    /// those which outlive a crash of this program can be ended by the next.
    pub(crate) fn with_tool<T>(
        &self,
        call: impl FnOnce(&Job<'_>) -> Result<T, ToolError>,
    ) -> Result<T, StepError> {
        Ok(self.call(call)??)
    }

    /// Calls a tool; what the tool failed with is not yet a failure of the step.
    fn call<T>(&self, call: impl FnOnce(&Job<'_>) -> T) -> Result<T, StepError> {
        self.call_with(None, self.log, call)
    }

    fn call_with<T>(
        &self,
        login: Option<&Login>,
        log: &dyn Log,
        call: impl FnOnce(&Job<'_>) -> T,
    ) -> Result<T, StepError> {
        self.make_folder()?;
        let note = self.folder.join(ProcessGroup::NOTE);
        let started = |group: ProcessGroup| {
            // Without the note a tool that outlives a crash runs on for a while; that is no
            // reason not to start it.
            if let Ok(text) = serde_json::to_vec(&group) {
                let _ = fs::write(&note, text);
            }
        };
        Ok(call(&Job {
            folder: self.folder,
            kept: Some(self.kept),
            log,
            stop: self.stop,
            login,
            started: &started,
        }))
    }
}

/// Whether a failure of a tool is about a connection that could not be made.
fn is_about_a_connection(message: &str) -> bool {
    const SIGNS: [&str; 6] = [
        "dial tcp",
        "connection refused",
        "no route to host",
        "network is unreachable",
        "i/o timeout",
        "deadline exceeded",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// The log of a step, in which images are named as the registry has them.
struct RenamingLog<'a>(&'a StepContext<'a>);

impl Log for RenamingLog<'_> {
    fn line(&self, line: &str) {
        self.0.log.line(&self.0.in_names_of_the_registry(line));
    }

    fn idle(&self) {
        self.0.log.idle();
    }
}

/// How a tool names an image that its login can read.
fn relayed(login: &Login, tag: &Tag, digest: &Digest) -> Result<ImageRef, StepError> {
    let host: Registry = login.authority().parse().map_err(|error| {
        StepError::permanent(format!("`{}` names no host: {error}", login.authority()))
    })?;
    Ok(ImageRef::new(host, login.repository().clone(), tag.clone()).with_digest(digest.clone()))
}
