use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(text: &str) -> ScanReport {
    ScanReport::from_slice(text.as_bytes()).unwrap()
}

fn error(text: &str) -> String {
    ScanReport::from_slice(text.as_bytes())
        .unwrap_err()
        .to_string()
}

fn finding() -> Value {
    json!({
        "VulnerabilityID": "CVE-2024-2961", "PkgName": "libc6", "Severity": "HIGH",
        "InstalledVersion": "2.36-9+deb12u4", "FixedVersion": "2.36-9+deb12u6",
        "Description": "with \"quotes\", a \\ and {[ brackets", "References": ["https://a.b/c"],
    })
}

fn report(vulnerabilities: &[Value]) -> Value {
    json!({
        "SchemaVersion": 2,
        "ArtifactName": "python:3.11",
        "Metadata": {
            "OS": {"Family": "debian", "Name": "12.5"},
            "RepoDigests": ["python@sha256:2"],
            "ImageConfig": {"architecture": "amd64", "os": "linux"},
        },
        "Results": [
            {"Target": "python:3.11 (debian 12.5)", "Class": "os-pkgs", "Type": "debian",
             "Packages": [{"Name": "base-files"}], "Vulnerabilities": vulnerabilities},
            {"Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg"},
        ],
    })
}

/// Makes a report of any size while it is read.
struct Endless {
    repeats: usize,
    piece: String,
    tail: &'static [u8],
    at: Vec<u8>,
    place: usize,
}

impl Endless {
    fn new(head: &str, piece: String, repeats: usize, tail: &'static [u8]) -> Self {
        Self {
            repeats,
            piece,
            tail,
            at: head.as_bytes().to_vec(),
            place: 0,
        }
    }

    fn of_findings(count: usize, finding: &str, tail: &'static [u8]) -> Self {
        const HEAD: &str = r#"{"SchemaVersion":2,"Results":[{"Class":"os-pkgs","Type":"debian","Vulnerabilities":[null"#;
        Self::new(HEAD, format!(",{finding}"), count, tail)
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.place == self.at.len() {
            self.place = 0;
            self.at.clear();
            if self.repeats > 0 {
                // In blocks, so that the making does not take longer than the reading.
                let block = self.repeats.min(64);
                self.repeats -= block;
                self.at.extend(self.piece.repeat(block).bytes());
            } else if self.tail.is_empty() {
                return Ok(0);
            } else {
                self.at.extend(std::mem::take(&mut self.tail));
            }
        }
        let len = buffer.len().min(self.at.len() - self.place);
        buffer[..len].copy_from_slice(&self.at[self.place..self.place + len]);
        self.place += len;
        Ok(len)
    }
}

fn stream_of_megabytes(megabytes: usize) {
    let description = "A heap buffer overflow, told at length. ".repeat(40);
    let finding = json!({"VulnerabilityID": "CVE-1", "PkgName": "a", "Description": description,
        "InstalledVersion": "1", "FixedVersion": "2", "Severity": "LOW"});
    let finding = finding.to_string();
    let count = (megabytes << 20) / finding.len();
    let report = ScanReport::from_reader(Endless::of_findings(count, &finding, b"]}]}\n")).unwrap();
    assert_eq!(report.verdict(), ScanVerdict::Patch { fixable: count });
    assert_eq!(report.findings().len(), count);
}

#[test]
fn a_large_report_is_read_as_a_stream() {
    stream_of_megabytes(20);
}

#[test]
#[ignore = "slow without optimisation"]
fn a_report_of_100_megabytes_is_read_as_a_stream() {
    stream_of_megabytes(100);
}

