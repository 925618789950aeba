//! Buildah as the patcher, for hosts without `BuildKit`.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::process::Call;
use super::version::VersionCheck;
use super::{ImageRef, Job, PatchRequest, Patched, Patcher, ToolError, ToolOptions, Version};

/// The first version that can leave out its own label and set variables for one command.
const NEEDED: Version = Version(1, 23, 0);
const OPTION: &str = "--buildah";
const UPGRADE: &str = include_str!("upgrade.sh");
const BASE_NAME: &str = "org.opencontainers.image.base.name";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// How long cleaning up may take, whatever the limit of the patch.
const CLEAN_UP: Duration = Duration::from_secs(120);

/// Patches with [Buildah](https://buildah.io): starts from the original, upgrades all OS
/// packages with the image's own package manager, commits and pushes.
///
/// The upgrade runs as root inside the image; the user, entrypoint and all other configuration
/// of the image stay as they are. The report is not needed: what is upgraded is all that the
/// package sources of the image offer. An OCI manifest is annotated with the name and digest
/// of the original (`org.opencontainers.image.base.*`); a Docker one, which has no
/// annotations, stays a Docker one and gets them as labels.
///
/// The extra arguments stand before Buildah's own command: `--storage-driver vfs`,
/// `--root DIR`. What Buildah reads from its environment (`STORAGE_DRIVER`,
/// `BUILDAH_ISOLATION`) stays in force.
#[derive(Debug)]
pub struct Buildah {
    options: ToolOptions,
    isolation: Option<String>,
    version: VersionCheck,
}

impl Buildah {
    /// Buildah with these options, and the isolation it chooses by itself.
    pub fn new(options: ToolOptions) -> Self {
        Self {
            options,
            isolation: None,
            version: VersionCheck::default(),
        }
    }

    /// Isolates the upgrade in this way: `oci`, `rootless`, or `chroot`, which works inside
    /// most containers.
    pub fn isolation(mut self, isolation: impl Into<String>) -> Self {
        self.isolation = Some(isolation.into());
        self
    }
}

impl Default for Buildah {
    /// `buildah` from `PATH`.
    fn default() -> Self {
        Self::new(ToolOptions::new("buildah"))
    }
}

impl Patcher for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn check(&self, job: &Job<'_>) -> Result<Option<Version>, ToolError> {
        let program = &self.options.program;
        self.version.check(program, OPTION, NEEDED, job)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<Patched, ToolError> {
        let mut env = Vec::new();
        let registry = request.original.registry();
        if let Some(config) = job.access.docker_config(registry, job.folder)? {
            env.push(("REGISTRY_AUTH_FILE", config.join("config.json")));
        }
        let tls = !job.access.is_insecure(registry);
        let work = Work {
            buildah: self,
            request,
            job,
            env,
            tls: format!("--tls-verify={tls}"),
            container: container_name(&request.target()),
            begin: Instant::now(),
        };
        // A crash may have left it.
        work.remove_container();
        let images_before = work.ask(["images", "--quiet", "--no-trunc"])?;
        let done = work.patch();
        let image = work.ask_after(["inspect", "--format", "{{.FromImageID}}", &work.container]);
        work.remove_container();
        if let Ok(image) = image {
            work.remove_image(image.trim(), &images_before);
        }
        done.map(|()| Patched::default())
    }
}

/// One patch.
struct Work<'a> {
    buildah: &'a Buildah,
    request: &'a PatchRequest<'a>,
    job: &'a Job<'a>,
    env: Vec<(&'static str, std::path::PathBuf)>,
    tls: String,
    container: String,
    begin: Instant,
}

impl Work<'_> {
    fn patch(&self) -> Result<(), ToolError> {
        let original = self.request.original;
        let container = self.container.as_str();
        let source = format!("docker://{}", original.exact());
        // The same tag may be another image by now, so what is here does not count.
        let from = ["from", "--pull-always", "--name", container, &self.tls];
        self.step("pulling the original", |call| call.args(from).arg(source))?;
        self.step("upgrading the packages", |mut call| {
            call = call.args(["run", "--user", "root", "--workingdir", "/"]);
            if let Some(isolation) = &self.buildah.isolation {
                call = call.args(["--isolation", isolation]);
            }
            call.args([container, "--", "sh", "-c", UPGRADE])
        })?;
        let manifest = self.ask(["inspect", "--format", "{{.Manifest}}", container])?;
        // A Docker image keeps what OCI has no place for, a health check.
        let is_docker = manifest.contains("application/vnd.docker.container.image");
        let (format, marks) = if is_docker {
            ("docker", "--label")
        } else {
            ("oci", "--annotation")
        };
        let name = format!("{BASE_NAME}={}", original.by_tag());
        let digest = match original.digest() {
            Some(digest) => digest.to_string(),
            None => self.ask(["inspect", "--format", "{{.FromImageDigest}}", container])?,
        };
        let digest = format!("{BASE_DIGEST}={}", digest.trim());
        self.step("recording the original", |call| {
            call.args(["config", marks, &name, marks, &digest, container])
        })?;
        let target = format!("docker://{}", self.request.target().by_tag());
        let commit = [
            "commit",
            "--quiet",
            "--identity-label=false",
            "--format",
            format,
        ];
        self.step("committing and pushing", |call| {
            call.args(commit).args([&self.tls, container, &target])
        })
    }

    fn call(&self) -> Call {
        let options = &self.buildah.options;
        let mut call = Call::new(&options.program, options.time_limit)
            .since(self.begin)
            .args(&options.extra);
        for (name, value) in &self.env {
            call = call.env(name, value);
        }
        call
    }

    fn step(&self, what: &str, args: impl FnOnce(Call) -> Call) -> Result<(), ToolError> {
        self.job.log.line(&format!("buildah: {what}"));
        args(self.call()).run(OPTION, self.job)?.success()
    }

    /// What a command answers, which does not go to the log.
    fn ask<const N: usize>(&self, args: [&str; N]) -> Result<String, ToolError> {
        self.listen(self.call().args(args))
    }

    /// As `ask`, when the patch has ended, well or not.
    fn ask_after<const N: usize>(&self, args: [&str; N]) -> Result<String, ToolError> {
        let call = self.call().despite_cancel().limit(CLEAN_UP);
        self.listen(call.since(Instant::now()).args(args))
    }

    fn listen(&self, call: Call) -> Result<String, ToolError> {
        let answer = Mutex::new(String::new());
        let listen = |line: &str| {
            if let Ok(mut answer) = answer.lock() {
                answer.push_str(line);
                answer.push('\n');
            }
        };
        let job = Job {
            log: &listen,
            ..*self.job
        };
        call.run(OPTION, &job)?.success()?;
        Ok(answer.into_inner().unwrap_or_default())
    }

    fn remove_container(&self) {
        // Fails where there is none, which is what is wanted.
        let _ = self.ask_after(["rm", &self.container]);
    }

    /// Removes the image that was pulled, unless it was there before or is used elsewhere.
    fn remove_image(&self, image: &str, before: &str) {
        let was_there = before.lines().any(|line| line.ends_with(image));
        if !image.is_empty() && !was_there {
            let _ = self.ask_after(["rmi", image]);
        }
    }
}

/// A name that belongs to the target alone, so that what a crash left is found again.
fn container_name(target: &ImageRef) -> String {
    let mut name = String::from("cssc-");
    for byte in target.by_tag().bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-' {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "_{byte:02x}");
        }
    }
    name
}
