//! `cssc tags`: questions about the tags of one repository.

use std::io::Write;

use clap::{Args, Subcommand};
use cssc_core::{Lineage, Lineages, Listing, PatchTag, Repository, TagConvention};
use serde::Serialize;

use crate::args::{Format, FormatArgs, ImageArg, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::table::Columns;
use crate::output::{self, noun};
use crate::registry::Registry;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List original tags with their patches
    List(Question),
    /// Print the newest patched tag, what a deployment should use; the original if there is none
    Latest(Question),
    /// Print the tag the next patch would get
    Next(Question),
}

#[derive(Debug, Args)]
pub(crate) struct Question {
    /// The repository, or one original tag of it
    #[arg(value_name = "REPOSITORY[:TAG]")]
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
    let (Command::List(question) | Command::Latest(question) | Command::Next(question)) = command;
    let repository = &question.image.repository;
    let inventory = Registry::open(&question.registry)?.list(&[repository]);
    let tags = match inventory.listing(repository) {
        Listing::Found(tags) => tags,
        Listing::Absent => {
            return Err(Failure::No(format!(
                "the registry has no repository `{repository}`"
            )));
        }
        Listing::Unavailable(reason) => {
            return Err(Failure::new(format!(
                "cannot list `{repository}`: {reason}"
            )));
        }
    };
    let lineages = Lineages::new(tags, question.tag_convention);
    let asked: Vec<Lineage<'_>> = match &question.image.tag {
        None => lineages.iter().collect(),
        Some(tag) => vec![
            lineages
                .find(tag)
                .map_err(|error| Failure::No(error.to_string()))?,
        ],
    };
    match command {
        Command::List(_) => list(question, &lineages, &asked),
        Command::Latest(_) => latest(question, &asked),
        Command::Next(_) => next(question, &asked),
    }
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

fn list(question: &Question, lineages: &Lineages, asked: &[Lineage<'_>]) -> Outcome {
    let repository = &question.image.repository;
    let row = |lineage: &Lineage<'_>| (lineage.newest().to_string(), next_tag(lineage));
    let mut out = output::stdout();
    match question.format.output {
        Format::Json => {
            let rows = asked.iter().map(|lineage| ListRow {
                repository,
                tag: lineage.original().as_str(),
                patches: lineages.patches(lineage.original()),
                latest: lineage.newest().to_string(),
                next: lineage.next_patch().ok(),
            });
            output::json_list(rows)?;
        }
        Format::Table => {
            let mut columns = Columns::new(["TAG", "PATCHES", "LATEST", "NEXT"]);
            let patches = |lineage: &Lineage<'_>| lineages.patches(lineage.original()).len();
            for lineage in asked {
                columns.measure([&lineage.original(), &patches(lineage), &row(lineage).0, &""]);
            }
            columns.write_heads(&mut out)?;
            for lineage in asked {
                let (latest, next) = row(lineage);
                columns.write(
                    &mut out,
                    [&lineage.original(), &patches(lineage), &latest, &next],
                )?;
            }
            writeln!(out)?;
            write!(out, "{}", noun(asked.len(), "original tag"))?;
            let orphans = lineages.orphans().count();
            if orphans > 0 && question.image.tag.is_none() {
                write!(out, ", {} without an original", noun(orphans, "patch tag"))?;
            }
            writeln!(out, "; {} tags", question.tag_convention)?;
        }
        Format::Tsv => {
            for lineage in asked {
                let (latest, next) = row(lineage);
                writeln!(
                    out,
                    "{repository}\t{}\t{latest}\t{next}",
                    lineage.original()
                )?;
            }
        }
        Format::Plain => {
            for lineage in asked {
                writeln!(out, "{repository}:{}", lineage.original())?;
            }
        }
    }
    out.flush()?;
    Ok(Answer::Yes)
}

/// The next tag, or nothing when there is none.
fn next_tag(lineage: &Lineage<'_>) -> String {
    lineage
        .next_patch()
        .map(|patch| patch.to_string())
        .unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LatestRow<'a> {
    repository: &'a Repository,
    tag: &'a str,
    latest: String,
    latest_patch: Option<PatchTag<'a>>,
}

fn latest(question: &Question, asked: &[Lineage<'_>]) -> Outcome {
    let repository = &question.image.repository;
    if question.format.output == Format::Json {
        let rows = asked.iter().map(|lineage| LatestRow {
            repository,
            tag: lineage.original().as_str(),
            latest: lineage.newest().to_string(),
            latest_patch: lineage.latest_patch(),
        });
        output::json_list(rows)?;
        return Ok(Answer::Yes);
    }
    let rows = asked
        .iter()
        .map(|lineage| (lineage.original().to_string(), lineage.newest().to_string()));
    answers(question, ["TAG", "LATEST"], rows)?;
    Ok(Answer::Yes)
}

#[derive(Serialize)]
struct NextRow<'a> {
    repository: &'a Repository,
    tag: &'a str,
    next: Option<PatchTag<'a>>,
    reason: Option<String>,
}

fn next(question: &Question, asked: &[Lineage<'_>]) -> Outcome {
    let repository = &question.image.repository;
    let all_have_one = asked.iter().all(|lineage| lineage.next_patch().is_ok());
    if question.format.output == Format::Json {
        let rows = asked.iter().map(|lineage| NextRow {
            repository,
            tag: lineage.original().as_str(),
            next: lineage.next_patch().ok(),
            reason: lineage.next_patch().err().map(|cause| cause.to_string()),
        });
        output::json_list(rows)?;
        return Ok(Answer::from_good(all_have_one));
    }
    let with_next = asked.iter().filter(|lineage| lineage.next_patch().is_ok());
    let rows = with_next.map(|lineage| (lineage.original().to_string(), next_tag(lineage)));
    answers(question, ["TAG", "NEXT"], rows)?;
    for lineage in asked {
        if let Err(cause) = lineage.next_patch() {
            output::error(&format!("`{repository}:{}`: {cause}", lineage.original()));
        }
    }
    Ok(Answer::from_good(all_have_one))
}

/// Prints an answer for each original; for one that was asked for by name, the answer alone.
fn answers(
    question: &Question,
    heads: [&'static str; 2],
    rows: impl Iterator<Item = (String, String)> + Clone,
) -> Result<(), Failure> {
    let repository = &question.image.repository;
    let mut out = output::stdout();
    match (question.format.output, &question.image.tag) {
        (Format::Table, None) => {
            let mut columns = Columns::new(heads);
            for (tag, answer) in rows.clone() {
                columns.measure([&tag, &answer]);
            }
            columns.write_heads(&mut out)?;
            for (tag, answer) in rows {
                columns.write(&mut out, [&tag, &answer])?;
            }
        }
        (Format::Tsv, _) => {
            for (tag, answer) in rows {
                writeln!(out, "{repository}\t{tag}\t{answer}")?;
            }
        }
        (Format::Plain, _) => {
            for (_, answer) in rows {
                writeln!(out, "{repository}:{answer}")?;
            }
        }
        (Format::Table | Format::Json, _) => {
            for (_, answer) in rows {
                writeln!(out, "{answer}")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}
