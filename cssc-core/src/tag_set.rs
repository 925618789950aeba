//! The tags of one repository: valid, sorted by bytes, each once.

use std::fmt;
use std::sync::Arc;

use crate::name::{NameError, Tag, TagRef};

/// The tags of one repository, sorted by bytes, without repetition.
///
/// All the text lies in one allocation, so a million tags cost little more than their bytes;
/// a clone shares it.
///
/// ```
/// use cssc_core::TagSet;
///
/// let tags = TagSet::new(["3.11", "3.11-1", "3.10", "3.11"])?;
/// let in_order: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
/// assert_eq!(in_order, ["3.10", "3.11", "3.11-1"]);
/// # Ok::<(), cssc_core::NameError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TagSet(Arc<Arena>);

impl TagSet {
    /// Collects tags given in any order and any number of times; fastest in byte order.
    ///
    /// # Errors
    ///
    /// Fails with the first text that is no tag.
    pub fn new<I>(tags: I) -> Result<Self, NameError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let tags = tags.into_iter();
        let mut builder = TagSetBuilder::default();
        builder.arena.ends.reserve(tags.size_hint().0);
        for tag in tags {
            builder.push(tag.as_ref())?;
        }
        Ok(builder.finish())
    }

    /// How many tags there are.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there is no tag.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// The tag at `index` in byte order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<TagRef<'_>> {
        self.0.get(index).map(TagRef::trusted)
    }

    /// Where `tag` stands, or else where it would stand.
    ///
    /// # Errors
    ///
    /// The place where the tag would be inserted, when it is not there.
    pub fn position(&self, tag: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.0.get(middle).map(|found| found.cmp(tag)) {
                Some(std::cmp::Ordering::Equal) => return Ok(middle),
                Some(std::cmp::Ordering::Less) => low = middle.saturating_add(1),
                _ => high = middle,
            }
        }
        Err(low)
    }

    /// Whether `tag` is there.
    pub fn contains(&self, tag: &str) -> bool {
        self.position(tag).is_ok()
    }

    /// The tags that begin with `prefix` and their places. Costs a search and what it yields.
    pub(crate) fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (usize, TagRef<'_>)> {
        let start = self.position(prefix).unwrap_or_else(|place| place);
        (start..self.len())
            .map_while(|place| Some((place, self.get(place)?)))
            .take_while(move |(_, tag)| tag.as_str().starts_with(prefix))
    }

    /// The tags in byte order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TagRef<'_>> + Clone {
        let arena = &*self.0;
        let mut start = 0;
        arena.ends.iter().map(move |&end| {
            let tag = arena.text.get(start..end).unwrap_or_default();
            start = end;
            TagRef::trusted(tag)
        })
    }
}

impl fmt::Debug for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(TagRef::as_str))
            .finish()
    }
}

/// Tags one behind the other: tag `i` ends at `ends[i]` and begins where the one before ended.
#[derive(Default, PartialEq, Eq)]
struct Arena {
    text: String,
    ends: Vec<usize>,
}

impl Arena {
    #[inline]
    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..end)
    }

    #[inline]
    fn push(&mut self, tag: &str) {
        self.text.push_str(tag);
        self.ends.push(self.text.len());
    }
}

/// Collects the tags of a repository one by one, as pages of a listing arrive.
#[derive(Default)]
pub struct TagSetBuilder {
    arena: Arena,
    /// Whether what was pushed so far did not come in strictly ascending order.
    unsorted: bool,
    /// Where the tag pushed last begins.
    last: usize,
}

impl fmt::Debug for TagSetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagSetBuilder")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl TagSetBuilder {
    /// Adds a tag, in any order; one that is there already is dropped at the end.
    ///
    /// # Errors
    ///
    /// Fails when `tag` is no tag; the builder is as it was.
    #[inline]
    pub fn push(&mut self, tag: &str) -> Result<(), NameError> {
        TagRef::new(tag)?;
        let start = self.arena.text.len();
        if let Some(before) = self.arena.text.get(self.last..)
            && before >= tag
            && start != 0
        {
            self.unsorted = true;
        }
        self.last = start;
        self.arena.push(tag);
        Ok(())
    }

    /// How many tags were pushed, repeated ones counted as often as they came.
    pub fn len(&self) -> usize {
        self.arena.ends.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.arena.ends.is_empty()
    }

    /// The tags, sorted, each once.
    pub fn finish(self) -> TagSet {
        self.finish_noting_repeated().0
    }

    /// The tags, sorted, when none was pushed twice.
    ///
    /// # Errors
    ///
    /// The first tag in byte order that was pushed more than once.
    pub fn finish_distinct(self) -> Result<TagSet, Tag> {
        match self.finish_noting_repeated() {
            (tags, None) => Ok(tags),
            (_, Some(repeated)) => Err(repeated),
        }
    }

    fn finish_noting_repeated(self) -> (TagSet, Option<Tag>) {
        let pushed = TagSet(Arc::new(self.arena));
        if !self.unsorted {
            return (pushed, None);
        }
        let mut tags: Vec<TagRef<'_>> = pushed.iter().collect();
        tags.sort_unstable();
        let repeated = tags.iter().zip(tags.iter().skip(1)).find(|(a, b)| a == b);
        let repeated = repeated.map(|(tag, _)| tag.to_tag());
        tags.dedup();
        let mut sorted = Arena {
            text: String::with_capacity(pushed.0.text.len()),
            ends: Vec::with_capacity(tags.len()),
        };
        for tag in tags {
            sorted.push(tag.as_str());
        }
        (TagSet(Arc::new(sorted)), repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_invalid_tag_is_named_and_leaves_the_builder_alone() {
        let mut builder = TagSetBuilder::default();
        builder.push("a").unwrap();
        let error = builder.push("b c").unwrap_err();
        assert!(error.to_string().contains("`b c`"));
        assert_eq!(builder.finish(), TagSet::new(["a"]).unwrap());
    }

    #[test]
    fn the_empty_set() {
        let tags = TagSet::default();
        assert!(tags.is_empty());
        assert_eq!(tags.get(0), None);
        assert_eq!(tags.position("a"), Err(0));
    }

    proptest! {
        #[test]
        fn is_a_sorted_set(tags in proptest::collection::vec("[a-c0-2_][a-c0-2._-]{0,3}", 0..60)) {
            let expected: BTreeSet<&str> = tags.iter().map(String::as_str).collect();
            let set = TagSet::new(&tags).unwrap();
            prop_assert_eq!(set.len(), expected.len());
            prop_assert!(set.iter().map(TagRef::as_str).eq(expected.iter().copied()));
            for (index, tag) in expected.iter().enumerate() {
                prop_assert_eq!(set.get(index).map(TagRef::as_str), Some(*tag));
                prop_assert_eq!(set.position(tag), Ok(index));
            }
            prop_assert_eq!(set.contains("zz"), false);
        }
    }
}
