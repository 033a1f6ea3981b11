//! What is searched for: words and phrases that must all be there, or patterns.
//!
//! `disk full "no such file"` is three things. Within quotes, `\"` is a quote and `\\` a backslash. Blanks in a phrase
//! stand for any run of blanks, line ends included. Letters count without regard to case, by Unicode's simple folding,
//! unless case is asked for.
//!
//! Must take time linear in what is searched, whatever the pattern, and refuse what it cannot bound.

use regex::{Regex, RegexBuilder, bytes};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

use super::sieve;

/// The longest query, in bytes.
pub const MAX_QUERY: usize = 4096;
/// At most so many words.
pub const MAX_TERMS: usize = 16;
/// Memory of a compiled pattern, and of what it remembers while it runs.
const MAX_COMPILED: usize = 1 << 20;
const MAX_NESTING: u32 = 64;
/// A longer match may lie across more than two pieces of a stored body.
const MAX_MATCH: usize = 4 * MAX_QUERY;

/// Why a query cannot be searched for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// There is none.
    #[error("there is nothing to search for: no word in the query")]
    Empty,
    /// It is too long.
    #[error("the query is too long: it may have {MAX_QUERY} bytes, and {MAX_TERMS} words")]
    TooLong,
    /// It is no pattern.
    #[error("{pattern:?} is no pattern: {why}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// It matches nothing at all, and so everywhere.
    #[error("{0:?} matches the empty text, and so everywhere")]
    MatchesEmpty(String),
}

/// How words are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Each is a regular expression.
    pub regex: bool,
    /// Upper and lower case are different.
    pub case: bool,
}

/// One word, phrase or pattern.
#[derive(Debug)]
pub struct Term {
    /// As it was given.
    pub given: String,
    /// Finds it in a text.
    pub exact: Regex,
    /// Finds it wherever `exact` would, and perhaps elsewhere, in bytes that hold the text with others around it.
    pub loose: bytes::Regex,
    /// Its letters are the same bytes in JSON, if no escape of JSON's is there.
    pub plain: bool,
}

/// All of them.
#[derive(Debug)]
pub struct Words {
    /// One bit of a mask each, by their order.
    pub terms: Vec<Term>,
    /// No match is longer than two pieces of a stored body.
    pub bounded: bool,
}

impl Words {
    /// Reads a query.
    pub fn parse(query: &str, manner: Manner) -> Result<Self, WordsError> {
        if query.len() > MAX_QUERY {
            return Err(WordsError::TooLong);
        }
        let given = split(query);
        match given.len() {
            0 => Err(WordsError::Empty),
            1..=MAX_TERMS => {
                let terms = given.into_iter().map(|term| Term::new(term, manner));
                let (terms, lengths): (Vec<_>, Vec<_>) =
                    terms.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
                let bounded = lengths.into_iter().all(|most| most.is_some_and(|most| most <= MAX_MATCH));
                Ok(Words { terms, bounded })
            }
            _ => Err(WordsError::TooLong),
        }
    }

    /// The mask in which every word is.
    #[must_use]
    pub fn all(&self) -> u32 {
        (1 << self.terms.len()) - 1
    }

    /// Which words are in a text.
    #[must_use]
    pub fn in_text(&self, text: &str) -> u32 {
        self.mask(|term| term.exact.is_match(text))
    }

    /// Which words may be in texts that some JSON holds: never one too few.
    #[must_use]
    pub fn in_json(&self, json: &[u8]) -> u32 {
        sieve::mask(self, json)
    }

    pub(super) fn mask(&self, mut is_in: impl FnMut(&Term) -> bool) -> u32 {
        self.terms.iter().enumerate().fold(0, |mask, (at, term)| mask | u32::from(is_in(term)) << at)
    }
}

impl Term {
    /// The term, and the length of its longest match in bytes where there is a bound.
    fn new(given: String, manner: Manner) -> Result<(Self, Option<usize>), WordsError> {
        let wrong = |why: String| WordsError::Pattern { pattern: given.clone(), why };
        let pattern = if manner.regex { given.clone() } else { literal(&given) };
        let exact = RegexBuilder::new(&pattern)
            .case_insensitive(!manner.case)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(MAX_NESTING)
            .build()
            .map_err(|e| wrong(reason(&e.to_string())))?;
        let hir = ParserBuilder::new()
            .case_insensitive(!manner.case)
            .nest_limit(MAX_NESTING)
            .build()
            .parse(&pattern)
            .map_err(|e| wrong(reason(&e.to_string())))?;
        if hir.properties().minimum_len().is_none_or(|least| least == 0) {
            return Err(WordsError::MatchesEmpty(given));
        }
        let words = given.split_whitespace().count() < 2;
        let most = hir.properties().maximum_len().or((!manner.regex).then_some(given.len() * 8));
        let loose = bytes::RegexBuilder::new(&without_looks(&hir).to_string())
            .size_limit(2 * MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(4 * MAX_NESTING)
            .build()
            .map_err(|e| wrong(reason(&e.to_string())))?;
        let same = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/');
        let plain = !manner.regex && words && given.chars().all(same);
        Ok((Term { given, exact, loose, plain }, most))
    }
}

/// The words of a query, without their quotes.
fn split(query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = query.trim_start();
    while !rest.is_empty() {
        let (term, after) = if let Some(quoted) = rest.strip_prefix('"') {
            phrase(quoted)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        // Blanks alone are no word.
        if !term.trim().is_empty() {
            found.push(term);
        }
        rest = after.trim_start();
    }
    found
}

/// What stands up to the closing quote, and what comes after it. Without one, all of it.
fn phrase(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => text.push(escaped),
                None => text.push(c),
            },
            _ => text.push(c),
        }
    }
    (text, "")
}

