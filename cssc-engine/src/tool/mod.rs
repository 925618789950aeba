//! Scanners and patchers as child processes, each behind a trait with one job.

mod access;
mod buildah;
mod capture;
mod command;
mod copa;
mod error;
mod image;
mod leftover;
mod options;
mod process;
mod trivy;
mod version;

use std::path::{Path, PathBuf};

use cssc_core::Tag;

pub use access::Access;
pub use buildah::Buildah;
pub use capture::Log;
pub use command::CommandPatcher;
pub use copa::Copa;
pub use error::ToolError;
pub use image::ImageRef;
pub use leftover::ProcessGroup;
pub use options::{DEFAULT_TIME_LIMIT, ToolOptions};
pub use process::Cancel;
pub use trivy::Trivy;
pub use version::Version;

/// Finds the vulnerabilities of an image.
pub trait Scanner: Send + Sync {
    /// The name of the tool, for messages: `trivy`.
    fn name(&self) -> &str;

    /// Checks, once, that the tool is there and new enough; its version when it tells one.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started, hangs, or is older than what is needed.
    fn check(&self, job: &Job<'_>) -> Result<Option<Version>, ToolError>;

    /// Scans `image` as it is in the registry and leaves a report in the job's folder.
    ///
    /// The exit code is handed on and decides nothing: a scanner may be set up to end with 1
    /// when it finds something, and may end with 0 after half a report. Whoever reads the
    /// report judges.
    ///
    /// # Errors
    ///
    /// Fails when the tool cannot be started, runs out of time, is canceled, or leaves no report.
    fn scan(&self, image: &ImageRef, job: &Job<'_>) -> Result<Scan, ToolError>;
}

/// Builds a patched image and pushes it.
pub trait Patcher: Send + Sync {
    /// The name of the tool, for messages: `copa`.
    fn name(&self) -> &str;

    /// Checks, once, that the tool is there and new enough; its version when it tells one.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started, hangs, or is older than what is needed.
    fn check(&self, job: &Job<'_>) -> Result<Option<Version>, ToolError>;

    /// Patches the original image and pushes the result as `target` into the same repository.
    ///
    /// That it ends well does not mean that there is a new image: Copa also ends well when
    /// there was nothing to do. Whoever asked looks whether the tag is there, and scans it.
    ///
    /// # Errors
    ///
    /// Fails when the tool cannot be started, runs out of time, is canceled, or says that it
    /// failed.
    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<Patched, ToolError>;
}

/// What a tool needs beside its input: where to work, where to speak to, when to stop.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// An existing folder of this run alone: reports, documents and credentials go there.
    pub folder: &'a Path,
    /// Takes the output of the tool, line by line, bounded and without secrets.
    pub log: &'a dyn Log,
    /// Ends the tool when it is set.
    pub cancel: &'a Cancel,
    /// How the registry is reached.
    pub access: &'a Access,
    /// Is told each process group that is started, so that one which outlives a crash of this
    /// program can be ended later.
    pub started: &'a (dyn Fn(ProcessGroup) + Sync),
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("folder", &self.folder)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What a scanner left.
#[derive(Debug)]
pub struct Scan {
    /// The report, in the job's folder.
    pub report: PathBuf,
    /// The exit code, or none when a signal ended the tool.
    pub exit_code: Option<i32>,
}

/// What is to be patched.
#[derive(Debug, Clone, Copy)]
pub struct PatchRequest<'a> {
    /// The original image, never a patch of it.
    pub original: &'a ImageRef,
    /// The scan report of the original.
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

/// What a patcher left beside the image.
#[derive(Debug, Default)]
pub struct Patched {
    /// What was fixed, as an OpenVEX document in the job's folder, if the tool writes one.
    pub vex: Option<PathBuf>,
}
