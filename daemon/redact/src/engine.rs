//! The search: one pass of an automaton over each layer of a text, and rules tried where their words stand.
//!
//! Must never tell a text clean that it could not look through: an engine that could not be built finds everything.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;
use zeroize::Zeroizing;

use crate::found::{Found, Rank, merged};
use crate::hand::{self, ceil, floor};
use crate::plausible::{entropy, is_placeholder};
use crate::rule::{Checksum, Place};
use crate::view::View;
use crate::{RuleError, Rules, assign, base64, names, recur, rules, wrap};

/// How many layers of escapes are taken off.
const LAYERS: usize = 4;
/// How much of a text a rule sees about its keyword.
const BEFORE: usize = 128;
const AFTER: usize = 512;
/// The longest credential that begins with its keyword.
const LONGEST: usize = 16 << 10;

/// The least that a value may be once structure is cut off it.
const SHORTEST_CUT: usize = 4;

/// What is done where a word stands.
#[derive(Clone, Copy, Debug)]
enum Job {
    Rule(usize),
    Name,
    Url,
    KeyBlock,
    KeyTail,
    Cookies,
    KubeSecret,
}

/// The words of the jobs that are no rules.
const WORDS: &[(&str, Job)] = &[
    ("://", Job::Url),
    ("-----begin", Job::KeyBlock),
    ("-----end", Job::KeyTail),
    ("cookie:", Job::Cookies),
    ("cookie\":", Job::Cookies),
    ("kind: secret\n", Job::KubeSecret),
    ("kind: \"secret\"", Job::KubeSecret),
];

#[derive(Debug)]
struct Compiled {
    id: Arc<str>,
    pattern: String,
    place: Place,
    keywords: Vec<String>,
    rank: Rank,
    entropy: f32,
    checksum: Option<Checksum>,
    regex: OnceLock<Option<Regex>>,
}

impl Compiled {
    fn may_be(&self, value: &str) -> bool {
        self.checksum.is_some_and(|sum| sum.holds(value))
            || (entropy(value) >= self.entropy && !is_placeholder(value))
    }

    /// Compiled when it is first needed: most rules never are.
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Regex::new(&self.pattern).ok()).as_ref()
    }
}

/// A stretch of text about keywords of a rule: windows that overlap are one, so that no byte is matched twice.
struct Near {
    rule: usize,
    window: Range<usize>,
    /// The first of them.
    keywords: Vec<Range<usize>>,
}

impl Near {
    /// How many keywords are kept.
    const KEPT: usize = 4;

    fn add(all: &mut Vec<Near>, rule: usize, text: &str, keyword: Range<usize>) {
        let window = ceil(text, keyword.start.saturating_sub(BEFORE))..floor(text, keyword.end + AFTER);
        let last = all.iter_mut().rev().find(|near| near.rule == rule);
        match last.filter(|last| window.start <= last.window.end) {
            Some(last) => {
                last.window.end = window.end.max(last.window.end);
                if last.keywords.len() < Near::KEPT {
                    last.keywords.push(keyword);
                }
            }
            None => all.push(Near { rule, window, keywords: vec![keyword] }),
        }
    }
}

/// Rules, made ready.
#[derive(Debug)]
pub(crate) struct Engine {
    /// None where it could not be built.
    words: Option<AhoCorasick>,
    jobs: Vec<Vec<Job>>,
    rules: Vec<Compiled>,
    /// Rules without keywords.
    everywhere: Vec<usize>,
    allowed: HashSet<String>,
    allowed_patterns: Vec<Regex>,
    off: HashSet<String>,
}

