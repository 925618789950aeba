//! What a patcher is given: the layers of an image under a configuration that does nothing.

use serde_json::{Map, Value, json};

use super::document::{Built, ImageDocument, UnusableImage};

/// What of a configuration says what its layers run on.
const PLATFORM: [&str; 5] = ["architecture", "os", "variant", "os.version", "os.features"];
/// Variables that would lead the package manager through a proxy of the image's author.
const PROXIES: [&str; 5] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
];

/// The image with its layers, platform and environment, and nothing else: no volume, trigger, health
/// check, label or user acts on the patcher.
pub(crate) fn neutral(original: &ImageDocument) -> Result<Built, UnusableImage> {
    let mut config = Map::new();
    for key in PLATFORM {
        if let Some(value) = original.config.get(key) {
            config.insert(key.to_owned(), value.clone());
        }
    }
    let variables = original.config.get("config");
    let variables = variables.and_then(|config| config.get("Env")?.as_array());
    let kept: Vec<&Value> = variables
        .into_iter()
        .flatten()
        .filter(|entry| entry.as_str().is_some_and(|entry| !is_proxy(entry)))
        .collect();
    config.insert("config".to_owned(), json!({ "Env": kept }));
    ImageDocument {
        media_type: original.media_type.clone(),
        manifest: original.empty_manifest(),
        config,
        layers: original.layers.clone(),
        diff_ids: original.diff_ids.clone(),
    }
    .build()
}

fn is_proxy(variable: &str) -> bool {
    let name = variable.split('=').next().unwrap_or_default();
    PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}
