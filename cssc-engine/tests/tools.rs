//! The tools against a real registry, with stand-ins for Trivy and Copa that fail on demand.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly, also in its helpers"
)]

mod standin;
#[path = "../../cssc-registry/tests/support/mod.rs"]
mod support;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cssc_core::cycle::Interrupt;
use cssc_core::scan::{ScanSkip, ScanVerdict};
use cssc_core::{Listing, Registry, Repository};
use cssc_engine::relay::{Login, Relay, RelayOptions};
use cssc_engine::tool::{
    Buildah, CommandPatcher, Copa, ImageRef, Job, PatchRequest, Patcher, Scan, Scanner, StopToken,
    ToolError, ToolErrorKind, ToolOptions, Trivy, Version,
};
use cssc_registry::{Manifest, OciOptions, OciRegistry, Reference, RegistryClient};
use support::{DockerRegistry, Setup, has_tools};

/// A registry, and the relay through which tools see it.
struct Bench {
    registry: DockerRegistry,
    client: Arc<dyn RegistryClient>,
    relay: Relay,
    folder: tempfile::TempDir,
    log: Mutex<String>,
}

impl Bench {
    fn new() -> Option<Self> {
        let needed = ["docker-registry", "skopeo", "python3"];
        has_tools(&needed).then(|| {
            let registry = DockerRegistry::start(Setup::default());
            let host: Registry = registry.host().parse().unwrap();
            let client: Arc<dyn RegistryClient> =
                Arc::new(OciRegistry::new(&host, OciOptions::default()).unwrap());
            let folder = tempfile::tempdir().unwrap();
            let relay = Relay::start(
                &folder.path().join("relay"),
                Arc::clone(&client),
                &RelayOptions::default(),
            );
            Self {
                registry,
                client,
                relay: relay.unwrap(),
                folder,
                log: Mutex::default(),
            }
        })
    }

    /// What a tag of the registry stands for.
    fn manifest(&self, tag: &str) -> Manifest {
        let tag = Reference::Tag(tag.parse().unwrap());
        self.client.get_manifest(&python(), &tag).unwrap()
    }

