//! Printing: data to standard output, everything else to standard error.

pub(crate) mod calendar;
pub(crate) mod diagnostics;
mod log;
pub(crate) mod rows;
pub(crate) mod suggest;
mod table;

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use serde::{Serialize, Serializer};

use crate::exit::{Answer, Failure, Outcome, OutputError};

pub(crate) use log::{Fields, Level, LogArgs, event, fields, is_live, tell};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();

/// Standard output for text; colors are left out where they are not wanted.
pub(crate) struct Output(Stdout);

type Stdout = BufWriter<AutoStream<StdoutLock<'static>>>;

pub(crate) fn stdout() -> Output {
    Output(BufWriter::new(AutoStream::auto(io::stdout().lock())))
}

impl Output {
    /// What `write!` and `writeln!` call.
    pub(crate) fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), OutputError> {
        self.0.write_fmt(text).map_err(OutputError)
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.0.write_all(bytes).map_err(OutputError)
    }

    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.0.flush().map_err(OutputError)
    }

    /// Lets something that is printed elsewhere too write here.
    pub(crate) fn print(
        &mut self,
        print: impl FnOnce(&mut Stdout) -> io::Result<()>,
    ) -> Result<(), OutputError> {
        print(&mut self.0).map_err(OutputError)
    }
}

/// Writes one JSON document and a line end to standard output, as it is made.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, document).map_err(io::Error::from);
    let written = written
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush());
    Ok(written.map_err(OutputError)?)
}

/// Writes `rows` as one JSON list and a line end to standard output, each as it comes.
pub(crate) fn json_list(rows: impl Iterator<Item: Serialize>) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let written = serde_json::Serializer::pretty(&mut out).collect_seq(rows);
    let written = written.map_err(io::Error::from);
    let written = written
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush());
    Ok(written.map_err(OutputError)?)
}

/// Prints what the parser of the arguments answers: help and version as data, all else as an
/// error.
pub(crate) fn usage(answer: &clap::Error) -> Outcome {
    if answer.use_stderr() {
        // There is nobody left to tell when standard error is gone.
        let _ = answer.print();
        return Ok(Answer::Incomplete);
    }
    // The parser's own way to print keeps quiet about a full disk.
    let mut out = stdout();
    write!(out, "{}", answer.render().ansi())?;
    out.flush()?;
    Ok(Answer::Yes)
}

/// `text` in `style`.
pub(crate) fn styled(style: Style, text: impl fmt::Display) -> impl fmt::Display {
    struct Styled<T>(Style, T);
    impl<T: fmt::Display> fmt::Display for Styled<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}{}{:#}", self.0, self.1, self.0)
        }
    }
    Styled(style, text)
}

/// `3 images`, `1 image`.
pub(crate) fn noun(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// Tells on standard error why the command failed.
pub(crate) fn error(message: &str) {
    tell(Level::Error, "message", message, Fields::new());
}

/// Tells something doubtful on standard error.
pub(crate) fn warning(message: &str) {
    tell(Level::Warning, "message", message, Fields::new());
}

/// Tells something worth knowing on standard error.
pub(crate) fn note(message: &str) {
    tell(Level::Info, "message", message, Fields::new());
}

/// Asks on the terminal whether to do something; without one, nobody can say yes.
pub(crate) fn confirm(what: &str) -> Result<bool, Failure> {
    use std::io::IsTerminal;
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!(
            "cannot ask whether to {what}, because standard input is not a terminal: pass --yes"
        )));
    }
    let _ = write!(anstream::stderr(), "Really {what}? [y/N] ");
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
