//! Tags, page by page
//! ([OCI distribution specification, "Listing Tags"][spec]), as registries really give them.
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use cssc_core::stream::{Each, Text};
use cssc_core::tags::{TagSet, TagSetBuilder};
use reqwest::Method;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::address::Address;
use super::auth::Permission;
use super::error_response::refusal;
use super::request::{Request, Response};
use super::{ListBudget, OciRegistry, RegistryError};
use crate::budget::Reservation;
use crate::error::excerpt;

/// How many tags are asked for at a time; more is refused by some, most give fewer.
const PAGE_LEN: usize = 1000;
/// What many registries give at a time, whatever they were asked for.
const USUAL_PAGE_LEN: usize = 100;
/// The most bytes of one page: over half a million tags, for registries that do not page.
const MAX_PAGE_LEN: u64 = 32 << 20;
/// The most bytes of all pages.
const MAX_LISTING_LEN: u64 = 64 << 20;
const MAX_PAGES: usize = 20_000;
/// After how many tags of a page the memory they take is counted.
const RESERVE_EVERY: usize = 4096;
/// How many pages may follow each other without a tag that is new.
const MAX_BARREN_PAGES: usize = 16;

impl OciRegistry {
    /// All tags of a repository.
    pub(super) fn list(&self, name: &str, budget: &ListBudget) -> Result<TagSet, RegistryError> {
        let mut pages = Pages::new(Some(PAGE_LEN), budget);
        let Err(error) = self.read_pages(&mut pages, name) else {
            return pages.finish();
        };
        let is_first = pages.count == 0;
        let may_do_without = if is_first {
            // Some refuse to be asked for so many, or for a number at all.
            matches!(error.status(), Some(400 | 405 | 422)) && !error.is_unauthorized()
        } else {
            pages.mislinked
        };
        drop(pages);
        if !may_do_without {
            return Err(error);
        }
        let mut pages = Pages::new(None, budget);
        match self.read_pages(&mut pages, name) {
            Ok(()) => pages.finish(),
            Err(again) => Err(if is_first { again } else { error }),
        }
    }

    /// Reads pages until the last.
    fn read_pages(&self, pages: &mut Pages, name: &str) -> Result<(), RegistryError> {
        let first = self.address(format!("/v2/{name}/tags/list"));
        let mut next = pages.asking_for_number(first.clone());
        loop {
            let answer = self.page(next, name, &pages.budget)?;
            if !answer.is_success() {
                let error = refusal(&answer);
                let refused = error.is_absent() || error.is_unsupported();
                if pages.guesses && (refused || error.is_invalid_answer()) {
                    // Nobody said that there was more. What is transient may hide a page.
                    return Ok(());
                }
                pages.mislinked = pages.links && !error.is_retryable();
                if pages.count > 0 && error.is_absent() {
                    // Only the first page can say that a repository is not there.
                    return Err(RegistryError::unavailable(format!(
                        "{error}, in the middle of a list of tags"
                    )));
                }
                return Err(error);
            }
            match pages.take(&answer, &first)? {
                Some(address) => next = address,
                None => return Ok(()),
            }
        }
    }

    fn page(
        &self,
        address: Address,
        name: &str,
        budget: &ListBudget,
    ) -> Result<Response, RegistryError> {
        let mut request = Request::new(Method::GET, address);
        request.limit = Some(MAX_PAGE_LEN);
        request.budget = Some(budget.clone());
        self.send(request, Permission::pull(name))
    }
}

/// What came so far.
struct Pages {
    budget: ListBudget,
    /// The memory that all this takes.
    memory: Reservation,
    tags: TagSetBuilder,
    count: usize,
    length: u64,
    /// Pages without a new tag, since the last with one.
    barren: usize,
    /// Hashes of the tags, to tell whether a page brought new ones.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// Hashes of the addresses asked for: some registries have cursors of many kilobytes.
    asked: HashSet<u64>,
    /// The registry has said with a `Link` where a page goes on: no `Link` is the end.
    links: bool,
    /// The `n` to ask with.
    number: Option<usize>,
    /// The last page was asked for without knowing whether there is one.
    guesses: bool,
    /// The registry has named a next page that is none.
    mislinked: bool,
}

impl Pages {
    fn new(number: Option<usize>, budget: &ListBudget) -> Self {
        Self {
            budget: budget.clone(),
            memory: budget.reservation(),
            tags: TagSetBuilder::default(),
            count: 0,
            length: 0,
            barren: 0,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            asked: HashSet::new(),
            links: false,
            number,
            guesses: false,
            mislinked: false,
        }
    }

