//! Laws of a cycle: random plans, options, outcomes, cancellations, and crashes at every step that
//! may lose what the relay held.
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
    Assignment, Attach, AttestOutcome, AttestStep, BegunPublication, Candidate, Cause, Comparison,
    CopyContent, CopyOutcome, CopyStep, CycleErrorKind, CycleId, CycleImage, CycleOptions,
    CyclePlan, CyclePlatform, CycleRecord, ImageOutcome, Interrupt, LatestPatch, LeftOut,
    LeftOutReason, ManifestReplacement, NextStep, PatchOutcome, PatchRefusal, PlanOutcome,
    PlatformPatch, PublishOutcome, PublishStep, RecordChange, RowStatus, Run, RunId, ScanOutcome,
    SignOutcome, SignStep, Status, StatusRow, Step, StepFailure, StepKind, StepOutcome, Task,
    TestOutcome, Until, VerifyOutcome,
};
use cssc_core::inventory::{ListingError, UnavailableKind};
use cssc_core::scan::{Finding, ImageMismatch, ScanSkip, ScanVerdict, Severity};
use cssc_core::workflow::WorkflowSettings;
use cssc_core::{Cycle, Digest, Evidence, ScanReport};
use proptest::prelude::*;

/// What happens in a simulation besides the work.
#[derive(Debug, Clone)]
struct Script {
    /// Decides what every step comes to, whatever the order.
    seed: u64,
    images: u32,
    jobs: u32,
    attempts: u32,
    asked: Asked,
    /// How often the runner may die over a step. Without an end every step is done some day.
    interruptions: Option<u32>,
    /// What is done next, one number a step: crash, cancel, hold or finish work.
    moves: Vec<u8>,
}

/// What is asked of the cycle.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is set by itself")]
struct Asked {
    verify: bool,
    test: bool,
    attach: bool,
    sign: bool,
    adopt: bool,
    until: Option<Until>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let until = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Until::Scan)),
        2 => Just(Some(Until::Verify)),
    ];
    (any::<[bool; 5]>(), until).prop_map(|([verify, test, attach, sign, adopt], until)| Asked {
        verify,
        test,
        attach,
        sign,
        adopt,
        until,
    })
}

/// Scripts under which every step is done some day; otherwise a candidate may be lost, and a runner
/// may die, more often than the cycle puts up with.
fn scripts(is_patient: bool) -> impl Strategy<Value = Script> {
    let moves = proptest::collection::vec(any::<u8>(), 0..400);
    let interruptions = if is_patient {
        Just(None).boxed()
    } else {
        (0..4_u32).prop_map(Some).boxed()
    };
    let numbers = (0..6_u32, 1..4_u32, 1..5_u32);
    (any::<u64>(), numbers, asked(), interruptions, moves).prop_map(
        |(seed, (images, jobs, attempts), asked, interruptions, moves)| Script {
            seed,
            images,
            jobs,
            attempts,
            asked,
            interruptions,
            moves,
        },
    )
}

/// What a manifest in the registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Manifest {
    /// That of a candidate.
    Candidate,
    /// An index with other manifests in it than the original's.
    Index(Vec<ManifestReplacement>),
}

/// The relay, the registry, the state file and the runner, all simulated.
struct World {
    script: Script,
    cycle: Cycle,
    now: DateTime<Utc>,
    /// Work in the hands of the runner.
    held: Vec<Assignment>,
    /// The candidates that the relay holds, and the runs that made them.
    relay: BTreeMap<Digest, RunId>,
    /// How often each run has lost a candidate.
    lost: BTreeMap<RunId, u32>,
    crashes: u32,
    /// Those that were found to be good enough for some image.
    verified: BTreeSet<Digest>,
    /// Those that have passed their test.
    tested: BTreeSet<Digest>,
    /// The registry: what this cycle has copied, with or without a tag.
    manifests: BTreeMap<Digest, Manifest>,
    attested: BTreeSet<Digest>,
    signed: BTreeSet<Digest>,
    /// Tag to digest.
    tags: BTreeMap<String, Digest>,
    /// Tags that stood at the beginning.
    foreign: BTreeMap<String, Digest>,
    images_made: u32,
    reported: BTreeMap<Turn, u32>,
    stored_cycle: Option<CycleRecord>,
    stored_plan: Option<CyclePlan>,
    stored_runs: BTreeMap<RunId, Run>,
    canceled: bool,
    published: BTreeMap<String, u32>,
}

/// A step that a run comes to, and the tag that it is about.
type Turn = (RunId, StepKind, Option<String>);

fn turn_of(work: &Assignment) -> Turn {
    let tag = match &work.step {
        Step::Sign(step) => Some(step.tag.to_string()),
        Step::Publish(step) => Some(step.tag.to_string()),
        _ => None,
    };
    (work.run.clone(), work.step.kind(), tag)
}

fn start() -> DateTime<Utc> {
    "2024-01-07T09:30:00Z".parse().unwrap()
}

