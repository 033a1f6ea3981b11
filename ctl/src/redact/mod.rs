//! `ccctl redact`: a text in, the same text out with credentials replaced by marks. Needs no daemon.
//!
//! Must never print a text that it could not look through, nor hold more of it than [`stretches::MOST`].

mod jsonl;
pub(crate) mod stretches;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::Path;

use ccd_redact::{Redactor, Scrubber};
use serde::Serialize;

use crate::args::RedactArgs;
use crate::config::redact::redactor;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::plural;
use crate::printer::{Printer, Tone};

use self::stretches::Stretches;

/// What is remembered of a long text: known values and pieces.
const MEMORY: usize = 8 << 20;

/// What is looked for without a rule of its own, for people.
const BY_HAND: &[(&str, &str)] = &[
    ("authorization-header", "Credential in an Authorization header"),
    ("cookie", "Values of session cookies"),
    ("kubernetes-secret", "Values of a Kubernetes secret"),
    ("named-secret", "Value under a name that tells of a credential: api_key, client_secret, token"),
    ("password", "Value under a name that tells of a password"),
    ("private-key", "Private key between its lines, or what is left of it"),
    ("url-password", "Password, or token for a user, in a URL"),
];

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &RedactArgs) -> Result<()> {
    if args.list_rules {
        return list(out, args.json);
    }
    let redactor = redactor(env)?;
    let mut counts = Counts::default();
    let (mut lines, mut wrong) = (0, 0);
    let stdin = Path::new("-");
    let files = if args.files.is_empty() { vec![stdin.to_owned()] } else { args.files.clone() };
    let mut failed = None;
    for path in &files {
        let (shown, input): (String, Box<dyn Read>) = if path == stdin {
            ("stdin".to_owned(), Box::new(io::stdin()))
        } else {
            match fs_err::File::open(env.cwd.join(path)) {
                Ok(file) => (path.display().to_string(), Box::new(file)),
                Err(error) => {
                    out.error(&error.into());
                    failed = Some(CommandError::failed("not every file could be read"));
                    continue;
                }
            }
        };
        let counted = args.json.then_some(&mut counts);
        if args.jsonl {
            let done = jsonl::run(out, &redactor, &shown, BufReader::with_capacity(1 << 20, input), counted)?;
            lines += done.lines;
            wrong += done.wrong;
        } else {
            text(out, &redactor, input, counted)?;
        }
    }
    if args.json {
        out.json(&counts.summary(args.jsonl.then_some(lines), args.jsonl.then_some(wrong)))?;
    }
    if wrong > 0 {
        return Err(CommandError::failed(format!(
            "{wrong} of {} could not be redacted",
            plural(lines, "line")
        ))
        .hint("a line is an object with `text` in it: {\"text\":\"…\"}"));
    }
    failed.map_or(Ok(()), Err)
}

/// Prints a text, a stretch at a time; what was recognised goes from later stretches too.
fn text(
    out: &mut Printer,
    redactor: &Redactor,
    input: impl Read,
    mut counts: Option<&mut Counts>,
) -> Result<()> {
    let scrubber = Scrubber::new(redactor.clone(), MEMORY);
    let mut stretches = Stretches::new(input, stretches::MOST);
    while let Some(stretch) = stretches.next()? {
        let edits = scrubber.edits("", &stretch);
        match counts.as_deref_mut() {
            Some(counts) => {
                let mut rules = BTreeMap::new();
                for edit in &edits {
                    *rules.entry(rule_of(&edit.mark).to_owned()).or_default() += 1;
                }
                counts.add(rules, stretch.len());
            }
            None => out.bytes(&ccd_redact::apply(&stretch, &edits))?,
        }
    }
    Ok(())
}

/// The rule that a mark names.
pub(crate) fn rule_of(mark: &str) -> &str {
    let inner = mark.strip_prefix("[redacted:").unwrap_or(mark);
    inner.split([':', ']']).next().unwrap_or(inner)
}

/// What was found, in figures.
#[derive(Default)]
struct Counts {
    bytes: u64,
    rules: BTreeMap<String, u64>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Summary<'a> {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong_lines: Option<u64>,
    found: u64,
    rules: Vec<RuleCount<'a>>,
}

#[derive(Serialize)]
struct RuleCount<'a> {
    rule: &'a str,
    count: u64,
}

impl Counts {
    fn add(&mut self, rules: BTreeMap<String, u64>, bytes: usize) {
        self.bytes += bytes as u64;
        for (rule, count) in rules {
            *self.rules.entry(rule).or_default() += count;
        }
    }

    fn summary(&self, lines: Option<u64>, wrong_lines: Option<u64>) -> Summary<'_> {
        let rules = self.rules.iter().map(|(rule, count)| RuleCount { rule, count: *count }).collect();
        Summary { bytes: self.bytes, lines, wrong_lines, found: self.rules.values().sum(), rules }
    }
}

#[derive(Serialize)]
struct Listed {
    rules: Vec<ListedRule>,
}

#[derive(Serialize)]
struct ListedRule {
    rule: &'static str,
    about: &'static str,
}

/// The rules: those of a form, then what is looked for otherwise.
fn list(out: &mut Printer, json: bool) -> Result<()> {
    let mut rules: Vec<ListedRule> = ccd_redact::rules::all()
        .map(|rule| (rule.id, rule.about))
        .chain(BY_HAND.iter().copied())
        .map(|(rule, about)| ListedRule { rule, about })
        .collect();
    rules.sort_by_key(|rule| rule.rule);
    if json {
        return out.json(&Listed { rules });
    }
    let width = rules.iter().map(|rule| rule.rule.len()).max().unwrap_or(0);
    for rule in &rules {
        let name = out.paint(Tone::Strong, &format!("{:<width$}", rule.rule));
        out.line(format!("{name}  {}", rule.about))?;
    }
    Ok(())
}
