//! What is told on standard error: for people, or as JSON for programs that collect logs.

use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::Style;
use chrono::Utc;
use clap::{Args, ColorChoice, ValueEnum};
use cssc_core::schedule::rfc3339;
use serde_json::{Map, Value};

use super::{BOLD, ERROR, WARNING, styled};

/// What a line of JSON says beside time, level, event and message.
pub(crate) type Fields = Map<String, Value>;

/// Such fields, but for those that are null.
pub(crate) fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect()
}

/// What is told is one thing for the process, as standard error is.
static IS_JSON: AtomicBool = AtomicBool::new(false);
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// How the command line tells on standard error what happens, and in which colors.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct LogArgs {
    /// Print only warnings and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// When to use colors
    #[arg(long, value_name = "WHEN", default_value_t, global = true)]
    color: ColorChoice,
    /// The format of messages on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people: live progress on a terminal, otherwise a line with a timestamp for each step
    Text,
    /// A JSON object in each line, for programs that collect logs
    Json,
}

impl LogArgs {
    /// From here on everything is told this way.
    pub(crate) fn apply(&self) {
        IS_JSON.store(self.log_format == LogFormat::Json, Ordering::Relaxed);
        IS_QUIET.store(self.quiet, Ordering::Relaxed);
        match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Whether everything is told as JSON.
pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Whether somebody watches who wants to see lines that change.
pub(crate) fn is_live() -> bool {
    let is_plain = is_json() || IS_QUIET.load(Ordering::Relaxed);
    !is_plain && io::stderr().is_terminal()
}

/// How much somebody should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// How it begins for people.
    fn label(self) -> (Style, &'static str) {
        match self {
            Self::Info => (BOLD, "note"),
            Self::Warning => (WARNING, "warning"),
            Self::Error => (ERROR, "error"),
        }
    }
}

/// Tells something, for people behind a word that says how much to care.
pub(crate) fn tell(level: Level, event: &str, message: &str, fields: Fields) {
    write(level, event, message, fields, |message| {
        let (style, label) = level.label();
        format!("{}: {message}", styled(style, label))
    });
}

/// Tells that something happened, for people in a line of its own, with its time where nobody sees
/// it happen.
pub(crate) fn event(level: Level, event: &str, message: &str, fields: Fields) {
    write(level, event, message, fields, |message| {
        if io::stderr().is_terminal() {
            message.to_owned()
        } else {
            format!("{} {message}", rfc3339(Utc::now()))
        }
    });
}

fn write(
    level: Level,
    event: &str,
    message: &str,
    fields: Fields,
    text: impl FnOnce(&str) -> String,
) {
    if level == Level::Info && IS_QUIET.load(Ordering::Relaxed) {
        return;
    }
    let line = if is_json() {
        json(level, event, message, fields)
    } else {
        text(message)
    };
    // There is nobody left to tell when standard error is gone.
    let _ = writeln!(anstream::stderr(), "{line}");
}

fn json(level: Level, event: &str, message: &str, fields: Fields) -> String {
    let mut line = Fields::new();
    line.insert("time".to_owned(), rfc3339(Utc::now()).into());
    line.insert("level".to_owned(), level.as_str().into());
    line.insert("event".to_owned(), event.into());
    line.insert("message".to_owned(), message.into());
    line.extend(fields);
    Value::Object(line).to_string()
}
