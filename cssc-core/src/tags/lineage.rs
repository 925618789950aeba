//! The tags of a repository, told apart: originals, their newest patches, and patches without
//! an original.
//!
//! One pass over the tags in byte order is enough, because `-` is the smallest character a tag
//! may hold: all tags that begin with an original and `-` follow that original in one block.
//! The originals whose blocks enclose the current tag form a stack, and the original of a patch
//! tag, if it exists, is on top of it. No hash map is needed, and the cost is linear.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::name::{Tag, TagRef};
use crate::tags::{AuxiliaryTag, TagSet};
use crate::tags::{NoNextTag, PatchTag, Suffix, TagConvention, next_suffix};

/// The originals of one repository, each with its newest patch under one convention.
///
/// A tag that ends in the suffix of either convention is reserved and never an original; nor is
/// an [`AuxiliaryTag`].
///
/// ```
/// use cssc_core::TagConvention;
/// use cssc_core::tags::{Lineages, TagSet};
///
/// let tags = TagSet::new(["3.11", "3.11-1", "3.11-2", "3.9-4", "3.12"])?;
/// let lineages = Lineages::new(&tags, TagConvention::Incremental);
///
/// let lineage = lineages.get("3.11").unwrap();
/// assert_eq!(lineage.newest().to_string(), "3.11-2");
/// assert_eq!(lineage.next_patch()?.to_string(), "3.11-3");
///
/// let base_missing: Vec<_> = lineages.base_missing().map(|patch| patch.to_string()).collect();
/// assert_eq!(base_missing, ["3.9-4"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lineages {
    tags: TagSet,
    convention: TagConvention,
    originals: Vec<Original>,
    /// Places of the patch tags of the convention whose original is no original.
    base_missing: Vec<usize>,
}

/// An original tag and the suffix of its newest patch: the first `len` bytes of the tag at
/// `place`. A front of a tag, because the service dialect lists `a` when only `a-1` is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original {
    pub(crate) place: usize,
    pub(crate) len: u8,
    pub(crate) latest: Option<Suffix>,
}

impl Original {
    pub(crate) fn new(place: usize, tag: TagRef<'_>, latest: Option<Suffix>) -> Self {
        // A tag has at most 128 bytes.
        let len = u8::try_from(tag.as_str().len()).unwrap_or(u8::MAX);
        Self { place, len, latest }
    }

    pub(crate) fn lineage_in(
        self,
        tags: &TagSet,
        convention: TagConvention,
    ) -> Option<Lineage<'_>> {
        let original = tags
            .get(self.place)?
            .as_str()
            .get(..usize::from(self.len))?;
        Some(Lineage {
            original: TagRef::trusted(original),
            convention,
            latest: self.latest,
        })
    }
}

impl Lineages {
    /// Tells the tags apart. Linear in the number of tags.
    pub fn new(tags: &TagSet, convention: TagConvention) -> Self {
        // Growing by doubling would touch up to twice the memory that is needed.
        let mut originals: Vec<Original> = Vec::with_capacity(tags.len());
        let mut base_missing = Vec::new();
        // The originals whose blocks enclose the current tag, innermost last.
        let mut enclosing: Vec<(TagRef<'_>, usize)> = Vec::new();
        for (place, tag) in tags.iter().enumerate() {
            if AuxiliaryTag::of(tag, tags).is_some() {
                continue;
            }
            match Suffix::of(tag) {
                None => {
                    pop_ended_blocks(&mut enclosing, tag);
                    enclosing.push((tag, originals.len()));
                    originals.push(Original::new(place, tag, None));
                }
                Some(suffix) if suffix.convention() == convention => {
                    pop_ended_blocks(&mut enclosing, tag);
                    let original_len = tag.as_str().len().saturating_sub(suffix.len());
                    let original = enclosing
                        .last()
                        .filter(|(top, _)| top.as_str().len() == original_len)
                        .and_then(|&(_, index)| originals.get_mut(index));
                    match original {
                        Some(original) => original.latest = original.latest.max(Some(suffix)),
                        None => base_missing.push(place),
                    }
                }
                Some(_) => {}
            }
        }
        Self {
            tags: tags.clone(),
            convention,
            originals,
            base_missing,
        }
    }

    /// The tags that were told apart.
    pub fn tags(&self) -> &TagSet {
        &self.tags
    }

    /// The convention that patches follow here.
    pub fn convention(&self) -> TagConvention {
        self.convention
    }

    /// The originals with their newest patches, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = Lineage<'_>> {
        self.originals
            .iter()
            .filter_map(|original| original.lineage_in(&self.tags, self.convention))
    }

