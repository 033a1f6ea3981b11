//! Budgets, worked out: what was spent beside what may be. Pure, in whole micro-dollars.
//!
//! Invariants: money is never a float; a state depends on what was spent and the limits alone, and never gets better as
//! more is spent.

use ccd_store::RecordId;

use crate::ingest::record::first16;

/// From this share of the hard limit on, in percent, a budget is near its end.
const NEAR_PERCENT: u128 = 80;
/// Before this much of a day or month has gone by, nothing is projected from it: an hour.
const LEAST_NS: u64 = 3_600_000_000_000;

/// What a budget is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// One session.
    Session,
    /// One day.
    Day,
    /// One month.
    Month,
}

impl Scope {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Session => "session",
            Scope::Day => "day",
            Scope::Month => "month",
        }
    }
}

/// Which of the two limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Told of.
    Soft,
    /// Told of, and an end to tool calls where that is wanted.
    Hard,
}

impl Level {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Soft => "soft",
            Level::Hard => "hard",
        }
    }
}

/// The limits of one scope, in micro-dollars; never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The soft one.
    pub soft: Option<u64>,
    /// The hard one.
    pub hard: Option<u64>,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// There is no limit.
    None,
    /// Below the soft limit, and below four fifths of the hard one.
    Ok,
    /// Beyond either.
    Near,
    /// The hard limit is reached.
    Hit,
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::None => "none",
            State::Ok => "ok",
            State::Near => "near",
            State::Hit => "hit",
        }
    }
}

impl Limits {
    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Limits::default()
    }

    /// How the budget stands when this much was spent.
    #[must_use]
    pub fn state(&self, spent: u64) -> State {
        if self.is_none() {
            return State::None;
        }
        if self.hard.is_some_and(|hard| spent >= hard) {
            return State::Hit;
        }
        let near = self.hard.is_some_and(|hard| u128::from(spent) * 100 >= u128::from(hard) * NEAR_PERCENT);
        if near || self.soft.is_some_and(|soft| spent >= soft) { State::Near } else { State::Ok }
    }

    /// The limits that are reached when this much was spent, the soft one first, with their height.
    pub fn reached(&self, spent: u64) -> impl Iterator<Item = (Level, u64)> {
        let both = [(Level::Soft, self.soft), (Level::Hard, self.hard)];
        both.into_iter()
            .filter_map(|(level, limit)| Some((level, limit?)))
            .filter(move |(_, limit)| spent >= *limit)
    }

    /// What was spent in percent of the hard limit, else of the soft one, rounded down.
    #[must_use]
    pub fn percent(&self, spent: u64) -> Option<u64> {
        let limit = self.hard.or(self.soft).filter(|limit| *limit > 0)?;
        Some(u64::try_from(u128::from(spent) * 100 / u128::from(limit)).unwrap_or(u64::MAX))
    }
}

/// What a day or month comes to if it goes on as it went so far; `None` before an hour of it has gone by.
#[must_use]
pub fn projected(spent: u64, gone_ns: u64, whole_ns: u64) -> Option<u64> {
    if gone_ns < LEAST_NS || gone_ns > whole_ns {
        return None;
    }
    u64::try_from(u128::from(spent) * u128::from(whole_ns) / u128::from(gone_ns)).ok()
}

/// The id of the record that a threshold was told of: the same threshold has the same one, whoever comes to it when.
#[must_use]
pub fn notice_id(scope: Scope, key: &str, level: Level, limit: u64) -> RecordId {
    let mut hash = blake3::Hasher::new();
    hash.update(b"ccd notice v1");
    for part in [scope.name(), key, level.name()] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(&limit.to_be_bytes());
    first16(hash.finalize())
}

/// Dollars as they are written (`5`, `2.50`, `$0.000001`) in micro-dollars, exactly. `None`: no such number, more than
/// six places, or more than anybody has.
#[must_use]
pub fn dollars(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix('$').unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 6 || text.ends_with('.') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(part).filter(|micros| *micros <= 1 << 62)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dollars_are_read_exactly_or_not_at_all() {
        for (text, want) in [
            ("5", Some(5_000_000)),
            ("0.1", Some(100_000)),
            ("$2.50", Some(2_500_000)),
            ("0.000001", Some(1)),
            ("16.333333", Some(16_333_333)),
            ("1.0000001", None),
            ("-1", None),
            ("1e3", None),
            ("5.", None),
            (".5", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(dollars(text), want, "{text}");
        }
    }

    #[test]
    fn states_are_those_of_the_thresholds() {
        let both = Limits { soft: Some(50), hard: Some(100) };
        let hard = Limits { soft: None, hard: Some(100) };
        let soft = Limits { soft: Some(50), hard: None };
        for (limits, spent, want) in [
            (both, 49, State::Ok),
            (both, 50, State::Near),
            (both, 99, State::Near),
            (both, 100, State::Hit),
            (hard, 79, State::Ok),
            (hard, 80, State::Near),
            (soft, u64::MAX, State::Near),
            (Limits::default(), u64::MAX, State::None),
        ] {
            assert_eq!(limits.state(spent), want, "{limits:?} {spent}");
        }
        assert_eq!(both.reached(100).collect::<Vec<_>>(), [(Level::Soft, 50), (Level::Hard, 100)]);
        assert_eq!(
            (both.percent(33), soft.percent(25), Limits::default().percent(1)),
            (Some(33), Some(50), None)
        );
    }

    #[test]
    fn nothing_is_projected_from_a_few_minutes() {
        const HOUR: u64 = 3_600_000_000_000;
        assert_eq!(projected(10, HOUR - 1, 24 * HOUR), None);
        assert_eq!(projected(10, 6 * HOUR, 24 * HOUR), Some(40));
        assert_eq!(projected(10, 25 * HOUR, 24 * HOUR), None);
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let one = || prop::option::of(1..1u64 << 50);
        (one(), one()).prop_map(|(soft, hard)| Limits { soft, hard })
    }

    proptest! {
        #[test]
        fn a_state_never_gets_better_and_agrees_with_what_is_reached(
            limits in limits(), spent in 0..1u64 << 51, more in 0..1u64 << 51,
        ) {
            let (before, after) = (limits.state(spent), limits.state(spent + more));
            prop_assert!(before <= after);
            let hard = limits.reached(spent).any(|(level, _)| level == Level::Hard);
            prop_assert_eq!(before == State::Hit, hard);
            prop_assert!(limits.reached(spent).count() == 0 || before >= State::Near);
            prop_assert_eq!(before == State::None, limits.is_none());
            prop_assert!(limits.reached(spent).count() <= limits.reached(spent + more).count());
        }

        #[test]
        fn what_is_written_is_what_is_read(micros in 0..1u64 << 60) {
            let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            prop_assert_eq!(dollars(&text), Some(micros));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = dollars(&text);
        }

        #[test]
        fn thresholds_are_told_apart(
            a in ("[a-z0-9-]{0,12}", 1..1000u64), b in ("[a-z0-9-]{0,12}", 1..1000u64),
        ) {
            let id = |(key, limit): &(String, u64)| notice_id(Scope::Day, key, Level::Soft, *limit);
            prop_assert_eq!(id(&a) == id(&b), a == b);
            prop_assert!(id(&a) != notice_id(Scope::Day, &a.0, Level::Hard, a.1));
            prop_assert!(id(&a) != notice_id(Scope::Month, &a.0, Level::Soft, a.1));
        }
    }
}