    /// The address with the number of tags that are asked for.
    fn asking_for_number(&self, address: Address) -> Address {
        match self.number {
            Some(number) => address.with_query("n", &number.to_string()),
            None => address,
        }
    }

    /// Reserves the memory of what is kept; fails when there is not so much left.
    fn reserve(&mut self) -> Result<(), RegistryError> {
        // A set of hashes has a byte beside each, and is an eighth empty.
        let hashes = self.seen.capacity().saturating_add(self.asked.capacity());
        let bytes = self.tags.memory().saturating_add(hashes.saturating_mul(11));
        self.memory.resize(bytes)
    }

    /// The tags, whose memory stays reserved.
    fn finish(self) -> Result<TagSet, RegistryError> {
        let Self {
            tags,
            seen,
            mut memory,
            ..
        } = self;
        drop(seen);
        let tags = tags.finish();
        memory.resize(tags.memory())?;
        memory.keep();
        Ok(tags)
    }

    /// Takes a page, and says where the next one is.
    fn take(
        &mut self,
        answer: &Response,
        first: &Address,
    ) -> Result<Option<Address>, RegistryError> {
        let page = self.read(answer)?;
        self.reserve()?;
        self.budget.count_page(page.length);
        self.barren = if page.fresh == 0 {
            self.barren.saturating_add(1)
        } else {
            0
        };
        let next = self.next(answer, first, &page)?;
        if let Some(next) = &next {
            self.check_progress(next)?;
        }
        Ok(next)
    }

    fn read(&mut self, answer: &Response) -> Result<Page, RegistryError> {
        self.count = self.count.saturating_add(1);
        self.asked
            .insert(self.hasher.hash_one(answer.address.target()));
        let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length);
        let mut page = PageReader {
            pages: self,
            page: Page::default(),
            over_memory: None,
        };
        let mut json = serde_json::Deserializer::from_slice(&answer.body);
        let read = (&mut page).deserialize(&mut json);
        match (read.and_then(|()| json.end()), page.over_memory) {
            (Ok(()), _) => Ok(page.page),
            (Err(_), Some(error)) => Err(error),
            (Err(error), None) => Err(RegistryError::answer(format!(
                "`{}` did not answer with a list of tags: {}",
                answer.address.authority(),
                excerpt(&error.to_string())
            ))),
        }
    }

    /// Refuses pages that lead nowhere or never end.
    fn check_progress(&self, next: &Address) -> Result<(), RegistryError> {
        let host = next.authority();
        let refuse = |why: String| Err(RegistryError::answer(format!("`{host}` {why}")));
        if self.asked.contains(&self.hasher.hash_one(next.target())) {
            return refuse("pages form a cycle: the same page was named twice".to_owned());
        }
        if self.barren >= MAX_BARREN_PAGES {
            return refuse(format!(
                "pages do not end: {MAX_BARREN_PAGES} pages in a row brought no new tag"
            ));
        }
        if self.count >= MAX_PAGES || self.length >= MAX_LISTING_LEN {
            return refuse(format!(
                "pages do not end: stopped after {} pages and {} bytes",
                self.count, self.length
            ));
        }
        Ok(())
    }

    fn next(
        &mut self,
        answer: &Response,
        first: &Address,
        page: &Page,
    ) -> Result<Option<Address>, RegistryError> {
        match linked_page(answer, first, "list of tags") {
            Ok(None) => {}
            Ok(next) => {
                self.links = true;
                return Ok(next);
            }
            Err(error) => {
                self.mislinked = true;
                return Err(error);
            }
        }
        // Without a `Link`, a page of just the length asked for, or of the length many give, may
        // not be the last. Asking on from its last tag cannot go round: it ends with the first
        // page that brings nothing new.
        let may_go_on = !self.links
            && page.fresh > 0
            && (page.length == PAGE_LEN || page.length == USUAL_PAGE_LEN)
            && !page.last.is_empty();
        self.guesses = may_go_on;
        Ok(may_go_on.then(|| {
            let next = self.asking_for_number(first.clone());
            next.with_query("last", &page.last)
        }))
    }
}

/// The page that a `Link` header names as the next one; none without such a header.
///
/// Only the query is taken from it: behind proxies, registries leave out of the path what these put
/// before it, and know neither their own port nor that of TLS.
pub(super) fn linked_page(
    answer: &Response,
    first: &Address,
    what: &str,
) -> Result<Option<Address>, RegistryError> {
    let Some(link) = answer.all_headers("link").find_map(next_link) else {
        return Ok(None);
    };
    let host = first.authority();
    match answer.address.join(link) {
        Some(next) if is_own(&next, first) => Ok(Some(match next.target().split_once('?') {
            Some((_, query)) => first.with_target(format!("{}?{query}", first.path())),
            None => first.with_target(next.target().to_owned()),
        })),
        Some(next) => Err(RegistryError::answer(format!(
            "`{host}` continues its {what} on another host, `{}`, which is not followed",
            next.authority()
        ))),
        None => Err(RegistryError::answer(format!(
            "`{host}` continues its {what} at an invalid address"
        ))),
    }
}