    /// Calls a tool with a login that reads this image; and what was pushed.
    fn job<T>(
        &self,
        image: &Manifest,
        cancel_at: &str,
        work: impl FnOnce(&ImageRef, &Login, &Job<'_>) -> T,
    ) -> (T, Option<Manifest>) {
        let stop = StopToken::default();
        let log = |line: &str| {
            let mut log = self.log.lock().unwrap();
            log.push_str(line);
            log.push('\n');
            if line == cancel_at {
                stop.stop(Interrupt::Canceled);
            }
        };
        let login = self.relay.login(&python(), std::slice::from_ref(image));
        let host = login.authority().parse().unwrap();
        let name = ImageRef::new(host, python(), "3.11".parse().unwrap());
        let name = name.with_digest(image.descriptor().digest);
        let done = work(
            &name,
            &login,
            &Job {
                folder: self.folder.path(),
                log: &log,
                stop: &stop,
                kept: None,
                login: Some(&login),
                started: &|_| {},
            },
        );
        (done, login.pushed())
    }

    fn faults(&self, faults: &str) {
        fs::write(self.folder.path().join("faults"), faults).unwrap();
    }

    fn scan_of(&self, image: &Manifest, fault: &str) -> Result<Scan, ToolError> {
        self.faults(&format!("trivy:{fault}"));
        let trivy = Trivy::new(ToolOptions::new(standin::trivy()));
        self.job(image, "waiting", |image, _, job| trivy.scan(image, job))
            .0
    }

    fn scan(&self, tag: &str, fault: &str) -> Result<Scan, ToolError> {
        self.scan_of(&self.manifest(tag), fault)
    }

    fn verdict(&self, image: &Manifest) -> ScanVerdict {
        self.scan_of(image, "none").unwrap().report.verdict()
    }

    /// Patches `3.11`; what was pushed.
    fn patch(&self, with: &impl Patcher, fault: &str) -> Result<Option<Manifest>, ToolError> {
        let original = self.manifest("3.11");
        let scan = self.scan_of(&original, "none").unwrap();
        self.faults(&format!("copa:{fault}"));
        let (done, pushed) = self.job(&original, "waiting", |image, login, job| {
            let request = PatchRequest {
                original: image,
                platform: &"linux/amd64".parse().unwrap(),
                report: &scan.path,
                target: login.tag(),
            };
            with.patch(&request, job)
        });
        done.map(|()| pushed)
    }

    fn copa(&self, fault: &str) -> Result<Option<Manifest>, ToolError> {
        self.patch(&Copa::new(ToolOptions::new(standin::copa())), fault)
    }

    fn log(&self) -> String {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn python() -> Repository {
    "python".parse().unwrap()
}

fn shell(script: &str) -> CommandPatcher {
    let mut options = ToolOptions::new("/bin/sh");
    options.extra = vec!["-c".to_owned(), script.to_owned()];
    CommandPatcher::new(options)
}

#[test]
fn scan_patch_and_scan_again() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0 CVE-2=");
    let verdict = bench.verdict(&bench.manifest("3.11"));
    assert_eq!(verdict, ScanVerdict::Patch { fixable: 1 });
    let patched = bench.copa("none").unwrap().unwrap();
    assert_eq!(
        bench.verdict(&patched),
        ScanVerdict::Skip(ScanSkip::NoVulnerability)
    );
    // Another time there is nothing to do, which is no failure.
    bench.registry.push("python", &["3.11"], "CVE-2=");
    assert_eq!(bench.copa("none").unwrap(), None);
    assert!(bench.log().contains("already up-to-date"));
    // Whatever was pushed, the registry has what it had.
    let tags = bench.client.list_tags(&python());
    assert!(matches!(tags, Listing::Found(tags) if tags.len() == 1));
}

#[test]
fn versions_are_checked() {
    let Some(bench) = Bench::new() else { return };
    let trivy = Trivy::new(ToolOptions::new(standin::trivy()));
    let copa = Copa::new(ToolOptions::new(standin::copa()));
    bench.registry.push("python", &["3.11"], "");
    bench.job(&bench.manifest("3.11"), "", |_, _, job| {
        assert_eq!(trivy.check(job).unwrap(), Some(Version(0, 60, 0)));
        assert_eq!(copa.check(job).unwrap(), Some(Version(0, 14, 2)));
        let old = standin::old_trivy();
        let error = Trivy::new(ToolOptions::new(&old)).check(job).unwrap_err();
        assert!(error.is_unusable());
        assert_eq!(error.kind(), ToolErrorKind::TooOld);
        assert_eq!(
            error.to_string(),
            format!(
                "`{}` is version 0.53.0, but 0.54.0 or newer is needed",
                old.display()
            )
        );
        let error = Copa::new(ToolOptions::new("no-such-copa")).check(job);
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot start `no-such-copa`: there is no such program; install it or give its path"
        );
    });
}

#[test]
fn the_report_decides_and_not_the_exit_code() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let good = bench.scan("3.11", "exit1").unwrap();
    assert_eq!(good.report.fixable(), 1);

    for fault in ["half", "garbage", "crash"] {
        let error = bench.scan("3.11", fault).unwrap_err();
        assert_eq!(error.kind(), ToolErrorKind::BadReport, "{error}");
        assert!(error.is_retryable());
        let text = error.to_string();
        let begin = "/trivy` left a report that cannot be read: ";
        assert!(text.contains(begin), "{text}");
    }

    // The report of the scan before is not taken for one of this.
    let error = bench.scan("3.11", "fail").unwrap_err();
    let text = error.to_string();
    let end = "/trivy` ended with exit code 1: FATAL failed on demand";
    assert!(text.ends_with(end), "{text}");
    let text = bench.scan("3.11", "nothing").unwrap_err().to_string();
    assert!(text.contains("` ended without the report `"), "{text}");
}

