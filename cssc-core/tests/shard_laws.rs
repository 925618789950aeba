//! Laws of a cycle that several workers do: any number of shards, any order, workers killed at any
//! step and started again, a shard done twice at the same time, a shard never done, results lost or
//! given twice.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails loudly, and its numbers are small"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::cycle::{
    Assignment, Cause, Comparison, CycleDocument, CycleId, CycleImage, CycleOptions, CyclePlatform,
    CycleReport, DiscardOutcome, Exchange, ImageName, ImageOutcome, ImageReport, Merge, NextStep,
    PatchOutcome, PatchStep, PinnedPolicy, PlanOutcome, PublishContent, PublishOutcome,
    PublishStep, ReportedFinding, RowFindings, ScanOutcome, Shard, ShardResult, Step, StepFailure,
    StepOutcome, VerifyOutcome,
};
use cssc_core::name::Platform;
use cssc_core::scan::{Finding, ScanSkip, ScanVerdict, Severity};
use cssc_core::tags::TagConvention;
use cssc_core::{Cycle, Digest, Evidence};
use proptest::prelude::*;

const REGISTRY: &str = "localhost:5000";

#[derive(Debug, Clone)]
struct Script {
    /// Decides what every step comes to, whoever does it.
    seed: u64,
    images: u32,
    shards: u32,
    /// Who does what next.
    moves: Vec<(u8, Move)>,
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// A worker takes a step.
    Work,
    /// A worker does a step, and dies before it has taken note of that.
    Die,
    /// A worker dies; its result file is lost with it.
    DieAndLose,
    /// Somebody else begins the same shard.
    Double,
}

fn scripts(disturbed: bool) -> impl Strategy<Value = Script> {
    let moves = if disturbed {
        prop_oneof![
            12 => Just(Move::Work),
            1 => Just(Move::Die),
            1 => Just(Move::DieAndLose),
            1 => Just(Move::Double),
        ]
        .boxed()
    } else {
        Just(Move::Work).boxed()
    };
    let moves = prop::collection::vec((any::<u8>(), moves), 0..200);
    (any::<u64>(), 0..7_u32, 1..5_u32, moves).prop_map(|(seed, images, shards, moves)| Script {
        seed,
        images,
        shards,
        moves,
    })
}

fn start() -> DateTime<Utc> {
    "2024-01-07T09:30:00Z".parse().unwrap()
}

fn digest(number: impl std::fmt::Display) -> Digest {
    format!("sha256:{number:0>64}").parse().unwrap()
}

fn finding() -> Finding {
    Finding::new("CVE-1", "libc6", "1", Some("2"), Severity::High)
}

/// A registry, as far as steps see it.
#[derive(Debug, Clone)]
struct Registry {
    seed: u64,
    tags: BTreeMap<String, Digest>,
    /// The candidates of this cycle, and the manifests that they were made from.
    made: BTreeMap<Digest, Digest>,
    indexes: BTreeMap<Digest, Vec<Exchange>>,
    builds: u32,
}

impl Registry {
    fn dice(&self, what: impl Hash, sides: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        hasher.finish() % sides
    }

    fn perform(&mut self, step: &Step) -> StepOutcome {
        match step {
            Step::Scan(step) => {
                let (verdict, fixable) = match self.dice(("scan", &step.digest), 5) {
                    0 => return StepFailure::permanent("no luck").into(),
                    1 => (ScanVerdict::Skip(ScanSkip::NoVulnerability), vec![]),
                    2 => (ScanVerdict::Skip(ScanSkip::EndOfServiceLife), vec![]),
                    _ => (ScanVerdict::Patch { fixable: 1 }, vec![finding()]),
                };
                ScanOutcome {
                    verdict,
                    fixable,
                    unfixed: 0,
                    database: None,
                }
                .into()
            }
            Step::Patch(step) => self.patch(step),
            Step::Verify(step) => {
                let (fixed, left) = match self.dice(("fixes", &step.candidate.manifest), 4) {
                    0 => (vec![], vec![finding()]),
                    _ => (vec![finding()], vec![]),
                };
                let after = ScanVerdict::Skip(ScanSkip::NoVulnerability);
                let evidence = Evidence::new(fixed, vec![], left, after);
                let scanned = step.scanned.iter().cloned();
                VerifyOutcome {
                    mismatch: None,
                    comparisons: scanned
                        .map(|scanned| Comparison {
                            scanned,
                            evidence: evidence.clone(),
                        })
                        .collect(),
                }
                .into()
            }
            Step::Publish(step) => self.publish(step),
            Step::Discard(step) => {
                self.tags.remove(step.candidate.as_str());
                DiscardOutcome::Removed.into()
            }
            step => unreachable!("{step:?}"),
        }
    }