#[test]
fn the_size_is_bounded() {
    let text = report(&[finding()]).to_string();
    let len = u64::try_from(text.len()).unwrap();
    let read = |limit| ScanReport::from_reader_with_limit(text.as_bytes(), limit);
    assert!(read(len).is_ok());
    let error = read(len - 1).unwrap_err();
    assert!(error.kind() == ScanErrorKind::TooLarge);
    assert_eq!(
        error.to_string(),
        format!(
            "the scan report has more than {} bytes: scan with `--scanners vuln --pkg-types os`, \
             or raise the limit",
            len - 1
        )
    );
    // A stream without end is left as soon as the limit is reached.
    let endless = Endless::new(r#"{"A":[0"#, ",0".repeat(1000), usize::MAX, b"");
    let error = ScanReport::from_reader_with_limit(endless, 1 << 20).unwrap_err();
    assert!(error.kind() == ScanErrorKind::TooLarge);
}

#[test]
fn texts_nesting_and_findings_are_bounded() {
    let long = |len: usize| Endless::new(r#"{"A":""#, "a".repeat(1 << 10), len >> 10, b"\"}");
    let error = ScanReport::from_reader(long(1 << 20)).unwrap_err();
    assert!(error.kind() == ScanErrorKind::NotAReport, "{error}");
    let error = ScanReport::from_reader(long(5 << 20)).unwrap_err();
    assert!(error.kind() == ScanErrorKind::TooLarge);
    assert_eq!(
        error.to_string(),
        "the scan report holds a text of more than 4194304 bytes"
    );

    let deep = Endless::new(r#"{"A":"#, "[".to_owned(), 1_000_000, b"");
    let error = ScanReport::from_reader(deep).unwrap_err();
    assert!(error.kind() == ScanErrorKind::TooLarge);
    assert_eq!(
        error.to_string(),
        "the scan report is nested more than 128 levels deep"
    );

    let too_long = report(&[json!({"PkgName": "a".repeat(4097)})]).to_string();
    let error = ScanReport::from_slice(too_long.as_bytes()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected a text of at most 4096 bytes"),
        "{error}"
    );
    assert!(ScanReport::from_slice(too_long.replacen("aa", "a", 1).as_bytes()).is_ok());

    let most = Endless::of_findings(read::MAX_HELD, "{}", b"]}]}");
    assert_eq!(
        ScanReport::from_reader(most).unwrap().findings().len(),
        read::MAX_HELD
    );
    for tail in [
        "]}]}",
        "]},{\"Class\":\"os-pkgs\",\"Vulnerabilities\":[{}]}]}",
    ] {
        let more = usize::from(tail.len() < 9);
        let many = Endless::of_findings(read::MAX_HELD + more, "{}", tail.as_bytes());
        let error = ScanReport::from_reader(many).unwrap_err();
        assert!(error.kind() == ScanErrorKind::TooLarge);
        assert_eq!(
            error.to_string(),
            "the scan report holds more than 500000 findings"
        );
    }
}

#[test]
fn packages_are_kept_in_order_and_bounded() {
    const HEAD: &str = r#"{"SchemaVersion":2,"Results":[{"Class":"os-pkgs","Packages":[null"#;
    let report = read(&report(&[]).to_string());
    let [package] = report.packages() else {
        panic!("{report:?}")
    };
    assert_eq!(
        (package.name(), package.architecture()),
        ("base-files", None)
    );

    let piece = r#",{"Name":"a"}"#.to_owned();
    let many = |count| Endless::new(HEAD, piece.clone(), count, b"]}]}");
    assert!(ScanReport::from_reader(many(read::MAX_HELD)).is_ok());
    let error = ScanReport::from_reader(many(read::MAX_HELD + 1)).unwrap_err();
    assert!(error.kind() == ScanErrorKind::TooLarge);
    assert_eq!(
        error.to_string(),
        "the scan report holds more than 500000 packages"
    );
}

#[test]
fn what_is_kept_of_digests_is_bounded() {
    let mut report = report(&[]);
    report["Metadata"]["RepoDigests"] = vec!["a@sha256:1"; 5000].into();
    assert_eq!(read(&report.to_string()).repo_digests().len(), 1024);
}

/// Cut at any byte a report is an error, and never a verdict.
#[test]
fn a_truncated_report_is_never_clean() {
    let text = report(&[finding(), finding()]).to_string();
    for end in 0..text.len() {
        let error = ScanReport::from_slice(&text.as_bytes()[..end]).unwrap_err();
        assert!(
            error.kind() == ScanErrorKind::Truncated,
            "cut at {end}: {error}"
        );
    }
    assert_eq!(read(&text).verdict(), ScanVerdict::Patch { fixable: 2 });
}

#[test]
fn a_hostile_text_is_cut_in_messages() {
    let text = "\u{1b}".repeat(100_000);
    let message = error(&json!({"SchemaVersion": 2, "Results": text}).to_string());
    assert!(
        message.len() < 500 && !message.contains('\u{1b}'),
        "{message}"
    );
    let message = error(&json!({"SchemaVersion": text}).to_string());
    assert!(
        message.len() < 500 && !message.contains('\u{1b}'),
        "{message}"
    );
}

#[test]
fn a_reader_that_fails_is_told_from_a_bad_report() {
    struct Broken(usize);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("the disk is gone"));
            }
            self.0 -= 1;
            buffer[0] = b' ';
            // One more than there is room for.
            Ok(if self.0 == 0 { buffer.len() + 1 } else { 1 })
        }
    }

    for good in [0, 2] {
        let error = ScanReport::from_reader(Broken(good)).unwrap_err();
        assert!(error.kind() == ScanErrorKind::Io || good > 0, "{error}");
        assert!(error.kind() != ScanErrorKind::Truncated, "{error}");
    }
    let error = ScanReport::from_reader(Broken(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the scan report could not be read: the disk is gone"
    );
}

