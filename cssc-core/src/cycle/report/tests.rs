//! A cycle of several outcomes in all forms of its report.

use super::*;
use crate::cycle::{
    Assignment, Comparison, CopyOutcome, CycleImage, CycleOptions, CyclePlatform, LeftOut,
    LeftOutReason, NextStep, PatchOutcome, PlanOutcome, PublishOutcome, ScanOutcome, Step,
    StepFailure, VerifyOutcome,
};
use crate::inventory::{ListingError, UnavailableKind};
use crate::name::Digest;
use crate::scan::{Evidence, Finding, ScanSkip, ScanVerdict, Severity};

fn digest(number: u32) -> Digest {
    format!("sha256:{number:064}").parse().unwrap()
}

fn finding(id: &str) -> Finding {
    Finding::new(id, "libc6", "2.36-9", Some("2.36-10"), Severity::High)
}

fn image(number: u32, tag: &str) -> CycleImage {
    CycleImage {
        repository: "python".parse().unwrap(),
        tag: tag.parse().unwrap(),
        digest: digest(number),
        platforms: vec![CyclePlatform {
            platform: "linux/amd64".parse().unwrap(),
            digest: digest(number),
            patch: None,
            size: 0,
        }],
        unselected: Vec::new(),
        latest_patch: None,
        patch_tag: Some(format!("{tag}-1").parse().unwrap()),
    }
}

fn perform(step: &Step) -> crate::cycle::StepOutcome {
    match step {
        Step::Plan(_) => PlanOutcome {
            images: vec![image(1, "bad"), image(2, "clean"), image(3, "old_1")],
            left_out: vec![LeftOut {
                repository: "redis".parse().unwrap(),
                tag: "*".to_owned(),
                reason: LeftOutReason::Unavailable(ListingError::new(
                    UnavailableKind::Transient,
                    "<down> & \"out\"",
                )),
            }],
            ..PlanOutcome::default()
        }
        .into(),
        Step::Scan(step) if step.tag.as_str() == "bad" => {
            StepFailure::permanent("no | report\u{1b}\nat all").into()
        }
        Step::Scan(step) if step.tag.as_str() == "clean" => ScanOutcome {
            verdict: ScanVerdict::Skip(ScanSkip::NoVulnerability),
            fixable: Vec::new(),
            unfixed: 4,
            database: None,
        }
        .into(),
        Step::Scan(_) => ScanOutcome {
            verdict: ScanVerdict::Patch { fixable: 2 },
            fixable: vec![finding("CVE-1"), finding("CVE-2")],
            unfixed: 0,
            database: None,
        }
        .into(),
        Step::Patch(_) => PatchOutcome::Made(digest(9)).into(),
        Step::Verify(step) => VerifyOutcome {
            mismatch: None,
            comparisons: vec![Comparison {
                scanned: step.scanned[0].clone(),
                evidence: Evidence::new(
                    vec![finding("CVE-1")],
                    Vec::new(),
                    vec![finding("CVE-2")],
                    ScanVerdict::Patch { fixable: 1 },
                ),
            }],
        }
        .into(),
        Step::Copy(_) => CopyOutcome::Copied(digest(9)).into(),
        Step::Publish(_) => PublishOutcome::Published.into(),
        step => unreachable!("{step:?}"),
    }
}

fn cycle() -> Cycle {
    let now: DateTime<Utc> = "2024-01-07T09:30:00Z".parse().unwrap();
    let options = CycleOptions::default();
    let mut cycle = Cycle::new(CycleId::new(now, 3), Cause::Immediate, options, now);
    while let NextStep::Assigned(assignment) = cycle.next_step(now) {
        let outcome = perform(&assignment.step);
        let Assignment { run, attempt, .. } = *assignment;
        cycle.report(&run, attempt, outcome, now).unwrap();
    }
    cycle
}

