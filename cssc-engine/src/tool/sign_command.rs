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
/// | `CSSC_INSECURE` | `1` when the registry may be spoken to without TLS, else `0` |
/// | `CSSC_FOLDER` | a folder for its files, removed with the run |
///
/// With a login, `DOCKER_CONFIG` and `REGISTRY_AUTH_FILE` point to it; with a CA file,
/// `SSL_CERT_FILE` does. An image that is not signed is not published.
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
            .of_the_user(image.registry(), job)?
            .run(job)?
            .success()
    }
}
