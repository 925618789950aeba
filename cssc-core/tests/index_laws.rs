//! What the patched image of an index holds after several cycles, in which platforms become
//! vulnerable, are refused, fail, move and become clean.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails loudly, and its numbers are small"
)]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::cycle::{
    Assignment, Cause, Comparison, CopyContent, CopyOutcome, CopyStep, CycleId, CycleImage,
    CycleOptions, CyclePlatform, LatestPatch, ManifestReplacement, NextStep, PatchOutcome,
    PlanOutcome, PlatformPatch, PublishOutcome, ScanOutcome, Step, StepFailure, StepOutcome,
    VerifyOutcome,
};
use cssc_core::name::Platform;
use cssc_core::scan::{Finding, ScanSkip, ScanVerdict, Severity};
use cssc_core::{Cycle, Digest, Evidence};
use proptest::prelude::*;

const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64/v8", "linux/s390x"];
const CYCLES: usize = 4;

/// What happens to one platform in one cycle.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// The original was pushed anew before the cycle.
    moves: bool,
    is_vulnerable: bool,
    /// The workflow takes care of it in this cycle.
    is_selected: bool,
    patch: Patch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patch {
    Good,
    Refused,
    NothingMade,
    Failed,
}

fn fates() -> impl Strategy<Value = [[Fate; PLATFORMS.len()]; CYCLES]> {
    use Patch::{Failed, Good, NothingMade, Refused};
    let patch = prop::sample::select(vec![Good, Good, Refused, NothingMade, Failed]);
    let is_selected = prop::bool::weighted(0.8);
    let fate = (prop::bool::weighted(0.2), any::<bool>(), is_selected, patch);
    let fate = fate.prop_map(|(moves, is_vulnerable, is_selected, patch)| Fate {
        moves,
        is_vulnerable,
        is_selected,
        patch,
    });
    prop::array::uniform4(prop::array::uniform3(fate))
}

/// A digest that differs with the name.
fn digest(name: &str) -> Digest {
    let bytes = name.bytes();
    let hex = bytes.fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("sha256:{hex:0>64}").parse().unwrap()
}

fn platform(place: usize) -> Platform {
    PLATFORMS[place].parse().unwrap()
}

/// What the newest patch holds for a platform, and what that was made from.
type Held = (Digest, Digest);

struct Registry {
    /// How often the original of each platform was pushed.
    pushed: [u32; PLATFORMS.len()],
    /// The newest patch tag, and what it holds; none before the first.
    newest: Option<(u32, [Held; PLATFORMS.len()])>,
}

impl Registry {
    fn original(&self, place: usize) -> Digest {
        digest(&format!("original {place} {}", self.pushed[place]))
    }

    fn pinned(&self, fates: &[Fate]) -> CycleImage {
        let platform = |place| CyclePlatform {
            platform: platform(place),
            digest: self.original(place),
            patch: self.newest.as_ref().map(|(_, held)| PlatformPatch {
                digest: held[place].0.clone(),
                origin: Some(held[place].1.clone()),
            }),
            size: 0,
        };
        let (selected, unselected): (Vec<usize>, Vec<usize>) =
            (0..PLATFORMS.len()).partition(|place| fates[*place].is_selected);
        let number = self.newest.as_ref().map_or(0, |(number, _)| *number);
        CycleImage {
            repository: "python".parse().unwrap(),
            tag: "3.11".parse().unwrap(),
            digest: digest(&format!("index {:?}", self.pushed)),
            platforms: selected.into_iter().map(platform).collect(),
            unselected: unselected.into_iter().map(platform).collect(),
            latest_patch: self.newest.as_ref().map(|(number, _)| LatestPatch {
                tag: format!("3.11-{number}").parse().unwrap(),
                digest: digest(&format!("patch {number}")),
                is_foreign: false,
            }),
            patch_tag: Some(format!("3.11-{}", number + 1).parse().unwrap()),
        }
    }

