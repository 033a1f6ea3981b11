//! What a file may say of what was captured: without credentials, and without the names of users in paths.
//!
//! [`Clean`] is text that went through here, and the only captured text that [`super::html::Html`] takes. Everything is
//! redacted whole, before any of it is cut, so that no half of a credential is left. Values ([`View`]) are redacted with
//! their structure, for the name of a member may be what tells that its value is a credential.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ccd_redact::Redactor;
use regex::{Captures, Regex};
use serde_json::Value;

use crate::vault::reveal::Revealer;

/// What is taken out of everything that leaves: by the rules in force now, whatever was in force at capture.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    /// The rules, with marks that name no value's token but those that stand there already.
    pub redactor: Redactor,
    /// The user's home directory, which becomes `~`.
    pub home: Option<PathBuf>,
}

/// Text that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean<'a>(Cow<'a, str>);

impl<'a> Clean<'a> {
    /// Words and figures of ours, with nothing in them that was captured.
    #[must_use]
    pub fn ours(words: impl Into<Cow<'a, str>>) -> Self {
        Clean(words.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A part of it: `of` must be one of its own slices.
    #[must_use]
    pub fn part<'b>(&'b self, of: &'b str) -> Clean<'b> {
        Clean(Cow::Borrowed(of))
    }

    /// The same, with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> Clean<'static> {
        Clean(Cow::Owned(self.0.into_owned()))
    }

    /// Several, joined.
    #[must_use]
    pub fn joined(parts: &[Clean<'_>], between: &str) -> Clean<'static> {
        let parts: Vec<&str> = parts.iter().map(Clean::as_str).collect();
        Clean(Cow::Owned(parts.join(between)))
    }

    /// Its beginning on one line of at most so many characters.
    #[must_use]
    pub fn line(&self, most: usize) -> Clean<'static> {
        let mut line = String::new();
        let mut chars = 0;
        for word in self.0.split_whitespace() {
            let room = most.saturating_sub(chars + usize::from(chars > 0));
            if chars > 0 && room > 0 {
                line.push(' ');
                chars += 1;
            }
            let len = word.chars().count();
            line.extend(word.chars().take(room));
            chars += len.min(room);
            if len > room {
                line.push('…');
                break;
            }
        }
        Clean(Cow::Owned(line))
    }
}

/// A value that may be shown.
#[derive(Clone, Debug, Default)]
pub struct CleanValue(Value);

impl CleanValue {
    /// The value itself, to be written elsewhere.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.0
    }

    /// To look into it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View(&self.0)
    }
}

/// A look at a value that may be shown, or at a part of it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a>(&'a Value);

impl<'a> View<'a> {
    /// A member.
    #[must_use]
    pub fn get(self, name: &str) -> Option<View<'a>> {
        self.0.get(name).map(View)
    }

    /// A string.
    #[must_use]
    pub fn str(self) -> Option<Clean<'a>> {
        self.0.as_str().map(|s| Clean(Cow::Borrowed(s)))
    }

    /// A member that is a string.
    #[must_use]
    pub fn text(self, name: &str) -> Option<Clean<'a>> {
        self.get(name)?.str()
    }

    /// Whether a member is this word.
    #[must_use]
    pub fn is(self, name: &str, word: &str) -> bool {
        self.0.get(name).and_then(Value::as_str) == Some(word)
    }

    /// A member that is a count.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    /// The things in a list; none where it is none.
    pub fn items(self) -> impl Iterator<Item = View<'a>> {
        self.0.as_array().into_iter().flatten().map(View)
    }

    /// Whether it is a list of at least one.
    #[must_use]
    pub fn is_list(self) -> bool {
        self.0.as_array().is_some_and(|list| !list.is_empty())
    }

    /// Members in their order; none where it is no object.
    pub fn members(self) -> impl Iterator<Item = (Clean<'a>, View<'a>)> {
        self.0
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, v)| (Clean(Cow::Borrowed(name.as_str())), View(v)))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        match self.0 {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        }
    }

    /// It as JSON for people, or as the text that it is.
    #[must_use]
    pub fn readable(self) -> Clean<'a> {
        match self.0 {
            Value::String(s) => Clean(Cow::Borrowed(s)),
            other => Clean(Cow::Owned(serde_json::to_string_pretty(other).unwrap_or_default())),
        }
    }
}

