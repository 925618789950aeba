//! Exported files and the engines' own checkers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, Utc};
use cssc_core::workflow::PatcherKind;
use cssc_core::{Dialect, Schedule};
use cssc_engine::export::{Engine, Export};

use crate::has_engines;

/// Exports of all kinds: with an image and without, with a guard and without, with options that a
/// shell or YAML would misread, and a registry with a namespace.
fn exports() -> Vec<Export> {
    let created: DateTime<Utc> = "2026-01-03T09:30:00Z".parse().unwrap();
    let mut exports = Vec::new();
    for (image, options, dialect) in [
        (None, vec![], Dialect::Documented),
        (
            Some("localhost:5000/tools/cssc:1"),
            vec!["--jobs", "2", "--test-command", "./it's: a #test $HOME"],
            Dialect::Documented,
        ),
        (Some("y:1"), vec![], Dialect::Service),
    ] {
        exports.push(Export {
            registry: "ghcr.io/acme".to_owned(),
            schedule: Schedule::new("7d".parse().unwrap(), created, dialect),
            shards: 200,
            image: image.map(str::to_owned),
            runner: "ubuntu-latest".to_owned(),
            patcher: PatcherKind::Copa,
            options: options.into_iter().map(str::to_owned).collect(),
            now: created,
        });
    }
    exports
}

/// The files of all exports for an engine.
fn files(folder: &Path, engine: Engine) -> Vec<PathBuf> {
    let mut written = Vec::new();
    for (place, export) in exports().into_iter().enumerate() {
        if export.image.is_none() && matches!(engine, Engine::Kubernetes | Engine::Argo) {
            continue;
        }
        for file in export.files(engine).unwrap() {
            let path = folder.join(place.to_string()).join(file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file.text).unwrap();
            written.push(path);
        }
    }
    written
}

#[track_caller]
fn checks(program: &str, words: &str, files: &[PathBuf]) {
    let words = words.split_whitespace();
    let said = Command::new(program)
        .args(words)
        .args(files)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{program}: {text}{errors}");
}

#[test]
fn github_takes_the_files() {
    if !has_engines(&["actionlint", "check-jsonschema", "zizmor"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path(), Engine::Github);
    // And those of this repository.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = fs::read_dir(root.join(".github/workflows")).unwrap();
    files.extend(own.map(|file| file.unwrap().path()));
    assert!(files.len() > 3, "{files:?}");
    checks("actionlint", "", &files);
    checks(
        "check-jsonschema",
        "--builtin-schema vendor.github-workflows",
        &files,
    );
    checks("zizmor", "--offline", &files);
    let action = [root.join("action.yml")];
    checks(
        "check-jsonschema",
        "--builtin-schema vendor.github-actions",
        &action,
    );
    checks("zizmor", "--offline", &action);
}

#[test]
fn gitlab_takes_the_files() {
    if !has_engines(&["check-jsonschema"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), Engine::Gitlab);
    checks(
        "check-jsonschema",
        "--builtin-schema vendor.gitlab-ci",
        &files,
    );
}

#[test]
fn kubernetes_takes_the_files() {
    if !has_engines(&["kubernetes-validate"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), Engine::Kubernetes);
    checks("kubernetes-validate", "--strict", &files);
}

#[test]
fn argo_takes_the_files() {
    if !has_engines(&["hera-python"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/check_argo.py");
    for file in files(folder.path(), Engine::Argo) {
        checks("hera-python", &script.display().to_string(), &[file]);
    }
}
