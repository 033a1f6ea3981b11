//! The clock: the times of everything that is recorded are its.

use jiff::Timestamp;

use crate::doctor::Check;
use crate::doctor::facts::Facts;
use crate::human::duration_ms;

/// So far may this machine's clock be from the API's: its answers count whole seconds, and take a while to come.
const APART_MS: u64 = 30_000;
/// So much later than now may a record be: the daemon may have written it while we looked.
const LATER_MS: i64 = 60_000;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let newest = facts.store.as_ref().and_then(|store| store.newest_at.as_deref());
    let skew = facts.daemon().and_then(|status| status.proxy.clock_skew_ms);
    let zone = facts.env.tz.iana_name().unwrap_or("local time");
    vec![clock(facts.env.now, newest, skew, zone)]
}

pub(super) fn clock(now: Timestamp, newest: Option<&str>, skew_ms: Option<i64>, zone: &str) -> Check {
    let set = "set the clock, best by the network's time (`timedatectl set-ntp true`)";
    if let Some(skew) = skew_ms.filter(|skew| skew.unsigned_abs() > APART_MS) {
        let which = if skew > 0 { "behind" } else { "ahead of" };
        let told = format!("{} {which} the API's clock", duration_ms(skew.unsigned_abs()));
        return Check::warn("clock", told, set);
    }
    let newest = newest.and_then(|at| at.parse::<Timestamp>().ok());
    if let Some(ahead) =
        newest.map(|at| at.as_millisecond() - now.as_millisecond()).filter(|ms| *ms > LATER_MS)
    {
        let told = format!(
            "something was recorded {} later than it is now: the clock was set back, or was wrong then",
            duration_ms(ahead.unsigned_abs())
        );
        return Check::warn("clock", told, set);
    }
    Check::good(
        "clock",
        match skew_ms {
            Some(skew) => format!("{} from the API's, {zone}", duration_ms(skew.unsigned_abs())),
            None => zone.to_owned(),
        },
    )
}
