//! Laws of a cycle: random plans, outcomes, cancellations and crashes at every step.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails loudly, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{
    Assignment, Attach, AttestOutcome, Cause, Comparison, CycleErrorKind, CycleId, CycleImage,
    CycleOptions, CyclePlan, CyclePlatform, CycleRecord, DiscardOutcome, Exchange, ImageOutcome,
    Interrupt, LatestPatch, LeftOut, LeftOutReason, NextStep, PatchOutcome, PlanOutcome,
    PlatformPatch, PublishContent, PublishOutcome, PublishStep, RecordChange, RowStatus, Run,
    RunId, ScanOutcome, Status, StatusRow, Step, StepFailure, StepKind, StepOutcome, Task,
    TestOutcome, VerifyOutcome, candidate_of,
};
use cssc_core::inventory::{ListingError, UnavailableKind};
use cssc_core::scan::{Finding, ScanSkip, ScanVerdict, Severity};
use cssc_core::{Digest, Evidence, ScanReport, Tag};
use proptest::prelude::*;

/// What happens in a simulation besides the work.
#[derive(Debug, Clone)]
struct Script {
    /// Decides what every step comes to, whatever the order.
    seed: u64,
    images: u32,
    jobs: u32,
    verify: bool,
    /// What is done next, one number a step: crash, cancel, hold or finish work.
    moves: Vec<u8>,
}

fn scripts() -> impl Strategy<Value = Script> {
    let moves = proptest::collection::vec(any::<u8>(), 0..400);
    (any::<u64>(), 0..6_u32, 1..4_u32, any::<bool>(), moves).prop_map(
        |(seed, images, jobs, verify, moves)| Script {
            seed,
            images,
            jobs,
            verify,
            moves,
        },
    )
}

/// The registry, the state file and the runner, all simulated.
struct World {
    script: Script,
    cycle: Cycle,
    now: DateTime<Utc>,
    /// Work in the hands of the runner.
    held: Vec<Assignment>,
    /// Tag to digest.
    tags: BTreeMap<String, Digest>,
    /// Tags that stood at the beginning.
    foreign: BTreeMap<String, Digest>,
    images_made: u32,
    reported: BTreeMap<(RunId, StepKind), u32>,
    stored_cycle: Option<CycleRecord>,
    stored_plan: Option<CyclePlan>,
    stored_runs: BTreeMap<RunId, Run>,
    canceled: bool,
    published: BTreeMap<String, u32>,
    /// The manifests that an index which was published holds, by its digest.
    indexes: BTreeMap<Digest, Vec<Exchange>>,
}

fn start() -> DateTime<Utc> {
    "2024-01-07T09:30:00Z".parse().unwrap()
}

