//! A registry in this process with the habits of a profile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cssc_registry::media_type::{IMAGE_INDEX, IMAGE_MANIFEST};
use cssc_registry::testing::{Reply, TestRegistry, TestRequest};
use serde_json::{Value, json};

use super::table::{Answer, Login, Profile};

/// What it keeps, by the name of the repository.
type Kept = BTreeMap<String, Kind>;

#[derive(Default)]
struct Kind {
    tags: BTreeMap<String, String>,
    /// By digest.
    manifests: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
    deleted: BTreeSet<String>,
}

/// A registry, the host of its blobs, and the password that it wants now.
pub(crate) struct Server {
    pub(crate) registry: TestRegistry,
    _storage: TestRegistry,
    kept: Arc<Mutex<Kept>>,
    password: Arc<Mutex<String>>,
}

impl Server {
    pub(crate) fn start(profile: &'static Profile) -> Self {
        let kept = Arc::new(Mutex::new(Kept::new()));
        let password = Arc::new(Mutex::new("first".to_owned()));
        let blobs = Arc::clone(&kept);
        let storage = TestRegistry::start(move |request| {
            // As those do that want one way of being let in: here the address is it.
            if request.header("authorization").is_some() || request.query("signature").is_none() {
                return Reply::new(400);
            }
            let digest = request.path().trim_start_matches('/').to_owned();
            let blobs = blobs.lock().unwrap();
            let blob = blobs.values().find_map(|kind| kind.blobs.get(&digest));
            blob.map_or(Reply::new(404), |blob| Reply::new(200).body(blob.clone()))
        })
        .unwrap();
        let (own, wanted, host) = (Arc::clone(&kept), Arc::clone(&password), storage.host());
        let registry = TestRegistry::start(move |request| {
            let mut kept = own.lock().unwrap();
            let mut exchange = Exchange {
                profile,
                request,
                kept: &mut kept,
                password: wanted.lock().unwrap().clone(),
                storage: &host,
            };
            exchange.answer()
        });
        Self {
            registry: registry.unwrap(),
            _storage: storage,
            kept,
            password,
        }
    }

    /// Makes a repository, with tags that all stand for one manifest.
    pub(crate) fn create(&self, repository: &str, tags: impl Iterator<Item = String>) {
        let manifest = br#"{"schemaVersion": 2}"#;
        let digest = cssc_registry::digest::of(manifest).to_string();
        let mut kept = self.kept.lock().unwrap();
        let kind = kept.entry(repository.to_owned()).or_default();
        kind.manifests.insert(digest.clone(), manifest.to_vec());
        kind.tags.extend(tags.map(|tag| (tag, digest.clone())));
    }

    /// Wants another password from now on.
    pub(crate) fn want(&self, password: &str) {
        password.clone_into(&mut self.password.lock().unwrap());
    }
}

struct Exchange<'a> {
    profile: &'static Profile,
    request: &'a TestRequest,
    kept: &'a mut Kept,
    password: String,
    storage: &'a str,
}

fn refusal((status, code): Answer) -> Reply {
    match code {
        "" => Reply::new(status).body("<html>no such page</html>"),
        code => Reply::error(status, code),
    }
}