/// Makes captured text fit to be shown, and counts what it took out.
pub struct Cleaner {
    /// None: everything stays as it is.
    rules: Option<Rules>,
    /// Then, what marks are turned back by.
    revealer: Option<Arc<Revealer>>,
    found: RefCell<BTreeMap<String, u64>>,
    paths: Cell<u64>,
}

struct Rules {
    redactor: Redactor,
    /// A mark that a redactor left, with its rule.
    mark: Regex,
    /// The home directories that are known, as they stand in paths.
    homes: Option<Regex>,
    /// Anybody's home directory.
    anybody: Regex,
}

/// Longest end of a cut text that is let stand without a break in it, in bytes: no part of a credential that says much.
const CUT_WORD: usize = 12;

/// A text that was cut when it was captured, without the word that the cut went through: half of a credential is known by
/// no rule. Previews end in an ellipsis, and what was taken from the middle of a text stands between two.
fn without_cut_word(text: &str) -> Cow<'_, str> {
    let belongs = |c: char| c.is_alphanumeric() || "_-+/=.:~%@$&!#*".contains(c);
    let is_long = |word: &str| word.len() > CUT_WORD;
    let mut out = Cow::Borrowed(text);
    if let Some(head) = out.trim_end().strip_suffix('…') {
        let kept = head.trim_end_matches(belongs);
        if is_long(&head[kept.len()..]) {
            out = Cow::Owned(format!("{kept}…"));
        }
    }
    if let Some((head, tail)) = out.split_once("\n…[")
        && let Some((how_much, tail)) = tail.split_once("]…\n")
        && how_much.contains(" bytes cut")
    {
        let (kept, rest) = (head.trim_end_matches(belongs), tail.trim_start_matches(belongs));
        let kept = if is_long(&head[kept.len()..]) { kept } else { head };
        let rest = if is_long(&tail[..tail.len() - rest.len()]) { rest } else { tail };
        out = Cow::Owned(format!("{kept}\n…[{how_much}]…\n{rest}"));
    }
    out
}

impl Cleaner {
    /// With the standard rules; the user's home directory and the one that `cwd` lies in become `~`.
    pub fn standard(privacy: &Privacy, cwd: Option<&str>) -> Result<Self, regex::Error> {
        let anybody =
            Regex::new(r#"(/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2})([^/\\\s"'`<>:|,;()\[\]{}*]+)"#)?;
        let home = privacy.home.iter().map(|home| home.to_string_lossy().into_owned());
        let mut homes: Vec<String> = home.collect();
        homes.extend(
            cwd.and_then(|cwd| Some(anybody.find(cwd).filter(|m| m.start() == 0)?.as_str().to_owned())),
        );
        homes.retain(|home| home.len() > 1 && home.starts_with('/'));
        let homes: Vec<String> = homes
            .iter()
            .map(|home| home.trim_end_matches('/'))
            // As it is, and as Claude Code makes a directory's name of it.
            .flat_map(|home| [regex::escape(home), regex::escape(&slug(home))])
            .collect();
        let homes = match homes.as_slice() {
            [] => None,
            some => Some(Regex::new(&format!(r"({})([^A-Za-z0-9_.]|\.[^A-Za-z0-9_]|\.?$)", some.join("|")))?),
        };
        let mark = Regex::new(r"\[redacted:([A-Za-z0-9_.-]{1,64})[^\]\s]{0,80}\]")?;
        let rules = Rules { redactor: privacy.redactor.clone(), mark, homes, anybody };
        Ok(Cleaner { rules: Some(rules), ..Self::revealing() })
    }

    /// One that leaves everything as it is.
    #[must_use]
    pub fn revealing() -> Self {
        Cleaner { rules: None, revealer: None, found: RefCell::default(), paths: Cell::default() }
    }

    /// One that puts what was taken out at capture back in, where there is a vault that has it.
    #[must_use]
    pub fn revealing_by(revealer: Option<Arc<Revealer>>) -> Self {
        Cleaner { revealer, ..Self::revealing() }
    }

    /// Whether it leaves everything as it is.
    #[must_use]
    pub fn reveals(&self) -> bool {
        self.rules.is_none()
    }

    /// Marks in the file so far, by rule: credentials that were taken out now or when they were captured.
    #[must_use]
    pub fn found(&self) -> BTreeMap<String, u64> {
        self.found.borrow().clone()
    }

    /// Names of users that were taken out of paths so far.
    #[must_use]
    pub fn paths(&self) -> u64 {
        self.paths.get()
    }

    /// Text as it may be shown.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Clean<'a> {
        let Some(rules) = &self.rules else { return Clean(self.revealed(text)) };
        let text = match without_cut_word(text) {
            Cow::Borrowed(text) => rules.redactor.text(text),
            Cow::Owned(text) => Cow::Owned(rules.redactor.text(&text).into_owned()),
        };
        self.count(rules, &text);
        Clean(self.at_home(rules, text))
    }

