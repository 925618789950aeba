//! Trivy itself.

use std::collections::BTreeSet;

use cssc_core::Digest;
use cssc_core::cycle::ScanOutcome;
use cssc_core::scan::ScanVerdict;
use cssc_engine::tool::{Scanner, Version};

use crate::setting::{Setting, advisories, trivy};

#[test]
fn it_is_new_enough_and_finds_what_the_image_was_made_with() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let version = setting.job(None, |job| trivy(&setting).check(job)).unwrap();
    assert_eq!(version, Some(Version(0, 76, 0)));
    let (report, _) = setting.scan(&trivy(&setting), &setting.image("12"));
    let scan = ScanOutcome::from(&report);
    let found: BTreeSet<String> = scan
        .fixable
        .iter()
        .map(|finding| finding.vulnerability_id().to_owned())
        .collect();
    assert_eq!(found, advisories());
    assert_eq!(scan.unfixed, 1, "that of bash, which nothing mends");
    let fixable = report.fixable();
    assert_eq!(report.verdict(), ScanVerdict::Patch { fixable });
}

#[test]
fn what_its_login_may_not_read_is_not_there() {
    let Some(setting) = Setting::get() else {
        return;
    };
    let missing: Digest = format!("sha256:{:064}", 7).parse().unwrap();
    let other = setting.image("12-arm64").descriptor().digest;
    for asked in [missing, other] {
        let scan = setting.try_scan(&trivy(&setting), &setting.image("12"), Some(asked));
        let error = scan.unwrap_err();
        assert!(error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("ended with exit code 1: "), "{text}");
    }
}
