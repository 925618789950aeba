//! What is exported for engines: the schedule, read back, and names that YAML would misread.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly, with small numbers"
)]

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use cssc_core::schedule::Interval;
use cssc_core::workflow::PatcherKind;
use cssc_core::{Dialect, Schedule};
use cssc_engine::export::{Engine, Export, ExportError, MARKER};
use proptest::prelude::*;

const ENGINES: [Engine; 5] = [
    Engine::Github,
    Engine::Gitlab,
    Engine::Kubernetes,
    Engine::Argo,
    Engine::Airflow,
];

fn export(schedule: Schedule, now: DateTime<Utc>) -> Export {
    Export {
        registry: "localhost:5000".to_owned(),
        schedule,
        shards: 3,
        image: Some("ghcr.io/acme/cssc:1".to_owned()),
        runner: "ubuntu-latest".to_owned(),
        patcher: PatcherKind::Copa,
        options: Vec::new(),
        now,
    }
}

/// Image, runner, number of shards and secrets are said once, before the first job.
#[test]
fn what_one_may_want_to_change_stands_at_the_top() {
    let now: DateTime<Utc> = "2026-01-07T09:30:00Z".parse().unwrap();
    let schedule = Schedule::new(Interval::new(7).unwrap(), now, Dialect::Service);
    for (engine, first_job, settings) in [
        (
            Engine::Github,
            "jobs:",
            &["image: acme", "&runner \"ubuntu", "\"17\"", "{ secrets."][..],
        ),
        (
            Engine::Gitlab,
            "plan:",
            &["image: acme", "17", "$HARBOR_USERNAME"],
        ),
        (
            Engine::Kubernetes,
            "spec:",
            &["image: acme", "\"17\"", "&secret"],
        ),
        (
            Engine::Argo,
            "templates:",
            &["image: acme", "\"17\"", "\"cssc-registry\""],
        ),
        (Engine::Airflow, "PLAN = ", &["= 17", "\"cssc_registry\""]),
    ] {
        let export = Export {
            shards: 17,
            image: Some("image: acme".to_owned()),
            ..export(schedule, now)
        };
        let text = export.files(engine).unwrap().pop().unwrap().text;
        let (top, rest) = text
            .split_once(&format!("\n{first_job}"))
            .unwrap_or_else(|| {
                let place = text.find(first_job).unwrap();
                text.split_at(place)
            });
        for setting in settings {
            assert!(top.contains(setting), "{engine:?}: {setting}: {top}");
            // The completions of a job of Kubernetes are a number without quotes.
            assert!(!rest.contains(setting), "{engine:?}: {setting}: {rest}");
        }
    }
}

/// The cron expression that a file holds.
fn cron_of(engine: Engine, text: &str) -> &str {
    let before = match engine {
        Engine::Github => "    - cron: \"",
        Engine::Gitlab => "#   ",
        Engine::Kubernetes => "  schedule: \"",
        Engine::Argo => "  schedules: [\"",
        _ => "SCHEDULE = \"",
    };
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(before))
        .unwrap();
    line.split(['"', '(']).next().unwrap().trim()
}

/// The guard that a script holds: the schedule and the creation that it names.
fn guard_of(text: &str) -> Option<Schedule> {
    let line = text
        .lines()
        .find(|line| line.contains("cssc schedule due") && line.contains("--created"))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "due");
    words.next();
    let interval = words.next()?.parse().ok()?;
    let created = words.nth(1)?.parse().ok()?;
    let dialect = words.nth(1)?.parse().ok()?;
    Some(Schedule::new(interval, created, dialect))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Over two years the engine begins cycles at exactly the times of the schedule.
    #[test]
    fn the_exported_schedule_is_that_of_the_workflow(
        days in 1_u8..=30,
        created in 1_700_000_000_i64..1_900_000_000,
        later in 0_i64..100,
        dialect in prop::sample::select(&Dialect::ALL[..]),
    ) {
        let created = DateTime::from_timestamp(created, 0).unwrap();
        let schedule = Schedule::new(Interval::new(days).unwrap(), created, dialect);
        let now = created + TimeDelta::days(later);
        let end = now + TimeDelta::days(731);
        let expected: Vec<_> = schedule.runs_after(now).take_while(|run| *run <= end).collect();
        let export = export(schedule, now);
        for engine in ENGINES {
            let files = export.files(engine).unwrap();
            let text: String = files.iter().map(|file| file.text.as_str()).collect();
            let cron: Cron = cron_of(engine, &text).parse().unwrap();
            let guard = guard_of(&text);
            prop_assert_eq!(guard.is_none(), export.is_cron_exact());
            let starts = cron.iter_after(now).take_while(|start| *start <= end);
            let begun: Vec<_> = starts
                .filter(|start| {
                    guard.is_none_or(|guard| guard.due(*start, TimeDelta::days(1)).is_some())
                })
                .collect();
            prop_assert_eq!(&begun, &expected, "{:?}", engine);
        }
    }
}

