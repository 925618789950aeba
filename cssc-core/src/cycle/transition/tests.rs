//! Candidates that are lost or refused, and what is read back of a publication.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cycle::{
    Attach, AttestOutcome, BegunPublication, Cause, CopyContent, CopyOutcome, Cycle, CycleId,
    CycleImage, CycleOptions, CyclePlatform, ImageOutcome, NextStep, PatchOutcome, PatchRefusal,
    PlanOutcome, PublishOutcome, ScanOutcome, SignOutcome, Status, StatusRow, Step, StepFailure,
    StepKind, StepOutcome, TestOutcome, VerifyOutcome,
};
use crate::name::Digest;
use crate::scan::{Finding, ScanVerdict, Severity};

fn now() -> DateTime<Utc> {
    "2026-01-07T09:30:00Z".parse().unwrap()
}

fn digest(number: u32) -> Digest {
    format!("sha256:{number:064}").parse().unwrap()
}

/// An image of so many platforms.
fn image(platforms: u32) -> CycleImage {
    let names = ["linux/amd64", "linux/arm64/v8"];
    CycleImage {
        repository: "python".parse().unwrap(),
        tag: "3.11".parse().unwrap(),
        digest: digest(if platforms == 1 { 10 } else { 1 }),
        platforms: (10..)
            .zip(names)
            .take(usize::try_from(platforms).unwrap())
            .map(|(number, name)| CyclePlatform {
                platform: name.parse().unwrap(),
                digest: digest(number),
                patch: None,
                size: 0,
            })
            .collect(),
        unselected: Vec::new(),
        latest_patch: None,
        patch_tag: Some("3.11-1".parse().unwrap()),
    }
}

/// A cycle that does everything there is to do with one image.
fn cycle(platforms: u32) -> Cycle {
    let options = CycleOptions {
        verify: false,
        test: true,
        attach: Attach::Auto,
        sign: true,
        ..CycleOptions::default()
    };
    let mut cycle = Cycle::new(CycleId::new(now(), 7), Cause::Immediate, options, now());
    let plan = PlanOutcome {
        images: vec![image(platforms)],
        ..PlanOutcome::default()
    };
    assert_eq!(
        perform(&mut cycle, |_| Some(plan.into())),
        Some(StepKind::Plan)
    );
    cycle
}

/// What a step comes to that goes well.
fn well(step: &Step) -> StepOutcome {
    match step {
        Step::Scan(_) => ScanOutcome {
            verdict: ScanVerdict::Patch { fixable: 1 },
            fixable: vec![Finding::new("CVE-1", "a", "1", Some("2"), Severity::High)],
            unfixed: 0,
            database: None,
        }
        .into(),
        Step::Patch(_) => PatchOutcome::Made(digest(20)).into(),
        Step::Verify(_) => VerifyOutcome::default().into(),
        Step::Test(_) => TestOutcome::Passed.into(),
        Step::Copy(step) => match &step.content {
            CopyContent::Manifest(digest) => CopyOutcome::Copied(digest.clone()).into(),
            CopyContent::Index { .. } => CopyOutcome::Copied(digest(30)).into(),
        },
        Step::Attest(_) => AttestOutcome::Attached(1).into(),
        Step::Sign(_) => SignOutcome::Signed.into(),
        Step::Publish(_) => PublishOutcome::Published.into(),
        Step::Plan(_) => unreachable!("{step:?}"),
    }
}

/// Does the next step, well where nothing else is said; which it was.
fn perform(
    cycle: &mut Cycle,
    outcome: impl FnOnce(&Step) -> Option<StepOutcome>,
) -> Option<StepKind> {
    let NextStep::Assigned(work) = cycle.next_step(now()) else {
        return None;
    };
    let outcome = outcome(&work.step).unwrap_or_else(|| well(&work.step));
    cycle
        .report(&work.run, work.attempt, outcome, now())
        .unwrap();
    Some(work.step.kind())
}

/// Does all that is left; the kinds of the steps.
fn finish(cycle: &mut Cycle, outcome: impl Fn(&Step) -> Option<StepOutcome>) -> Vec<StepKind> {
    let steps = std::iter::from_fn(|| perform(cycle, &outcome));
    let steps: Vec<StepKind> = steps.take(100).collect();
    assert!(cycle.has_ended(), "{steps:?}");
    steps
}

