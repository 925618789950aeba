//! Files that have the cycles run by an engine that exists.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::{Args, ValueEnum};
use cssc_engine::export::{Engine, Export as Exported, ExportError, ExportedFile, MARKER};
use cssc_engine::workflow;

use super::args::TypeArgs;
use crate::args::{RegistryArgs, parse_count};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::registry::Registry;

/// Generate the files with which an engine runs the stored workflow in shards
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The engine
    #[arg(value_name = "ENGINE")]
    engine: EngineArg,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    workflow_type: TypeArgs,
    /// How many workers share a cycle
    #[arg(long, value_name = "N", default_value = "4", value_parser = parse_count)]
    shards: NonZeroU32,
    /// The container image for the jobs, with cssc, trivy and the patcher; without it they must be
    /// installed on the machines
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// The label of the runners, for GitHub
    #[arg(long, value_name = "LABEL", default_value = "ubuntu-latest")]
    runner: String,
    /// The folder under which the files are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Also replace files that were not written by an export
    #[arg(long)]
    force: bool,
    /// Options of `cssc cycle run`, for every shard
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EngineArg {
    /// GitHub Actions
    Github,
    /// GitLab CI/CD
    Gitlab,
    /// A Kubernetes cron job
    Kubernetes,
    /// Argo Workflows
    Argo,
    /// Apache Airflow 3
    Airflow,
}

impl From<EngineArg> for Engine {
    fn from(arg: EngineArg) -> Self {
        match arg {
            EngineArg::Github => Self::Github,
            EngineArg::Gitlab => Self::Gitlab,
            EngineArg::Kubernetes => Self::Kubernetes,
            EngineArg::Argo => Self::Argo,
            EngineArg::Airflow => Self::Airflow,
        }
    }
}

impl Export {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.registry)?;
        let host = registry.host()?;
        let stored = workflow::require(registry.client())?;
        let export = Exported {
            registry: host.to_string(),
            schedule: stored.workflow.schedule(),
            shards: self.shards.get(),
            image: self.image.clone(),
            runner: self.runner.clone(),
            patcher: stored.workflow.settings().effective_patcher(),
            options: self.options.clone(),
            now: Utc::now(),
        };
        let files = export
            .files(self.engine.into())
            .map_err(|error| match error {
                ExportError::NoImage => Failure::new(format!("{error} (--image)")),
                error => Failure::new(format!("{error} (--shards)")),
            })?;
        // All or none.
        for file in &files {
            self.check(&self.out.join(file.path))?;
        }
        let mut out = output::stdout();
        for file in &files {
            let path = self.out.join(file.path);
            write(&path, file)?;
            writeln!(out, "{}", path.display())?;
        }
        out.flush()?;
        Ok(Answer::Yes)
    }

    /// Somebody's own file is not replaced.
    fn check(&self, path: &Path) -> Result<(), Failure> {
        match fs::read(path) {
            Ok(text) if !self.force => {
                let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
                if String::from_utf8_lossy(first).contains(MARKER) {
                    return Ok(());
                }
                Err(Failure::No(format!(
                    "`{}` was not written by an export: --force replaces it",
                    path.display()
                )))
            }
            _ => Ok(()),
        }
    }
}

fn write(path: &Path, file: &ExportedFile) -> Result<(), Failure> {
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, &file.text));
    written.map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))
}
