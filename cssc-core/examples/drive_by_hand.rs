//! Drives one cycle by hand: asks for work, does it (here: makes it up), reports the outcome.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "an example shows what it does, in small numbers"
)]

use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};
use cssc_core::Cycle;
use cssc_core::cycle::{
    Cause, Comparison, CopyOutcome, CycleId, CycleImage, CycleOptions, CyclePlatform, NextStep,
    PatchOutcome, PlanOutcome, PublishOutcome, ScanOutcome, Step, StepFailure, StepOutcome,
    VerifyOutcome,
};
use cssc_core::{Digest, Evidence, ScanReport};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(&mut std::io::stdout())
}

pub(crate) fn run(out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    let mut now: DateTime<Utc> = "2024-01-07T09:30:00Z".parse()?;
    let id = CycleId::new(now, 0x3f2a);
    let mut cycle = Cycle::new(id, Cause::Immediate, CycleOptions::default(), now);
    loop {
        let work = match cycle.next_step(now) {
            NextStep::Assigned(work) => work,
            NextStep::WaitUntil(time) => {
                now = time;
                continue;
            }
            _ => break,
        };
        // Store `cycle.take_changes()` here, before the world is touched …
        writeln!(out, "{} {:?}", work.run, work.step)?;
        let outcome = perform(&work.step)?;
        now += TimeDelta::seconds(90);
        cycle.report(&work.run, work.attempt, outcome, now)?;
        // … and here again.
    }
    writeln!(
        out,
        "{}",
        serde_json::to_string_pretty(&cycle.rows().collect::<Vec<_>>())?
    )?;
    Ok(())
}

/// A scanner, a patcher and a registry that are made up.
fn perform(step: &Step) -> Result<StepOutcome, Box<dyn std::error::Error>> {
    let vulnerable = r#"{"VulnerabilityID": "CVE-2024-2961", "PkgName": "libc6",
        "FixedVersion": "2.36-9+deb12u6"}"#;
    Ok(match step {
        Step::Plan(_) => PlanOutcome {
            images: vec![image("3.11", '1')?, image("3.12", '2')?],
            ..PlanOutcome::default()
        }
        .into(),
        Step::Scan(step) => {
            let report = report(match step.tag.as_str() {
                "3.11" => vulnerable,
                _ => "",
            })?;
            ScanOutcome::from(&report).into()
        }
        Step::Patch(_) => PatchOutcome::Made(digest('9')?).into(),
        Step::Verify(step) => {
            let (before, after) = (report(vulnerable)?, report("")?);
            let scanned = step.scanned.iter().cloned();
            let evidence = Evidence::compare(&before, &after);
            let comparisons = scanned.map(|scanned| Comparison {
                scanned,
                evidence: evidence.clone(),
            });
            VerifyOutcome {
                mismatch: None,
                comparisons: comparisons.collect(),
            }
            .into()
        }
        Step::Copy(_) => CopyOutcome::Copied(digest('9')?).into(),
        Step::Publish(_) => PublishOutcome::Published.into(),
        _ => StepFailure::permanent("this runner knows no such step").into(),
    })
}

fn report(findings: &str) -> Result<ScanReport, cssc_core::scan::ScanError> {
    ScanReport::from_slice(
        format!(
            r#"{{"SchemaVersion": 2, "Metadata": {{"OS": {{"Family": "debian", "Name": "12.5"}}}},
                "Results": [{{"Class": "os-pkgs", "Packages": [{{"Name": "libc6"}}],
                              "Vulnerabilities": [{findings}]}}]}}"#
        )
        .as_bytes(),
    )
}

fn digest(digit: char) -> Result<Digest, Box<dyn std::error::Error>> {
    Ok(format!("sha256:{}", digit.to_string().repeat(64)).parse()?)
}

/// An image of one platform, as it was found in the registry.
fn image(tag: &str, digit: char) -> Result<CycleImage, Box<dyn std::error::Error>> {
    Ok(CycleImage {
        repository: "python".parse()?,
        tag: tag.parse()?,
        digest: digest(digit)?,
        platforms: vec![CyclePlatform {
            platform: "linux/amd64".parse()?,
            digest: digest(digit)?,
            patch: None,
            size: 0,
        }],
        unselected: Vec::new(),
        latest_patch: None,
        patch_tag: Some(format!("{tag}-1").parse()?),
    })
}