    /// The value of a header or a parameter as it may be shown: its name may be what tells that it is a credential.
    #[must_use]
    pub fn named(&self, name: &str, text: &str) -> String {
        let Some(rules) = &self.rules else { return self.revealed(text).into_owned() };
        let text = rules.redactor.named(name, text);
        self.text(&text).as_str().to_owned()
    }

    /// Bytes that are no text, without the credentials in them.
    #[must_use]
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.rules {
            Some(rules) => rules.redactor.bytes(bytes),
            None => match &self.revealer {
                Some(revealer) => Cow::Owned(revealer.bytes(bytes)),
                None => Cow::Borrowed(bytes),
            },
        }
    }

    fn revealed<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.revealer.as_ref().map_or(Cow::Borrowed(text), |revealer| revealer.text(text))
    }

    /// The beginning of a text, on one line, where the whole of it stands elsewhere in the file: it is not counted.
    #[must_use]
    pub fn line(&self, text: &str, most: usize) -> Clean<'static> {
        let before = (self.found(), self.paths());
        let line = self.text(text).line(most);
        *self.found.borrow_mut() = before.0;
        self.paths.set(before.1);
        line
    }

    /// A value as it may be shown.
    #[must_use]
    pub fn value(&self, mut value: Value) -> CleanValue {
        if let Some(rules) = &self.rules {
            rules.redactor.value(&mut value);
            self.value_at_home(rules, &mut value);
        } else if let Some(revealer) = &self.revealer {
            reveal(revealer, &mut value);
        }
        CleanValue(value)
    }

    fn value_at_home(&self, rules: &Rules, value: &mut Value) {
        match value {
            Value::String(text) => {
                self.count(rules, text);
                if let Cow::Owned(shorter) = self.at_home(rules, Cow::Borrowed(text)) {
                    *text = shorter;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|v| self.value_at_home(rules, v)),
            Value::Object(members) => {
                for (name, mut member) in std::mem::take(members) {
                    self.count(rules, &name);
                    self.value_at_home(rules, &mut member);
                    members.insert(self.at_home(rules, Cow::Owned(name)).into_owned(), member);
                }
            }
            _ => {}
        }
    }

    fn count(&self, rules: &Rules, text: &str) {
        if !text.contains("[redacted:") {
            return;
        }
        for mark in rules.mark.captures_iter(text) {
            *self.found.borrow_mut().entry(mark[1].to_owned()).or_default() += 1;
        }
    }

    fn at_home<'a>(&self, rules: &Rules, text: Cow<'a, str>) -> Cow<'a, str> {
        let replaced = |by: &Regex, text: Cow<'a, str>, with: &dyn Fn(&Captures<'_>) -> String| {
            let done = by.replace_all(&text, |found: &Captures<'_>| {
                self.paths.set(self.paths.get() + 1);
                with(found)
            });
            match done {
                Cow::Borrowed(_) => None,
                Cow::Owned(done) => Some(done),
            }
            .map_or(text, Cow::Owned)
        };
        let mut text = text;
        if let Some(homes) = &rules.homes {
            text = replaced(homes, text, &|found| format!("~{}", &found[2]));
        }
        replaced(&rules.anybody, text, &|found| format!("{}user", &found[1]))
    }
}

/// All texts of a value with what their marks stand for.
fn reveal(revealer: &Revealer, value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(whole) = revealer.text(text) {
                *text = whole;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|one| reveal(revealer, one)),
        Value::Object(members) => members.values_mut().for_each(|one| reveal(revealer, one)),
        _ => {}
    }
}