impl Exchange<'_> {
    fn answer(&mut self) -> Reply {
        if self.request.path() == "/token" {
            return self.token();
        }
        let path = self.request.path().trim_start_matches("/v2/").to_owned();
        let kinds = ["/tags/", "/manifests/", "/blobs/", "/referrers/"];
        let found = kinds
            .iter()
            .find_map(|kind| Some((kind, path.split_once(kind)?)));
        let Some((kind, (name, rest))) = found else {
            return Reply::error(404, "NOT_FOUND");
        };
        if let Some(refusal) = self.refuse(name) {
            return refusal;
        }
        let is_write = matches!(self.request.method.as_str(), "POST" | "PUT" | "PATCH");
        if !self.kept.contains_key(name) {
            if !is_write || !self.profile.creates {
                return refusal(self.profile.unknown_repository);
            }
            self.kept.insert(name.to_owned(), Kind::default());
        }
        match *kind {
            "/tags/" => self.tags(name),
            "/manifests/" => self.manifest(name, rest),
            "/blobs/" => self.blob(name, rest),
            _ => self.referrers(name, rest),
        }
    }

    /// The password that was shown, if any.
    fn shown(&self) -> Option<String> {
        let shown = self
            .request
            .header("authorization")?
            .strip_prefix("Basic ")?;
        let pair = String::from_utf8(STANDARD.decode(shown).ok()?).ok()?;
        Some(pair.split_once(':')?.1.to_owned())
    }

    fn token(&self) -> Reply {
        let Login::Tokens { knows, .. } = self.profile.login else {
            return Reply::new(404);
        };
        match self.shown() {
            None => return Reply::error(401, "UNAUTHORIZED"),
            Some(shown) if shown != self.password => return refusal(self.profile.expired),
            _ => {}
        }
        let scope = self.request.query("scope").unwrap_or_default();
        let scope = scope
            .replace("%3A", ":")
            .replace("%2C", ",")
            .replace("%2F", "/");
        let scope = scope.replace("%2A", "*");
        let (name, actions) = scope
            .trim_start_matches("repository:")
            .split_once(':')
            .unwrap();
        if !knows.contains(&actions) {
            return Reply::error(400, "SCOPE_INVALID");
        }
        // Good while the password is.
        let token = format!("{}|{name}|{actions}", self.password);
        Reply::json(json!({"token": STANDARD.encode(token), "expires_in": 300}).to_string())
    }

    /// The refusal to let in, if one is due.
    fn refuse(&self, name: &str) -> Option<Reply> {
        let needed = match self.request.method.as_str() {
            "GET" | "HEAD" => "pull",
            "DELETE" => "delete",
            _ => "push",
        };
        let denied = || Reply::error(401, "UNAUTHORIZED");
        match self.profile.login {
            Login::Open => None,
            Login::Basic => match self.shown() {
                None => Some(denied().header("www-authenticate", "Basic realm=x")),
                Some(shown) if shown == self.password => None,
                Some(_) => Some(refusal(self.profile.expired)),
            },
            Login::Tokens {
                delete,
                denies_deletion,
                ..
            } => {
                let token = self.request.header("authorization").unwrap_or_default();
                let token = STANDARD.decode(token.trim_start_matches("Bearer "));
                let token = String::from_utf8(token.unwrap_or_default()).unwrap_or_default();
                let mut parts = token.split('|');
                let is_for = parts.next() == Some(&self.password) && parts.next() == Some(name);
                let actions = parts.next().unwrap_or_default();
                let has = |action: &str| actions.split(',').any(|one| one == action || one == "*");
                let is_enough = match needed {
                    "delete" => actions == delete || actions == "*",
                    needed => has(needed),
                };
                if is_for && is_enough && !(needed == "delete" && denies_deletion) {
                    return None;
                }
                let named = if needed == "push" {
                    "pull,push"
                } else {
                    needed
                };
                let named = if needed == "delete" { delete } else { named };
                let host = self.request.header("host").unwrap();
                let challenge = format!(
                    "Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"repository:{name}:{named}\""
                );
                Some(denied().header("www-authenticate", challenge))
            }
        }
    }

    fn tags(&self, name: &str) -> Reply {
        let asked = self.request.query("n").and_then(|n| n.parse().ok());
        if let (Some((most, answer)), Some(asked)) = (self.profile.most_tags, asked)
            && asked > most
        {
            return refusal(answer);
        }
        let tags: Vec<&String> = self.kept[name].tags.keys().collect();
        let length = match asked {
            // Some give all of them to who does not ask for pages.
            Some(asked) if self.profile.link.is_some() => self.profile.page_len.min(asked),
            _ => self.profile.page_len,
        };
        let start = match self.request.query("last") {
            Some(last) if self.profile.link.is_some() => {
                tags.iter().position(|tag| tag.as_str() == last).unwrap() + 1
            }
            _ => 0,
        };
        let end = start.saturating_add(length).min(tags.len());
        let reply = Reply::json(json!({"name": name, "tags": tags[start..end]}).to_string());
        match self.profile.link {
            Some(link) if end < tags.len() => {
                let query = format!("last={}&n={length}", tags[end - 1]);
                let host = self.request.header("host").unwrap();
                let link = link(host, self.request.path(), &query);
                reply.header("link", format!("<{link}>; rel=\"next\""))
            }
            _ => reply,
        }
    }

    fn manifest(&mut self, name: &str, reference: &str) -> Reply {
        let profile = self.profile;
        let is_digest = reference.starts_with("sha256:");
        let kind = self.kept.get_mut(name).unwrap();
        let digest = match kind.tags.get(reference) {
            Some(digest) => digest.clone(),
            None if profile.has_digest_tags
                && kind
                    .manifests
                    .contains_key(&reference.replacen('-', ":", 1)) =>
            {
                reference.replacen('-', ":", 1)
            }
            None => reference.to_owned(),
        };
        match self.request.method.as_str() {
            "PUT" => self.put_manifest(name, reference),
            "DELETE" => {
                let refused = if is_digest {
                    // Not of what no tag points to.
                    let is_tagged = kind.tags.values().any(|tagged| *tagged == digest);
                    profile
                        .no_digest_deletion
                        .filter(|answer| answer.0 != 400 || is_tagged)
                } else {
                    profile.no_tag_deletion
                };
                if let Some(answer) = refused {
                    return refusal(answer);
                }
                if is_digest {
                    kind.tags.retain(|_, tagged| *tagged != digest);
                    return match kind.manifests.remove(&digest) {
                        Some(_) => Reply::new(202),
                        None => refusal(profile.unknown_manifest),
                    };
                }
                kind.deleted.insert(reference.to_owned());
                match kind.tags.remove(reference) {
                    Some(_) => Reply::new(202),
                    None => refusal(profile.unknown_manifest),
                }
            }
            _ => match kind.manifests.get(&digest) {
                Some(bytes) => Reply::new(200)
                    .header("content-type", media_type(bytes))
                    .header("docker-content-digest", digest)
                    .body(bytes.clone()),
                None if kind.deleted.contains(reference) => refusal(profile.deleted_tag),
                None => refusal(profile.unknown_manifest),
            },
        }
    }

    fn put_manifest(&mut self, name: &str, reference: &str) -> Reply {
        let profile = self.profile;
        let kind = self.kept.get_mut(name).unwrap();
        let document: Value = serde_json::from_slice(&self.request.body).unwrap();
        let config = document
            .pointer("/config/mediaType")
            .and_then(Value::as_str);
        let is_image = "application/vnd.oci.image.config.v1+json";
        if profile.has_type_list
            && (document.get("artifactType").is_some() || config.is_some_and(|c| c != is_image))
        {
            return Reply::error(400, "MANIFEST_INVALID");
        }
        let blobs = document
            .get("layers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for blob in blobs.chain(document.get("config")) {
            if !kind.blobs.contains_key(blob["digest"].as_str().unwrap()) {
                return Reply::error(400, "MANIFEST_BLOB_UNKNOWN");
            }
        }
        let digest = cssc_registry::digest::of(&self.request.body).to_string();
        if let (Some(answer), Some(before)) = (profile.immutable, kind.tags.get(reference))
            && *before != digest
        {
            return refusal(answer);
        }
        if !reference.starts_with("sha256:") {
            kind.tags.insert(reference.to_owned(), digest.clone());
        }
        kind.manifests
            .insert(digest.clone(), self.request.body.clone());
        let reply = Reply::new(201).header("docker-content-digest", digest);
        match document.pointer("/subject/digest").and_then(Value::as_str) {
            Some(subject) if profile.no_referrers.is_none() => reply.header("oci-subject", subject),
            _ => reply,
        }
    }

    fn blob(&mut self, name: &str, rest: &str) -> Reply {
        let profile = self.profile;
        let kind = self.kept.get_mut(name).unwrap();
        match self.request.method.as_str() {
            "POST" => {
                let location = format!("/v2/{name}/blobs/uploads/1?state=s");
                Reply::new(202).header("location", location)
            }
            "PUT" => {
                let digest = self.request.query("digest").unwrap().replace("%3A", ":");
                if cssc_registry::digest::of(&self.request.body).as_str() != digest {
                    return Reply::error(400, "DIGEST_INVALID");
                }
                kind.blobs.insert(digest, self.request.body.clone());
                Reply::new(201)
            }
            method => match kind.blobs.get(rest) {
                None => Reply::error(404, "BLOB_UNKNOWN"),
                Some(_) if profile.redirects_blobs && method == "GET" => {
                    let location = format!("http://{}/{rest}?signature=s", self.storage);
                    Reply::new(307).header("location", location)
                }
                Some(blob) => Reply::new(200).body(blob.clone()),
            },
        }
    }

    fn referrers(&self, name: &str, subject: &str) -> Reply {
        if let Some(answer) = self.profile.no_referrers {
            return refusal(answer);
        }
        let manifests = self.kept[name].manifests.iter();
        let referring = manifests.filter_map(|(digest, bytes)| {
            let document: Value = serde_json::from_slice(bytes).ok()?;
            let is_about = document.pointer("/subject/digest")?.as_str()? == subject;
            is_about.then(|| {
                json!({"mediaType": media_type(bytes), "digest": digest, "size": bytes.len(),
                       "artifactType": document["artifactType"]})
            })
        });
        let manifests: Vec<Value> = referring.collect();
        let index = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests});
        Reply::new(200)
            .header("content-type", IMAGE_INDEX)
            .body(index.to_string())
    }
}

fn media_type(manifest: &[u8]) -> String {
    let document: Value = serde_json::from_slice(manifest).unwrap();
    document["mediaType"]
        .as_str()
        .unwrap_or(IMAGE_MANIFEST)
        .to_owned()
}
