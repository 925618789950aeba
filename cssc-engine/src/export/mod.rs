//! Files that have the cycles of a workflow run by an engine that exists.
//!
//! What they run is `cssc cycle plan`, `run` and `finish`; the engine brings the schedule, the
//! machines, the secrets, and the way from one job to the next.

use chrono::{DateTime, Datelike as _, Utc};
use cssc_core::schedule::rfc3339;
use cssc_core::workflow::PatcherKind;
use cssc_core::{Dialect, Schedule};

/// What every written file says in its first line: one that says something else is somebody's own.
pub const MARKER: &str = "Written by `cssc workflow export`, which replaces this file.";

const UPLOAD: &str = "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2";
const DOWNLOAD: &str =
    "actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093 # v4.3.0";

/// The image of `BuildKit` that an engine starts: the version that Copa is tested with.
const BUILDKIT: &str = "moby/buildkit:v0.28.1";
/// Where it listens. The worker beside it has the same network, so that it reaches the relay.
const BUILDKIT_ADDRESS: &str = "tcp://127.0.0.1:1234";

/// An engine that can run cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// GitHub Actions
    Github,
    /// GitLab CI/CD
    Gitlab,
    /// A `CronJob` of Kubernetes
    Kubernetes,
    /// Argo Workflows
    Argo,
    /// Apache Airflow 3
    Airflow,
}

impl Engine {
    /// The most shards that it can run.
    pub fn max_shards(self) -> u32 {
        match self {
            Self::Github => 256,
            Self::Gitlab => 200,
            Self::Kubernetes | Self::Argo | Self::Airflow => 1000,
        }
    }
}

/// What is exported.
#[derive(Debug, Clone)]
pub struct Export {
    /// The registry, as it is named on the command line.
    pub registry: String,
    /// When the cycles run.
    pub schedule: Schedule,
    /// How many workers there are.
    pub shards: u32,
    /// The container image that the jobs run in; the tools must be on the machines without it.
    /// Kubernetes and Argo need one.
    pub image: Option<String>,
    /// The label of GitHub's runners.
    pub runner: String,
    /// What patches. For Copa a `BuildKit` is started beside each worker where the engine can; in the
    /// jobs of GitLab, and those of GitHub that run in an image, Buildah patches instead.
    pub patcher: PatcherKind,
    /// Options of `cssc cycle run`. What they say of the patcher (`--patcher`, `--addr`) goes first.
    pub options: Vec<String>,
    /// When it is exported: from then on the schedule must hold.
    pub now: DateTime<Utc>,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedFile {
    /// Where it belongs, below the root of the project.
    pub path: &'static str,
    /// What is in it.
    pub text: String,
}

/// How the workers of an export come by their patcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patching {
    /// Copa, with a `BuildKit` that is started in the network of the worker.
    WithBuildKitBeside,
    /// Buildah: nothing can be started beside the worker.
    WithBuildah,
    /// As the options and the machines have it.
    AsTold,
}

/// Why an export makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The engine cannot run so many.
    #[error("it can run {most} shards at most")]
    TooManyShards {
        /// How many it can run.
        most: u32,
    },
    /// The engine runs containers, and nothing says which.
    #[error("it runs containers: name the image with cssc, trivy and the patcher")]
    NoImage,
}

impl Export {
    /// The files for an engine.
    ///
    /// # Errors
    ///
    /// Fails for more shards than the engine can run, and without an image where it needs one.
    pub fn files(&self, engine: Engine) -> Result<Vec<ExportedFile>, ExportError> {
        let most = engine.max_shards();
        if self.shards > most {
            return Err(ExportError::TooManyShards { most });
        }
        if self.image.is_none() && matches!(engine, Engine::Kubernetes | Engine::Argo) {
            return Err(ExportError::NoImage);
        }
        let file = |path, template: &str| ExportedFile {
            path,
            text: self.fill(engine, template),
        };
        Ok(match engine {
            Engine::Github => vec![file(
                ".github/workflows/cssc.yml",
                include_str!("github.yml"),
            )],
            Engine::Gitlab => vec![
                file(".gitlab-ci.yml", include_str!("gitlab.yml")),
                file(".gitlab/cssc.yml", include_str!("gitlab-cycle.yml")),
            ],
            Engine::Kubernetes => vec![file("cssc-cronjob.yaml", include_str!("kubernetes.yaml"))],
            Engine::Argo => vec![file("cssc-cronworkflow.yaml", include_str!("argo.yaml"))],
            Engine::Airflow => vec![file("dags/cssc.py", include_str!("airflow.py"))],
        })
    }

    /// Whether cron says the schedule exactly, from the export on. Otherwise the engine starts every
    /// day and a guard tells whether a run is due.
    pub fn is_cron_exact(&self) -> bool {
        self.schedule.dialect() == Dialect::Service
            || self.schedule.dialect_difference(self.now).is_none()
    }

    /// The cron expression that the engine gets.
    pub fn cron(&self) -> String {
        let cron = self.schedule.cron();
        if self.is_cron_exact() {
            return cron;
        }
        let mut fields = cron.split(' ');
        let (minute, hour) = (fields.next(), fields.next());
        format!(
            "{} {} * * *",
            minute.unwrap_or_default(),
            hour.unwrap_or_default()
        )
    }

    /// What a worker needs to patch, as far as the options do not say it.
    fn patching(&self, engine: Engine) -> Patching {
        let is_said = |name: &str| {
            let mut options = self.options.iter();
            options.any(|option| {
                let rest = option.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            })
        };
        if self.patcher != PatcherKind::Copa || is_said("--patcher") || is_said("--addr") {
            return Patching::AsTold;
        }
        match engine {
            Engine::Gitlab => Patching::WithBuildah,
            Engine::Github if self.image.is_some() => Patching::WithBuildah,
            Engine::Github | Engine::Kubernetes | Engine::Argo => Patching::WithBuildKitBeside,
            Engine::Airflow => Patching::AsTold,
        }
    }