    fn patch(&mut self, step: &PatchStep) -> StepOutcome {
        for tag in &step.published {
            let Some(there) = self.tags.get(tag.as_str()) else {
                continue;
            };
            if self.made.get(there) == Some(&step.manifest) {
                return PatchOutcome::Made(there.clone()).into();
            }
            if let Some(held) = self.indexes.get(there) {
                let mut held = held.iter();
                let found = held.find(|one| {
                    one.original == step.manifest && self.made.contains_key(&one.patched)
                });
                return match found {
                    Some(found) => PatchOutcome::Made(found.patched.clone()).into(),
                    None => StepFailure::permanent("published without it").into(),
                };
            }
        }
        match self.dice(("patch", &step.manifest), 5) {
            0 => StepFailure::permanent("no shell").into(),
            1 => PatchOutcome::NothingMade.into(),
            _ => {
                // No two builds are equal.
                self.builds += 1;
                let candidate = digest(format!("4{:06}", self.builds));
                self.made.insert(candidate.clone(), step.manifest.clone());
                self.tags
                    .insert(step.candidate.to_string(), candidate.clone());
                PatchOutcome::Made(candidate).into()
            }
        }
    }

    fn publish(&mut self, step: &PublishStep) -> StepOutcome {
        let published = match &step.content {
            PublishContent::Manifest(digest) => digest.clone(),
            PublishContent::Index { exchanged, .. } => {
                let mut hasher = DefaultHasher::new();
                format!("{}{exchanged:?}", step.original).hash(&mut hasher);
                let index = digest(format!("5{:020}", hasher.finish()));
                self.indexes.insert(index.clone(), exchanged.clone());
                index
            }
        };
        match self.tags.get(step.tag.as_str()) {
            Some(there) if *there == published => {}
            Some(there) if step.replaces.as_ref() != Some(there) => {
                return if self.is_same_work(&published, there) {
                    PublishOutcome::Published(there.clone()).into()
                } else {
                    PublishOutcome::TagTaken.into()
                };
            }
            _ => {
                self.tags.insert(step.tag.to_string(), published.clone());
            }
        }
        PublishOutcome::Published(published).into()
    }
}

impl Registry {
    /// Whether this cycle made both, of the same platforms of the same original.
    fn is_same_work(&self, one: &Digest, other: &Digest) -> bool {
        let made = |digest: &Digest| match self.indexes.get(digest) {
            Some(exchanged) => exchanged
                .iter()
                .map(|one| match self.made.get(&one.patched) {
                    Some(original) => original.clone(),
                    None => one.patched.clone(),
                })
                .collect(),
            None => Vec::from_iter(self.made.get(digest).cloned()),
        };
        let (one, other) = (made(one), made(other));
        !one.is_empty() && one == other
    }
}

/// A worker, and the file that it writes its result to.
struct Worker {
    shard: Shard,
    cycle: Cycle,
    earlier: Option<ShardResult>,
    held: Vec<Assignment>,
}

impl Worker {
    fn begin(
        document: &CycleDocument,
        shard: Shard,
        earlier: Option<ShardResult>,
        number: u32,
    ) -> Self {
        let options = CycleOptions {
            worker: number,
            jobs: NonZeroU32::new(2).unwrap(),
            ..CycleOptions::default()
        };
        let cycle = document.cycle_of(shard, earlier.as_ref(), options, start());
        Self {
            shard,
            cycle: cycle.unwrap(),
            earlier,
            held: Vec::new(),
        }
    }

