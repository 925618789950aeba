//! Copa as the patcher.

use std::fs;

use super::process::Call;
use super::version::VersionCheck;
use super::{Job, PatchRequest, Patched, Patcher, ToolError, ToolOptions, Version};

/// The first version that knows `--push`.
const NEEDED: Version = Version(0, 11, 0);
const OPTION: &str = "--copa";

/// Patches with [Copa](https://project-copacetic.github.io/copacetic/), which needs `BuildKit`.
///
/// Copa takes the tag alone and pushes to the repository of the original. It ends with 0 when
/// it has patched and also when there was nothing to patch, in which case it pushes nothing.
/// It is `BuildKit` that pulls and pushes: whether a registry may be spoken to without TLS is
/// set up there.
#[derive(Debug)]
pub struct Copa {
    options: ToolOptions,
    address: Option<String>,
    version: VersionCheck,
}

impl Copa {
    /// Copa with these options; `BuildKit` is looked for as Copa does by itself.
    pub fn new(options: ToolOptions) -> Self {
        Self {
            options,
            address: None,
            version: VersionCheck::default(),
        }
    }

    /// Uses the `BuildKit` at this address: `tcp://127.0.0.1:8888`, `docker-container://buildkitd`.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }
}

impl Default for Copa {
    /// `copa` from `PATH`.
    fn default() -> Self {
        Self::new(ToolOptions::new("copa"))
    }
}

impl Patcher for Copa {
    fn name(&self) -> &'static str {
        "copa"
    }

    fn check(&self, job: &Job<'_>) -> Result<Option<Version>, ToolError> {
        let program = &self.options.program;
        self.version.check(program, OPTION, NEEDED, job)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<Patched, ToolError> {
        let vex = job.folder.join(format!("vex-{}.json", request.target));
        let _ = fs::remove_file(&vex);
        let options = &self.options;
        let mut call = Call::new(&options.program, options.time_limit)
            .args(["patch", "-i", &request.original.by_tag_and_digest(), "-r"])
            .arg(request.report)
            .args(["-t", request.target.as_str()])
            // Its own limit is five minutes, or fifteen, unless told.
            .args([
                "--timeout",
                &format!("{}s", options.time_limit.as_secs().max(1)),
            ])
            .args(["--push", "--format", "openvex", "--output"])
            .arg(&vex);
        if let Some(address) = &self.address {
            call = call.args(["--addr", address]);
        }
        if let Some(config) = (job.access).docker_config(request.original.registry(), job.folder)? {
            call = call.env("DOCKER_CONFIG", config);
        }
        call.args(&options.extra).run(OPTION, job)?.success()?;
        Ok(Patched {
            vex: vex.is_file().then_some(vex),
        })
    }
}
