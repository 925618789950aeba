//! `cssc image`: what the registry alone tells of an image and its patches.

use std::borrow::Cow;

use clap::{Args, Subcommand};
use cssc_engine::story::{Chapter, PlatformChapter, Story};

use crate::args::{Format, ImageArg, TagsArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output;
use crate::output::rows::{self, Row};
use crate::registry::Registry;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what an image and each of its patches was made from, what was fixed and what is
    /// attached
    Show(Show),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The image: an original, or a patch of it
    #[arg(value_name = "REPOSITORY:TAG")]
    image: ImageArg,
    #[command(flatten)]
    how: TagsArgs,
}

pub(crate) fn run(command: &Command) -> Outcome {
    let Command::Show(show) = command;
    show.run()
}

impl Show {
    fn run(&self) -> Outcome {
        let repository = &self.image.repository;
        let Some(tag) = &self.image.tag else {
            let message = format!("name one image of `{repository}`: `{repository}:TAG`");
            return Err(Failure::new(message));
        };
        let registry = Registry::open(&self.how.registry)?;
        let tags = registry.tags(repository)?;
        let convention = self.how.tag_convention;
        let story = Story::read(registry.client(), repository, tag, &tags, convention)?
            .ok_or_else(|| Failure::No(format!("`{repository}` has no tag `{tag}`")))?;
        match self.how.format.output {
            Format::Json => output::json(&story)?,
            format => rows::print_text(format, || platform_rows(&story))?,
        }
        Ok(Answer::Yes)
    }
}

/// A row for each platform of the original and of each patch.
fn platform_rows(story: &Story) -> impl Iterator<Item = PlatformRow<'_>> {
    let chapters = story.original.iter().chain(&story.patches);
    chapters.flat_map(move |chapter| {
        let platforms = chapter.platforms.iter();
        platforms.map(move |platform| PlatformRow {
            story,
            chapter,
            platform,
        })
    })
}

struct PlatformRow<'a> {
    story: &'a Story,
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
        let made_from = match self.story.is_of_todays_original(platform.origin.as_ref()) {
            None => "",
            Some(true) => "the original",
            Some(false) => "an earlier original",
        };
        [
            self.chapter.tag.as_str().into(),
            name.unwrap_or_default().into(),
            digest.get(..19).unwrap_or(digest).into(),
            made_from.into(),
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
