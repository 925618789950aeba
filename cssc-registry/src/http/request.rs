//! A request and its answer.

use reqwest::Method;
use reqwest::header::HeaderMap;

use super::address::Address;
use super::content::Content;
use super::stream::BodyStream;
use crate::ListBudget;
use crate::budget::Reservation;

/// The media type of forms.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// What is read of an answer in which nothing is looked for.
const MAX_NOTE_LEN: u64 = 64 << 10;

/// The most redirects that are followed one after the other.
pub(super) const MAX_REDIRECTS: usize = 5;

/// A request, ready to be sent.
#[derive(Clone)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) address: Address,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Content<'a>>,
    /// The most bytes of a successful answer that are read; none leaves it to be read as it comes.
    pub(super) limit: Option<u64>,
    /// Whether sending it twice does no more than sending it once.
    pub(super) repeatable: bool,
    /// Whether to come back at once when something answers that does not speak HTTP.
    pub(super) sniffs: bool,
    /// Whether a redirect named the address: its query may be a key.
    pub(super) is_redirected: bool,
    /// What the answer may take, when it is a page of a listing.
    pub(super) budget: Option<ListBudget>,
}

impl Request<'_> {
    /// Without headers and body; of a successful answer little is read.
    pub(super) fn new(method: Method, address: Address) -> Self {
        Self {
            repeatable: method != Method::POST,
            method,
            address,
            headers: Vec::new(),
            body: None,
            limit: Some(MAX_NOTE_LEN),
            sniffs: false,
            is_redirected: false,
            budget: None,
        }
    }

    /// Whether a redirect means the same request at another address: for what writes, only where
    /// the status says so ([RFC 9110, section 15.4](https://www.rfc-editor.org/rfc/rfc9110#section-15.4)).
    pub(super) fn is_redirected_by(&self, status: u16) -> bool {
        match self.method {
            Method::GET | Method::HEAD => matches!(status, 301..=303 | 307 | 308),
            Method::POST | Method::PUT | Method::PATCH => matches!(status, 307 | 308),
            _ => false,
        }
    }

    /// Whether what it sends may take longer than requests do.
    pub(super) fn is_large(&self) -> bool {
        self.body.is_some_and(Content::is_large)
    }

    /// The address as it may be shown: a query may be a key, unless it is that of a listing.
    pub(super) fn shown_address(&self) -> String {
        let address = &self.address;
        if address.path().ends_with("/tags/list") && !self.is_redirected {
            address.to_string()
        } else {
            address.with_target(address.path().to_owned()).to_string()
        }
    }
}

/// An answer, read to its end unless it was asked to be left.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The body that was left to be read.
    pub(super) stream: Option<BodyStream>,
    /// Where it came from.
    pub(super) address: Address,
    /// Whether the request had been sent before, so that it may have been done before too.
    pub(super) is_repeated: bool,
    /// The memory of the body.
    pub(super) _memory: Option<Reservation>,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn all_headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    }

    /// The length of the body, as far as it is known.
    pub(super) fn length(&self) -> usize {
        let streamed = self.stream.as_ref().and_then(|stream| stream.length);
        let streamed = streamed.and_then(|length| usize::try_from(length).ok());
        streamed.unwrap_or(self.body.len())
    }

    /// Whether it is a page for people, such as a login, sent as a success where a registry's
    /// answer has no text.
    pub(super) fn is_page(&self) -> bool {
        let media_type = self.header("content-type").unwrap_or_default();
        let is_html =
            (media_type.get(..9)).is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        is_html && self.is_success() && self.header("docker-content-digest").is_none()
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
