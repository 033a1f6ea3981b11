//! A value once recognised is taken out wherever it recurs: in prose, under another name, escaped, wrapped, in base 64.
//!
//! Only values that nothing else would be equal to by chance: a password that is a word stays where nothing tells of it.
//! Values are found by a hash of their first eight bytes: one pass, whatever their number, and one more costs nothing.
//! They are wiped when they go.

use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::base64;
use crate::engine::outermost;
use crate::found::{Found, Rank};
use crate::plausible::{is_hex, is_password, is_random, is_uuid};
use crate::view::View;

const LONGEST: usize = 4096;
/// How many bytes of a value it is first known by: the least that one has.
const HEAD: usize = 8;
/// How many values are known at a time.
const MOST: usize = 4096;
/// An odd number without pattern, which spreads heads over the filter.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a value is looked for as.
#[derive(Clone)]
struct Form {
    text: Arc<Zeroizing<String>>,
    /// The value itself.
    value: Arc<Zeroizing<String>>,
    rule: Arc<str>,
    /// The number of the value, counted from the first that ever was.
    number: u64,
}

/// Values to look for again.
#[derive(Clone)]
pub(crate) struct Known {
    forms: Vec<Form>,
    by_head: HashMap<u64, Vec<u32>>,
    /// A bit for each head that there may be.
    filter: Vec<u64>,
    shift: u32,
    /// How many values there ever were.
    count: u64,
    values: usize,
}

