//! Doing one step of a run.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use cssc_core::{
    Evidence, Outcome, PublishDecision, Repository, RunId, ScanDecision, ScanReport, Step, Tag,
    Work,
};

use super::candidate::bury;
use super::{PolicyTrouble, Runner, folder};
use crate::registry::{Digest, Reference, RegistryError};
use crate::store::StoredWorkflow;
use crate::tool::{Cancel, ImageRef, Job, Log, PatchRequest, ProcessGroup, ToolError};

/// Why a step was not done.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) reason: String,
    pub(super) retry: bool,
}

impl Trouble {
    pub(super) fn for_good(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            retry: false,
        }
    }

    pub(super) fn for_now(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            retry: true,
        }
    }
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self {
            retry: error.is_retryable(),
            reason: error.to_string(),
        }
    }
}

impl From<ToolError> for Trouble {
    fn from(error: ToolError) -> Self {
        Self {
            retry: error.is_retryable(),
            reason: error.to_string(),
        }
    }
}

/// Whoever does a step: what it needs beside the runner.
pub(super) struct Hands<'a> {
    pub(super) runner: &'a Runner<'a>,
    pub(super) workflow: &'a StoredWorkflow,
    pub(super) cancel: &'a Cancel,
    /// The digest of what the scan run scanned, for the steps of a patch run.
    pub(super) scanned: Option<String>,
}