    fn fill(&self, engine: Engine, template: &str) -> String {
        let cron = self.cron();
        let image = self.image.as_deref().unwrap_or_default();
        let host: String = self
            .registry
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let patching = self.patching(engine);
        let own: &[&str] = match patching {
            Patching::WithBuildah => &["--patcher", "buildah", "--buildah-isolation", "chroot"],
            Patching::WithBuildKitBeside => &["--addr", BUILDKIT_ADDRESS],
            Patching::AsTold => &[],
        };
        let options = own
            .iter()
            .copied()
            .chain(self.options.iter().map(String::as_str));
        let options = options.map(|option| format!(" {}", shell(option)));
        let buildkit = |template: &str| match patching {
            Patching::WithBuildKitBeside => template
                .replace("@BUILDKIT@", BUILDKIT)
                .replace("@ADDRESS@", BUILDKIT_ADDRESS),
            Patching::WithBuildah | Patching::AsTold => String::new(),
        };
        let created = self.schedule.created();
        let values = [
            ("MARKER", MARKER.to_owned()),
            ("REGISTRY", self.registry.clone()),
            ("REGISTRY_YAML", quoted(&self.registry)),
            ("GROUP", quoted(&format!("cssc-{host}"))),
            ("SCHEDULE", self.in_words()),
            ("CRON", quoted(&cron)),
            ("CRON_TEXT", cron),
            ("SHARDS", self.shards.to_string()),
            ("RUNNER", quoted(&self.runner)),
            ("GITHUB_IMAGE", if_any(image, "\n  IMAGE: &image @")),
            ("CONTAINER", if_any(image, "\n    container: *image")),
            ("GITLAB_IMAGE", if_any(image, "\ndefault:\n  image: @\n")),
            ("IMAGE_YAML", quoted(image)),
            ("OPTIONS", options.collect()),
            (
                "GITHUB_BUILDKIT",
                buildkit(include_str!("github-buildkit.yml")),
            ),
            (
                "KUBERNETES_BUILDKIT",
                buildkit(include_str!("kubernetes-buildkit.yaml")),
            ),
            (
                "ARGO_BUILDKIT",
                buildkit(include_str!("argo-buildkit.yaml")),
            ),
            ("DUE", self.guard(engine)),
            (
                "START",
                format!("{}, {}, {}", created.year(), created.month(), created.day()),
            ),
            ("UPLOAD", UPLOAD.to_owned()),
            ("DOWNLOAD", DOWNLOAD.to_owned()),
        ];
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        // One pass: what a value holds is never taken for a name.
        while let Some((before, after)) = rest.split_once('@') {
            filled.push_str(before);
            let known = after.split_once('@').and_then(|(name, after)| {
                let (_, value) = values.iter().find(|(known, _)| *known == name)?;
                Some((value, after))
            });
            if let Some((value, after)) = known {
                filled.push_str(value);
                rest = after;
            } else {
                filled.push('@');
                rest = after;
            }
        }
        filled.push_str(rest);
        filled
    }

    fn in_words(&self) -> String {
        let interval = self.schedule.interval();
        let next = self.schedule.next_after(self.now);
        let next = next.map(rfc3339);
        let next = next.unwrap_or_default();
        let by = if self.is_cron_exact() {
            "in UTC"
        } else {
            "every day, and on these days a run is due, which `cssc schedule due` tells"
        };
        format!("{interval}, the next run {next}: {by}.")
    }

    /// The lines that end a start on a day without a run, as they stand in the script; none where
    /// cron says it all.
    fn guard(&self, engine: Engine) -> String {
        if self.is_cron_exact() {
            return String::new();
        }
        let due = format!(
            "cssc schedule due {} --created {} --dialect {}",
            self.schedule.interval(),
            rfc3339(self.schedule.created()),
            self.schedule.dialect(),
        );
        let (indent, condition, at, not_due) = match engine {
            Engine::Github => (
                10,
                r#"[ "$GITHUB_EVENT_NAME" = schedule ]"#,
                "",
                r#"echo "plan={}" >>"$GITHUB_OUTPUT"; exit 0"#,
            ),
            Engine::Gitlab => (
                6,
                r#"[ "$STARTED_BY" = schedule ]"#,
                "",
                "touch not-due; exit 0",
            ),
            Engine::Kubernetes => (20, "true", "", r#"touch "$cycle/not-due"; exit 0"#),
            Engine::Argo => (
                14,
                "true",
                r#" --at "{{workflow.scheduledTime}}""#,
                "touch /cycle/not-due; exit 0",
            ),
            Engine::Airflow => (
                0,
                r#"[ -n "$AT" ]"#,
                r#" --at "$AT""#,
                r#"touch "$FOLDER/not-due"; exit 99"#,
            ),
        };
        [
            format!("if {condition}; then"),
            "  code=0".to_owned(),
            format!("  {due}{at} || code=$?"),
            format!(r#"  if [ "$code" = 1 ]; then {not_due}; fi"#),
            r#"  if [ "$code" != 0 ]; then exit "$code"; fi"#.to_owned(),
            "fi".to_owned(),
        ]
        .map(|line| format!("{:indent$}{line}\n", ""))
        .concat()
    }
}

/// A scalar in double quotes, as YAML, JSON and Python have it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A word of a shell.
fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Text that holds a scalar in place of `@`, where there is one.
fn if_any(scalar: &str, text: &str) -> String {
    match scalar {
        "" => String::new(),
        _ => text.replace('@', &quoted(scalar)),
    }
}
