//! The API's rate limits in a line, and its last refusal in another. Every name and value comes from outside and is made visible here.

use ccd_proto::api::{RateLimit, RateLimits};
use jiff::Timestamp;

use crate::env::Env;
use crate::human::duration_ms;
use crate::printer::Tone;
use crate::table::captured;
use crate::time;

/// So many limits are shown; JSON has them all.
const MAX_SHOWN: usize = 6;
/// From here on a limit deserves attention, in percent.
const MUCH: f64 = 80.0;
/// A refusal is news for so long.
const NEWS: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The limits in one line, without a heading; none where nothing is told.
#[must_use]
pub fn line(env: &Env, limits: &RateLimits) -> Option<(Tone, String)> {
    let mut shown: Vec<&RateLimit> = limits.limits.iter().filter(|l| says_something(l)).collect();
    // A subscription's windows come first: they are what people run into.
    shown.sort_by_key(|l| !l.name.starts_with("unified"));
    let more = shown.len().saturating_sub(MAX_SHOWN);
    shown.truncate(MAX_SHOWN);
    let tone = shown.iter().map(|l| tone(l)).max_by_key(|t| rank(*t))?;
    let mut parts: Vec<String> = shown.into_iter().map(|l| one(env, l)).collect();
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    Some((tone, parts.join(" · ")))
}

/// The last refusal in one line, as long as it is news.
#[must_use]
pub fn refusal(env: &Env, limits: &RateLimits) -> Option<(Tone, String)> {
    let refused = limits.last_limited.as_ref()?;
    let at: Timestamp = refused.at.parse().ok()?;
    if env.now.duration_since(at) >= NEWS {
        return None;
    }
    let at = time::short(&refused.at, env.now, &env.tz);
    let asked = |s: u64| format!(", asked to wait {}", duration_ms(s.saturating_mul(1000)));
    let wait = refused.retry_after_s.map(asked).unwrap_or_default();
    let words = refused.error.as_deref().map(|e| format!(": {}", captured(e))).unwrap_or_default();
    Some((Tone::Warn, format!("last refused with {} at {at}{wait}{words}", refused.status)))
}

fn says_something(limit: &RateLimit) -> bool {
    limit.used_percent.is_some() || limit.status.as_deref().is_some_and(|s| s != "allowed")
}

fn tone(limit: &RateLimit) -> Tone {
    let rejected = limit.status.as_deref().is_some_and(|s| s.starts_with("reject"));
    match limit.used_percent {
        _ if limit.stale => Tone::Faint,
        Some(used) if used >= 100.0 => Tone::Bad,
        // What is switched off (overage) is rejected for ever, and nothing to worry about.
        Some(_) if rejected => Tone::Bad,
        Some(used) if used >= MUCH => Tone::Warn,
        _ => Tone::Plain,
    }
}

fn rank(tone: Tone) -> u8 {
    match tone {
        Tone::Bad => 3,
        Tone::Warn => 2,
        Tone::Plain => 1,
        _ => 0,
    }
}

fn one(env: &Env, limit: &RateLimit) -> String {
    let name = limit.name.strip_prefix("unified-").unwrap_or(&limit.name);
    let mut text = captured(name);
    if let Some(used) = limit.used_percent {
        text = format!("{text} {:.0} % used", used.clamp(0.0, 9999.0));
    }
    if let Some(status) = limit.status.as_deref().filter(|s| *s != "allowed") {
        text = format!("{text} ({})", captured(status));
    }
    match &limit.resets_at {
        Some(at) if limit.stale => format!("{text}, reset at {}", moment(env, at)),
        Some(at) => format!("{text}, resets {}", moment(env, at)),
        None => text,
    }
}

/// A moment: the time of day, with the day unless it is today.
fn moment(env: &Env, rfc3339: &str) -> String {
    let Ok(at) = rfc3339.parse::<Timestamp>() else { return captured(rfc3339) };
    let (at, now) = (at.to_zoned(env.tz.clone()), env.now.to_zoned(env.tz.clone()));
    let format = if at.date() == now.date() { "%H:%M" } else { "%d %b %H:%M" };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;
    use ccd_proto::api::Limited;

    fn limit(name: &str, used: Option<f64>, resets_at: Option<&str>) -> RateLimit {
        let resets_at = resets_at.map(str::to_owned);
        RateLimit { name: name.into(), used_percent: used, resets_at, ..RateLimit::default() }
    }

    fn text(limits: &RateLimits) -> String {
        let env = Home::new().env();
        let lines = line(&env, limits).into_iter().chain(refusal(&env, limits));
        lines.map(|(tone, text)| format!("{tone:?}: {text}")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_subscription_in_one_line() {
        let limits = RateLimits {
            limits: vec![
                limit("requests", Some(0.02), None),
                limit("unified", None, Some("2026-11-20T23:00:00Z")),
                limit("unified-5h", Some(42.0), Some("2026-11-20T23:00:00Z")),
                RateLimit {
                    status: Some("allowed_warning".into()),
                    ..limit("unified-7d", Some(87.4), Some("2026-11-24T08:00:00Z"))
                },
                RateLimit { status: Some("rejected".into()), ..limit("unified-overage", None, None) },
            ],
            ..RateLimits::default()
        };
        insta::assert_snapshot!(text(&limits), @"Warn: 5h 42 % used, resets 23:00 · 7d 87 % used (allowed_warning), resets 24 Nov 08:00 · overage (rejected) · requests 0 % used");
    }

    #[test]
    fn stale_and_hostile_values_are_marked_and_made_visible() {
        let stale =
            RateLimit { stale: true, ..limit("unified-5h", Some(100.0), Some("2026-11-20T20:00:00Z")) };
        let hostile = RateLimit {
            status: Some("\u{1b}[2J".into()),
            ..limit("x\n\u{202e}", Some(1e300), Some("soon\u{7}"))
        };
        let refused = Limited {
            at: "2026-11-20T20:15:09Z".into(),
            status: 429,
            retry_after_s: Some(u64::MAX),
            error: Some("rate_limit_error: \u{1b}]0;x".into()),
            ..Limited::default()
        };
        let limits =
            RateLimits { limits: vec![stale, hostile], last_limited: Some(refused), ..RateLimits::default() };
        let text = text(&limits);
        assert!(text.starts_with("Bad: 5h 100 % used, reset at 20:00 · "), "{text}");
        assert!(text.contains("last refused with 429 at 20:15:09") && text.contains("\\u{1b}]0;x"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n') && !text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn what_was_refused_days_ago_is_no_news() {
        let refused = Limited { at: "2026-11-18T20:15:09Z".into(), status: 529, ..Limited::default() };
        assert_eq!(text(&RateLimits { last_limited: Some(refused), ..RateLimits::default() }), "");
    }
}
