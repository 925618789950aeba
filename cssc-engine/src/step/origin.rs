//! What a patched image says of where it comes from.
//!
//! The original's own annotations and labels stay, `org.opencontainers.image.base.*` among them:
//! they tell what the original was built on, which is another relation.

use std::collections::BTreeMap;

use cssc_core::Digest;
use cssc_core::cycle::CycleId;
use cssc_core::scan::ImageConfig;

use crate::image::Labels;

/// The name of the original: `registry/repository:tag`.
pub(super) const NAME: &str = "dev.cssc.patch.origin.name";
/// The digest of the original: on a platform's manifest that of the original's manifest for the
/// platform, on an index that of the original's index.
pub(super) const DIGEST: &str = "dev.cssc.patch.origin.digest";
/// The digest of the original's index, where the manifest is Docker's and its index says nothing.
const INDEX: &str = "dev.cssc.patch.origin.index";
/// The cycle that patched it.
pub(crate) const CYCLE: &str = "dev.cssc.patch.cycle";
/// The digest of the patch before.
pub(crate) const PREVIOUS: &str = "dev.cssc.patch.previous";
/// What Copa may write; it is read and never written.
const COPA_DIGEST: &str = "sh.copa.patch.origin.digest";
const COPA_NAME: &str = "sh.copa.patch.origin.name";
/// The label by which Copa finds the original of what it has patched.
const COPA_LABEL: &str = "BaseImage";

/// What is written on a patched manifest or index.
pub(super) struct Origin<'a> {
    pub(super) name: &'a str,
    pub(super) digest: &'a Digest,
    /// The original's index, where the original has one.
    pub(super) index: Option<&'a Digest>,
    pub(super) cycle: CycleId,
    pub(super) previous: Option<&'a Digest>,
}

impl Origin<'_> {
    /// The annotations, or labels.
    pub(super) fn entries(&self) -> Labels {
        let mut entries = vec![
            (NAME, self.name.to_owned()),
            (DIGEST, self.digest.to_string()),
            (CYCLE, self.cycle.to_string()),
        ];
        entries.extend(self.previous.map(|digest| (PREVIOUS, digest.to_string())));
        entries
    }

    /// What is written on the manifest of a platform, or in its configuration where that is of
    /// Docker's kind.
    pub(super) fn labels(&self, is_docker: bool) -> Labels {
        let mut entries = self.entries();
        let index = self.index.filter(|_| is_docker);
        entries.extend(index.map(|digest| (INDEX, digest.to_string())));
        entries
    }
}

/// The digest that annotations or labels name as the original.
pub(crate) fn named<'a>(entries: &BTreeMap<&'a str, &'a str>) -> Option<Digest> {
    let value = entries.get(DIGEST).or_else(|| entries.get(COPA_DIGEST));
    value.and_then(|text| text.parse().ok())
}

/// Whether annotations or labels say anything about an original.
pub(super) fn is_named(entries: &BTreeMap<&str, &str>) -> bool {
    let keys = [NAME, DIGEST, COPA_NAME, COPA_DIGEST, COPA_LABEL];
    keys.iter().any(|key| entries.contains_key(key))
}

/// The labels of a configuration that tell about an original.
pub(crate) fn labels(config: &ImageConfig) -> BTreeMap<&str, &str> {
    let keys = [
        NAME,
        DIGEST,
        CYCLE,
        PREVIOUS,
        COPA_NAME,
        COPA_DIGEST,
        COPA_LABEL,
    ];
    let labels = keys.into_iter();
    labels
        .filter_map(|key| Some((key, config.label(key)?)))
        .collect()
}
