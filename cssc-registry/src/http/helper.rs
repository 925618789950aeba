//! Asking a credential helper, a program of docker's. Unlike ready-made readers this one gives
//! it a time limit.

use std::env;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::credential::Credential;
use crate::error::{RegistryError, excerpt};

const MAX_OUTPUT_LEN: u64 = 256 << 10;

/// Asks `docker-credential-NAME` for what is stored under `key`; none when nothing is.
pub(super) fn get(
    name: &str,
    key: &str,
    timeout: Duration,
) -> Result<Option<Credential>, RegistryError> {
    let failed = |why: &str| {
        RegistryError::input(format!(
            "the credential helper `docker-credential-{}` {why}",
            excerpt(name)
        ))
    };
    // A name, not a path: the file that names it may come from elsewhere.
    if name.contains(['/', '\\']) {
        return Err(failed("has a path in its name"));
    }
    let deadline = Instant::now().checked_add(timeout);
    let mut command = Command::new(format!("docker-credential-{name}"));
    for (variable, _) in env::vars_os() {
        // Ours are none of its business: they may be a password.
        if variable.to_string_lossy().starts_with("CSSC_") {
            command.env_remove(variable);
        }
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // What it says there may hold anything, and is not ours to show.
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&format!("cannot be started: {error}")))?;
    let answer = converse(&mut child, key, timeout);
    let status = answer.and_then(|output| Some((output, wait(&mut child, deadline)?)));
    let Some((output, is_success)) = status else {
        kill(&mut child);
        return Err(failed(&format!(
            "did not answer within {} s",
            timeout.as_secs()
        )));
    };
    if is_success {
        return parse(name, &output);
    }
    // What all helpers say, in these words, when they have nothing.
    if String::from_utf8_lossy(&output).contains("credentials not found") {
        return Ok(None);
    }
    Err(failed("failed"))
}

/// Ends a helper and all it has started.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(id) = i32::try_from(child.id())
        && let Some(group) = rustix::process::Pid::from_raw(id)
    {
        // They may be gone already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    drop(child.kill());
    drop(child.wait());
}

/// Writes the key, and reads all the helper prints.
fn converse(child: &mut Child, key: &str, timeout: Duration) -> Option<Vec<u8>> {
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    let key = key.to_owned();
    // Not joined: whatever holds the pipes open may do so for ever.
    thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // One that does not read its input says so by what it prints.
            drop(stdin.write_all(key.as_bytes()));
        }
        let mut output = Vec::new();
        if let Some(stdout) = stdout
            && stdout.take(MAX_OUTPUT_LEN).read_to_end(&mut output).is_ok()
        {
            drop(sender.send(output));
        }
    });
    receiver.recv_timeout(timeout).ok()
}

/// Whether the child succeeded; none when it does not end in time.
fn wait(child: &mut Child, deadline: Option<Instant>) -> Option<bool> {
    loop {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status.success());
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        // It has closed its output and is about to end.
        thread::sleep(Duration::from_millis(1));
    }
}

/// The credential a helper printed.
fn parse(name: &str, output: &[u8]) -> Result<Option<Credential>, RegistryError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Stored {
        username: String,
        secret: String,
    }
    let output = output.strip_prefix(b"\xef\xbb\xbf").unwrap_or(output);
    let Ok(mut stored) = serde_json::from_slice::<Stored>(output) else {
        return Err(RegistryError::input(format!(
            "the credential helper `{}` did not print valid credentials",
            excerpt(name)
        )));
    };
    let end = stored.secret.trim_end_matches(['\r', '\n']).len();
    stored.secret.truncate(end);
    let credential = match stored.username.as_str() {
        _ if stored.secret.is_empty() => return Ok(None),
        "<token>" => Credential::identity(&stored.secret),
        _ => Credential::password(stored.username, stored.secret),
    };
    let origin = format!("those of the credential helper `{}`", excerpt(name));
    Ok(Some(credential.from(origin)))
}
