//! Laws of a cycle that several workers do: any number of shards, any order, workers killed at any
//! step and started again with or without what their relay held, a shard done twice at the same
//! time, a shard never done, results lost or given twice.
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
    Assignment, Attach, AttestOutcome, BegunPublication, Cause, Comparison, CopyContent,
    CopyOutcome, CycleDocument, CycleId, CycleImage, CycleOptions, CyclePlatform, CycleReport,
    ImageName, ImageOutcome, ImageReport, ManifestReplacement, Merge, NextStep, PatchOutcome,
    PatchStep, PinnedPolicy, PlanOutcome, PublishOutcome, PublishStep, ReportedFinding,
    RowFindings, ScanOutcome, Shard, ShardResult, SignOutcome, Step, StepFailure, StepOutcome,
    Until, VerifyOutcome,
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
    attach: bool,
    sign: bool,
    until: Option<Until>,
    /// Who does what next.
    moves: Vec<(u8, Move)>,
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// A worker takes a step.
    Work,
    /// A worker does a step, and dies before it has taken note of that. Its result file stays, and
    /// its relay may.
    Die { keeps_relay: bool },
    /// A worker dies; its files are lost with it.
    DieAndLose,
    /// Another worker begins the same shard.
    Double,
}

fn scripts(disturbed: bool) -> impl Strategy<Value = Script> {
    let moves = if disturbed {
        prop_oneof![
            12 => Just(Move::Work),
            2 => any::<bool>().prop_map(|keeps_relay| Move::Die { keeps_relay }),
            1 => Just(Move::DieAndLose),
            1 => Just(Move::Double),
        ]
        .boxed()
    } else {
        Just(Move::Work).boxed()
    };
    let moves = prop::collection::vec((any::<u8>(), moves), 0..200);
    let moves = (any::<bool>(), moves).prop_map(|(loses_notes, mut moves)| {
        moves.retain(|(_, what)| loses_notes || !matches!(what, Move::DieAndLose));
        moves
    });
    let until = prop_oneof![5 => Just(None), 1 => Just(Some(Until::Verify))];
    let asked = (any::<bool>(), any::<bool>(), until);
    (any::<u64>(), 0..7_u32, 1..5_u32, asked, moves).prop_map(
        |(seed, images, shards, (attach, sign, until), moves)| Script {
            seed,
            images,
            shards,
            attach,
            sign,
            until,
            moves,
        },
    )
}

impl Script {
    /// What every worker is asked for.
    fn options(&self) -> CycleOptions {
        CycleOptions {
            attach: [Attach::Never, Attach::Always][usize::from(self.attach)],
            sign: self.sign,
            until: self.until,
            ..CycleOptions::default()
        }
    }
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
    /// Those of them that were copied into it.
    manifests: BTreeSet<Digest>,
    indexes: BTreeMap<Digest, Vec<ManifestReplacement>>,
    verified: BTreeSet<Digest>,
    attested: BTreeSet<Digest>,
    signed: BTreeSet<Digest>,
    /// How often each tag was written.
    published: BTreeMap<String, u32>,
    builds: u32,
    script: Script,
}

/// What the relay of one worker holds.
type Relay = BTreeSet<Digest>;

impl Registry {
    fn dice(&self, what: impl Hash, sides: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        hasher.finish() % sides
    }