    /// The lineage of `original`; `None` when it is not there, or is reserved for patches.
    pub fn get(&self, original: &str) -> Option<Lineage<'_>> {
        self.position(original)
            .and_then(|index| self.originals.get(index))
            .and_then(|original| original.lineage_in(&self.tags, self.convention))
    }

    /// The lineage of `original`, or why there is none.
    ///
    /// ```
    /// use cssc_core::TagConvention;
    /// use cssc_core::tags::{Lineages, TagSet};
    ///
    /// let tags = TagSet::new(["3.11", "3.11-1"])?;
    /// let lineages = Lineages::new(&tags, TagConvention::Incremental);
    /// let error = lineages.find(&"3.11-1".parse()?).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`3.11-1` is reserved for a patch of `3.11`: ask for the original"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails when the tag is not there, and for a patch tag of either convention, there or not.
    pub fn find(&self, original: &Tag) -> Result<Lineage<'_>, NoOriginal> {
        self.get(original.as_str()).ok_or_else(|| NoOriginal {
            tag: original.clone(),
            has_tags: !self.tags.is_empty(),
        })
    }

    /// The patch tags of this convention whose original is not there or is itself reserved, in
    /// byte order.
    pub fn base_missing(&self) -> impl Iterator<Item = PatchTag<'_>> {
        self.base_missing
            .iter()
            .filter_map(|&place| self.convention.parse(self.tags.get(place)?))
    }

    /// The patch tags of `original` under this convention, oldest first; it need not be there.
    pub fn patches(&self, original: TagRef<'_>) -> Vec<PatchTag<'_>> {
        let block = format!("{original}-");
        let mut patches: Vec<PatchTag<'_>> = self
            .tags
            .starting_with(&block)
            .filter_map(|(_, tag)| self.convention.parse(tag))
            .filter(|patch| patch.original().as_str() == original.as_str())
            .collect();
        patches.sort_unstable();
        patches
    }

    pub(crate) fn originals(&self) -> &[Original] {
        &self.originals
    }

    pub(crate) fn base_missing_places(&self) -> &[usize] {
        &self.base_missing
    }

    /// Where `original` stands among the originals.
    pub(crate) fn position(&self, original: &str) -> Option<usize> {
        let place = self.tags.position(original).ok()?;
        self.originals
            .binary_search_by_key(&place, |original| original.place)
            .ok()
    }
}

/// Drops the originals whose blocks end before `tag`.
#[inline]
fn pop_ended_blocks(enclosing: &mut Vec<(TagRef<'_>, usize)>, tag: TagRef<'_>) {
    while let Some((top, _)) = enclosing.last()
        && !is_in_block(tag.as_str(), top.as_str())
    {
        enclosing.pop();
    }
}

/// Whether `tag` is `original`, `-`, and anything.
#[inline]
fn is_in_block(tag: &str, original: &str) -> bool {
    tag.as_bytes().get(original.len()) == Some(&b'-') && tag.starts_with(original)
}

/// There is no such original tag: it is not there, or it is a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoOriginal {
    tag: Tag,
    has_tags: bool,
}

impl NoOriginal {
    /// Whether the tag is one that is reserved for patches.
    pub fn is_reserved(&self) -> bool {
        Suffix::of(self.tag.borrowed()).is_some()
    }
}

impl fmt::Display for NoOriginal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = &self.tag;
        let patch = TagConvention::ALL
            .into_iter()
            .find_map(|convention| convention.parse(tag.borrowed()));
        match patch {
            Some(patch) => write!(
                f,
                "`{tag}` is reserved for a patch of `{}`: ask for the original",
                patch.original()
            ),
            None if self.has_tags => write!(f, "there is no tag `{tag}`"),
            None => write!(f, "there is no tag `{tag}`: there are no tags"),
        }
    }
}

impl std::error::Error for NoOriginal {}

/// One original tag and its newest patch under one convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lineage<'a> {
    original: TagRef<'a>,
    convention: TagConvention,
    latest: Option<Suffix>,
}

impl<'a> Lineage<'a> {
    /// The tag somebody pushed.
    pub fn original(self) -> TagRef<'a> {
        self.original
    }

    /// The newest patch, if there is any.
    pub fn latest_patch(self) -> Option<PatchTag<'a>> {
        PatchTag::new(self.original, self.latest?)
    }

    /// What a deployment should use: the newest patch, or else the original.
    pub fn newest(self) -> ImageTag<'a> {
        match self.latest_patch() {
            Some(patch) => ImageTag::Patch(patch),
            None => ImageTag::Original(self.original),
        }
    }

    /// The tag the next patch gets: the highest number plus one, or the one floating tag.
    ///
    /// # Errors
    ///
    /// [`NoNextTag::Exhausted`] when the newest patch is number 999, [`NoNextTag::TagTooLong`]
    /// when the tag would have more than 128 bytes.
    pub fn next_patch(self) -> Result<PatchTag<'a>, NoNextTag> {
        let suffix = next_suffix(self.original.as_str().len(), self.convention, self.latest)?;
        PatchTag::new(self.original, suffix).ok_or(NoNextTag::TagTooLong)
    }
}