fn id() -> CycleId {
    CycleId::new(start(), 5)
}

/// What the newest patch of every image is in the plan.
const PINNED: &str = "f";

/// A digest that differs with the number.
fn digest(number: impl std::fmt::Display) -> Digest {
    format!("sha256:{number:0>64}").parse().unwrap()
}

/// What a patch did that fixes the one finding there is, or nothing.
fn evidence(fixes: bool) -> Evidence {
    let report = |findings: &str| {
        let text = format!(
            r#"{{"SchemaVersion": 2, "Metadata": {{"OS": {{"Family": "debian", "Name": "12"}}}},
                "Results": [{{"Class": "os-pkgs", "Packages": [{{"Name": "libc6"}}],
                              "Vulnerabilities": [{findings}]}}]}}"#
        );
        ScanReport::from_slice(text.as_bytes()).unwrap()
    };
    let finding = r#"{"VulnerabilityID": "CVE-1", "PkgName": "libc6", "FixedVersion": "2"}"#;
    let after = if fixes { "" } else { finding };
    Evidence::compare(&report(finding), &report(after))
}

impl World {
    fn new(script: &Script) -> Self {
        let asked = script.asked;
        let options = CycleOptions {
            jobs: NonZeroU32::new(script.jobs).unwrap(),
            verify: asked.verify,
            test: asked.test,
            attach: [Attach::Never, Attach::Auto][usize::from(asked.attach)],
            sign: asked.sign,
            adopt: asked.adopt,
            until: asked.until,
            interruptions: script.interruptions.unwrap_or(u32::MAX),
            settings: serde_json::from_value::<WorkflowSettings>(
                serde_json::json!({"attempts": script.attempts}),
            )
            .unwrap(),
            ..CycleOptions::default()
        };
        let cycle = Cycle::new(id(), Cause::Immediate, options, start());
        let mut world = Self {
            script: script.clone(),
            cycle,
            now: start(),
            held: Vec::new(),
            relay: BTreeMap::new(),
            lost: BTreeMap::new(),
            crashes: 0,
            verified: BTreeSet::new(),
            tested: BTreeSet::new(),
            manifests: BTreeMap::new(),
            attested: BTreeSet::new(),
            signed: BTreeSet::new(),
            tags: BTreeMap::new(),
            foreign: BTreeMap::new(),
            images_made: 0,
            reported: BTreeMap::new(),
            stored_cycle: None,
            stored_plan: None,
            stored_runs: BTreeMap::new(),
            canceled: false,
            published: BTreeMap::new(),
        };
        // Of some images the patch tag is there already, although the plan does not know, or knows
        // it to stand for something else.
        for image in world.plan() {
            let there = match world.dice(("taken", &image.tag), 6) {
                0 => PINNED,
                1 => "e",
                _ => continue,
            };
            let tag = image.patch_tag.unwrap().to_string();
            world.foreign.insert(tag, digest(there));
        }
        world.tags = world.foreign.clone();
        world.store();
        world
    }

