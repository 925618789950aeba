//! What is published: the original with the layers that a patcher added.

use cssc_core::cycle::PatchRefusal;
use serde_json::{Map, Value, json};

use super::document::{Built, ImageDocument, UnusableImage, layer_of_kind};

/// Annotations, or the labels of an image of Docker's kind.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// What came of what a patcher pushed.
#[derive(Debug)]
pub(crate) enum Assembly {
    /// The image that is published if it passes the gate.
    Built(Built),
    /// There is nothing in it that the original has not.
    Same,
    /// It cannot be published.
    Refused(PatchRefusal),
}

/// The original with the layers of `pushed` that lie above its own, and with these labels. All other
/// fields of manifest and configuration stay as they are; the history gets an entry for each new
/// layer, where it accounts for the layers of the original.
///
/// What does not begin with the layers of the original is taken as it is, with these labels, where
/// `takes_other_layers`; otherwise it is refused.
///
/// # Errors
///
/// Fails when a layer cannot be in an image of the original's kind.
pub(crate) fn assemble(
    original: &ImageDocument,
    pushed: &ImageDocument,
    labels: &Labels,
    history: &Value,
    takes_other_layers: bool,
) -> Result<Assembly, UnusableImage> {
    let mut image = if pushed.begins_with(original) {
        if pushed.layer_count() == original.layer_count() {
            return Ok(Assembly::Same);
        }
        with_layers_of(original, pushed, history)?
    } else if takes_other_layers {
        let mut image = pushed.clone();
        keep_annotations(&mut image.manifest, &original.manifest);
        image
    } else {
        return Ok(Assembly::Refused(PatchRefusal::OtherLayers));
    };
    if image.layer_count() > PatchRefusal::MAX_LAYERS {
        let refusal = PatchRefusal::TooManyLayers(image.layer_count());
        return Ok(Assembly::Refused(refusal));
    }
    if image.is_docker() {
        set_labels(&mut image.config, labels);
    } else {
        set_entries(&mut image.manifest, "annotations", labels);
    }
    image.build().map(Assembly::Built)
}

fn with_layers_of(
    original: &ImageDocument,
    pushed: &ImageDocument,
    history: &Value,
) -> Result<ImageDocument, UnusableImage> {
    let mut image = original.clone();
    let begin = original.layer_count();
    for layer in pushed.layers.iter().skip(begin) {
        image
            .layers
            .push(layer_of_kind(layer, original.is_docker())?);
    }
    let new = pushed.diff_ids.iter().skip(begin);
    image.diff_ids.extend(new.clone().cloned());
    if let Some(Value::Array(entries)) = image.config.get_mut("history") {
        let is_layer = |entry: &&Value| entry.get("empty_layer") != Some(&Value::Bool(true));
        if entries.iter().filter(is_layer).count() == begin {
            entries.extend(new.map(|_| history.clone()));
        }
    }
    Ok(image)
}

/// The annotations of the original beside those of the manifest itself.
fn keep_annotations(manifest: &mut Map<String, Value>, original: &Map<String, Value>) {
    let Some(Value::Object(kept)) = original.get("annotations") else {
        return;
    };
    let mut annotations = take_object(manifest, "annotations");
    for (key, value) in kept {
        annotations.insert(key.clone(), value.clone());
    }
    manifest.insert("annotations".to_owned(), annotations.into());
}

fn set_labels(config: &mut Map<String, Value>, labels: &Labels) {
    let mut execution = take_object(config, "config");
    set_entries(&mut execution, "Labels", labels);
    config.insert("config".to_owned(), execution.into());
}

fn set_entries(parent: &mut Map<String, Value>, key: &str, entries: &Labels) {
    let mut object = take_object(parent, key);
    for (name, value) in entries {
        object.insert((*name).to_owned(), json!(value));
    }
    parent.insert(key.to_owned(), object.into());
}

/// The object under a key, taken out; an empty one if there is none.
fn take_object(parent: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match parent.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}
