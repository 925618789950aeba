//! The script of the Kubernetes job, in three plain processes with an index.

use std::fs;
use std::process::Stdio;

use crate::scenario::Scenario;

/// The script of the container.
fn script(manifest: &str) -> String {
    let (_, rest) = manifest.split_once("args:\n                - |\n").unwrap();
    let (script, _) = rest.split_once("              env:\n").unwrap();
    script
        .lines()
        .map(|line| {
            line.strip_prefix("                  ")
                .unwrap_or(line)
                .to_owned()
                + "\n"
        })
        .collect()
}

#[test]
fn three_processes_with_an_index_run_cycles() {
    let Some(scenario) = Scenario::new("kubernetes", &["sh"]) else {
        return;
    };
    let manifest = fs::read_to_string(scenario.project.join("cssc-cronjob.yaml")).unwrap();
    let script = script(&manifest);
    let folder = scenario.bench.folder.path();
    let mut job = 0;
    scenario.play(|| {
        job += 1;
        let workers = ["0", "1", "2"].map(|index| {
            scenario
                .command("sh")
                .args(["-eu", "-c", &script])
                .env("REGISTRY", scenario.bench.registry.host())
                .env("SHARDS", "3")
                .env("CYCLES", folder.join("cycles"))
                .env("JOB", format!("continuous-patching-{job}"))
                .env("JOB_COMPLETION_INDEX", index)
                .env(
                    "TRIVY_CACHE_DIR",
                    folder.join(format!("trivy-{job}-{index}")),
                )
                // How long the first waits for one that was killed.
                .env("PATIENCE", "12")
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        workers.map(|mut worker| worker.wait().unwrap().success()) == [true; 3]
    });
}
