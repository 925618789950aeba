//! What is attached to a manifest, each thing once.

use cssc_core::Repository;
use cssc_core::cycle::{Attach, CycleId};
use cssc_registry::{Artifact, Attachment, Descriptor, Referrer, ReferrersFallback, attach};
use serde_json::Value;

use super::origin::CYCLE;
use super::{StepContext, StepError};

/// What a statement is stored as ([in-toto](https://github.com/in-toto/attestation)).
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The annotation that says what a statement is about.
pub(crate) const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// The annotation that tells apart the scan before a patch and the one after it.
const PART: &str = "dev.cssc.scan";
/// What Trivy looks for.
const SBOM: &str = "application/vnd.cyclonedx+json";

/// The manifest that things are attached to.
pub(super) struct Attachments<'a> {
    context: &'a StepContext<'a>,
    repository: &'a Repository,
    subject: Descriptor,
    cycle: CycleId,
    fallback: ReferrersFallback,
    /// What refers to it; an earlier attempt of the step may have attached a part.
    there: Vec<Referrer>,
    count: u32,
}

impl<'a> Attachments<'a> {
    /// Those of a manifest; none where nothing is to be attached, or the registry has no API for
    /// referrers and nothing else was asked for.
    pub(super) fn of(
        subject: Descriptor,
        cycle: CycleId,
        repository: &'a Repository,
        mode: Attach,
        context: &'a StepContext<'a>,
    ) -> Result<Option<Self>, StepError> {
        let fallback = match mode {
            Attach::Never => return Ok(None),
            Attach::Auto if !context.registry.has_referrers_api(repository)? => return Ok(None),
            Attach::Auto => ReferrersFallback::Never,
            Attach::Always => ReferrersFallback::Tag,
        };
        let there = context
            .registry
            .referrers(repository, &subject.digest, None)?;
        Ok(Some(Self {
            context,
            repository,
            subject,
            cycle,
            fallback,
            there,
            count: 0,
        }))
    }

    /// How many things are attached.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Attaches a statement; of scans there are two.
    pub(super) fn statement(
        &mut self,
        predicate_type: &str,
        part: Option<&str>,
        statement: &Value,
    ) -> Result<(), StepError> {
        let statement = self.context.without_relay(statement.to_string())?;
        let artifact = Artifact::new(STATEMENT)
            .layer(STATEMENT, statement)
            .annotation(PREDICATE_TYPE, predicate_type);
        let artifact = match part {
            Some(part) => artifact.annotation(PART, part),
            None => artifact,
        };
        let is_it = |referrer: &Referrer| {
            let annotation = |key| referrer.annotations.get(key).map(String::as_str);
            annotation(PREDICATE_TYPE) == Some(predicate_type) && annotation(PART) == part
        };
        self.attach(artifact, STATEMENT, is_it)
    }

    /// Attaches a list of what is in the image, as `CycloneDX` has it.
    pub(super) fn sbom(&mut self, document: String) -> Result<(), StepError> {
        let document = self.context.without_relay(document)?;
        let artifact = Artifact::new(SBOM).layer(SBOM, document);
        self.attach(artifact, SBOM, |_| true)
    }

    fn attach(
        &mut self,
        artifact: Artifact,
        artifact_type: &str,
        is_it: impl Fn(&Referrer) -> bool,
    ) -> Result<(), StepError> {
        self.count = self.count.saturating_add(1);
        let cycle = self.cycle.to_string();
        let is_there = self.there.iter().any(|referrer| {
            referrer.artifact_type == artifact_type
                && referrer.annotations.get(CYCLE) == Some(&cycle)
                && is_it(referrer)
        });
        if is_there {
            return Ok(());
        }
        let artifact = artifact
            .annotation(CYCLE, cycle)
            .subject(self.subject.clone());
        let (registry, repository) = (self.context.registry, self.repository);
        match attach(registry, repository, &artifact, self.fallback)? {
            Attachment::Attached(_) => Ok(()),
            // It was there a moment ago.
            _ => Err(StepError::transient(
                "the registry no longer supports the referrers API",
            )),
        }
    }
}