    /// Performs a step of a worker with this relay that has written down this result.
    fn perform(
        &mut self,
        step: &Step,
        relay: &mut Relay,
        notes: &[BegunPublication],
    ) -> StepOutcome {
        let writes = matches!(
            step,
            Step::Copy(_) | Step::Attest(_) | Step::Sign(_) | Step::Publish(_)
        );
        assert!(
            !writes || self.script.until.is_none(),
            "a cycle that stops short writes nothing: {step:?}"
        );
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
            Step::Patch(step) => self.patch(step, relay),
            Step::Verify(step) => {
                let candidate = &step.candidate.digest;
                // One's own publication is read from the registry.
                if !relay.contains(candidate) && !self.manifests.contains(candidate) {
                    return StepFailure::lost("it is gone").into();
                }
                let (fixed, left) = match self.dice(("fixes", &step.candidate.manifest), 4) {
                    0 => (vec![], vec![finding()]),
                    _ => (vec![finding()], vec![]),
                };
                if left.is_empty() {
                    self.verified.insert(candidate.clone());
                }
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
            Step::Copy(step) => {
                let copy = match &step.content {
                    CopyContent::Manifest(candidate) => {
                        assert!(
                            self.verified.contains(candidate),
                            "nothing reaches the registry before it was verified"
                        );
                        if !relay.contains(candidate) && !self.manifests.contains(candidate) {
                            return StepFailure::lost("it is gone").into();
                        }
                        self.manifests.insert(candidate.clone());
                        candidate.clone()
                    }
                    CopyContent::Index {
                        original,
                        replacements,
                        ..
                    } => {
                        for one in replacements {
                            self.assert_is_ready(&one.patched, false);
                        }
                        let mut hasher = DefaultHasher::new();
                        format!("{original}{replacements:?}").hash(&mut hasher);
                        let index = digest(format!("5{:020}", hasher.finish()));
                        self.indexes.insert(index.clone(), replacements.clone());
                        index
                    }
                };
                CopyOutcome::Copied(copy).into()
            }
            Step::Attest(step) => {
                self.attested.insert(step.subject.clone());
                AttestOutcome::Attached(1).into()
            }
            Step::Sign(step) => {
                self.assert_is_ready(&step.digest, false);
                self.signed.insert(step.digest.clone());
                SignOutcome::Signed.into()
            }
            Step::Publish(step) => self.publish(step, notes),
            step => unreachable!("{step:?}"),
        }
    }

    /// A digest gets its tag when it was copied, attested and signed, where that is asked for.
    fn assert_is_ready(&self, digest: &Digest, is_last: bool) {
        let is_copied = self.manifests.contains(digest) || self.indexes.contains_key(digest);
        assert!(is_copied, "only what was copied goes on");
        let is_attested = self.attested.contains(digest) || !self.script.attach;
        assert!(is_attested, "nothing goes on unattested");
        let is_signed = self.signed.contains(digest) || !self.script.sign || !is_last;
        assert!(is_signed, "no tag is written unsigned");
    }

    fn patch(&mut self, step: &PatchStep, relay: &mut Relay) -> StepOutcome {
        for begun in &step.begun {
            let there = self.tags.get(begun.tag.as_str());
            let Some(there) = there.filter(|there| **there == begun.digest) else {
                continue;
            };
            if self.made.get(there) == Some(&step.manifest) {
                return PatchOutcome::Made(there.clone()).into();
            }
            let mut held = self.indexes[there].iter();
            let found = held.find(|one| one.original == step.manifest);
            return match found {
                Some(found) => PatchOutcome::Made(found.patched.clone()).into(),
                None => StepFailure::permanent("published without it").into(),
            };
        }
        match self.dice(("patch", &step.manifest), 5) {
            0 => StepFailure::permanent("no shell").into(),
            1 => PatchOutcome::NothingMade.into(),
            _ => {
                // No two builds are equal.
                self.builds += 1;
                let candidate = digest(format!("4{:06}", self.builds));
                self.made.insert(candidate.clone(), step.manifest.clone());
                relay.insert(candidate.clone());
                PatchOutcome::Made(candidate).into()
            }
        }
    }

    fn publish(&mut self, step: &PublishStep, notes: &[BegunPublication]) -> StepOutcome {
        self.assert_is_ready(&step.digest, true);
        let begun = BegunPublication {
            repository: step.repository.clone(),
            tag: step.tag.clone(),
            digest: step.digest.clone(),
        };
        assert!(
            notes.contains(&begun),
            "its digest is in the result before the tag is written"
        );
        match self.tags.get(step.tag.as_str()) {
            Some(there) if *there == step.digest => {}
            Some(there) if step.replaces.as_ref() != Some(there) => {
                return PublishOutcome::TagTaken.into();
            }
            _ => {
                self.tags.insert(step.tag.to_string(), step.digest.clone());
                *self.published.entry(step.tag.to_string()).or_default() += 1;
            }
        }
        PublishOutcome::Published.into()
    }
}