impl Hands<'_> {
    /// Does the step; what goes wrong is an outcome like any other.
    pub(super) fn perform(&self, work: &Work) -> Outcome {
        let log = self.runner.store.run_log(work.run);
        let done = self.step(work, &log);
        let outcome = done.unwrap_or_else(|trouble| {
            log.line(&format!("{} failed: {}", work.step.name(), trouble.reason));
            Outcome::Failed {
                reason: trouble.reason,
                retry: trouble.retry,
            }
        });
        match log.finish() {
            Ok(()) => outcome,
            // What is to be recorded next will meet the same failure and stop the cycle.
            Err(error) => Outcome::Failed {
                reason: error.to_string(),
                retry: true,
            },
        }
    }

    fn step(&self, work: &Work, log: &dyn Log) -> Result<Outcome, Trouble> {
        let registry = self.runner.registry;
        match &work.step {
            Step::Plan => self.plan(work, log),
            Step::Scan {
                repository, tag, ..
            } => {
                let folder = self.folder(work)?;
                let digest = self.resolve(repository, tag)?;
                let report = self.scan(repository, tag, &digest, &folder, log)?;
                Ok(Outcome::Scanned {
                    verdict: ScanDecision::from(&report.verdict()),
                    digest: Some(digest.to_string()),
                })
            }
            Step::Patch {
                repository,
                original,
                scanned,
                scan_run,
                candidate,
            } => self.patch(
                work,
                (repository, original, scanned),
                *scan_run,
                candidate,
                log,
            ),
            Step::Verify {
                repository,
                candidate,
                digest,
                scanned,
                scan_run,
            } => self.verify(
                work,
                (repository, candidate, digest),
                (scanned, *scan_run),
                log,
            ),
            Step::Publish {
                repository,
                digest,
                tag,
                replace,
            } => {
                let digest = parse_digest(digest)?;
                let reference = Reference::Tag(tag.clone());
                match registry.resolve(repository, &reference)? {
                    Some(there) if there.digest == digest => return Ok(Outcome::Published),
                    Some(_) if !replace => return Ok(Outcome::TagTaken),
                    _ => {}
                }
                let manifest = registry.get_manifest(repository, &Reference::Digest(digest))?;
                registry.put_manifest(repository, &reference, &manifest)?;
                log.line(&format!("published `{repository}:{tag}`"));
                Ok(Outcome::Published)
            }
            Step::Discard {
                repository,
                candidate,
            } => {
                bury(registry, repository, candidate)?;
                Ok(Outcome::Discarded)
            }
        }
    }

    fn patch(
        &self,
        work: &Work,
        (repository, original, scanned): (&Repository, &Tag, &Tag),
        scan_run: RunId,
        candidate: &Tag,
        log: &dyn Log,
    ) -> Result<Outcome, Trouble> {
        let registry = self.runner.registry;
        let folder = self.folder(work)?;
        bury(registry, repository, candidate)?;
        let reference = Reference::Tag(candidate.clone());
        let before = registry.resolve(repository, &reference)?;
        let digest = self.resolve(repository, original)?;
        let report = self.report_of(
            &self.folder_of(&scan_run.to_string()),
            original == scanned && self.scanned.as_deref() == Some(digest.as_str()),
            (repository, original, &digest),
            &folder,
            log,
        )?;
        let image = self.image(repository, original, &digest);
        let request = PatchRequest {
            original: &image,
            report: &report,
            target: candidate,
        };
        let started = remember(&folder);
        let job = self.job(&folder, log, &started);
        self.runner.patcher.check(&job)?;
        let patched = self.runner.patcher.patch(&request, &job)?;
        if let Some(vex) = patched.vex {
            let kept = self.runner.folder().join(folder::VEX);
            let name = format!("{}.json", work.run);
            if let Err(error) =
                fs::create_dir_all(&kept).and_then(|()| fs::copy(&vex, kept.join(name)).map(drop))
            {
                log.line(&format!("the OpenVEX document is not kept: {error}"));
            }
        }
        let after = registry.resolve(repository, &reference)?;
        Ok(match after {
            Some(after) if Some(&after) != before.as_ref() => Outcome::Patched {
                digest: after.digest.to_string(),
                original: Some(digest.to_string()),
            },
            _ => {
                log.line("the patcher ended well and pushed nothing");
                Outcome::NothingMade
            }
        })
    }

    fn verify(
        &self,
        work: &Work,
        (repository, candidate, digest): (&Repository, &Tag, &str),
        (scanned, scan_run): (&Tag, RunId),
        log: &dyn Log,
    ) -> Result<Outcome, Trouble> {
        let folder = self.folder(work)?;
        let known = self
            .scanned
            .as_deref()
            .and_then(|digest| digest.parse().ok());
        let before = match known {
            Some(before) => before,
            None => self.resolve(repository, scanned)?,
        };
        let before = self.report_of(
            &self.folder_of(&scan_run.to_string()),
            true,
            (repository, scanned, &before),
            &folder,
            log,
        )?;
        let before = read_report(&before)?;
        let digest = parse_digest(digest)?;
        let after = self.scan(repository, candidate, &digest, &folder, log)?;
        let evidence = Evidence::compare(&before, &after);
        log.line(&format!(
            "findings fixed: {}, new: {}, remaining: {}",
            evidence.fixed().len(),
            evidence.introduced().len(),
            evidence.remaining().len()
        ));
        Ok(Outcome::Verified {
            verdict: PublishDecision::from(&evidence.decides()),
        })
    }

    fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Trouble> {
        let reference = Reference::Tag(tag.clone());
        let found = self.runner.registry.resolve(repository, &reference)?;
        found
            .map(|found| found.digest)
            .ok_or_else(|| Trouble::for_good(format!("`{repository}:{tag}` is not there any more")))
    }

    fn image(&self, repository: &Repository, tag: &Tag, digest: &Digest) -> ImageRef {
        ImageRef::new(self.runner.host.clone(), repository.clone(), tag.clone())
            .with_digest(digest.clone())
    }

    /// Scans an image; the report is in the folder afterwards.
    fn scan(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
        folder: &Path,
        log: &dyn Log,
    ) -> Result<ScanReport, Trouble> {
        let started = remember(folder);
        let job = self.job(folder, log, &started);
        self.runner.scanner.check(&job)?;
        let scan = self
            .runner
            .scanner
            .scan(&self.image(repository, tag, digest), &job)?;
        let report = read_report(&scan.report)?;
        // Under a name of its own only once it was read whole: what bears it can be relied on.
        let kept = report_path(folder, digest);
        fs::rename(&scan.report, &kept)
            .map_err(|error| Trouble::for_now(format!("cannot keep the report: {error}")))?;
        for count in report.counts() {
            let total = count.fixed.saturating_add(count.unfixed);
            if total > 0 {
                log.line(&format!(
                    "{}: {total}, {} fixable",
                    count.severity, count.fixed
                ));
            }
        }
        Ok(report)
    }

    /// The file with the report of an image: the one of the scan run if that is it and is still
    /// there, or else a new one.
    fn report_of(
        &self,
        scan_folder: &Path,
        is_scanned: bool,
        (repository, tag, digest): (&Repository, &Tag, &Digest),
        folder: &Path,
        log: &dyn Log,
    ) -> Result<PathBuf, Trouble> {
        for known in [scan_folder, folder] {
            let report = report_path(known, digest);
            if (is_scanned || known == folder) && report.is_file() {
                return Ok(report);
            }
        }
        self.scan(repository, tag, digest, folder, log)?;
        Ok(report_path(folder, digest))
    }

    fn job<'a>(
        &'a self,
        folder: &'a Path,
        log: &'a dyn Log,
        started: &'a (dyn Fn(ProcessGroup) + Sync),
    ) -> Job<'a> {
        Job {
            folder,
            log,
            cancel: self.cancel,
            access: self.runner.access,
            started,
        }
    }

    fn folder_of(&self, run: &str) -> PathBuf {
        self.runner.folder().join(folder::RUNS).join(run)
    }

    fn folder(&self, work: &Work) -> Result<PathBuf, Trouble> {
        let folder = self.folder_of(&work.run.to_string());
        fs::create_dir_all(&folder).map_err(|error| {
            Trouble::for_now(format!(
                "cannot make the folder `{}`: {error}",
                folder.display()
            ))
        })?;
        Ok(folder)
    }
}

/// Notes the process group of a tool in the folder of its run.
fn remember(folder: &Path) -> impl Fn(ProcessGroup) + Sync + use<> {
    let path = folder.join(folder::PROCESS);
    move |group| {
        // Without the note a tool that outlives a crash runs on for a while; that is no reason
        // not to start it.
        if let Ok(text) = serde_json::to_vec(&group) {
            let _ = fs::write(&path, text);
        }
    }
}

fn report_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{}.report.json", digest.hex()))
}

fn read_report(path: &Path) -> Result<ScanReport, Trouble> {
    let file = File::open(path)
        .map_err(|error| Trouble::for_now(format!("cannot read the scan report: {error}")))?;
    ScanReport::from_reader(BufReader::new(file))
        .map_err(|error| Trouble::for_now(error.to_string()))
}

fn parse_digest(text: &str) -> Result<Digest, Trouble> {
    text.parse()
        .map_err(|error: crate::registry::DigestError| Trouble::for_good(error.to_string()))
}

impl From<PolicyTrouble> for Trouble {
    fn from(trouble: PolicyTrouble) -> Self {
        Self {
            retry: trouble.retry,
            reason: trouble.reason,
        }
    }
}
