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
use std::sync::Mutex;
use std::time::Duration;

use cssc_core::cycle::Interrupt;
use cssc_core::scan::{ScanSkip, ScanVerdict};
use cssc_engine::tool::{
    Access, Buildah, CommandPatcher, Copa, ImageRef, Job, PatchRequest, Patcher, Scan, Scanner,
    StopToken, ToolError, ToolErrorKind, ToolOptions, Trivy, Version,
};
use support::{DockerRegistry, PASSWORD, Setup, USER, has_tools};

struct Bench {
    registry: DockerRegistry,
    folder: tempfile::TempDir,
    log: Mutex<String>,
    access: Access,
}

impl Bench {
    fn with(setup: Setup, access: Access) -> Option<Self> {
        let needed = ["docker-registry", "skopeo", "python3", "htpasswd"];
        has_tools(&needed).then(|| Self {
            registry: DockerRegistry::start(setup),
            folder: tempfile::tempdir().unwrap(),
            log: Mutex::default(),
            access,
        })
    }

    fn new() -> Option<Self> {
        Self::with(Setup::default(), Access::default())
    }

    fn image(&self, tag: &str) -> ImageRef {
        ImageRef::new(
            self.registry.host().parse().unwrap(),
            "python".parse().unwrap(),
            tag.parse().unwrap(),
        )
    }

