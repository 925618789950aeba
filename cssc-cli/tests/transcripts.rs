//! Runs the console sessions of the README, the book and `cases/`, and compares what they print.
//!
//! A session is a code block marked `console`. Each line that begins with `$ ` is a command for
//! `sh`; the lines up to the next one are what it must print, in the order in which it does.
//! `$ echo $?` tells the exit code of the command before. The sessions of a file share a fresh
//! folder that holds a copy of the book's examples.
//!
//! Both streams are held apart. In `cases/` a line of standard error begins with `2> `. README and
//! book show what a person sees; what of it was standard error is in `stderr/`, a file for each
//! page. `CSSC_BLESS=1 cargo test -p cssc-cli --test transcripts` writes what was printed into
//! the files.
//!
//! Options that many commands share are shown once on a page, and then named.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The folder of a file's sessions, and the state they share.
struct Shell {
    folder: tempfile::TempDir,
    exit_code: i32,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for example in fs::read_dir(root().join("docs/examples")).unwrap() {
            let example = example.unwrap();
            if example.path().is_file() {
                fs::copy(example.path(), folder.path().join(example.file_name())).unwrap();
            }
        }
        // The README speaks from the top of the repository.
        fs::create_dir(folder.path().join("docs")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("..", folder.path().join("docs/examples")).unwrap();
        Self {
            folder,
            exit_code: 0,
        }
    }

    fn run(&mut self, command: &str) -> Printed {
        let binary = Path::new(env!("CARGO_BIN_EXE_cssc"));
        let path = format!(
            "{}:{}",
            binary.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let command = command.replace("cargo run -q -p cssc-cli --", "cssc");
        let script = format!("(exit {})\n{command}", self.exit_code);
        // Of datagrams the receiver learns both the order and the sender, which no pipe tells.
        let sockets = tempfile::tempdir().unwrap();
        let receiver = UnixDatagram::bind(sockets.path().join("in")).unwrap();
        let sender = |name: &str| {
            let sender = UnixDatagram::bind(sockets.path().join(name)).unwrap();
            sender.connect(sockets.path().join("in")).unwrap();
            OwnedFd::from(sender)
        };
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("NO_COLOR", "1")
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env_remove("CLICOLOR_FORCE")
            .stdout(sender("out"))
            .stderr(sender("err"))
            .spawn()
            .unwrap();
        let mut printed = Printed::default();
        let mut buffer = vec![0; 1 << 20];
        let mut status = None;
        receiver
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        loop {
            match receiver.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let is_error = from.as_pathname().unwrap().ends_with("err");
                    printed.push(is_error, buffer.get(..length).unwrap());
                }
                // Nothing is left that was written before the end.
                Err(_) if status.is_some() => break,
                Err(_) => status = child.try_wait().unwrap(),
            }
        }
        self.exit_code = status.unwrap().code().unwrap();
        printed
    }
}

/// What a command printed: pieces in order, each with whether it is standard error.
#[derive(Default)]
struct Printed(Vec<(bool, Vec<u8>)>);

impl Printed {
    fn push(&mut self, is_error: bool, bytes: &[u8]) {
        match self.0.last_mut() {
            Some((last, text)) if *last == is_error => text.extend_from_slice(bytes),
            _ => self.0.push((is_error, bytes.to_vec())),
        }
    }

    /// What `select` takes, as whole lines, those of standard error behind `mark`.
    fn lines(&self, mark: &str, select: impl Fn(bool) -> bool) -> String {
        let mut lines = String::new();
        for (is_error, text) in self.0.iter().filter(|(is_error, _)| select(*is_error)) {
            let mark = if *is_error { mark } else { "" };
            for line in std::str::from_utf8(text).unwrap().lines() {
                let line = format!("{mark}{line}");
                writeln!(
                    lines,
                    "{}",
                    if mark.is_empty() {
                        &line
                    } else {
                        line.trim_end()
                    }
                )
                .unwrap();
            }
        }
        lines
    }

    fn stdout(&self) -> String {
        self.lines("", |is_error| !is_error)
    }
}

/// The file with what its commands print now, standard error behind `mark`; and every command
/// that printed to standard error, with what that was.
fn replay(text: &str, mark: &str) -> (String, String) {
    let mut shell = Shell::new();
    let mut replayed = String::new();
    let mut errors = String::new();
    let mut shown = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(replayed, "{line}").unwrap();
        if line != "```console" {
            continue;
        }
        while let Some(line) = lines.next_if(|line| *line != "```") {
            let Some(command) = line.strip_prefix("$ ") else {
                continue;
            };
            let mut command = command.to_owned();
            while command.ends_with('\\')
                && let Some(next) = lines.next()
            {
                command.push('\n');
                command.push_str(next);
            }
            writeln!(replayed, "$ {command}").unwrap();
            let printed = shell.run(&command);
            replayed.push_str(&once(&printed.lines(mark, |_| true), &mut shown));
            let error = printed.lines("", |is_error| is_error);
            if !error.is_empty() {
                write!(errors, "$ {command}\n{error}").unwrap();
            }
        }
    }
    (replayed, errors)
}