/// A tag of an image: the original, or a patch of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageTag<'a> {
    /// The tag somebody pushed.
    Original(TagRef<'a>),
    /// A tag this system made.
    Patch(PatchTag<'a>),
}

impl ImageTag<'_> {
    /// The tag as an owned value.
    pub fn to_tag(self) -> Tag {
        match self {
            Self::Original(tag) => tag.to_tag(),
            Self::Patch(patch) => patch.to_tag(),
        }
    }
}

impl fmt::Display for ImageTag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original(tag) => tag.fmt(f),
            Self::Patch(patch) => patch.fmt(f),
        }
    }
}

impl Serialize for ImageTag<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lineages(tags: &[&str], convention: TagConvention) -> (Vec<String>, Vec<String>) {
        let lineages = Lineages::new(&TagSet::new(tags).unwrap(), convention);
        (
            lineages
                .iter()
                .map(|lineage| format!("{}={}", lineage.original(), lineage.newest()))
                .collect(),
            lineages
                .base_missing()
                .map(|patch| patch.to_string())
                .collect(),
        )
    }

    #[test]
    fn the_newest_is_the_highest_number_not_the_last_in_byte_order() {
        let tags = [
            "a",
            "a-1",
            "a-10",
            "a-2",
            "a-9",
            "a-0",
            "a-012",
            "a-1000",
            "a-patched",
        ];
        let (originals, base_missing) = lineages(&tags, TagConvention::Incremental);
        assert_eq!(
            originals,
            ["a=a-10", "a-0=a-0", "a-012=a-012", "a-1000=a-1000"]
        );
        assert!(base_missing.is_empty());
        let (originals, _) = lineages(&tags, TagConvention::Floating);
        assert_eq!(originals.first().unwrap(), "a=a-patched");
    }

    #[test]
    fn a_patch_of_a_reserved_name_is_base_missing() {
        let tags = ["3.11", "3.11-1", "3.11-1-2", "b-patched-1", "b"];
        let (originals, base_missing) = lineages(&tags, TagConvention::Incremental);
        assert_eq!(originals, ["3.11=3.11-1", "b=b"]);
        assert_eq!(base_missing, ["3.11-1-2", "b-patched-1"]);
    }

    #[test]
    fn patches_after_a_longer_original_find_theirs() {
        let tags = [
            "a",
            "a-20240101",
            "a-20240101-1",
            "a-3",
            "a.b",
            "a-slim",
            "a-slim-7",
        ];
        let (originals, base_missing) = lineages(&tags, TagConvention::Incremental);
        assert_eq!(
            originals,
            [
                "a=a-3",
                "a-20240101=a-20240101-1",
                "a-slim=a-slim-7",
                "a.b=a.b"
            ]
        );
        assert!(base_missing.is_empty());
    }

    #[test]
    fn patches_of_one_original_in_order() {
        let tags = TagSet::new(["a-10", "a-2", "a", "a-2-1", "a-patched", "a.1-3"]).unwrap();
        let lineages = Lineages::new(&tags, TagConvention::Incremental);
        let patches = lineages.patches(TagRef::new("a").unwrap());
        let patches: Vec<String> = patches.iter().map(ToString::to_string).collect();
        assert_eq!(patches, ["a-2", "a-10"]);
    }

    proptest! {
        /// The one pass against the obvious definition.
        #[test]
        fn agrees_with_the_obvious_definition(
            tags in proptest::collection::btree_set("[ab][ab.-]{0,3}(-[0-3]){0,2}(-patched)?(-[0-2])?", 0..40),
            floating: bool,
        ) {
            let convention = if floating { TagConvention::Floating } else { TagConvention::Incremental };
            let set = TagSet::new(&tags).unwrap();
            let lineages = Lineages::new(&set, convention);
            let is_original = |tag: &str| Suffix::of(TagRef::new(tag).unwrap()).is_none();
            let originals: Vec<&str> = tags.iter().map(String::as_str).filter(|tag| is_original(tag)).collect();
            prop_assert!(lineages.iter().map(|lineage| lineage.original().as_str()).eq(originals.iter().copied()));
            for lineage in lineages.iter() {
                let patches = lineages.patches(lineage.original());
                prop_assert_eq!(lineage.latest_patch(), patches.last().copied());
                let next = lineage.next_patch().unwrap().to_string();
                prop_assert!(floating || !tags.contains(&next));
                prop_assert!(!is_original(&next));
                prop_assert_eq!(lineages.get(lineage.original().as_str()), Some(lineage));
            }
            for patch in lineages.base_missing() {
                let original = patch.original().as_str();
                prop_assert!(!originals.contains(&original));
                prop_assert!(tags.contains(&patch.to_string()));
            }
            let base_missing = tags.iter().filter(|tag| {
                convention.parse(TagRef::new(tag).unwrap())
                    .is_some_and(|patch| !originals.contains(&patch.original().as_str()))
            }).count();
            prop_assert_eq!(lineages.base_missing().count(), base_missing);
        }
    }
}
