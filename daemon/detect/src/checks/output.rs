//! What checks said: by their exit code, or where something hides it, by what they print.
//!
//! It must never take a word for a failure where the output sums up that all is well: tests that pass print errors too.
//!
//! Invariant: a failure that is summed up goes before a success, a success that is summed up before a complaint.

use serde_json::Value;

use super::{Said, command};
use crate::event::{Outcome, text};
use crate::memory::step::{is_refusal, is_sibling};
use crate::shell::{self, Join};
use crate::text::{head, shown, tail};

/// Bytes of an output that are looked at from each end.
const LOOKED_AT: usize = 8 * 1024;
/// Bytes of an error that says that a check did not run: a longer one is its report.
const SHORT: usize = 400;
/// Errors of checks that did not run.
const NEVER: [&str; 8] = [
    "Exit code 127",
    "command not found",
    "unknown command",
    "No such file or directory",
    "is not recognized as",
    "Missing script",
    "No rule to make target",
    "Command failed: spawn",
];

/// What came back from a check; `None` where it did not run.
#[must_use]
pub fn said(line: &str, outcome: &Outcome) -> Option<Said> {
    let parts = shell::split(head(line, shell::MAX_COMMAND));
    let last = parts.last().map(|(join, part)| (*join, part.split_whitespace().next().unwrap_or_default()));
    let greps = matches!(last, Some((Join::Pipe, "grep" | "rg" | "egrep")));
    // What runs behind the check answers in its place.
    let check = parts.iter().rposition(|(join, part)| *join != Join::Pipe && command::checks(part).any());
    let behind = parts.get(check.map_or(parts.len(), |at| at + 1)..).unwrap_or_default();
    match outcome {
        Outcome::Err(error) => {
            if is_sibling(error) || is_refusal(error) {
                return None;
            }
            if error.len() < SHORT && NEVER.iter().any(|sign| error.contains(sign)) {
                return None;
            }
            if error.contains("timed out") && error.len() < SHORT || greps && error.trim() == "Exit code 1" {
                return Some(Said::Unknown);
            }
            // `make test && git push`: the push failed, the tests did not.
            let other = !behind.is_empty() && summary(error) == Some(true);
            Some(if other { Said::Passed } else { Said::Failed })
        }
        Outcome::Ok(response) => {
            if response.get("backgroundTaskId").is_some_and(|id| !id.is_null())
                || response.get("interrupted").and_then(Value::as_bool) == Some(true)
            {
                return Some(Said::Unknown);
            }
            if !behind.iter().any(|(join, _)| matches!(join, Join::Pipe | Join::Or | Join::Then)) {
                return Some(Said::Passed);
            }
            let output =
                [response.as_str().unwrap_or_default(), text(response, "stdout"), text(response, "stderr")];
            let told: Vec<bool> = output.iter().filter_map(|text| summary(text)).collect();
            if told.contains(&false) {
                return Some(Said::Failed);
            }
            if told.contains(&true) {
                return Some(Said::Passed);
            }
            if output.iter().any(|text| tells_failure(text)) {
                return Some(Said::Failed);
            }
            let silent = output.iter().all(|text| text.trim().is_empty());
            Some(if silent { Said::Unknown } else { Said::Passed })
        }
    }
}

/// The two ends of an output.
fn ends(output: &str) -> [&str; 2] {
    if output.len() > 2 * LOOKED_AT {
        [head(output, LOOKED_AT), tail(output, LOOKED_AT)]
    } else {
        [output, ""]
    }
}

/// What an output says in sum, if it sums up: whether all is well. One failure among many sums is one.
#[must_use]
pub fn summary(output: &str) -> Option<bool> {
    let mut found = None;
    for line in ends(output).into_iter().flat_map(str::lines) {
        if line.len() > 400 {
            continue;
        }
        let line = shown(line);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if sums_up_badly(line) {
            return Some(false);
        }
        if found.is_none() && sums_up_well(line) {
            found = Some(true);
        }
    }
    found
}

/// Whether a check's output tells of a failure, also where it does not sum up.
#[must_use]
pub fn tells_failure(output: &str) -> bool {
    ends(output).into_iter().flat_map(str::lines).any(|line| {
        let line = shown(line);
        let line = line.trim();
        sums_up_badly(line) || speaks_of_errors(line)
    })
}

