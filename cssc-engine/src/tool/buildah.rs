//! Buildah as the patcher, for hosts without `BuildKit`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cssc_core::name::Platform;

use super::process::Call;
use super::version::VersionCheck;
use super::{Job, PatchRequest, Patcher, ToolError, ToolOptions, Version, emulation, mounts};

/// The first version that can leave out its own label and set variables for one command.
const NEEDED: Version = Version(1, 23, 0);
const UPGRADE: &str = include_str!("upgrade.sh");
/// The relay speaks plain HTTP.
const PLAIN_HTTP: &str = "--tls-verify=false";
/// What the upgrade ends with where there is no package manager.
const NO_PACKAGE_MANAGER: i32 = 78;
/// How long cleaning up may take, whatever the limit of the patch.
const CLEAN_UP: Duration = Duration::from_secs(120);

/// Patches with [Buildah](https://buildah.io): starts from the original, upgrades all OS
/// packages with the image's own package manager, commits and pushes.
///
/// The upgrade runs as root inside the image. The report is not needed: what is upgraded is all that
/// the package sources of the image offer. Proxies for the package manager are those of this
/// process.
///
/// The extra arguments stand before Buildah's own command: `--storage-driver vfs`. Images and
/// containers are kept in the job's folder and removed when it is done, unless the extra arguments
/// name a `--root`, which is then yours to keep small. What Buildah reads from its environment
/// (`STORAGE_DRIVER`, `BUILDAH_ISOLATION`) stays in force.
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
        self.version.check(program, NEEDED, job)
    }

    fn can_run(&self, platform: &Platform) -> Result<(), String> {
        emulation::can_run(platform)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<(), ToolError> {
        self.check(job)?;
        let temporary = job.folder.join("tmp");
        fs::create_dir_all(&temporary)
            .map_err(|error| ToolError::file("make", &temporary, error))?;
        let own_root = self
            .options
            .extra
            .iter()
            .all(|arg| !arg.starts_with("--root"));
        let work = Work {
            buildah: self,
            request,
            job,
            temporary,
            own_root: own_root.then(|| job.folder.join("buildah")),
            container: container_name(job.folder),
            begin: Instant::now(),
        };
        // A crash may have left something.
        work.clean_up();
        let done = work.pull().and_then(|image| work.patch(&image));
        work.clean_up();
        done
    }
}

/// One patch.
struct Work<'a> {
    buildah: &'a Buildah,
    request: &'a PatchRequest<'a>,
    job: &'a Job<'a>,
    temporary: PathBuf,
    /// Where images and containers of this patch alone are kept.
    own_root: Option<PathBuf>,
    container: String,
    begin: Instant,
}

