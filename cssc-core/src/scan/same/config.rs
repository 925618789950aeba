//! The configuration of an image, as far as it tells whether an image is still the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{ConfigKey, ImageMismatch};
use crate::name::{Digest, Platform};

/// How labels begin that say where a patch comes from.
const OWN_PREFIXES: [&str; 2] = ["dev.cssc.", "sh.copa."];
/// What of the configuration says what it runs on.
const PLATFORM: [&str; 5] = ["architecture", "os", "variant", "os.version", "os.features"];

/// The configuration of an image ([OCI image specification][spec], or Docker's).
///
/// ```
/// use cssc_core::scan::ImageConfig;
///
/// let config = ImageConfig::from_slice(br#"{"architecture": "amd64", "os": "linux",
///     "config": {"Labels": {"team": "web"}}, "rootfs": {"type": "layers", "diff_ids": []}}"#)?;
/// assert_eq!(config.platform().unwrap().to_string(), "linux/amd64");
/// assert_eq!(config.label("team"), Some("web"));
/// # Ok::<(), cssc_core::scan::ImageConfigError>(())
/// ```
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md
#[derive(Debug, Clone, PartialEq)]
pub struct ImageConfig {
    document: Map<String, Value>,
    diff_ids: Vec<Digest>,
}

/// Bytes that are no configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the configuration of an image: {0}")]
pub struct ImageConfigError(String);

impl ImageConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// Fails for what is not a JSON object with an architecture, an operating system and the
    /// digests of layers.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ImageConfigError> {
        let document: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| ImageConfigError(error.to_string()))?;
        let missing = |what: &str| ImageConfigError(format!("it has no `{what}`"));
        for key in ["architecture", "os"] {
            let value = document.get(key).and_then(Value::as_str);
            value
                .filter(|text| !text.is_empty())
                .ok_or_else(|| missing(key))?;
        }
        let diff_ids = document
            .get("rootfs")
            .and_then(|rootfs| rootfs.get("diff_ids"))
            .and_then(Value::as_array)
            .ok_or_else(|| missing("rootfs.diff_ids"))?;
        let diff_ids = diff_ids
            .iter()
            .map(|id| id.as_str()?.parse().ok())
            .collect::<Option<Vec<Digest>>>()
            .ok_or_else(|| ImageConfigError("one of its diff IDs is not a digest".to_owned()))?;
        Ok(Self { document, diff_ids })
    }

    /// The platform it says it is for; none when that is not written as platforms are.
    pub fn platform(&self) -> Option<Platform> {
        let part = |key| self.document.get(key).and_then(Value::as_str);
        let variant = part("variant").filter(|variant| !variant.is_empty());
        let parts = [part("os"), part("architecture"), variant];
        let text: Vec<&str> = parts.into_iter().flatten().collect();
        text.join("/").parse().ok()
    }

    /// The digests of its uncompressed layers, the lowest first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// Whether its lowest layers are all those of `original`.
    pub fn begins_with(&self, original: &Self) -> bool {
        !original.diff_ids.is_empty() && self.diff_ids.starts_with(&original.diff_ids)
    }

    /// A label. Copa writes `labels` in lower case beside the `Labels` of the image, and programs
    /// in Go read both.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels(["Labels", "labels"]).get(key).copied()
    }

    fn labels<const N: usize>(&self, keys: [&str; N]) -> BTreeMap<&str, &str> {
        let config = self.document.get("config");
        let objects = keys.map(|key| config.and_then(|config| config.get(key)));
        let labels = objects.into_iter().flatten().filter_map(Value::as_object);
        labels
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
            .collect()
    }

    /// The environment variables, by name.
    fn variables(&self) -> BTreeMap<&str, &str> {
        let config = self.document.get("config");
        let list = config.and_then(|config| config.get("Env"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str)
            .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
            .collect()
    }

    /// What an image is run with, without labels, variables and what is empty.
    fn execution(&self) -> BTreeMap<&str, &Value> {
        let config = self.document.get("config").and_then(Value::as_object);
        let fields = config.into_iter().flatten();
        fields
            .filter(|(key, value)| {
                !key.eq_ignore_ascii_case("labels") && *key != "Env" && !is_empty(value)
            })
            .map(|(key, value)| (key.as_str(), value))
            .collect()
    }
}

impl ImageMismatch {
    /// What shows in the configurations that `candidate`, which holds other layers than `original`,
    /// is another image: its platform must be the same, and so must all that the image is run with
    /// and its labels, but for what `allowed` names and for the labels that say where a patch comes
    /// from.
    pub fn between_configs(
        original: &ImageConfig,
        candidate: &ImageConfig,
        allowed: &[ConfigKey],
    ) -> Option<Self> {
        for key in PLATFORM {
            let [was, is] = [original, candidate].map(|config| field(&config.document, key));
            if was != is {
                return Some(Self::Platform {
                    field: key.into(),
                    original: was,
                    candidate: is,
                });
            }
        }
        let (was, is) = (original.execution(), candidate.execution());
        let mut names = was.keys().chain(is.keys());
        if let Some(name) = names.find(|name| was.get(*name) != is.get(*name)) {
            return Some(Self::Config((*name).into()));
        }
        let [was, is] = [original, candidate].map(ImageConfig::variables);
        let is_allowed = |name: &str| allowed.iter().any(|key| key.allows_variable(name));
        if let Some(name) = first_difference(&was, &is, is_allowed) {
            return Some(Self::Config(format!("variable {name}").into()));
        }
        let [was, is] = [original, candidate].map(|config| config.labels(["Labels", "labels"]));
        let is_allowed = |name: &str| {
            let is_own = OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            is_own || allowed.iter().any(|key| key.allows_label(name))
        };
        first_difference(&was, &is, is_allowed)
            .map(|name| Self::Config(format!("label {name}").into()))
    }
}

