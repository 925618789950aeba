//! The newest patched tags: of a repository, or of the references that a deployment uses.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read as _};
use std::str::FromStr;

use clap::Args;
use cssc_core::name::NameError;
use cssc_core::tags::{Lineage, Lineages, PatchTag, TagSet};
use cssc_core::{Digest, Repository, Tag, TagConvention};
use cssc_registry::Reference;
use serde::Serialize;

use super::{answers, asked};
use crate::args::{ImageArg, TagsArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::output::rows::{self, Row};
use crate::registry::Registry;

/// The most that is read from standard input.
const MAX_INPUT: u64 = 16 << 20;

/// Print the newest patched tag, which a deployment should use, or the original if there is none
#[derive(Debug, Args)]
pub(crate) struct Latest {
    /// The repository, or one original tag of it; `-` reads references from standard input, one per
    /// line, such as `python:3.11-1` or `registry.example.com/python:3.11-1@sha256:…`, and exits
    /// with 1 if one of them is behind
    #[arg(value_name = "REPOSITORY[:TAG]")]
    image: AskedImages,
    /// Print the digest of the newest patched tag as well
    #[arg(long)]
    digest: bool,
    #[command(flatten)]
    how: TagsArgs,
}

#[derive(Debug, Clone)]
enum AskedImages {
    Image(ImageArg),
    StandardInput,
}

impl FromStr for AskedImages {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "-" => Ok(Self::StandardInput),
            text => text.parse().map(Self::Image),
        }
    }
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct LatestRow<'a> {
    repository: &'a Repository,
    tag: &'a str,
    latest: String,
    latest_patch: Option<PatchTag<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
}

impl LatestRow<'_> {
    fn answer(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.latest),
            None => self.latest.clone(),
        }
    }
}

impl Row<2> for LatestRow<'_> {
    const HEADS: [&'static str; 2] = ["TAG", "LATEST"];

    fn cells(&self) -> [Cow<'_, str>; 2] {
        [self.tag.to_owned(), self.answer()].map(Cow::from)
    }

    fn tsv(&self) -> String {
        format!("{}\t{}\t{}", self.repository, self.tag, self.answer())
    }

    fn plain(&self) -> String {
        format!("{}:{}", self.repository, self.answer())
    }
}

/// A reference that is in use, beside the newest patch of its image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferenceRow {
    reference: String,
    latest: String,
    digest: Option<Digest>,
    is_behind: bool,
}

impl Row<3> for &ReferenceRow {
    const HEADS: [&'static str; 3] = ["REFERENCE", "LATEST", "STATE"];

    fn cells(&self) -> [Cow<'_, str>; 3] {
        let state = if self.is_behind { "behind" } else { "current" };
        [self.reference.clone(), self.plain(), state.to_owned()].map(Cow::from)
    }

    fn plain(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.latest),
            None => self.latest.clone(),
        }
    }
}

impl Latest {
    pub(super) fn run(&self) -> Outcome {
        let registry = Registry::open(&self.how.registry)?;
        match &self.image {
            AskedImages::Image(image) => self.of_image(&registry, image),
            AskedImages::StandardInput => self.of_references(&registry),
        }
    }

    fn of_image(&self, registry: &Registry, image: &ImageArg) -> Outcome {
        let tags = registry.tags(&image.repository)?;
        let lineages = Lineages::new(&tags, self.how.tag_convention);
        let asked = asked(&lineages, image.tag.as_ref())?;
        let rows = asked.iter().map(|lineage| {
            Ok(LatestRow {
                repository: &image.repository,
                tag: lineage.original().as_str(),
                latest: lineage.newest().to_string(),
                latest_patch: lineage.latest_patch(),
                digest: self.digest_of(registry, &image.repository, lineage)?,
            })
        });
        let rows: Vec<LatestRow<'_>> = rows.collect::<Result<_, Failure>>()?;
        answers(&self.how.format, image.tag.is_some(), rows.iter().cloned())?;
        Ok(Answer::Yes)
    }

    /// What the newest tag stands for, where that is asked for.
    fn digest_of(
        &self,
        registry: &Registry,
        repository: &Repository,
        lineage: &Lineage<'_>,
    ) -> Result<Option<Digest>, Failure> {
        if !self.digest {
            return Ok(None);
        }
        let newest = lineage.newest().to_string();
        let tag: Tag = newest
            .parse()
            .map_err(|error: NameError| Failure::new(error.to_string()))?;
        let found = registry
            .client()
            .resolve(repository, &Reference::Tag(tag))?;
        Ok(found.map(|descriptor| descriptor.digest))
    }

    fn of_references(&self, registry: &Registry) -> Outcome {
        if self.how.registry.reads_standard_input() {
            let message =
                "only one of references, inventory and password can come from standard input";
            return Err(Failure::new(message));
        }
        let mut text = String::new();
        let read = io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
        read.map_err(|error| Failure::new(format!("cannot read the references: {error}")))?;
        let mut known = BTreeMap::new();
        let mut rows = Vec::new();
        let mut is_complete = true;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match self.of_reference(registry, &mut known, line) {
                Ok(row) => rows.push(row),
                Err(Failure::Message(message) | Failure::No(message)) => {
                    output::error(&format!("`{}`: {message}", line.escape_debug()));
                    is_complete = false;
                }
                Err(failure) => return Err(failure),
            }
        }
        rows::print(self.how.format.output, || rows.iter())?;
        Ok(match rows.iter().any(|row| row.is_behind) {
            _ if !is_complete => Answer::Incomplete,
            true => Answer::No,
            false => Answer::Yes,
        })
    }

    fn of_reference(
        &self,
        registry: &Registry,
        known: &mut BTreeMap<Repository, TagSet>,
        line: &str,
    ) -> Result<ReferenceRow, Failure> {
        let invalid = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let (name, digest) = match line.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (line, None),
        };
        let digest: Option<Digest> = digest
            .map(|digest| digest.parse().map_err(|error| invalid(&error)))
            .transpose()?;
        let host = registry.host().map(ToString::to_string).ok();
        let of_registry = host.and_then(|host| name.strip_prefix(&host)?.strip_prefix('/'));
        let image: ImageArg = of_registry
            .unwrap_or(name)
            .parse()
            .map_err(|error| invalid(&error))?;
        let Some(tag) = &image.tag else {
            return Err(Failure::new("it names no tag"));
        };
        let tags = match known.entry(image.repository.clone()) {
            Entry::Occupied(listed) => listed.into_mut(),
            Entry::Vacant(place) => place.insert(registry.tags(&image.repository)?),
        };
        let lineages = Lineages::new(tags, self.how.tag_convention);
        // What is deployed is an original, or a patch of one.
        let mut conventions = TagConvention::ALL.into_iter();
        let patch = conventions.find_map(|convention| convention.parse(tag.borrowed()));
        let original = patch.map_or(tag.clone(), |patch| patch.original().to_tag());
        let found = asked(&lineages, Some(&original))?;
        let Some(lineage) = found.first() else {
            return Err(Failure::new("there is no such original"));
        };
        let newest = lineage.newest().to_string();
        let newest_digest = self.digest_of(registry, &image.repository, lineage)?;
        let is_other = digest.is_some() && newest_digest.is_some() && digest != newest_digest;
        Ok(ReferenceRow {
            reference: line.to_owned(),
            is_behind: newest != tag.as_str() || is_other,
            latest: format!("{}:{newest}", image.repository),
            digest: newest_digest,
        })
    }
}