impl Default for Known {
    fn default() -> Self {
        Known::new(12)
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Known {
    /// With a filter of two to the so-manyth bits.
    pub(crate) fn new(bits: u32) -> Known {
        Known {
            forms: Vec::new(),
            by_head: HashMap::new(),
            filter: vec![0; 1 << (bits - 6)],
            shift: 64 - bits,
            count: 0,
            values: 0,
        }
    }

    /// Adds what is worth looking for in the rest of the same text.
    pub(crate) fn add(&mut self, found: &Found) {
        let value = found.value.trim();
        if is_strong(found) || is_chosen(value, 8) {
            self.insert(value, &found.rule, is_strong(found));
        }
    }

    /// Adds what is worth looking for in every text from now on, and tells whether it was new.
    pub(crate) fn add_for_good(&mut self, found: &Found) -> bool {
        is_for_good(found) && self.insert(found.value.trim(), &found.rule, true)
    }

    /// Adds a value, whatever it looks like, if it is of a length that is looked for. False where it is known.
    pub(crate) fn insert(&mut self, value: &str, rule: &Arc<str>, encoded: bool) -> bool {
        if value.len() < HEAD || value.len() > LONGEST || self.is_known(value) {
            return false;
        }
        if self.values >= MOST {
            self.forget();
        }
        let value = Arc::new(Zeroizing::new(value.to_owned()));
        self.put(Form {
            text: Arc::clone(&value),
            value: Arc::clone(&value),
            rule: rule.clone(),
            number: self.count,
        });
        if encoded && value.len() >= 12 {
            for before in 0..3 {
                let text = Arc::new(Zeroizing::new(base64::within(&value, before)));
                self.put(Form { text, value: Arc::clone(&value), rule: rule.clone(), number: self.count });
            }
        }
        self.count += 1;
        self.values += 1;
        true
    }

    fn put(&mut self, form: Form) {
        let Some(head) = head(form.text.as_bytes(), 0) else { return };
        let index = u32::try_from(self.forms.len()).unwrap_or(u32::MAX);
        self.filter[head_slot(head, self.shift) / 64] |= 1 << (head_slot(head, self.shift) % 64);
        self.by_head.entry(head).or_default().push(index);
        self.forms.push(form);
    }

    /// The older half goes.
    fn forget(&mut self) {
        let from = self.count - u64::try_from(MOST / 2).unwrap_or(0);
        let kept: Vec<Form> = self.forms.drain(..).filter(|form| form.number >= from).collect();
        self.by_head.clear();
        self.filter.fill(0);
        self.values = MOST / 2;
        for form in kept {
            self.put(form);
        }
    }

    pub(crate) fn is_known(&self, value: &str) -> bool {
        let Some(head) = head(value.as_bytes(), 0) else { return false };
        self.by_head
            .get(&head)
            .is_some_and(|forms| forms.iter().any(|form| self.forms[*form as usize].text.as_str() == value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// How many values there ever were: what was looked through at this count need not be looked through for them again.
    pub(crate) fn epoch(&self) -> u64 {
        self.count
    }

    /// Looks for the values that came at this count or later.
    pub(crate) fn find(&self, text: &str, since: u64, found: &mut Vec<Found>) {
        if self.forms.is_empty() {
            return;
        }
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(head) = head(bytes, at) {
            let slot = head_slot(head, self.shift);
            if self.filter[slot / 64] >> (slot % 64) & 1 == 0 {
                at += 1;
                continue;
            }
            let longest = self
                .by_head
                .get(&head)
                .into_iter()
                .flatten()
                .map(|form| &self.forms[*form as usize])
                .filter(|form| form.number >= since && stands_at(bytes, at, form.text.as_bytes()))
                .max_by_key(|form| form.text.len());
            let Some(form) = longest else {
                at += 1;
                continue;
            };
            let range = at..at + form.text.len();
            at = range.end;
            found.push(Found {
                range,
                rule: form.rule.clone(),
                value: Zeroizing::clone(&form.value),
                rank: Rank::Again,
            });
        }
    }
}

/// Whether it stands there, and not as a part of a longer word unless it is long itself.
fn stands_at(bytes: &[u8], at: usize, form: &[u8]) -> bool {
    let inner = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
    bytes[at..].starts_with(form)
        && (form.len() >= 16 || !((at > 0 && inner(bytes.get(at - 1))) || inner(bytes.get(at + form.len()))))
}

fn head(bytes: &[u8], at: usize) -> Option<u64> {
    let head = bytes.get(at..at + HEAD)?;
    Some(
        head.iter()
            .enumerate()
            .fold(0, |all, (n, byte)| all | u64::from(*byte) << (8 * n))
            .wrapping_mul(SPREAD),
    )
}

#[expect(clippy::cast_possible_truncation, reason = "the shift leaves as many bits as the filter has")]
fn head_slot(head: u64, shift: u32) -> usize {
    (head >> shift) as usize
}

/// Whether nothing else would be equal to it by chance.
fn is_strong(found: &Found) -> bool {
    let value = found.value.trim();
    match found.rank {
        Rank::Rule => value.len() >= 12 && !value.contains(char::is_whitespace),
        _ => is_random(value, 10),
    }
}

/// Whether a person chose it, and so that it is no word.
fn is_chosen(value: &str, least: usize) -> bool {
    value.len() >= least
        && value.bytes().any(|b| b.is_ascii_digit())
        && is_password(value, least)
        && !value.contains(char::is_whitespace)
}

/// Whether it is looked for in every text: it is strong, or chosen of letters, digits and signs. A name alone does not make
/// a credential of an id or a digest everywhere: they join records.
pub(crate) fn is_for_good(found: &Found) -> bool {
    let value = found.value.trim();
    if found.rank >= Rank::Name && (is_uuid(value) || is_hex(value)) {
        return false;
    }
    is_strong(found)
        || is_chosen(value, 10)
            && value.bytes().any(|b| b.is_ascii_alphabetic())
            && value.bytes().any(|b| b.is_ascii_punctuation() && !b"._-/:".contains(&b))
}

/// Adds what recurs in a text of what was found in it.
pub(crate) fn add(text: &str, layers: &[View], found: &mut Vec<Found>) {
    let mut known = Known::default();
    for one in found.iter() {
        known.add(one);
    }
    again(&known, 0, text, layers, found);
}

/// Looks for known values in every layer of a text, and over the ends of its lines.
pub(crate) fn again(known: &Known, since: u64, text: &str, layers: &[View], found: &mut Vec<Found>) {
    if known.is_empty() || since >= known.epoch() {
        return;
    }
    let mut more = Vec::new();
    for level in 0..=layers.len() {
        let seen = if level == 0 { text } else { &layers[level - 1].text };
        known.find(seen, since, &mut more);
        if let Some(joined) = View::joined(seen) {
            let from = more.len();
            known.find(&joined.text, since, &mut more);
            for one in &mut more[from..] {
                one.range = joined.source(&one.range);
            }
        }
        found.extend(more.drain(..).map(|mut one| {
            one.range = outermost(text, layers, level, one.range);
            one
        }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::filled;

    fn found(value: &str) -> Found {
        Found::new(0..0, "r", value, Rank::Rule)
    }

    #[test]
    fn values_are_found_in_any_alignment_of_base64() {
        let value = filled("{a32}", 1);
        let mut known = Known::default();
        assert!(known.add_for_good(&found(&value)) && !known.add_for_good(&found(&value)));
        for before in ["", "u", "us", "use"] {
            let mut hits = Vec::new();
            known.find(&base64::encoded(format!("{before}{value}:tail").as_bytes()), 0, &mut hits);
            assert_eq!(hits.iter().map(|hit| hit.value.as_str()).collect::<Vec<_>>(), [&value], "{before}");
        }
        let mut none = Vec::new();
        known.find(&value, 1, &mut none);
        assert!(none.is_empty(), "it came before");
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let mut known = Known::new(16);
        let values: Vec<String> = (0..10_000).map(|seed| filled("{a24}", seed)).collect();
        for value in &values {
            known.insert(value, &"r".into(), false);
        }
        assert!(known.forms.len() <= MOST && known.epoch() == 10_000);
        let mut hits = Vec::new();
        known.find(&values[9_000..].join(" "), 0, &mut hits);
        assert_eq!(hits.len(), 1000);
    }

    proptest! {
        #[test]
        fn what_is_found_stands_there(text in "[ab]{0,200}", value in "[ab]{8,20}") {
            let mut known = Known::new(8);
            known.insert(&value, &"r".into(), false);
            let mut hits = Vec::new();
            known.find(&text, 0, &mut hits);
            for hit in &hits {
                prop_assert_eq!(&text[hit.range.clone()], &value);
            }
            if value.len() >= 16 {
                prop_assert_eq!(hits.is_empty(), !text.contains(&value));
            }
        }
    }
}
