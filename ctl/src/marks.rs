//! Marks that stay where what they stand for was to be shown.
//!
//! A body that was asked for with `--reveal` must never be taken for what went over the wire when a part of it is gone.

use ccd_proto::api::MARKS_LEFT;
use http::HeaderMap;

use crate::human::plural;
use crate::printer::Printer;

/// Says so where the daemon's reply does.
pub fn warn(out: &mut Printer, headers: &HeaderMap) {
    let told = headers.get(MARKS_LEFT).and_then(|value| value.to_str().ok());
    stay(out, told.and_then(|n| n.parse().ok()).unwrap_or(0));
}

/// Says that so many values are not there to be shown; nothing where all are.
pub fn stay(out: &mut Printer, values: u64) {
    if values > 0 {
        out.warn(format!(
            "the vault does not have {} of it, deleted or never kept: marks stand in their place",
            plural(values, "value")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_stay_are_told_of() {
        let said = |value: Option<&'static str>| {
            let (mut out, text, err) = Printer::captured(80);
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|n| (http::HeaderName::from_static(MARKS_LEFT), n.parse().unwrap())));
            warn(&mut out, &headers);
            assert!(text.text().is_empty());
            err.text()
        };
        assert!(said(Some("2")).contains("does not have 2 values"), "{}", said(Some("2")));
        for fine in [None, Some("0"), Some("x")] {
            assert_eq!(said(fine), "");
        }
    }
}