    fn job<T>(&self, cancel_at: &str, work: impl FnOnce(&Job<'_>) -> T) -> T {
        let stop = StopToken::default();
        let log = |line: &str| {
            let mut log = self.log.lock().unwrap();
            log.push_str(line);
            log.push('\n');
            if line == cancel_at {
                stop.stop(Interrupt::Canceled);
            }
        };
        work(&Job {
            folder: self.folder.path(),
            log: &log,
            stop: &stop,
            access: &self.access,
            started: &|_| {},
        })
    }

    fn faults(&self, faults: &str) {
        fs::write(self.folder.path().join("faults"), faults).unwrap();
    }

    fn scan(&self, tag: &str, fault: &str) -> Result<Scan, ToolError> {
        self.faults(&format!("trivy:{fault}"));
        let trivy = Trivy::new(ToolOptions::new(standin::trivy()));
        self.job("waiting", |job| trivy.scan(&self.image(tag), job))
    }

    fn verdict(&self, tag: &str) -> ScanVerdict {
        self.scan(tag, "none").unwrap().report.verdict()
    }

    fn patch(&self, with: &impl Patcher, target: &str) -> Result<(), ToolError> {
        let scan = self.scan("3.11", "none").unwrap();
        self.patch_after(&scan, with, target)
    }

    fn patch_after(&self, scan: &Scan, with: &impl Patcher, target: &str) -> Result<(), ToolError> {
        let request = PatchRequest {
            original: &self.image("3.11"),
            platform: &"linux/amd64".parse().unwrap(),
            report: &scan.path,
            target: &target.parse().unwrap(),
        };
        self.job("waiting", |job| with.patch(&request, job))
    }

    fn copa(&self, target: &str, fault: &str) -> Result<(), ToolError> {
        let scan = self.scan("3.11", "none").unwrap();
        self.faults(&format!("copa:{fault}"));
        let copa = Copa::new(ToolOptions::new(standin::copa()));
        self.patch_after(&scan, &copa, target)
    }

    fn log(&self) -> String {
        std::mem::take(&mut self.log.lock().unwrap())
    }
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
    assert_eq!(bench.verdict("3.11"), ScanVerdict::Patch { fixable: 1 });
    bench.copa("3.11-1", "none").unwrap();
    assert_eq!(
        bench.verdict("3.11-1"),
        ScanVerdict::Skip(ScanSkip::NoVulnerability)
    );
    // Another time there is nothing to do, which is no failure.
    bench.registry.push("python", &["3.11"], "CVE-2=");
    bench.copa("3.11-2", "none").unwrap();
    assert!(bench.log().contains("already up-to-date"));
    bench.scan("3.11-2", "none").unwrap_err();
}

#[test]
fn versions_are_checked() {
    let Some(bench) = Bench::new() else { return };
    let trivy = Trivy::new(ToolOptions::new(standin::trivy()));
    let copa = Copa::new(ToolOptions::new(standin::copa()));
    bench.job("", |job| {
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
    let error = bench.copa("3.11-1", "hang").unwrap_err();
    assert!(error.interrupt() == Some(Interrupt::Canceled));

    bench.faults("trivy:hang");
    let mut options = ToolOptions::new(standin::trivy());
    options.time_limit = Duration::from_millis(500);
    let trivy = Trivy::new(options);
    let error = bench.job("", |job| trivy.scan(&bench.image("3.11"), job));
    assert_eq!(error.unwrap_err().kind(), ToolErrorKind::TimedOut);
}

#[test]
fn a_patch_that_fails_is_told() {
    let Some(bench) = Bench::new() else { return };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    let text = bench.copa("3.11-1", "fail").unwrap_err();
    assert!(text.is_retryable());
    let text = text.to_string();
    assert!(text.ends_with("/copa` ended with exit code 1: FATAL failed on demand"));
    let text = bench.copa("3.11-1", "crash").unwrap_err();
    assert!(text.to_string().contains("/copa` was ended by a signal: "));
    // Ends well and has pushed nothing: seen by whoever looks for the tag.
    bench.copa("3.11-1", "half").unwrap();
    bench.scan("3.11-1", "none").unwrap_err();
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
    bench.patch(&shell(script), "3.11-1").unwrap();
    let (host, folder) = (bench.registry.host(), bench.folder.path().display());
    let log = bench.log();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("CSSC_") && !line.starts_with("CSSC_PROCESS_MARK="))
        .collect();
    let expected = [
        format!("CSSC_FOLDER={folder}"),
        format!("CSSC_IMAGE={host}/python:3.11"),
        "CSSC_INSECURE=1".to_owned(),
        "CSSC_PLATFORM=linux/amd64".to_owned(),
        format!("CSSC_REGISTRY={host}"),
        format!("CSSC_REPORT={folder}/report-3.11.json"),
        "CSSC_REPOSITORY=python".to_owned(),
        "CSSC_TAG=3.11".to_owned(),
        format!("CSSC_TARGET={host}/python:3.11-1"),
        "CSSC_TARGET_TAG=3.11-1".to_owned(),
    ];
    assert_eq!(lines, expected);
    bench.scan("3.11-1", "none").unwrap();
}

#[test]
fn a_login_opens_the_registry_and_stays_hidden() {
    let setup = Setup {
        password: true,
        ..Setup::default()
    };
    let access = Access::default().login(USER, PASSWORD);
    let Some(mut bench) = Bench::with(setup, access) else {
        return;
    };
    bench.registry.push("python", &["3.11"], "CVE-1=2.0");
    assert_eq!(bench.verdict("3.11"), ScanVerdict::Patch { fixable: 1 });
    bench.copa("3.11-1", "none").unwrap();

    bench.log();
    let careless = shell("cat \"$DOCKER_CONFIG/config.json\"; echo 'it is not: a secret'");
    bench.patch(&careless, "3.11-2").unwrap();
    let log = bench.log();
    assert!(log.contains(r#""auth":"***""#), "{log}");
    assert!(log.contains("it is ***"), "{log}");

    bench.access = Access::default();
    let error = bench.scan("3.11", "none").unwrap_err().to_string();
    assert!(error.contains(": 401 "), "{error}");
}

/// What a tool is given to reach a registry, whatever it is asked to do there.
fn login_of(
    access: Access,
    work: impl FnOnce(ToolOptions, &PatchRequest<'_>, &Job<'_>),
) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), "certificates").unwrap();
    let request = PatchRequest {
        original: &ImageRef::new(
            "registry.example".parse().unwrap(),
            "python".parse().unwrap(),
            "3.11".parse().unwrap(),
        ),
        platform: &"linux/amd64".parse().unwrap(),
        report: folder.path(),
        target: &"3.11-1".parse().unwrap(),
    };
    let job = Job {
        folder: folder.path(),
        log: &|_: &str| {},
        stop: &StopToken::default(),
        access: &access.ca_file(folder.path().join("ca.pem")),
        started: &|_| {},
    };
    work(ToolOptions::new(standin::tell_login()), &request, &job);
    let told = fs::read_to_string(folder.path().join("login")).unwrap_or_default();
    (folder, told)
}

#[test]
fn every_tool_is_given_the_token_and_the_certificates() {
    // The claims are `{"access":[]}`.
    let access_token = "e30.eyJhY2Nlc3MiOltdfQ.c2ln";
    let identity = r#""identitytoken":"refresh-token""#;
    let registry = format!(r#""registrytoken":"{access_token}""#);
    for (token, entry) in [("refresh-token", identity), (access_token, &registry)] {
        let access = || Access::default().token(token);
        let scan = login_of(access(), |options, request, job| {
            Trivy::new(options).scan(request.original, job).unwrap_err();
        });
        let patch = login_of(access(), |options, request, job| {
            Copa::new(options).patch(request, job).unwrap();
        });
        let command = login_of(access(), |options, request, job| {
            CommandPatcher::new(options).patch(request, job).unwrap();
        });
        for (folder, told) in [scan, patch, command] {
            assert!(told.contains(entry), "{told}");
            let certificates = folder.path().join("ca.pem");
            let certificates = format!("SSL_CERT_FILE={}\n", certificates.display());
            assert!(told.contains(&certificates), "{told}");
        }
    }

    let (folder, told) = login_of(
        Access::default().token("refresh-token"),
        |options, request, job| {
            Buildah::new(options).patch(request, job).unwrap();
        },
    );
    assert!(told.contains(identity), "{told}");
    let certificates = folder.path().join("certificates");
    let option = format!("--cert-dir={}", certificates.display());
    for command in ["pull", "commit"] {
        let word = format!(" {command} ");
        let call = told.lines().find(|line| line.contains(&word)).unwrap();
        assert!(call.contains(&option), "{call}");
    }
    let copy = fs::read_to_string(certificates.join("ca.crt")).unwrap();
    assert_eq!(copy, "certificates");

    login_of(
        Access::default().token(access_token),
        |options, request, job| {
            let program = options.program.display().to_string();
            let error = Buildah::new(options).patch(request, job).unwrap_err();
            assert_eq!(error.kind(), ToolErrorKind::Unsupported);
            assert_eq!(
                error.to_string(),
                format!(
                    "`{program}` does not take an access token of the registry: use an identity \
                     token or a name and password"
                )
            );
        },
    );
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
