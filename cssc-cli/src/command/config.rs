//! `cssc config`: check and write policies.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use cssc_core::Policy;
use cssc_core::policy::{
    DiagnosticSeverity, POLICY_SCHEMA, POLICY_TEMPLATE, PolicyCheck, PolicySchema,
};
use cssc_registry::atomic;
use serde::Serialize;

use crate::args::LintArgs;
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, diagnostics, noun};
use crate::source::PolicyFile;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check policies and report all errors and warnings
    Check(Check),
    /// Print the JSON Schema of a policy, for editors and other tools
    Schema,
    /// Write a policy to start from
    Init(Init),
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Policy files; `-` is standard input
    #[arg(default_value = PolicyFile::NAME, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PolicyFile>,
    #[command(flatten)]
    lints: LintArgs,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", default_value = "human")]
    output: CheckFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CheckFormat {
    /// Findings with the affected line, for people
    Human,
    /// JSON, for programs
    Json,
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file to write; `-` is standard output
    #[arg(default_value = PolicyFile::NAME, value_name = "FILE")]
    file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Check(check) => check.run(),
        Command::Schema => {
            let mut out = output::stdout();
            out.write_all(POLICY_SCHEMA.as_bytes())?;
            out.flush()?;
            Ok(Answer::Yes)
        }
        Command::Init(init) => init.run(),
    }
}

/// One file that was checked.
#[derive(Serialize)]
struct CheckedFile {
    file: String,
    valid: bool,
    diagnostics: Vec<cssc_core::Diagnostic>,
    #[serde(skip)]
    text: Vec<u8>,
    #[serde(skip)]
    policy: Option<Policy>,
}

impl Check {
    fn run(&self) -> Outcome {
        let mut checked = Vec::new();
        let mut unreadable = false;
        let lints = self.lints.lints();
        let schema = PolicySchema::new();
        for source in &self.files {
            match source.read() {
                Ok(text) => {
                    let PolicyCheck {
                        policy,
                        diagnostics,
                    } = lints.apply(schema.check(&text));
                    checked.push(CheckedFile {
                        file: source.name(),
                        valid: policy.is_some(),
                        diagnostics,
                        text,
                        policy,
                    });
                }
                Err(Failure::Message(message)) => {
                    unreadable = true;
                    output::error(&message);
                }
                Err(other) => return Err(other),
            }
        }
        match self.output {
            CheckFormat::Human => human(&checked)?,
            CheckFormat::Json => output::json(&checked)?,
            CheckFormat::Github => github(&checked)?,
        }
        Ok(if unreadable {
            Answer::Incomplete
        } else {
            Answer::from_good(checked.iter().all(|file| file.valid))
        })
    }
}

fn human(checked: &[CheckedFile]) -> Result<(), Failure> {
    let mut out = output::stdout();
    for file in checked {
        let mut source = diagnostics::Source::new(&file.file, &file.text);
        for found in &file.diagnostics {
            out.print(|out| diagnostics::write_human(out, &mut source, found))?;
            writeln!(out)?;
        }
        let count = |severity| {
            file.diagnostics
                .iter()
                .filter(|f| f.severity == severity)
                .count()
        };
        let (errors, warnings) = (
            count(DiagnosticSeverity::Error),
            count(DiagnosticSeverity::Warning),
        );
        write!(out, "{}: ", file.file)?;
        match &file.policy {
            Some(policy) => write!(
                out,
                "valid, {}, {} tags",
                noun(policy.rules().len(), "rule"),
                policy.tag_convention()
            )?,
            None => write!(out, "invalid, {}", noun(errors, "error"))?,
        }
        if warnings > 0 {
            write!(out, ", {}", noun(warnings, "warning"))?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

fn github(checked: &[CheckedFile]) -> Result<(), Failure> {
    let mut out = output::stdout();
    for file in checked {
        for found in &file.diagnostics {
            out.print(|out| diagnostics::write_github(out, &file.file, found))?;
        }
    }
    out.flush()?;
    Ok(())
}

impl Init {
    fn run(&self) -> Outcome {
        if self.file.as_os_str() == "-" {
            let mut out = output::stdout();
            out.write_all(POLICY_TEMPLATE.as_bytes())?;
            out.flush()?;
            return Ok(Answer::Yes);
        }
        let path = self.file.display();
        let template = POLICY_TEMPLATE.as_bytes();
        let written = if self.force {
            atomic::write(&self.file, template)
        } else {
            atomic::create(&self.file, template)
        };
        written.map_err(|error| {
            Failure::new(match error.kind() {
                ErrorKind::AlreadyExists => format!(
                    "`{path}` is there already: name another file, or replace it with --force"
                ),
                ErrorKind::NotFound => {
                    let folder = self.file.parent().unwrap_or(&self.file);
                    format!(
                        "cannot write `{path}`: there is no folder `{}`",
                        folder.display()
                    )
                }
                // By its kind: the text of the error names the file beside.
                kind => format!("cannot write `{path}`: {}", std::io::Error::from(kind)),
            })
        })?;
        // There is nobody left to tell when standard error is gone.
        let _ = write!(
            anstream::stderr(),
            "Wrote `{path}`. Next:\n\
             \x20 repositories    name yours; `tags` lists original tags, `[\"*\"]` is all of them\n\
             \x20 tag-convention  `incremental` makes 3.11-1, 3.11-2 …; `floating` moves 3.11-patched\n\
             \x20 enabled         `false` keeps a rule without using it\n\
             Then check it with `cssc config check {path}` and see what it selects with \
             `cssc dry-run --config {path} -r REGISTRY`.\n"
        );
        Ok(Answer::Yes)
    }
}
