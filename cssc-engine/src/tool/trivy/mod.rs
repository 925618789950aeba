//! Trivy as the scanner.

mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use self::service::{CacheFolder, Service};
use super::process::Call;
use super::version::VersionCheck;
use super::{ImageRef, Job, Scan, Scanner, ToolError, ToolOptions, Version};

/// The first version that knows `--pkg-types`.
const NEEDED: Version = Version(0, 54, 0);

/// Trivy's variables that say where it works and whom it speaks to, and not what it finds; a `*`
/// stands for any end.
const PASSED_ON: [&str; 24] = [
    "TRIVY_AUTH_URL",
    "TRIVY_CACHE_*",
    "TRIVY_CUSTOM_HEADERS",
    "TRIVY_DB_REPOSITORY",
    "TRIVY_DEBUG",
    "TRIVY_DISABLE_TELEMETRY",
    "TRIVY_INSECURE",
    "TRIVY_JAVA_DB_REPOSITORY",
    "TRIVY_MAX_IMAGE_SIZE",
    "TRIVY_NON_SSL",
    "TRIVY_OFFLINE_SCAN",
    "TRIVY_PARALLEL",
    "TRIVY_PASSWORD",
    "TRIVY_QUIET",
    "TRIVY_REDIS_*",
    "TRIVY_REGISTRY_TOKEN",
    "TRIVY_RESET",
    "TRIVY_SERVER",
    "TRIVY_SKIP_DB_UPDATE",
    "TRIVY_SKIP_JAVA_DB_UPDATE",
    "TRIVY_SKIP_VERSION_CHECK",
    "TRIVY_TOKEN",
    "TRIVY_TOKEN_HEADER",
    "TRIVY_USERNAME",
];

/// The variables among them that hold a login, which only the download of the database is given.
const LOGINS: [&str; 3] = ["TRIVY_PASSWORD", "TRIVY_REGISTRY_TOKEN", "TRIVY_USERNAME"];

/// Scans with [Trivy](https://trivy.dev): vulnerabilities of OS packages, as JSON.
///
/// The image is read from the relay, never from a container engine on this machine, which may hold
/// another image under the same name. The database is fetched with the logins of this process.
///
/// No setting that happens to lie about hides a finding: neither a `trivy.yaml` or a
/// `.trivyignore` in the working directory nor a variable such as `TRIVY_SEVERITY`. What the extra
/// arguments say does (`--severity`, `--ignorefile`, `--config`). Variables that say where Trivy
/// works and whom it speaks to stay in force (`TRIVY_CACHE_DIR`, `TRIVY_DB_REPOSITORY`, …).
///
/// Once [prepared](Scanner::prepare), every scan uses the database that was fetched then. One
/// `trivy server` on loopback, with a token, holds the cache and serves all scans of a worker, which
/// are its clients: a Trivy that works alone locks its cache for the whole scan. Workers at the same
/// time have a cache each, in the folder of `--cache-dir` or `TRIVY_CACHE_DIR`, or else beside the
/// state. Whoever names a server (`--server`) has it serve.
#[derive(Debug)]
pub struct Trivy {
    options: ToolOptions,
    version: VersionCheck,
    has_database: AtomicBool,
    database: Mutex<Database>,
    worker: Mutex<Option<Worker>>,
}

/// The cache that scans use, and the server that holds it.
#[derive(Debug)]
struct Worker {
    // Ends before another may take the folder.
    service: Option<Service>,
    folder: CacheFolder,
}

/// How many workers of one cache there can be at the same time.
const MAX_WORKERS: usize = 64;

/// The option that names the folder of the cache, as two words and as one.
const CACHE_DIR: &str = "--cache-dir";
const CACHE_DIR_IS: &str = "--cache-dir=";

/// When the database was made.
#[derive(Debug, Clone, Copy, Default)]
enum Database {
    /// Trivy was not asked since it was fetched.
    #[default]
    Unasked,
    /// What it told, if it did.
    Made(Option<DateTime<Utc>>),
}

impl Trivy {
    /// Trivy with these options.
    pub fn new(options: ToolOptions) -> Self {
        Self {
            options,
            version: VersionCheck::default(),
            has_database: AtomicBool::new(false),
            database: Mutex::default(),
            worker: Mutex::default(),
        }
    }