/// What is stored of the cycle, which is all there is.
fn stored(cycle: &mut Cycle) -> Value {
    cycle.take_changes();
    let stored = serde_json::to_value(&*cycle).unwrap();
    assert_eq!(
        serde_json::from_value::<Cycle>(stored.clone()).unwrap(),
        *cycle
    );
    stored
}

fn row(cycle: &Cycle) -> StatusRow {
    cycle.rows().next().unwrap()
}

fn lost() -> StepOutcome {
    StepFailure::lost("the candidate is gone").into()
}

#[test]
fn every_step_has_its_turn() {
    use StepKind::{Attest, Copy, Patch, Publish, Scan, Sign, Test, Verify};

    assert_eq!(
        finish(&mut cycle(1), |_| None),
        [Scan, Patch, Verify, Test, Copy, Attest, Sign, Publish]
    );
    let candidate = [Patch, Verify, Test, Copy, Attest];
    let index = [Copy, Attest, Sign, Publish];
    let steps = [&[Scan][..], &candidate, &[Scan], &candidate, &index].concat();
    assert_eq!(finish(&mut cycle(2), |_| None), steps);
}

#[test]
fn what_is_lost_is_made_again_as_often_as_there_are_attempts() {
    for kind in [
        StepKind::Patch,
        StepKind::Verify,
        StepKind::Test,
        StepKind::Copy,
        StepKind::Attest,
    ] {
        let mut cycle = cycle(1);
        let steps = finish(&mut cycle, |step| (step.kind() == kind).then(lost));
        let times = |kind| steps.iter().filter(|one| **one == kind).count();
        assert_eq!((times(kind), times(StepKind::Patch)), (3, 3), "{kind}");
        let row = row(&cycle);
        assert_eq!(row.outcome, Some(ImageOutcome::Failed), "{kind}");
        assert_eq!(row.reason.unwrap().text, "the candidate is gone");
        assert_eq!(row.patched_image, None);
        assert_eq!(cycle.begun(), []);
    }
}

#[test]
fn what_is_found_wanting_of_a_lost_candidate_is_forgotten() {
    let mut cycle = cycle(1);
    while perform(&mut cycle, |step| {
        (step.kind() == StepKind::Copy).then(lost)
    }) != Some(StepKind::Copy)
    {}
    let run = cycle.runs().find(|run| run.step() == Some(StepKind::Patch));
    assert_eq!(run.unwrap().verified(), None);
    assert_eq!(row(&cycle).outcome, None);
    stored(&mut cycle);
    let refused = |step: &Step| match step {
        Step::Test(_) => Some(TestOutcome::Refused("no".to_owned()).into()),
        _ => None,
    };
    assert_eq!(
        finish(&mut cycle, refused),
        [StepKind::Patch, StepKind::Verify, StepKind::Test]
    );
    assert_eq!(row(&cycle).reason.unwrap().code, "test-failed");
}

/// A loss counts as a failure of the patch.
#[test]
fn a_lost_candidate_leaves_its_patch_fewer_attempts() {
    let mut cycle = cycle(1);
    while perform(&mut cycle, |step| {
        (step.kind() == StepKind::Verify).then(lost)
    }) != Some(StepKind::Verify)
    {}
    let timeout = || StepFailure::transient("timeout").into();
    assert_eq!(
        perform(&mut cycle, |_| Some(timeout())),
        Some(StepKind::Patch)
    );
    let NextStep::WaitUntil(time) = cycle.next_step(now()) else {
        panic!("{cycle:?}");
    };
    let NextStep::Assigned(work) = cycle.next_step(time) else {
        panic!("{cycle:?}");
    };
    cycle
        .report(&work.run, work.attempt, timeout(), time)
        .unwrap();
    assert!(cycle.has_ended());
    assert_eq!(row(&cycle).reason.unwrap().text, "timeout");
}

