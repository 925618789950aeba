//! Drives one cycle by hand: asks for work, does it (here: makes it up), reports the outcome.
#![expect(
    clippy::disallowed_macros,
    clippy::arithmetic_side_effects,
    reason = "an example shows what it does, in small numbers"
)]

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::{
    Cause, Cycle, CycleImage, CycleOptions, Next, Outcome, Owner, PublishDecision, Reason,
    ScanDecision, Step,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut now: DateTime<Utc> = "2024-01-07T09:30:00Z".parse()?;
    let mut cycle = Cycle::new(
        1,
        Owner::new(7),
        Cause::Immediate,
        CycleOptions::default(),
        now,
    );
    loop {
        let work = match cycle.next_work(now) {
            Next::Work(work) => work,
            Next::WaitUntil(time) => {
                now = time;
                continue;
            }
            Next::Idle | Next::Done => break,
        };
        // Store `cycle.take_changes()` here, before the world is touched …
        println!("{} {} {:?}", work.run, work.step.name(), work.step);
        let outcome = do_it(&work.step)?;
        now += TimeDelta::seconds(90);
        cycle.report(work.run, work.attempt, outcome, now)?;
        // … and here again.
    }
    println!(
        "{}",
        serde_json::to_string_pretty(&cycle.rows().collect::<Vec<_>>())?
    );
    Ok(())
}

fn do_it(step: &Step) -> Result<Outcome, Box<dyn std::error::Error>> {
    let digest = || "sha256:0123".to_owned();
    Ok(match step {
        Step::Plan => Outcome::Planned {
            images: vec![image("3.11")?, image("3.12")?],
            unavailable: None,
        },
        Step::Scan { tag, .. } => Outcome::Scanned {
            verdict: match tag.as_str() {
                "3.11" => ScanDecision::Patch,
                _ => ScanDecision::Skip(Reason::NoVulnerability),
            },
            digest: Some(digest()),
        },
        Step::Patch { .. } => Outcome::Patched {
            digest: digest(),
            original: None,
        },
        Step::Verify { .. } => Outcome::Verified {
            verdict: PublishDecision::Publish,
        },
        Step::Publish { .. } => Outcome::Published,
        Step::Discard { .. } => Outcome::Discarded,
    })
}

fn image(tag: &str) -> Result<CycleImage, cssc_core::NameError> {
    Ok(CycleImage {
        repository: "python".parse()?,
        tag: tag.parse()?,
        scan_tag: tag.parse()?,
        patch_tag: Some(format!("{tag}-1").parse()?),
        digest: None,
        patched_digest: None,
    })
}