impl Work<'_> {
    fn source(&self) -> String {
        format!("docker://{}", self.request.original.exact())
    }

    /// Pulls the original; the image ID.
    fn pull(&self) -> Result<String, ToolError> {
        self.job.log.line("buildah: pulling the original");
        // The same tag may be another image by now, so what is here does not count.
        let pull = ["pull", "--quiet", "--policy", "always"];
        let call = self.call().args(pull).arg(PLAIN_HTTP).arg(self.source());
        let said = self.listen(call.at_relay(self.job)?)?;
        // Beside a warning that the image is for another platform than this machine's.
        let is_id = |line: &&str| line.len() == 64 && line.bytes().all(|b| b.is_ascii_hexdigit());
        let id = said.lines().map(str::trim).find(is_id);
        Ok(id.unwrap_or_default().to_owned())
    }

    fn patch(&self, image: &str) -> Result<(), ToolError> {
        let container = self.container.as_str();
        let from = ["from", "--name", container, "--pull=false", image];
        self.step("starting from the original", |call| call.args(from))?;
        self.upgrade()?;
        let target = format!("docker://{}", self.request.target().by_tag());
        let commit = [
            "commit",
            "--quiet",
            "--identity-label=false",
            "--format",
            "oci",
        ];
        self.job.log.line("buildah: committing and pushing");
        let call = self.call().args(commit).arg(PLAIN_HTTP);
        call.args([container, &target])
            .at_relay(self.job)?
            .run(self.job)?
            .success()
    }

    fn upgrade(&self) -> Result<(), ToolError> {
        let (program, platform) = (&self.buildah.options.program, self.request.platform);
        emulation::can_run(platform).map_err(|why| ToolError::cannot(program, why))?;
        self.job.log.line("buildah: upgrading the packages");
        // By number: not every image knows a user of the name `root`.
        let mut call = self
            .call()
            .args(["run", "--user", "0:0", "--workingdir", "/"]);
        if let Some(isolation) = &self.buildah.isolation {
            call = call.args(["--isolation", isolation]);
        }
        let has_no_shell = AtomicBool::new(false);
        let listen = |line: &str| {
            if says_no_shell(line) {
                has_no_shell.store(true, Ordering::Relaxed);
            }
            self.job.log.line(line);
        };
        let job = Job {
            log: &listen,
            ..*self.job
        };
        let ended = call
            .args([&self.container, "--", "sh", "-c", UPGRADE])
            .run(&job)?;
        let cannot = |why: String| Err(ToolError::cannot(program, why));
        match (ended.code(), ended.said.as_str()) {
            (Some(NO_PACKAGE_MANAGER), _) => cannot(
                "the image has no supported package manager: apt-get, apk, dnf, microdnf, \
                 yum or zypper"
                    .to_owned(),
            ),
            (Some(code), _) if code != 0 && has_no_shell.load(Ordering::Relaxed) => {
                cannot("the image has no shell".to_owned())
            }
            (Some(125 | 126), said) if self.buildah.isolation.as_deref() != Some("chroot") => {
                cannot(format!(
                    "it cannot isolate the upgrade here; the isolation `chroot` works inside most \
                     containers: {said}"
                ))
            }
            _ => ended.success(),
        }
    }

    fn call(&self) -> Call {
        let options = &self.buildah.options;
        let mut call = Call::new(&options.program, options.time_limit).since(self.begin);
        if let Some(root) = &self.own_root {
            let run_root = root.join("run");
            call = call.arg("--root").arg(root).arg("--runroot").arg(run_root);
        }
        call.args(&options.extra).env("TMPDIR", &self.temporary)
    }

    fn step(&self, what: &str, args: impl FnOnce(Call) -> Call) -> Result<(), ToolError> {
        self.job.log.line(&format!("buildah: {what}"));
        args(self.call()).run(self.job)?.success()
    }

    /// What a command answers when the patch has ended, well or not; it does not go to the log.
    fn ask_after<const N: usize>(&self, args: [&str; N]) -> Result<String, ToolError> {
        let call = self.call().ignoring_interrupts().limit(CLEAN_UP);
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
        call.run(&job)?.success()?;
        Ok(answer.into_inner().unwrap_or_default())
    }

    /// Removes what is left of this patch. Fails where there is nothing, which is what is wanted.
    fn clean_up(&self) {
        let Some(root) = &self.own_root else {
            let _ = self.ask_after(["rm", &self.container]);
            return;
        };
        if !root.exists() {
            return;
        }
        let _ = self.ask_after(["rm", "--all"]);
        let _ = self.ask_after(["rmi", "--all", "--force"]);
        mounts::unmount_below(root);
        let _ = fs::remove_dir_all(root);
    }
}

/// Whether a runtime says that it has not found the shell: `exec: "sh": executable file not found in
/// $PATH`, or the same with the path that it tried.
fn says_no_shell(line: &str) -> bool {
    line.contains("sh\": executable file not found") || line.contains("/sh: no such file")
}

/// A name that belongs to this folder alone, so that what a crash left is found again: the target
/// has another tag each time.
fn container_name(folder: &Path) -> String {
    let digest = cssc_registry::digest::of(folder.as_os_str().as_encoded_bytes());
    let short: String = digest.hex().chars().take(16).collect();
    format!("cssc-{short}")
}