/// What is signed and published is in the registry: there is nothing to be made again.
#[test]
fn what_is_lost_in_a_publication_ends_it() {
    for kind in [StepKind::Sign, StepKind::Publish] {
        let mut cycle = cycle(2);
        let steps = finish(&mut cycle, |step| (step.kind() == kind).then(lost));
        assert_eq!(steps.last(), Some(&kind));
        assert_eq!(row(&cycle).outcome, Some(ImageOutcome::Failed));
    }
}

#[test]
fn what_is_refused_is_neither_judged_nor_copied() {
    for (refusal, code, text) in [
        (
            PatchRefusal::TooManyLayers(126),
            "too-many-layers",
            "the patched image would have 126 layers, and Docker takes at most 125: rebuild the \
             original with fewer",
        ),
        (
            PatchRefusal::OtherLayers,
            "another-image",
            "the patched image does not begin with the layers of the original",
        ),
    ] {
        let mut cycle = cycle(1);
        let steps = finish(&mut cycle, |step| match step {
            Step::Patch(_) => Some(PatchOutcome::Refused(refusal.clone()).into()),
            _ => None,
        });
        assert_eq!(steps, [StepKind::Scan, StepKind::Patch]);
        let row = row(&cycle);
        assert_eq!(row.outcome, Some(ImageOutcome::Vulnerable));
        let reason = row.reason.unwrap();
        assert_eq!((reason.code.as_str(), reason.text.as_str()), (code, text));
        assert_eq!(cycle.record().status(), Status::Succeeded);
    }
}

#[test]
fn a_publication_is_begun_once_its_tag_may_be_written() {
    for (platforms, published) in [(1, 20), (2, 30)] {
        let mut cycle = cycle(platforms);
        let begun = BegunPublication {
            repository: "python".parse().unwrap(),
            tag: "3.11-1".parse().unwrap(),
            digest: digest(published),
        };
        while perform(&mut cycle, |_| None) != Some(StepKind::Sign) {
            let may_be_written = cycle
                .runs()
                .any(|run| run.step() == Some(StepKind::Publish));
            assert!(may_be_written || cycle.begun().is_empty());
        }
        assert_eq!(
            cycle.begun(),
            std::slice::from_ref(&begun),
            "before the step is asked for"
        );
        cycle.cancel(now());
        assert_eq!(cycle.begun(), [begun], "it may have been done all the same");
        assert_eq!(row(&cycle).outcome, Some(ImageOutcome::Canceled));
    }
}

/// Every state on the way is read back, and none whose publication is another than its step says.
#[test]
fn a_run_that_publishes_something_else_than_its_step_is_not_read() {
    type Change = fn(&mut serde_json::Map<String, Value>);
    let forgeries: [(&str, Change); 4] = [
        ("another digest", |run| {
            if let Some(publishing) = run.get_mut("publishing") {
                publishing["digest"] = json!(digest(99));
            }
        }),
        ("no publication", |run| {
            run.remove("publishing");
        }),
        ("no candidate", |run| {
            run.remove("made");
        }),
        ("a publication", |run| {
            let new = json!({"image": 0, "tag": "3.11-1", "digest": digest(98)});
            run.entry("publishing").or_insert(new);
        }),
    ];
    for platforms in [1, 2] {
        let mut cycle = cycle(platforms);
        while perform(&mut cycle, |_| None).is_some() {
            let stored = stored(&mut cycle);
            let mut runs = (0..).zip(cycle.runs());
            let Some((place, run)) = runs.find(|(_, run)| run.step().is_some()) else {
                continue;
            };
            let kind = run.step().unwrap();
            let is_publishing = stored["runs"][place].get("publishing").is_some();
            for (what, forge) in forgeries {
                let mut forged = stored.clone();
                forge(forged["runs"][place].as_object_mut().unwrap());
                let is_read = match what {
                    "no candidate" => {
                        is_publishing || matches!(kind, StepKind::Scan | StepKind::Patch)
                    }
                    "a publication" => is_publishing,
                    _ => !is_publishing,
                };
                let read = serde_json::from_value::<Cycle>(forged);
                assert_eq!(read.is_ok(), is_read, "{kind}: {what}");
                if let Err(error) = read {
                    let text = format!("`{}` cannot be at its step `{kind}`", run.id());
                    assert!(error.to_string().contains(&text), "{error}");
                }
            }
        }
    }
}
