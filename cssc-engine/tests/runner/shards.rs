//! A cycle that is planned, done in shards and finished, without a state that they share.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use cssc_core::Cycle;
use cssc_core::cycle::{
    CycleDocument, CycleOptions, CycleReport, ImageOutcome, Interrupt, Shard, ShardResult, StepKind,
};
use cssc_engine::finish::finish;
use cssc_engine::policy_source::PolicyReadError;
use cssc_engine::records::Records;
use cssc_engine::runner::{RunnerErrorKind, RunnerEvent};
use cssc_engine::state::MemoryState;
use cssc_engine::tool::StopToken;
use cssc_registry::LayoutRegistry;

use super::world::{Tools, World, image};

impl World {
    /// The registry, opened once more: the world changes its state while tools use it.
    fn same_registry(&self) -> LayoutRegistry {
        LayoutRegistry::open(&self.folder.path().join("images")).unwrap()
    }

    /// Whoever plans, and each worker, is a process of its own.
    fn alone(&mut self) {
        self.state = Box::new(MemoryState::default());
    }

    fn plan(&mut self, tools: &Tools, shards: u32) -> CycleDocument {
        self.alone();
        let options = CycleOptions {
            plan_only: true,
            ..self.settings.cycle.clone()
        };
        let prepared = || tools.prepared.load(Ordering::Relaxed);
        let prepared_before = prepared();
        let before = std::mem::replace(&mut self.settings.cycle, options);
        let cycle = self.cycle(tools);
        self.settings.cycle = before;
        assert_eq!(prepared(), prepared_before, "whoever plans needs no tools");
        let shards = NonZeroU32::new(shards).unwrap();
        let document = CycleDocument::new(&cycle, "localhost:5000", shards).unwrap();
        let text = serde_json::to_vec(&document).unwrap();
        CycleDocument::from_slice(&text).unwrap()
    }

