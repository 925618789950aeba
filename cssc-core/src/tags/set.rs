//! The tags of one repository: valid, sorted by bytes, each once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::name::{NameError, Tag, TagRef};

/// The tags of one repository, sorted by bytes, without repetition.
///
/// All the text lies in one allocation, so a million tags cost little more than their bytes;
/// a clone shares it.
///
/// ```
/// use cssc_core::tags::TagSet;
///
/// let tags = TagSet::new(["3.11", "3.11-1", "3.10", "3.11"])?;
/// let in_order: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
/// assert_eq!(in_order, ["3.10", "3.11", "3.11-1"]);
/// # Ok::<(), cssc_core::name::NameError>(())
/// ```
#[derive(Clone, Default)]
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
        builder.arena.spans.reserve(tags.size_hint().0);
        for tag in tags {
            builder.push(tag.as_ref())?;
        }
        Ok(builder.finish())
    }

    /// How many tags there are.
    pub fn len(&self) -> usize {
        self.0.spans.len()
    }

    /// Whether there is no tag.
    pub fn is_empty(&self) -> bool {
        self.0.spans.is_empty()
    }

    /// How many bytes of memory the tags take.
    pub fn memory(&self) -> usize {
        self.0.memory()
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
            let found = self.0.spans.get(middle);
            let found = found.map(|span| span.bytes_of(&self.0.text));
            match found.map(|found| found.cmp(tag.as_bytes())) {
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
    pub fn iter(&self) -> TagIter<'_> {
        self.into_iter()
    }

    /// Puts the text in order, so that it is read from beginning to end; unless it is shared.
    pub(crate) fn compact(&mut self) {
        if let Some(arena) = Arc::get_mut(&mut self.0) {
            arena.compact();
        }
    }
}

impl PartialEq for TagSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for TagSet {}

impl fmt::Debug for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(TagRef::as_str))
            .finish()
    }
}

impl<'a> IntoIterator for &'a TagSet {
    type Item = TagRef<'a>;
    type IntoIter = TagIter<'a>;

    fn into_iter(self) -> TagIter<'a> {
        TagIter {
            text: &self.0.text,
            spans: self.0.spans.iter(),
        }
    }
}

/// The tags of a [`TagSet`], in byte order.
#[derive(Debug, Clone)]
pub struct TagIter<'a> {
    text: &'a str,
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for TagIter<'a> {
    type Item = TagRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<TagRef<'a>> {
        self.spans
            .next()
            .map(|span| TagRef::trusted(span.of(self.text)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for TagIter<'_> {}

/// Tags one behind the other, and where each lies; the places are in byte order of the tags.
#[derive(Default)]
struct Arena {
    text: String,
    spans: Vec<Span>,
}

impl Arena {
    #[inline]
    fn get(&self, index: usize) -> Option<&str> {
        self.spans.get(index).map(|span| span.of(&self.text))
    }

    fn memory(&self) -> usize {
        let spans = self.spans.capacity().saturating_mul(size_of::<Span>());
        self.text.capacity().saturating_add(spans)
    }

    #[inline]
    fn push(&mut self, tag: &str) {
        let start = self.text.len();
        self.text.push_str(tag);
        self.spans.push(Span::new(start, tag.len()));
    }

    /// Sorts the places and drops repeated tags; the first tag that is repeated.
    fn sort(&mut self) -> Option<Tag> {
        let Self { text, spans } = self;
        let keys = spans
            .iter()
            .map(|&span| (eight_bytes(span.bytes_of(text), 0), span));
        let mut keyed: Vec<(u64, Span)> = keys.collect();
        let has_repeated = sort_from(&mut keyed, text, 0);
        spans.clear();
        spans.extend(keyed.into_iter().map(|(_, span)| span));
        let mut repeated = None;
        if has_repeated {
            spans.dedup_by(|&mut a, &mut b| {
                let is_same = a.bytes_of(text) == b.bytes_of(text);
                if is_same && repeated.is_none() {
                    repeated = Some(b);
                }
                is_same
            });
        }
        repeated.map(|span| TagRef::trusted(span.of(text)).to_tag())
    }

    /// Copies the text in the order of the places, unless it is in order.
    fn compact(&mut self) {
        if self.spans.is_sorted() {
            return;
        }
        let mut text = String::with_capacity(self.text.len());
        for span in &mut self.spans {
            let tag = span.of(&self.text);
            *span = Span::new(text.len(), tag.len());
            text.push_str(tag);
        }
        self.text = text;
    }
}

/// Sorts tags that are equal up to `depth`, by the eight bytes from there on, which stand beside them,
/// and then those that are equal again. The text, which lies all over the memory, is read once for every
/// eight bytes instead of at every comparison. Whether any tag stands more than once.
fn sort_from(keyed: &mut [(u64, Span)], text: &str, depth: usize) -> bool {
    keyed.sort_unstable_by_key(|&(key, _)| key);
    let mut has_repeated = false;
    for equal in keyed.chunk_by_mut(|(one, _), (other, _)| one == other) {
        match equal {
            [] | [_] => {}
            // They have ended: no byte of a tag is zero.
            [(key, _), ..] if key.trailing_zeros() >= u8::BITS => has_repeated = true,
            longer => {
                let depth = depth.saturating_add(size_of::<u64>());
                for (key, span) in &mut *longer {
                    *key = eight_bytes(span.bytes_of(text), depth);
                }
                has_repeated |= sort_from(longer, text, depth);
            }
        }
    }
    has_repeated
}

/// The eight bytes of a tag from `depth` on as a number that orders as they do; zeros where it has
/// ended.
#[inline]
fn eight_bytes(tag: &[u8], depth: usize) -> u64 {
    let mut eight = [0; size_of::<u64>()];
    for (place, byte) in eight.iter_mut().zip(tag.iter().skip(depth)) {
        *place = *byte;
    }
    u64::from_be_bytes(eight)
}

/// Where a tag lies in a text: its beginning, and in the lowest eight bits its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span(u64);

impl Span {
    #[inline]
    fn new(start: usize, len: usize) -> Self {
        // A tag has at most 128 bytes, and no text 2^56.
        Self((start as u64) << 8 | (len as u64 & 0xff))
    }

    #[inline]
    fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }

    #[inline]
    fn bytes_of(self, text: &str) -> &[u8] {
        text.as_bytes().get(self.range()).unwrap_or_default()
    }

    #[inline]
    fn range(self) -> Range<usize> {
        let (start, len) = ((self.0 >> 8) as usize, (self.0 & 0xff) as usize);
        start..start.saturating_add(len)
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
        self.arena.spans.len()
    }

    /// How many bytes of memory the tags take so far.
    pub fn memory(&self) -> usize {
        self.arena.memory()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.arena.spans.is_empty()
    }

    /// The tags, sorted, each once.
    pub fn finish(self) -> TagSet {
        let mut tags = self.finish_noting_repeated().0;
        tags.compact();
        tags
    }

    /// The tags, sorted, when none was pushed twice. Their text stays as it was pushed.
    ///
    /// # Errors
    ///
    /// The first tag in byte order that was pushed more than once.
    pub(crate) fn finish_distinct(self) -> Result<TagSet, Tag> {
        match self.finish_noting_repeated() {
            (tags, None) => Ok(tags),
            (_, Some(repeated)) => Err(repeated),
        }
    }

    fn finish_noting_repeated(mut self) -> (TagSet, Option<Tag>) {
        let repeated = if self.unsorted {
            self.arena.sort()
        } else {
            None
        };
        (TagSet(Arc::new(self.arena)), repeated)
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
