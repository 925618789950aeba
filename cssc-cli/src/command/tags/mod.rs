//! `cssc tags`: questions about the tags of one repository.

mod latest;

use std::borrow::Cow;

use clap::{Args, Subcommand};
use cssc_core::tags::{Lineage, Lineages, NoOriginal, PatchTag};
use cssc_core::{Repository, Tag, TagConvention};
use serde::Serialize;

use crate::args::{Format, FormatArgs, ImageArg, TagsArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::rows::{self, Row};
use crate::output::suggest::did_you_mean;
use crate::output::{self, noun};
use crate::registry::Registry;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List original tags with their patches
    List(Question),
    /// Print the newest patched tag, which a deployment should use, or the original if there is
    /// none
    Latest(latest::Latest),
    /// Print the tag the next patch would get
    Next(Question),
}

#[derive(Debug, Args)]
pub(crate) struct Question {
    /// The repository, or one original tag of it
    #[arg(value_name = "REPOSITORY[:TAG]")]
    image: ImageArg,
    #[command(flatten)]
    how: TagsArgs,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(question) => question.ask(list),
        Command::Latest(latest) => latest.run(),
        Command::Next(question) => question.ask(next),
    }
}

impl Question {
    fn ask(&self, answer: impl FnOnce(&Self, &Lineages, &[Lineage<'_>]) -> Outcome) -> Outcome {
        let tags = Registry::open(&self.how.registry)?.tags(&self.image.repository)?;
        let lineages = Lineages::new(&tags, self.how.tag_convention);
        let asked = asked(&lineages, self.image.tag.as_ref())?;
        answer(self, &lineages, &asked)
    }
}

/// The lineage of one original, or all of them.
fn asked<'a>(lineages: &'a Lineages, tag: Option<&Tag>) -> Result<Vec<Lineage<'a>>, Failure> {
    match tag {
        None => Ok(lineages.iter().collect()),
        Some(tag) => match lineages.find(tag) {
            Ok(lineage) => Ok(vec![lineage]),
            Err(error) => Err(no_original(&error, tag, lineages)),
        },
    }
}

/// That there is no such tag, and which one was perhaps meant.
fn no_original(error: &NoOriginal, tag: &Tag, lineages: &Lineages) -> Failure {
    let mut conventions = TagConvention::ALL.into_iter();
    if conventions.any(|convention| convention.parse(tag.borrowed()).is_some()) {
        // The error names the original already.
        return Failure::No(error.to_string());
    }
    let originals = lineages.iter().map(|lineage| lineage.original().as_str());
    let hint = did_you_mean(tag.as_str(), originals);
    Failure::No(format!("{error}{hint}"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListRow<'a> {
    repository: &'a Repository,
    tag: &'a str,
    patches: Vec<PatchTag<'a>>,
    latest: String,
    next: Option<PatchTag<'a>>,
}

impl Row<4> for ListRow<'_> {
    const HEADS: [&'static str; 4] = ["TAG", "PATCHES", "LATEST", "NEXT"];

    fn cells(&self) -> [Cow<'_, str>; 4] {
        let patches = self.patches.len().to_string();
        [
            self.tag.to_owned(),
            patches,
            self.latest.clone(),
            text(self.next),
        ]
        .map(Cow::from)
    }

    fn tsv(&self) -> String {
        let (repository, tag, latest) = (self.repository, self.tag, &self.latest);
        format!("{repository}\t{tag}\t{latest}\t{}", text(self.next))
    }

    fn plain(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

/// The tag, or nothing when there is none.
fn text(patch: Option<PatchTag<'_>>) -> String {
    patch.map(|patch| patch.to_string()).unwrap_or_default()
}

fn list(question: &Question, lineages: &Lineages, asked: &[Lineage<'_>]) -> Outcome {
    let rows = asked.iter().map(|lineage| ListRow {
        repository: &question.image.repository,
        tag: lineage.original().as_str(),
        patches: lineages.patches(lineage.original()),
        latest: lineage.newest().to_string(),
        next: lineage.next_patch().ok(),
    });
    rows::print(question.how.format.output, || rows.clone())?;
    if question.how.format.output == Format::Table {
        let mut out = output::stdout();
        write!(out, "\n{}", noun(asked.len(), "original tag"))?;
        let base_missing = lineages.base_missing().count();
        if base_missing > 0 && question.image.tag.is_none() {
            let patches = noun(base_missing, "patch tag");
            write!(out, ", {patches} without an original")?;
        }
        writeln!(out, "; {} tags", question.how.tag_convention)?;
        out.flush()?;
    }
    Ok(Answer::Yes)
}

#[derive(Serialize)]
struct NextRow<'a> {
    repository: &'a Repository,
    tag: &'a str,
    next: Option<PatchTag<'a>>,
    reason: Option<String>,
}

impl Row<2> for NextRow<'_> {
    const HEADS: [&'static str; 2] = ["TAG", "NEXT"];

    fn cells(&self) -> [Cow<'_, str>; 2] {
        [self.tag.to_owned(), text(self.next)].map(Cow::from)
    }

    fn tsv(&self) -> String {
        format!("{}\t{}\t{}", self.repository, self.tag, text(self.next))
    }

    fn plain(&self) -> String {
        format!("{}:{}", self.repository, text(self.next))
    }
}

fn next(question: &Question, _: &Lineages, asked: &[Lineage<'_>]) -> Outcome {
    let repository = &question.image.repository;
    let is_json = question.how.format.output == Format::Json;
    let rows = asked.iter().map(|lineage| NextRow {
        repository,
        tag: lineage.original().as_str(),
        next: lineage.next_patch().ok(),
        reason: lineage.next_patch().err().map(|cause| cause.to_string()),
    });
    let is_one = question.image.tag.is_some();
    answers(
        &question.how.format,
        is_one,
        rows.filter(|row| is_json || row.next.is_some()),
    )?;
    let mut all_have_one = true;
    for lineage in asked {
        if let Err(cause) = lineage.next_patch() {
            all_have_one = false;
            if !is_json {
                output::error(&format!("`{repository}:{}`: {cause}", lineage.original()));
            }
        }
    }
    Ok(Answer::from_good(all_have_one))
}

/// Prints an answer for each original; for one that was asked for by name, the answer alone.
fn answers<R: Row<2> + Serialize>(
    format: &FormatArgs,
    is_one: bool,
    rows: impl Iterator<Item = R> + Clone,
) -> Result<(), Failure> {
    if format.output != Format::Table || !is_one {
        return rows::print(format.output, || rows.clone());
    }
    let mut out = output::stdout();
    for row in rows {
        let [_, answer] = row.cells();
        writeln!(out, "{answer}")?;
    }
    out.flush()?;
    Ok(())
}