    /// A number below `sides` that depends on the seed and `what` alone.
    fn dice(&self, what: impl Hash, sides: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.script.seed, what).hash(&mut hasher);
        hasher.finish() % sides
    }

    /// Images that are manifests and indexes, some of which share a digest and differ in what
    /// their newest patches were made from.
    fn plan(&self) -> Vec<CycleImage> {
        (0..self.script.images)
            .map(|image| {
                let floating = self.dice("convention", 2) == 0;
                let suffix = if floating { "patched" } else { "3" };
                let content = self.dice(("content", image), u64::from(self.script.images));
                let places = match self.dice(("platforms", content), 4) {
                    0 => 2,
                    1 => 3,
                    _ => 1,
                };
                let original = |place: usize| digest(format!("1{content}0{place}"));
                let platform = |place: usize| {
                    let is_there = self.dice(("patch", image, place), 4) != 0;
                    let moved = self.dice(("moved", image, place), 3) == 0;
                    let history = self.dice(("history", image), 2);
                    let origin = if moved { digest(9) } else { original(place) };
                    CyclePlatform {
                        platform: ["linux/amd64", "linux/arm64/v8", "linux/s390x"][place]
                            .parse()
                            .unwrap(),
                        digest: original(place),
                        patch: is_there.then(|| PlatformPatch {
                            digest: digest(format!("2{content}{history}{place}")),
                            origin: Some(origin),
                        }),
                        size: 0,
                    }
                };
                CycleImage {
                    repository: "python".parse().unwrap(),
                    tag: format!("v{image}").parse().unwrap(),
                    digest: if places == 1 {
                        original(0)
                    } else {
                        digest(format!("3{content}"))
                    },
                    platforms: (0..places).map(platform).collect(),
                    unselected: Vec::new(),
                    latest_patch: Some(LatestPatch {
                        tag: format!("v{image}-{}", if floating { "patched" } else { "2" })
                            .parse()
                            .unwrap(),
                        digest: digest(PINNED),
                        is_foreign: self.dice(("foreign", image), 4) == 0,
                    }),
                    patch_tag: Some(format!("v{image}-{suffix}").parse().unwrap()),
                }
            })
            .collect()
    }

    fn is_vulnerable(&self, scanned: &Digest) -> bool {
        self.dice(("vulnerable", scanned), 4) != 0
    }

    fn fixes(&self, scanned: &Digest) -> bool {
        self.dice(("fixes", scanned), 4) != 0
    }

    /// Whether the step fails this time. What a step comes to in the end does not depend on how
    /// often it was done, so that what was lost can be made again.
    fn failure(&self, turn: &Turn) -> Option<StepOutcome> {
        let times = self.reported.get(turn).copied().unwrap_or(0);
        let failures = match self.dice(("failures", turn), 16) {
            0 => return Some(StepFailure::permanent("no luck at all").into()),
            1 => self.script.attempts,
            2 => 2,
            3 | 4 => 1,
            _ => 0,
        };
        (times < failures).then(|| match self.dice(("overdue", turn, times), 4) {
            0 => Interrupt::Overdue.into(),
            _ => StepFailure::transient("no luck").into(),
        })
    }

    /// Performs a step and says what it came to, without reporting it.
    fn act(&mut self, work: &Assignment) -> StepOutcome {
        let turn = turn_of(work);
        let times = self.reported.get(&turn).copied().unwrap_or(0);
        if let Step::Plan(step) = &work.step {
            let is_last = times + 1 == self.script.attempts;
            assert_eq!(step.leave_out_unavailable, is_last, "the core counts");
        }
        if let Some(failure) = self.failure(&turn) {
            return failure;
        }
        match &work.step {
            Step::Plan(_) => {
                let error = ListingError::new(UnavailableKind::Transient, "down");
                let unavailable = LeftOut {
                    repository: "redis".parse().unwrap(),
                    tag: "*".to_owned(),
                    reason: LeftOutReason::Unavailable(error),
                };
                let is_all = self.dice("unavailable", 8) != 0;
                PlanOutcome {
                    images: self.plan(),
                    left_out: if is_all { vec![] } else { vec![unavailable] },
                    ..PlanOutcome::default()
                }
                .into()
            }
            Step::Scan(step) => {
                let is_vulnerable = self.is_vulnerable(&step.digest);
                ScanOutcome {
                    verdict: if is_vulnerable {
                        ScanVerdict::Patch { fixable: 1 }
                    } else {
                        ScanVerdict::Skip(ScanSkip::NoVulnerability)
                    },
                    fixable: is_vulnerable.then(finding).into_iter().collect(),
                    unfixed: 2,
                    database: None,
                }
                .into()
            }
            Step::Patch(step) => {
                assert_eq!(
                    step.begun,
                    [],
                    "what this cycle has begun it goes on with itself"
                );
                match self.dice(("patch", &work.run), 10) {
                    0 => return PatchOutcome::NothingMade.into(),
                    1 => return PatchOutcome::Refused(PatchRefusal::OtherLayers).into(),
                    _ => {}
                }
                self.images_made += 1;
                let made = digest(format!("4{:05}", self.images_made));
                self.relay.insert(made.clone(), work.run.clone());
                PatchOutcome::Made(made).into()
            }
            Step::Verify(step) => {
                if !self.relay.contains_key(&step.candidate.digest) {
                    return StepFailure::lost("it is gone").into();
                }
                self.verify(&step.candidate, &step.scanned).into()
            }
            Step::Test(step) => {
                let candidate = &step.candidate.digest;
                if !self.relay.contains_key(candidate) {
                    return StepFailure::lost("it is gone").into();
                }
                assert!(
                    self.verified.contains(candidate),
                    "only what is good is tried"
                );
                if self.dice(("test", &step.candidate.manifest), 4) == 0 {
                    TestOutcome::Refused("it does not start".to_owned()).into()
                } else {
                    self.tested.insert(candidate.clone());
                    TestOutcome::Passed.into()
                }
            }
            step => self.write(&work.run, step),
        }
    }

    fn verify(&mut self, candidate: &Candidate, scanned: &[Digest]) -> VerifyOutcome {
        assert!(scanned.iter().all(|one| self.is_vulnerable(one)));
        let is_same = self.dice(("same", &candidate.manifest), 8) != 0;
        let is_better = scanned.iter().any(|one| self.fixes(one));
        if is_same && (is_better || !self.script.asked.verify) {
            self.verified.insert(candidate.digest.clone());
        }
        let comparisons = scanned.iter().map(|scanned| Comparison {
            scanned: scanned.clone(),
            evidence: evidence(self.fixes(scanned)),
        });
        VerifyOutcome {
            mismatch: (!is_same).then_some(ImageMismatch::NoPackages),
            comparisons: comparisons.collect(),
        }
    }

    /// Performs a step that writes to the registry.
    fn write(&mut self, run: &RunId, step: &Step) -> StepOutcome {
        assert_eq!(
            self.script.asked.until, None,
            "a cycle that stops short copies, attests, signs and publishes nothing: {step:?}"
        );
        match step {
            Step::Copy(step) => self.copy(step),
            Step::Attest(step) => self.attest(run, step),
            Step::Sign(step) => self.sign(step),
            Step::Publish(step) => self.publish(step),
            step => unreachable!("{step:?}"),
        }
    }

    /// Whether what a candidate went through before it was copied is what was asked for.
    fn assert_has_passed(&self, candidate: &Digest) {
        assert!(
            self.verified.contains(candidate),
            "nothing reaches the registry before it was verified"
        );
        assert!(
            self.tested.contains(candidate) || !self.script.asked.test,
            "nor before it was tested, where that is asked for"
        );
    }

    fn copy(&mut self, step: &CopyStep) -> StepOutcome {
        let (copy, manifest) = match &step.content {
            CopyContent::Manifest(candidate) => {
                self.assert_has_passed(candidate);
                let is_there = self.manifests.contains_key(candidate);
                if !is_there && !self.relay.contains_key(candidate) {
                    return StepFailure::lost("it is gone").into();
                }
                (candidate.clone(), Manifest::Candidate)
            }
            CopyContent::Index {
                original,
                replacements,
                previous,
            } => {
                let plan = self.plan();
                assert!(plan.iter().any(|image| image.digest == *original));
                assert_eq!(*previous, Some(digest(PINNED)), "the story goes on");
                for one in replacements.iter().map(|one| &one.patched) {
                    if one.as_str().starts_with(digest_of_candidate()) {
                        self.assert_is_ready(one, "an index names nothing that is not ready");
                    }
                }
                let mut hasher = DefaultHasher::new();
                format!("{original}{replacements:?}").hash(&mut hasher);
                let index = digest(format!("5{:020}", hasher.finish()));
                (index, Manifest::Index(replacements.clone()))
            }
        };
        self.manifests.insert(copy.clone(), manifest);
        CopyOutcome::Copied(copy).into()
    }

    /// Whether an image lacks nothing but a signature and a tag.
    fn assert_is_ready(&self, copy: &Digest, law: &str) {
        assert!(self.manifests.contains_key(copy), "{law}: not copied");
        let is_attested = self.attested.contains(copy);
        assert!(
            is_attested || !self.script.asked.attach,
            "{law}: not attested"
        );
    }

    fn attest(&mut self, run: &RunId, step: &AttestStep) -> StepOutcome {
        assert!(self.script.asked.attach, "nothing is attached unasked");
        match self.manifests.get(&step.subject) {
            Some(Manifest::Candidate) => assert!(step.platform.is_some()),
            Some(Manifest::Index(_)) => assert_eq!(step.platform, None),
            None => unreachable!("only what is in the registry is attested"),
        }
        // The reports are beside what the relay holds.
        let needs_relay = step.platform.is_some() && self.dice(("reports", run), 2) == 0;
        if needs_relay && !self.relay.contains_key(&step.subject) {
            return StepFailure::lost("its reports are gone").into();
        }
        self.attested.insert(step.subject.clone());
        match self.dice("referrers", 2) {
            0 => AttestOutcome::Unsupported.into(),
            _ => AttestOutcome::Attached(5).into(),
        }
    }

    fn sign(&mut self, step: &SignStep) -> StepOutcome {
        assert!(self.script.asked.sign, "nothing is signed unasked");
        self.assert_is_ready(&step.digest, "only what is ready is signed");
        assert_ne!(
            self.tags.get(step.tag.as_str()),
            Some(&step.digest),
            "an image is signed before it gets its tag"
        );
        self.signed.insert(step.digest.clone());
        SignOutcome::Signed.into()
    }

    fn publish(&mut self, step: &PublishStep) -> StepOutcome {
        self.assert_is_ready(&step.digest, "a tag is written for what is ready");
        assert!(
            self.signed.contains(&step.digest) || !self.script.asked.sign,
            "and signed, where that is asked for"
        );
        let begun = BegunPublication {
            repository: step.repository.clone(),
            tag: step.tag.clone(),
            digest: step.digest.clone(),
        };
        assert!(
            self.stored().begun().contains(&begun),
            "its digest is stored before the tag is written"
        );
        let mut plan = self.plan().into_iter();
        let image = plan.find(|image| image.patch_tag.as_ref() == Some(&step.tag));
        assert!(
            self.script.asked.adopt || !image.unwrap().would_replace_foreign(),
            "what does not show where it comes from is not replaced unasked"
        );
        match self.tags.get(step.tag.as_str()) {
            Some(there) if *there == step.digest => return PublishOutcome::Published.into(),
            Some(there) if step.replaces.as_ref() != Some(there) => {
                return PublishOutcome::TagTaken.into();
            }
            _ => {}
        }
        self.tags.insert(step.tag.to_string(), step.digest.clone());
        *self.published.entry(step.tag.to_string()).or_default() += 1;
        PublishOutcome::Published.into()
    }

    /// The cycle as it stands in the state file.
    fn stored(&self) -> Cycle {
        let record = self.stored_cycle.clone().unwrap();
        let (plan, runs) = (self.stored_plan.clone(), self.stored_runs.values().cloned());
        Cycle::restore(record, plan, runs).unwrap()
    }

    fn store(&mut self) {
        for change in self.cycle.take_changes() {
            match change {
                RecordChange::Cycle(record) => self.stored_cycle = Some(record),
                RecordChange::Plan { plan, .. } => self.stored_plan = Some(*plan),
                RecordChange::Run(run) => {
                    let before = self.stored_runs.get(run.id());
                    if let Some(before) = before.filter(|before| before.status().is_final()) {
                        assert_eq!(before.status(), run.status(), "an end is an end");
                    }
                    self.stored_runs.insert(run.id().clone(), *run);
                }
            }
        }
        self.check();
    }

    /// What must hold at every moment.
    fn check(&self) {
        let restored = self.stored();
        assert_eq!(restored, self.cycle, "what is stored is all there is");
        assert!(self.held.len() <= self.script.jobs as usize);
        let is_image = |row: &StatusRow| row.outcome != Some(ImageOutcome::LeftOut);
        let rows: Vec<StatusRow> = self.cycle.rows().collect();
        let summary = self.cycle.summary();
        let count = |of: &dyn Fn(&StatusRow) -> bool| rows.iter().filter(|row| of(row)).count();
        assert_eq!(summary.images, count(&is_image));
        for row in rows.iter().filter(|row| is_image(row)) {
            check_row(row);
        }
        for outcome in ImageOutcome::ALL {
            let of_outcome = |row: &StatusRow| row.outcome == Some(outcome);
            assert_eq!(summary.of(outcome), count(&of_outcome), "{outcome}");
        }
        assert_eq!(summary.published, count(&|row| row.patched_image.is_some()));
        for (tag, digest) in &self.foreign {
            // A floating tag may be moved away from what the plan has seen.
            if !tag.ends_with("-patched") || *digest != self::digest(PINNED) {
                assert_eq!(self.tags.get(tag), Some(digest), "an existing tag stays");
            }
        }
        assert!(
            self.published.values().all(|&times| times == 1),
            "an image is published once"
        );
        let begun = self.cycle.begun();
        for (tag, digest) in self.own_tags() {
            assert!(
                begun
                    .iter()
                    .any(|one| one.tag.as_str() == tag && one.digest == *digest),
                "the cycle knows what it has published, whatever became of the run"
            );
        }
    }

    /// The tags that this cycle has written.
    fn own_tags(&self) -> impl Iterator<Item = (&String, &Digest)> {
        let is_own = |tag: &&String| self.published.contains_key(*tag);
        self.tags.iter().filter(move |(tag, _)| is_own(tag))
    }

    /// The runner dies, and what the relay held may be gone.
    fn crash(&mut self, acted: bool) {
        for work in std::mem::take(&mut self.held) {
            if acted {
                self.act(&work);
            }
        }
        self.crashes += 1;
        let is_patient = self.script.interruptions.is_none();
        for (candidate, run) in self.relay.clone() {
            let times = self.lost.get(&run).copied().unwrap_or(0);
            // Another loss would be the last.
            let is_kept = is_patient && times + 1 >= self.script.attempts;
            if !is_kept && self.dice(("lost", &candidate, self.crashes), 3) == 0 {
                self.relay.remove(&candidate);
                *self.lost.entry(run).or_default() += 1;
            }
        }
        let text = serde_json::to_string(&self.cycle).unwrap();
        self.cycle = serde_json::from_str(&text).unwrap();
        self.cycle.recover(self.now);
        self.store();
    }

    /// Outcomes that do not fit are refused, and change nothing.
    fn disturb(&mut self) {
        let before = self.cycle.clone();
        let now = self.now;
        let signed = || SignOutcome::Signed.into();
        let unknown = RunId::scan(id(), 99);
        let error = self.cycle.report(&unknown, 1, signed(), now);
        assert_eq!(error.unwrap_err().kind(), CycleErrorKind::UnknownRun);
        for run in self.stored_runs.values() {
            let error = self.cycle.report(run.id(), u32::MAX, signed(), now);
            let error = error.unwrap_err();
            let kind = match run.status() {
                Status::Canceled => CycleErrorKind::Canceled,
                _ => CycleErrorKind::NotAwaited,
            };
            assert_eq!(error.kind(), kind);
        }
        for work in &self.held {
            let wrong = match work.step {
                Step::Scan(_) => PublishOutcome::TagTaken.into(),
                _ => ScanOutcome {
                    verdict: ScanVerdict::Patch { fixable: 1 },
                    fixable: Vec::new(),
                    unfixed: 0,
                    database: None,
                }
                .into(),
            };
            let error = self.cycle.report(&work.run, work.attempt, wrong, now);
            assert_eq!(error.unwrap_err().kind(), CycleErrorKind::Mismatch);
        }
        assert_eq!(self.cycle, before);
    }

    fn report(&mut self, work: &Assignment, outcome: StepOutcome) {
        let (run, attempt, now) = (&work.run, work.attempt, self.now);
        self.cycle
            .report(run, attempt, outcome.clone(), now)
            .unwrap();
        let again = self.cycle.report(run, attempt, outcome, now);
        let error = again.unwrap_err();
        assert!(matches!(
            error.kind(),
            CycleErrorKind::NotAwaited | CycleErrorKind::Canceled
        ));
    }

    /// One step of the simulation; false when the cycle has ended.
    fn turn(&mut self, number: u8, undisturbed: bool) -> bool {
        self.now += TimeDelta::seconds(i64::from(number));
        let is_patient = self.script.interruptions.is_none();
        match number {
            0..8 if !undisturbed => self.crash(number < 4),
            8..10 if !undisturbed => self.disturb(),
            10..12 if !undisturbed && !self.held.is_empty() => {
                let work = self.held.remove(0);
                self.report(&work, Interrupt::Stopped.into());
            }
            12 if !is_patient && !self.held.is_empty() => {
                let work = self.held.remove(0);
                if self.dice(("canceled", turn_of(&work)), 2) == 0 {
                    self.act(&work);
                }
                self.report(&work, Interrupt::Canceled.into());
            }
            12..128 if !self.held.is_empty() => {
                let work = self.held.remove(usize::from(number) % self.held.len());
                let outcome = self.act(&work);
                *self.reported.entry(turn_of(&work)).or_default() += 1;
                self.report(&work, outcome);
                self.store();
            }
            _ => match self.cycle.next_step(self.now) {
                NextStep::Assigned(work) => {
                    assert!(work.deadline > self.now);
                    let text = serde_json::to_string(&work).unwrap();
                    let sent: Assignment = serde_json::from_str(&text).unwrap();
                    assert_eq!(sent, *work, "a step can be sent");
                    self.held.push(sent);
                    self.store();
                }
                NextStep::WaitUntil(time) if self.held.is_empty() => self.now = time,
                NextStep::WaitUntil(_) => {}
                NextStep::Idle => assert!(!self.held.is_empty(), "somebody must be at work"),
                NextStep::Done => return false,
            },
        }
        self.store();
        true
    }

    fn run(&mut self, cancel_at: Option<usize>, undisturbed: bool) {
        let moves = self.script.moves.clone();
        // When the script is over: begin and finish in turn.
        let rest = [200, 20].into_iter().cycle();
        for (turn, number) in moves.into_iter().chain(rest).enumerate() {
            assert!(turn < 100_000, "a cycle ends");
            if cancel_at == Some(turn) {
                self.cancel();
            }
            if !self.turn(number, undisturbed) {
                break;
            }
        }
        let record = self.cycle.record();
        assert!(record.status().is_final() && record.finished().is_some());
        assert!(
            self.cycle
                .runs()
                .all(|run| run.status().is_final() && run.finished().is_some())
        );
        let summary = self.cycle.summary();
        assert_eq!(summary.done(), summary.images);
    }

    fn cancel(&mut self) {
        let had_ended = self.cycle.has_ended();
        self.cycle.cancel(self.now);
        self.store();
        assert_eq!(self.cycle.cancel(self.now), 0, "once is enough");
        let before = self.cycle.clone();
        for work in std::mem::take(&mut self.held) {
            let outcome = self.act(&work);
            let (run, attempt) = (&work.run, work.attempt);
            let error = self.cycle.report(run, attempt, outcome, self.now);
            let error = error.unwrap_err();
            assert!(matches!(
                error.kind(),
                CycleErrorKind::NotAwaited | CycleErrorKind::Canceled
            ));
        }
        self.cycle.recover(self.now);
        assert_eq!(self.cycle.next_step(self.now), NextStep::Done);
        assert_eq!(self.cycle, before, "cancel is final");
        self.canceled = !had_ended;
        self.store();
    }

    /// What the rows say was published is there; and the other way round, unless the runner died
    /// over it for good or was not to report it any more.
    fn assert_rows_tell_the_tags(&self, is_all_told: bool) {
        let rows = self.cycle.rows();
        let told: BTreeMap<String, Digest> = rows
            .filter_map(|row| Some((row.patched_image?.tag.to_string(), row.patched_digest?)))
            .collect();
        for (tag, digest) in &told {
            assert_eq!(
                self.tags.get(tag),
                Some(digest),
                "what a row tells is there"
            );
        }
        if is_all_told {
            assert!(
                self.own_tags().all(|(tag, _)| told.contains_key(tag)),
                "what is there a row tells"
            );
        }
    }

    /// What came of it, without dates, which differ, and digests, which are new each time.
    fn result(&self) -> Vec<StatusRow> {
        let rows = self.cycle.rows().map(|mut row| {
            (row.scan_date, row.patch_date) = (None, None);
            let platforms = row.platforms.iter_mut().map(|one| &mut one.findings);
            for findings in platforms.chain([&mut row.findings]).flatten() {
                findings.open_since = None;
            }
            row.patched_digest = None;
            row
        });
        rows.collect()
    }

    /// Every platform of what was published holds what it must: a candidate of this cycle where
    /// one has earned the tag, else what an earlier patch made of the same original, else the
    /// original.
    fn assert_every_platform_is_kept(&self) {
        let Some(plan) = self.cycle.plan() else {
            return;
        };
        let rows: Vec<StatusRow> = self.cycle.rows().collect();
        for (image, row) in plan.images().iter().zip(&rows) {
            let Some(published) = &row.patched_digest else {
                continue;
            };
            if !image.is_index() {
                assert_eq!(self.manifests[published], Manifest::Candidate);
                continue;
            }
            let Manifest::Index(replacements) = &self.manifests[published] else {
                unreachable!("an index stays an index");
            };
            let mut is_new = false;
            for (platform, told) in image.platforms.iter().zip(&row.platforms) {
                let mut replacements = replacements.iter();
                let held = replacements.find(|one| one.original == platform.digest);
                let held = held.map(|one| &one.patched);
                let is_candidate =
                    held.is_some_and(|one| one.as_str().starts_with(digest_of_candidate()));
                is_new |= is_candidate;
                if is_candidate {
                    let scanned = image.scanned(platform).1;
                    assert!(self.is_vulnerable(scanned));
                    assert!(self.fixes(scanned) || !self.script.asked.verify);
                } else {
                    assert_eq!(held, platform.valid_patch(), "what was patched stays so");
                    assert_ne!(told.outcome, Some(ImageOutcome::Patched));
                }
            }
            assert!(is_new, "a new tag holds something new");
        }
    }
}

