//! The step that makes the plan.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread;

use cssc_core::{Config, CycleImage, Listing, Outcome, Plan, PlanOptions, Repository, Work};

use super::candidate::bury;
use super::step::{Hands, Trouble};
use crate::registry::{ListProgress, Reference, list_all};
use crate::store::PatchedImage;
use crate::tool::Log;

impl Hands<'_> {
    pub(super) fn plan(&self, work: &Work, log: &dyn Log) -> Result<Outcome, Trouble> {
        let registry = self.runner.registry;
        let workflow = self.runner.policy.read()?;
        let config: Config = workflow.policy().parse().map_err(|error| {
            Trouble::for_good(format!("the policy is not valid: {}", one_line(&error)))
        })?;
        let repositories: Vec<Repository> =
            config.enabled_repositories().into_iter().cloned().collect();
        let concurrency = self.runner.settings.list_concurrency;
        let inventory = list_all(
            registry,
            &repositories,
            concurrency,
            |_: ListProgress<'_>| {},
        );
        // Nobody else makes candidates of this owner, and none is being made while planning:
        // what is there was left behind by a crash.
        for (repository, listing) in inventory.iter() {
            if let Listing::Found(tags) = listing {
                let prefix = self.workflow.owner.candidate_prefix();
                let begin = tags.position(&prefix).unwrap_or_else(|place| place);
                let left = (begin..)
                    .map_while(|place| tags.get(place))
                    .take_while(|tag| tag.as_str().starts_with(&prefix));
                for tag in left {
                    let tag = tag.to_tag();
                    if self.workflow.owner.owns(tag.as_ref())
                        && let Err(error) = bury(registry, repository, &tag)
                    {
                        log.line(&format!("`{repository}:{tag}` is left over: {error}"));
                    }
                }
            }
        }
        let options = PlanOptions {
            dialect: workflow.dialect(),
            limit: None,
        };
        let plan = Plan::new(&config, &inventory, &options);
        for skipped in plan.skipped() {
            let (repository, tag) = (skipped.repository, skipped.tag);
            log.line(&format!(
                "`{repository}:{tag}` is skipped: {}",
                skipped.reason
            ));
        }
        for not_found in plan.not_found() {
            let (repository, tag) = (not_found.repository, not_found.selector.as_str());
            log.line(&format!("`{repository}:{tag}` is not found"));
        }
        let mut unavailable = Vec::new();
        for row in plan.unavailable() {
            let text = format!("`{}`: {}", row.repository, row.reason);
            log.line(&text);
            unavailable.push(text);
        }
        // What cannot be read now is tried again; what still cannot be read then does not keep
        // the other images waiting.
        let is_last = work.attempt >= self.runner.settings.cycle.attempts.get();
        if !unavailable.is_empty() && !is_last {
            return Err(Trouble::for_now(format!(
                "cannot list tags: {}",
                unavailable.join("; ")
            )));
        }
        let mut images: Vec<CycleImage> = plan.images().map(CycleImage::from).collect();
        log.line(&format!("images: {}", images.len()));
        let patched = self.runner.store.patched(self.workflow.id);
        let patched = patched.map_err(|error| Trouble::for_now(error.to_string()))?;
        self.look_up_digests(&mut images, &patched, concurrency);
        Ok(Outcome::Planned {
            images,
            unavailable: (!unavailable.is_empty()).then(|| unavailable.join("; ")),
        })
    }

    /// Finds out which originals have moved since they were patched here. One that cannot be
    /// asked for is taken not to have.
    fn look_up_digests(
        &self,
        images: &mut [CycleImage],
        patched: &[PatchedImage],
        concurrency: NonZeroUsize,
    ) {
        let patched: BTreeMap<_, _> = patched
            .iter()
            .map(|image| ((&image.repository, &image.tag), &image.digest))
            .collect();
        let mut asked: Vec<&mut CycleImage> = images
            .iter_mut()
            .filter(|image| image.tag != image.scan_tag)
            .filter_map(|image| {
                let digest = patched.get(&(&image.repository, &image.tag))?;
                image.patched_digest = Some((*digest).clone());
                Some(image)
            })
            .collect();
        let share = asked.len().div_ceil(concurrency.get()).max(1);
        thread::scope(|scope| {
            for part in asked.chunks_mut(share) {
                scope.spawn(|| {
                    for image in part {
                        if self.cancel.is_canceled() {
                            return;
                        }
                        let reference = Reference::Tag(image.tag.clone());
                        let found = self.runner.registry.resolve(&image.repository, &reference);
                        image.digest = found.ok().flatten().map(|found| found.digest.to_string());
                    }
                });
            }
        });
    }
}

fn one_line(error: &impl ToString) -> String {
    error.to_string().lines().collect::<Vec<_>>().join("; ")
}
