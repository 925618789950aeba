//! The vectors of `vectors/versions.json`, which the package managers made, and the laws of an order.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::cmp::Ordering;
use std::collections::BTreeMap;

use cssc_core::scan::PackageKind;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    #[serde(rename = "made by")]
    _made_by: String,
    cases: Vec<String>,
}

const KINDS: [(&str, PackageKind); 3] = [
    ("apk", PackageKind::Apk),
    ("dpkg", PackageKind::Dpkg),
    ("rpm", PackageKind::Rpm),
];

#[test]
fn versions_are_ordered_as_the_package_managers_do() {
    let text = include_str!("vectors/versions.json");
    let vectors: BTreeMap<String, Vectors> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), KINDS.len());
    for (name, kind) in KINDS {
        let mut wrong = Vec::new();
        for case in &vectors[name].cases {
            let [a, sign, b] = case.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{case}")
            };
            let expected = match sign {
                "<" => Ordering::Less,
                "=" => Ordering::Equal,
                _ => Ordering::Greater,
            };
            let both = (kind.compare(a, b), kind.compare(b, a));
            if both != (expected, expected.reverse()) {
                wrong.push(case);
            }
        }
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

/// What a word of a version is worth: a number by its value, any other byte by itself. A version
/// is compared as the list of these.
mod slow {
    use std::cmp::Ordering;

    /// The place of what a part of a version can go on with, and its value.
    type Item = (i32, u128, Vec<u8>);

    fn epoch(text: &str) -> (u128, &str) {
        let split = text.split_once(':');
        let epoch = split.filter(|(epoch, _)| epoch.bytes().all(|byte| byte.is_ascii_digit()));
        epoch.map_or((0, text), |(epoch, rest)| {
            (epoch.parse().unwrap_or(0), rest)
        })
    }

    fn number(digits: &str) -> u128 {
        digits.parse().unwrap_or(0)
    }

    pub(super) fn dpkg(a: &str, b: &str) -> Ordering {
        let key = |text: &str| {
            let (epoch, rest) = epoch(text.trim());
            let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
            let part = |text: &str| {
                let mut items: Vec<i128> = Vec::new();
                let mut rest = text;
                while !rest.is_empty() {
                    let end = rest
                        .find(|c: char| c.is_ascii_digit())
                        .unwrap_or(rest.len());
                    items.extend(rest[..end].bytes().map(|byte| match byte {
                        b'~' => -1,
                        letter if letter.is_ascii_alphabetic() => i128::from(letter),
                        other => i128::from(other).saturating_add(1000),
                    }));
                    items.push(0);
                    rest = &rest[end..];
                    let end = rest
                        .find(|c: char| !c.is_ascii_digit())
                        .unwrap_or(rest.len());
                    items.push(i128::try_from(number(&rest[..end])).unwrap());
                    rest = &rest[end..];
                }
                // A part ends as if words and numbers without anything followed for ever.
                items.resize(200, 0);
                items
            };
            (epoch, part(upstream), part(revision))
        };
        key(a).cmp(&key(b))
    }

    pub(super) fn rpm(a: &str, b: &str) -> Ordering {
        let key = |text: &str| {
            let (epoch, rest) = epoch(text);
            let part = |text: &str| {
                let mut items: Vec<Item> = Vec::new();
                let mut bytes = text.bytes().peekable();
                while let Some(byte) = bytes.next() {
                    let mut run = vec![byte];
                    let is_same = |of: &u8| match byte {
                        b'0'..=b'9' => of.is_ascii_digit(),
                        _ => of.is_ascii_alphabetic(),
                    };
                    match byte {
                        b'~' => items.push((-2, 0, Vec::new())),
                        b'^' => items.push((0, 0, Vec::new())),
                        _ if byte.is_ascii_alphanumeric() => {
                            while let Some(next) = bytes.next_if(is_same) {
                                run.push(next);
                            }
                            let text = String::from_utf8(run.clone()).unwrap();
                            items.push(if byte.is_ascii_digit() {
                                (2, number(&text), Vec::new())
                            } else {
                                (1, 0, run)
                            });
                        }
                        _ => {}
                    }
                }
                items.push((-1, 0, Vec::new()));
                items
            };
            let (version, release) = match rest.rsplit_once('-') {
                Some((version, release)) => (version, Some(part(release))),
                None => (rest, None),
            };
            (epoch, part(version), release)
        };
        key(a).cmp(&key(b))
    }
}

/// Texts that are versions, nearly so, and not at all.
fn version() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "0", "1", "2", "10", "01", "00", "a", "b", "ab", ".", ".", "-", "-r", "-r1", "_", "_rc",
        "_p", "_alpha", "~", "^", "+", ":", "1:", " ", "é", "\0",
    ]);
    prop_oneof![
        8 => prop::collection::vec(pieces, 0..7).prop_map(|pieces| pieces.concat()),
        1 => ".{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_is_an_order(a in version(), b in version(), c in version()) {
        for (name, kind) in KINDS {
            prop_assert_eq!(kind.compare(&a, &a), Ordering::Equal, "{}", name);
            let order = kind.compare(&a, &b);
            prop_assert_eq!(kind.compare(&b, &a), order.reverse(), "{}", name);
            let mut sorted = [&a, &b, &c];
            sorted.sort_by(|a, b| kind.compare(a, b));
            prop_assert!(kind.compare(sorted[0], sorted[2]).is_le(), "{}: {:?}", name, sorted);
            // What is equal is so beside every other.
            if order.is_eq() {
                prop_assert_eq!(kind.compare(&a, &c), kind.compare(&b, &c), "{}", name);
            }
        }
    }

    #[test]
    fn the_slow_way_gives_the_same(a in version(), b in version()) {
        prop_assert_eq!(PackageKind::Dpkg.compare(&a, &b), slow::dpkg(&a, &b));
        prop_assert_eq!(PackageKind::Rpm.compare(&a, &b), slow::rpm(&a, &b));
    }
}

#[test]
fn long_versions_take_linear_time() {
    for unit in ["1.", "a1", "~", "^", "0", "9", "_p1", "-r1", "é"] {
        let long = format!("1{}", unit.repeat(200_000));
        let longer = format!("{long}1");
        for (name, kind) in KINDS {
            assert_eq!(
                kind.compare(&long, &long),
                Ordering::Equal,
                "{name}: {unit}"
            );
            let _ = kind.compare(&long, &longer);
        }
    }
}