#[test]
fn a_tool_that_floods_is_heard_to_its_end() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "");
    let scan = bench.scan("3.11", "flood").unwrap();
    assert_eq!(scan.report.fixable(), 0);
    let log = bench.log();
    assert!(log.len() < 1_200_000);
    assert!(log.contains(" lines of output left out …\n"));
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("INFO scanning "), "{last}");
}

#[test]
fn a_tool_that_hangs_is_ended() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    assert!(bench.scan("3.11", "hang").unwrap_err().interrupt() == Some(Interrupt::Canceled));
    let error = bench.copa("hang").unwrap_err();
    assert!(error.interrupt() == Some(Interrupt::Canceled));

    bench.faults("trivy:hang");
    let mut options = ToolOptions::new(standin::trivy());
    options.time_limit = Duration::from_millis(500);
    let trivy = Trivy::new(options);
    let (error, _) = bench.job(&bench.manifest("3.11"), "", |image, _, job| {
        trivy.scan(image, job)
    });
    assert_eq!(error.unwrap_err().kind(), ToolErrorKind::TimedOut);
}

#[test]
fn a_patch_that_fails_is_told() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let text = bench.copa("fail").unwrap_err();
    assert!(text.is_retryable());
    let text = text.to_string();
    assert!(text.ends_with("/copa` ended with exit code 1: FATAL failed on demand"));
    let text = bench.copa("crash").unwrap_err();
    assert!(text.to_string().contains("/copa` was ended by a signal: "));
    // Ends well and has pushed nothing.
    assert_eq!(bench.copa("half").unwrap(), None);
}

