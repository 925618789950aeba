//! The tools that scan and patch, as the arguments name them.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use cssc_core::cycle::{Attach, CycleOptions};
use cssc_core::scan::ConfigKey;
use cssc_core::workflow::{PatcherKind, WorkflowSettings};
use cssc_engine::relay::ToolingImages;
use cssc_engine::runner::RunnerSettings;
use cssc_engine::tool::{
    Buildah, CommandPatcher, Copa, Patcher, Patchers, SignCommand, TestCommand, ToolError,
    ToolOptions, Trivy,
};
use cssc_registry::ListOptions;

use super::relay::RelayArgs;
use crate::args::{RegistryArgs, parse_count, parse_duration};

fn patchers() -> impl TypedValueParser<Value = PatcherKind> {
    PossibleValuesParser::new([
        PossibleValue::new(PatcherKind::Copa.as_str()).help("Copa, which needs BuildKit"),
        PossibleValue::new(PatcherKind::Buildah.as_str())
            .help("Buildah, which upgrades with the package manager of the image"),
        PossibleValue::new(PatcherKind::Command.as_str())
            .help("The program of --patch-command, which finds its task in its environment"),
    ])
    .try_map(|text| text.parse::<PatcherKind>())
}

/// Which tools do the work, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tool options")]
pub(crate) struct ToolArgs {
    /// Trivy, which scans
    #[arg(long, value_name = "PROGRAM", default_value = "trivy")]
    trivy: PathBuf,
    /// An additional argument for Trivy; can be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    trivy_arg: Vec<String>,
    /// The patcher; by default that of the stored workflow, or else Copa
    #[arg(long, value_name = "PATCHER", value_parser = patchers())]
    patcher: Option<PatcherKind>,
    /// Copa
    #[arg(long, value_name = "PROGRAM", default_value = "copa")]
    copa: PathBuf,
    /// The address of BuildKit for Copa: `tcp://127.0.0.1:8888`
    #[arg(long, value_name = "ADDRESS")]
    addr: Option<String>,
    /// Buildah
    #[arg(long, value_name = "PROGRAM", default_value = "buildah")]
    buildah: PathBuf,
    /// How Buildah isolates the upgrade: `oci`, `rootless`, `chroot`
    #[arg(long, value_name = "ISOLATION")]
    buildah_isolation: Option<String>,
    /// The program that patches if the patcher is `command`
    #[arg(long, value_name = "PROGRAM")]
    patch_command: Option<PathBuf>,
    /// An additional argument for the patcher; can be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    patcher_arg: Vec<String>,
    /// How many images are scanned and patched in parallel
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    jobs: NonZeroU32,
    /// How often a step is tried before it fails; by default that of the stored workflow, or else 3
    #[arg(long, value_name = "N", value_parser = parse_count)]
    attempts: Option<NonZeroU32>,
    /// The pause before the next attempt
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pause: Duration,
    /// The time limit for a scan or patch
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    step_limit: Duration,
    /// Publish every patched image that is still the same image, even if it fixes nothing
    #[arg(long)]
    no_verify: bool,
    /// A program that tests each patched image before it is published; it finds the image in its
    /// environment, and exits with 0 if the image is acceptable
    #[arg(long, value_name = "PROGRAM")]
    test_command: Option<PathBuf>,
    /// The time limit for a test
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration, requires = "test_command")]
    test_limit: Duration,
    /// A program that signs each patched image before it is tagged; it finds the image, by digest,
    /// in its environment
    #[arg(long, value_name = "PROGRAM")]
    sign_command: Option<PathBuf>,
    /// Whether to attach VEX, provenance, scans and an SBOM to patched images
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = AttachArg::Auto)]
    attach: AttachArg,
    /// What a patch command that exchanges layers may change of the configuration: `label:NAME`,
    /// `env:NAME`, with a `*` at the end for all that begin so; can be repeated
    #[arg(long, value_name = "KEY")]
    allow_config: Vec<ConfigKey>,
    #[command(flatten)]
    relay: RelayArgs,
    /// Replace a floating patch tag even if nothing records what it was made from
    #[arg(long)]
    adopt: bool,
}

