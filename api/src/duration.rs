//! Durations as Go writes them: `30m`, `1h30m`, `1.5h`, `90s`.

use std::time::Duration;

use kube::api::ObjectMeta;

use crate::names::annotation::RETAINED_IP_TTL;
use crate::pod::annotation;

/// The units, the longer name first where one starts with another. Both spellings of micro are one unit.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// Go counts nanoseconds in 64 bits with a sign: about 292 years.
const MOST: u128 = i64::MAX as u128;
/// More digits behind the point say less than a nanosecond of an hour.
const DIGITS: usize = 18;

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {value:?} is {fault}: write numbers with the units h, m and s, such as 30m or 1h30m")]
pub struct DurationError {
    /// Where it stands.
    pub key: &'static str,
    /// What stands there.
    pub value: String,
    /// What is wrong with it.
    pub fault: DurationFault,
}

/// What is wrong with a text that should be a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationFault {
    /// Not of the form.
    #[error("not a duration")]
    Form,
    /// Below zero.
    #[error("negative")]
    Negative,
    /// More than Go can count.
    #[error("longer than 292 years")]
    TooLong,
}

/// For how long the workload of this metadata keeps the addresses of ordinals that it does not have any more.
/// Absent means for as long as the workload exists; so should the caller take an error, and tell the user.
pub fn retained_ip_ttl(workload: &ObjectMeta) -> Result<Option<Duration>, DurationError> {
    let Some(text) = annotation(workload, RETAINED_IP_TTL) else {
        return Ok(None);
    };
    parse(text).map(Some).map_err(|fault| DurationError {
        key: RETAINED_IP_TTL,
        value: text.to_owned(),
        fault,
    })
}

/// Reads what Go's `time.ParseDuration` reads, except what is below zero. What is less than a nanosecond is
/// cut off.
pub fn parse(text: &str) -> Result<Duration, DurationFault> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0_u128;
    if rest.is_empty() {
        return Err(DurationFault::Form);
    }
    // Nothing needs no unit.
    if rest == "0" {
        rest = "";
    }
    while !rest.is_empty() {
        let (part, behind) = part(rest)?;
        total = total.saturating_add(part);
        rest = behind;
    }
    if negative && total > 0 {
        return Err(DurationFault::Negative);
    }
    if total > MOST {
        return Err(DurationFault::TooLong);
    }
    let nanoseconds = u64::try_from(total).map_err(|_| DurationFault::TooLong)?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// The nanoseconds of the first number with its unit, and what stands behind it.
fn part(text: &str) -> Result<(u128, &str), DurationFault> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationFault::Form);
    }
    let unit = UNITS.iter().find(|(name, _)| {
        let behind = rest.strip_prefix(name);
        behind.is_some_and(|behind| {
            behind.is_empty() || behind.starts_with(|next: char| next.is_ascii_digit() || next == '.')
        })
    });
    let Some((name, unit)) = unit else {
        return Err(DurationFault::Form);
    };
    let whole = number(whole).and_then(|whole| whole.checked_mul(*unit));
    let whole = whole.ok_or(DurationFault::TooLong)?;
    let fraction = fraction.get(..DIGITS).unwrap_or(fraction);
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
    let fraction = number(fraction).unwrap_or_default().saturating_mul(*unit) / scale;
    let behind = rest.get(name.len()..).unwrap_or_default();
    Ok((whole.saturating_add(fraction), behind))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// No digits are no whole part, which is nothing.
fn number(digits: &str) -> Option<u128> {
    if digits.is_empty() {
        return Some(0);
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_go_reads_is_read() {
        let milliseconds = Duration::from_millis;
        for (text, expected) in [
            ("0", milliseconds(0)),
            ("0s", milliseconds(0)),
            ("-0", milliseconds(0)),
            ("30m", milliseconds(1_800_000)),
            ("1h30m", milliseconds(5_400_000)),
            ("90s", milliseconds(90_000)),
            ("+5s", milliseconds(5_000)),
            ("1.5h", milliseconds(5_400_000)),
            (".5s", milliseconds(500)),
            ("5.s", milliseconds(5_000)),
            ("1m.5s", milliseconds(60_500)),
            ("3h2m1s500ms", milliseconds(10_921_500)),
            ("12\u{b5}s34\u{3bc}s4us", Duration::from_micros(50)),
            ("7ns", Duration::from_nanos(7)),
            ("0.3333333333333333333h", Duration::from_nanos(1_199_999_999_999)),
            ("2562047h47m16.854775807s", Duration::from_nanos(i64::MAX as u64)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for text in [
            "", "+", "-", "3", "30 m", "m", ".s", ".", "1h30", "1d", "1h-5m", "3\u{bc}s", "1hm", "x",
        ] {
            assert_eq!(parse(text), Err(DurationFault::Form), "{text}");
        }
        assert_eq!(parse("-1m"), Err(DurationFault::Negative));
        for text in [
            "2562047h47m16.854775808s",
            "9999999999999h",
            &format!("{}s", "9".repeat(60)),
        ] {
            assert_eq!(parse(text), Err(DurationFault::TooLong), "{text}");
        }
    }

    #[test]
    fn the_time_to_live_of_a_workload_names_its_annotation_when_it_cannot_be_read() {
        let workload = |ttl: &str| ObjectMeta {
            annotations: Some(BTreeMap::from([(RETAINED_IP_TTL.to_owned(), ttl.to_owned())])),
            ..ObjectMeta::default()
        };
        assert_eq!(
            retained_ip_ttl(&workload("30m")),
            Ok(Some(Duration::from_mins(30)))
        );
        assert_eq!(retained_ip_ttl(&workload("")), Ok(None));
        assert_eq!(retained_ip_ttl(&ObjectMeta::default()), Ok(None));
        assert_eq!(
            retained_ip_ttl(&workload("1 day")).unwrap_err().to_string(),
            "networking.alibaba.com/retained-ip-ttl \"1 day\" is not a duration: write numbers with the units h, m and \
             s, such as 30m or 1h30m"
        );
    }

    proptest! {
        #[test]
        fn hours_minutes_and_seconds_add_up(hours in 0_u64..10_000, minutes in 0_u64..600, seconds in 0_u64..600) {
            let text = format!("{hours}h{minutes}m{seconds}s");
            prop_assert_eq!(parse(&text), Ok(Duration::from_secs(hours * 3600 + minutes * 60 + seconds)));
        }

        #[test]
        fn no_text_brings_the_parser_down(text in "[-+0-9.hmsnu\u{b5} ]{0,30}") {
            let _ = parse(&text);
        }
    }
}