#[test]
fn junit() {
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="cssc cycle 20240107T093000Z-0003" tests="5" failures="3" errors="0" skipped="1" time="0">
  <testcase classname="cssc-trigger-workflow" name="plan"><failure message="cannot read `redis:*`: &lt;down&gt; &amp; &quot;out&quot;"/></testcase>
  <testcase classname="python" name="python:bad"><failure message="no | report�&#10;at all"/></testcase>
  <testcase classname="python" name="python:clean"/>
  <testcase classname="python" name="python:old_1"><failure message="1 fixable finding left in the patched image"/></testcase>
  <testcase classname="redis" name="redis:*"><skipped message="&lt;down&gt; &amp; &quot;out&quot;"/></testcase>
</testsuite>
"#;
    assert_eq!(CycleReport::new(&cycle()).junit().to_string(), expected);
}

#[test]
fn markdown() {
    let expected = r#"## Cycle 20240107T093000Z-0003: Failed

| images | patched | clean | vulnerable | end-of-life | unsupported | failed | canceled | left-out |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| 3 | 0 | 1 | 1 | 0 | 0 | 1 | 0 | 1 |

cannot read \`redis:\*\`: &lt;down> & "out"

### Patched

| image | patched image | fixed | left |
|---|---|---:|---:|
| python:old\_1 | python:old\_1-1 | 1 | 1 |

### Failed

| image | reason |
|---|---|
| python:bad | no \| report  at all |

### Still vulnerable

| image | reason | open since |
|---|---|---|
| python:old\_1 | 1 fixable finding left in the patched image | 2024-01-07 |

### Left out

| image | reason |
|---|---|
| redis:\* | &lt;down> & "out" |
"#;
    assert_eq!(CycleReport::new(&cycle()).markdown().to_string(), expected);
}

#[test]
fn lines() {
    let expected = "\
python:bad: failed, no | report  at all
python:old_1: vulnerable, published as python:old_1-1, 1 fixable finding left in the patched \
                    image; findings: 1 fixed, 1 left (open since 2024-01-07)
cycle 20240107T093000Z-0003 failed: 3 images, 1 clean, 1 vulnerable, 1 failed, 1 left-out; \
                    findings: 1 fixed, 1 left (open since 2024-01-07), 4 without a fix";
    let report = CycleReport::new(&cycle());
    assert_eq!(report.lines().to_string(), expected);
    assert!(expected.ends_with(&report.line().to_string()));
}

#[test]
fn html() {
    let report = CycleReport::new(&cycle());
    let page = report.html("ghcr.io/<acme>", &[]).to_string();
    for part in [
        "<title>Failed: cycle 20240107T093000Z-0003 of ghcr.io/&lt;acme&gt;</title>",
        "<p class=\"problem\">cannot read `redis:*`: &lt;down&gt; &amp; &quot;out&quot;</p>",
        "<li class=\"bad\"><b>1</b>vulnerable</li>",
        "<li class=\"warn none\"><b>0</b>unsupported</li>",
        "<p>1 fixed, 1 left (open since 2024-01-07), 4 without a fix.</p>",
        "<tr><td>high</td><td class=\"number\">1</td>",
        "<b>python:bad</b> <span class=\"badge bad\">failed</span>",
        "<p>no | report\u{fffd} at all</p>",
        "now python:old_1-1 <span class=\"soft\">1 fixed, 1 left (open since 2024-01-07)</span>",
        "<a rel=\"noreferrer\" href=\"https://www.cve.org/CVERecord?id=CVE-2\">CVE-2</a>",
        "<tr><td>redis:*</td><td>&lt;down&gt; &amp; &quot;out&quot;</td></tr>",
        "No earlier cycle is on record.",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The worst comes first.
    let place = |name: &str| page.find(&format!("<b>python:{name}</b>")).unwrap();
    assert!(place("bad") < place("old_1") && place("old_1") < place("clean"));
    let page = report.html("a", &[report.figures()]).to_string();
    assert!(page.contains("<title>20240107T093000Z-0003: 1 fixed, 1 left</title>"));
}

proptest::proptest! {
    /// Whatever a tool or a registry has said, there are no more tags than there were.
    #[test]
    fn nothing_from_elsewhere_is_markup(hostile in "x.*") {
        let count = |text: &str| {
            let mut report = CycleReport::new(&cycle());
            for image in &mut report.images {
                let found = Finding::new(text, text, text, Some(text), Severity::High);
                for one in image.left_findings.iter_mut().chain(&mut image.fixed_findings) {
                    one.finding = found.clone();
                }
                let reason = image.row.reason.as_mut().unwrap();
                reason.text = text.to_owned();
            }
            report.problem = Some(text.to_owned());
            let page = report.html(text, &[]).to_string();
            ['<', '>', '"'].map(|one| page.matches(one).count())
        };
        proptest::prop_assert_eq!(count(&hostile), count("plain"));
    }
}

#[test]
fn sarif() {
    let log = serde_json::to_value(CycleReport::new(&cycle()).sarif()).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "what is fixed is not reported");
    assert_eq!(results[0]["ruleId"], "CVE-2");
    assert_eq!(results[0]["level"], "error");
    assert_eq!(
        results[0]["message"]["text"],
        "`libc6` 2.36-9 in `python:old_1` (linux/amd64) has CVE-2; version 2.36-10 fixes it"
    );
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], "CVE-2");
}

/// Byte by byte what code scanning has been given so far, since it knows findings again by it.
#[test]
fn sarif_is_written_in_one_way() {
    let text = serde_json::to_string(&CycleReport::new(&cycle()).sarif()).unwrap();
    let expected = concat!(
        r#"{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","runs":[{"#,
        r#""automationDetails":{"id":"cssc/20240107T093000Z-0003"},"results":[{"#,
        r#""level":"error","locations":[{"message":{"text":"linux/amd64: libc6"},"#,
        r#""physicalLocation":{"artifactLocation":{"uri":"python/old_1"}}}],"#,
        r#""message":{"text":"`libc6` 2.36-9 in `python:old_1` (linux/amd64) has CVE-2; "#,
        r#"version 2.36-10 fixes it"},"partialFingerprints":{"#,
        r#""image/platform/vulnerability/package":"python:old_1/linux/amd64/CVE-2/libc6"},"#,
        r#""properties":{"since":"2024-01-07T09:30:00Z"},"ruleId":"CVE-2"}],"tool":{"driver":{"#,
        r#""informationUri":"https://github.com/cssc-rs/cssc","name":"cssc","rules":[{"#,
        r#""helpUri":"https://nvd.nist.gov/vuln/detail/CVE-2","id":"CVE-2","properties":{"#,
        r#""security-severity":"8.0","tags":["vulnerability","security","high"]},"#,
        r#""shortDescription":{"text":"CVE-2 in `libc6`"}}],"version":"0.1.0"}}}],"#,
        r#""version":"2.1.0"}"#,
    );
    assert_eq!(text, expected);
}

/// Of very many findings the page shows the worst of each image.
#[test]
fn the_page_stays_small() {
    let mut report = CycleReport::new(&cycle());
    let old = &mut report.images[2];
    let one = old.left_findings[0].clone();
    let found = |at: usize, severity| ReportedFinding {
        finding: Finding::new(format!("CVE-{at}"), "a", "1", Some("2"), severity),
        ..one.clone()
    };
    old.left_findings = (0..50_000).map(|at| found(at, Severity::Low)).collect();
    old.left_findings.push(found(50_000, Severity::Critical));
    let page = report.html("a", &[]).to_string();
    assert!(page.len() < 5 << 20, "{}", page.len());
    assert!(page.contains("42002 more, in the report as JSON"));
    assert!(
        page.contains("<tr><td>critical</td><td><a"),
        "the worst is there"
    );
    report.images[2].left_findings.truncate(7999);
    let page = report.html("a", &[]).to_string();
    assert!(!page.contains("in the report as JSON"));
    assert_eq!(page.matches("<td>low</td><td><a").count(), 7999);
    // Where not even one of each fits, their numbers are told.
    let many = report.images[2].clone();
    report.images.extend(vec![many; 4]);
    for image in &mut report.images {
        image.left_findings.truncate(1);
    }
    let one_of_each = vec![report.images[2].clone(); 8001];
    report.images.extend(one_of_each);
    let page = report.html("a", &[]).to_string();
    assert!(page.contains("<p class=\"soft\">1, in the report as JSON</p>"));
    assert!(!page.contains("<td>low</td><td><a"));
}

#[test]
fn json() {
    let json = serde_json::to_value(CycleReport::new(&cycle())).unwrap();
    assert_eq!(json["status"], "Failed");
    assert_eq!(json["cause"], "immediate");
    assert_eq!(json["summary"]["vulnerable"], 1);
    assert_eq!(json["summary"]["leftOut"], 1);
    let [bad, clean, old, redis] = [0, 1, 2, 3].map(|place| &json["images"][place]);
    assert_eq!(bad["scanStatus"], "Failed");
    assert_eq!(clean["reason"]["code"], "no-vulnerability");
    assert_eq!(clean["findings"]["unfixed"], 4);
    assert_eq!(old["patchedImage"], "python:old_1-1");
    assert_eq!(old["outcome"], "vulnerable");
    assert_eq!(old["fixedFindings"][0]["vulnerabilityId"], "CVE-1");
    assert_eq!(old["leftFindings"][0]["vulnerabilityId"], "CVE-2");
    assert_eq!(redis["outcome"], "left-out");
    assert_eq!(redis["reason"]["code"], "unavailable");
}

#[test]
fn findings_are_open_since_an_image_was_first_scanned_with_them() {
    let day =
        |day: u32| -> DateTime<Utc> { format!("2024-01-{day:02}T09:30:00Z").parse().unwrap() };
    let report = |day| {
        let mut report = CycleReport::new(&cycle());
        for image in &mut report.images {
            for left in &mut image.left_findings {
                left.since = Some(day);
            }
        }
        report
    };
    let first = report(day(1));
    // In the second cycle nothing was scanned: that tells nothing of the finding.
    let mut second = report(day(8));
    for image in &mut second.images {
        image.row.findings = None;
        image.left_findings.clear();
    }
    let mut third = report(day(15));
    third.images[2].left_findings[0].finding = finding("CVE-2");
    let mut new = third.images[2].left_findings[0].clone();
    new.finding = finding("CVE-3");
    third.images[2].left_findings.push(new);
    third.follow([second, first]);
    let since: Vec<_> = third.images[2]
        .left_findings
        .iter()
        .map(|left| left.since)
        .collect();
    assert_eq!(since, [Some(day(1)), Some(day(15))]);
    assert_eq!(third.images[2].open_since(), Some(day(1)));
    let row = &third.images[2].row;
    let numbers = [row.findings, row.platforms[0].findings];
    assert_eq!(
        numbers.map(|one| one.unwrap().open_since),
        [Some(day(1)); 2]
    );
    assert_eq!(third.findings().open_since, Some(day(1)));

    // What was not there in the cycle before is new.
    let mut again = report(day(22));
    let mut clean = third.clone();
    clean.images[2].left_findings.clear();
    again.follow([clean, third]);
    assert_eq!(again.images[2].open_since(), Some(day(22)));
    assert!(
        again.markdown().to_string().contains(
            "| python:old\\_1 | 1 fixable finding left in the patched image | 2024-01-22 |"
        )
    );
}

#[test]
fn different_databases_are_shown() {
    let mut report = CycleReport::new(&cycle());
    report.databases = ["2024-01-06T00:00:00Z", "2024-01-07T00:00:00Z"]
        .map(|time| time.parse().unwrap())
        .to_vec();
    let markdown = report.markdown().to_string();
    assert!(markdown.contains(
        "The scans used databases of different dates: 2024-01-06T00:00:00Z, 2024-01-07T00:00:00Z"
    ));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["databases"][1], "2024-01-07T00:00:00Z");
}