/// The first name, in byte order, whose value is not the same in both.
fn first_difference<'a>(
    was: &BTreeMap<&'a str, &'a str>,
    is: &BTreeMap<&'a str, &'a str>,
    is_allowed: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    let names: BTreeSet<&str> = was.keys().chain(is.keys()).copied().collect();
    let mut names = names.into_iter();
    names.find(|name| was.get(name) != is.get(name) && !is_allowed(name))
}

fn field(document: &Map<String, Value>, key: &str) -> Box<str> {
    match document.get(key) {
        Some(Value::String(text)) => text.as_str().into(),
        Some(value) if !is_empty(value) => value.to_string().into(),
        _ => "".into(),
    }
}

/// Whether a value says as much as none.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn original() -> Value {
        json!({
            "architecture": "arm64", "os": "linux", "variant": "v8",
            "created": "2024-01-01T00:00:00Z",
            "config": {
                "User": "nobody", "Env": ["PATH=/bin"], "Cmd": ["sh"], "ExposedPorts": {},
                "Labels": {"team": "web"},
            },
            "rootfs": {"type": "layers", "diff_ids": [id('1'), id('2')]},
            "history": [{}],
        })
    }

    fn patched() -> Value {
        let mut config = original();
        config["created"] = json!("2026-01-01T00:00:00Z");
        config["rootfs"]["diff_ids"] = json!([id('7'), id('8')]);
        config["config"]["Labels"]["dev.cssc.patch.origin.name"] = json!("a");
        config["config"]
            .as_object_mut()
            .unwrap()
            .remove("ExposedPorts");
        config
    }

    fn read(value: &Value) -> ImageConfig {
        ImageConfig::from_slice(value.to_string().as_bytes()).unwrap()
    }

    fn mismatch(change: impl FnOnce(&mut Value), allowed: &[&str]) -> Option<String> {
        let mut candidate = patched();
        change(&mut candidate);
        let allowed: Vec<ConfigKey> = allowed.iter().map(|key| key.parse().unwrap()).collect();
        ImageMismatch::between_configs(&read(&original()), &read(&candidate), &allowed)
            .map(|mismatch| mismatch.to_string())
    }

    #[test]
    fn other_layers_under_the_same_configuration_are_the_same_image() {
        assert_eq!(mismatch(|_| {}, &[]), None);
    }

    #[test]
    fn anything_else_is_another_image() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 9] = [
            (
                |config| config["architecture"] = json!("amd64"),
                "its `architecture` is `amd64`, that of the original is `arm64`",
            ),
            (
                |config| config["variant"] = json!("v7"),
                "its `variant` is `v7`, that of the original is `v8`",
            ),
            (
                |config| config["config"]["User"] = json!("root"),
                "its `User` is not that of the original",
            ),
            (
                |config| config["config"]["user"] = json!("root"),
                "its `user` is not that of the original",
            ),
            (
                |config| config["config"]["Cmd"] = Value::Null,
                "its `Cmd` is not that of the original",
            ),
            (
                |config| config["config"]["Env"] = json!(["PATH=/bin", "VERSION=2"]),
                "its `variable VERSION` is not that of the original",
            ),
            (
                |config| config["config"]["Labels"]["team"] = json!("db"),
                "its `label team` is not that of the original",
            ),
            (
                |config| config["config"]["labels"] = json!({"BaseImage": "x"}),
                "its `label BaseImage` is not that of the original",
            ),
            (
                |config| config["config"]["Labels"] = json!({}),
                "its `label team` is not that of the original",
            ),
        ];
        for (change, text) in cases {
            assert_eq!(mismatch(change, &[]).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_allowed_may_differ_and_nothing_else() {
        let change = |config: &mut Value| {
            config["config"]["Env"] = json!(["PATH=/bin", "VERSION=2"]);
            config["config"]["Labels"]["org.example.build"] = json!("7");
        };
        assert_eq!(
            mismatch(change, &["env:VERSION", "label:org.example.*"]),
            None
        );
        for allowed in [
            &["env:VERSION"][..],
            &["label:org.example.*"],
            &["env:*", "label:org.example"],
            &["label:VERSION", "env:org.example.*"],
        ] {
            assert!(mismatch(change, allowed).is_some(), "{allowed:?}");
        }
        for wrong in ["", "label:", "user", "env:A*B", "Label:a", "env:a\n"] {
            assert!(wrong.parse::<ConfigKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for text in ["", "[]", "{}", r#"{"architecture": "amd64", "os": ""}"#] {
            assert!(ImageConfig::from_slice(text.as_bytes()).is_err(), "{text}");
        }
        let without_ids = r#"{"architecture": "amd64", "os": "linux", "rootfs": {}}"#;
        assert_eq!(
            ImageConfig::from_slice(without_ids.as_bytes())
                .unwrap_err()
                .to_string(),
            "not the configuration of an image: it has no `rootfs.diff_ids`"
        );
    }

    #[test]
    fn labels_are_found_in_both_spellings() {
        let mut config = original();
        config["config"]["labels"] = json!({"BaseImage": "localhost/a@sha256:1"});
        let config = read(&config);
        assert_eq!(config.label("BaseImage"), Some("localhost/a@sha256:1"));
        assert_eq!(config.label("team"), Some("web"));
        assert_eq!(config.label("none"), None);
        assert_eq!(config.platform().unwrap().to_string(), "linux/arm64/v8");
        assert!(config.begins_with(&read(&original())));
        assert!(!read(&patched()).begins_with(&read(&original())));
    }
}
