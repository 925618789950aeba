//! The processes that come from one call of a tool, wherever they have gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The variable that marks a tool and, as they inherit it, its descendants: also those that have
/// left its process group for a session of their own, which belong to nobody once their parent
/// has ended.
pub(super) const VARIABLE: &str = "CSSC_PROCESS_MARK";

/// A value that no other call has, of this or of another start of this program.
pub(super) fn mark() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = since.unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{nanoseconds}-{count}", std::process::id())
}

/// Ends every process with this mark at once; whether there was one.
///
/// One that has removed the mark from its environment, or belongs to another user, is not found.
#[cfg(target_os = "linux")]
pub(super) fn kill(mark: &str) -> bool {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    /// One that is about to start another may have to be caught up with.
    const ROUNDS: usize = 32;
    let entry = format!("{VARIABLE}={mark}");
    let mut killed = std::collections::BTreeSet::new();
    for _ in 0..ROUNDS {
        let before = killed.len();
        for pid in processes()
            .filter(|pid| !killed.contains(pid))
            .collect::<Vec<_>>()
        {
            // The number may go to another process between a look and the signal, but not once
            // there is a descriptor: so look again.
            if is_marked(pid, &entry)
                && let Some(raw) = rustix::process::Pid::from_raw(pid)
                && let Ok(process) = pidfd_open(raw, PidfdFlags::empty())
                && is_marked(pid, &entry)
                && pidfd_send_signal(&process, Signal::KILL).is_ok()
            {
                killed.insert(pid);
            }
        }
        if killed.len() == before {
            break;
        }
    }
    !killed.is_empty()
}

#[cfg(target_os = "linux")]
fn processes() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Nothing can be read of one that has ended but was not waited for, or is somebody else's.
#[cfg(target_os = "linux")]
fn is_marked(pid: i32, entry: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == entry.as_bytes())
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn kill(_: &str) -> bool {
    false
}
