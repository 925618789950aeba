//! Many globs, matched against many tags at once.
//!
//! A glob without braces is a list of characters or classes of them, with `*` between some. All
//! the places in all the globs are the bits of one word of any length, and a byte of a tag moves
//! every place that it may move at once. That takes the same time whatever the globs and the
//! tags are, where an automaton for a thousand globs grows with every tag that it meets.

use crate::name::TagRef;
use crate::policy::{Glob, Selector};
use crate::tags::Suffix;

/// Up to so many globs are matched one by one.
const FEW: usize = 16;
/// Into how many globs without braces one is written out.
const MAX_WRITTEN_OUT: usize = 64;
const WORD_BITS: usize = u64::BITS as usize;
/// The bytes of a tag, each by what it is minus this.
const FIRST_BYTE: u8 = b'-';
/// How many there are from `-` to `z`.
const BYTES: usize = 78;

/// The globs of a rule.
pub(super) struct Globs<'a> {
    places: Places,
    /// Those that cannot be written out, with the places in the rule.
    others: Vec<(usize, &'a Glob)>,
}

impl<'a> Globs<'a> {
    pub(super) fn of(selectors: &'a [Selector]) -> Self {
        let mut builder = PlacesBuilder::default();
        let mut others = Vec::new();
        let globs = selectors.iter().filter(|selector| selector.is_glob());
        let are_few = globs.take(FEW.saturating_add(1)).count() <= FEW;
        for (index, selector) in selectors.iter().enumerate() {
            if let Selector::Glob(glob) = selector {
                match written_out(glob.as_str()).filter(|_| !are_few) {
                    Some(plain) => plain.iter().for_each(|items| builder.add(index, items)),
                    None => others.push((index, glob)),
                }
            }
        }
        Self {
            places: builder.build(),
            others,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.owners.is_empty() && self.others.is_empty()
    }

    /// Whether a glob takes in the patch tag `patch`: by its own name, or because it would
    /// select the original if that were there.
    pub(super) fn match_patch(&self, patch: TagRef<'_>) -> bool {
        let mut matches = false;
        self.for_each_match_of_patch(patch, |_| matches = true);
        matches
    }

    /// Calls `action` with the index of every selector whose glob matches `tag` or, of a patch
    /// tag, the original; once or more.
    pub(super) fn for_each_match_of_patch(&self, tag: TagRef<'_>, mut action: impl FnMut(usize)) {
        if self.is_empty() {
            return;
        }
        let original = Suffix::of(tag).map(|suffix| suffix.original_in(tag));
        let mut matcher = self.matcher();
        for tag in std::iter::once(tag).chain(original) {
            matcher.for_each_match(tag, &mut action);
        }
    }

    pub(super) fn matcher(&self) -> Matcher<'_> {
        Matcher {
            globs: self,
            at: vec![0; self.places.start.len()],
        }
    }
}

/// Matches one tag after the other.
pub(super) struct Matcher<'a> {
    globs: &'a Globs<'a>,
    /// The places that the front of a tag leads to.
    at: Vec<u64>,
}

impl Matcher<'_> {
    /// Calls `action` with the index of every selector whose glob matches `tag`, once or more.
    pub(super) fn for_each_match(&mut self, tag: TagRef<'_>, mut action: impl FnMut(usize)) {
        let places = &self.globs.places;
        self.at.copy_from_slice(&places.start);
        for byte in tag.as_str().bytes() {
            if let Some(step) = byte_index(byte).and_then(|index| places.steps.get(index)) {
                advance(&mut self.at, step, &places.stars);
            }
        }
        for (word, (at, ends)) in (0..).zip(self.at.iter().zip(&places.ends)) {
            let mut ended = at & ends;
            while ended != 0 {
                let bit = ended.trailing_zeros() as usize;
                let place = WORD_BITS.saturating_mul(word).saturating_add(bit);
                let owner = places.owners.binary_search_by_key(&place, |&(end, _)| end);
                if let Some(&(_, selector)) = owner.ok().and_then(|at| places.owners.get(at)) {
                    action(selector);
                }
                ended &= ended.wrapping_sub(1);
            }
        }
        for (selector, glob) in &self.globs.others {
            if glob.matches(tag) {
                action(*selector);
            }
        }
    }
}