/// What was printed, but for the options of a help that are `shown` on the page already.
fn once(printed: &str, shown: &mut BTreeSet<String>) -> String {
    let mut text = String::new();
    let sections = printed.split_inclusive("\n\n").collect::<Vec<_>>();
    let is_heading = |section: &str| {
        let line = section.lines().next().unwrap_or_default();
        !line.starts_with(' ') && line.ends_with("options:")
    };
    let mut at = sections.into_iter().peekable();
    while let Some(section) = at.next() {
        if !is_heading(section) {
            text.push_str(section);
            continue;
        }
        let mut all = section.to_owned();
        while let Some(more) = at.next_if(|next| next.starts_with("  ")) {
            all.push_str(more);
        }
        let name = section.lines().next().unwrap();
        if shown.insert(all.trim_end().to_owned()) {
            text.push_str(&all);
        } else {
            let end = if all.ends_with("\n\n") { "\n\n" } else { "\n" };
            write!(text, "{name} …{end}").unwrap();
        }
    }
    text
}

/// Compares a page, which shows both streams alike, and what of it is standard error.
fn check_page(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let (replayed, errors) = replay(&text, "");
    compare(path, &text, &replayed);
    let name = path.with_extension("txt");
    let path = root()
        .join("cssc-cli/tests/stderr")
        .join(name.file_name().unwrap());
    let expected = fs::read_to_string(&path).unwrap_or_default();
    compare(&path, &expected, &errors);
}

/// Compares a file of cases, which marks standard error.
fn check_cases(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    compare(path, &text, &replay(&text, "2> ").0);
}

fn compare(path: &Path, text: &str, replayed: &str) {
    if replayed == text {
        return;
    }
    if std::env::var_os("CSSC_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, replayed).unwrap();
        return;
    }
    let differs = text.lines().zip(replayed.lines()).position(|(a, b)| a != b);
    let at = differs.unwrap_or_else(|| text.lines().count().min(replayed.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
    panic!(
        "{}:{}: the session printed something else\n expected: {}\n  printed: {}\n\
         CSSC_BLESS=1 writes what is printed now into the file",
        path.display(),
        at.saturating_add(1),
        line(text),
        line(replayed)
    );
}

fn check_all(folder: &Path, check: impl Fn(&Path)) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no sessions in {}", folder.display());
    for path in paths {
        check(&path);
    }
}

#[test]
fn the_readme() {
    check_page(&root().join("README.md"));
}

#[test]
fn the_book() {
    check_all(&root().join("docs/src"), check_page);
}

#[test]
fn the_cases() {
    check_all(&root().join("cssc-cli/tests/cases"), check_cases);
}

/// Data and everything else go to streams of their own.
#[test]
fn the_streams_are_held_apart() {
    let printed = Shell::new().run("echo data; echo note >&2; echo more");
    assert_eq!(printed.lines("2> ", |_| true), "data\n2> note\nmore\n");
    assert_eq!(printed.stdout(), "data\nmore\n");
}

/// Every command is in the reference, with its help.
#[test]
fn the_reference_has_every_command() {
    let reference = fs::read_to_string(root().join("docs/src/cli.md")).unwrap();
    let mut shell = Shell::new();
    let mut commands = vec!["cssc".to_owned()];
    while let Some(command) = commands.pop() {
        assert!(
            reference.contains(&format!("$ {command} --help\n")),
            "docs/src/cli.md lacks `$ {command} --help`"
        );
        let help = shell.run(&format!("{command} --help")).stdout();
        let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
        commands.extend(
            listed
                .lines()
                .take_while(|line| line.starts_with("  "))
                .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
                .filter(|name| !name.is_empty() && *name != "help")
                .map(|name| format!("{command} {name}")),
        );
    }
}

/// What the page on troubleshooting quotes is what the code says.
#[test]
fn every_message_of_troubleshooting_is_one() {
    let mut code = String::new();
    for folder in [
        "cssc-core/src",
        "cssc-registry/src",
        "cssc-engine/src",
        "cssc-cli/src",
    ] {
        gather(&root().join(folder), &mut code);
    }
    // A literal that goes on in the next line is one.
    let code = unbroken(&code);
    let page = fs::read_to_string(root().join("docs/src/troubleshooting.md")).unwrap();
    let messages: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect();
    assert!(messages.len() > 15, "{messages:?}");
    for message in messages {
        for part in message.split('…').map(str::trim) {
            assert!(code.contains(part), "nothing says `{part}`");
        }
    }
}

/// Adds all code below a folder.
fn gather(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Code with its literals unbroken: those that go on in the next line are joined.
fn unbroken(code: &str) -> String {
    let mut joined = String::with_capacity(code.len());
    let mut goes_on = false;
    for line in code.lines() {
        let line = if goes_on { line.trim_start() } else { line };
        goes_on = line.ends_with('\\');
        joined.push_str(line.trim_end_matches('\\'));
        if !goes_on {
            joined.push('\n');
        }
    }
    joined
}

/// The book's table of diagnostics is the core's.
#[test]
fn the_book_has_every_code() {
    let chapter = fs::read_to_string(root().join("docs/src/policy.md")).unwrap();
    for code in cssc_core::policy::DiagnosticCode::ALL {
        let row = format!("| `{code}` | {} | {} |\n", code.severity(), code.meaning());
        assert!(
            chapter.contains(&row),
            "docs/src/policy.md lacks this row:\n{row}"
        );
    }
}
