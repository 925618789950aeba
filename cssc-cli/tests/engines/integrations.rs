//! The action for GitHub and the hook for pre-commit, as a project would use them.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::scenario::Scenario;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Has `act` run a workflow with one step, which uses the action.
fn act(scenario: &Scenario, inputs: &str) -> Output {
    let project = &scenario.project;
    fs::copy(root().join("action.yml"), project.join("action.yml")).unwrap();
    let workflow = format!(
        "on: pull_request\njobs:\n  policy:\n    runs-on: ubuntu-latest\n    steps:\n      \
         - uses: actions/checkout@v4\n      - uses: ./\n        with:\n{inputs}"
    );
    fs::write(project.join("check.yml"), workflow).unwrap();
    scenario
        .command("act")
        .args(["pull_request", "--workflows", "check.yml"])
        .args(["--platform", "ubuntu-latest=-self-hosted"])
        .env("XDG_CACHE_HOME", scenario.bench.folder.path().join("cache"))
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_action_checks_a_policy_and_runs_a_cycle() {
    let Some(scenario) = Scenario::new("github", &["act", "git"]) else {
        return;
    };
    let host = scenario.bench.registry.host();
    let policy = scenario.project.join("continuouspatching.json");
    fs::copy(scenario.bench.policy(&["python"]), &policy).unwrap();
    let registry = format!("          registry: {host}\n");
    let said = act(&scenario, &registry);
    assert!(said.status.success(), "{}", text(&said));
    let shown = text(&said);
    assert!(
        shown.contains("### What `continuouspatching.json` selects"),
        "{shown}"
    );
    assert!(shown.contains("python") && shown.contains("1-1"), "{shown}");

    let cycle = format!(
        "{registry}          run: cycle\n          options: |\n            --pause\n            1s\n"
    );
    let said = act(&scenario, &cycle);
    assert!(said.status.success(), "{}", text(&said));
    assert!(
        text(&said).contains("| python:1 | python:1-1 | 1 | 0 |"),
        "{}",
        text(&said)
    );
    scenario.bench.has_tags("python", &["1", "1-1"]);

    fs::write(
        &policy,
        r#"{"version": "v1", "repositories": [{"repository": "python", "tags": ["3.9-1"]}]}"#,
    )
    .unwrap();
    let said = act(&scenario, &registry);
    assert!(!said.status.success());
    let shown = text(&said);
    assert!(
        shown.contains("::error file=continuouspatching.json,line=1"),
        "{shown}"
    );
    let said = act(&scenario, "          run: patch\n");
    assert!(!said.status.success() && text(&said).contains("must be `check` or `cycle`"));
}

#[test]
fn the_hook_checks_a_policy_before_it_is_committed() {
    let Some(scenario) = Scenario::new("github", &["pre-commit", "git"]) else {
        return;
    };
    let policy = scenario.project.join("continuouspatching.json");
    let git = |words: &str| {
        let done = scenario
            .command("git")
            .args(words.split(' '))
            .output()
            .unwrap();
        assert!(done.status.success(), "git {words}: {done:?}");
    };
    fs::copy(scenario.bench.policy(&["python"]), &policy).unwrap();
    git("init --quiet");
    git("add --all");
    let hook = || {
        scenario
            .command("pre-commit")
            .args(["try-repo"])
            .arg(root())
            .args(["cssc-config-check", "--all-files", "--verbose"])
            .env(
                "PRE_COMMIT_HOME",
                scenario.bench.folder.path().join("pre-commit"),
            )
            .output()
            .unwrap()
    };
    let said = hook();
    assert!(said.status.success(), "{said:?}");
    assert!(text(&said).contains("Passed"), "{said:?}");
    fs::write(&policy, "{\"version\": \"v1\",}").unwrap();
    git("add --all");
    let said = hook();
    assert!(!said.status.success());
    assert!(text(&said).contains("comma"), "{said:?}");
}
