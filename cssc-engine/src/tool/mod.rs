//! Scanners and patchers as child processes, each behind a trait with one job.

mod buildah;
mod capture;
mod command;
mod copa;
mod descendants;
mod emulation;
mod end_command;
mod error;
mod image;
mod login;
pub(crate) mod mounts;
mod options;
mod output;
mod process;
mod process_group;
mod sign_command;
mod stop;
mod test_command;
mod trivy;
mod version;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use cssc_core::name::Platform;
use cssc_core::workflow::PatcherKind;
use cssc_core::{ScanReport, Tag};

use crate::relay::Login;

pub use buildah::Buildah;
pub use capture::Log;
pub(crate) use capture::is_plain;
pub use command::CommandPatcher;
pub use copa::Copa;
pub use end_command::EndCommand;
pub use error::{ToolError, ToolErrorKind};
pub use image::ImageRef;
pub use options::{DEFAULT_TIME_LIMIT, ToolOptions};
pub use process_group::ProcessGroup;
pub use sign_command::SignCommand;
pub use stop::StopToken;
pub use test_command::{TestCommand, TestRequest};
pub use trivy::Trivy;
pub use version::Version;

/// Finds the vulnerabilities of an image.
pub trait Scanner: Send + Sync {
    /// The name of the tool, for messages: `trivy`.
    fn name(&self) -> &str;

