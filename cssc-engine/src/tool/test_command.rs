//! A program of the user's that tries patched images.

use cssc_core::name::Platform;

use super::process::{Call, Ended};
use super::{ImageRef, Job, ToolError, ToolErrorKind, ToolOptions};

/// Tries a patched image before it is published, with a program that finds in its environment what
/// to try:
///
/// | variable | value |
/// |---|---|
/// | `CSSC_CANDIDATE` | the patched image, `HOST/REPOSITORY@DIGEST` |
/// | `CSSC_ORIGINAL` | the original's manifest for the platform, the same way |
/// | `CSSC_PLATFORM` | the platform, `linux/arm64/v8` |
/// | `CSSC_REPOSITORY`, `CSSC_TAG` | the repository, and the tag of the original |
/// | `CSSC_FOLDER` | a folder for its files, removed with the run |
///
/// `HOST` is the relay, which speaks plain HTTP; `DOCKER_CONFIG` and `REGISTRY_AUTH_FILE` point to
/// its login, which reads these two images and nothing else. The image is refused when the program ends with another exit code than 0, or
/// does not end within its time limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCommand {
    options: ToolOptions,
}

/// What is to be tried.
#[derive(Debug, Clone, Copy)]
pub struct TestRequest<'a> {
    /// The patched image, by its digest.
    pub candidate: &'a ImageRef,
    /// The original's manifest for the platform, by its digest.
    pub original: &'a ImageRef,
    /// The platform.
    pub platform: &'a Platform,
}

impl TestCommand {
    /// The program of the options, with their extra arguments as its arguments.
    pub fn new(options: ToolOptions) -> Self {
        Self { options }
    }

    /// Why the image is refused, if it is.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started, or is interrupted.
    pub fn test(
        &self,
        request: &TestRequest<'_>,
        job: &Job<'_>,
    ) -> Result<Option<String>, ToolError> {
        let candidate = request.candidate;
        let call = Call::new(&self.options.program, self.options.time_limit)
            .args(&self.options.extra)
            .env("CSSC_CANDIDATE", candidate.exact())
            .env("CSSC_ORIGINAL", request.original.exact())
            .env("CSSC_PLATFORM", request.platform.to_string())
            .env("CSSC_REPOSITORY", candidate.repository().as_str())
            .env("CSSC_TAG", request.original.tag().as_str())
            .env("CSSC_FOLDER", job.folder)
            .at_relay(job)?;
        match call.run(job).and_then(Ended::success) {
            Ok(()) => Ok(None),
            Err(error) => match error.kind() {
                ToolErrorKind::Failed | ToolErrorKind::TimedOut => Ok(Some(error.to_string())),
                _ => Err(error),
            },
        }
    }
}
