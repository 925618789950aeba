//! The figures in the text format of Prometheus.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use cssc_core::cycle::{ImageOutcome, StepKind};

use super::{Figures, Monitor};

impl Monitor {
    /// The figures in the text format of Prometheus, version 0.0.4.
    pub fn metrics(&self) -> String {
        let figures = self.figures();
        let mut text = Text::default();
        figures.cycle(&mut text);
        figures.findings(&mut text);
        figures.totals(&mut text);
        figures.times(&mut text);
        text.0
    }
}

impl Figures {
    fn cycle(&self, text: &mut Text) {
        let (name, help) = ("cssc_cycle_running", "Whether a cycle is going on.");
        text.family(name, "gauge", help);
        text.sample(name, &[], u64::from(self.running));
        let summary = &self.summary;
        let (name, help) = ("cssc_images", "Images of the current cycle by state.");
        text.family(name, "gauge", help);
        let open = [("queued", summary.queued), ("running", summary.running)];
        let outcomes = ImageOutcome::ALL.map(|one| (one.as_str(), summary.of(one)));
        for (state, count) in open.into_iter().chain(outcomes) {
            text.sample(name, &[("state", state)], count);
        }
    }

    fn findings(&self, text: &mut Text) {
        let Some(last) = &self.last else {
            return;
        };
        let findings = last.figures.findings;
        let (name, help) = ("cssc_findings", "Findings of the last cycle by state.");
        text.family(name, "gauge", help);
        for (state, count) in [
            ("fixed", findings.fixed),
            ("left", findings.left),
            ("unfixed", findings.unfixed),
        ] {
            text.sample(name, &[("state", state)], count);
        }
        text.time(
            "cssc_oldest_finding_timestamp_seconds",
            "Since when the oldest finding that can be fixed and is left is open.",
            findings.open_since,
        );
    }

    fn totals(&self, text: &mut Text) {
        let name = "cssc_cycles_total";
        text.family(name, "counter", "Cycles that ended since the start.");
        for (status, count) in [
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("canceled", self.canceled),
        ] {
            text.sample(name, &[("status", status)], count);
        }
        let name = "cssc_steps_total";
        text.family(name, "counter", "Steps that ended since the start.");
        for kind in StepKind::ALL {
            let counts = self.steps.get(kind).copied().unwrap_or_default();
            for (outcome, count) in [("done", counts.done), ("failed", counts.failed)] {
                let labels = [("step", kind.as_str()), ("outcome", outcome)];
                text.sample(name, &labels, count);
            }
        }
        let name = "cssc_step_seconds_total";
        let help = "Time that steps took that ended since the start.";
        text.family(name, "counter", help);
        for kind in StepKind::ALL {
            let took = self
                .steps
                .get(kind)
                .map_or(0.0, |counts| counts.took.as_secs_f64());
            text.sample(name, &[("step", kind.as_str())], took);
        }
        let name = "cssc_patched_images_total";
        let help = "Patched images published since the start.";
        text.family(name, "counter", help);
        text.sample(name, &[], self.patched);
    }

    fn times(&self, text: &mut Text) {
        if let Some((answered, _)) = self.registry {
            let name = "cssc_registry_up";
            let help = "Whether the registry answered the last time the policy was read.";
            text.family(name, "gauge", help);
            text.sample(name, &[], u64::from(answered));
        }
        let (name, help) = (
            "cssc_next_cycle_timestamp_seconds",
            "When the next scheduled cycle begins.",
        );
        text.time(name, help, self.next);
        let (name, help) = (
            "cssc_last_cycle_end_timestamp_seconds",
            "When the last cycle ended.",
        );
        let ended = self.last.as_ref().and_then(|last| last.report.finished());
        text.time(name, help, ended);
        let report = self.last.as_ref().map(|last| &last.report);
        let started = report.map(|report| report.cycle().started());
        if let Some((started, ended)) = started.zip(ended) {
            let name = "cssc_last_cycle_duration_seconds";
            text.family(name, "gauge", "How long the last cycle took.");
            let took = ended.signed_duration_since(started);
            text.sample(name, &[], took.num_seconds());
        }
    }
}