    /// Checks that the tool is there and new enough, as every use of it does until it has gone
    /// well once; its version when it tells one.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started, hangs, or is older than what is needed.
    fn check(&self, job: &Job<'_>) -> Result<Option<Version>, ToolError>;

    /// Makes ready for the scans of a cycle, so that all of them use the same database of
    /// vulnerabilities. Does nothing unless the scanner has something to make ready.
    ///
    /// # Errors
    ///
    /// Fails when that cannot be done; scans may be tried all the same.
    fn prepare(&self, job: &Job<'_>) -> Result<(), ToolError> {
        let _ = job;
        Ok(())
    }

    /// Ends what was made ready, when no scan follows for now. Does nothing unless the scanner has
    /// something to end.
    fn release(&self) {}

    /// Scans `image` as the relay has it and leaves a report in the job's folder.
    ///
    /// The report decides and not the exit code: a scanner may be set up to end with 1 when it
    /// finds something, and may end with 0 after half a report.
    ///
    /// # Errors
    ///
    /// Fails when the tool [cannot be used](Self::check), runs out of time, is interrupted, or
    /// leaves no report that can be read.
    fn scan(&self, image: &ImageRef, job: &Job<'_>) -> Result<Scan, ToolError>;

    /// When the database that it scans with was made, where it tells.
    ///
    /// # Errors
    ///
    /// Fails when the tool cannot be used.
    fn database(&self, job: &Job<'_>) -> Result<Option<DateTime<Utc>>, ToolError> {
        let _ = job;
        Ok(None)
    }

    /// Makes a list of what is in an image, as `CycloneDX` in JSON, of the report of its scan and
    /// leaves it in the job's folder; none where the scanner cannot.
    ///
    /// # Errors
    ///
    /// Fails when the tool cannot be used, or leaves no such list.
    fn sbom(&self, report: &Path, job: &Job<'_>) -> Result<Option<PathBuf>, ToolError> {
        let _ = (report, job);
        Ok(None)
    }
}

/// Builds a patched image and pushes it.
pub trait Patcher: Send + Sync {
    /// The name of the tool, for messages: `copa`.
    fn name(&self) -> &str;

    /// Checks that the tool is there and new enough, as every use of it does until it has gone
    /// well once; its version when it tells one.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started, hangs, or is older than what is needed.
    fn check(&self, job: &Job<'_>) -> Result<Option<Version>, ToolError>;

    /// Patches one platform of the original and pushes the result as `target` into the same
    /// repository of the relay.
    ///
    /// That it ends well does not mean that there is a new image: Copa also ends well when
    /// there was nothing to do. What was pushed decides, and its scan.
    ///
    /// # Errors
    ///
    /// Fails when the tool [cannot be used](Self::check), runs out of time, is interrupted, or
    /// says that it failed.
    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<(), ToolError>;

    /// Whether what the tool itself needs is there, as far as that can be told without a patch: a
    /// daemon it speaks to, in words; none where it needs nothing.
    ///
    /// # Errors
    ///
    /// Fails with why a patch would fail, and what to do about it.
    fn daemon(&self) -> Result<Option<String>, String> {
        Ok(None)
    }

    /// Whether programs of images for a platform can be run where it patches.
    ///
    /// # Errors
    ///
    /// Fails with why they cannot, and what to do about it.
    fn can_run(&self, platform: &Platform) -> Result<(), String> {
        let _ = platform;
        Ok(())
    }
}

/// The patchers that are at hand. A [`Patcher`] alone is the one for all workflows, whatever they
/// name.
pub trait Patchers: Send + Sync {
    /// The patcher that a workflow names.
    ///
    /// # Errors
    ///
    /// Fails when it is not at hand ([`ToolErrorKind::NotConfigured`]).
    fn get(&self, kind: PatcherKind) -> Result<&dyn Patcher, ToolError>;
}

impl<P: Patcher> Patchers for P {
    fn get(&self, _: PatcherKind) -> Result<&dyn Patcher, ToolError> {
        Ok(self)
    }
}

/// What a tool needs beside its input: where to work, where to speak to, when to stop.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// An existing folder of this run alone: reports, documents and credentials go there.
    pub folder: &'a Path,
    /// A folder that is kept for the workflow from one cycle to the next, for caches; without it
    /// they are in [`folder`](Self::folder).
    pub kept: Option<&'a Path>,
    /// Takes the output of the tool, line by line, bounded and without secrets.
    pub log: &'a dyn Log,
    /// Ends the tool when it says so.
    pub stop: &'a StopToken,
    /// The login to the relay, for what reads or pushes images: they are named as the relay has
    /// them, over plain HTTP.
    pub login: Option<&'a Login>,
    /// Is told each process group that is started, so that one which outlives a crash of this
    /// program can be ended later.
    pub started: &'a (dyn Fn(ProcessGroup) + Sync),
}

impl<'a> Job<'a> {
    /// A folder for `DOCKER_CONFIG` that holds the login to the relay, made in the job's folder.
    ///
    /// # Errors
    ///
    /// Fails when there is no login, or the folder cannot be written.
    pub fn docker_config(&self) -> Result<PathBuf, ToolError> {
        login::docker_config(self.login(Path::new("docker"))?, self.folder)
    }

    /// The login of a call that is given an image.
    fn login(&self, program: &Path) -> Result<&'a Login, ToolError> {
        self.login
            .ok_or_else(|| ToolError::cannot(program, "it was given no login to the relay"))
    }
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What a scanner found.
#[derive(Debug)]
pub struct Scan {
    /// The report, read.
    pub report: ScanReport,
    /// The report as the scanner wrote it, in the job's folder.
    pub path: PathBuf,
}

impl Scan {
    /// Reads the report that `tool` wrote.
    ///
    /// # Errors
    ///
    /// Fails when it is not there or is no report.
    pub fn read(tool: &Path, path: PathBuf) -> Result<Self, ToolError> {
        let file = File::open(&path).map_err(|error| ToolError::file("read", &path, error))?;
        let report = ScanReport::from_reader(BufReader::new(file))
            .map_err(|error| ToolError::bad_report(tool, &error))?;
        Ok(Self { report, path })
    }
}

/// What is to be patched.
#[derive(Debug, Clone, Copy)]
pub struct PatchRequest<'a> {
    /// What to patch, by its digest, never an index: the layers of the original for the platform,
    /// under a neutral configuration where the patcher [only adds
    /// layers](PatcherKind::only_adds_layers).
    pub original: &'a ImageRef,
    /// The platform.
    pub platform: &'a Platform,
    /// The scan report of the original's manifest for the platform.
    pub report: &'a Path,
    /// The tag to push to, in the repository of the original.
    pub target: &'a Tag,
}

impl PatchRequest<'_> {
    fn target(&self) -> ImageRef {
        ImageRef::new(
            self.original.registry().clone(),
            self.original.repository().clone(),
            self.target.clone(),
        )
    }
}
