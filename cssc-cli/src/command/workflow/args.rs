//! Arguments that several commands of a workflow share.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cssc_core::{CycleOptions, WORKFLOW_TYPE};
use cssc_engine::runner::RunnerSettings;
use cssc_engine::store::{Store, default_path};
use cssc_engine::tool::{Buildah, CommandPatcher, Copa, Patcher, Scanner, ToolOptions, Trivy};

use crate::args::parse_duration;
use crate::command::dry_run::Limit;
use crate::exit::Failure;

/// What `az` names a workflow by beside its registry. There is one type, and no resource group.
#[derive(Debug, Args)]
pub(crate) struct TypeArgs {
    /// The type of the workflow
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = WORKFLOW_TYPE, value_parser = [WORKFLOW_TYPE])]
    workflow_type: String,
    /// Taken, so that a command line written for `az` works; registries have no resource groups
    #[arg(short = 'g', long, value_name = "GROUP", hide = true)]
    resource_group: Option<String>,
}

/// Where runs and logs are kept.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// The file in which runs and logs are kept; by default one in the state folder of the user
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

impl StateArgs {
    pub(crate) fn open(&self) -> Result<Store, Failure> {
        let path = self.state.clone().or_else(default_path);
        let path = path.ok_or_else(|| Failure::new("there is no home folder: say --state FILE"))?;
        Ok(Store::open(path)?)
    }
}

/// What patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PatcherKind {
    /// Copa, which needs `BuildKit`
    Copa,
    /// Buildah, which upgrades with the package manager of the image
    Buildah,
    /// The program of --patch-command, which finds its task in its environment
    Command,
}

/// Which tools do the work, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tool options")]
pub(crate) struct ToolArgs {
    /// Trivy, which scans
    #[arg(long, value_name = "PROGRAM", default_value = "trivy")]
    trivy: PathBuf,
    /// One more argument for Trivy; may be given again
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    trivy_arg: Vec<String>,
    /// What patches
    #[arg(long, value_name = "PATCHER", default_value = "copa")]
    patcher: PatcherKind,
    /// Copa
    #[arg(long, value_name = "PROGRAM", default_value = "copa")]
    copa: PathBuf,
    /// The address of `BuildKit` for Copa: `tcp://127.0.0.1:8888`
    #[arg(long, value_name = "ADDRESS")]
    addr: Option<String>,
    /// Buildah
    #[arg(long, value_name = "PROGRAM", default_value = "buildah")]
    buildah: PathBuf,
    /// How Buildah isolates the upgrade: `oci`, `rootless`, `chroot`
    #[arg(long, value_name = "ISOLATION")]
    buildah_isolation: Option<String>,
    /// The program that patches, with --patcher command
    #[arg(long, value_name = "PROGRAM", required_if_eq("patcher", "command"))]
    patch_command: Option<PathBuf>,
    /// One more argument for the patcher; may be given again
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    patcher_arg: Vec<String>,
    /// How many images are scanned and patched side by side
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroU32,
    /// How often a step is tried before it has failed
    #[arg(long, value_name = "N", default_value = "3")]
    attempts: NonZeroU32,
    /// How long to wait before the next attempt
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pause: Duration,
    /// How long one scan or patch may take
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    step_limit: Duration,
    /// Publish every patched image, also one that fixes nothing
    #[arg(long)]
    no_verify: bool,
    /// Forget all but the newest runs, so many at least
    #[arg(long, value_name = "N")]
    keep_runs: Option<u32>,
}

/// The tools, ready to work.
pub(crate) struct Tools {
    pub(crate) scanner: Box<dyn Scanner>,
    pub(crate) patcher: Box<dyn Patcher>,
}

impl ToolArgs {
    pub(crate) fn tools(&self) -> Tools {
        let options = |program: &PathBuf, extra: &[String]| ToolOptions {
            extra: extra.to_vec(),
            time_limit: self.step_limit,
            ..ToolOptions::new(program)
        };
        let extra = &self.patcher_arg;
        let patcher: Box<dyn Patcher> = match (self.patcher, &self.patch_command) {
            (PatcherKind::Command, Some(program)) => {
                Box::new(CommandPatcher::new(options(program, extra)))
            }
            (PatcherKind::Buildah, _) => {
                let buildah = Buildah::new(options(&self.buildah, extra));
                Box::new(match &self.buildah_isolation {
                    Some(isolation) => buildah.isolation(isolation),
                    None => buildah,
                })
            }
            _ => {
                let copa = Copa::new(options(&self.copa, extra));
                Box::new(match &self.addr {
                    Some(address) => copa.address(address),
                    None => copa,
                })
            }
        };
        Tools {
            scanner: Box::new(Trivy::new(options(&self.trivy, &self.trivy_arg))),
            patcher,
        }
    }

    pub(crate) fn settings(&self, limit: Limit) -> RunnerSettings {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        RunnerSettings {
            cycle: CycleOptions {
                jobs: self.jobs,
                attempts: self.attempts,
                pause_seconds: seconds(self.pause),
                step_limit_seconds: seconds(self.step_limit),
                verify: !self.no_verify,
                limit: limit.get().and_then(|limit| u64::try_from(limit).ok()),
                ..CycleOptions::default()
            },
            keep_runs: self.keep_runs,
            ..RunnerSettings::default()
        }
    }
}