/// A pattern for a word or phrase.
fn literal(given: &str) -> String {
    given.split_whitespace().map(regex::escape).collect::<Vec<_>>().join(r"\s+")
}

/// The same without what looks at a match's surroundings: it matches wherever the other does.
fn without_looks(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(_) => Hir::empty(),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(without_looks(&repetition.sub));
            Hir::repetition(regex_syntax::hir::Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => without_looks(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_looks).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(without_looks).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

/// The last line of what the library says, which draws a picture of the place above it.
fn reason(message: &str) -> String {
    let last = message.lines().last().unwrap_or(message);
    last.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(query: &str) -> Words {
        Words::parse(query, Manner::default()).unwrap()
    }

    fn given(query: &str) -> Vec<String> {
        words(query).terms.into_iter().map(|term| term.given).collect()
    }

    #[test]
    fn words_and_phrases_are_told_apart() {
        assert_eq!(given("  disk  full "), ["disk", "full"]);
        assert_eq!(given(r#"a "no such file"b"#), ["a", "no such file", "b"]);
        assert_eq!(given(r#""say \"so\" \\ \d""#), [r#"say "so" \ \d"#]);
        assert_eq!(given(r#"it"s "open end"#), ["it\"s", "open end"]);
        for nothing in ["", "  \n", "\"\"", "\" \""] {
            assert_eq!(Words::parse(nothing, Manner::default()).unwrap_err(), WordsError::Empty);
        }
        assert_eq!(Words::parse(&"x ".repeat(17), Manner::default()).unwrap_err(), WordsError::TooLong);
        assert_eq!(Words::parse(&"x".repeat(4097), Manner::default()).unwrap_err(), WordsError::TooLong);
    }

    #[test]
    fn case_counts_where_it_is_asked_for() {
        let found = |query: &str, text: &str| words(query).in_text(text) != 0;
        assert!(found("GRÖẞE", "größe") && found("straße", "STRAẞE"));
        assert!(found("Δ", "δ") && found("k", "\u{212a}"));
        assert!(found("\"no such  file\"", "No\n\tsuch file"));
        assert!(!found("a.c", "abc"), "a word is no pattern");
        let exact = Words::parse("Error", Manner { case: true, regex: false }).unwrap();
        assert_eq!((exact.in_text("error"), exact.in_text("Error")), (0, 1));
    }

    #[test]
    fn patterns_are_bounded() {
        let regex = |query: &str| Words::parse(query, Manner { regex: true, case: false });
        assert_eq!(regex(r"exit\s+code \b\d{3}\b").unwrap().in_text("Exit code 101"), 3);
        for wrong in ["(", "a**(", r"\p{Nope}", "[z-a]"] {
            assert!(matches!(regex(wrong), Err(WordsError::Pattern { .. })), "{wrong}");
        }
        for everywhere in ["a*", "^", r"\b", "(?:)|x"] {
            assert_eq!(regex(everywhere).unwrap_err(), WordsError::MatchesEmpty(everywhere.into()));
        }
        for bomb in [r"(\w{1000}){1000}", &"(".repeat(200), r"((a{99}){99}){99}"] {
            assert!(matches!(regex(bomb), Err(WordsError::Pattern { .. })), "{bomb}");
        }
        // Those that make others backtrack take no longer here.
        let slow = regex("(a+)+$").unwrap();
        assert_eq!(slow.in_text(&("a".repeat(100_000) + "b")), 0);
        assert!(!slow.bounded && regex("ab?c").unwrap().bounded && words("abc \"d e\"").bounded);
    }

    proptest! {
        /// A query that `ccctl` makes of its arguments gives them back.
        #[test]
        fn what_is_quoted_comes_back(texts in proptest::collection::vec("[a \"\\\\\n*ß]{1,8}", 1..5)) {
            let quoted: Vec<_> =
                texts.iter().map(|t| format!("\"{}\"", t.replace('\\', "\\\\").replace('"', "\\\""))).collect();
            let wanted: Vec<_> = texts.into_iter().filter(|t| !t.trim().is_empty()).collect();
            prop_assert_eq!(split(&quoted.join(" ")), wanted);
        }

        /// Wherever a pattern matches within a text, the loose one does, whatever stands around it.
        #[test]
        fn the_loose_pattern_misses_nothing(
            pattern in proptest::collection::vec(
                proptest::sample::select(vec![
                    "^", r"\b", "a", "b", "ß", ".", r"\s", "[^a]", "+", "c*", "(?:a|b$)", r"\B", "$", "(d)", "a{2}",
                ]),
                1..5,
            ).prop_map(|parts| parts.concat()),
            text in "[abcdß \n]{0,12}", before in "[a-d ]{0,3}", after in "[a-d\n]{0,3}",
        ) {
            if let Ok(words) = Words::parse(&format!("\"{pattern}\""), Manner { regex: true, case: false })
                && words.in_text(&text) != 0
            {
                let around = format!("{before}{text}{after}");
                prop_assert!(words.terms[0].loose.is_match(around.as_bytes()));
            }
        }
    }
}
