//! What the client tells its status line, as far as we use it: whose session it is, and an account's limits.
//!
//! The JSON is somebody else's: what is no number in a sensible range tells nothing.

use serde_json::Value;

use super::limits::{Figures, Told};
use crate::ingest::record::{StatusV1, first16};

/// Who tells an account's limits: they hold whatever upstream requests are sent to.
pub const ACCOUNT: &str = "claude.ai";
/// The end of the year 9999, in seconds since the Unix epoch.
const LAST_SECOND: u64 = 253_402_300_799;
/// The windows' names here, and as response headers name them.
const WINDOWS: [(&str, &str); 2] = [("five_hour", "unified-5h"), ("seven_day", "unified-7d")];
/// Longest session id that is one.
const MAX_ID: usize = 200;

/// The snapshot's session, where it names one.
#[must_use]
pub fn session(snapshot: &Value) -> Option<&str> {
    snapshot.get("session_id")?.as_str().filter(|id| !id.is_empty() && id.len() <= MAX_ID)
}

/// The limits in a snapshot's record; `None` where it tells of none.
#[must_use]
pub fn told(record: &StatusV1) -> Option<Told> {
    let snapshot: Value = serde_json::from_slice(&record.body).ok()?;
    limits(&snapshot, record.at_ns, &record.body)
}

/// The limits in a snapshot of these bytes that came at this time.
#[must_use]
pub fn limits(snapshot: &Value, at_ns: u64, bytes: &[u8]) -> Option<Told> {
    let windows = snapshot.get("rate_limits")?;
    let mut told = Told { upstream: ACCOUNT.into(), at_ns, id: id(bytes), ..Told::default() };
    for (theirs, ours) in WINDOWS {
        let Some(window) = windows.get(theirs) else { continue };
        let used = window.get("used_percentage").and_then(Value::as_f64);
        let Some(used) = used.filter(|percent| (0.0..=1000.0).contains(percent)) else { continue };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 100,000
        let used = (used * 100.0).round() as u32;
        let resets = window.get("resets_at").and_then(Value::as_u64).filter(|s| *s <= LAST_SECOND);
        let resets_ns = resets.map(|s| s.saturating_mul(1_000_000_000));
        told.limits.insert(ours.to_owned(), Figures { used: Some(used), resets_ns, ..Figures::default() });
    }
    (!told.limits.is_empty()).then_some(told)
}

/// The id of a snapshot's record: the same snapshot is one record.
#[must_use]
pub fn id(bytes: &[u8]) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(b"ccd status v1");
    hash.update(bytes);
    first16(hash.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_read_and_nonsense_is_not() {
        let snapshot = json!({"session_id": "s", "rate_limits": {
            "five_hour": {"used_percentage": 42.5, "resets_at": 1_795_219_200},
            "seven_day": {"used_percentage": "much"},
        }});
        let told = limits(&snapshot, 7, b"x").unwrap();
        assert_eq!((told.at_ns, told.upstream.as_str(), told.limits.len()), (7, ACCOUNT, 1));
        let five = &told.limits["unified-5h"];
        assert_eq!((five.used, five.resets_ns), (Some(4250), Some(1_795_219_200_000_000_000)));
        assert_eq!(session(&snapshot), Some("s"));
        for nothing in [json!({}), json!({"rate_limits": null}), json!([1]), json!({"session_id": 3})] {
            assert!(limits(&nothing, 0, b"").is_none() && session(&nothing).is_none());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200), used in any::<f64>()) {
            let _ = told(&StatusV1 { at_ns: 1, body });
            let body = json!({"rate_limits": {"five_hour": {"used_percentage": used, "resets_at": -used}}});
            let _ = told(&StatusV1 { at_ns: 1, body: body.to_string().into_bytes() });
        }
    }
}
