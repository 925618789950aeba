//! A child process: no shell, its own process group, a time limit, bounded output.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::capture::Capture;
use super::leftover::ProcessGroup;
use super::{Job, ToolError};

/// Says that work is to stop; clones share the answer.
///
/// ```
/// use cssc_engine::tool::Cancel;
///
/// let cancel = Cancel::default();
/// let elsewhere = cancel.clone();
/// elsewhere.cancel();
/// assert!(cancel.is_canceled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks for the work to stop; it stays asked.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the work is to stop.
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How often time and cancellation are looked at while a tool is quiet.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a tool may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for the rest of the output when the tool has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// One call of a program.
pub(super) struct Call {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    limit: Duration,
    begin: Instant,
    grace: Duration,
    deaf: bool,
}

/// How a program ended, its output having gone to the log.
pub(super) struct Ended {
    program: PathBuf,
    status: ExitStatus,
    /// The last line it printed, of errors if there were any.
    pub(super) said: String,
}

impl Ended {
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// # Errors
    ///
    /// Fails unless the exit code is 0.
    pub(super) fn success(self) -> Result<(), ToolError> {
        if self.status.success() {
            return Ok(());
        }
        let ending = match self.status.code() {
            Some(code) => format!("ended with exit code {code}"),
            None => "was ended by a signal".to_owned(),
        };
        Err(ToolError::failed(&self.program, ending, &self.said))
    }
}

impl Call {
    pub(super) fn new(program: &Path, limit: Duration) -> Self {
        Self {
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            limit,
            begin: Instant::now(),
            grace: GRACE,
            deaf: false,
        }
    }

    pub(super) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(super) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Counts the time limit from here: one of several calls of the same work.
    pub(super) fn since(mut self, begin: Instant) -> Self {
        self.begin = begin;
        self
    }

    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Leaves a cancellation to others: for cleaning up after one.
    pub(super) fn despite_cancel(mut self) -> Self {
        self.deaf = true;
        self
    }

