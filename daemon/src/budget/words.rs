//! What is said of a threshold that is reached.
//!
//! Must never tell more of a session than its id: its head to the desktop, the whole to the webhook.

use ccd_proto::api::display_usd;

use crate::alert::Told;
use crate::clock::rfc3339;
use crate::ingest::record::NoticeV1;

/// The notice, in our own words.
pub(super) fn notice(notice: &NoticeV1) -> Told {
    let usd = |micros: u64| display_usd(i64::try_from(micros).unwrap_or(i64::MAX));
    // Some desktops read markup: of what others named, only what no markup is made of is shown.
    let key: String = notice.key.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let (whose, key) = match notice.scope.as_str() {
        "session" => ("Session", key.chars().take(8).collect()),
        "day" => ("Day", key),
        _ => ("Month", key),
    };
    Told {
        title: format!("{whose} budget: {} limit reached", notice.level),
        text: format!("{} of {} spent ({key})", usd(notice.spent_micros), usd(notice.limit_micros)),
        json: serde_json::json!({
            "scope": notice.scope,
            "key": notice.key,
            "level": notice.level,
            "spent_usd_micros": notice.spent_micros,
            "limit_usd_micros": notice.limit_micros,
            "at": rfc3339(notice.at_ns),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_named_is_no_markup() {
        let notice = NoticeV1 {
            at_ns: 0,
            scope: "session".into(),
            key: "--<b>x</b>&\u{1b}[2J".into(),
            level: "hard".into(),
            spent_micros: 2_000_000,
            limit_micros: 1_000_000,
        };
        let told = super::notice(&notice);
        assert_eq!(
            (told.title.as_str(), told.text.as_str()),
            ("Session budget: hard limit reached", "$2.00 of $1.00 spent (--bxb2J)")
        );
        assert_eq!(told.json["spent_usd_micros"], 2_000_000);
    }
}
