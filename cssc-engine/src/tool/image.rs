//! How an image is named to a tool.

use cssc_core::{Registry, Repository, Tag};

use cssc_registry::Digest;

/// An image in a registry, by tag and, where it is known, by the digest the tag had.
///
/// The digest pins what is meant while the tag may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    registry: Registry,
    repository: Repository,
    tag: Tag,
    digest: Option<Digest>,
}

impl ImageRef {
    /// Whatever `tag` points to when a tool looks.
    pub fn new(registry: Registry, repository: Repository, tag: Tag) -> Self {
        Self {
            registry,
            repository,
            tag,
            digest: None,
        }
    }

    /// The image with this digest.
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The registry it is in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The repository it is in.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Its tag.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// The digest it is pinned to.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `HOST/REPOSITORY:TAG`.
    pub fn by_tag(&self) -> String {
        let (registry, repository) = (self.registry.as_str(), self.repository.as_str());
        format!("{registry}/{repository}:{}", self.tag.as_str())
    }

    /// `HOST/REPOSITORY@DIGEST`, or the tag where no digest is known.
    pub fn exact(&self) -> String {
        match &self.digest {
            Some(digest) => format!(
                "{}/{}@{digest}",
                self.registry.as_str(),
                self.repository.as_str()
            ),
            None => self.by_tag(),
        }
    }

    /// `HOST/REPOSITORY:TAG@DIGEST`, or the tag where no digest is known.
    pub fn by_tag_and_digest(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.by_tag()),
            None => self.by_tag(),
        }
    }
}