    #[cfg(test)]
    pub(super) fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs the program to its end, or ends it.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be started, is canceled or runs out of time; not when it ends with
    /// another exit code than 0.
    pub(super) fn run(self, option: &str, job: &Job<'_>) -> Result<Ended, ToolError> {
        if job.cancel.is_canceled() && !self.deaf {
            return Err(ToolError::canceled(&self.program));
        }
        let mut child = self
            .command()
            .spawn()
            .map_err(|error| ToolError::start(&self.program, option, error))?;
        let group = ProcessGroup::of(&child);
        (job.started)(group.clone());
        let mut capture = Capture::new(job.log, job.access.secrets());
        let lines = Lines::of(&mut child, capture.line_limit());
        let stopped = self.wait(&mut child, &group, &lines, &mut capture, job);
        // Nothing of a tool that has ended has work left. The leader is not reaped yet, so the
        // number of the group cannot belong to somebody else.
        group.kill();
        let status = child
            .wait()
            .map_err(|error| ToolError::start(&self.program, option, error))?;
        lines.drain(&mut capture);
        let said = capture.finish();
        match stopped {
            Some(Stop::Canceled) => Err(ToolError::canceled(&self.program)),
            Some(Stop::Timeout) => Err(ToolError::timeout(&self.program, self.limit)),
            None => Ok(Ended {
                program: self.program,
                status,
                said,
            }),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        // What is meant for this program, a password perhaps, is not meant for the tools.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"CSSC_") {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Waits for the end of the program; why it was ended, if it was.
    fn wait(
        &self,
        child: &mut Child,
        group: &ProcessGroup,
        lines: &Lines,
        capture: &mut Capture<'_>,
        job: &Job<'_>,
    ) -> Option<Stop> {
        let mut stopped: Option<(Stop, Instant)> = None;
        let mut pause = Duration::from_millis(1);
        loop {
            if lines.next(pause, capture) {
                pause = Duration::from_millis(1);
            } else {
                pause = pause.saturating_mul(2).min(PAUSE);
                job.log.idle();
            }
            if group.has_ended(child) {
                return stopped.map(|(stop, _)| stop);
            }
            match stopped {
                Some((_, asked)) if asked.elapsed() >= self.grace => group.kill(),
                Some(_) => {}
                None => {
                    let stop = if job.cancel.is_canceled() && !self.deaf {
                        Stop::Canceled
                    } else if self.begin.elapsed() >= self.limit {
                        Stop::Timeout
                    } else {
                        continue;
                    };
                    group.terminate(child);
                    stopped = Some((stop, Instant::now()));
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Stop {
    Canceled,
    Timeout,
}

/// The lines of both outputs, read by a thread each.
struct Lines(Receiver<(Vec<u8>, bool)>);

impl Lines {
    fn of(child: &mut Child, limit: usize) -> Self {
        // Few: a tool that floods is slowed down to what the log takes.
        let (sender, receiver) = mpsc::sync_channel(64);
        let errors = sender.clone();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || read_lines(output, limit, false, &sender));
        }
        if let Some(output) = child.stderr.take() {
            thread::spawn(move || read_lines(output, limit, true, &errors));
        }
        Self(receiver)
    }

    /// Takes one line if it comes within `pause`.
    fn next(&self, pause: Duration, capture: &mut Capture<'_>) -> bool {
        match self.0.recv_timeout(pause) {
            Ok((line, is_error)) => {
                capture.take(&line, is_error);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(pause);
                false
            }
        }
    }

    /// Takes what is left, but does not wait for a process that left the group and keeps the
    /// output open.
    fn drain(&self, capture: &mut Capture<'_>) {
        let begin = Instant::now();
        while let Some(left) = DRAIN.checked_sub(begin.elapsed())
            && let Ok((line, is_error)) = self.0.recv_timeout(left)
        {
            capture.take(&line, is_error);
        }
    }
}

/// Sends each line; of a long one the first `limit` bytes. Ends when nobody listens.
fn read_lines(
    output: impl Read,
    limit: usize,
    is_error: bool,
    lines: &SyncSender<(Vec<u8>, bool)>,
) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        let bytes = match output.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = limit.saturating_sub(line.len());
        line.extend_from_slice(part.get(..room).unwrap_or(part));
        let used = part.len().saturating_add(usize::from(end.is_some()));
        output.consume(used);
        if end.is_some() && lines.send((std::mem::take(&mut line), is_error)).is_err() {
            return;
        }
    }
    if !line.is_empty() {
        let _ = lines.send((line, is_error));
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::Access;
    use super::*;
    use std::sync::Mutex;

    struct Ran {
        result: Result<Ended, ToolError>,
        lines: Vec<String>,
    }

    fn sh(script: &str) -> Call {
        Call::new(Path::new("/bin/sh"), Duration::from_secs(60)).args(["-c", script])
    }

    fn run(call: Call, cancel: &Cancel, on_line: impl Fn(&str) + Send + Sync) -> Ran {
        let lines = Mutex::new(Vec::new());
        let log = |line: &str| {
            lines.lock().unwrap().push(line.to_owned());
            on_line(line);
        };
        let folder = std::env::temp_dir();
        let job = Job {
            folder: &folder,
            log: &log,
            cancel,
            access: &Access::default(),
            started: &|_| {},
        };
        let result = call.run("--tool", &job);
        let lines = lines.into_inner().unwrap();
        Ran { result, lines }
    }

    fn plain(call: Call) -> Ran {
        run(call, &Cancel::default(), |_| {})
    }

    /// Whether a process that was killed ends; that takes a moment.
    fn ends(pid: &str) -> bool {
        let is_alive = || {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z "))
        };
        let begin = Instant::now();
        while is_alive() && begin.elapsed() < Duration::from_secs(30) {
            thread::yield_now();
        }
        !is_alive()
    }

    #[test]
    fn both_outputs_and_the_exit_code_come_back() {
        let ran = plain(sh("echo out; echo err >&2; printf rest; exit 3"));
        let mut lines = ran.lines;
        lines.sort();
        assert_eq!(lines, ["err", "out", "rest"]);
        let ended = ran.result.unwrap();
        assert_eq!(ended.code(), Some(3));
        assert_eq!(
            ended.success().unwrap_err().to_string(),
            "`/bin/sh` ended with exit code 3: err"
        );
    }

    #[test]
    fn a_missing_program_is_told_with_the_option_that_sets_it() {
        let call = Call::new(Path::new("/nowhere/trivy"), Duration::from_secs(1));
        let error = plain(call).result.err().unwrap();
        assert!(error.is_unusable() && !error.is_retryable());
        assert_eq!(
            error.to_string(),
            "cannot start `/nowhere/trivy`: there is no such program; install it or give its \
             path with --tool"
        );
    }

    #[test]
    fn a_hanging_tool_and_its_children_are_ended_when_time_is_over() {
        let mut call = sh("sleep 1000 & echo $!; trap '' TERM; echo deaf; wait; sleep 1000")
            .grace(Duration::from_millis(50));
        call.limit = Duration::from_millis(300);
        let ran = plain(call);
        let error = ran.result.err().unwrap();
        assert!(error.is_timeout() && error.is_retryable());
        assert_eq!(error.to_string(), "`/bin/sh` did not end within 300 ms");
        assert!(ends(&ran.lines[0]));
    }

    #[test]
    fn cancel_ends_a_tool_that_waits_and_one_that_floods() {
        for script in ["echo go; sleep 1000", "while :; do echo go; done"] {
            let cancel = Cancel::default();
            let ran = run(sh(script), &cancel, |_| cancel.cancel());
            let error = ran.result.err().unwrap();
            assert!(error.is_canceled() && !error.is_retryable());
            assert_eq!(error.to_string(), "`/bin/sh` was canceled");
        }
    }

    #[test]
    fn nothing_starts_after_cancel_but_what_cleans_up() {
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(run(sh("echo no"), &cancel, |_| {}).lines.is_empty());
        let ran = run(sh("echo yes").despite_cancel(), &cancel, |_| {});
        assert_eq!(ran.lines, ["yes"]);
    }

    #[test]
    fn what_a_tool_leaves_running_is_ended_with_it() {
        let ran = plain(sh("sleep 1000 & echo $!"));
        assert!(ran.result.is_ok());
        assert!(ends(&ran.lines[0]));
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let ran = plain(sh(
            "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo after",
        ));
        assert_eq!(ran.lines.len(), 2);
        assert!(ran.lines[0].len() < 9000);
        assert_eq!(ran.lines[1], "after");
    }
}
