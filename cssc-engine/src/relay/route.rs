//! What a path asks for.

use cssc_registry::{Digest, Reference, Repository};
use percent_encoding::percent_decode_str;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// Whether this is a registry: `/v2/`.
    Base,
    /// Something of a repository.
    Of(Repository, Part),
}

/// Something of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A manifest.
    Manifest(Reference),
    /// A blob.
    Blob(Digest),
    /// Where uploads begin.
    Uploads,
    /// An upload that has begun.
    Upload(String),
    /// What refers to a manifest.
    Referrers(Digest),
}

/// The path as a route; none for a path of another form, or with an escape, which no name needs.
pub(super) fn route(path: &str) -> Option<Route> {
    let rest = match path.strip_prefix("/v2")? {
        "" | "/" => return Some(Route::Base),
        rest => rest.strip_prefix('/')?,
    };
    let (rest, last) = rest.rsplit_once('/')?;
    let (rest, kind) = rest.rsplit_once('/')?;
    let part = match (kind, last) {
        ("manifests", reference) => Part::Manifest(reference_of(reference)?),
        ("blobs", "uploads") => Part::Uploads,
        ("blobs", digest) => Part::Blob(digest.parse().ok()?),
        ("referrers", digest) => Part::Referrers(digest.parse().ok()?),
        ("uploads", id) => {
            let name = rest.strip_suffix("/blobs")?;
            let part = match id {
                "" => Part::Uploads,
                id if is_id(id) => Part::Upload(id.to_owned()),
                _ => return None,
            };
            return Some(Route::Of(name.parse().ok()?, part));
        }
        _ => return None,
    };
    Some(Route::Of(rest.parse().ok()?, part))
}

fn reference_of(text: &str) -> Option<Reference> {
    match text.parse() {
        Ok(digest) => Some(Reference::Digest(digest)),
        Err(_) => text.parse().ok().map(Reference::Tag),
    }
}

/// Whether this can be the name of an upload.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The first parameter of this name in a query; none also where it is no text.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|pair| pair.0 == name)?;
    String::from_utf8(percent_decode_str(value).collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[allow(clippy::unnecessary_wraps, reason = "as what it is compared with")]
    fn of(name: &str, part: Part) -> Option<Route> {
        Some(Route::Of(name.parse().unwrap(), part))
    }

    #[test]
    fn every_path_of_the_protocol_is_known() {
        let digest: Digest = DIGEST.parse().unwrap();
        assert_eq!(route("/v2"), Some(Route::Base));
        assert_eq!(route("/v2/"), Some(Route::Base));
        for name in [
            "a",
            "a/b",
            "manifests",
            "blobs/uploads",
            "a/blobs/uploads",
            "v2/a",
        ] {
            let path = |rest: &str| route(&format!("/v2/{name}/{rest}"));
            let tag = Reference::Tag("v1".parse().unwrap());
            assert_eq!(path("manifests/v1"), of(name, Part::Manifest(tag)));
            let by_digest = Reference::Digest(digest.clone());
            let manifest = path(&format!("manifests/{DIGEST}"));
            assert_eq!(manifest, of(name, Part::Manifest(by_digest)));
            let blob = path(&format!("blobs/{DIGEST}"));
            assert_eq!(blob, of(name, Part::Blob(digest.clone())));
            assert_eq!(path("blobs/uploads/"), of(name, Part::Uploads));
            assert_eq!(path("blobs/uploads"), of(name, Part::Uploads));
            let upload = of(name, Part::Upload("a1".to_owned()));
            assert_eq!(path("blobs/uploads/a1"), upload);
            let referrers = path(&format!("referrers/{DIGEST}"));
            assert_eq!(referrers, of(name, Part::Referrers(digest.clone())));
        }
    }

    #[test]
    fn any_other_path_is_not() {
        for path in [
            "",
            "/",
            "v2",
            "/v1/",
            "/v2x",
            "//v2/",
            "/v2//",
            "/V2/",
            "/v2/_catalog",
            "/v2/a/tags/list",
            "/v2/a/manifests/",
            "/v2/a/manifests/../b",
            "/v2/../manifests/v1",
            "/v2/a/../b/manifests/v1",
            "/v2/a%2fb/manifests/v1",
            "/v2/A/manifests/v1",
            "/v2/a/blobs/sha256:AB",
            "/v2/a/blobs/sha256%3Aab",
            "/v2/a//manifests/v1",
            "/v2/manifests/v1",
            "/v2/a/blobs/uploads/../x",
            "/v2/a/uploads/x",
            "/v2/blobs/uploads/",
            "/v2/a/blobs/uploads/a/b",
            "/v2/a\\b/manifests/v1",
            "/v2/a/manifests/v1 ",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn parameters_may_be_escaped() {
        let query = Some("mount=sha256%3Aab&from=a%2Fb&x&from=c&bad=%ff");
        assert_eq!(parameter(query, "mount").unwrap(), "sha256:ab");
        assert_eq!(parameter(query, "from").unwrap(), "a/b");
        for name in ["x", "bad", "other"] {
            assert_eq!(parameter(query, name), None);
        }
        assert_eq!(parameter(None, "from"), None);
    }

    proptest! {
        /// Whatever a route names is fit to be a name: no path leads out of a folder.
        #[test]
        fn no_path_does_harm(path in "(/|v2|a|A|\\.\\.|%2f|manifests|blobs|uploads|sha256:|:|\\PC){0,12}") {
            for path in [path.clone(), format!("/v2/{path}")] {
                if let Some(Route::Of(name, part)) = route(&path) {
                    prop_assert!(!name.as_str().contains(".."));
                    let part = match part {
                        Part::Manifest(reference) => reference.as_str().to_owned(),
                        Part::Blob(digest) | Part::Referrers(digest) => digest.to_string(),
                        Part::Uploads => String::new(),
                        Part::Upload(id) => id,
                    };
                    prop_assert!(!part.contains(['/', '\\', '%']) && part != "..");
                    prop_assert!(path.contains(&part));
                }
            }
        }

        #[test]
        fn no_query_does_harm(query in "\\PC{0,40}", name in "[a-z]{0,3}") {
            let _ = parameter(Some(&query), &name);
        }
    }
}
