//! Copa as the patcher.

use std::fs;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cssc_core::name::Platform;
use serde_json::json;

use super::process::Call;
use super::version::VersionCheck;
use super::{Job, PatchRequest, Patcher, ToolError, ToolOptions, Version, emulation};

/// The first version that knows `--push`.
const NEEDED: Version = Version(0, 11, 0);

/// Where `BuildKit` listens unless it is told otherwise.
const DEFAULT_SOCKET: &str = "/run/buildkit/buildkitd.sock";
/// How much later than its caller Copa gives up, who ends it in order and can tell why. Without a
/// limit it takes five minutes.
const LATER: Duration = Duration::from_secs(60);
/// How long `BuildKit` may take to be connected to when it is looked for.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Where `BuildKit` finds images that are named otherwise: a file of JSON.
const SOURCE_POLICY: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";
/// It leaves a platform out that fails, or publishes what is not fixed.
const REFUSED: &str = "--ignore-errors";

/// Patches with [Copa](https://project-copacetic.github.io/copacetic/), which needs `BuildKit`.
///
/// Copa is given the original by its digest and the report of it. It takes a report in a file to
/// be of its own platform, whatever the image is; so for any other it is given a folder with the
/// report. Then it pushes an index of one beside the manifest, whose tag has the architecture
/// behind it.
///
/// `BuildKit` pulls and pushes at the relay, which it must reach; the images that Copa fetches
/// packages with come from there too, by a source policy. It is looked for at the [address](Self::address), or else where `BUILDKIT_HOST` says, at
/// `/run/buildkit/buildkitd.sock`, and then as Copa does by itself.
#[derive(Debug)]
pub struct Copa {
    options: ToolOptions,
    address: Option<String>,
    version: VersionCheck,
}

impl Copa {
    /// How the names of the images begin that Copa fetches packages with.
    pub const TOOLING: [&str; 5] = [
        "docker.io/library/",
        "ghcr.io/project-copacetic/copacetic/",
        "mcr.microsoft.com/",
        "registry.opensuse.org/",
        "registry.suse.com/",
    ];

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

    /// Where `BuildKit` is; none when Copa is to look. Without an address it may look for minutes.
    fn buildkit(&self) -> Option<String> {
        let socket = || {
            let is_there = Path::new(DEFAULT_SOCKET).exists();
            is_there.then(|| format!("unix://{DEFAULT_SOCKET}"))
        };
        let variable = || std::env::var("BUILDKIT_HOST").ok();
        let address = self.address.clone().or_else(variable);
        address
            .filter(|address| !address.is_empty())
            .or_else(socket)
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
        if self
            .options
            .extra
            .iter()
            .any(|arg| arg.starts_with(REFUSED))
        {
            let why = format!("with `{REFUSED}` it publishes images that it has not patched");
            return Err(ToolError::cannot(program, why));
        }
        self.version.check(program, NEEDED, job)
    }

    /// `BuildKit`, where its address says a socket or a port.
    fn daemon(&self) -> Result<Option<String>, String> {
        let Some(address) = self.buildkit() else {
            return Err(format!(
                "no address is given and there is no `{DEFAULT_SOCKET}`: Copa looks for a Docker \
                 daemon or a builder by itself; start `buildkitd`, or give its address"
            ));
        };
        let Some(connected) = connect(&address) else {
            return Ok(Some(format!("`{address}`, which only Copa can check")));
        };
        match connected {
            Ok(()) => Ok(Some(format!("`BuildKit` listens at `{address}`"))),
            Err(error) => Err(format!(
                "`BuildKit` does not listen at `{address}`: {error}; start `buildkitd --addr \
                 {address}`"
            )),
        }
    }

    fn can_run(&self, platform: &Platform) -> Result<(), String> {
        let address = self.buildkit();
        // Elsewhere it is not this machine that runs the programs of the image.
        if address.is_some_and(|address| !address.starts_with("unix:")) {
            return Ok(());
        }
        emulation::can_run(platform)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<(), ToolError> {
        self.check(job)?;
        let options = &self.options;
        let address = self.buildkit();
        self.can_run(request.platform)
            .map_err(|why| ToolError::cannot(&options.program, why))?;
        let limit = options.time_limit.saturating_add(LATER);
        let timeout = format!("{}s", limit.as_secs());
        let temporary = job.folder.join("tmp");
        fs::create_dir_all(&temporary)
            .map_err(|error| ToolError::file("make", &temporary, error))?;
        let mut call = Call::new(&options.program, options.time_limit)
            .args(["patch", "-i", &request.original.by_tag_and_digest(), "-r"])
            .arg(report(request, job)?)
            .args(["-t", request.target.as_str()])
            .args(["--timeout", &timeout, "--push", "--progress", "plain"])
            .env("TMPDIR", temporary);
        if let Some(address) = address {
            call = call.args(["--addr", &address]);
        }
        let login = job.login(&options.program)?;
        // What the user has set up goes first.
        if let (Some(tooling), None) = (login.tooling(), std::env::var_os(SOURCE_POLICY)) {
            call = call.env(SOURCE_POLICY, source_policy(&tooling, job)?);
        }
        let ended = call.args(&options.extra).at_relay(job)?.run(job)?;
        if ended.said.contains("exec format error") {
            let why = format!("`BuildKit` cannot run programs for {}", request.platform);
            return Err(ToolError::cannot(&options.program, why));
        }
        ended.success()
    }
}

/// Whether somebody listens at an address; none where it names something else.
fn connect(address: &str) -> Option<io::Result<()>> {
    if let Some(port) = address.strip_prefix("tcp://") {
        return Some(connect_to_port(port));
    }
    #[cfg(unix)]
    if let Some(path) = address.strip_prefix("unix://") {
        return Some(UnixStream::connect(path).map(drop));
    }
    None
}

fn connect_to_port(port: &str) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Makes `BuildKit` fetch Copa's own images from the relay, at this place of it: the file.
fn source_policy(tooling: &str, job: &Job<'_>) -> Result<PathBuf, ToolError> {
    let rules = Copa::TOOLING.map(|images| {
        json!({
            "action": "CONVERT",
            "selector": {"identifier": format!("docker-image://{images}*")},
            "updates": {"identifier": format!("docker-image://{tooling}/{images}${{1}}")},
        })
    });
    let path = job.folder.join("source-policy.json");
    let policy = json!({ "rules": rules }).to_string();
    fs::write(&path, policy).map_err(|error| ToolError::file("write", &path, error))?;
    Ok(path)
}

/// The report as Copa is to be given it: in a file of its own where it need not look at the
/// platform, else alone in a folder.
fn report(request: &PatchRequest<'_>, job: &Job<'_>) -> Result<PathBuf, ToolError> {
    if emulation::is_own(request.platform) {
        return Ok(request.report.to_owned());
    }
    let folder = job.folder.join(format!("reports-{}", request.target));
    let copy = || {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        fs::copy(request.report, folder.join("report.json"))
    };
    copy().map_err(|error| ToolError::file("write", &folder, error))?;
    Ok(folder)
}
