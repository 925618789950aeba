//! A program of the user's that signs images.

use super::process::Call;
use super::{ImageRef, Job, ToolError, ToolOptions};

/// Signs a patched image before it has a tag, with a program that finds the image in its
/// environment: for example a script that calls `cosign sign --yes "$CSSC_IMAGE"`.
///
/// | variable | value |
/// |---|---|
/// | `CSSC_IMAGE` | the patched image or index, `HOST/REPOSITORY@DIGEST` |
/// | `CSSC_REPOSITORY`, `CSSC_TAG` | the repository, and the tag it is going to have |
/// | `CSSC_FOLDER` | a folder for its files, removed with the run |
///
/// It is the only program that speaks to the registry itself, where the image is by its digest. Its
/// environment is that of this process, with all credentials that are there. An image that is not
/// signed is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignCommand {
    options: ToolOptions,
}

impl SignCommand {
    /// The program of the options, with their extra arguments as its arguments.
    pub fn new(options: ToolOptions) -> Self {
        Self { options }
    }

    /// Signs an image, named by its digest.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started, is interrupted, runs out of time, or ends with
    /// another exit code than 0.
    pub fn sign(&self, image: &ImageRef, job: &Job<'_>) -> Result<(), ToolError> {
        Call::new(&self.options.program, self.options.time_limit)
            .args(&self.options.extra)
            .env("CSSC_IMAGE", image.exact())
            .env("CSSC_REPOSITORY", image.repository().as_str())
            .env("CSSC_TAG", image.tag().as_str())
            .env("CSSC_FOLDER", job.folder)
            .with_own_environment()
            .run(job)?
            .success()
    }
}
