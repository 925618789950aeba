//! Asking work to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use cssc_core::cycle::Interrupt;

/// Asks work to end, and says why; clones share what was asked.
///
/// ```
/// use cssc_core::cycle::Interrupt;
/// use cssc_engine::tool::StopToken;
///
/// let token = StopToken::default();
/// let elsewhere = token.clone();
/// elsewhere.stop(Interrupt::Stopped);
/// assert_eq!(token.interrupt(), Some(Interrupt::Stopped));
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopToken(Arc<AtomicU8>);

/// By rank: a reason that comes later takes the place of one of lower rank.
const REASONS: [Interrupt; 3] = [Interrupt::Overdue, Interrupt::Stopped, Interrupt::Canceled];

impl StopToken {
    /// Asks for the work to end; it stays asked. Work that was to stop can still be canceled,
    /// and what is canceled stays so.
    pub fn stop(&self, interrupt: Interrupt) {
        let rank = REASONS.iter().position(|reason| *reason == interrupt);
        let rank = rank.and_then(|rank| u8::try_from(rank).ok()).unwrap_or(0);
        self.0.fetch_max(rank.saturating_add(1), Ordering::AcqRel);
    }

    /// Why the work is to end; none while it may go on.
    pub fn interrupt(&self) -> Option<Interrupt> {
        let rank = self.0.load(Ordering::Acquire).checked_sub(1)?;
        REASONS.get(usize::from(rank)).copied()
    }

    /// Whether the work is to end.
    pub fn is_stopped(&self) -> bool {
        self.interrupt().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_outranks_a_stop_and_nothing_takes_it_back() {
        let token = StopToken::default();
        assert_eq!(token.interrupt(), None);
        for (asked, is) in [
            (Interrupt::Overdue, Interrupt::Overdue),
            (Interrupt::Stopped, Interrupt::Stopped),
            (Interrupt::Canceled, Interrupt::Canceled),
            (Interrupt::Stopped, Interrupt::Canceled),
        ] {
            token.stop(asked);
            assert_eq!(token.interrupt(), Some(is));
        }
    }
}