/// How digests of candidates begin: zeros, a 4 and five digits.
fn digest_of_candidate() -> &'static str {
    static DIGEST: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| format!("sha256:{}4", "0".repeat(58)));
    &DIGEST
}

fn finding() -> Finding {
    Finding::new("CVE-1", "libc6", "1", Some("2"), Severity::High)
}

fn check_row(row: &StatusRow) {
    use RowStatus::{Failed, Queued, Skipped, Succeeded, Unknown};
    assert_eq!(row.scan_date.is_some(), row.scan_status == Succeeded);
    assert_eq!(row.patch_date.is_some(), row.patch_status == Succeeded);
    if row.patch_status == Succeeded {
        assert!(row.patched_image.is_some());
    }
    if matches!(row.patch_status, Queued | Skipped | Unknown) {
        assert_eq!(row.patched_image, None);
    }
    assert_eq!(row.patched_image.is_some(), row.patched_digest.is_some());
    if row.scan_status == Succeeded {
        assert_ne!(row.patch_status, Unknown);
    }
    match row.outcome {
        Some(ImageOutcome::Patched) => assert!(row.patched_image.is_some()),
        Some(ImageOutcome::Clean) => assert!(row.patched_image.is_none() && row.reason.is_some()),
        Some(_) => assert!(row.reason.is_some()),
        None => {}
    }
    assert_eq!(
        row.outcome,
        row.platforms
            .iter()
            .map(|one| one.outcome)
            .collect::<Option<Vec<_>>>()
            .and_then(|outcomes| outcomes.into_iter().max()),
        "an image ends as its worst platform"
    );
    if row.patch_run_id.is_none() {
        assert!(!matches!(row.patch_status, Succeeded | Failed));
    }
    assert_eq!(row.scan_run_id.as_ref().unwrap().task(), Task::Scan);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn resumed_equals_uninterrupted(script in scripts(true)) {
        let mut resumed = World::new(&script);
        resumed.run(None, false);
        resumed.assert_rows_tell_the_tags(true);
        resumed.assert_every_platform_is_kept();
        let mut straight = World::new(&Script { jobs: 1, moves: Vec::new(), ..script });
        straight.run(None, true);
        straight.assert_rows_tell_the_tags(true);
        // Crashes, and what the relay lost in them, change nothing of what comes of an image.
        prop_assert_eq!(resumed.result(), straight.result());
        prop_assert_eq!(resumed.cycle.record().status(), straight.cycle.record().status());
        let names = |world: &World| world.tags.keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(names(&resumed), names(&straight));
    }

    /// The laws that every step asserts hold, too, when a runner dies more often than a cycle puts
    /// up with, loses candidates more often, and runs are canceled one by one.
    #[test]
    fn a_cycle_without_patience_ends_and_keeps_the_laws(script in scripts(false)) {
        let mut world = World::new(&script);
        world.run(None, false);
        world.assert_rows_tell_the_tags(false);
        world.assert_every_platform_is_kept();
    }

    #[test]
    fn cancel_is_final_at_every_step(
        script in any::<bool>().prop_flat_map(scripts), at in 0..120_usize
    ) {
        let mut world = World::new(&script);
        world.run(Some(at), false);
        world.assert_rows_tell_the_tags(false);
        world.assert_every_platform_is_kept();
        if world.canceled {
            let status = world.cycle.record().status();
            let trigger = world.cycle.run(&RunId::trigger(id())).unwrap().status();
            // A patch may be made that is not published any more: then no run was canceled.
            let is_canceled = |row: StatusRow| row.outcome == Some(ImageOutcome::Canceled);
            let any = trigger == Status::Canceled || world.cycle.rows().any(is_canceled);
            prop_assert_eq!(status == Status::Canceled, any);
            let runs = world.cycle.runs().filter(|run| run.status() == Status::Canceled);
            prop_assert!(any || runs.count() == 0);
        }
    }
}