    /// The cache of this worker: the first that no other uses of those in the folder that the user
    /// names, or else in the one that is kept for the workflow.
    fn with_worker<T>(
        &self,
        job: &Job<'_>,
        work: impl FnOnce(&mut Worker) -> Result<T, ToolError>,
    ) -> Result<T, ToolError> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_none() {
            let folder = CacheFolder::first_free(self.cache_folders(job))?.ok_or_else(|| {
                let why = format!("its cache is in use by {MAX_WORKERS} others");
                ToolError::cannot(&self.options.program, why)
            })?;
            *worker = Some(Worker {
                service: None,
                folder,
            });
        }
        match worker.as_mut() {
            Some(worker) => work(worker),
            None => Err(ToolError::cannot(&self.options.program, "it has no cache")),
        }
    }

    fn cache_folders(&self, job: &Job<'_>) -> Vec<PathBuf> {
        let named = self.told(CACHE_DIR).last();
        let named = named.map(|value| value.trim_start_matches(CACHE_DIR_IS).to_owned());
        let variable = std::env::var("TRIVY_CACHE_DIR").ok();
        let named = named.or(variable).filter(|folder| !folder.is_empty());
        let numbers = 1..=MAX_WORKERS;
        match (named, job.kept) {
            // Its first is the folder itself, where a database may be already.
            (Some(named), _) => {
                let named = PathBuf::from(named);
                let others = numbers
                    .skip(1)
                    .map(|number| named.join(format!("worker-{number}")));
                std::iter::once(named.clone()).chain(others).collect()
            }
            (None, kept) => {
                let kept = kept.unwrap_or(job.folder);
                let folder = |number: usize| kept.join(format!("trivy-{number}"));
                numbers.map(folder).collect()
            }
        }
    }

    /// Where the server of this worker listens, and its token; none where the user names a server.
    fn server(&self, job: &Job<'_>) -> Result<Option<(String, String)>, ToolError> {
        if self.is_told("--server") || std::env::var_os("TRIVY_SERVER").is_some() {
            return Ok(None);
        }
        self.with_worker(job, |worker| {
            let is_running = worker.service.as_mut().is_some_and(Service::is_running);
            if !is_running {
                worker.service = None;
                let skip =
                    self.has_database.load(Ordering::Relaxed) || self.is_told("--skip-db-update");
                let prepare = |command: &mut Command| {
                    command.args(["--config"]);
                    command.arg(worker.folder.path.join("cssc-empty.yaml"));
                    if skip {
                        command.arg("--skip-db-update");
                    }
                    for (name, _) in std::env::vars_os() {
                        let text = name.to_string_lossy();
                        if text.starts_with("CSSC_") || is_hidden(&text) {
                            command.env_remove(&name);
                        }
                    }
                    command.env("TRIVY_DISABLE_TELEMETRY", "true");
                    command.env("TRIVY_SKIP_VERSION_CHECK", "true");
                };
                let empty = worker.folder.path.join("cssc-empty.yaml");
                fs::write(&empty, "").map_err(|error| ToolError::file("write", &empty, error))?;
                let program = &self.options.program;
                let service = Service::start(program, &worker.folder, prepare, job)?;
                worker.service = Some(service);
            }
            let service = worker.service.as_ref();
            Ok(service.map(|service| (service.address.clone(), service.token.clone())))
        })
    }

    /// The extra arguments but for the folder of the cache, which is [chosen](Self::cache_folders).
    fn extra(&self) -> Vec<&String> {
        let told = self.told(CACHE_DIR);
        let mut extra: Vec<&String> = self.options.extra.iter().collect();
        if let Some(first) = told.first()
            && let Some(place) = extra.iter().position(|arg| std::ptr::eq(*arg, first))
        {
            extra.drain(place..place.saturating_add(told.len()));
        }
        extra
    }

    /// A call that no setting which happens to lie about leads astray.
    fn call(&self, what: &str, job: &Job<'_>) -> Result<Call, ToolError> {
        let options = &self.options;
        let mut call = Call::new(&options.program, options.time_limit)
            .arg(what)
            .hiding(is_hidden)
            // As variables, which a version that does not know them ignores.
            .env("TRIVY_DISABLE_TELEMETRY", "true")
            .env("TRIVY_SKIP_VERSION_CHECK", "true");
        for (option, name) in [("--config", "trivy.yaml"), ("--ignorefile", "trivyignore")] {
            if !self.is_told(option) {
                call = call.arg(option).arg(empty_file(job, name)?);
            }
        }
        Ok(call)
    }

    /// A scan for OS packages that leaves a report.
    fn scanning(&self, report: &Path, job: &Job<'_>) -> Result<Call, ToolError> {
        // One that an earlier try left must not be taken for this one's.
        if let Err(error) = fs::remove_file(report)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(ToolError::file("remove", report, error));
        }
        let timeout = format!("{}s", self.options.time_limit.as_secs().max(1));
        let call = self
            .call("image", job)?
            .args(["--scanners", "vuln", "--pkg-types", "os", "--list-all-pkgs"])
            .args(["--no-progress", "--timeout", &timeout])
            .args(["--format", "json", "--output"])
            .arg(report);
        Ok(call)
    }

    /// Scans, and reads the report.
    fn report(&self, call: Call, report: PathBuf, job: &Job<'_>) -> Result<Scan, ToolError> {
        let program = &self.options.program;
        let ended = call.run(job)?;
        if report.is_file() {
            return Scan::read(program, report);
        }
        let said = ended.said.clone();
        ended.success()?;
        Err(ToolError::no_report(program, &report, &said))
    }

    /// Whether the extra arguments hold an option.
    fn is_told(&self, option: &str) -> bool {
        !self.told(option).is_empty()
    }

    /// An option and its value among the extra arguments, as one word or as two.
    fn told(&self, option: &str) -> &[String] {
        let extra = &self.options.extra;
        let is_it = |arg: &String| {
            let rest = arg.strip_prefix(option);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let place = extra.iter().position(is_it);
        let Some(told) = place.and_then(|place| extra.get(place..)) else {
            return &[];
        };
        let words = if told.first().is_some_and(|arg| arg == option) {
            2
        } else {
            1
        };
        told.get(..words).unwrap_or(told)
    }
}

