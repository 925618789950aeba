//! The process group of a tool, also one that outlived the program that started it.

use std::process::Child;

use super::descendants;
use serde::{Deserialize, Serialize};

/// The process group of a tool that was started.
///
/// Stored with the run, it lets the next start of this program end a tool that a crash left
/// behind, before the same work begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessGroup {
    /// The number of the group and of the process that leads it.
    id: u32,
    /// When the leader began, in clock ticks since the machine was started: numbers are used
    /// again, the pair is not. Only known on Linux.
    born: Option<u64>,
    /// Tells its processes, also those that have left the group.
    mark: String,
}

impl ProcessGroup {
    /// The file in the folder of a run that the group of its tool is noted in.
    pub(crate) const NOTE: &str = "process.json";

    pub(super) fn of(child: &Child, mark: String) -> Self {
        let id = child.id();
        let born = born(id);
        Self { id, born, mark }
    }

    /// Ends what is still there of the group of a former start; whether there was something.
    ///
    /// Where it cannot be told that the group is the same one, nothing is done.
    pub fn end_leftover(&self) -> bool {
        let is_there = self.born.is_some() && born(self.id) == self.born;
        if is_there {
            self.signal_kill();
        }
        descendants::kill(&self.mark) || is_there
    }

    /// Ends every process of the group, and those that have left it, at once.
    pub(super) fn kill(&self) {
        self.signal_kill();
        descendants::kill(&self.mark);
    }
}

#[cfg(target_os = "linux")]
fn born(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, second, stands in brackets and may hold anything; 22 is the start time.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn born(_: u32) -> Option<u64> {
    None
}

#[cfg(unix)]
impl ProcessGroup {
    /// Asks every process of the group to end.
    pub(super) fn terminate(&self, _: &mut Child) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn signal_kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Waits until the leader has ended; its number stays taken until the child is waited for.
    pub(super) fn wait_for_end(&self) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let Some(pid) = self.pid() else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(
            waitid(WaitId::Pid(pid), options),
            Err(rustix::io::Errno::INTR)
        ) {}
    }

    /// That is told by whoever [waits](Self::wait_for_end).
    #[allow(clippy::unused_self, reason = "the same everywhere")]
    pub(super) fn has_ended(&self, _: &mut Child) -> bool {
        false
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = self.pid() {
            // Fails only when nothing of the group is left.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    fn pid(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(self.id).ok()?)
    }
}

/// Without process groups the tool alone is ended, and asked now and then whether it has.
#[cfg(not(unix))]
impl ProcessGroup {
    pub(super) fn terminate(&self, child: &mut Child) {
        let _ = child.kill();
    }

    fn signal_kill(&self) {}

    pub(super) fn has_ended(&self, child: &mut Child) -> bool {
        !matches!(child.try_wait(), Ok(None))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    #[test]
    fn a_leftover_is_ended_and_a_stranger_with_its_number_is_not() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .spawn()
            .unwrap();
        let group = ProcessGroup::of(&child, "none".to_owned());
        let stranger = ProcessGroup {
            born: group.born.map(|born| born - 1),
            ..group.clone()
        };
        assert!(!stranger.end_leftover());
        assert!(child.try_wait().unwrap().is_none());
        assert!(group.end_leftover());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!group.end_leftover());
    }

    #[test]
    fn is_kept_as_json() {
        let group = ProcessGroup {
            id: 7,
            born: Some(9),
            mark: "1-2-3".to_owned(),
        };
        let text = serde_json::to_string(&group).unwrap();
        assert_eq!(text, r#"{"id":7,"born":9,"mark":"1-2-3"}"#);
        assert_eq!(serde_json::from_str::<ProcessGroup>(&text).unwrap(), group);
    }
}