/// Moves every place on that may move, and leaves those where a `*` stands.
fn advance(at: &mut [u64], step: &[u64], stars: &[u64]) {
    let mut carry = 0;
    for ((at, step), star) in at.iter_mut().zip(step).zip(stars) {
        let moved = *at & step;
        *at = moved << 1 | carry | *at & star;
        carry = moved >> (WORD_BITS - 1);
    }
}

fn byte_index(byte: u8) -> Option<usize> {
    byte.checked_sub(FIRST_BYTE).map(usize::from)
}

/// The places of all globs one behind the other, one more for each than it has items.
#[derive(Default)]
struct Places {
    start: Vec<u64>,
    /// For every byte, from which places it leads to the next.
    steps: Vec<Vec<u64>>,
    stars: Vec<u64>,
    ends: Vec<u64>,
    /// The last place of each glob, and which selector it is of.
    owners: Vec<(usize, usize)>,
}

#[derive(Default)]
struct PlacesBuilder {
    places: Places,
    count: usize,
}

impl PlacesBuilder {
    fn add(&mut self, selector: usize, items: &[Item]) {
        let places = &mut self.places;
        places.steps.resize(BYTES, Vec::new());
        set(&mut places.start, self.count);
        for item in items {
            match item {
                Item::Star => set(&mut places.stars, self.count),
                Item::OneOf(bytes) => {
                    for (index, step) in places.steps.iter_mut().enumerate() {
                        if bytes
                            .checked_shr(u32::try_from(index).unwrap_or(u32::MAX))
                            .unwrap_or(0)
                            & 1
                            == 1
                        {
                            set(step, self.count);
                        }
                    }
                    self.count = self.count.saturating_add(1);
                }
            }
        }
        set(&mut places.ends, self.count);
        places.owners.push((self.count, selector));
        self.count = self.count.saturating_add(1);
    }

    fn build(mut self) -> Places {
        let words = self.count.div_ceil(WORD_BITS);
        let places = &mut self.places;
        let single = [&mut places.start, &mut places.stars, &mut places.ends];
        for bits in single.into_iter().chain(&mut places.steps) {
            bits.resize(words, 0);
        }
        self.places
    }
}

fn set(bits: &mut Vec<u64>, place: usize) {
    let (word, bit) = (place / WORD_BITS, place % WORD_BITS);
    if bits.len() <= word {
        bits.resize(word.saturating_add(1), 0);
    }
    if let Some(word) = bits.get_mut(word) {
        *word |= 1 << bit;
    }
}

/// What stands in a glob without braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// Any text.
    Star,
    /// One of these bytes, as bits from `-` on.
    OneOf(u128),
}

/// A glob as globs without braces; none where that takes too many, or a rarer way of writing
/// is not read here.
fn written_out(glob: &str) -> Option<Vec<Vec<Item>>> {
    // In braces two stars can mean more than one.
    if glob.contains('{') && glob.contains("**") {
        return None;
    }
    let mut open = vec![glob.to_owned()];
    let mut plain = Vec::new();
    while let Some(text) = open.pop() {
        if open.len().saturating_add(plain.len()) >= MAX_WRITTEN_OUT {
            return None;
        }
        if !text.contains('{') {
            plain.push(items(&text)?);
            continue;
        }
        let (front, alternatives, back) = first_braces(&text)?;
        for alternative in alternatives {
            if alternative.is_empty() {
                return None;
            }
            open.push([front, alternative, back].concat());
        }
    }
    Some(plain)
}

type Braces<'a> = (&'a str, Vec<&'a str>, &'a str);

/// What stands before the first braces, in them, and behind.
fn first_braces(text: &str) -> Option<Braces<'_>> {
    // A class or an escape could hold a brace or a comma that is none.
    if text.contains(['[', '\\']) {
        return None;
    }
    let (front, rest) = text.split_once('{')?;
    let mut depth = 0_usize;
    let mut begin = 0;
    let mut alternatives = Vec::new();
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => depth = depth.saturating_add(1),
            b',' | b'}' if depth == 0 => {
                alternatives.push(rest.get(begin..at)?);
                begin = at.saturating_add(1);
                if byte == b'}' {
                    return Some((front, alternatives, rest.get(begin..)?));
                }
            }
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The items of a glob without braces.
fn items(text: &str) -> Option<Vec<Item>> {
    const ANY: u128 = u128::MAX;
    let mut items = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        items.push(match byte {
            b'*' => Item::Star,
            b'?' => Item::OneOf(ANY),
            b'[' => Item::OneOf(class(&mut rest)?),
            b'\\' => Item::OneOf(bit(rest.next()?)),
            _ => Item::OneOf(bit(byte)),
        });
    }
    Some(items)
}