    fn shard(
        &mut self,
        tools: &Tools,
        (document, shard): (&CycleDocument, &str),
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Cycle {
        let shard = shard.parse().unwrap();
        self.shard_after(tools, (document, shard, None), stop, on_event)
    }

    /// A worker that finds the result of an earlier one.
    fn shard_after(
        &mut self,
        tools: &Tools,
        (document, shard, earlier): (&CycleDocument, Shard, Option<&ShardResult>),
        stop: &StopToken,
        on_event: &mut dyn FnMut(RunnerEvent<'_>),
    ) -> Cycle {
        self.alone();
        let policy = || unreachable!("a worker reads no policy");
        self.with_runner(tools, &policy, |runner| {
            runner
                .run_shard(document, shard, earlier, stop, on_event)
                .unwrap()
        })
    }

    fn result(&mut self, tools: &Tools, document: &CycleDocument, shard: &str) -> ShardResult {
        self.result_after(tools, document, shard, None)
    }

    fn result_after(
        &mut self,
        tools: &Tools,
        document: &CycleDocument,
        shard: &str,
        earlier: Option<&ShardResult>,
    ) -> ShardResult {
        let shard = shard.parse().unwrap();
        let cycle = self.shard_after(
            tools,
            (document, shard, earlier),
            &StopToken::default(),
            &mut |_| (),
        );
        assert!(cycle.has_ended());
        ShardResult::new(&cycle, shard, earlier)
    }

    fn finish(&self, document: &CycleDocument, results: &[ShardResult]) -> CycleReport {
        let now = std::time::SystemTime::now().into();
        finish(&self.registry, document, results, &Records::default(), now).unwrap()
    }
}

fn outcomes(report: &CycleReport) -> Vec<(String, Option<ImageOutcome>)> {
    let images = report.images().iter();
    images
        .map(|image| (image.row.image.to_string(), image.row.outcome))
        .collect()
}

#[test]
fn shards_do_together_what_one_process_does() {
    let (mut world, alone) = (World::new(), World::new());
    for world in [&world, &alone] {
        super::three_images(world);
        world.push("same", &image(&["CVE-1", "CVE-2"], &[], 0));
        world.push_index(
            "many",
            &[image(&["CVE-4"], &[], 0), image(&[], &[], 5).of("arm64")],
        );
    }
    let cycle = alone.cycle(&Tools::new());
    let tools = Tools::new();
    let document = world.plan(&tools, 3);
    let results: Vec<ShardResult> = ["3/3", "1/3", "2/3"]
        .map(|shard| world.result(&tools, &document, shard))
        .into();
    let report = world.finish(&document, &results);
    let expected: Vec<_> = cycle
        .rows()
        .map(|row| (row.image.to_string(), row.outcome))
        .collect();
    assert_eq!(outcomes(&report), expected);
    assert_eq!(report.summary(), cycle.summary());
    assert_eq!(world.tags(), alone.tags());
    assert_eq!(
        tools.patches.lock().unwrap()["python:old"],
        1,
        "one patch for two tags"
    );
}

/// Its own notes tell a worker what it had published: the digest is written down before the tag.
/// Nothing else is believed, whatever the tag's annotations say.
#[test]
fn what_a_worker_published_before_it_died_is_known_by_its_own_notes_alone() {
    for (tag, is_index) in [("old", false), ("many", true)] {
        let mut world = World::new();
        let tools = Tools::new();
        let own = image(&["CVE-1"], &[], 0);
        if is_index {
            world.push_index(tag, &[own, image(&["CVE-2"], &[], 3).of("arm64")]);
        } else {
            world.push(tag, &own);
        }
        let document = world.plan(&tools, 1);
        let stop = StopToken::default();
        let shard = "1/1".parse().unwrap();
        let mut noted = None;
        world.shard(
            &tools,
            (&document, "1/1"),
            &stop,
            &mut |event| match event {
                RunnerEvent::Begun {
                    assignment, cycle, ..
                } if assignment.step.kind() == StepKind::Publish => {
                    noted = Some(ShardResult::new(cycle, shard, None));
                }
                RunnerEvent::Done { assignment, .. }
                    if assignment.step.kind() == StepKind::Publish =>
                {
                    stop.stop(Interrupt::Stopped);
                }
                _ => {}
            },
        );
        let (noted, published) = (noted.unwrap(), world.read(&format!("{tag}-1")));
        assert_eq!(noted.images(), [], "nothing has an outcome yet");

        // A worker that has lost its notes takes the tag for somebody else's.
        let without = world.result(&tools, &document, "1/1");
        let row = &without.images()[0].row;
        assert_eq!(row.reason.as_ref().unwrap().code, "tag-taken", "{row:?}");

        let patches = tools.patches.lock().unwrap().clone();
        let again = world.result_after(&tools, &document, "1/1", Some(&noted));
        assert_eq!(
            *tools.patches.lock().unwrap(),
            patches,
            "nothing is made anew"
        );
        assert_eq!(world.read(&format!("{tag}-1")), published);
        let report = world.finish(&document, &[again, without]);
        let row = &report.images()[0].row;
        assert_eq!(row.outcome, Some(ImageOutcome::Patched), "{row:?}");
        let image = row.patched_image.as_ref().unwrap().to_string();
        assert_eq!(image, format!("python:{tag}-1"));
        let findings = row.findings.unwrap();
        assert_eq!(findings.fixed, if is_index { 2 } else { 1 });
        assert_eq!(world.tags(), [tag.to_owned(), format!("{tag}-1")]);
    }
}

/// An observer that cannot write down what is going to be published stops the runner, and the tag is
/// not written.
#[test]
fn nothing_is_published_that_is_not_written_down_first() {
    let mut world = World::new();
    let tools = Tools::new();
    world.push("old", &image(&["CVE-1"], &[], 0));
    let document = world.plan(&tools, 1);
    let stop = StopToken::default();
    let cycle = world.shard(
        &tools,
        (&document, "1/1"),
        &stop,
        &mut |event| match event {
            RunnerEvent::Begun { assignment, .. }
                if assignment.step.kind() == StepKind::Publish =>
            {
                stop.stop(Interrupt::Stopped);
            }
            _ => {}
        },
    );
    assert!(!cycle.has_ended());
    assert_eq!(world.tags(), ["old"]);
}

#[test]
fn of_two_workers_that_do_the_same_shard_one_publishes_and_its_result_counts() {
    for tag in ["old", "many", "dockers"] {
        let mut world = World::new();
        let tools = Tools::new();
        let own = image(&["CVE-1"], &[], 0);
        let other = image(&[], &[], 3).of("arm64");
        match tag {
            "many" => world.push_index(tag, &[own, other]),
            "dockers" => world.push_docker_list(tag, &[own, other]),
            _ => world.push(tag, &own),
        }
        let document = world.plan(&tools, 1);
        let mut twin = World {
            registry: world.same_registry(),
            ..World::new()
        };
        let mut other = None;
        let mut has_come = false;
        let shard = (&document, "1/1");
        let cycle = world.shard(
            &tools,
            shard,
            &StopToken::default(),
            &mut |event| match event {
                RunnerEvent::Done { assignment, .. }
                    if assignment.step.kind() == StepKind::Verify && !has_come =>
                {
                    // Another worker comes and is done, before this one publishes what it has made.
                    has_come = true;
                    other = Some(twin.result(&tools, &document, "1/1"));
                }
                _ => {}
            },
        );
        let own = ShardResult::new(&cycle, "1/1".parse().unwrap(), None);
        let row = &own.images()[0].row;
        assert_eq!(row.reason.as_ref().unwrap().code, "tag-taken", "{row:?}");
        let other = other.unwrap();
        let published = other.images()[0].row.patched_digest.clone();
        assert_eq!(tools.patches.lock().unwrap()[&format!("python:{tag}")], 2);
        for results in [[own.clone(), other.clone()], [other, own]] {
            let report = world.finish(&document, &results);
            assert_eq!(report.summary().patched, 1);
            assert_eq!(report.images()[0].row.patched_digest, published);
        }
    }
}

#[test]
fn a_tag_that_somebody_else_made_meanwhile_stays() {
    let mut world = World::new();
    let tools = Tools::new();
    world.push("old", &image(&["CVE-1"], &[], 0));
    let document = world.plan(&tools, 1);
    world.push("old-1", &image(&["CVE-9"], &[], 7));
    let before = world.read("old-1");
    let result = world.result(&tools, &document, "1/1");
    let report = world.finish(&document, &[result]);
    let row = &report.images()[0].row;
    assert_eq!(row.outcome, Some(ImageOutcome::Failed));
    assert_eq!(row.reason.as_ref().unwrap().code, "tag-taken");
    assert_eq!(world.read("old-1"), before);
}

#[test]
fn what_a_killed_worker_made_never_reaches_the_registry() {
    let mut world = World::new();
    let tools = Tools::new();
    world.push("old", &image(&["CVE-1"], &[], 0));
    let document = world.plan(&tools, 2);
    let stop = StopToken::default();
    let cycle = world.shard(
        &tools,
        (&document, "1/2"),
        &stop,
        &mut |event| match event {
            RunnerEvent::Done { assignment, .. } if assignment.step.kind() == StepKind::Patch => {
                stop.stop(Interrupt::Stopped);
            }
            _ => {}
        },
    );
    assert_eq!(world.tags(), ["old"]);
    // Images without an outcome are none of the result.
    let result = ShardResult::new(&cycle, "1/2".parse().unwrap(), None);
    assert_eq!(result.images(), []);
    let report = world.finish(&document, &[result]);
    assert_eq!(world.tags(), ["old"]);
    let row = &report.images()[0].row;
    assert_eq!(row.reason.as_ref().unwrap().text, "no result of shard 1");
}

#[test]
fn a_document_of_another_registry_is_refused() {
    let mut world = World::new();
    let tools = Tools::new();
    let document = world.plan(&tools, 1);
    let text = serde_json::to_string(&document).unwrap();
    let text = text.replace("localhost:5000", "ghcr.io/acme");
    let other = CycleDocument::from_slice(text.as_bytes()).unwrap();
    let policy = || -> Result<cssc_core::Workflow, PolicyReadError> { unreachable!() };
    let error = world.with_runner(&tools, &policy, |runner| {
        let shard = "1/1".parse().unwrap();
        runner
            .run_shard(&other, shard, None, &StopToken::default(), &mut |_| ())
            .unwrap_err()
    });
    assert_eq!(error.kind(), RunnerErrorKind::Document);
    assert_eq!(
        error.to_string(),
        "the cycle document is of the registry `ghcr.io/acme`, not of `localhost:5000`"
    );
}

#[test]
fn records_of_two_finishers_are_put_together_and_the_oldest_go() {
    let mut world = World::new();
    let tools = Tools::new();
    super::three_images(&world);
    let registry = world.same_registry();
    let two = NonZeroU32::new(2).unwrap();
    let mut known = Vec::new();
    for number in 0..3 {
        let document = world.plan(&tools, 2);
        let results = ["1/2", "2/2"].map(|shard| world.result(&tools, &document, shard));
        // Each finisher has seen the result of another shard.
        let mut lists = [0, 1].map(|_| Records::list(&registry).unwrap());
        for (result, records) in results.iter().zip(&mut lists) {
            let part = world.finish(&document, std::slice::from_ref(result));
            assert!(part.summary().failed > 0);
            records.write(&registry, &part, two).unwrap();
        }
        known.insert(0, document.cycle());
        known.truncate(2);
        let records = Records::list(&registry).unwrap();
        assert_eq!(
            records.cycles().collect::<Vec<_>>(),
            known,
            "after {number}"
        );
        let whole = records.read(&registry, document.cycle()).unwrap().unwrap();
        assert_eq!(whole.summary().failed, 0);
        assert_eq!(
            outcomes(&whole),
            outcomes(&world.finish(&document, &results))
        );
        // Names of cycles count seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let records = Records::list(&registry).unwrap();
    assert!(records.delete(&registry).unwrap().is_empty());
    assert_eq!(Records::list(&registry).unwrap().cycles().count(), 0);
}