fn id() -> CycleId {
    CycleId::new(start(), 5)
}

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
        let options = CycleOptions {
            jobs: NonZeroU32::new(script.jobs).unwrap(),
            verify: script.verify,
            attach: [Attach::Never, Attach::Auto][usize::from(script.verify)],
            test: script.seed.is_multiple_of(2),
            interruptions: u32::MAX,
            ..CycleOptions::default()
        };
        let cycle = Cycle::new(id(), Cause::Immediate, options, start());
        let mut world = Self {
            script: script.clone(),
            cycle,
            now: start(),
            held: Vec::new(),
            tags: BTreeMap::new(),
            foreign: BTreeMap::new(),
            images_made: 0,
            reported: BTreeMap::new(),
            stored_cycle: None,
            stored_plan: None,
            stored_runs: BTreeMap::new(),
            canceled: false,
            published: BTreeMap::new(),
            indexes: BTreeMap::new(),
        };
        // Of some images the patch tag is there already, although the plan does not know.
        for image in world.plan() {
            if world.dice(("taken", &image.tag), 5) == 0 {
                let tag = image.patch_tag.unwrap().to_string();
                world.foreign.insert(tag, digest("f"));
            }
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
                        candidate: None,
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
                        digest: digest("f"),
                        is_foreign: false,
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

    /// Performs a step and says what it came to, without reporting it.
    fn act(&mut self, work: &Assignment) -> StepOutcome {
        let kind = work.step.kind();
        let times = *self.reported.get(&(work.run.clone(), kind)).unwrap_or(&0);
        let dice = self.dice((&work.run, kind, times), 8);
        // Steps at the registry alone fail now and then and never for good.
        let is_safe = matches!(work.step, Step::Publish(_) | Step::Discard(_)) && times > 0;
        if dice == 0 && !is_safe {
            let is_transient = self.dice(("retry", &work.run, times), 4) != 0 || times == 0;
            return match is_transient {
                true if self.dice(("overdue", &work.run, times), 4) == 0 => {
                    Interrupt::Overdue.into()
                }
                true => StepFailure::transient("no luck").into(),
                false => StepFailure::permanent("no luck").into(),
            };
        }
        match &work.step {
            Step::Plan(step) => {
                assert_eq!(step.leave_out_unavailable, times == 2, "the core counts");
                let error = ListingError::new(UnavailableKind::Transient, "down");
                let unavailable = LeftOut {
                    repository: "redis".parse().unwrap(),
                    tag: "*".to_owned(),
                    reason: LeftOutReason::Unavailable(error),
                };
                PlanOutcome {
                    images: self.plan(),
                    left_out: if dice == 1 { vec![unavailable] } else { vec![] },
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
                assert_eq!(candidate_of(step.candidate.borrowed()), Some(id()));
                if dice == 1 {
                    return PatchOutcome::NothingMade.into();
                }
                self.images_made += 1;
                let made = digest(format!("4{:05}", self.images_made));
                self.tags.insert(step.candidate.to_string(), made.clone());
                PatchOutcome::Made(made).into()
            }
            Step::Verify(step) => {
                let there = self.tags.get(step.candidate.tag.as_str());
                assert_eq!(there, Some(&step.candidate.digest));
                assert!(step.scanned.iter().all(|one| self.is_vulnerable(one)));
                let scanned = step.scanned.iter();
                let comparisons = scanned.map(|scanned| Comparison {
                    scanned: scanned.clone(),
                    evidence: evidence(self.fixes(scanned)),
                });
                VerifyOutcome {
                    mismatch: None,
                    comparisons: comparisons.collect(),
                }
                .into()
            }
            Step::Test(step) => {
                if self.dice(("test", &step.candidate.manifest), 4) == 0 {
                    TestOutcome::Refused("it does not start".to_owned()).into()
                } else {
                    TestOutcome::Passed.into()
                }
            }
            Step::Attest(_) => AttestOutcome::Attached(5).into(),
            Step::Publish(step) => self.publish(step),
            Step::Discard(step) => {
                self.tags.remove(step.candidate.as_str());
                DiscardOutcome::Removed.into()
            }
            step => unreachable!("{step:?}"),
        }
    }

    fn publish(&mut self, step: &PublishStep) -> StepOutcome {
        let published = match &step.content {
            PublishContent::Manifest(digest) => digest.clone(),
            PublishContent::Index { exchanged, .. } => {
                let mut hasher = DefaultHasher::new();
                format!("{}{exchanged:?}", step.tag).hash(&mut hasher);
                let index = digest(format!("5{:020}", hasher.finish()));
                self.indexes.insert(index.clone(), exchanged.clone());
                index
            }
        };
        match self.tags.get(step.tag.as_str()) {
            Some(there) if *there == published => {
                return PublishOutcome::Published(published).into();
            }
            Some(there) if step.replaces.as_ref() != Some(there) => {
                return PublishOutcome::TagTaken.into();
            }
            _ => {}
        }
        self.tags.insert(step.tag.to_string(), published.clone());
        *self.published.entry(step.tag.to_string()).or_default() += 1;
        PublishOutcome::Published(published).into()
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
        let record = self.stored_cycle.clone().unwrap();
        let (plan, runs) = (self.stored_plan.clone(), self.stored_runs.values().cloned());
        let restored = Cycle::restore(record, plan, runs).unwrap();
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
            if !tag.ends_with("-patched") {
                assert_eq!(self.tags.get(tag), Some(digest), "an existing tag stays");
            }
        }
        assert!(
            self.published.values().all(|&times| times == 1),
            "patched once"
        );
    }

    fn crash(&mut self, acted: bool) {
        for work in std::mem::take(&mut self.held) {
            if acted {
                self.act(&work);
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
        let discarded = || DiscardOutcome::Removed.into();
        let unknown = RunId::scan(id(), 99);
        let error = self.cycle.report(&unknown, 1, discarded(), now);
        assert_eq!(error.unwrap_err().kind(), CycleErrorKind::UnknownRun);
        for run in self.stored_runs.values() {
            let error = self.cycle.report(run.id(), u32::MAX, discarded(), now);
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
        match number {
            0..8 if !undisturbed => self.crash(number < 4),
            8..10 if !undisturbed => self.disturb(),
            10..12 if !undisturbed && !self.held.is_empty() => {
                let work = self.held.remove(0);
                self.report(&work, Interrupt::Stopped.into());
            }
            12..128 if !self.held.is_empty() => {
                let work = self.held.remove(usize::from(number) % self.held.len());
                let outcome = self.act(&work);
                let key = (work.run.clone(), work.step.kind());
                *self.reported.entry(key).or_default() += 1;
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
        let leftovers: Vec<(RunId, String)> = self
            .cycle
            .leftovers()
            .map(|(run, _, tag)| (run.clone(), tag.to_string()))
            .collect();
        for (run, tag) in leftovers {
            self.tags.remove(&tag);
            self.cycle.leftover_removed(&run).unwrap();
            assert!(self.cycle.leftover_removed(&run).is_err());
        }
        self.store();
    }

    fn assert_no_candidate_stays(&self) {
        for tag in self.tags.keys() {
            let parsed: Tag = tag.parse().unwrap();
            assert_eq!(candidate_of(parsed.borrowed()), None, "{tag}");
        }
        assert_eq!(self.cycle.leftovers().count(), 0);
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
                assert!(published.as_str().starts_with(digest_of_candidate()));
                continue;
            }
            let exchanged = &self.indexes[published];
            let mut is_new = false;
            for (platform, told) in image.platforms.iter().zip(&row.platforms) {
                let held = exchanged.iter().find(|one| one.original == platform.digest);
                let held = held.map(|one| &one.patched);
                let is_candidate =
                    held.is_some_and(|one| one.as_str().starts_with(digest_of_candidate()));
                is_new |= is_candidate;
                if is_candidate {
                    let scanned = image.scanned(platform).1;
                    assert!(self.is_vulnerable(scanned));
                    assert!(self.fixes(scanned) || !self.script.verify);
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
    fn resumed_equals_uninterrupted(script in scripts()) {
        let mut resumed = World::new(&script);
        resumed.run(None, false);
        resumed.assert_no_candidate_stays();
        resumed.assert_every_platform_is_kept();
        let mut straight = World::new(&Script { jobs: 1, moves: Vec::new(), ..script });
        straight.run(None, true);
        straight.assert_no_candidate_stays();
        prop_assert_eq!(resumed.result(), straight.result());
        prop_assert_eq!(resumed.cycle.record().status(), straight.cycle.record().status());
        let names = |world: &World| world.tags.keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(names(&resumed), names(&straight));
    }

    #[test]
    fn cancel_is_final_at_every_step(script in scripts(), at in 0..120_usize) {
        let mut world = World::new(&script);
        world.run(Some(at), false);
        if world.canceled {
            let status = world.cycle.record().status();
            let trigger = world.cycle.run(&RunId::trigger(id())).unwrap().status();
            // A patch may be made that is not published any more: then no run was canceled.
            let is_canceled = |row: StatusRow| row.outcome == Some(ImageOutcome::Canceled);
            let any = trigger == Status::Canceled || world.cycle.rows().any(is_canceled);
            prop_assert_eq!(status == Status::Canceled, any);
            let runs = world.cycle.runs().filter(|run| run.status() == Status::Canceled);
            prop_assert!(any || runs.count() == 0);
            world.assert_no_candidate_stays();
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
        verify: true,
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
