//! What is shown of a text in which words were found: the first of them with what is around it, and where they stand.

use super::words::Words;

/// Characters shown before the first word, and in all.
const BEFORE: usize = 60;
const LONGEST: usize = 240;
/// Places marked in one snippet.
const MARKED: usize = 32;

/// A cut of a text, and the places of the words in it, in characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    pub text: String,
    pub ranges: Vec<(u32, u32)>,
}

/// Cuts a text around the first word in it; none if there is none.
pub(super) fn snippet(words: &Words, text: &str) -> Option<Snippet> {
    let first =
        words.terms.iter().filter_map(|term| term.exact.find(text)).map(|found| found.start()).min()?;
    let from = text[..first].char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
    let to = text[from..].char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| from + at);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for term in &words.terms {
        let mut at = from;
        // In the whole text: what stands around a match may decide whether it is one.
        while at < to
            && found.len() < MARKED
            && let Some(place) = term.exact.find_at(text, at)
            && place.start() < to
        {
            found.push((place.start(), place.end().min(to)));
            at = place.end();
        }
    }
    found.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (start, end) in found {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    let mut cut = String::with_capacity(to - from + 6);
    cut.push_str(if from > 0 { "…" } else { "" });
    let lead = u32::from(from > 0);
    cut.push_str(&text[from..to]);
    cut.push_str(if to < text.len() { "…" } else { "" });
    let characters = |at: usize| lead + u32::try_from(text[from..at].chars().count()).unwrap_or(u32::MAX);
    let ranges = merged.into_iter().map(|(start, end)| (characters(start), characters(end))).collect();
    Some(Snippet { text: cut, ranges })
}

#[cfg(test)]
mod tests {
    use super::super::words::Manner;
    use super::*;
    use proptest::prelude::*;

    fn of(query: &str, text: &str) -> Option<Snippet> {
        snippet(&Words::parse(query, Manner::default()).unwrap(), text)
    }

    #[test]
    fn the_first_word_has_something_around_it() {
        assert_eq!(of("b", "aß b c").unwrap(), Snippet { text: "aß b c".into(), ranges: vec![(3, 4)] });
        assert_eq!(of("x", "abc"), None);
        let long = format!("{}needle{}", "é".repeat(500), "ü".repeat(500));
        let cut = of("needle é", &long).unwrap();
        assert_eq!(cut.text.chars().count(), LONGEST + 1, "nothing is cut off its beginning");
        let cut = of("NEEDLE", &long).unwrap();
        assert_eq!((cut.text.chars().count(), &cut.ranges[..]), (LONGEST + 2, &[(61, 67)][..]));
    }

    #[test]
    fn words_that_overlap_are_one_place() {
        assert_eq!(of("abc bcd cde", "xabcdex").unwrap().ranges, [(1, 6)]);
        let pattern = Words::parse(r"\bcat", Manner { regex: true, case: false }).unwrap();
        assert_eq!(snippet(&pattern, "cat concat cat").unwrap().ranges, [(0, 3), (11, 14)]);
    }

    proptest! {
        #[test]
        fn ranges_are_words_of_the_snippet(text in "(\\PC|[abß\n\u{1b}]){0,400}", query in "[abß]{1,3}( [a-c]{1,2})?") {
            let words = Words::parse(&query, Manner::default()).unwrap();
            match snippet(&words, &text) {
                None => prop_assert_eq!(words.in_text(&text), 0),
                Some(cut) => {
                    let all: Vec<char> = cut.text.chars().collect();
                    prop_assert!(!cut.ranges.is_empty() && all.len() <= LONGEST + 2);
                    for (start, end) in cut.ranges {
                        prop_assert!(start < end);
                        let place: String = all[start as usize..end as usize].iter().collect();
                        prop_assert!(words.in_text(&place) != 0 || end as usize >= LONGEST, "{:?}", place);
                    }
                }
            }
        }
    }
}