/// Whether a registry means itself by an address, be it with a port of its own that is not the one
/// that it is reached at.
fn is_own(address: &Address, own: &Address) -> bool {
    let has_usual_port = |address: &Address| matches!(address.port(), Some(80 | 443));
    let is_same_port = address.port() == own.port();
    address.host() == own.host() && (is_same_port || has_usual_port(address) || has_usual_port(own))
}

/// The target of a `Link` header with `rel="next"`
/// ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288#section-3)), or else of the first without
/// any relation, as some registries send it.
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    let mut without_relation = None;
    while let Some((_, link)) = rest.split_once('<') {
        let Some((target, after)) = link.split_once('>') else {
            break;
        };
        let params = after.split_once('<').map_or(after, |(params, _)| params);
        let mut relations = params.split([';', ',']).filter_map(|param| {
            let (name, value) = param.split_once('=')?;
            let is_relation = name.trim().eq_ignore_ascii_case("rel");
            is_relation.then(|| value.trim().trim_matches('"'))
        });
        match relations.next() {
            None if without_relation.is_none() => without_relation = Some(target.trim()),
            None => {}
            Some(relation) => {
                let mut names = relation.split_ascii_whitespace();
                if names.any(|name| name.eq_ignore_ascii_case("next")) {
                    return Some(target.trim());
                }
            }
        }
        rest = after.get(params.len()..).unwrap_or_default();
    }
    without_relation
}

/// What matters of a page besides its tags.
#[derive(Default)]
struct Page {
    /// How many tags it holds.
    length: usize,
    /// How many of them are new.
    fresh: usize,
    last: String,
}

/// A page as it is read: tags go where they are kept without being gathered first.
struct PageReader<'a> {
    pages: &'a mut Pages,
    page: Page,
    /// Why the page was not read to its end, if that is for want of memory.
    over_memory: Option<RegistryError>,
}

impl PageReader<'_> {
    fn push(&mut self, tag: &str) -> Result<(), RegistryError> {
        self.page.length = self.page.length.saturating_add(1);
        let hash = self.pages.hasher.hash_one(tag);
        if self.pages.seen.insert(hash) {
            self.page.fresh = self.page.fresh.saturating_add(1);
        }
        // What is no tag cannot be pulled by it, and is none of anybody's images.
        if self.pages.tags.push(tag).is_ok() {
            self.page.last.clear();
            self.page.last.push_str(tag);
        }
        if self.page.length.is_multiple_of(RESERVE_EVERY) {
            let reserved = self.pages.reserve();
            self.over_memory = reserved.clone().err();
            return reserved;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut PageReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut PageReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `tags`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut is_list, mut has_errors) = (false, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "tags" => {
                    map.next_value_seed(Each {
                        expecting: "a list of tags",
                        or_null: true,
                        element: &mut Text {
                            expecting: "a tag",
                            take: |tag: &str| self.push(tag),
                        },
                    })?;
                    is_list = true;
                }
                "errors" => {
                    let errors: Option<Vec<IgnoredAny>> = map.next_value()?;
                    has_errors = errors.is_some_and(|errors| !errors.is_empty());
                }
                // Some leave `tags` out where there are none.
                "name" => {
                    map.next_value::<IgnoredAny>()?;
                    is_list = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // An error or a notice sent as a success is not a repository without tags.
        if has_errors {
            return Err(A::Error::custom("it holds `errors`"));
        }
        if !is_list {
            return Err(A::Error::custom("neither `name` nor `tags` is there"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::next_link;

    #[test]
    fn links_in_every_form() {
        for (header, target) in [
            (
                r#"</v2/a/tags/list?n=2&last=b>; rel="next""#,
                Some("/v2/a/tags/list?n=2&last=b"),
            ),
            ("<?last=b>;rel=next", Some("?last=b")),
            (
                r#"<a>; rel="prev", <b>; title="x"; REL="last next""#,
                Some("b"),
            ),
            (r#"<a>; rel="prev""#, None),
            ("<a>", Some("a")),
            (r#"<a>; title="x", <b>; rel=next"#, Some("b")),
            ("<a", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), target, "{header}");
        }
    }
}