#[test]
fn verdicts_are_data() {
    for (verdict, text) in [
        (
            ScanVerdict::Patch { fixable: 3 },
            r#"{"patch":{"fixable":3}}"#,
        ),
        (
            ScanVerdict::Skip(ScanSkip::EndOfServiceLife),
            r#"{"skip":"end-of-service-life"}"#,
        ),
        (
            ScanVerdict::Unsupported(ScanUnsupported::Windows),
            r#"{"unsupported":"windows"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&verdict).unwrap(), text);
        assert_eq!(serde_json::from_str::<ScanVerdict>(text).unwrap(), verdict);
    }
    assert_eq!(
        ScanSkip::NoVulnerability.to_string(),
        "no fixable OS finding"
    );
    assert_eq!(
        ScanUnsupported::Windows.to_string(),
        "unsupported: images of Windows cannot be patched"
    );
    let text =
        serde_json::to_value(&read(&report(&[finding()]).to_string()).findings()[0]).unwrap();
    assert_eq!(text["vulnerabilityId"], "CVE-2024-2961");
    assert_eq!(text["severity"], "high");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A finding in one of few packages, so that two reports have some in common.
fn some_finding() -> impl Strategy<Value = Value> {
    (0_u8..4, 0_u8..3, 0_u8..3, 0_u8..3).prop_map(|(id, package, installed, fixed)| {
        json!({
            "VulnerabilityID": format!("CVE-{id}"), "PkgName": format!("p{package}"),
            "InstalledVersion": installed.to_string(), "Severity": "LOW",
            "FixedVersion": if fixed == 0 { String::new() } else { fixed.to_string() },
        })
    })
}

fn some_findings() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(some_finding(), 0..12)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ScanReport::from_slice(&bytes);
    }

    #[test]
    fn a_damaged_report_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = report(&[finding()]).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(report) = ScanReport::from_slice(&bytes) {
            let _ = report.verdict();
        }
    }

    /// Read as a whole or piece by piece, damaged or not.
    #[test]
    fn both_ways_of_reading_agree(
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\\\\\0 \n\xff".to_vec())), 0..3),
        findings in some_findings(),
        deep in 0_usize..200,
        limit in 100_u64..5000,
    ) {
        let mut report = report(&findings);
        report["Unheard Of"] = (0..deep).fold(json!("\"\\"), |inner, _| json!([inner]));
        let mut bytes = report.to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let slow = read::read_stream(&*bytes, limit);
        let whole = read::read_slice(&bytes, limit);
        let held = ScanReport::from_reader_with_limit(&*bytes, limit);
        // Of two things wrong with a report a large piece may show the later one first.
        if slow.as_ref().is_err_and(|error| error.kind() == ScanErrorKind::TooLarge) {
            prop_assert!(whole.is_err() && held.is_err());
        } else {
            // The place of an error can be one character off.
            let kind = |error: ScanError| error.kind();
            let slow = slow.map_err(kind);
            prop_assert_eq!(&whole.map_err(kind), &slow);
            prop_assert_eq!(held.map_err(kind), slow);
        }
    }

    #[test]
    fn unknown_fields_change_nothing(value in json_value(), place in 0..6) {
        let plain = report(&[finding()]);
        let mut extended = plain.clone();
        let object = match place {
            0 => &mut extended,
            1 => &mut extended["Metadata"],
            2 => &mut extended["Metadata"]["OS"],
            3 => &mut extended["Metadata"]["ImageConfig"],
            4 => &mut extended["Results"][0],
            _ => &mut extended["Results"][0]["Vulnerabilities"][0],
        };
        object["Unheard Of"] = value;
        prop_assert_eq!(read(&extended.to_string()), read(&plain.to_string()));
    }

    #[test]
    fn the_size_of_reads_does_not_matter(size in 1_usize..50, findings in some_findings()) {
        struct Pieces<'a>(&'a [u8], usize);

        impl Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let len = buffer.len().min(self.1);
                self.0.read(&mut buffer[..len])
            }
        }

        let text = report(&findings).to_string();
        let in_pieces = ScanReport::from_reader(Pieces(text.as_bytes(), size)).unwrap();
        prop_assert_eq!(in_pieces, read(&text));
    }

    #[test]
    fn the_order_of_findings_does_not_matter(
        (findings, shuffled) in some_findings()
            .prop_flat_map(|findings| (Just(findings.clone()), Just(findings).prop_shuffle())),
        other in some_findings(),
    ) {
        let (one, two) = (read(&report(&findings).to_string()), read(&report(&shuffled).to_string()));
        prop_assert_eq!(&one, &two);
        let other = read(&report(&other).to_string());
        prop_assert_eq!(Evidence::compare(&one, &other), Evidence::compare(&two, &other));
    }

    #[test]
    fn counts_add_up(findings in some_findings()) {
        let report = read(&report(&findings).to_string());
        let counts = report.counts();
        let fixed: usize = counts.iter().map(|count| count.fixed).sum();
        let unfixed: usize = counts.iter().map(|count| count.unfixed).sum();
        prop_assert_eq!(fixed, report.fixable());
        prop_assert_eq!(fixed + unfixed, findings.len());
        let clean = report.verdict() == ScanVerdict::Skip(ScanSkip::NoVulnerability);
        prop_assert_eq!(clean, fixed == 0);
    }

    /// Every finding of either report is in exactly one place.
    #[test]
    fn evidence_adds_up(before in some_findings(), after in some_findings()) {
        let before = read(&report(&before).to_string());
        let after = read(&report(&after).to_string());
        let evidence = Evidence::compare(&before, &after);
        let there = evidence.introduced().iter().chain(evidence.remaining());
        let mut there: Vec<&Finding> = there.collect();
        there.sort();
        prop_assert_eq!(there, after.findings().iter().collect::<Vec<_>>());
        prop_assert!(evidence.introduced().iter().all(Finding::is_fixable));
        prop_assert!(evidence.fixed().iter().all(|gone| before.findings().contains(gone)));
        let count = |findings: &[Finding], like: &Finding| {
            findings.iter().filter(|finding| finding.identity() == like.identity()).count()
        };
        for finding in before.findings().iter().chain(after.findings()) {
            let (was, is) = (count(before.findings(), finding), count(after.findings(), finding));
            prop_assert_eq!(count(evidence.fixed(), finding), was.saturating_sub(is));
            prop_assert!(count(evidence.introduced(), finding) <= is.saturating_sub(was));
        }
        let text = serde_json::to_string(&evidence).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Evidence>(&text).unwrap(), &evidence);
        let publishes = evidence.decides() == PublishVerdict::Publish;
        prop_assert_eq!(publishes, !evidence.fixed().is_empty() && evidence.introduced().is_empty());
    }

    #[test]
    fn a_report_beside_itself_changes_nothing(findings in some_findings()) {
        let report = read(&report(&findings).to_string());
        let evidence = Evidence::compare(&report, &report);
        prop_assert!(evidence.fixed().is_empty() && evidence.introduced().is_empty());
        prop_assert_eq!(evidence.decides(), PublishVerdict::Withhold(Withheld::NothingFixed));
    }
}
