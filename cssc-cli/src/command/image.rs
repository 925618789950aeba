//! `cssc image`: what the registry alone tells of an image and its patches.

use std::borrow::Cow;

use clap::{Args, Subcommand};
use cssc_core::tags::{Lineages, PatchTag};
use cssc_core::{Digest, Repository, Tag, TagConvention};
use cssc_engine::story::{Chapter, PlatformChapter, chapter};
use serde::Serialize;

use crate::args::{Format, FormatArgs, ImageArg, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::output::rows::{self, Row};
use crate::registry::Registry;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell of an image and each of its patches where it comes from, what it fixed and what is
    /// attached to it
    Show(Show),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The image: an original, or a patch of it
    #[arg(value_name = "REPOSITORY:TAG")]
    image: ImageArg,
    #[command(flatten)]
    registry: RegistryArgs,
    /// How patches are tagged
    #[arg(long, value_name = "CONVENTION", default_value_t)]
    tag_convention: TagConvention,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(command: &Command) -> Outcome {
    let Command::Show(show) = command;
    show.run()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Story<'a> {
    repository: &'a Repository,
    original: Option<Chapter>,
    patches: Vec<Chapter>,
}

impl Show {
    fn run(&self) -> Outcome {
        let repository = &self.image.repository;
        let Some(tag) = &self.image.tag else {
            let message = format!("name one image of `{repository}`: `{repository}:TAG`");
            return Err(Failure::new(message));
        };
        let registry = Registry::open(&self.registry)?;
        let tags = registry.tags(repository)?;
        let asked = tag.borrowed();
        let original = self.tag_convention.parse(asked);
        let original = original.map_or(asked, PatchTag::original);
        let lineages = Lineages::new(&tags, self.tag_convention);
        let read = |tag: &Tag| {
            let chapter = chapter(registry.client(), repository, tag);
            chapter.map_err(|error| Failure::new(error.to_string()))
        };
        let mut patches = Vec::new();
        for patch in lineages.patches(original) {
            patches.extend(read(&patch.to_tag())?);
        }
        let story = Story {
            repository,
            original: read(&original.to_tag())?,
            patches,
        };
        if story.original.is_none() && story.patches.is_empty() {
            return Err(Failure::No(format!("`{repository}` has no tag `{tag}`")));
        }
        match self.format.output {
            Format::Json => output::json(&story)?,
            format => rows::print_text(format, || story.rows())?,
        }
        Ok(Answer::Yes)
    }
}

impl Story<'_> {
    /// A row for each platform of the original and of each patch.
    fn rows(&self) -> impl Iterator<Item = PlatformRow<'_>> {
        let chapters = self.original.iter().chain(&self.patches);
        chapters.flat_map(|chapter| {
            let platforms = chapter.platforms.iter();
            platforms.map(|platform| PlatformRow {
                story: self,
                chapter,
                platform,
            })
        })
    }

    /// What a manifest was made from: the original of today, or an earlier one.
    fn made_from(&self, origin: Option<&Digest>) -> &'static str {
        let Some(origin) = origin else { return "" };
        let mut platforms = self.original.iter().flat_map(|image| &image.platforms);
        if platforms.any(|platform| platform.digest == *origin) {
            "the original"
        } else {
            "an earlier original"
        }
    }
}

struct PlatformRow<'a> {
    story: &'a Story<'a>,
    chapter: &'a Chapter,
    platform: &'a PlatformChapter,
}

impl Row<7> for PlatformRow<'_> {
    const HEADS: [&'static str; 7] = [
        "TAG",
        "PLATFORM",
        "MANIFEST",
        "MADE FROM",
        "CYCLE",
        "FIXED",
        "ATTACHED",
    ];

    fn cells(&self) -> [Cow<'_, str>; 7] {
        let platform = self.platform;
        let digest = platform.digest.as_str();
        let fixed = platform.fixed.len();
        let attached: usize = platform.attached.values().sum();
        let count = |count: usize| match count {
            0 => String::new(),
            count => count.to_string(),
        };
        let name = platform.platform.as_ref().map(ToString::to_string);
        [
            self.chapter.tag.as_str().into(),
            name.unwrap_or_default().into(),
            digest.get(..19).unwrap_or(digest).into(),
            self.story.made_from(platform.origin.as_ref()).into(),
            self.chapter.cycle.as_deref().unwrap_or_default().into(),
            count(fixed).into(),
            count(attached).into(),
        ]
    }

    fn tsv(&self) -> String {
        let [tag, platform, _, made_from, cycle, fixed, attached] = self.cells();
        let digest = &self.platform.digest;
        [
            tag,
            platform,
            digest.as_str().into(),
            made_from,
            cycle,
            fixed,
            attached,
        ]
        .join("\t")
    }

    fn plain(&self) -> String {
        format!("{}:{}", self.story.repository, self.chapter.tag)
    }
}