    /// DESIGN's rule, in its own words: what was patched now; or else what the newest patch holds,
    /// where that was made from the same original; or else the original.
    fn expected(&self, fates: &[Fate], made: &BTreeMap<usize, Digest>) -> Option<Vec<Held>> {
        let is_patched = |place: usize| {
            let fate = fates[place];
            fate.is_selected && fate.is_vulnerable && fate.patch == Patch::Good
        };
        if !(0..PLATFORMS.len()).any(is_patched) {
            return None;
        }
        let held = (0..PLATFORMS.len()).map(|place| {
            let original = self.original(place);
            let kept = self.newest.as_ref().map(|(_, held)| &held[place]);
            match kept.filter(|(_, origin)| *origin == original) {
                _ if is_patched(place) => (made[&place].clone(), original),
                Some((kept, _)) => (kept.clone(), original),
                None => (original.clone(), original),
            }
        });
        Some(held.collect())
    }
}

fn finding() -> Finding {
    Finding::new("CVE-1", "libc6", "1", Some("2"), Severity::High)
}

/// What one cycle has written to the registry.
#[derive(Default)]
struct Copied {
    manifests: Vec<Digest>,
    index: Option<(Digest, Vec<ManifestReplacement>)>,
    is_published: bool,
}

/// What a step comes to; what is made, copied and published is noted.
fn perform(
    step: &Step,
    fates: &[Fate],
    pinned: &CycleImage,
    made: &mut BTreeMap<usize, Digest>,
    copied: &mut Copied,
) -> StepOutcome {
    let place = |platform: &Platform| {
        let place = (0..PLATFORMS.len()).find(|place| self::platform(*place) == *platform);
        let place = place.unwrap();
        assert!(fates[place].is_selected, "nothing is done with the others");
        place
    };
    match step {
        Step::Plan(_) => PlanOutcome {
            images: vec![pinned.clone()],
            ..PlanOutcome::default()
        }
        .into(),
        Step::Scan(step) => {
            let is_vulnerable = fates[place(&step.platform)].is_vulnerable;
            ScanOutcome {
                verdict: if is_vulnerable {
                    ScanVerdict::Patch { fixable: 1 }
                } else {
                    ScanVerdict::Skip(ScanSkip::NoVulnerability)
                },
                fixable: is_vulnerable.then(finding).into_iter().collect(),
                unfixed: 0,
                database: None,
            }
            .into()
        }
        Step::Patch(step) => {
            let place = place(&step.platform);
            match fates[place].patch {
                Patch::NothingMade => PatchOutcome::NothingMade.into(),
                Patch::Failed => StepFailure::permanent("no shell").into(),
                Patch::Good | Patch::Refused => {
                    let mut platforms = pinned.platforms.iter();
                    assert!(platforms.any(|one| one.digest == step.manifest));
                    let candidate =
                        digest(&format!("{} {place}", step.cycle.started().timestamp()));
                    made.insert(place, candidate.clone());
                    PatchOutcome::Made(candidate).into()
                }
            }
        }
        Step::Verify(step) => {
            let is_good = fates[place(&step.candidate.platform)].patch == Patch::Good;
            let (fixed, left) = if is_good {
                (vec![finding()], vec![])
            } else {
                (vec![], vec![finding()])
            };
            let after = ScanVerdict::Skip(ScanSkip::NoVulnerability);
            VerifyOutcome {
                mismatch: None,
                comparisons: vec![Comparison {
                    scanned: step.scanned[0].clone(),
                    evidence: Evidence::new(fixed, vec![], left, after),
                }],
            }
            .into()
        }
        Step::Copy(step) => copy(step, fates, pinned, made, copied).into(),
        Step::Publish(step) => {
            let (index, _) = copied.index.as_ref().unwrap();
            assert_eq!(step.digest, *index, "what was copied gets the tag");
            copied.is_published = true;
            PublishOutcome::Published.into()
        }
        step => unreachable!("{step:?}"),
    }
}