/// A worker, and the file that it writes its result to.
struct Worker {
    shard: Shard,
    cycle: Cycle,
    earlier: Option<ShardResult>,
    held: Vec<Assignment>,
    relay: Relay,
}

impl Worker {
    fn begin(
        document: &CycleDocument,
        shard: Shard,
        earlier: Option<ShardResult>,
        options: CycleOptions,
    ) -> Self {
        let options = CycleOptions {
            jobs: NonZeroU32::new(2).unwrap(),
            ..options
        };
        let cycle = document.cycle_of(shard, earlier.as_ref(), options, start());
        Self {
            shard,
            cycle: cycle.unwrap(),
            earlier,
            held: Vec::new(),
            relay: Relay::new(),
        }
    }

    /// Does something; false when nothing is left.
    fn work(&mut self, registry: &mut Registry, now: DateTime<Utc>) -> bool {
        match self.cycle.next_step(now) {
            NextStep::Assigned(work) => self.held.push(*work),
            _ if self.held.is_empty() => return false,
            _ => {
                let work = self.held.remove(0);
                let notes = self.result();
                let outcome = registry.perform(&work.step, &mut self.relay, notes.begun());
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
            manifests: BTreeSet::new(),
            indexes: BTreeMap::new(),
            verified: BTreeSet::new(),
            attested: BTreeSet::new(),
            signed: BTreeSet::new(),
            published: BTreeMap::new(),
            builds: 0,
            script: script.clone(),
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
            ..script.options()
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
        let options = self.script.options();
        let begin =
            |document: &_, shard, earlier| Worker::begin(document, shard, earlier, options.clone());
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
                Move::Die { .. } | Move::DieAndLose => {
                    let result = worker.result();
                    if let Some(work) = worker.held.first() {
                        let step = work.step.clone();
                        let relay = &mut worker.relay;
                        self.registry.perform(&step, relay, result.begun());
                    }
                    let kept = matches!(what, Move::Die { .. }).then(|| result.clone());
                    // An engine may have fetched it before it was lost.
                    results.push(result);
                    let relay = std::mem::take(&mut worker.relay);
                    *worker = begin(&self.document, worker.shard, kept);
                    if matches!(what, Move::Die { keeps_relay: true }) {
                        worker.relay = relay;
                    }
                }
                Move::Double => {
                    let shard = worker.shard;
                    workers.push(begin(&self.document, shard, None));
                }
            }
            assert!(
                self.keeps_foreign_tags(),
                "a tag of others is not overwritten"
            );
            let mut published = self.registry.published.values();
            assert!(
                published.all(|times| *times == 1),
                "an image is published once"
            );
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
            world.document.cycle(), Cause::Immediate, script.options(), start(),
        );
        let mut relay = Relay::new();
        let mut registry = world.registry.clone();
        give_plan(&mut alone, world.document.plan().images().to_vec());
        while let NextStep::Assigned(work) = alone.next_step(start()) {
            let outcome = registry.perform(&work.step, &mut relay, &alone.begun());
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
            let there = world.registry.tags.get(&tag).filter(|_| !world.foreign.contains_key(&tag));
            let is_lost = script.moves.iter().any(|(_, what)| matches!(what, Move::DieAndLose));
            if row.patched_digest.is_none() && there.is_some() {
                // Only notes that are lost leave a publication unknown, and that is not success.
                prop_assert!(is_lost);
                prop_assert_eq!(row.outcome, Some(ImageOutcome::Failed));
                let code = row.reason.as_ref().map(|reason| reason.code.as_str());
                prop_assert_eq!(code, Some("tag-taken"));
            } else {
                // What is said to be there is there, and the other way round, whichever of several
                // workers of the shard has published it.
                prop_assert_eq!(row.patched_digest.as_ref(), there);
            }
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
            let mut worker = Worker::begin(&self.document, shard, None, self.script.options());
            while worker.work(&mut registry, self.now) {}
            worker.result()
        });
        let again: Vec<ShardResult> = again.collect();
        again.iter().chain(results).cloned().collect()
    }
}