impl Engine {
    pub(crate) fn new(given: &Rules) -> Result<Engine, RuleError> {
        let off: HashSet<String> = given.off.iter().cloned().collect();
        let mut all: Vec<Compiled> =
            rules::all().filter(|rule| !off.contains(rule.id)).map(built_in).collect();
        for rule in &given.custom {
            let id = plain_id(&rule.id)?;
            let regex = Regex::new(&rule.pattern)
                .map_err(|error| RuleError::Pattern { rule: rule.id.clone(), error: error.to_string() })?;
            all.push(Compiled {
                id: id.into(),
                pattern: rule.pattern.clone(),
                place: Place::Near,
                keywords: rule.keywords.iter().filter(|word| !word.is_empty()).cloned().collect(),
                rank: Rank::Rule,
                entropy: rule.entropy,
                checksum: None,
                regex: OnceLock::from(Some(regex)),
            });
        }
        let mut words: Vec<String> = Vec::new();
        let mut jobs: Vec<Vec<Job>> = Vec::new();
        let mut add = |word: &str, job: Job| {
            let word = word.to_ascii_lowercase();
            let at = words.iter().position(|known| *known == word).unwrap_or_else(|| {
                words.push(word);
                jobs.push(Vec::new());
                jobs.len() - 1
            });
            jobs[at].push(job);
        };
        for (at, rule) in all.iter().enumerate() {
            for word in &rule.keywords {
                add(word, Job::Rule(at));
            }
        }
        for word in names::WORDS {
            add(word, Job::Name);
        }
        for (word, job) in WORDS {
            add(word, *job);
        }
        let everywhere = (0..all.len()).filter(|at| all[*at].keywords.is_empty()).collect();
        let allowed_patterns = given
            .allow_patterns
            .iter()
            .map(|pattern| {
                Regex::new(pattern)
                    .map_err(|error| RuleError::Allow { pattern: pattern.clone(), error: error.to_string() })
            })
            .collect::<Result<_, _>>()?;
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&words)
            .ok();
        let allowed = given.allow_values.iter().cloned().collect();
        Ok(Engine { words, jobs, rules: all, everywhere, allowed, allowed_patterns, off })
    }

    /// One that could not be built. It finds everything.
    pub(crate) fn blind() -> Engine {
        Engine {
            words: None,
            jobs: Vec::new(),
            rules: Vec::new(),
            everywhere: Vec::new(),
            allowed: HashSet::new(),
            allowed_patterns: Vec::new(),
            off: HashSet::new(),
        }
    }

    /// What is found in a text, in order and apart from each other.
    pub(crate) fn find(&self, text: &str) -> Vec<Found> {
        self.find_within(text, 0)
    }

    fn find_within(&self, text: &str, depth: usize) -> Vec<Found> {
        let Some(words) = &self.words else {
            let range = 0..text.len();
            return if text.is_empty() {
                Vec::new()
            } else {
                vec![Found::new(range, "unscanned", text, Rank::Rule)]
            };
        };
        let layers = layers(text);
        let mut found = Vec::new();
        let mut of_layer = Vec::new();
        for level in 0..=layers.len() {
            let seen = if level == 0 { text } else { &layers[level - 1].text };
            self.look(words, seen, depth, &mut of_layer);
            found.extend(of_layer.drain(..).map(|mut one: Found| {
                one.range = outermost(text, &layers, level, one.range);
                one
            }));
        }
        if found.is_empty() {
            return found;
        }
        recur::add(text, &layers, &mut found);
        merged(text, found)
    }

    /// Looks through one layer.
    fn look(&self, words: &AhoCorasick, text: &str, depth: usize, found: &mut Vec<Found>) {
        let mut name_end = 0;
        let mut ranges = Vec::new();
        // What was looked at as a whole is not looked at again from a word within it.
        let (mut cookies_end, mut kube_end) = (0, 0);
        let mut near: Vec<Near> = Vec::new();
        for hit in words.find_overlapping_iter(text) {
            for job in &self.jobs[hit.pattern().as_usize()] {
                let at = hit.start();
                let rule = match *job {
                    Job::Rule(rule) if self.rules[rule].place == Place::Near => {
                        Near::add(&mut near, rule, text, at..hit.end());
                        continue;
                    }
                    Job::Rule(rule) => {
                        self.try_here(&self.rules[rule], text, at, found);
                        continue;
                    }
                    Job::Name => {
                        if let Some((range, rule)) = assign::at(text, at..hit.end(), &mut name_end) {
                            let range = wrap::continued(text, range);
                            self.keep(text, range, rule.into(), Rank::Name, found);
                        }
                        continue;
                    }
                    Job::Url => {
                        ranges.extend(hand::url(text, at));
                        "url-password"
                    }
                    Job::KeyBlock => {
                        ranges.extend(hand::key_block(text, at));
                        "private-key"
                    }
                    Job::KeyTail => {
                        ranges.extend(hand::key_tail(text, at));
                        "private-key"
                    }
                    Job::Cookies => {
                        if at >= cookies_end {
                            cookies_end = hand::cookies(text, at, &mut ranges);
                        }
                        "cookie"
                    }
                    Job::KubeSecret => {
                        if at >= kube_end {
                            kube_end = hand::kube_secret(text, at, &mut ranges);
                        }
                        "kubernetes-secret"
                    }
                };
                for range in ranges.drain(..) {
                    self.keep(text, range, rule.into(), Rank::Form, found);
                }
            }
        }
        for one in near {
            self.try_near(&self.rules[one.rule], text, one, found);
        }
        for at in &self.everywhere {
            let rule = &self.rules[*at];
            self.try_about(rule, text, 0..text.len(), found);
        }
        if depth < 2 {
            for (range, decoded) in base64::blobs(text) {
                if let Some(first) = self.find_within(&decoded, depth + 1).first() {
                    self.keep(text, range, first.rule.clone(), Rank::Form, found);
                }
            }
        }
    }

    fn try_near(&self, rule: &Compiled, text: &str, near: Near, found: &mut Vec<Found>) {
        let from = near.window.start;
        let any = self.try_about(rule, text, near.window, found);
        if any || rule.rank != Rank::Rule {
            return;
        }
        for keyword in &near.keywords {
            if let Some(range) = rule.regex().and_then(|regex| wrap::joined_about(text, from, keyword, regex))
                && rule.may_be(&text[range.clone()])
            {
                self.keep(text, range, rule.id.clone(), rule.rank, found);
            }
        }
    }

    fn try_here(&self, rule: &Compiled, text: &str, start: usize, found: &mut Vec<Found>) {
        let bytes = text.as_bytes();
        let bounded = start == 0 || !(bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_');
        if !bounded || !rule.keywords.iter().any(|word| bytes[start..].starts_with(word.as_bytes())) {
            return;
        }
        let Some(regex) = rule.regex() else { return };
        let rest = &text[start..floor(text, start + LONGEST)];
        let len = match regex.find(rest) {
            Some(whole) => whole.end() + goes_on(&rest.as_bytes()[whole.end()..]),
            None => match wrap::joined_match(text, start, regex) {
                Some(len) => len,
                None => return,
            },
        };
        let range = start..start + len;
        if rule.may_be(&text[range.clone()]) {
            let range = wrap::continued(text, range);
            self.keep(text, range, rule.id.clone(), rule.rank, found);
        }
    }

    /// Whether the pattern matched, credential or not.
    fn try_about(&self, rule: &Compiled, text: &str, window: Range<usize>, found: &mut Vec<Found>) -> bool {
        let Some(regex) = rule.regex() else { return false };
        let mut none = true;
        for groups in regex.captures_iter(&text[window.clone()]) {
            none = false;
            let value = groups.iter().skip(1).flatten().next().or_else(|| groups.get(0));
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            let mut range = window.start + value.start()..window.start + value.end();
            if range.end == window.end {
                range.end += goes_on(&text.as_bytes()[range.end..]);
            }
            let told = text[range.clone()].trim_end_matches(['.', ',', ':', ';']).len();
            range.end = range.start + told;
            if rule.may_be(&text[range.clone()]) && tells(&rule.id, &text[range.clone()]) {
                self.keep(text, range, rule.id.clone(), rule.rank, found);
            }
        }
        !none
    }

    /// Whether there is a rule for the form of such values, built in or a user's own.
    pub(crate) fn has_rule(&self, id: &str) -> bool {
        self.rules.iter().any(|rule| &*rule.id == id)
    }

    /// Whether a value was allowed, or its rule put out of use.
    pub(crate) fn is_allowed(&self, rule: &str, value: &str) -> bool {
        self.off.contains(rule)
            || self.allowed.contains(value)
            || self.allowed_patterns.iter().any(|pattern| pattern.is_match(value))
    }

    fn keep(&self, text: &str, mut range: Range<usize>, rule: Arc<str>, rank: Rank, found: &mut Vec<Found>) {
        if &*rule != "private-key" {
            let kept = within_quotes(text, &range);
            if kept < range.len() && kept < SHORTEST_CUT {
                return;
            }
            range.end = range.start + kept;
        }
        // A backslash at the end belongs to what follows it.
        while range.end > range.start && text.as_bytes()[range.end - 1] == b'\\' {
            range.end -= 1;
        }
        let value = &text[range.clone()];
        if !value.is_empty()
            && !value.contains("[redacted")
            && !begins_in_mark(text, range.start)
            && !self.is_allowed(&rule, value)
        {
            found.push(Found { range, rule, value: Zeroizing::new(value.to_owned()), rank });
        }
    }
}