/// Lines that only a check that fails ends with.
fn sums_up_badly(line: &str) -> bool {
    const STARTS: [&str; 9] = [
        "FAIL",
        "--- FAIL",
        "FAILED",
        "error TS",
        "error[",
        "make: ***",
        "BUILD FAIL",
        "npm ERR!",
        "ERR_PNPM",
    ];
    const SIGNS: [&str; 8] = [
        ": error TS",
        "ERROR task failed",
        "[build failed]",
        "test result: FAILED",
        "Build FAILED",
        "BUILD FAILURE",
        "ERROR  run failed",
        "COMPILATION ERROR",
    ];
    // GNU's summaries name every outcome with its count, as `# FAIL:  0`.
    let counts_none = line.ends_with(" 0") && line.contains(':');
    !counts_none && !line.contains("(ignored)") && STARTS.iter().any(|start| line.starts_with(start))
        || SIGNS.iter().any(|sign| line.contains(sign))
        || counted(line) == Some(false)
}

/// Lines that a check ends with where all is well.
fn sums_up_well(line: &str) -> bool {
    const SIGNS: [&str; 17] = [
        "BUILD SUCCESS",
        "All checks passed",
        "all checks passed",
        "test result: ok",
        "no issues found",
        "No issues found",
        "Successfully ran target",
        "ompiled successfully",
        "All matched files use",
        "no offenses detected",
        "Build succeeded",
        "All files pass",
        "All tests passed",
        "0 errors",
        "0 failures",
        "No errors",
        "congratulations :)",
    ];
    line.starts_with("ok  \t")
        || line == "PASS"
        || line == "ok"
        || line.starts_with("OK (")
        || SIGNS.iter().any(|sign| line.contains(sign))
        || counted(line) == Some(true)
}

/// Lines by which many programs complain; a check that passes may print them too, so a summary goes before them.
fn speaks_of_errors(line: &str) -> bool {
    const STARTS: [&str; 7] =
        ["ERROR:", "error:", "Error:", "Traceback (most", "thread 'main' panicked", "panic:", "vet: "];
    STARTS.iter().any(|start| line.starts_with(start))
        || line.contains(": error:")
        || line.contains(": error ")
        || line.contains("[ERROR]:")
        || is_located(line)
}

/// What a line counts: "3 failed", "Failures: 2" are failures, "12 passed", "0 failed" none.
fn counted(line: &str) -> Option<bool> {
    if line.len() > 200 {
        return None;
    }
    let mut before = "";
    let mut bad_before = false;
    let mut apart = false;
    let mut found = None;
    // "3 problems (0 errors, 3 warnings)" are no errors.
    let harmless = line.contains("(0 errors");
    for raw in line.split_whitespace() {
        let word = raw.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let count = |text: &str| text.parse::<u32>().ok();
        match word {
            "failed" | "failing" | "failures" | "failure" | "errors" | "error" | "problems" | "problem"
            | "fail" | "offenses" | "issues" | "issue" | "Error(s" | "Failed" | "Failures" | "Errors"
            | "FAIL" | "ERROR" => {
                // "43, Failures: 0": there the count comes after.
                if let Some(count) = count(before).filter(|_| !apart) {
                    if count > 0 && !harmless {
                        return Some(false);
                    }
                    found = Some(true);
                }
                bad_before = raw.ends_with(':');
                apart = raw.ends_with(',');
                before = word;
                continue;
            }
            "passed" | "passing" | "pass" | "Passed" if count(before).is_some_and(|count| count > 0) => {
                found = found.or(Some(true));
            }
            _ if bad_before => {
                if let Some(count) = count(word) {
                    if count > 0 {
                        return Some(false);
                    }
                    found = Some(true);
                }
            }
            _ => {}
        }
        bad_before = false;
        apart = raw.ends_with(',');
        before = word;
    }
    found
}

/// `src/a.go:12:5: undefined: x`: what compilers and linters say stands behind a file, a line and a column.
fn is_located(line: &str) -> bool {
    let mut parts = line.splitn(4, ':');
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    parts.next().is_some_and(|file| !file.contains(' ') && file.contains('.'))
        && number(parts.next())
        && number(parts.next())
        && parts.next().is_some_and(|rest| rest.starts_with(' '))
}
