//! The folder a runner works in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::store::Store;
use crate::tool::ProcessGroup;

/// Folders of runs of the cycle that goes on.
pub(super) const RUNS: &str = "runs";
/// What patchers said they fixed, kept as long as the run.
pub(super) const VEX: &str = "vex";
/// The note of the process group in a folder of a run.
pub(super) const PROCESS: &str = "process.json";

/// Beside the state file, a folder for each workflow.
pub(super) fn beside(store: &Store, key: &str) -> PathBuf {
    let name: String = key
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let mut path = store.path().as_os_str().to_owned();
    path.push("-work");
    Path::new(&path).join(name)
}

/// Ends the tools that a crash left running; how many there were.
pub(super) fn end_leftover_tools(folder: &Path) -> usize {
    let runs = fs::read_dir(folder.join(RUNS))
        .into_iter()
        .flatten()
        .flatten();
    runs.filter_map(|run| fs::read(run.path().join(PROCESS)).ok())
        .filter_map(|text| serde_json::from_slice::<ProcessGroup>(&text).ok())
        .filter(ProcessGroup::end_leftover)
        .count()
}

/// Removes what only the runs of a cycle needed. What cannot be removed is in nobody's way.
pub(super) fn remove_runs(folder: &Path) {
    let _ = fs::remove_dir_all(folder.join(RUNS));
}

/// Removes documents of runs that are forgotten.
pub(super) fn prune_vex(folder: &Path, is_known: impl Fn(&str) -> bool) {
    let kept = fs::read_dir(folder.join(VEX))
        .into_iter()
        .flatten()
        .flatten();
    for document in kept {
        let path = document.path();
        let run = path.file_stem().and_then(|stem| stem.to_str());
        if run.is_some_and(|run| !is_known(run)) {
            let _ = fs::remove_file(&path);
        }
    }
}