/// The layers of a text below the outermost.
pub(crate) fn layers(text: &str) -> Vec<View> {
    let mut layers: Vec<View> = Vec::new();
    while layers.len() < LAYERS {
        let Some(view) = View::peeled(layers.last().map_or(text, |view| &view.text)) else { break };
        layers.push(view);
    }
    layers
}

/// The range of the text itself for one of a layer, such that no escape of any layer is cut.
pub(crate) fn outermost(text: &str, layers: &[View], level: usize, range: Range<usize>) -> Range<usize> {
    let outward = |range: Range<usize>, layers: &[View]| {
        layers.iter().rev().fold(range, |range, view| view.source(&range))
    };
    // Inward, to the whole escapes of what lies below; then out again. What lies below may have passed it over.
    let below = layers[level..].iter().fold(range.clone(), |range, view| view.within(&range));
    let (near, far) = (outward(range, &layers[..level]), outward(below, layers));
    let whole = if far.is_empty() { near } else { near.start.min(far.start)..near.end.max(far.end) };
    floor(text, whole.start)..ceil(text, whole.end)
}

/// Whether a place lies inside a mark that was put there before.
fn begins_in_mark(text: &str, at: usize) -> bool {
    let before = &text[ceil(text, at.saturating_sub(80))..at];
    before.rfind("[redacted:").is_some_and(|open| !before[open..].contains(']'))
}

