//! Tags that stand for no image of their own: attachments and platform copies.

use super::{Suffix, TagSet};
use crate::name::TagRef;

/// The architectures that a patcher appends to a patch tag, as Copa does.
pub const ARCHITECTURES: [&str; 10] = [
    "amd64", "arm64", "arm64-v8", "arm-v5", "arm-v6", "arm-v7", "386", "ppc64le", "s390x",
    "riscv64",
];

/// What architectures end in.
const ENDS: [u16; 8] = [
    u16::from_be_bytes(*b"64"),
    u16::from_be_bytes(*b"86"),
    u16::from_be_bytes(*b"v5"),
    u16::from_be_bytes(*b"v6"),
    u16::from_be_bytes(*b"v7"),
    u16::from_be_bytes(*b"v8"),
    u16::from_be_bytes(*b"le"),
    u16::from_be_bytes(*b"0x"),
];

/// A tag that stands for no image of its own, so that it is never an original.
///
/// ```
/// use cssc_core::TagRef;
/// use cssc_core::tags::{AuxiliaryTag, TagSet};
///
/// let tags = TagSet::new(["12", "12-1", "12-1-amd64", "12-amd64"])?;
/// let kind = |tag| AuxiliaryTag::of(TagRef::new(tag).unwrap(), &tags);
/// assert!(matches!(
///     kind("12-1-amd64"),
///     Some(AuxiliaryTag::PlatformCopy { patch }) if patch.as_str() == "12-1"
/// ));
/// assert_eq!(kind("12-amd64"), None);
/// # Ok::<(), cssc_core::name::NameError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuxiliaryTag<'a> {
    /// `sha256-<64 hex>`, alone or followed by `.` and anything: what is attached to an image, as
    /// clients tag it where the registry has no referrers API, and cosign always.
    Attachment,
    /// `<patch tag>-<architecture>`: one platform of a patch whose original is there.
    PlatformCopy {
        /// The patch tag.
        patch: TagRef<'a>,
    },
}

impl<'a> AuxiliaryTag<'a> {
    /// What `tag` is among the tags of its repository, if it is auxiliary.
    #[inline]
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "it is compared without a jump"
    )]
    pub fn of(tag: TagRef<'a>, tags: &TagSet) -> Option<Self> {
        // Nearly all tags begin and end otherwise, and are done with here. What a tag ends in cannot
        // be foreseen: all ends are compared, which costs less than a jump that was not expected.
        let bytes = tag.as_str().as_bytes();
        let (first, end) = (bytes.first(), bytes.last_chunk().copied());
        let end = u16::from_be_bytes(end.unwrap_or_default());
        let is_end = ENDS
            .iter()
            .fold(false, |found, known| found | (*known == end));
        if is_end | (first == Some(&b's')) {
            Self::look(tag, tags)
        } else {
            None
        }
    }

    #[inline(never)]
    fn look(tag: TagRef<'a>, tags: &TagSet) -> Option<Self> {
        if is_attachment(tag.as_str()) {
            return Some(Self::Attachment);
        }
        let patch = before_architecture(tag)?;
        let original = Suffix::of(patch)?.original_in(patch);
        let is_copy = Suffix::of(original).is_none() && tags.contains(original.as_str());
        is_copy.then_some(Self::PlatformCopy { patch })
    }
}

/// Whether `tag` belongs to another image: `sha256-<64 hex>`, alone or followed by `.` and
/// anything.
#[inline]
pub fn is_attachment(tag: &str) -> bool {
    let Some((digest, rest)) = tag
        .strip_prefix("sha256-")
        .and_then(|rest| rest.split_at_checked(64))
    else {
        return false;
    };
    (rest.is_empty() || rest.starts_with('.'))
        && digest
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What stands before `-<architecture>`.
fn before_architecture(tag: TagRef<'_>) -> Option<TagRef<'_>> {
    let text = tag.as_str();
    let before = ARCHITECTURES
        .iter()
        .find_map(|architecture| text.strip_suffix(architecture)?.strip_suffix('-'))?;
    // The front of a tag is a tag, unless nothing is left.
    (!before.is_empty()).then(|| TagRef::trusted(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(tag: &str, tags: &[&str]) -> Option<String> {
        let tags = TagSet::new(tags).unwrap();
        AuxiliaryTag::of(TagRef::new(tag).unwrap(), &tags).map(|kind| format!("{kind:?}"))
    }

    #[test]
    fn attachments() {
        let digest = format!("sha256-{}", "0a".repeat(32));
        for tag in [
            digest.clone(),
            format!("{digest}.sig"),
            format!("{digest}.att"),
            format!("{digest}."),
            format!("{digest}.sbom-1"),
        ] {
            assert!(is_attachment(&tag), "{tag}");
        }
        for tag in [
            digest[..70].to_owned(),
            format!("{digest}0"),
            format!("{digest}-1"),
            digest.to_uppercase(),
            digest.replace("sha256", "sha512"),
            digest.replace('0', "g"),
        ] {
            assert!(!is_attachment(&tag), "{tag}");
        }
    }

    #[test]
    fn platform_copies_need_their_original() {
        for architecture in ARCHITECTURES {
            for patch in ["12-1", "12-999", "12-patched"] {
                let tag = format!("{patch}-{architecture}");
                assert!(kind(&tag, &["12"]).is_some(), "{tag}");
                assert_eq!(kind(&tag, &["13", "12-1"]), None, "{tag}");
            }
        }
        for tag in [
            "12-amd64",
            "12-1-arm",
            "12-0-amd64",
            "12-1000-amd64",
            "12-1-1-amd64",
            "12-1-AMD64",
            "12-1amd64",
            "amd64",
        ] {
            assert_eq!(kind(tag, &["12", "12-1"]), None, "{tag}");
        }
    }
}
