//! Trivy as the scanner.

use std::fs;

use super::process::Call;
use super::version::VersionCheck;
use super::{ImageRef, Job, Scan, Scanner, ToolError, ToolOptions, Version};

/// The first version that knows `--pkg-types`.
const NEEDED: Version = Version(0, 54, 0);
const OPTION: &str = "--trivy";

/// Scans with [Trivy](https://trivy.dev): fixable vulnerabilities of OS packages, as JSON.
///
/// The image is read from the registry, never from a container engine on this machine, which
/// may hold another image under the same name. Of a multi-platform image the variant for this
/// machine is scanned, unless the extra arguments say otherwise (`--platform linux/arm64`).
/// Trivy's own settings (`TRIVY_…`, `trivy.yaml`, its cache and database) stay in force.
#[derive(Debug)]
pub struct Trivy {
    options: ToolOptions,
    version: VersionCheck,
}

impl Trivy {
    /// Trivy with these options.
    pub fn new(options: ToolOptions) -> Self {
        Self {
            options,
            version: VersionCheck::default(),
        }
    }
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
        self.version.check(program, OPTION, NEEDED, job)
    }

    fn scan(&self, image: &ImageRef, job: &Job<'_>) -> Result<Scan, ToolError> {
        let report = job.folder.join(format!("report-{}.json", image.tag()));
        // One that an earlier try left must not be taken for this one's.
        if let Err(error) = fs::remove_file(&report)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(ToolError::file("remove", &report, error));
        }
        let options = &self.options;
        let mut call = Call::new(&options.program, options.time_limit)
            .args(["image", "--scanners", "vuln", "--pkg-types", "os"])
            .args(["--ignore-unfixed", "--image-src", "remote", "--no-progress"])
            .args([
                "--timeout",
                &format!("{}s", options.time_limit.as_secs().max(1)),
            ])
            .args(["--format", "json", "--output"])
            .arg(&report)
            .args(&options.extra)
            .arg(image.exact())
            // As variables, which a version that does not know them ignores.
            .env("TRIVY_DISABLE_TELEMETRY", "true")
            .env("TRIVY_SKIP_VERSION_CHECK", "true");
        if job.access.is_insecure(image.registry()) {
            call = call.env("TRIVY_INSECURE", "true");
        }
        if let Some(config) = job.access.docker_config(image.registry(), job.folder)? {
            call = call.env("DOCKER_CONFIG", config);
        }
        let program = &options.program;
        let ended = call.run(OPTION, job)?;
        let exit_code = ended.code();
        if report.is_file() {
            return Ok(Scan { report, exit_code });
        }
        let said = ended.said.clone();
        ended.success()?;
        Err(ToolError::no_report(program, &report, &said))
    }
}