/// Whether a variable may change what Trivy finds.
fn is_hidden(name: &str) -> bool {
    let is_passed_on = |known: &&str| match known.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == *known,
    };
    name.starts_with("TRIVY_") && !PASSED_ON.iter().any(is_passed_on)
}

/// Whether a variable is hidden from what reads images: at the relay no other login than its own
/// counts.
fn is_hidden_from_scans(name: &str) -> bool {
    is_hidden(name) || LOGINS.contains(&name)
}

/// An empty file, instead of one in the working directory.
fn empty_file(job: &Job<'_>, name: &str) -> Result<PathBuf, ToolError> {
    let path = job.folder.join(format!("empty-{name}"));
    fs::write(&path, "").map_err(|error| ToolError::file("write", &path, error))?;
    Ok(path)
}

impl Default for Trivy {
    /// `trivy` from `PATH`.
    fn default() -> Self {
        Self::new(ToolOptions::new("trivy"))
    }
}

impl Scanner for Trivy {
    fn name(&self) -> &'static str {
        "trivy"
    }

    fn check(&self, job: &Job<'_>) -> Result<Option<Version>, ToolError> {
        let program = &self.options.program;
        self.version.check(program, NEEDED, job)
    }

    fn prepare(&self, job: &Job<'_>) -> Result<(), ToolError> {
        self.has_database.store(false, Ordering::Relaxed);
        if self.is_told("--skip-db-update") || self.is_told("--server") {
            return Ok(());
        }
        let folder = self.with_worker(job, |worker| {
            // It holds the database that is to be replaced.
            worker.service = None;
            Ok(worker.folder.path.clone())
        })?;
        self.call("image", job)?
            .args(["--download-db-only", "--no-progress", CACHE_DIR])
            .arg(folder)
            .args(self.extra())
            .run(job)?
            .success()?;
        self.has_database.store(true, Ordering::Relaxed);
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Database::Unasked;
        Ok(())
    }

    /// Asks it once, and again after the database was fetched anew.
    fn database(&self, job: &Job<'_>) -> Result<Option<DateTime<Utc>>, ToolError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Database::Made(made) = *database {
            return Ok(made);
        }
        let said = Mutex::new(String::new());
        let listen = |line: &str| {
            if let Ok(mut said) = said.lock() {
                said.push_str(line);
            }
        };
        let job = Job {
            log: &listen,
            ..*job
        };
        let options = &self.options;
        let folder = self.with_worker(&job, |worker| Ok(worker.folder.path.clone()))?;
        let call = Call::new(&options.program, options.time_limit)
            .hiding(is_hidden)
            .args(["version", "--format", "json", CACHE_DIR])
            .arg(folder);
        // One that does not tell has its scans compared as they are.
        if let Err(error) = call.run(&job)
            && error.interrupt().is_some()
        {
            return Err(error);
        }
        let said = said.into_inner().unwrap_or_default();
        let version: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        let made = version.pointer("/VulnerabilityDB/UpdatedAt");
        let made = made.and_then(|time| time.as_str()?.parse().ok());
        *database = Database::Made(made);
        Ok(made)
    }

    fn release(&self) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn sbom(&self, report: &Path, job: &Job<'_>) -> Result<Option<PathBuf>, ToolError> {
        let options = &self.options;
        let sbom = job.folder.join("sbom.json");
        Call::new(&options.program, options.time_limit)
            .hiding(is_hidden)
            .args(["convert", "--format", "cyclonedx", "--output"])
            .arg(&sbom)
            .arg(report)
            .run(job)?
            .success()?;
        if sbom.is_file() {
            return Ok(Some(sbom));
        }
        Err(ToolError::no_report(
            &options.program,
            &sbom,
            "it wrote no SBOM",
        ))
    }

    fn scan(&self, image: &ImageRef, job: &Job<'_>) -> Result<Scan, ToolError> {
        self.check(job)?;
        let report = job.folder.join(format!("report-{}.json", image.tag()));
        let mut call = self
            .scanning(&report, job)?
            .args(["--image-src", "remote", CACHE_DIR])
            .arg(job.folder.join("trivy-client"));
        if let Some((address, token)) = self.server(job)? {
            call = call
                .args(["--server", &format!("http://{address}")])
                .env("TRIVY_TOKEN", token);
        }
        let call = call
            .args(self.extra())
            .arg(image.exact())
            .hiding(is_hidden_from_scans)
            .env("TRIVY_INSECURE", "true")
            .at_relay(job)?;
        self.report(call, report, job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_found_in_both_spellings() {
        let trivy = |extra: &[&str]| {
            let mut options = ToolOptions::new("trivy");
            options.extra = extra.iter().map(|&arg| arg.to_owned()).collect();
            Trivy::new(options)
        };
        let option = "--cache-dir";
        assert_eq!(trivy(&["--offline-scan"]).told(option), [""; 0]);
        assert_eq!(trivy(&["--cache-dirs", "a"]).told(option), [""; 0]);
        for extra in [["--cache-dir=a", "--x"], ["--x", "--cache-dir=a"]] {
            assert_eq!(trivy(&extra).told(option), ["--cache-dir=a"]);
        }
        let extra = ["--x", "--cache-dir", "a", "--y"];
        assert_eq!(trivy(&extra).told(option), ["--cache-dir", "a"]);
    }

    #[test]
    fn only_what_says_where_trivy_works_is_passed_on() {
        for name in [
            "TRIVY_CACHE_DIR",
            "TRIVY_CACHE_BACKEND",
            "TRIVY_USERNAME",
            "HOME",
            "PATH",
        ] {
            assert!(!is_hidden(name), "{name}");
        }
        for name in [
            "TRIVY_SEVERITY",
            "TRIVY_IGNOREFILE",
            "TRIVY_IGNORE_UNFIXED",
            "TRIVY_VEX",
            "TRIVY_CONFIG",
            "TRIVY_SKIP_FILES",
        ] {
            assert!(is_hidden(name), "{name}");
        }
    }
}
