//! What the state keeps of cycles that have ended.

use cssc_core::cycle::{CycleReport, RunId, Until};
use cssc_engine::workflow::report;

use super::world::{Tools, World, image};

fn report_of_next_cycle(world: &World, tools: &Tools) -> CycleReport {
    let cycle = world.cycle(tools);
    let workflow = world.state.workflow("localhost:5000").unwrap().unwrap().id;
    let kept = world.state.report(cycle.record().id()).unwrap().unwrap();
    assert_eq!(report(&*world.state, workflow, &cycle).unwrap(), kept);
    kept
}

#[test]
fn a_finding_is_open_since_the_cycle_that_found_it() {
    let mut world = World::new();
    world.settings.cycle.until = Some(Until::Scan);
    world.push("old", &image(&["CVE-1"], &[], 0));
    let tools = Tools::new();
    let first = report_of_next_cycle(&world, &tools);
    let since = first.images()[0].open_since();
    assert_eq!(since, first.images()[0].row.scan_date);
    assert_eq!(first.databases(), [tools.database]);

    world.push("old", &image(&["CVE-1", "CVE-2"], &[], 0));
    let second = report_of_next_cycle(&world, &tools);
    let found: Vec<_> = second.images()[0]
        .left_findings
        .iter()
        .map(|left| (left.finding.vulnerability_id(), left.since))
        .collect();
    let new = second.images()[0].row.scan_date;
    assert_eq!(found, [("CVE-1", since), ("CVE-2", new)]);
    assert!(new > since);
    assert_eq!(second.findings().open_since, since);
    let trigger = RunId::trigger(second.cycle());
    let log = world.state.log(&trigger, 0).unwrap().unwrap();
    let day = since.unwrap().format("%Y-%m-%d");
    let told = format!(
        "python:old: vulnerable, would be patched as `old-1`; findings: 2 left (open since {day})\n\
         cycle {} succeeded: 1 image, 1 vulnerable; findings: 2 left (open since {day})\n",
        second.cycle()
    );
    assert!(log.ends_with(&told), "{log}");

    world.settings.cycle.until = None;
    let third = report_of_next_cycle(&world, &tools);
    assert_eq!(third.images()[0].left_findings, []);
    assert_eq!(third.images()[0].fixed_findings.len(), 2);
}
