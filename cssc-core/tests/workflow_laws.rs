//! Laws of a cycle: random plans, outcomes, cancellations and crashes at every step.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test fails loudly, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::{
    Cause, Change, Cycle, CycleImage, CycleOptions, CycleRecord, Next, Outcome, Owner,
    PublishDecision, Reason, RowStatus, Run, RunId, ScanDecision, Status, StatusRow, Step, Task,
    Work, is_candidate,
};
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
    held: Vec<Work>,
    /// Tag to digest.
    tags: BTreeMap<String, String>,
    /// Tags that stood at the beginning.
    foreign: BTreeMap<String, String>,
    images_made: u32,
    reported: BTreeMap<(RunId, &'static str), u32>,
    stored_cycle: Option<CycleRecord>,
    stored_runs: BTreeMap<RunId, Run>,
    canceled: bool,
    published: BTreeMap<u32, u32>,
}

fn start() -> DateTime<Utc> {
    "2024-01-07T09:30:00Z".parse().unwrap()
}

impl World {
    fn new(script: &Script) -> Self {
        let options = CycleOptions {
            jobs: NonZeroU32::new(script.jobs).unwrap(),
            verify: script.verify,
            interruptions: u32::MAX,
            ..CycleOptions::default()
        };
        let cycle = Cycle::new(5, Owner::new(1), Cause::Immediate, options, start());
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
            stored_runs: BTreeMap::new(),
            canceled: false,
            published: BTreeMap::new(),
        };
        // Of some images the patch tag is there already, although the plan does not know.
        for image in world.plan() {
            if world.dice(("taken", &image.tag), 5) == 0 {
                let tag = image.patch_tag.unwrap().to_string();
                world.foreign.insert(tag, "foreign".to_owned());
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

    fn plan(&self) -> Vec<CycleImage> {
        (0..self.script.images)
            .map(|image| {
                let floating = self.dice("convention", 2) == 0;
                let suffix = if floating { "patched" } else { "3" };
                let moved = self.dice(("moved", image), 2);
                CycleImage {
                    repository: "python".parse().unwrap(),
                    tag: format!("v{image}").parse().unwrap(),
                    scan_tag: format!("v{image}-2").parse().unwrap(),
                    patch_tag: Some(format!("v{image}-{suffix}").parse().unwrap()),
                    digest: Some("0".to_owned()),
                    patched_digest: Some(moved.to_string()),
                }
            })
            .collect()
    }

    /// Does the work and says what it came to, without reporting it.
    fn act(&mut self, work: &Work) -> Outcome {
        let times = *self
            .reported
            .get(&(work.run, work.step.name()))
            .unwrap_or(&0);
        let dice = self.dice((work.run.number(), work.step.name(), times), 8);
        // Steps at the registry alone fail now and then and never for good.
        let is_safe = matches!(work.step, Step::Publish { .. } | Step::Discard { .. }) && times > 0;
        if dice == 0 && !is_safe {
            return Outcome::Failed {
                reason: "no luck".to_owned(),
                retry: self.dice(("retry", work.run.number(), times), 4) != 0 || times == 0,
            };
        }
        match &work.step {
            Step::Plan => Outcome::Planned {
                images: self.plan(),
                unavailable: (dice == 1).then(|| "redis: down".to_owned()),
            },
            Step::Scan { tag, original, .. } => {
                let moved = work
                    .run
                    .image()
                    .is_some_and(|i| self.dice(("moved", i), 2) == 1);
                assert_eq!(tag == original, moved, "a moved original is scanned itself");
                Outcome::Scanned {
                    verdict: match dice {
                        1 => ScanDecision::Skip(Reason::NoVulnerability),
                        _ => ScanDecision::Patch,
                    },
                    digest: None,
                }
            }
            Step::Patch { candidate, .. } => {
                assert!(is_candidate(candidate.as_ref()));
                if dice == 1 {
                    return Outcome::NothingMade;
                }
                self.images_made += 1;
                let digest = format!("sha256:{}", self.images_made);
                self.tags.insert(candidate.to_string(), digest.clone());
                Outcome::Patched {
                    digest,
                    original: Some("0".to_owned()),
                }
            }
            Step::Verify {
                candidate, digest, ..
            } => {
                assert_eq!(self.tags.get(candidate.as_str()), Some(digest));
                Outcome::Verified {
                    verdict: match dice {
                        1 => PublishDecision::Withhold(Reason::NothingFixed),
                        _ => PublishDecision::Publish,
                    },
                }
            }
            Step::Publish {
                digest,
                tag,
                replace,
                ..
            } => {
                match self.tags.get(tag.as_str()) {
                    Some(there) if there == digest => return Outcome::Published,
                    Some(_) if !replace => return Outcome::TagTaken,
                    _ => {}
                }
                self.tags.insert(tag.to_string(), digest.clone());
                *self.published.entry(work.run.image().unwrap()).or_default() += 1;
                Outcome::Published
            }
            Step::Discard { candidate, .. } => {
                self.tags.remove(candidate.as_str());
                Outcome::Discarded
            }
        }
    }

    fn store(&mut self) {
        for change in self.cycle.take_changes() {
            match change {
                Change::Cycle(record) => self.stored_cycle = Some(record),
                Change::Run(run) => {
                    let before = self.stored_runs.get(&run.id());
                    if let Some(before) = before.filter(|before| before.status().is_final()) {
                        assert_eq!(before.status(), run.status(), "an end is an end");
                    }
                    self.stored_runs.insert(run.id(), *run);
                }
            }
        }
        self.check();
    }

    /// What must hold at every moment.
    fn check(&self) {
        let record = self.stored_cycle.clone().unwrap();
        let restored = Cycle::restore(record, self.stored_runs.values().cloned()).unwrap();
        assert_eq!(restored, self.cycle, "what is stored is all there is");
        assert!(self.held.len() <= self.script.jobs as usize);
        let rows: Vec<StatusRow> = self.cycle.rows().collect();
        let summary = self.cycle.summary();
        assert_eq!(summary.images, rows.len());
        for row in &rows {
            check_row(row);
        }
        let count = |of: &dyn Fn(&StatusRow) -> bool| rows.iter().filter(|row| of(row)).count();
        assert_eq!(
            summary.patched,
            count(&|row| row.patch_status == RowStatus::Succeeded)
        );
        assert_eq!(
            summary.skipped,
            count(&|row| row.patch_status == RowStatus::Skipped)
        );
        assert_eq!(
            summary.failed,
            count(&|row| row.scan_status == RowStatus::Failed
                || row.patch_status == RowStatus::Failed)
        );
        for (tag, digest) in &self.foreign {
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
        let unknown = RunId::trigger(99);
        let error = self
            .cycle
            .report(unknown, 1, Outcome::Discarded, now)
            .unwrap_err();
        assert!(error.is_unknown_run());
        for run in self.stored_runs.values() {
            let error = self
                .cycle
                .report(run.id(), u32::MAX, Outcome::Discarded, now)
                .unwrap_err();
            assert_eq!(error.is_canceled(), run.status() == Status::Canceled);
            assert_eq!(error.is_not_awaited(), run.status() != Status::Canceled);
        }
        for work in &self.held {
            let wrong = match work.step {
                Step::Scan { .. } => Outcome::Published,
                _ => Outcome::Scanned {
                    verdict: ScanDecision::Patch,
                    digest: None,
                },
            };
            let error = self
                .cycle
                .report(work.run, work.attempt, wrong, now)
                .unwrap_err();
            assert!(error.is_mismatch());
        }
        assert_eq!(self.cycle, before);
    }

    /// One step of the simulation; false when the cycle has ended.
    fn turn(&mut self, number: u8, undisturbed: bool) -> bool {
        self.now += TimeDelta::seconds(i64::from(number));
        match number {
            0..8 if !undisturbed => self.crash(number < 4),
            8..10 if !undisturbed => self.disturb(),
            10..12 if !undisturbed && !self.held.is_empty() => {
                let work = self.held.remove(0);
                self.cycle
                    .give_back(work.run, work.attempt, self.now)
                    .unwrap();
                let again = self.cycle.give_back(work.run, work.attempt, self.now);
                assert!(again.unwrap_err().is_not_awaited());
            }
            12..128 if !self.held.is_empty() => {
                let work = self.held.remove(usize::from(number) % self.held.len());
                let outcome = self.act(&work);
                *self
                    .reported
                    .entry((work.run, work.step.name()))
                    .or_default() += 1;
                self.cycle
                    .report(work.run, work.attempt, outcome.clone(), self.now)
                    .unwrap();
                let again = self.cycle.report(work.run, work.attempt, outcome, self.now);
                assert!(again.unwrap_err().is_not_awaited());
                self.store();
            }
            _ => match self.cycle.next_work(self.now) {
                Next::Work(work) => {
                    assert!(work.deadline > self.now);
                    self.held.push(work);
                    self.store();
                }
                Next::WaitUntil(time) if self.held.is_empty() => self.now = time,
                Next::WaitUntil(_) => {}
                Next::Idle => assert!(!self.held.is_empty(), "somebody must be at work"),
                Next::Done => return false,
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
            let error = self
                .cycle
                .report(work.run, work.attempt, outcome, self.now)
                .unwrap_err();
            assert!(error.is_canceled() || error.is_not_awaited());
        }
        self.cycle.recover(self.now);
        assert_eq!(self.cycle.next_work(self.now), Next::Done);
        assert_eq!(self.cycle, before, "cancel is final");
        self.canceled = !had_ended;
        let leftovers: Vec<(RunId, String)> = self
            .cycle
            .leftovers()
            .map(|(run, _, tag)| (run, tag.to_string()))
            .collect();
        for (run, tag) in leftovers {
            self.tags.remove(&tag);
            self.cycle.leftover_removed(run).unwrap();
            assert!(self.cycle.leftover_removed(run).is_err());
        }
        self.store();
    }

    fn assert_no_candidate_stays(&self) {
        for tag in self.tags.keys() {
            assert!(
                !is_candidate(tag.parse::<cssc_core::Tag>().unwrap().as_ref()),
                "{tag}"
            );
        }
        assert_eq!(self.cycle.leftovers().count(), 0);
    }

    /// What came of it, without dates, which differ, and digests, which are new each time.
    fn result(&self) -> Vec<StatusRow> {
        let rows = self.cycle.rows().map(|row| StatusRow {
            scan_date: None,
            patch_date: None,
            ..row
        });
        rows.collect()
    }
}

fn check_row(row: &StatusRow) {
    use RowStatus::{Canceled, Failed, Queued, Running, Skipped, Succeeded, Unknown};
    assert_eq!(row.scan_date.is_some(), row.scan_status == Succeeded);
    assert_eq!(row.patch_date.is_some(), row.patch_status == Succeeded);
    if row.patch_status == Succeeded {
        assert!(row.patched_image.is_some() && row.reason.is_none());
    }
    if matches!(row.patch_status, Queued | Skipped | Canceled | Unknown) {
        assert_eq!(row.patched_image, None);
    }
    if row.scan_status == Succeeded {
        assert_ne!(row.patch_status, Unknown);
    } else {
        assert_eq!(row.patch_status, Unknown);
    }
    if [row.scan_status, row.patch_status].contains(&Failed) || row.patch_status == Skipped {
        assert!(row.reason.is_some());
    }
    if row.patch_run_id.is_none() {
        assert!(!matches!(
            row.patch_status,
            Running | Succeeded | Failed | Canceled
        ));
    }
    assert_eq!(row.scan_run_id.task(), Task::Scan);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn resumed_equals_uninterrupted(script in scripts()) {
        let mut resumed = World::new(&script);
        resumed.run(None, false);
        resumed.assert_no_candidate_stays();
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
            let any = world.cycle.runs().any(|run| run.status() == Status::Canceled);
            prop_assert_eq!(status == Status::Canceled, any);
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
    let mut cycle = Cycle::new(1, Owner::new(1), Cause::Immediate, options, start());
    for attempt in 1..=3 {
        let Next::Work(work) = cycle.next_work(start()) else {
            panic!("{attempt}");
        };
        assert_eq!(work.attempt, attempt);
        cycle.recover(start());
    }
    assert_eq!(cycle.next_work(start()), Next::Done);
    let trigger = cycle.run(RunId::trigger(1)).unwrap();
    assert_eq!(trigger.status(), Status::Failed);
    assert_eq!(
        trigger.reason().unwrap().to_string(),
        "interrupted 3 times, the runner died each time"
    );
}

#[test]
fn version_0_is_read() {
    let text = include_str!("vectors/cycle-v0.json");
    let mut cycle: Cycle = serde_json::from_str(text).unwrap();
    let rows: Vec<StatusRow> = cycle.rows().collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].reason.as_deref(), Some("`trivy` ended with 2"));
    cycle.recover(start());
    let Next::Work(work) = cycle.next_work(start()) else {
        panic!();
    };
    assert_eq!((work.run.to_string().as_str(), work.attempt), ("c3-5", 2));
    let json = serde_json::to_value(&cycle).unwrap();
    assert_eq!(json["cycle"]["version"], 1);
    assert_eq!(json["runs"][0]["version"], 1);
}