/// The tools, ready to work; those of the default names for whoever only plans.
#[derive(Default)]
pub(crate) struct Tools {
    pub(crate) scanner: Trivy,
    copa: Copa,
    buildah: Buildah,
    command: Option<CommandPatcher>,
    /// Where Copa's own images are.
    pub(crate) tooling: Option<Arc<dyn ToolingImages>>,
}

impl Patchers for Tools {
    fn get(&self, kind: PatcherKind) -> Result<&dyn Patcher, ToolError> {
        match (kind, &self.command) {
            (PatcherKind::Copa, _) => Ok(&self.copa),
            (PatcherKind::Buildah, _) => Ok(&self.buildah),
            (PatcherKind::Command, Some(command)) => Ok(command),
            (kind, _) => Err(ToolError::not_configured(kind)),
        }
    }
}

/// When to attach something to patched images.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum AttachArg {
    /// If the registry supports the referrers API
    Auto,
    /// To any registry, falling back to tags named `sha256-…`
    Always,
    /// Not at all
    Never,
}

impl From<AttachArg> for Attach {
    fn from(arg: AttachArg) -> Self {
        match arg {
            AttachArg::Auto => Self::Auto,
            AttachArg::Always => Self::Always,
            AttachArg::Never => Self::Never,
        }
    }
}

impl ToolArgs {
    /// What is kept with a workflow when it is created or changed, and takes precedence
    /// over that otherwise.
    pub(crate) fn workflow_settings(&self) -> WorkflowSettings {
        let mut settings = WorkflowSettings::default();
        settings.patcher = self.patcher;
        settings.attempts = self.attempts;
        settings
    }

    pub(crate) fn runner_settings(
        &self,
        settings: WorkflowSettings,
        list: ListOptions,
    ) -> RunnerSettings {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        RunnerSettings {
            cycle: CycleOptions {
                jobs: self.jobs,
                pause_seconds: seconds(self.pause),
                step_limit_seconds: seconds(self.step_limit),
                verify: !self.no_verify,
                adopt: self.adopt,
                allow_config: self.allow_config.clone(),
                attach: self.attach.into(),
                settings,
                ..CycleOptions::default()
            },
            test: self.test(),
            sign: self.sign(),
            relay: self.relay.options(),
            list,
            ..RunnerSettings::default()
        }
    }

    fn sign(&self) -> Option<SignCommand> {
        let program = self.sign_command.as_ref()?;
        Some(SignCommand::new(ToolOptions {
            time_limit: self.step_limit,
            ..ToolOptions::new(program)
        }))
    }

    fn test(&self) -> Option<TestCommand> {
        self.test_command.as_ref().map(|program| {
            TestCommand::new(ToolOptions {
                time_limit: self.test_limit,
                ..ToolOptions::new(program)
            })
        })
    }

    /// The tools; images of their own are asked for as the registry is.
    pub(crate) fn tools(&self, registry: &RegistryArgs) -> Tools {
        let options = |program: &PathBuf, extra: &[String]| ToolOptions {
            extra: extra.to_vec(),
            time_limit: self.step_limit,
            ..ToolOptions::new(program)
        };
        let patcher = |program| options(program, &self.patcher_arg);
        let copa = Copa::new(patcher(&self.copa));
        let buildah = Buildah::new(patcher(&self.buildah));
        Tools {
            scanner: Trivy::new(options(&self.trivy, &self.trivy_arg)),
            copa: match &self.addr {
                Some(address) => copa.address(address),
                None => copa,
            },
            buildah: match &self.buildah_isolation {
                Some(isolation) => buildah.isolation(isolation),
                None => buildah,
            },
            command: self
                .patch_command
                .as_ref()
                .map(|program| CommandPatcher::new(patcher(program))),
            tooling: Some(self.relay.tooling(registry.oci_options())),
        }
    }
}
