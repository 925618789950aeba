//! When to ask again.

use std::time::{Duration, SystemTime};

/// The first pause; each further one is twice as long at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The pause before attempt `attempt` (the first repetition is 1): exponential, between half and
/// whole by chance, so that clients that failed together do not come back together.
pub(super) fn pause(attempt: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let whole = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Whether the same request may be answered otherwise another time.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long a server asks to wait, in seconds or until a date; none when it says nothing that
/// can be understood ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large to read is longer than anybody waits.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_every_form() {
        let now = httpdate::parse_http_date("Fri, 05 Jan 2024 09:30:00 GMT").unwrap();
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Fri, 05 Jan 2024 09:31:00 GMT", Some(60)),
            ("Fri, 05 Jan 2024 09:29:00 GMT", Some(0)),
            ("Friday, 05-Jan-24 09:30:30 GMT", Some(30)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Fri, 99 Jan 2024 09:31:00 GMT", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                seconds.map(Duration::from_secs),
                "{value}"
            );
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        for (attempt, whole) in [
            (1, 100),
            (2, 200),
            (3, 400),
            (20, 10_000),
            (u32::MAX, 10_000),
        ] {
            let pause = pause(attempt).as_millis();
            assert!((whole / 2..=whole).contains(&pause), "{attempt}: {pause}");
        }
    }
}
