//! How a cycle in the foreground is stopped.

use cssc_engine::tool::StopToken;

use crate::exit::Failure;

/// Is set by the first SIGTERM or SIGINT; the second ends the process at once, and what it did
/// is done again by the next one.
#[cfg(unix)]
pub(crate) fn stop_on_signals() -> Result<StopToken, Failure> {
    use cssc_core::cycle::Interrupt;
    use signal_hook::consts::{SIGINT, SIGTERM};

    use crate::output;

    let stop = StopToken::default();
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let asked = stop.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if asked.is_stopped() {
                std::process::exit(signal.saturating_add(128));
            }
            asked.stop(Interrupt::Stopped);
            output::note("stopping; signal again to stop immediately");
        }
    });
    Ok(stop)
}

/// Without signals the process is ended at once, which the next one can deal with.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(crate) fn stop_on_signals() -> Result<StopToken, Failure> {
    Ok(StopToken::default())
}
