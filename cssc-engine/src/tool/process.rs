//! A child process: no shell, its own process group, a time limit, bounded output.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::capture::Capture;
use super::descendants;
use super::output::{Event, Events};
use super::process_group::ProcessGroup;
use super::{Job, StopToken, ToolError, login};
use cssc_core::cycle::Interrupt;

/// How often time and the token are checked while a tool is quiet.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a tool may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(10);
/// One call of a program.
pub(super) struct Call {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    input: Option<PathBuf>,
    hides: fn(&str) -> bool,
    limit: Duration,
    begin: Instant,
    grace: Duration,
    pause: Duration,
    ignores_interrupt: bool,
    keeps_own: bool,
}

/// How a program ended, its output having gone to the log.
pub(super) struct Ended {
    program: PathBuf,
    status: ExitStatus,
    /// The last line it printed, of errors if there were any.
    pub(super) said: String,
}

impl Ended {
    /// The exit code, unless a signal ended it.
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
            input: None,
            hides: |_| false,
            limit,
            begin: Instant::now(),
            grace: GRACE,
            pause: PAUSE,
            ignores_interrupt: false,
            keeps_own: false,
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

    /// Gives the program this file for its standard input, which is empty otherwise.
    pub(super) fn input(mut self, file: &Path) -> Self {
        self.input = Some(file.to_owned());
        self
    }

    /// Gives the program its login to the relay, which it reaches without a proxy, and a folder for
    /// its files.
    pub(super) fn at_relay(self, job: &Job<'_>) -> Result<Self, ToolError> {
        let login = job.login(&self.program)?;
        let config = login::docker_config(login, job.folder)?;
        let mut call = self
            .env("REGISTRY_AUTH_FILE", config.join("config.json"))
            .env("DOCKER_CONFIG", config);
        let (host, _) = login.authority().rsplit_once(':').unwrap_or_default();
        for name in ["NO_PROXY", "no_proxy"] {
            let others = std::env::var(name).unwrap_or_default();
            let separator = if others.is_empty() { "" } else { "," };
            call = call.env(name, format!("{others}{separator}{host}"));
        }
        Ok(call)
    }

    /// Leaves the program what is meant for this one too: its own settings, and what they hold.
    pub(super) fn with_own_environment(mut self) -> Self {
        self.keeps_own = true;
        self
    }

