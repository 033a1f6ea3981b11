//! What was found, for people and as JSON: places and figures, never values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::scan::{FileScan, Outcome};
use super::walk::others_can_read;
use crate::env::Env;
use crate::error::Result;
use crate::human::{bytes, exact, plural};
use crate::printer::{Printer, Tone, visible};

/// Lines that are named in a table; JSON has more.
const NAMED: usize = 6;

/// The whole.
#[derive(Serialize)]
pub(super) struct Report {
    /// Files that were looked through.
    files: u64,
    bytes: u64,
    /// Files that are no text.
    binaries: u64,
    /// Different values.
    distinct: u64,
    pub(super) occurrences: u64,
    found: Vec<FoundFile>,
    kinds: Vec<KindTotal>,
    pub(super) unreadable: Vec<Unread>,
    advice: Vec<&'static str>,
}

#[derive(Serialize)]
struct FoundFile {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_at: Option<String>,
    #[serde(skip)]
    modified: Option<Timestamp>,
    mode: String,
    others_can_read: bool,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    rule: String,
    count: u64,
    distinct: u64,
    /// The first hundred.
    lines: Vec<u64>,
}

#[derive(Default, Serialize)]
struct KindTotal {
    rule: String,
    distinct: u64,
    occurrences: u64,
    files: u64,
}

#[derive(Serialize)]
pub(super) struct Unread {
    path: String,
    reason: String,
}

impl Report {
    pub(super) fn new(env: &Env, scans: Vec<FileScan>, unreadable: Vec<(PathBuf, String)>) -> Report {
        let mut report = Report {
            files: 0,
            bytes: 0,
            binaries: 0,
            distinct: 0,
            occurrences: 0,
            found: Vec::new(),
            kinds: Vec::new(),
            unreadable: Vec::new(),
            advice: Vec::new(),
        };
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut totals: BTreeMap<String, KindTotal> = BTreeMap::new();
        let mut unread: Vec<(PathBuf, String)> = unreadable;
        for FileScan { file, outcome } in scans {
            let finds = match outcome {
                Outcome::Binary => {
                    report.binaries += 1;
                    continue;
                }
                Outcome::Unreadable(reason) => {
                    unread.push((file.path, reason));
                    continue;
                }
                Outcome::Looked(finds) => finds,
            };
            report.files += 1;
            report.bytes += file.bytes;
            if finds.is_empty() {
                continue;
            }
            let open = others_can_read(&file);
            let mut findings = Vec::new();
            for (rule, finds) in finds {
                let total = totals.entry(rule.clone()).or_default();
                total.occurrences += finds.count;
                total.files += 1;
                report.occurrences += finds.count;
                findings.push(Finding {
                    rule: rule.clone(),
                    count: finds.count,
                    distinct: finds.values.len() as u64,
                    lines: finds.lines.into_iter().collect(),
                });
                values.entry(rule).or_default().extend(finds.values);
            }
            // To the second: what lies behind it says nothing.
            let modified = file.modified.and_then(|at| Timestamp::try_from(at).ok());
            let modified = modified.and_then(|at| Timestamp::from_second(at.as_second()).ok());
            report.found.push(FoundFile {
                path: shown(env, &file.path),
                modified_at: modified.map(|at| at.to_string()),
                modified,
                mode: format!("{:04o}", file.mode),
                others_can_read: open,
                findings,
            });
        }
        report.found.sort_by(|a, b| a.path.cmp(&b.path));
        for (rule, mut total) in totals {
            total.distinct = values.get(&rule).map_or(0, |values| values.len() as u64);
            total.rule = rule;
            report.kinds.push(total);
        }
        // One value may be told as of two kinds, by what stands about it.
        report.distinct = values.values().flatten().collect::<BTreeSet<_>>().len() as u64;
        report.kinds.sort_by(|a, b| (b.distinct, &a.rule).cmp(&(a.distinct, &b.rule)));
        unread.sort();
        report.unreadable =
            unread.into_iter().map(|(path, reason)| Unread { path: shown(env, &path), reason }).collect();
        if report.occurrences > 0 {
            report.advice = ADVICE.to_vec();
            if report.found.iter().any(|file| file.others_can_read) {
                report.advice.push("others on this machine can read some of these files: chmod 600 FILE");
            }
        }
        report
    }

    pub(super) fn print(&self, env: &Env, out: &mut Printer) -> Result<()> {
        for file in &self.found {
            let modified = file.modified.map_or_else(String::new, |at| {
                format!("  modified {}", at.to_zoned(env.tz.clone()).strftime("%Y-%m-%d %H:%M"))
            });
            let path = out.paint(Tone::Strong, &visible(&file.path));
            let open = if file.others_can_read {
                out.paint(Tone::Bad, &format!("  {}: others can read it", file.mode))
            } else {
                String::new()
            };
            out.line(format!("{path}{}{open}", out.paint(Tone::Faint, &modified)))?;
            for finding in &file.findings {
                let named: Vec<String> = finding.lines.iter().take(NAMED).map(u64::to_string).collect();
                let more = if finding.lines.len() > NAMED { " …" } else { "" };
                let lines = if finding.lines.len() == 1 { "line" } else { "lines" };
                let values = if finding.distinct == finding.count {
                    String::new()
                } else {
                    format!(", {}", plural(finding.distinct, "value"))
                };
                out.line(format!(
                    "  {:<28} {:>5}{values}  {lines} {}{more}",
                    visible(&finding.rule),
                    exact(finding.count),
                    named.join(", ")
                ))?;
            }
        }
        if !self.found.is_empty() {
            out.line("")?;
            out.line(out.paint(
                Tone::Strong,
                &format!("{:<28} {:>8} {:>8} {:>8}", "kind", "values", "places", "files"),
            ))?;
            for kind in &self.kinds {
                out.line(format!(
                    "{:<28} {:>8} {:>8} {:>8}",
                    visible(&kind.rule),
                    exact(kind.distinct),
                    exact(kind.occurrences),
                    exact(kind.files)
                ))?;
            }
            out.line("")?;
        }
        let looked = format!("{} ({}) looked through", plural(self.files, "file"), bytes(self.bytes));
        if self.occurrences == 0 {
            out.line(format!("no credentials found: {looked}"))?;
        } else {
            out.line(format!(
                "{} in {}, {}: {looked}",
                plural(self.distinct, "credential"),
                plural(self.occurrences, "place"),
                plural(self.found.len() as u64, "file")
            ))?;
        }
        for file in &self.unreadable {
            out.warn(format!("{}: {}", file.path, file.reason));
        }
        for advice in &self.advice {
            out.line(format!("- {advice}"))?;
        }
        Ok(())
    }
}

/// What to do about it.
const ADVICE: &[&str] = &[
    "rotate what still works: whatever read these files may have it",
    "delete what is not needed: a transcript is one session's file, and a session that is deleted is not resumed",
    "Claude Code deletes transcripts after `cleanupPeriodDays` (30) in its settings.json: a lower number keeps less",
    "what is no credential is named in allow_values or allow_patterns under [redact] of ccd's config.toml",
];

fn shown(env: &Env, path: &std::path::Path) -> String {
    let below = env.home().and_then(|home| path.strip_prefix(home).ok().map(std::path::Path::to_owned));
    match below {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}
