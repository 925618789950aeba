//! What is kept, attached and published names no relay.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::place::Place;
use crate::support::{DockerRegistry, Setup};

#[test]
fn nothing_that_copa_leaves_names_the_relay() {
    names_no_relay("--patcher copa");
}

#[test]
fn nothing_that_buildah_leaves_names_the_relay() {
    names_no_relay("--patcher buildah --buildah-isolation chroot");
}

fn names_no_relay(options: &str) {
    let Some(mut place) = Place::get() else {
        return;
    };
    let registry = DockerRegistry::start(Setup::default());
    let from = format!("{}/debian:12-multi", place.registry);
    place.registry = registry.host();
    place.copy_from(&from, "debian:12");
    place.policy("debian", &["12"]);
    let candidate = place.folder.path().join("candidate");
    let test = place.folder.path().join("test");
    let script = format!(
        "#!/bin/sh\necho \"$CSSC_CANDIDATE\" >>{}\n",
        candidate.display()
    );
    fs::write(&test, script).unwrap();
    fs::set_permissions(&test, fs::Permissions::from_mode(0o755)).unwrap();
    let options = format!(
        "{options} --attach always --record --test-command {}",
        test.display()
    );
    let said = place.cycle(&options, &[]);
    assert_eq!(place.rows()[0]["outcome"], "patched");

    let candidates = fs::read_to_string(&candidate).unwrap();
    let relay = candidates.split('/').next().unwrap().to_owned();
    let port = relay.strip_prefix("127.0.0.1:").unwrap();
    assert_ne!(format!("localhost:{port}"), place.registry);
    let search = Search::new(port);
    fs::remove_file(candidate).unwrap();

    search.text("what it said", &said.stdout);
    search.text("what it said", &said.stderr);
    search.outputs(&place);
    let in_registry = search.files(&registry.storage());
    assert!(in_registry > 20, "{in_registry} files");
    assert!(search.files(place.folder.path()) > 0);
}

/// A file of the names that the relay may have.
struct Search(tempfile::NamedTempFile);

impl Search {
    fn new(port: &str) -> Self {
        let between = [":", "%3A", "%3a", "\\u003a", "_"];
        let names = between.map(|between| format!("127.0.0.1{between}{port}\n"));
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), names.concat()).unwrap();
        Self(file)
    }

    fn text(&self, what: &str, text: &[u8]) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        self.file(what, file.path());
    }

    /// A file, and what is compressed in it.
    fn file(&self, what: &str, path: &Path) {
        let found = Command::new("zgrep")
            .args(["--text", "--fixed-strings", "--max-count=1", "--file"])
            .args([self.0.path(), path])
            .output()
            .unwrap();
        let line = String::from_utf8_lossy(&found.stdout);
        assert_eq!(line, "", "{what} names the relay");
        // Nothing is found, and nothing goes wrong.
        assert_eq!(found.status.code(), Some(1), "{what}: {found:?}");
    }

    /// Every file below a folder; how many there are.
    fn files(&self, folder: &Path) -> usize {
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                count += self.files(&path);
            } else {
                count += 1;
                self.file(&path.display().to_string(), &path);
            }
        }
        count
    }

    /// What the commands print: lists, reports, logs.
    fn outputs(&self, place: &Place) {
        let mut commands: Vec<String> = ["table", "json", "tsv"]
            .iter()
            .map(|format| format!("workflow list -o {format}"))
            .collect();
        commands.extend(
            ["json", "markdown", "html", "junit", "sarif"]
                .iter()
                .map(|format| format!("workflow report -o {format}")),
        );
        let rows = place.rows();
        for (name, value) in rows[0].as_object().unwrap() {
            if let (true, Some(run)) = (name.ends_with("RunId"), value.as_str()) {
                commands.push(format!("task logs --run-id {run}"));
            }
        }
        assert!(commands.iter().any(|command| command.contains("task logs")));
        for command in commands {
            let mut cssc = place.command("cssc");
            cssc.args(command.split(' ')).args(["-r", &place.registry]);
            let output = cssc.output().unwrap();
            self.text(&command, &output.stdout);
            self.text(&command, &output.stderr);
        }
    }
}
