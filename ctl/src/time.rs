//! Points in time as people type them, and as they read them.
//!
//! Must never guess: what is not one of the documented forms is refused with the list of them. The clock and
//! the zone are given by the caller.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// The forms that [`parse`] reads, for help texts and errors.
pub const FORMS: &str = "2026-11-01, 28d, 12h, 30m, 2w, today, yesterday, now, or RFC 3339";

/// Which end of a range a day stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// `--since`: the first moment of the day.
    Since,
    /// `--until`: the last moment of the day, told as the first of the next (ranges exclude their end).
    Until,
}

/// Why a text is not a point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no point in time: give {FORMS}")]
pub struct TimeError(String);

/// Reads a point in time, as seen at `now` in `tz`.
pub fn parse(text: &str, edge: Edge, now: Timestamp, tz: &TimeZone) -> Result<Timestamp, TimeError> {
    let wrong = || TimeError(text.to_owned());
    let text = text.trim();
    let here = now.to_zoned(tz.clone());
    let day = |date: Date| -> Result<Timestamp, TimeError> {
        let date = if edge == Edge::Until { date.tomorrow().map_err(|_| wrong())? } else { date };
        Ok(date.to_zoned(tz.clone()).map_err(|_| wrong())?.timestamp())
    };
    match text {
        "now" => return Ok(now),
        "today" => return day(here.date()),
        "yesterday" => return day(here.date().yesterday().map_err(|_| wrong())?),
        _ => {}
    }
    if let Some(span) = ago(text) {
        return here.checked_sub(span).map(|z| z.timestamp()).map_err(|_| wrong());
    }
    if text.len() == 10
        && let Ok(date) = text.parse::<Date>()
    {
        return day(date);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    // A date and time without an offset is meant in the zone in force.
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    Ok(local.to_zoned(tz.clone()).map_err(|_| wrong())?.timestamp())
}

/// `28d`, `12h`, `30m`, `2w`: that long ago.
fn ago(text: &str) -> Option<Span> {
    let unit = text.chars().last().filter(char::is_ascii_alphabetic)?;
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: i32 = digits.parse().ok()?;
    match unit {
        'm' => Span::new().try_minutes(n).ok(),
        'h' => Span::new().try_hours(n).ok(),
        'd' => Span::new().try_days(n).ok(),
        'w' => Span::new().try_weeks(n).ok(),
        _ => None,
    }
}

/// `30d`, `12h`, `90m`, `2w` in nanoseconds; a day is 24 hours.
#[must_use]
pub fn age_ns(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let n = digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    u64::from(n).checked_mul(seconds)?.checked_mul(1_000_000_000)
}

/// A daemon's time in short form: the time of day for today, with the date otherwise.
#[must_use]
pub fn short(rfc3339: &str, now: Timestamp, tz: &TimeZone) -> String {
    let Ok(at) = rfc3339.parse::<Timestamp>() else { return String::new() };
    let (at, now) = (at.to_zoned(tz.clone()), now.to_zoned(tz.clone()));
    let format = if at.date() == now.date() {
        "%H:%M:%S"
    } else if within_a_year(&at, &now) {
        "%d %b %H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    at.strftime(format).to_string()
}

fn within_a_year(at: &Zoned, now: &Zoned) -> bool {
    at <= now && now.checked_sub(11.months()).is_ok_and(|limit| *at > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, edge: Edge) -> String {
        let now = "2026-11-20T21:30:00Z".parse().unwrap();
        let tz = TimeZone::get("Europe/Berlin").unwrap();
        parse(text, edge, now, &tz).map_or_else(|e| e.to_string(), |t| t.to_string())
    }

    #[test]
    fn every_documented_form_is_read_in_the_zone_in_force() {
        for (text, want) in [
            ("now", "2026-11-20T21:30:00Z"),
            ("today", "2026-11-19T23:00:00Z"),
            ("yesterday", "2026-11-18T23:00:00Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-10-25", "2026-10-24T22:00:00Z"),
            ("28d", "2026-10-23T20:30:00Z"), // same wall time, before the end of summer time
            ("2w", "2026-11-06T21:30:00Z"),
            ("12h", "2026-11-20T09:30:00Z"),
            ("90m", "2026-11-20T20:00:00Z"),
            ("2026-11-01T10:00:00+01:00", "2026-11-01T09:00:00Z"),
            ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"),
            ("2026-11-01T10:00", "2026-11-01T09:00:00Z"),
            ("2026-11-01 10:00", "2026-11-01T09:00:00Z"),
        ] {
            assert_eq!(at(text, Edge::Since), want, "{text}");
        }
    }

    #[test]
    fn until_a_day_includes_that_day() {
        assert_eq!(at("2026-11-01", Edge::Until), "2026-11-01T23:00:00Z");
        assert_eq!(at("today", Edge::Until), "2026-11-20T23:00:00Z");
        assert_eq!(at("yesterday", Edge::Until), "2026-11-19T23:00:00Z");
        assert_eq!(at("1h", Edge::Until), "2026-11-20T20:30:00Z");
    }

    #[test]
    fn ages_are_read() {
        assert_eq!(age_ns("30d"), Some(2_592_000_000_000_000));
        assert_eq!((age_ns("2w"), age_ns("14d").is_some()), (age_ns("14d"), true));
        assert_eq!(age_ns("90m"), Some(5_400_000_000_000));
        for text in ["", "d", "30", "30x", "+3d", "-3d", "1.5d", "9999999999d", "30ü"] {
            assert_eq!(age_ns(text), None, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "tomorrow", "28x", "d", "-3d", "2026-13-01", "9999999999d", "1.5d", "ünd"] {
            assert!(at(text, Edge::Since).contains("no point in time"), "{text}");
        }
    }

    #[test]
    fn times_are_short_in_the_local_zone() {
        let now = "2026-11-20T21:30:00Z".parse().unwrap();
        let tz = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(short("2026-11-20T08:00:00.123456Z", now, &tz), "09:00:00");
        assert_eq!(short("2026-11-18T08:00:00Z", now, &tz), "18 Nov 09:00");
        assert_eq!(short("2024-11-18T08:00:00Z", now, &tz), "2024-11-18 09:00");
        assert_eq!(short("", now, &tz), "");
    }
}