/// Takes note of what is copied into the registry.
fn copy(
    step: &CopyStep,
    fates: &[Fate],
    pinned: &CycleImage,
    made: &BTreeMap<usize, Digest>,
    copied: &mut Copied,
) -> CopyOutcome {
    let copy = match &step.content {
        CopyContent::Manifest(candidate) => {
            let mut good = made
                .iter()
                .filter(|(place, _)| fates[**place].patch == Patch::Good);
            assert!(
                good.any(|(_, made)| made == candidate),
                "what was refused is not copied"
            );
            copied.manifests.push(candidate.clone());
            candidate.clone()
        }
        CopyContent::Index {
            original,
            replacements,
            previous,
        } => {
            assert_eq!(*original, pinned.digest, "an index stays an index");
            let patch = pinned.latest_patch.as_ref().map(|patch| &patch.digest);
            assert_eq!(previous.as_ref(), patch, "it names the patch before");
            let mut patched = replacements.iter().map(|one| &one.patched);
            assert!(
                patched.all(|one| {
                    let is_made = made.values().any(|made| made == one);
                    !is_made || copied.manifests.contains(one)
                }),
                "an index names what is in the registry"
            );
            let index = digest(&format!("copy {}", step.cycle.started().timestamp()));
            copied.index = Some((index.clone(), replacements.clone()));
            index
        }
    };
    CopyOutcome::Copied(copy)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn after_four_cycles_an_index_holds_what_the_rules_say(fates in fates()) {
        let mut now: DateTime<Utc> = "2024-01-07T09:30:00Z".parse().unwrap();
        let mut registry = Registry { pushed: [0; PLATFORMS.len()], newest: None };
        for (number, fates) in (1..).zip(&fates) {
            for (pushed, fate) in registry.pushed.iter_mut().zip(fates) {
                *pushed += u32::from(fate.moves);
            }
            if fates.iter().all(|fate| !fate.is_selected) {
                continue;
            }
            let pinned = registry.pinned(fates);
            let (mut made, mut copied) = (BTreeMap::new(), Copied::default());
            let id = CycleId::new(now, number);
            let mut cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), now);
            while let NextStep::Assigned(assignment) = cycle.next_step(now) {
                let Assignment { run, attempt, step, .. } = *assignment;
                let outcome = perform(&step, fates, &pinned, &mut made, &mut copied);
                cycle.report(&run, attempt, outcome, now).unwrap();
            }
            prop_assert!(cycle.has_ended());
            let expected = registry.expected(fates, &made);
            let row = cycle.rows().next().unwrap();
            prop_assert_eq!(row.platforms.len(), PLATFORMS.len());
            prop_assert_eq!(row.patched_image.is_some(), expected.is_some());
            prop_assert_eq!(copied.is_published, expected.is_some());
            prop_assert_eq!(copied.index.is_some(), expected.is_some(), "no index without a tag");
            if let (Some((_, replacements)), Some(expected)) = (copied.index, expected) {
                // What is not replaced stays the original's; nothing else is replaced.
                let held: Vec<Held> = (0..PLATFORMS.len())
                    .map(|place| {
                        let original = registry.original(place);
                        let mut replacements = replacements.iter();
                        let found = replacements.find(|one| one.original == original);
                        (found.map_or(&original, |one| &one.patched).clone(), original)
                    })
                    .collect();
                prop_assert_eq!(&held, &expected);
                let originals: Vec<Digest> =
                    (0..PLATFORMS.len()).map(|place| registry.original(place)).collect();
                prop_assert!(replacements.iter().all(|one| originals.contains(&one.original)));
                let before = registry.newest.as_ref().map_or(0, |(number, _)| *number);
                registry.newest = Some((before + 1, held.try_into().unwrap()));
            }
            now += TimeDelta::days(7);
        }
    }
}