    /// Does something; false when nothing is left.
    fn work(&mut self, registry: &mut Registry, now: DateTime<Utc>) -> bool {
        match self.cycle.next_step(now) {
            NextStep::Assigned(work) => self.held.push(*work),
            _ if self.held.is_empty() => return false,
            _ => {
                let work = self.held.remove(0);
                let outcome = registry.perform(&work.step);
                self.cycle
                    .report(&work.run, work.attempt, outcome, now)
                    .unwrap();
            }
        }
        true
    }

    fn result(&self) -> ShardResult {
        let result = ShardResult::new(&self.cycle, self.shard, self.earlier.as_ref());
        let text = serde_json::to_vec(&result).unwrap();
        assert_eq!(ShardResult::from_slice(&text).unwrap(), result);
        result
    }
}

struct World {
    script: Script,
    registry: Registry,
    foreign: BTreeMap<String, Digest>,
    document: CycleDocument,
    now: DateTime<Utc>,
}

impl World {
    fn new(script: &Script) -> Self {
        let mut registry = Registry {
            seed: script.seed,
            tags: BTreeMap::new(),
            made: BTreeMap::new(),
            indexes: BTreeMap::new(),
            builds: 0,
        };
        let images = plan(&registry, script.images);
        for image in &images {
            if registry.dice(("taken", &image.tag), 5) == 0 {
                let tag = image.patch_tag.as_ref().unwrap().to_string();
                registry.tags.insert(tag, digest("f"));
            }
        }
        let options = CycleOptions {
            plan_only: true,
            ..CycleOptions::default()
        };
        let id = CycleId::new(start(), 5);
        let mut cycle = Cycle::new(id, Cause::Immediate, options, start());
        give_plan(&mut cycle, images);
        let shards = NonZeroU32::new(script.shards).unwrap();
        let document = CycleDocument::new(&cycle, REGISTRY, shards).unwrap();
        let text = serde_json::to_vec(&document).unwrap();
        assert_eq!(CycleDocument::from_slice(&text).unwrap(), document);
        Self {
            script: script.clone(),
            foreign: registry.tags.clone(),
            registry,
            document,
            now: start(),
        }
    }

    fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        let count = self.document.shards();
        let numbers = (1..=count.get()).filter_map(NonZeroU32::new);
        numbers.filter_map(move |number| Shard::new(number, count))
    }

    /// All workers work as the script says; their results, those of the killed ones too.
    fn work(&mut self) -> Vec<ShardResult> {
        let shards: Vec<Shard> = self.shards().collect();
        let mut number = 0;
        let mut begin = |document: &_, shard, earlier| {
            number += 1;
            Worker::begin(document, shard, earlier, number)
        };
        let mut workers: Vec<Worker> = shards
            .iter()
            .map(|shard| begin(&self.document, *shard, None))
            .collect();
        let mut results = Vec::new();
        for (who, what) in self.script.moves.clone() {
            self.now += TimeDelta::seconds(1);
            let count = workers.len();
            let worker = &mut workers[usize::from(who) % count];
            match what {
                Move::Work => {
                    worker.work(&mut self.registry, self.now);
                }
                Move::Die | Move::DieAndLose => {
                    if let Some(work) = worker.held.first() {
                        self.registry.perform(&work.step);
                    }
                    let result = worker.result();
                    let kept = matches!(what, Move::Die).then(|| result.clone());
                    // An engine may have fetched it before it was lost.
                    results.push(result);
                    *worker = begin(&self.document, worker.shard, kept);
                }
                Move::Double => {
                    let shard = worker.shard;
                    workers.push(begin(&self.document, shard, None));
                }
            }
            assert!(self.keeps_foreign_tags());
        }
        for worker in &mut workers {
            while worker.work(&mut self.registry, self.now) {
                self.now += TimeDelta::seconds(1);
            }
            assert!(worker.cycle.has_ended());
            results.push(worker.result());
        }
        results
    }

    /// No tag that is seen to be there is overwritten.
    fn keeps_foreign_tags(&self) -> bool {
        let mut foreign = self.foreign.iter();
        foreign.all(|(tag, digest)| self.registry.tags.get(tag) == Some(digest))
    }

    fn finish(&self, results: &[ShardResult]) -> CycleReport {
        let merge = Merge::new(&self.document, results).unwrap();
        let found = merge.disputed().into_iter().filter_map(|name| {
            let digest = self.registry.tags.get(&*name.tag)?;
            Some((name.clone(), digest.clone()))
        });
        merge.report(&found.collect(), self.now)
    }
}