#[test]
fn a_program_finds_its_task_in_its_environment() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let script = "set -e\n\
        env | grep ^CSSC_ | sort\n\
        grep -q CVE-1 \"$CSSC_REPORT\"\n\
        skopeo copy --insecure-policy --src-tls-verify=false --dest-tls-verify=false \
          \"docker://$CSSC_IMAGE\" \"docker://$CSSC_TARGET\"\n";
    let pushed = bench.patch(&shell(script), "none").unwrap().unwrap();
    let original = bench.manifest("3.11");
    assert_eq!(pushed, original, "what was copied is the same");
    let (host, folder) = (bench.relay.authority(), bench.folder.path().display());
    let digest = original.descriptor().digest;
    let log = bench.log();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("CSSC_") && !line.starts_with("CSSC_PROCESS_MARK="))
        .collect();
    let target = lines
        .iter()
        .find_map(|line| line.strip_prefix("CSSC_TARGET_TAG="));
    let target = target.unwrap();
    let expected = [
        format!("CSSC_DIGEST={digest}"),
        format!("CSSC_FOLDER={folder}"),
        format!("CSSC_IMAGE={host}/python@{digest}"),
        "CSSC_PLATFORM=linux/amd64".to_owned(),
        format!("CSSC_REGISTRY={host}"),
        format!("CSSC_REPORT={folder}/report-3.11.json"),
        "CSSC_REPOSITORY=python".to_owned(),
        "CSSC_TAG=3.11".to_owned(),
        format!("CSSC_TARGET={host}/python:{target}"),
        format!("CSSC_TARGET_TAG={target}"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_login_of_a_tool_stays_hidden() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let careless = shell("cat \"$DOCKER_CONFIG/config.json\"");
    bench.patch(&careless, "none").unwrap();
    let log = bench.log();
    assert!(log.contains(r#""auth":"***""#), "{log}");
}

/// What a tool is given, whatever it is asked to do: the login to the relay, in a file, and no
/// proxy on the way there.
#[test]
fn every_tool_is_given_its_login_and_nothing_else() {
    type Call<'a> = &'a dyn Fn(&PatchRequest<'_>, &Job<'_>);

    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let original = bench.manifest("3.11");
    let options = || ToolOptions::new(standin::tell_login());
    let calls: [Call<'_>; 4] = [
        &|request, job| {
            drop(
                Trivy::new(options())
                    .scan(request.original, job)
                    .unwrap_err(),
            );
        },
        &|request, job| Copa::new(options()).patch(request, job).unwrap(),
        &|request, job| Buildah::new(options()).patch(request, job).unwrap(),
        &|request, job| CommandPatcher::new(options()).patch(request, job).unwrap(),
    ];
    for call in calls {
        let (user, _) = bench.job(&original, "", |image, login, job| {
            let request = PatchRequest {
                original: image,
                platform: &"linux/amd64".parse().unwrap(),
                report: bench.folder.path(),
                target: login.tag(),
            };
            call(&request, job);
            format!("{}:{}", login.user(), login.password())
        });
        let path = bench.folder.path().join("login");
        let told = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        let auth = STANDARD.encode(user);
        let (host, authority) = ("127.0.0.1", bench.relay.authority());
        let login = format!(r#"{{"auths":{{"{authority}":{{"auth":"{auth}"}}}}}}"#);
        assert!(told.contains(&login), "{told}");
        assert!(
            told.lines()
                .any(|line| line.starts_with("NO_PROXY=") && line.ends_with(host))
        );
        assert!(
            !told.contains(&auth)
                || !told
                    .lines()
                    .any(|line| { line.starts_with("call:") && line.contains(&auth) })
        );
    }
}

#[test]
fn an_image_is_pinned_by_its_digest() {
    let digest = cssc_registry::digest::of(b"content");
    let image = ImageRef::new(
        "localhost:5000".parse().unwrap(),
        "python".parse().unwrap(),
        "3.11".parse().unwrap(),
    );
    assert_eq!(image.exact(), "localhost:5000/python:3.11");
    assert_eq!(image.by_tag_and_digest(), image.exact());
    let pinned = image.with_digest(digest.clone());
    assert_eq!(pinned.by_tag(), "localhost:5000/python:3.11");
    assert_eq!(pinned.exact(), format!("localhost:5000/python@{digest}"));
    assert_eq!(
        pinned.by_tag_and_digest(),
        format!("localhost:5000/python:3.11@{digest}")
    );
}

/// What Buildah runs inside the image, where only these programs are.
fn upgrade(programs: &[&str]) -> (bool, String) {
    let path = tempfile::tempdir().unwrap();
    for program in programs {
        std::os::unix::fs::symlink(standin::echo_call(), path.path().join(program)).unwrap();
    }
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", include_str!("../src/tool/upgrade.sh")])
        .env("PATH", path.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_package_manager_that_is_there_upgrades() {
    for (programs, calls) in [
        (
            &["apt-get", "rm"][..],
            "apt-get update\n\
             apt-get -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
             --with-new-pkgs upgrade\n\
             apt-get clean\n\
             rm -rf /var/lib/apt/lists/",
        ),
        (&["apk"], "apk upgrade --no-cache\n"),
        (&["dnf", "yum"], "dnf -y upgrade --refresh\ndnf clean all\n"),
        (&["microdnf"], "microdnf -y upgrade\nmicrodnf clean all\n"),
        (&["yum"], "yum -y update\nyum clean all\n"),
        (
            &["zypper"],
            "zypper --non-interactive refresh\nzypper --non-interactive update\n\
             zypper --non-interactive clean --all\n",
        ),
    ] {
        let (is_well, said) = upgrade(programs);
        assert!(is_well && said.starts_with(calls), "{said}");
    }
    let (is_well, said) = upgrade(&[]);
    assert!(!is_well);
    assert_eq!(
        said,
        "no package manager in the image: looked for apt-get, apk, dnf, microdnf, yum, zypper\n"
    );
}
