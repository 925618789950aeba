//! Tags, page by page
//! ([OCI distribution specification, "Listing Tags"][spec]), as registries really give them.
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use cssc_core::{TagSet, TagSetBuilder};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::address::Address;
use super::auth::Access;
use super::fault::refusal;
use super::wire::{Answer, Outgoing};
use super::{OciRegistry, RegistryError};

/// How many tags are asked for at a time; more is refused by some, most give fewer.
const PAGE_LEN: usize = 1000;
/// What many registries give at a time, whatever they were asked for.
const USUAL_PAGE_LEN: usize = 100;
/// The most bytes of one page: over half a million tags, for registries that do not page.
const MAX_PAGE_LEN: u64 = 32 << 20;
/// The most bytes of all pages.
const MAX_LISTING_LEN: u64 = 128 << 20;
const MAX_PAGES: usize = 20_000;
/// The longest that all pages together may take.
const MAX_LISTING_TIME: Duration = Duration::from_secs(30 * 60);
/// How many pages may follow each other without a tag that is new.
const MAX_BARREN_PAGES: usize = 16;

impl OciRegistry {
    /// All tags of a repository.
    pub(super) fn list(&self, name: &str) -> Result<TagSet, RegistryError> {
        let first = self.address(format!("/v2/{name}/tags/list"));
        let mut pages = Pages::new();
        let mut next = first.clone().with_query("n", &PAGE_LEN.to_string());
        loop {
            let request = Outgoing::get(next.clone(), MAX_PAGE_LEN);
            let mut answer = self.send(request, Access::pull(name))?;
            if answer.status == 400 && pages.count == 0 {
                // Some refuse to be asked for so many, or for a number at all.
                pages.number = None;
                let request = Outgoing::get(first.clone(), MAX_PAGE_LEN);
                answer = self.send(request, Access::pull(name))?;
            }
            if answer.status == 400 && pages.guesses {
                // Nobody said that there was more.
                return Ok(pages.tags.finish());
            }
            if !answer.is_success() {
                return Err(refusal(&answer));
            }
            match pages.take(&answer, &first)? {
                Some(address) => next = address,
                None => return Ok(pages.tags.finish()),
            }
        }
    }
}

/// What came so far.
struct Pages {
    begun: Instant,
    tags: TagSetBuilder,
    count: usize,
    length: u64,
    /// Pages without a new tag, since the last with one.
    barren: usize,
    /// Hashes of the tags, to tell whether a page brought new ones.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// The addresses asked for.
    asked: HashSet<String>,
    /// The registry has said with a `Link` where a page goes on: no `Link` is the end.
    links: bool,
    /// The `n` to ask with.
    number: Option<usize>,
    /// The last page was asked for without knowing whether there is one.
    guesses: bool,
}

