//! The whole workflow with Trivy and Buildah themselves, as the book's tutorial tells it.
//!
//! `cssc-engine/tests/real/with-image cargo test -p cssc-cli --test real`
//!
//! Without that environment the test says that it is skipped.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

struct Tutorial {
    folder: tempfile::TempDir,
    registry: String,
    image: String,
}

impl Tutorial {
    /// Runs one of the tutorial's commands; what it prints, and its exit code.
    fn cssc(&self, arguments: &str) -> (String, Option<i32>) {
        let chapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/tutorial.md");
        let shown = format!("\ncssc {arguments}\n");
        assert!(
            fs::read_to_string(chapter).unwrap().contains(&shown),
            "docs/src/tutorial.md does not show{shown}"
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_cssc"));
        command.current_dir(self.folder.path());
        command.args(
            arguments
                .replace("localhost:5000", &self.registry)
                .split(' '),
        );
        if arguments.contains("workflow run") || arguments.contains("--run-immediately") {
            command.args(["--trivy", &env::var("REAL_TRIVY").unwrap()]);
            for (option, args) in [
                ("--trivy-arg", env::var("REAL_TRIVY_ARGS").unwrap()),
                ("--patcher-arg", env::var("REAL_BUILDAH_ARGS").unwrap()),
            ] {
                command.args(args.split(' ').map(|arg| format!("{option}={arg}")));
            }
        }
        let output = command
            .env("XDG_STATE_HOME", self.folder.path())
            .output()
            .unwrap();
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        (
            String::from_utf8(output.stdout).unwrap(),
            output.status.code(),
        )
    }

    fn json(&self, arguments: &str) -> Value {
        let (json, code) = self.cssc(arguments);
        assert_eq!(code, Some(0));
        serde_json::from_str(&json).unwrap()
    }
}

#[test]
fn a_debian_image_is_patched_once_and_found_clean() {
    let Ok(registry) = env::var("REAL_REGISTRY") else {
        eprintln!("skipped: needs cssc-engine/tests/real/with-image");
        return;
    };
    let (repository, tag) = (env::var("REAL_REPOSITORY"), env::var("REAL_TAG"));
    let tutorial = Tutorial {
        folder: tempfile::tempdir().unwrap(),
        registry,
        image: format!("{}:{}", repository.unwrap(), tag.unwrap()),
    };
    assert_eq!(
        tutorial.image, "debian:12",
        "the tutorial speaks of this image"
    );
    let policy = r#"{"version": "v1", "repositories": [{"repository": "debian", "tags": ["12"]}]}"#;
    fs::write(tutorial.folder.path().join("policy.json"), policy).unwrap();

    let plan = tutorial.json("dry-run -r localhost:5000 --config policy.json -o json");
    assert_eq!(plan["images"][0]["patchTag"], "12-1");

    let (_, code) = tutorial.cssc(
        "workflow create -r localhost:5000 --config policy.json --schedule 7d --run-immediately \
         --patcher buildah --buildah-isolation chroot",
    );
    assert_eq!(code, Some(0));
    let rows = tutorial.json("workflow list -r localhost:5000 -o json");
    assert_eq!(rows[0]["scanStatus"], "Succeeded");
    assert_eq!(rows[0]["patchStatus"], "Succeeded");
    assert_eq!(rows[0]["patchedImage"], "debian:12-1");
    assert_eq!(
        tutorial.cssc("tags latest -r localhost:5000 debian:12"),
        ("12-1\n".to_owned(), Some(0))
    );

    // Now the patch is scanned, and there is nothing left to do.
    let (_, code) = tutorial
        .cssc("workflow run -r localhost:5000 --patcher buildah --buildah-isolation chroot");
    assert_eq!(code, Some(0));
    let rows = tutorial.json("workflow list -r localhost:5000 -o json");
    assert_eq!(rows[0]["patchStatus"], "Skipped");
    assert_eq!(rows[0]["reason"]["text"], "no fixable OS finding");
    let tags = tutorial.json("tags list -r localhost:5000 debian -o json");
    assert_eq!(tags[0]["patches"], serde_json::json!(["12-1"]));
    assert_eq!(
        tags.as_array().unwrap().len(),
        1,
        "a candidate was left behind"
    );

    let (_, code) = tutorial.cssc("workflow delete -r localhost:5000 --yes");
    assert_eq!(code, Some(0));
}
