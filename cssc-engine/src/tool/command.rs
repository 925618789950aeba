//! Any program as the patcher.

use super::process::Call;
use super::{Job, PatchRequest, Patcher, ToolError, ToolOptions, Version};

/// Patches with a program of your own, which finds its task in its environment.
///
/// | variable | value |
/// |---|---|
/// | `CSSC_IMAGE` | the manifest of the original for the platform, `HOST/REPOSITORY@DIGEST` |
/// | `CSSC_DIGEST` | the digest of the original's manifest for the platform: what to patch |
/// | `CSSC_PLATFORM` | the platform, `linux/arm64/v8` |
/// | `CSSC_REPORT` | the file with the scan report of that manifest |
/// | `CSSC_TARGET` | what to push, `HOST/REPOSITORY:TAG` |
/// | `CSSC_REGISTRY`, `CSSC_REPOSITORY`, `CSSC_TAG`, `CSSC_TARGET_TAG` | the same in parts |
/// | `CSSC_FOLDER` | a folder for its files, removed with the run |
///
/// `HOST` is the relay, which speaks plain HTTP; `DOCKER_CONFIG` and `REGISTRY_AUTH_FILE` point to
/// its login, which reads this image and may push the target. What is pushed stays there until it
/// has passed the gate. Where it begins with the layers of the original, the further layers are
/// taken and the rest is the original's; otherwise it is taken as it is. The program must end with 0 when it has pushed the target or had nothing to do.
#[derive(Debug)]
pub struct CommandPatcher {
    options: ToolOptions,
}

impl CommandPatcher {
    /// The program of the options, with their extra arguments as its arguments.
    pub fn new(options: ToolOptions) -> Self {
        Self { options }
    }
}

impl Patcher for CommandPatcher {
    fn name(&self) -> &'static str {
        "command"
    }

    /// Nothing is known of the program, so nothing is checked.
    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<(), ToolError> {
        let original = request.original;
        let mut call = Call::new(&self.options.program, self.options.time_limit)
            .args(&self.options.extra)
            .env("CSSC_IMAGE", original.exact())
            .env("CSSC_REGISTRY", original.registry().as_str())
            .env("CSSC_REPOSITORY", original.repository().as_str())
            .env("CSSC_TAG", original.tag().as_str())
            .env("CSSC_REPORT", request.report)
            .env("CSSC_TARGET", request.target().by_tag())
            .env("CSSC_TARGET_TAG", request.target.as_str())
            .env("CSSC_PLATFORM", request.platform.to_string())
            .env("CSSC_FOLDER", job.folder)
            .at_relay(job)?;
        if let Some(digest) = original.digest() {
            call = call.env("CSSC_DIGEST", digest.as_str());
        }
        call.run(job)?.success()
    }
}
