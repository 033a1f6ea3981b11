//! What was found: where, by which rule, and the value while the search lasts. The value is never told outside.

use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

/// How much is known of a find; of several about one place the first is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The form of one kind of credential.
    Rule,
    /// The place: a URL, a key block, a cookie.
    Form,
    /// The name it stands under.
    Name,
    /// It was found elsewhere in the text.
    Again,
}

/// One find, with its value as it was read.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) range: Range<usize>,
    pub(crate) rule: Arc<str>,
    /// Wiped when it goes.
    pub(crate) value: Zeroizing<String>,
    pub(crate) rank: Rank,
}

impl Found {
    pub(crate) fn new(range: Range<usize>, rule: &str, value: &str, rank: Rank) -> Found {
        Found { range, rule: rule.into(), value: Zeroizing::new(value.to_owned()), rank }
    }
}

/// Finds in order, those that overlap made one.
pub(crate) fn merged(text: &str, mut found: Vec<Found>) -> Vec<Found> {
    found.retain(|one| !one.range.is_empty());
    // Of those with the same place the first tells the value.
    found.sort_by(|a, b| (a.range.start, b.range.end).cmp(&(b.range.start, a.range.end)));
    let mut out: Vec<Found> = Vec::with_capacity(found.len());
    for next in found {
        let Some(last) = out.last_mut().filter(|last| next.range.start < last.range.end) else {
            out.push(next);
            continue;
        };
        if next.range.end > last.range.end {
            last.range.end = next.range.end;
            last.value = Zeroizing::new(text[last.range.clone()].to_owned());
        }
        if next.rank < last.rank {
            last.rule = next.rule;
            last.rank = next.rank;
        }
    }
    out
}