    /// Hides variables of the environment from the program, by name; those set here are not.
    pub(super) fn hiding(mut self, hides: fn(&str) -> bool) -> Self {
        self.hides = hides;
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

    /// Runs whatever the token says: for cleaning up after an interrupt.
    pub(super) fn ignoring_interrupts(mut self) -> Self {
        self.ignores_interrupt = true;
        self
    }

    #[cfg(test)]
    fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs the program to its end, or ends it.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be started, is canceled or runs out of time; not when it ends with
    /// another exit code than 0.
    pub(super) fn run(self, job: &Job<'_>) -> Result<Ended, ToolError> {
        if let Some(interrupt) = self.interrupt(job.stop) {
            return Err(ToolError::interrupted(&self.program, interrupt));
        }
        let mark = descendants::mark();
        let mut command = self.command(&mark);
        if let Some(path) = &self.input {
            let file = File::open(path).map_err(|error| ToolError::file("read", path, error))?;
            command.stdin(file);
        }
        let mut child = command
            .spawn()
            .map_err(|error| ToolError::start(&self.program, error))?;
        let group = ProcessGroup::of(&child, mark);
        (job.started)(group.clone());
        let mut capture = Capture::new(job.log, job.login.map(login::secrets).unwrap_or_default());
        let events = Events::of(&mut child, &group, capture.line_limit());
        let stopped = self.wait(&mut child, &group, &events, &mut capture, job);
        // Nothing of a tool that has ended has work left. The leader is not reaped yet, so the
        // number of the group cannot belong to somebody else.
        group.kill();
        let status = child
            .wait()
            .map_err(|error| ToolError::start(&self.program, error))?;
        events.drain(&mut capture);
        let said = capture.finish();
        match stopped {
            Some(EndedFor::Interrupt(interrupt)) => {
                Err(ToolError::interrupted(&self.program, interrupt))
            }
            Some(EndedFor::TimeLimit) => Err(ToolError::timeout(&self.program, self.limit)),
            None => Ok(Ended {
                program: self.program,
                status,
                said,
            }),
        }
    }

    fn command(&self, mark: &str) -> Command {
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
            let text = name.to_string_lossy();
            let is_own = text.starts_with("CSSC_") && !self.keeps_own;
            if is_own || (self.hides)(&text) {
                command.env_remove(name);
            }
        }
        command.env(descendants::VARIABLE, mark);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn interrupt(&self, token: &StopToken) -> Option<Interrupt> {
        token.interrupt().filter(|_| !self.ignores_interrupt)
    }

    /// Waits for the end of the program; why it was ended, if it was.
    fn wait(
        &self,
        child: &mut Child,
        group: &ProcessGroup,
        events: &Events,
        capture: &mut Capture<'_>,
        job: &Job<'_>,
    ) -> Option<EndedFor> {
        let mut stopped: Option<(EndedFor, Instant)> = None;
        loop {
            let has_ended = match events.next(self.pause) {
                Some(Event::Line { bytes, is_error }) => {
                    capture.take(&bytes, is_error);
                    false
                }
                Some(Event::Ended) => true,
                None => {
                    job.log.idle();
                    group.has_ended(child)
                }
            };
            if has_ended {
                return stopped.map(|(stop, _)| stop);
            }
            match stopped {
                Some((_, asked)) if asked.elapsed() >= self.grace => group.kill(),
                Some(_) => {}
                None => {
                    let why = if let Some(interrupt) = self.interrupt(job.stop) {
                        EndedFor::Interrupt(interrupt)
                    } else if self.begin.elapsed() >= self.limit {
                        EndedFor::TimeLimit
                    } else {
                        continue;
                    };
                    group.terminate(child);
                    stopped = Some((why, Instant::now()));
                }
            }
        }
    }
}

/// Why a program was ended.
#[derive(Clone, Copy)]
enum EndedFor {
    Interrupt(Interrupt),
    TimeLimit,
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::ToolErrorKind;
    use super::*;
    use std::sync::Mutex;

    struct Ran {
        result: Result<Ended, ToolError>,
        lines: Vec<String>,
    }

    fn sh(script: &str) -> Call {
        Call::new(Path::new("/bin/sh"), Duration::from_secs(60)).args(["-c", script])
    }

    fn run(call: Call, stop: &StopToken, on_line: impl Fn(&str) + Send + Sync) -> Ran {
        let lines = Mutex::new(Vec::new());
        let log = |line: &str| {
            lines.lock().unwrap().push(line.to_owned());
            on_line(line);
        };
        let folder = std::env::temp_dir();
        let job = Job {
            folder: &folder,
            log: &log,
            stop,
            kept: None,
            login: None,
            started: &|_| {},
        };
        let result = call.run(&job);
        let lines = lines.into_inner().unwrap();
        Ran { result, lines }
    }

    fn plain(call: Call) -> Ran {
        run(call, &StopToken::default(), |_| {})
    }