/// Text that is being written. Names, labels and help are ours and need no escaping.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn time(&mut self, name: &str, help: &str, time: Option<DateTime<Utc>>) {
        if let Some(time) = time {
            self.family(name, "gauge", help);
            self.sample(name, &[], time.timestamp());
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        let _ = match labels.as_slice() {
            [] => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cssc_core::cycle::CycleReport;

    use super::*;
    use crate::runner::RunnerEvent;

    /// Every sample belongs to the family announced before it, no family comes twice, no sample
    /// comes twice, and every value is a number.
    #[test]
    fn the_text_is_what_prometheus_reads() {
        let monitor = Monitor::default();
        monitor.waiting("2026-01-07T09:30:00Z".parse().ok());
        monitor.registry(true);
        monitor.event(&RunnerEvent::Canceled);
        monitor.serves("localhost:5000".to_owned(), Some(report()), Vec::new());
        let text = monitor.metrics();
        assert!(text.ends_with('\n'), "{text}");
        let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
        let mut lines = text.lines().peekable();
        while let Some(help) = lines.next() {
            let (name, words) = help
                .strip_prefix("# HELP ")
                .and_then(|rest| rest.split_once(' '))
                .unwrap();
            assert!(!words.is_empty() && families.insert(name), "{help}");
            let kind = lines.next().unwrap();
            let kind = kind.strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(["gauge", "counter"].contains(&kind), "{kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                assert!(samples.insert(sample), "twice: {sample}");
                let labels = sample.strip_prefix(name).unwrap();
                if labels.is_empty() {
                    continue;
                }
                let labels = labels.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
                for label in labels.split(',') {
                    let (key, value) = label.split_once('=').unwrap();
                    assert!(key.bytes().all(|byte| byte.is_ascii_lowercase()), "{key}");
                    let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                    assert!(!value.contains(['"', '\\', '\n']), "{value}");
                }
            }
        }
        assert!(text.contains("\ncssc_next_cycle_timestamp_seconds 1767778200\n"));
        assert!(families.contains("cssc_registry_up"), "{text}");
        for line in [
            "cssc_findings{state=\"fixed\"} 6",
            "cssc_findings{state=\"left\"} 2",
            "cssc_findings{state=\"unfixed\"} 4",
            "cssc_oldest_finding_timestamp_seconds 1767778200",
            "cssc_images{state=\"vulnerable\"} 1",
            "cssc_last_cycle_end_timestamp_seconds 1767778800",
            "cssc_last_cycle_duration_seconds 600",
            "cssc_step_seconds_total{step=\"scan\"} 0",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{text}");
        }
        assert_eq!(families.len(), 12, "{text}");
    }

    /// A cycle of one image.
    fn report() -> CycleReport {
        let json = r#"{"version": 1, "cycle": "20260107T093000Z-3f2a", "status": "Succeeded",
            "cause": "immediate", "started": null, "finished": "2026-01-07T09:40:00Z",
            "problem": null, "databases": [],
            "summary": {"images": 1, "queued": 0, "running": 0, "patched": 0, "clean": 0,
                "vulnerable": 1, "endOfLife": 0, "unsupported": 0, "failed": 0, "canceled": 0,
                "leftOut": 0, "published": 0},
            "images": [{"image": "python:3.11", "workflowType": "continuouspatchv1",
                "outcome": "vulnerable", "scanStatus": "Succeeded", "scanDate": null,
                "scanRunId": null, "patchStatus": "Skipped", "patchDate": null,
                "patchedImage": null, "patchedDigest": null, "patchRunId": null, "reason": null,
                "findings": {"fixable": 8, "fixed": 6, "left": 2, "introduced": 0, "unfixed": 4,
                    "openSince": "2026-01-07T09:30:00Z"},
                "fixedFindings": [], "leftFindings": []}]}"#;
        serde_json::from_str(json).unwrap()
    }
}
