//! The part of a blob that is asked for.

use std::ops::Range;

use hyper::header::HeaderValue;

/// How much of a blob is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it. A request for several parts, or in a form that is not known, gets that too.
    All,
    /// This part.
    Part(Range<u64>),
    /// A part that it does not have.
    Nothing,
}

/// What a `Range` header asks for, of a blob of `size` bytes.
pub(super) fn wanted(header: Option<&HeaderValue>, size: u64) -> Wanted {
    let text = header.and_then(|value| value.to_str().ok());
    let range = text.and_then(|text| text.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Wanted::All;
    };
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => return Wanted::All,
        (Some(first), Some(last)) => (first, last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => (first, size),
        (None, Some(length)) if first.is_empty() => (size.saturating_sub(length), size),
        _ => return Wanted::All,
    };
    if first < last {
        Wanted::Part(first..last)
    } else {
        Wanted::Nothing
    }
}

/// A number, without the sign that parsing would accept; one that is too large is the largest.
pub(super) fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_ten(text: &str) -> Wanted {
        wanted(Some(&HeaderValue::from_str(text).unwrap()), 10)
    }

    #[test]
    fn a_single_range_is_understood() {
        assert_eq!(wanted(None, 10), Wanted::All);
        for (text, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
            ("bytes=0-99999999999999999999999", 0..10),
        ] {
            assert_eq!(of_ten(text), Wanted::Part(range), "{text}");
        }
        for text in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of_ten(text), Wanted::Nothing, "{text}");
        }
        for text in [
            "bytes=5-2",
            "bytes=1-2,4-5",
            "items=0-1",
            "bytes=-",
            "bytes=+1-2",
            "x",
        ] {
            assert_eq!(of_ten(text), Wanted::All, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_range_leads_out_of_the_blob(text in "bytes=[0-9]{0,25}-[0-9]{0,25}", size: u64) {
            let header = HeaderValue::from_str(&text).unwrap();
            if let Wanted::Part(range) = wanted(Some(&header), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
