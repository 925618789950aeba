//! Planning `*` the straightforward way: a regular expression for each tag and a hash map.

use std::collections::{HashMap, HashSet};

use regex::Regex;

/// An image as the straightforward planner lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StraightforwardImage {
    /// The original tag.
    pub tag: String,
    /// The number of its newest patch, or zero.
    pub latest: u16,
}

/// The images of one repository under `*` and the incremental convention, in byte order.
///
/// # Panics
///
/// Never: the expressions are fixed and valid.
pub fn straightforward_plan(tags: &[String]) -> Vec<StraightforwardImage> {
    let patch = Regex::new(r"^(.+)-([1-9][0-9]{0,2})$").expect("a valid expression");
    let patched = Regex::new(r"^.+-patched$").expect("a valid expression");
    let known: HashSet<&str> = tags.iter().map(String::as_str).collect();
    let mut images: HashMap<String, u16> = HashMap::new();
    for tag in tags {
        if let Some(captures) = patch.captures(tag) {
            let original = &captures[1];
            let number = captures[2].parse().unwrap_or(0);
            let is_original = !patch.is_match(original) && !patched.is_match(original);
            if known.contains(original) && is_original {
                let latest = images.entry(original.to_owned()).or_insert(0);
                *latest = number.max(*latest);
            }
        } else if !patched.is_match(tag) {
            images.entry(tag.clone()).or_insert(0);
        }
    }
    let mut images: Vec<StraightforwardImage> = images
        .into_iter()
        .map(|(tag, latest)| StraightforwardImage { tag, latest })
        .collect();
    images.sort_unstable();
    images
}
