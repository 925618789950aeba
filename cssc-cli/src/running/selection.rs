//! What a cycle takes, and how far it goes.

use chrono::Utc;
use clap::{Args, ValueEnum};
use cssc_core::cycle::{ImageFilter, Until};
use cssc_core::{Dialect, Interval, Workflow};
use cssc_engine::policy_source::{PolicyReadError, PolicySource};
use cssc_engine::runner::RunnerSettings;
use cssc_engine::workflow::RegistryPolicy;

use crate::args::{LintArgs, dialects};
use crate::exit::Failure;
use crate::registry::Registry;
use crate::source::PolicyFile;

/// What a cycle takes, and how far it goes.
#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    /// Read the policy from this file instead of the stored workflow, which need not exist; `-` is
    /// standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PolicyFile>,
    /// Which reading of the rules to follow if the policy comes from a file
    #[arg(
        long,
        value_name = "DIALECT",
        requires = "config",
        value_parser = dialects(),
        default_value_t
    )]
    dialect: Dialect,
    /// Restrict the cycle to these of the selected images: a repository, or one image of it; can be
    /// repeated
    #[arg(long, value_name = "REPOSITORY[:TAG]")]
    only: Vec<ImageFilter>,
    /// Stop early: `scan` writes nothing to the registry, `verify` discards the patched images once
    /// they are verified
    #[arg(long, value_name = "STEP")]
    until: Option<UntilArg>,
    #[command(flatten)]
    lints: LintArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum UntilArg {
    /// After the scans: nothing is written to the registry
    Scan,
    /// After verifying the patched images: no patch tag is written
    Verify,
}

impl SelectionArgs {
    /// Tells a runner which images to take and where to stop.
    pub(crate) fn apply(&self, settings: &mut RunnerSettings) {
        settings.only.clone_from(&self.only);
        settings.cycle.until = self.until.map(|until| match until {
            UntilArg::Scan => Until::Scan,
            UntilArg::Verify => Until::Verify,
        });
    }

    /// Where the policy comes from: the file, or else the workflow that is stored.
    pub(crate) fn policy<'a>(
        &self,
        registry: &'a Registry,
    ) -> Result<Box<dyn PolicySource + 'a>, Failure> {
        let Some(file) = &self.config else {
            return Ok(Box::new(RegistryPolicy(registry.client())));
        };
        let policy = file.load(&self.lints.lints())?;
        // It runs now, so its schedule decides nothing.
        let workflow = Workflow::new(policy.to_json(), Interval::MIN, self.dialect, Utc::now());
        Ok(Box::new(move || -> Result<Workflow, PolicyReadError> {
            Ok(workflow.clone())
        }))
    }
}
