//! GitLab CI/CD, by `gitlab-ci-local`.

use crate::scenario::Scenario;

#[test]
fn gitlab_runs_cycles() {
    let Some(scenario) = Scenario::new("gitlab", &["gitlab-ci-local", "rsync", "git"]) else {
        return;
    };
    // It takes the files of a commit, and its name from where that was pushed to.
    for words in [
        "init --quiet",
        "add --all",
        "-c user.name=me -c user.email=me@localhost commit --quiet -m export",
        "remote add origin git@gitlab.com:acme/images.git",
    ] {
        let git = scenario.command("git").args(words.split(' ')).status();
        assert!(git.unwrap().success(), "git {words}");
    }
    let mut turn = 0;
    scenario.play(|| {
        turn += 1;
        let said = scenario
            .command("gitlab-ci-local")
            .args(["--force-shell-executor", "--shell-isolation"])
            .args(["--variable", "CI_PIPELINE_SOURCE=schedule"])
            .args(["--state-dir", &format!(".gitlab-ci-local-{turn}")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        eprintln!("{text}{}", String::from_utf8_lossy(&said.stderr));
        // It takes a child pipeline that fails for one that passes; GitLab does not.
        said.status.success() && !text.contains(" FAIL  ")
    });
}
