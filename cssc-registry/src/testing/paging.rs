//! Lists of tags, paged as registries do it.

use std::collections::BTreeMap;

use super::{Reply, TestRequest};

/// How a registry pages its lists of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paging {
    /// In order, at most 100, a relative `Link` that carries `last` and `n`.
    Azure,
    /// In the order of pushing, at most 100, a relative `Link`.
    Ghcr,
    /// In no order, at most 100, a relative `Link` whose `last` is an opaque token.
    Ecr,
    /// In order, at most 50 whatever is asked for, a relative `Link` with a cursor of its own.
    Quay,
    /// In order, at most 100, an absolute `Link`.
    Harbor,
    /// In no order, all at once, `n` ignored, no `Link`.
    Distribution2,
    /// In order, at most 100, `last` is honored, but there is no `Link`.
    Unlinked,
    /// In no order, at most 100, no `Link`, and `last` is ignored: the same page for ever.
    Stuck,
    /// In order, at most 100, every page begins with the last tag of the page before.
    Overlapping,
    /// Refuses any `n` over 100 with a 400.
    Strict,
    /// Pages of 10 in between which empty pages lie.
    Sparse,
}

impl Paging {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Azure,
        Self::Ghcr,
        Self::Ecr,
        Self::Quay,
        Self::Harbor,
        Self::Distribution2,
        Self::Unlinked,
        Self::Stuck,
        Self::Overlapping,
        Self::Strict,
        Self::Sparse,
    ];

    fn is_ordered(self) -> bool {
        !matches!(
            self,
            Self::Ghcr | Self::Ecr | Self::Distribution2 | Self::Stuck
        )
    }

    fn page_len(self) -> usize {
        match self {
            Self::Quay => 50,
            Self::Sparse => 10,
            Self::Distribution2 => usize::MAX,
            _ => 100,
        }
    }
}

/// Repositories and their tags, answered page by page.
#[derive(Debug, Clone)]
pub struct PagedTags {
    paging: Paging,
    repositories: BTreeMap<String, Vec<String>>,
}

impl PagedTags {
    /// No repositories yet.
    pub fn new(paging: Paging) -> Self {
        Self {
            paging,
            repositories: BTreeMap::new(),
        }
    }

    /// Adds a repository.
    pub fn repository<I>(mut self, name: &str, tags: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut tags: Vec<String> = tags.into_iter().map(Into::into).collect();
        if self.paging.is_ordered() {
            tags.sort();
        }
        self.repositories.insert(name.to_owned(), tags);
        self
    }

    /// The page a request asks for; of a repository that is not there, 404 `NAME_UNKNOWN`.
    pub fn answer(&self, request: &TestRequest) -> Reply {
        let name = request
            .path()
            .strip_prefix("/v2/")
            .and_then(|rest| rest.strip_suffix("/tags/list"));
        let Some((name, tags)) = name.and_then(|name| self.repositories.get_key_value(name)) else {
            return Reply::error(404, "NAME_UNKNOWN");
        };
        let asked: usize = request
            .query("n")
            .and_then(|n| n.parse().ok())
            .unwrap_or(usize::MAX);
        if self.paging == Paging::Strict && asked > 100 && asked != usize::MAX {
            return Reply::error(400, "PAGINATION_NUMBER_INVALID");
        }
        let (start, is_empty) = self.start(request, tags);
        let length = match self.paging {
            Paging::Quay | Paging::Distribution2 => self.paging.page_len(),
            _ => self.paging.page_len().min(asked),
        };
        let end = if is_empty {
            start
        } else {
            start.saturating_add(length).min(tags.len())
        };
        let page = tags.get(start..end).unwrap_or_default();
        let reply = Reply::json(serde_json::json!({"name": name, "tags": page}).to_string());
        match self.link(request, name, tags, end, is_empty) {
            Some(link) => reply.header("link", link),
            None => reply,
        }
    }

    fn start(&self, request: &TestRequest, tags: &[String]) -> (usize, bool) {
        let number = |name| request.query(name).and_then(|place| place.parse().ok());
        match self.paging {
            Paging::Ecr | Paging::Sparse => {
                let token = request.query("last").and_then(|t| t.strip_prefix("token-"));
                let place = token.and_then(|token| token.parse().ok()).unwrap_or(0);
                (place, request.query("empty").is_some())
            }
            Paging::Quay => (number("next_page").unwrap_or(0), false),
            Paging::Stuck | Paging::Distribution2 => (0, false),
            _ => {
                let Some(last) = request.query("last") else {
                    return (0, false);
                };
                let after = tags.iter().position(|tag| tag == last);
                let after = after.map_or(0, |place| place.saturating_add(1));
                (after, false)
            }
        }
    }

    fn link(
        &self,
        request: &TestRequest,
        name: &str,
        tags: &[String],
        end: usize,
        is_empty: bool,
    ) -> Option<String> {
        if end >= tags.len() {
            return None;
        }
        let n = request.query("n").unwrap_or("100");
        let last = end.checked_sub(1).and_then(|place| tags.get(place));
        let last = last.map_or("", String::as_str);
        let path = format!("/v2/{name}/tags/list");
        let target = match self.paging {
            Paging::Distribution2 | Paging::Unlinked | Paging::Stuck => return None,
            Paging::Azure => format!("{path}?last={last}&n={n}&orderby="),
            Paging::Ecr => format!("{path}?n={n}&last=token-{end}"),
            Paging::Quay => format!("{path}?n=50&next_page={end}"),
            Paging::Harbor => {
                let host = request.header("host").unwrap_or_default();
                format!("http://{host}{path}?last={last}&n={n}")
            }
            Paging::Overlapping => {
                let before = end.checked_sub(2).and_then(|place| tags.get(place));
                let before = before.map_or("", String::as_str);
                format!("?last={before}&n={n}&at={end}")
            }
            Paging::Sparse if is_empty => format!("{path}?last=token-{end}"),
            Paging::Sparse => format!("{path}?last=token-{end}&empty=1"),
            Paging::Ghcr | Paging::Strict => format!("{path}?n={n}&last={last}"),
        };
        Some(format!("<{target}>; rel=\"next\""))
    }
}