#[test]
fn a_step_that_brings_the_runner_down_is_given_up() {
    let options = CycleOptions {
        interruptions: 2,
        ..CycleOptions::default()
    };
    let mut cycle = Cycle::new(id(), Cause::Immediate, options, start());
    for attempt in 1..=3 {
        let NextStep::Assigned(work) = cycle.next_step(start()) else {
            panic!("{attempt}");
        };
        assert_eq!(work.attempt, attempt);
        cycle.recover(start());
    }
    assert_eq!(cycle.next_step(start()), NextStep::Done);
    let trigger = cycle.run(&RunId::trigger(id())).unwrap();
    assert_eq!(trigger.status(), Status::Failed);
    assert_eq!(
        trigger.reason().unwrap().to_string(),
        "interrupted 3 times, the runner died each time"
    );
}

/// The core counts attempts, and interruptions are none: a restart of the runner costs the
/// repositories that cannot be listed no attempt.
#[test]
fn what_is_unavailable_is_left_out_at_the_last_attempt_alone() {
    let mut cycle = Cycle::new(id(), Cause::Immediate, CycleOptions::default(), start());
    let mut now = start();
    let mut seen = Vec::new();
    for attempt in 1..=5 {
        let work = loop {
            match cycle.next_step(now) {
                NextStep::Assigned(work) => break work,
                NextStep::WaitUntil(time) => now = time,
                other => panic!("{other:?}"),
            }
        };
        let Step::Plan(step) = &work.step else {
            panic!("{work:?}");
        };
        seen.push(step.leave_out_unavailable);
        if attempt == 1 {
            cycle.recover(now);
        } else if attempt == 2 {
            let stopped = Interrupt::Stopped.into();
            cycle.report(&work.run, work.attempt, stopped, now).unwrap();
        } else {
            let failure = StepFailure::transient("redis is down").into();
            cycle.report(&work.run, work.attempt, failure, now).unwrap();
        }
    }
    assert_eq!(seen, [false, false, false, false, true]);
    assert!(cycle.has_ended());
}