/// A cycle of one image and one shard, whose patch is good.
fn world_of_a_good_patch() -> World {
    let worlds = (0..).map(|seed| {
        World::new(&Script {
            seed,
            images: 1,
            shards: 1,
            attach: true,
            sign: true,
            until: None,
            moves: Vec::new(),
        })
    });
    let is_good = |world: &World| {
        let mut other = World::new(&world.script);
        let results = other.work();
        let report = other.finish(&results);
        report.images()[0].row.outcome == Some(ImageOutcome::Patched)
    };
    worlds.take(1000).find(is_good).unwrap()
}

impl World {
    fn begin(&self, earlier: Option<ShardResult>) -> Worker {
        let shard = self.shards().next().unwrap();
        Worker::begin(&self.document, shard, earlier, self.script.options())
    }

    /// A worker that has written the tag of its image and not taken note of that; and its result.
    fn killed_after_the_tag(&mut self) -> (Worker, ShardResult) {
        let mut worker = self.begin(None);
        while !matches!(
            worker.held.first().map(|work| &work.step),
            Some(Step::Publish(_))
        ) {
            assert!(worker.work(&mut self.registry, self.now));
        }
        let result = worker.result();
        let step = worker.held[0].step.clone();
        self.registry
            .perform(&step, &mut worker.relay, result.begun());
        (worker, result)
    }

    /// Does all that is left for a worker; its result.
    fn end(&mut self, mut worker: Worker) -> ShardResult {
        while worker.work(&mut self.registry, self.now) {}
        worker.result()
    }
}

fn told(result: &ShardResult) -> (Option<ImageOutcome>, Option<&str>, Option<&Digest>) {
    let row = &result.images()[0].row;
    let code = row.reason.as_ref().map(|reason| reason.code.as_str());
    (row.outcome, code, row.patched_digest.as_ref())
}

#[test]
fn of_twins_one_publishes_and_together_they_have_patched() {
    let mut world = world_of_a_good_patch();
    let (mut one, mut other) = (world.begin(None), world.begin(None));
    // In step, so that both have a candidate before either publishes.
    while one.work(&mut world.registry, world.now) | other.work(&mut world.registry, world.now) {}
    let results = [one.result(), other.result()];
    let published = world.registry.tags["v0-1"].clone();
    let patched = (Some(ImageOutcome::Patched), None, Some(&published));
    assert_eq!(told(&results[0]), patched);
    let taken = (Some(ImageOutcome::Failed), Some("tag-taken"), None);
    assert_eq!(
        told(&results[1]),
        taken,
        "the tag is not moved on, and no next number is taken"
    );
    for results in [results.clone(), [results[1].clone(), results[0].clone()]] {
        let row = world.finish(&results).images()[0].row.clone();
        assert_eq!(row.outcome, Some(ImageOutcome::Patched));
        assert_eq!(row.patched_digest.as_ref(), Some(&published));
    }
}

#[test]
fn a_killed_worker_knows_its_own_publication_again_by_its_notes_alone() {
    let mut world = world_of_a_good_patch();
    let (_, notes) = world.killed_after_the_tag();
    let published = world.registry.tags["v0-1"].clone();
    assert_eq!(notes.images(), [], "it was not reported");
    assert_eq!(notes.begun()[0].digest, published);
    // What its relay held is lost with it.
    let builds = world.registry.builds;
    let again = world.begin(Some(notes));
    let result = world.end(again);
    let patched = (Some(ImageOutcome::Patched), None, Some(&published));
    assert_eq!(told(&result), patched);
    assert_eq!(world.registry.builds, builds, "nothing is made anew");
    assert_eq!(
        world.registry.published["v0-1"], 1,
        "and nothing published twice"
    );
    // Without its notes it is another worker, whatever the image says of itself.
    let without = world.begin(None);
    let result = world.end(without);
    let taken = (Some(ImageOutcome::Failed), Some("tag-taken"), None);
    assert_eq!(told(&result), taken);
    // What was begun and is not what the tag stands for proves nothing.
    let mut world = world_of_a_good_patch();
    let (_, notes) = world.killed_after_the_tag();
    world.registry.tags.insert("v0-1".to_owned(), digest("e"));
    let again = world.begin(Some(notes));
    let result = world.end(again);
    assert_eq!(told(&result), taken);
    assert_eq!(world.registry.tags["v0-1"], digest("e"));
}
