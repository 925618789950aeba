//! One Trivy that serves the scans of a worker.
//!
//! A Trivy that works alone locks its cache for the whole scan, pull included, and another one gives
//! up after five seconds. A server holds the lock once, and its clients scan side by side.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::super::process_group::ProcessGroup;
use super::super::{Job, ToolError, descendants};
use crate::private;

/// What the server says goes there, in its folder.
const LOG: &str = "server.log";
/// How much of that is read to tell why it ended.
const LOG_END: u64 = 4 << 10;
/// How often it is looked for until it listens.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it may take to listen: it reads its database first.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(3);

/// Ends the server when the other end of standard input is gone, however this program ends.
#[cfg(unix)]
const GUARD: &str = "exec 3<&0; (read -r _ <&3; kill $$) & exec \"$@\" 3<&- </dev/null";

/// A folder for the cache of a worker's Trivy, which nothing else uses meanwhile.
#[derive(Debug)]
pub(super) struct CacheFolder {
    pub(super) path: PathBuf,
    _lock: File,
}

impl CacheFolder {
    /// The name of the file that is locked, and of the note of the server that used it.
    const LOCK: &str = "cssc.lock";

    /// The first of these folders that nothing uses; none when all are in use. A server that a crash
    /// left there is ended.
    pub(super) fn first_free(
        folders: impl IntoIterator<Item = PathBuf>,
    ) -> Result<Option<Self>, ToolError> {
        for path in folders {
            private::make_folder(&path).map_err(|error| ToolError::file("make", &path, error))?;
            let file = path.join(Self::LOCK);
            let lock = private::write_options()
                .create(true)
                .open(&file)
                .map_err(|error| ToolError::file("open", &file, error))?;
            match lock.try_lock() {
                Ok(()) => {
                    let note = fs::read(path.join(ProcessGroup::NOTE)).unwrap_or_default();
                    if let Ok(group) = serde_json::from_slice::<ProcessGroup>(&note) {
                        group.end_leftover();
                    }
                    return Ok(Some(Self { path, _lock: lock }));
                }
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => {
                    return Err(ToolError::file("lock", &file, error));
                }
            }
        }
        Ok(None)
    }
}

/// A server that is running. It ends when it is dropped, and when this program ends.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    group: ProcessGroup,
    pub(super) address: String,
    pub(super) token: String,
}

impl Service {
    /// Starts a server over the cache in a folder, and waits until it listens.
    pub(super) fn start(
        program: &Path,
        folder: &CacheFolder,
        prepare: impl Fn(&mut Command),
        job: &Job<'_>,
    ) -> Result<Self, ToolError> {
        let cannot_start = |error| ToolError::start(program, error);
        // Free a moment ago; another program that takes it makes the server end at once.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(cannot_start)?
            .port();
        let address = format!("127.0.0.1:{port}");
        let token = random_token();
        let mark = descendants::mark();
        let mut command = guarded(program);
        command.args(["server", "--listen", &address, "--cache-dir"]);
        command.arg(&folder.path);
        prepare(&mut command);
        let log = folder.path.join(LOG);
        let file = File::create(&log).map_err(|error| ToolError::file("write", &log, error))?;
        let child = command
            .env("TRIVY_TOKEN", &token)
            .env(descendants::VARIABLE, &mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(cannot_start)?;
        let group = ProcessGroup::of(&child, mark);
        // What a crash of this program leaves is ended by the guard, and by the next that works here.
        if let Ok(note) = serde_json::to_vec(&group) {
            let _ = fs::write(folder.path.join(ProcessGroup::NOTE), note);
        }
        let mut service = Self {
            child,
            group,
            address,
            token,
        };
        service.wait_until_it_listens(program, &log, job)?;
        Ok(service)
    }

    fn wait_until_it_listens(
        &mut self,
        program: &Path,
        log: &Path,
        job: &Job<'_>,
    ) -> Result<(), ToolError> {
        let begin = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if let Some(interrupt) = job.stop.interrupt() {
                return Err(ToolError::interrupted(program, interrupt));
            }
            if !self.is_running() {
                let ending = "ended as a server".to_owned();
                return Err(ToolError::failed(program, ending, &last_line(log)));
            }
            if begin.elapsed() >= PATIENCE {
                return Err(ToolError::timeout(program, PATIENCE));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.group.terminate(&mut self.child);
        let begin = Instant::now();
        while self.is_running() && begin.elapsed() < GRACE {
            thread::sleep(PAUSE);
        }
        self.group.kill();
        let _ = self.child.wait();
    }
}

/// The program, so that it ends with this one.
#[cfg(unix)]
fn guarded(program: &Path) -> Command {
    use std::os::unix::process::CommandExt as _;

    let mut command = Command::new("/bin/sh");
    command.args(["-c", GUARD, "sh"]).arg(program);
    command.process_group(0);
    command
}

#[cfg(not(unix))]
fn guarded(program: &Path) -> Command {
    Command::new(program)
}

fn random_token() -> String {
    let mut bytes = [0; 32];
    // As long as a key that cannot be guessed; where there is no source of randomness nothing
    // could be served to tools either.
    let _ = getrandom::fill(&mut bytes);
    cssc_registry::digest::of(&bytes).hex().to_owned()
}

/// The last line of a log, which says why its program ended.
fn last_line(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let begin = file.metadata()?.len().saturating_sub(LOG_END);
        file.seek(SeekFrom::Start(begin))?;
        let mut end = Vec::new();
        file.take(LOG_END).read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    };
    let text = read().unwrap_or_default();
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    line.chars()
        .map(|letter| {
            if super::super::is_plain(letter) {
                letter
            } else {
                ' '
            }
        })
        .collect()
}