/// Brings the plan in.
fn give_plan(cycle: &mut Cycle, images: Vec<CycleImage>) {
    let NextStep::Assigned(work) = cycle.next_step(start()) else {
        unreachable!()
    };
    let outcome = PlanOutcome {
        images,
        policy: Some(PinnedPolicy {
            digest: digest("a"),
            tag_convention: TagConvention::Incremental,
        }),
        ..PlanOutcome::default()
    };
    cycle
        .report(&work.run, work.attempt, outcome.into(), start())
        .unwrap();
}

/// Images that are manifests and indexes, some of which share a digest.
fn plan(registry: &Registry, images: u32) -> Vec<CycleImage> {
    (0..images)
        .map(|image| {
            let content = registry.dice(("content", image), u64::from(images));
            let places = 1 + usize::from(registry.dice(("platforms", content), 3) == 0);
            let original = |place: usize| digest(format!("1{content}0{place}"));
            CycleImage {
                repository: "python".parse().unwrap(),
                tag: format!("v{image}").parse().unwrap(),
                digest: match places {
                    1 => original(0),
                    _ => digest(format!("3{content}")),
                },
                platforms: (0..places)
                    .map(|place| CyclePlatform {
                        platform: ["linux/amd64", "linux/arm64/v8"][place].parse().unwrap(),
                        digest: original(place),
                        size: registry.dice(("size", content), 100) << 20,
                        patch: None,
                        candidate: None,
                    })
                    .collect(),
                unselected: Vec::new(),
                latest_patch: None,
                patch_tag: Some(format!("v{image}-1").parse().unwrap()),
            }
        })
        .collect()
}

/// What is the same whoever does an image: no times and no digests of builds.
fn essence(image: &ImageReport) -> impl PartialEq + std::fmt::Debug + use<> {
    let row = &image.row;
    let platforms = row.platforms.iter();
    let numbers = |findings: Option<RowFindings>| {
        findings.map(|mut findings| {
            findings.open_since = None;
            findings
        })
    };
    let findings = |found: &[ReportedFinding]| -> Vec<(Platform, Finding)> {
        found
            .iter()
            .map(|one| (one.platform.clone(), one.finding.clone()))
            .collect()
    };
    (
        row.image.clone(),
        row.outcome,
        (row.scan_status, row.patch_status),
        row.patched_image.clone(),
        (row.scan_run_id.clone(), row.patch_run_id.clone()),
        (
            numbers(row.findings),
            findings(&image.fixed_findings),
            findings(&image.left_findings),
        ),
        (image.ended.is_some(), row.reason.clone()),
        platforms
            .map(|one| {
                (
                    one.platform.clone(),
                    one.outcome,
                    numbers(one.findings),
                    one.reason.clone(),
                )
            })
            .collect::<Vec<_>>(),
    )
}