#[test]
fn files_begin_with_the_marker_and_leave_no_name_of_a_value() {
    let now = "2026-01-07T09:30:00Z".parse().unwrap();
    let schedule = Schedule::new("7d".parse().unwrap(), now, Dialect::Documented);
    let mut export = export(schedule, now);
    export.options = ["--patcher-arg", "it's; $(rm -rf /)", "", "@SHARDS@"]
        .map(str::to_owned)
        .into();
    for engine in ENGINES {
        for file in export.files(engine).unwrap() {
            let first = file.text.lines().next().unwrap();
            assert!(first.contains(MARKER), "{first}");
            let options = r"--patcher-arg 'it'\''s; $(rm -rf /)' '' @SHARDS@";
            if file.text.contains("cycle run --registry") {
                assert!(file.text.contains(options), "{}", file.text);
            }
            let text = file.text.replace(options, "");
            for name in [
                "@DUE@",
                "@CRON@",
                "@SHARDS@",
                "@OPTIONS@",
                "@IMAGE",
                "@REGISTRY",
            ] {
                assert!(!text.contains(name), "{name} in {}", file.path);
            }
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let now = "2026-01-07T09:30:00Z".parse().unwrap();
    let schedule = Schedule::new("7d".parse().unwrap(), now, Dialect::Service);
    let mut export = export(schedule, now);
    export.image = None;
    assert_eq!(
        export.files(Engine::Argo).unwrap_err(),
        ExportError::NoImage
    );
    assert!(export.files(Engine::Github).is_ok());
    export.shards = 257;
    let error = export.files(Engine::Github).unwrap_err();
    assert_eq!(error, ExportError::TooManyShards { most: 256 });
    assert_eq!(error.to_string(), "it can run 256 shards at most");
}

/// For Copa there is a `BuildKit` in the network of each worker, which reaches the relay at its
/// loopback address; where none can be started there, Buildah patches.
#[test]
fn workers_have_what_they_patch_with() {
    let now = "2026-01-07T09:30:00Z".parse().unwrap();
    let schedule = Schedule::new("7d".parse().unwrap(), now, Dialect::Service);
    let text = |export: &Export, engine| {
        let files = export.files(engine).unwrap().into_iter();
        files.map(|file| file.text).collect::<String>()
    };
    let with_image = export(schedule, now);
    let without = Export {
        image: None,
        ..with_image.clone()
    };
    for (export, engine, beside) in [
        (&without, Engine::Github, "--network host"),
        (&with_image, Engine::Kubernetes, "initContainers:"),
        (&with_image, Engine::Argo, "sidecars:"),
    ] {
        let text = text(export, engine);
        assert!(text.contains(beside), "{text}");
        assert!(text.contains("moby/buildkit:v"), "{text}");
        assert!(text.contains(" --addr tcp://127.0.0.1:1234"), "{text}");
    }
    for (export, engine) in [(&with_image, Engine::Github), (&without, Engine::Gitlab)] {
        let text = text(export, engine);
        assert!(
            text.contains(" --patcher buildah --buildah-isolation chroot"),
            "{text}"
        );
        assert!(!text.contains("buildkit"), "{text}");
    }
    for (patcher, options) in [
        (PatcherKind::Buildah, &[][..]),
        (PatcherKind::Copa, &["--patcher", "command"]),
        (PatcherKind::Copa, &["--addr=tcp://builder:1234"]),
    ] {
        let export = Export {
            patcher,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..with_image.clone()
        };
        for engine in ENGINES {
            let text = text(&export, engine);
            assert!(
                !text.contains("buildkit") && !text.contains("chroot"),
                "{text}"
            );
        }
    }
}
