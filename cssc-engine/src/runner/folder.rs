//! The folder a runner works in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cssc_core::cycle::RunId;

use super::Runner;
use crate::private;
use crate::relay::RelayOnDemand;
use crate::state::{State, StateError, abandoned_folders};
use crate::tool::ProcessGroup;
use crate::tool::mounts::unmount_below;

/// Folders of runs of the cycle that goes on.
const RUNS: &str = "runs";
/// Scan reports of the cycle that goes on.
const REPORTS: &str = "reports";
/// Caches of tools.
const KEPT: &str = "cache";
/// What the relay keeps for the cycle that goes on.
const RELAY: &str = "relay";

/// The folder a runner works in: that of one workflow.
#[derive(Debug)]
pub(super) struct WorkFolder(PathBuf);

impl WorkFolder {
    /// Where the state keeps such files; nobody else can look into it.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be made, or belongs to another user.
    pub(super) fn of_state(state: &dyn State, key: &str) -> Result<Self, StateError> {
        let name: String = key
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let path = state.work_folder()?;
        make_private(&path)?;
        remove_abandoned();
        Ok(Self(path.join(name)))
    }

    pub(super) fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// For files of a run alone.
    pub(super) fn of_run(&self, run: &RunId) -> PathBuf {
        self.0.join(RUNS).join(run.to_string())
    }

    /// For caches: it stays when a cycle has ended.
    pub(super) fn kept(&self) -> PathBuf {
        self.0.join(KEPT)
    }

    pub(super) fn reports(&self) -> PathBuf {
        self.0.join(REPORTS)
    }

    /// The relay of a cycle, which keeps its content here.
    pub(super) fn relay(&self, runner: &Runner<'_>) -> RelayOnDemand {
        Self::relay_in(self.0.join(RELAY), runner)
    }

    /// A relay for one run alone, beside that of a cycle that may be running.
    pub(super) fn relay_of_run(&self, run: &RunId, runner: &Runner<'_>) -> RelayOnDemand {
        Self::relay_in(self.of_run(run).join(RELAY), runner)
    }

    fn relay_in(folder: PathBuf, runner: &Runner<'_>) -> RelayOnDemand {
        RelayOnDemand::new(
            folder,
            Arc::clone(runner.registry),
            runner.settings.relay.clone(),
            runner.tooling.cloned(),
        )
    }

    /// Ends the tools that a crash left running; how many there were.
    pub(super) fn end_leftover_tools(&self) -> usize {
        let runs = fs::read_dir(self.0.join(RUNS))
            .into_iter()
            .flatten()
            .flatten();
        runs.filter_map(|run| fs::read(run.path().join(ProcessGroup::NOTE)).ok())
            .filter_map(|text| serde_json::from_slice::<ProcessGroup>(&text).ok())
            .filter(ProcessGroup::end_leftover)
            .count()
    }

    /// Removes what only one run needed.
    pub(super) fn remove_run(&self, run: &RunId) {
        let _ = fs::remove_dir_all(self.of_run(run));
    }

    /// Removes what only the runs of a cycle needed. What cannot be removed is in nobody's way.
    pub(super) fn remove_runs(&self) {
        let runs = self.0.join(RUNS);
        unmount_below(&runs);
        let _ = fs::remove_dir_all(runs);
        let _ = fs::remove_dir_all(self.0.join(REPORTS));
        let _ = fs::remove_dir_all(self.0.join(RELAY));
    }
}

/// Removes what processes that were killed have left among the temporary files, and ends the tools
/// that they left running.
fn remove_abandoned() {
    for (folder, _lock) in abandoned_folders() {
        let workflows = fs::read_dir(&folder).into_iter().flatten().flatten();
        for workflow in workflows {
            WorkFolder(workflow.path()).end_leftover_tools();
        }
        unmount_below(&folder);
        let _ = fs::remove_dir_all(folder);
    }
}

/// Makes the folder for this user alone, and refuses one that somebody else has put there or may
/// look into.
fn make_private(path: &Path) -> Result<(), StateError> {
    // A failure is met again by whoever writes into it.
    let _ = private::make_folder(path);
    #[cfg(unix)]
    if let Ok(folder) = fs::symlink_metadata(path) {
        use std::os::unix::fs::MetadataExt as _;
        let mode = folder.mode() & 0o7777;
        if !private::is_own_folder(&folder) {
            return Err(StateError::foreign(path));
        }
        if mode & 0o077 != 0 {
            return Err(StateError::shared(path, mode));
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_folder_is_for_this_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state.db-work");
        make_private(&path).unwrap();
        make_private(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let text = format!(
            "other users can read or change `{}` (mode 0750): set its mode to 0700, or use a \
             state file in another folder",
            path.display()
        );
        assert_eq!(make_private(&path).unwrap_err().to_string(), text);

        let link = parent.path().join("link-work");
        std::os::unix::fs::symlink(parent.path(), &link).unwrap();
        let text = format!(
            "`{}` does not belong to this user: use a state file in your own folder",
            link.display()
        );
        assert_eq!(make_private(&link).unwrap_err().to_string(), text);

        // Only root can give a folder away.
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            let text = text.replace("link-work", "state.db-work");
            assert_eq!(make_private(&path).unwrap_err().to_string(), text);
        }
    }
}