/// The bytes of a class, up to its end. One that begins or ends with `-`, or holds anything
/// but bytes of tags, is not read.
fn class(rest: &mut std::str::Bytes<'_>) -> Option<u128> {
    let mut bytes: u128 = 0;
    let mut is_negated = false;
    let mut last: Option<u8> = None;
    for at in 0.. {
        match rest.next()? {
            b'!' | b'^' if at == 0 => is_negated = true,
            b']' if last.is_some() => break,
            b'-' => {
                let (from, to) = (last.take()?, rest.next()?);
                if !is_plain(to) || to < from {
                    return None;
                }
                bytes |= (from..=to).fold(0, |all, byte| all | bit(byte));
                // What follows a range begins anew; `a-b-c` is not read.
                let next = rest.clone().next()?;
                if next == b']' {
                    rest.next();
                    break;
                }
            }
            byte if is_plain(byte) => {
                bytes |= bit(byte);
                last = Some(byte);
            }
            _ => return None,
        }
    }
    Some(if is_negated { !bytes } else { bytes })
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

/// The bit of a byte; none for one that no tag has.
fn bit(byte: u8) -> u128 {
    let index = byte_index(byte).and_then(|index| u32::try_from(index).ok());
    index
        .and_then(|index| 1_u128.checked_shl(index))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matched(globs: &Globs<'_>, tag: &str) -> Vec<usize> {
        let mut matched = Vec::new();
        let tag = TagRef::new(tag).unwrap();
        globs
            .matcher()
            .for_each_match(tag, |index| matched.push(index));
        matched.sort_unstable();
        matched.dedup();
        matched
    }

    fn one_by_one(selectors: &[Selector], tag: &str) -> Vec<usize> {
        let tag = TagRef::new(tag).unwrap();
        let globs = (0..)
            .zip(selectors)
            .filter(|(_, selector)| selector.is_glob());
        globs
            .filter(|(_, selector)| selector.matches(tag))
            .map(|(index, _)| index)
            .collect()
    }

    #[test]
    fn globs_people_write_are_written_out() {
        for glob in [
            "3.*-slim",
            "jammy-*",
            "{3.11,3.12}",
            "3.1?",
            "3.1[0-9]",
            "[!a-z]*",
            "[abc_]-1",
            "**",
            "v{1,2}.{3,4}*",
            "{a,{b,c}}",
            "\\*a",
        ] {
            assert!(written_out(glob).is_some(), "{glob}");
        }
        for glob in [
            "{,a}",
            "[-a]",
            "[a-]",
            "[]a]",
            "{a,**}",
            "{a,[bc]}",
            &"{a,b}".repeat(7),
        ] {
            assert!(written_out(glob).is_none(), "{glob}");
        }
        assert_eq!(written_out(&"{a,b}".repeat(5)).unwrap().len(), 32);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// All at once against one by one.
        #[test]
        fn the_same_globs_match(
            texts in prop::collection::vec(
                prop_oneof![
                    "[ab01.?*_-]{1,6}",
                    "[ab*]{0,2}(\\[[!^]?[a-c0-9._-]{1,4}\\]|\\{[ab*]{0,2}(,[ab?]{0,2}){0,2}\\}|\\\\[a*?]){1,2}[ab*?]{0,2}",
                    "[ab{},*\\[\\]!\\\\-]{1,8}",
                    "[a*?]{60,70}",
                ],
                0..40,
            ),
            tags in prop::collection::vec("[abcZ019_][abcZ019._-]{0,5}|a{60,70}", 1..8),
        ) {
            let selectors: Vec<Selector> = texts.iter().filter_map(|text| text.parse().ok()).collect();
            let globs = Globs::of(&selectors);
            for tag in tags {
                prop_assert_eq!(matched(&globs, &tag), one_by_one(&selectors, &tag), "{} {:?}", tag, texts);
            }
        }
    }
}