impl Pages {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            tags: TagSetBuilder::default(),
            count: 0,
            length: 0,
            barren: 0,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            asked: HashSet::new(),
            links: false,
            number: Some(PAGE_LEN),
            guesses: false,
        }
    }

    /// Takes a page, and says where the next one is.
    fn take(&mut self, answer: &Answer, first: &Address) -> Result<Option<Address>, RegistryError> {
        let host = first.authority();
        let refuse = |why: String| Err(RegistryError::answer(format!("`{host}` {why}")));
        self.count = self.count.saturating_add(1);
        self.asked.insert(answer.address.target().to_owned());
        let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length);
        let mut page = Page {
            pages: self,
            length: 0,
            fresh: 0,
            last: String::new(),
        };
        let mut json = serde_json::Deserializer::from_slice(&answer.body);
        let read = PageSeed(&mut page).deserialize(&mut json);
        if let Err(error) = read.and_then(|()| json.end()) {
            let error = super::excerpt(&error.to_string());
            return refuse(format!("did not answer with a list of tags: {error}"));
        }
        let Page {
            length,
            fresh,
            last,
            ..
        } = page;
        self.barren = if fresh == 0 {
            self.barren.saturating_add(1)
        } else {
            0
        };
        let Some(next) = self.next(answer, first, length, fresh, &last)? else {
            return Ok(None);
        };
        if self.asked.contains(next.target()) {
            return refuse("pages in a circle: the same page was named twice".to_owned());
        }
        if self.barren >= MAX_BARREN_PAGES {
            return refuse(format!(
                "pages without end: {MAX_BARREN_PAGES} pages in a row brought no new tag"
            ));
        }
        let elapsed = self.begun.elapsed();
        if self.count >= MAX_PAGES || self.length >= MAX_LISTING_LEN || elapsed >= MAX_LISTING_TIME
        {
            return refuse(format!(
                "pages without end: stopped after {} pages, {} bytes and {} s",
                self.count,
                self.length,
                elapsed.as_secs()
            ));
        }
        Ok(Some(next))
    }

    fn next(
        &mut self,
        answer: &Answer,
        first: &Address,
        length: usize,
        fresh: usize,
        last: &str,
    ) -> Result<Option<Address>, RegistryError> {
        if let Some(link) = answer.all_headers("link").find_map(next_link) {
            self.links = true;
            return match answer.address.join(link) {
                Some(next) if next.authority() == first.authority() => {
                    // Behind a proxy that ends TLS, registries think they are spoken to without.
                    Ok(Some(first.with_target(next.target().to_owned())))
                }
                Some(next) => Err(RegistryError::answer(format!(
                    "`{}` continues its list of tags on another host, `{}`, which is not followed",
                    first.authority(),
                    next.authority()
                ))),
                None => Err(RegistryError::answer(format!(
                    "`{}` continues its list of tags at what is no address",
                    first.authority()
                ))),
            };
        }
        // Without a `Link`, a page of just the length asked for, or of the length many give, may
        // not be the last. Asking on from its last tag cannot go round: it ends with the first
        // page that brings nothing new.
        let may_go_on = !self.links
            && fresh > 0
            && (length == PAGE_LEN || length == USUAL_PAGE_LEN)
            && !last.is_empty();
        self.guesses = may_go_on;
        Ok(may_go_on.then(|| {
            let next = match self.number {
                Some(number) => first.clone().with_query("n", &number.to_string()),
                None => first.clone(),
            };
            next.with_query("last", last)
        }))
    }
}

/// The target of a `Link` header with `rel="next"`
/// ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288#section-3)).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, link)) = rest.split_once('<') {
        let (target, after) = link.split_once('>')?;
        let (params, more) = after.split_once('<').unwrap_or((after, ""));
        let is_next = params.split([';', ',']).any(|param| {
            let (name, value) = param.split_once('=').unwrap_or_default();
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.trim());
        }
        rest = if more.is_empty() {
            ""
        } else {
            after.get(params.len()..).unwrap_or_default()
        };
    }
    None
}

/// A page as it is read: tags go where they are kept without being gathered first.
struct Page<'a> {
    pages: &'a mut Pages,
    /// How many tags it holds.
    length: usize,
    /// How many of them are new.
    fresh: usize,
    last: String,
}

impl Page<'_> {
    fn push(&mut self, tag: &str) {
        self.length = self.length.saturating_add(1);
        let hash = self.pages.hasher.hash_one(tag);
        if self.pages.seen.insert(hash) {
            self.fresh = self.fresh.saturating_add(1);
        }
        // What is no tag cannot be pulled by it, and is none of anybody's images.
        if self.pages.tags.push(tag).is_ok() {
            self.last.clear();
            self.last.push_str(tag);
        }
    }
}

struct PageSeed<'a, 'b>(&'a mut Page<'b>);

impl<'de> DeserializeSeed<'de> for PageSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `tags`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "tags" {
                map.next_value_seed(TagsSeed(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct TagsSeed<'a, 'b>(&'a mut Page<'b>);

impl<'de> DeserializeSeed<'de> for TagsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for TagsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tags")
    }

    /// As registries write a repository all tags of which are deleted.
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tags: A) -> Result<(), A::Error> {
        while tags.next_element_seed(TagSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct TagSeed<'a, 'b>(&'a mut Page<'b>);

impl<'de> DeserializeSeed<'de> for TagSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for TagSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag")
    }

    fn visit_str<E>(self, tag: &str) -> Result<(), E> {
        self.0.push(tag);
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
            ("<a>", None),
            ("<a", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), target, "{header}");
        }
    }
}
