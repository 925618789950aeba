//! Runs the console sessions of the README, the book and `cases/`, and compares what they print.
//!
//! A session is a code block marked `console`. Each line that begins with `$ ` is a command for
//! `sh`; the lines up to the next one are what it must print, standard error included.
//! `$ echo $?` tells the exit code of the command before. The sessions of a file share a fresh
//! folder that holds a copy of the book's examples. `CSSC_BLESS=1 cargo test -p cssc-cli --test
//! transcripts` writes what was printed into the files.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    fn run(&mut self, command: &str) -> String {
        let binary = Path::new(env!("CARGO_BIN_EXE_cssc"));
        let path = format!(
            "{}:{}",
            binary.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let command = command.replace("cargo run -q -p cssc-cli --", "cssc");
        let script = format!("exec 2>&1\n(exit {})\n{command}", self.exit_code);
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("NO_COLOR", "1")
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env_remove("CLICOLOR_FORCE")
            .output()
            .unwrap();
        self.exit_code = output.status.code().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The file with what its commands print now.
fn replay(text: &str) -> String {
    let mut shell = Shell::new();
    let mut replayed = String::new();
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
            writeln!(replayed, "{line}").unwrap();
            while command.ends_with('\\')
                && let Some(next) = lines.next()
            {
                command.push('\n');
                command.push_str(next);
                writeln!(replayed, "{next}").unwrap();
            }
            let printed = shell.run(&command);
            replayed.push_str(&printed);
            if !printed.is_empty() && !printed.ends_with('\n') {
                replayed.push('\n');
            }
        }
    }
    replayed
}

fn check(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let replayed = replay(&text);
    if replayed == text {
        return;
    }
    if std::env::var_os("CSSC_BLESS").is_some() {
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
        line(&text),
        line(&replayed)
    );
}

fn check_all(folder: &Path) {
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
    check(&root().join("README.md"));
}

#[test]
fn the_book() {
    check_all(&root().join("docs/src"));
}

#[test]
fn the_cases() {
    check_all(&root().join("cssc-cli/tests/cases"));
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
        let help = shell.run(&format!("{command} --help"));
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

/// The book's table of diagnostics is the core's.
#[test]
fn the_book_has_every_code() {
    let chapter = fs::read_to_string(root().join("docs/src/policy.md")).unwrap();
    for code in cssc_core::Code::ALL {
        let row = format!("| `{code}` | {} | {} |\n", code.severity(), code.meaning());
        assert!(
            chapter.contains(&row),
            "docs/src/policy.md lacks this row:\n{row}"
        );
    }
}
