//! GitHub Actions, by `act`, with the exported file unchanged.

use std::fs;

use crate::scenario::Scenario;

/// Stand-ins for the actions that hand files on: on GitHub they talk to a service of it.
const UPLOAD: &str = r#"
name: upload
inputs:
  name: {required: true}
  path: {required: true}
  if-no-files-found: {default: warn}
  retention-days: {default: ""}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}
        FILES: ${{ inputs.path }}
      run: |
        mkdir -p "$ARTIFACTS/$NAME"
        while read -r file; do
          if [ -e "$file" ]; then cp -R "$file" "$ARTIFACTS/$NAME/"; fi
        done <<<"$FILES"
"#;
const DOWNLOAD: &str = r#"
name: download
inputs:
  name: {default: ""}
  pattern: {default: ""}
  path: {default: "."}
  merge-multiple: {default: "false"}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}${{ inputs.pattern }}
        TO: ${{ inputs.path }}
      run: |
        mkdir -p "$TO"
        for artifact in "$ARTIFACTS"/$NAME; do
          if [ -d "$artifact" ]; then cp -R "$artifact/." "$TO/"; fi
        done
"#;

#[test]
fn github_runs_cycles() {
    let Some(scenario) = Scenario::new("github", &["act", "git"]) else {
        return;
    };
    let folder = scenario.bench.folder.path();
    let artifacts = folder.join("artifacts");
    for (name, action) in [("upload", UPLOAD), ("download", DOWNLOAD)] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("action.yml"), action).unwrap();
    }
    let workflow = scenario.project.join(".github/workflows/cssc.yml");
    let text = fs::read_to_string(&workflow).unwrap();
    let pinned = |action: &str| {
        let mut words = text.split_whitespace();
        let found = words.find(|word| word.starts_with(action)).unwrap();
        found.to_owned()
    };
    let local = |action: &str, folder_name: &str| {
        format!("{}={}", pinned(action), folder.join(folder_name).display())
    };
    scenario.play(|| {
        let _ = fs::remove_dir_all(&artifacts);
        let said = scenario
            .command("act")
            .args(["schedule", "--workflows", ".github/workflows/cssc.yml"])
            .args(["--platform", "ubuntu-latest=-self-hosted"])
            .args([
                "--local-repository",
                &local("actions/upload-artifact", "upload"),
            ])
            .args([
                "--local-repository",
                &local("actions/download-artifact", "download"),
            ])
            .env("ARTIFACTS", &artifacts)
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        eprintln!("{text}{}", String::from_utf8_lossy(&said.stderr));
        assert!(text.contains("Plan the cycle"), "{text}");
        said.status.success()
    });
}