    /// Whether a process that was killed ends; that takes a moment.
    fn ends(pid: &str) -> bool {
        let is_alive = || {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z "))
        };
        let begin = Instant::now();
        while is_alive() && begin.elapsed() < Duration::from_secs(30) {
            std::thread::yield_now();
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
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(
            ended.success().unwrap_err().to_string(),
            "`/bin/sh` ended with exit code 3: err"
        );
    }

    #[test]
    fn a_missing_program_is_told() {
        let call = Call::new(Path::new("/nowhere/trivy"), Duration::from_secs(1));
        let error = plain(call).result.err().unwrap();
        assert!(error.is_unusable() && !error.is_retryable());
        assert_eq!(error.kind(), ToolErrorKind::NotFound);
        assert_eq!(error.tool(), Some("/nowhere/trivy"));
        assert_eq!(
            error.to_string(),
            "cannot start `/nowhere/trivy`: there is no such program; install it or give its path"
        );
    }

    #[test]
    fn a_hanging_tool_and_its_children_are_ended_when_time_is_over() {
        let mut call = sh("sleep 1000 & echo $!; trap '' TERM; echo trapped; wait; sleep 1000")
            .grace(Duration::from_millis(50));
        call.limit = Duration::from_millis(300);
        let ran = plain(call);
        let error = ran.result.err().unwrap();
        assert!(error.kind() == ToolErrorKind::TimedOut && error.is_retryable());
        assert_eq!(error.to_string(), "`/bin/sh` did not end within 300 ms");
        assert!(ends(&ran.lines[0]));
    }

    #[test]
    fn cancel_ends_a_tool_that_waits_and_one_that_floods() {
        for script in ["echo go; sleep 1000", "while :; do echo go; done"] {
            let stop = StopToken::default();
            let ran = run(sh(script), &stop, |_| stop.stop(Interrupt::Canceled));
            let error = ran.result.err().unwrap();
            assert!(error.interrupt() == Some(Interrupt::Canceled) && !error.is_retryable());
            assert_eq!(error.to_string(), "`/bin/sh` was ended: canceled");
        }
    }

    #[test]
    fn nothing_starts_after_cancel_but_what_cleans_up() {
        let stop = StopToken::default();
        stop.stop(Interrupt::Canceled);
        assert!(run(sh("echo no"), &stop, |_| {}).lines.is_empty());
        let ran = run(sh("echo yes").ignoring_interrupts(), &stop, |_| {});
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

    /// A log that counts how often nothing came for a moment.
    #[derive(Default)]
    struct Idle(std::sync::atomic::AtomicUsize);

    impl super::super::Log for Idle {
        fn line(&self, _: &str) {}

        fn idle(&self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Were the end looked for now and then, it would not be seen before the first pause is over.
    #[test]
    fn the_end_of_a_quiet_tool_is_an_event() {
        let idle = Idle::default();
        let mut call = sh("exec >&- 2>&-; sleep 0.05");
        call.pause = Duration::from_secs(30);
        let job = Job {
            folder: &std::env::temp_dir(),
            log: &idle,
            stop: &StopToken::default(),
            kept: None,
            login: None,
            started: &|_| {},
        };
        assert!(call.run(&job).is_ok());
        assert_eq!(idle.0.into_inner(), 0);
    }

    #[cfg(target_os = "linux")]
    const ELSEWHERE: &str = "setsid sh -c 'echo $$; sleep 1000; :' & ";

    /// Its parent has ended and it leads a session of its own.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_descendant_in_another_session_is_ended_with_the_tool() {
        let normal = plain(sh(&format!("{ELSEWHERE} sleep 0.2")));
        assert!(normal.result.is_ok());
        assert!(ends(&normal.lines[0]));

        let mut call = sh(&format!("{ELSEWHERE} sleep 1000"));
        call.limit = Duration::from_millis(500);
        let late = plain(call);
        assert_eq!(late.result.err().unwrap().kind(), ToolErrorKind::TimedOut);
        assert!(ends(&late.lines[0]));

        let stop = StopToken::default();
        let canceled = run(sh(&format!("{ELSEWHERE} sleep 1000")), &stop, |_| {
            stop.stop(Interrupt::Canceled);
        });
        assert!(canceled.result.is_err());
        assert!(ends(&canceled.lines[0]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_descendant_that_a_crash_left_is_ended_by_the_note() {
        let mark = descendants::mark();
        let mut leader = sh("setsid sleep 1000 & echo $!")
            .command(&mark)
            .spawn()
            .unwrap();
        let note = ProcessGroup::of(&leader, mark);
        let mut pid = String::new();
        let mut output = std::io::BufReader::new(leader.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut pid).unwrap();
        leader.wait().unwrap();
        let note: ProcessGroup =
            serde_json::from_str(&serde_json::to_string(&note).unwrap()).unwrap();
        assert!(note.end_leftover());
        assert!(ends(pid.trim()));
        assert!(!note.end_leftover());
    }
}