/// What the patch fixed, left and introduced is kept with the run and told by the row.
#[test]
fn evidence_is_kept() {
    let script = Script {
        seed: 7,
        images: 6,
        jobs: 1,
        attempts: 3,
        asked: Asked {
            verify: true,
            test: false,
            attach: true,
            sign: true,
            adopt: true,
            until: None,
        },
        interruptions: None,
        moves: Vec::new(),
    };
    let mut world = World::new(&script);
    world.run(None, true);
    let text = serde_json::to_string(&world.cycle).unwrap();
    let cycle: Cycle = serde_json::from_str(&text).unwrap();
    let mut patched = 0;
    for row in cycle
        .rows()
        .filter(|row| row.outcome == Some(ImageOutcome::Patched))
    {
        for platform in &row.platforms {
            let findings = platform.findings.unwrap();
            let numbers = (findings.fixable, findings.fixed, findings.left);
            assert!(matches!(numbers, (1, 1, 0) | (0, 0, 0)), "{numbers:?}");
            assert_eq!(findings.introduced, 0);
            if findings.fixable == 1 {
                let run = cycle.run(platform.patch_run_id.as_ref().unwrap()).unwrap();
                let comparisons = &run.verified().unwrap().comparisons;
                assert!(comparisons.iter().any(|one| one.evidence == evidence(true)));
                let scan = cycle
                    .run(platform.scan_run_id.as_ref().unwrap())
                    .unwrap()
                    .scan()
                    .unwrap();
                assert_eq!(scan.fixable, [finding()]);
            }
        }
        patched += 1;
    }
    assert!(patched > 0);
}

#[test]
fn only_version_1_is_read() {
    let cycle = Cycle::new(id(), Cause::Immediate, CycleOptions::default(), start());
    let text = serde_json::to_string(&cycle).unwrap();
    for (version, error) in [
        ("0", "version 0 is not read"),
        ("2", "version 2 is not read"),
    ] {
        let other = text.replacen(r#""version":1"#, &format!(r#""version":{version}"#), 1);
        let error_text = serde_json::from_str::<Cycle>(&other)
            .unwrap_err()
            .to_string();
        assert!(error_text.starts_with(error), "{error_text}");
    }
}
