//! Airflow, by its own scheduler.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::scenario::Scenario;

/// How long the scheduler may take to start, and a cycle to end.
const PATIENCE: Duration = Duration::from_secs(180);

/// The scheduler and what it needs, until the test ends.
struct Scheduler<'a> {
    scenario: &'a Scenario,
    processes: Vec<Child>,
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
            .env("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
            .env("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
            .env(
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
                "http://127.0.0.1:8793/execution/",
            )
            .env(
                "AIRFLOW__API_AUTH__JWT_SECRET",
                "a-secret-of-this-test-that-is-long-enough-for-hs512-0123456789",
            )
            .env("AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL", "5")
            .env("CSSC_CYCLES", folder.join("cycles"))
            .env("NO_PROXY", "127.0.0.1,localhost");
        command
    }

    fn start(scenario: &'a Scenario) -> Self {
        let migrated = Self::command(scenario, "db migrate").output().unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        let log = |name: &str| fs::File::create(scenario.bench.folder.path().join(name)).unwrap();
        let processes = [
            "api-server --host 127.0.0.1 --port 8793 --workers 1",
            "scheduler",
            "dag-processor",
        ]
        .map(|words| {
            Self::command(scenario, words)
                .stdout(Stdio::null())
                .stderr(log(&format!(
                    "airflow-{}",
                    words.split(' ').next().unwrap()
                )))
                .spawn()
                .unwrap()
        });
        Self {
            scenario,
            processes: processes.into(),
        }
    }

    fn says(&self, words: &str) -> String {
        let said = Self::command(self.scenario, words).output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// Starts a run of the DAG, and waits for its end: whether it succeeded.
    fn run(&self, name: &str) -> bool {
        let begin = Instant::now();
        let trigger = format!("dags trigger continuous_patching --run-id {name}");
        while !Self::command(self.scenario, &trigger)
            .output()
            .unwrap()
            .status
            .success()
        {
            self.waited(begin, "the DAG is known");
        }
        Self::command(self.scenario, "dags unpause continuous_patching --yes")
            .output()
            .unwrap();
        loop {
            let runs = self.says("dags list-runs continuous_patching --output json");
            let runs = runs.find('[').map_or("[]", |at| &runs[at..]);
            let runs: serde_json::Value = serde_json::from_str(runs).unwrap_or_default();
            let mut runs = runs.as_array().into_iter().flatten();
            let state = runs
                .find(|run| run["run_id"] == name)
                .map(|run| run["state"].clone());
            match state.as_ref().and_then(|state| state.as_str()) {
                Some("success") => return true,
                Some("failed") => return false,
                _ => self.waited(begin, "the run has ended"),
            }
        }
    }

    fn waited(&self, begin: Instant, what: &str) {
        if begin.elapsed() > PATIENCE {
            for entry in fs::read_dir(self.scenario.bench.folder.path())
                .unwrap()
                .flatten()
            {
                if entry.file_name().to_string_lossy().starts_with("airflow-") {
                    let text = fs::read(entry.path()).unwrap();
                    let _ = std::io::stderr().write_all(&text);
                }
            }
            unreachable!("waited in vain until {what}");
        }
        thread::sleep(Duration::from_millis(500));
    }
}

impl Drop for Scheduler<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let id = process.id().to_string();
            let _ = Command::new("kill").args(["-s", "TERM", &id]).status();
        }
        for process in &mut self.processes {
            let _ = process.wait();
        }
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
        scheduler.run(&format!("turn-{turn}"))
    });
}