/// How much of a range lies before a quote that is not of the value: structure follows there, perhaps a layer further in.
fn within_quotes(text: &str, range: &Range<usize>) -> usize {
    let value = &text[range.clone()];
    let Some(quote) = value.find('"') else { return value.len() };
    let before = range.start.checked_sub(1).and_then(|at| text.as_bytes().get(at)).copied();
    let closed = before.is_some() && before == text.as_bytes().get(range.end).copied();
    let whole = match before {
        Some(b'"') => value.match_indices('"').all(|(at, _)| value[..at].ends_with('\\')),
        Some(b'\'' | b'`') => !value.contains("\",") && !value.contains("\":") && !value.contains("\"}"),
        _ => false,
    };
    if closed && whole { value.len() } else { quote }
}

/// How many more letters and digits follow: a longer credential than its kind has is one all the same.
fn goes_on(rest: &[u8]) -> usize {
    rest.iter().take(512).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count()
}

/// What is told in prose has to look like a password, as the words about it are frequent.
fn tells(rule: &str, value: &str) -> bool {
    use crate::plausible::{is_code, is_hex, is_password, is_random};
    match rule {
        "told-password" => {
            !is_code(value)
                && (is_random(value, 12)
                    || value.bytes().any(|b| b.is_ascii_digit())
                        && is_password(value, 6)
                        && !value.contains(['/', '-']))
        }
        "authorization-header" => {
            is_random(value, 14) || value.len() >= 20 && value.bytes().any(|b| b.is_ascii_digit())
        }
        "aws-secret-access-key" => !is_hex(value),
        "attribute-password" | "sql-password" => is_password(value, 6),
        "url-token" => is_random(value, 16),
        _ => true,
    }
}

fn built_in(rule: &'static crate::rule::Rule) -> Compiled {
    Compiled {
        id: rule.id.into(),
        pattern: if rule.place == Place::Here {
            format!(r"\A(?:{})", rule.pattern)
        } else {
            rule.pattern.to_owned()
        },
        place: rule.place,
        keywords: rule.keywords.iter().map(|word| (*word).to_owned()).collect(),
        rank: if rule.generic { Rank::Form } else { Rank::Rule },
        entropy: rule.entropy,
        checksum: rule.checksum,
        regex: OnceLock::new(),
    }
}

/// Ids stand in marks, and marks in JSON, HTML and terminals.
fn plain_id(id: &str) -> Result<&str, RuleError> {
    let plain = !id.is_empty()
        && id.len() <= 64
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain { Ok(id) } else { Err(RuleError::Id(id.to_owned())) }
}