fn shuffled(results: &[ShardResult], seed: u64) -> Vec<ShardResult> {
    let mut shuffled: Vec<(u64, &ShardResult)> = (0_u64..)
        .zip(results.iter().chain(results))
        .map(|(place, result)| {
            let mut hasher = DefaultHasher::new();
            (seed, place).hash(&mut hasher);
            (hasher.finish(), result)
        })
        .collect();
    shuffled.sort_by_key(|(key, _)| *key);
    shuffled
        .into_iter()
        .map(|(_, result)| result.clone())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_shards_do_what_one_process_would_have_done(script in scripts(false)) {
        let mut world = World::new(&script);
        let mut alone = Cycle::new(
            world.document.cycle(), Cause::Immediate, CycleOptions::default(), start(),
        );
        let mut registry = world.registry.clone();
        give_plan(&mut alone, world.document.plan().images().to_vec());
        while let NextStep::Assigned(work) = alone.next_step(start()) {
            let outcome = registry.perform(&work.step);
            alone.report(&work.run, work.attempt, outcome, start()).unwrap();
        }
        let results = world.work();
        let report = world.finish(&results);
        let rows: Vec<_> = report.images().iter().map(essence).collect();
        let expected = CycleReport::new(&alone);
        let expected: Vec<_> = expected.images().iter().map(essence).collect();
        prop_assert_eq!(rows, expected);
        prop_assert_eq!(report.summary(), alone.summary());
        prop_assert_eq!(report.status(), alone.record().status());
    }

    #[test]
    fn whatever_happens_every_image_has_one_outcome(script in scripts(true)) {
        let mut world = World::new(&script);
        let results = world.work();
        let report = world.finish(&results);
        let names: Vec<ImageName> =
            report.images().iter().map(|image| image.row.image.clone()).collect();
        let planned: Vec<ImageName> = world.document.plan().images().iter()
            .map(|image| ImageName::of(&image.repository, &image.tag))
            .collect();
        prop_assert_eq!(names, planned);
        for image in report.images() {
            let row = &image.row;
            prop_assert!(row.outcome.is_some());
            let tag = format!("{}-1", row.image.tag);
            // What is said to be there is there, and the other way round.
            let there = world.registry.tags.get(&tag).filter(|_| !world.foreign.contains_key(&tag));
            prop_assert_eq!(row.patched_digest.as_ref(), there);
        }
        // In any order, and each as often as it comes.
        let other = world.finish(&shuffled(&results, script.seed));
        prop_assert_eq!(&other, &report);
        prop_assert_eq!(&report.clone().merge(other), &report);
    }

    #[test]
    fn what_nobody_reports_has_failed(script in scripts(true), lost in any::<u32>()) {
        let mut world = World::new(&script);
        let lost = 1 + lost % script.shards;
        let mut results = world.work();
        results.retain(|result| result.shard().number().get() != lost);
        let report = world.finish(&results);
        let text = format!("no result of shard {lost}");
        let done: BTreeSet<&ImageName> = results.iter().flat_map(ShardResult::images)
            .map(|image| &image.row.image)
            .collect();
        for image in report.images() {
            let reason = image.row.reason.as_ref().map(|reason| reason.text.as_str());
            if done.contains(&image.row.image) {
                prop_assert_ne!(reason, Some(text.as_str()));
            } else {
                prop_assert_eq!(reason, Some(text.as_str()));
                prop_assert_eq!(image.row.outcome, Some(ImageOutcome::Failed));
            }
        }
        // Of two reports of one cycle counts what each knows.
        let whole = world.finish(&world.work_again(&results));
        let merged = report.clone().merge(whole.clone());
        prop_assert_eq!(merged.images().len(), whole.images().len());
        prop_assert_eq!(merged.merge(report), whole.clone().merge(whole));
    }
}

impl World {
    /// The lost shard is done after all.
    fn work_again(&self, results: &[ShardResult]) -> Vec<ShardResult> {
        let mut registry = self.registry.clone();
        let again = self.shards().map(|shard| {
            let earlier = results.iter().find(|result| result.shard() == shard);
            if let Some(earlier) = earlier {
                return earlier.clone();
            }
            let mut worker = Worker::begin(&self.document, shard, None, 1_000);
            while worker.work(&mut registry, self.now) {}
            worker.result()
        });
        let again: Vec<ShardResult> = again.collect();
        again.iter().chain(results).cloned().collect()
    }
}