/// A path as Claude Code names a project's directory by it.
fn slug(path: &str) -> String {
    path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn cleaner() -> Cleaner {
        Cleaner::standard(
            &Privacy { home: Some("/home/ann".into()), ..Privacy::default() },
            Some("/Users/bob.b/shop"),
        )
        .unwrap()
    }

    #[test]
    fn names_of_users_go_out_of_paths() {
        let cleaner = cleaner();
        for (given, want) in [
            ("cat /home/ann/shop/a.py", "cat ~/shop/a.py"),
            ("in /home/ann.", "in ~."),
            ("/home/ann", "~"),
            ("/home/annette/x", "/home/user/x"),
            ("'/Users/bob.b/shop'", "'~/shop'"),
            ("/Users/carol/x:/home/dan", "/Users/user/x:/home/user"),
            (r"C:\Users\eve\x", r"C:\Users\user\x"),
            ("~/.claude/projects/-home-ann-shop/x.jsonl", "~/.claude/projects/~-shop/x.jsonl"),
            ("at home / Users", "at home / Users"),
        ] {
            assert_eq!(cleaner.text(given).as_str(), want);
        }
        let value = cleaner.value(json!({"/home/ann/a": ["/home/ann/b", 1]}));
        assert_eq!(value.0, json!({"~/a": ["~/b", 1]}));
        assert_eq!(cleaner.paths(), 11);
    }

    #[test]
    fn what_a_cut_went_through_is_left_out() {
        let cleaner = cleaner();
        // Put together here, so that nobody takes this file for a leak.
        let token = format!("gh{}_{}", 'p', "16C7e42F292c6912E7710c838347Ae178B4a");
        for at in 8..token.len() {
            let cut = format!("{} token {}…", "word ".repeat(30), &token[..at]);
            let shown = cleaner.text(&cut);
            assert!(shown.as_str().ends_with("token …") || at <= CUT_WORD, "{at}: {}", shown.as_str());
            let (head, tail) = (&token[..at], &token[at..]);
            let cut = format!("see {head}\n…[99 bytes cut, hash 0123456789abcdef]…\n{tail} then");
            let shown = cleaner.text(&cut);
            let longest = [head, tail].into_iter().filter(|part| shown.as_str().contains(part)).map(str::len);
            assert!(longest.max().unwrap_or(0) <= CUT_WORD, "{at}: {}", shown.as_str());
        }
        for whole in ["wait…", "no end", "a list … of words", ""] {
            assert_eq!(cleaner.text(whole).as_str(), whole);
        }
    }

    #[test]
    fn what_is_revealed_is_as_it_was() {
        let cleaner = Cleaner::revealing();
        assert!(cleaner.reveals());
        assert_eq!(cleaner.text("/home/ann [redacted:x]").as_str(), "/home/ann [redacted:x]");
        assert!(cleaner.found().is_empty() && cleaner.paths() == 0);
    }

    #[test]
    fn marks_are_counted_where_they_stand_once() {
        let cleaner = cleaner();
        let _ = cleaner.text("a [redacted:github-token] b [redacted:github-token] [redacted:bearer]");
        let _ = cleaner.line("a [redacted:github-token]", 10);
        let _ = cleaner.value(json!({"x": ["[redacted:bearer]"]}));
        let found: Vec<_> = cleaner.found().into_iter().collect();
        assert_eq!(found, [("bearer".to_owned(), 2), ("github-token".to_owned(), 2)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_line_is_short_and_one(text in "[a-z \n\t…ä]{0,60}", most in 1usize..30) {
            let whole = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = Clean::ours(text.as_str()).line(most);
            prop_assert!(line.as_str().chars().count() <= most + 1);
            prop_assert!(!line.as_str().contains('\n'));
            if whole.chars().count() <= most {
                prop_assert_eq!(line.as_str(), whole);
            }
        }

        #[test]
        fn nothing_panics_and_no_known_home_is_left(texts in prop::collection::vec(("\\PC{0,20}", "\\PC{0,20}"), 16)) {
            let cleaner = cleaner();
            for (before, after) in texts {
            let given = format!("{before}/home/ann/{after}");
            let clean = cleaner.text(&given);
            prop_assert!(!clean.as_str().contains("/home/ann/"), "{}", clean.as_str());
            }
        }
    }
}
