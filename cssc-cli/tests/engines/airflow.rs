//! Airflow, by its own scheduler.

use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::scenario::Scenario;

/// How long the scheduler may take to start, and a cycle to end.
const PATIENCE: Duration = Duration::from_secs(180);

/// The scheduler and what it needs, until the test ends.
struct Scheduler<'a> {
    scenario: &'a Scenario,
    process: Child,
}

impl<'a> Scheduler<'a> {
    fn command(scenario: &Scenario, words: &str) -> Command {
        let folder = scenario.bench.folder.path();
        let mut command = scenario.command("airflow");
        command
            .args(words.split(' '))
            .env("AIRFLOW_HOME", folder.join("airflow"))
            .env("AIRFLOW__CORE__DAGS_FOLDER", scenario.project.join("dags"))
            .env("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
            .env("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
            .env("AIRFLOW__API__HOST", "127.0.0.1")
            .env("AIRFLOW__API__PORT", "8797")
            .env(
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
                "http://127.0.0.1:8797/execution/",
            )
            .env("CSSC_CYCLES", folder.join("cycles"))
            .env(
                "AIRFLOW_CONN_CSSC_REGISTRY",
                r#"{"conn_type": "generic", "login": "me", "password": "secret"}"#,
            );
        command
    }

    fn start(scenario: &'a Scenario) -> Self {
        use std::os::unix::process::CommandExt as _;

        let log = fs::File::create(scenario.bench.folder.path().join("airflow.log")).unwrap();
        let process = Self::command(scenario, "standalone")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        Self { scenario, process }
    }

    fn says(&self, words: &str) -> String {
        let said = Self::command(self.scenario, words).output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// The first run is the scheduler's own, of the time that has come; others are asked for. Whether it
    /// succeeded.
    fn run(&self, turn: u32) -> bool {
        let begin = Instant::now();
        let words = match turn {
            1 => "dags unpause continuous_patching --yes".to_owned(),
            turn => format!("dags trigger continuous_patching --run-id turn-{turn}"),
        };
        let is_it = |run: &&serde_json::Value| {
            let name = run["run_id"].as_str().unwrap_or_default();
            match turn {
                1 => name.starts_with("scheduled__"),
                turn => name == format!("turn-{turn}"),
            }
        };
        // It is known once the files were read.
        while !self.says("dags list").contains("continuous_patching") {
            self.waited(begin, "the DAG is known");
        }
        self.says(&words);
        loop {
            let runs = self.says("dags list-runs continuous_patching --output json");
            // Warnings stand before it.
            let runs = runs
                .lines()
                .find(|line| line.starts_with("[{"))
                .unwrap_or("[]");
            let runs: serde_json::Value = serde_json::from_str(runs).unwrap_or_default();
            let state = runs.as_array().into_iter().flatten().find(is_it);
            match state.and_then(|run| run["state"].as_str()) {
                Some("success") => return true,
                Some("failed") => return false,
                _ => self.waited(begin, "the run has ended"),
            }
        }
    }

    fn waited(&self, begin: Instant, what: &str) {
        if begin.elapsed() > PATIENCE {
            let log = self.scenario.bench.folder.path().join("airflow.log");
            eprintln!("{}", fs::read_to_string(log).unwrap());
            unreachable!("waited in vain until {what}");
        }
        thread::sleep(Duration::from_millis(500));
    }
}

impl Drop for Scheduler<'_> {
    fn drop(&mut self) {
        // With all that it has started.
        let group = format!("-{}", self.process.id());
        let kill = |signal| {
            Command::new("kill")
                .args(["-s", signal, "--", &group])
                .status()
        };
        let _ = kill("TERM");
        thread::sleep(Duration::from_secs(2));
        let _ = kill("KILL");
        let _ = self.process.wait();
    }
}

#[test]
fn airflow_runs_cycles() {
    let Some(scenario) = Scenario::new("airflow", &["airflow"]) else {
        return;
    };
    // It would wait five minutes before it starts a shard again.
    let dag = scenario.project.join("dags/cssc.py");
    let text = fs::read_to_string(&dag).unwrap();
    assert!(text.contains("retries=2,"));
    fs::write(&dag, text.replace("retries=2,", "retries=0,")).unwrap();
    let scheduler = Scheduler::start(&scenario);
    let mut turn = 0;
    scenario.play(|| {
        turn += 1;
        scheduler.run(turn)
    });
}
