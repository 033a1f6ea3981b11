//! Commands that check work - tests, linters, builds - told by their shape over ecosystems, and what they said.
//!
//! It must never take a command that only mentions a check for one: `grep test` and `pip install pytest` check nothing.
//!
//! Invariant: an outcome is `Failed` only where the exit code or a line of the output says so; where neither can tell,
//! it is `Unknown`.

mod command;
mod output;

use crate::shell::{self, Join};
use crate::text::head;

pub use output::{said, summary, tells_failure};

/// What a command checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checks {
    /// That tests pass.
    pub tests: bool,
    /// That a linter or a type checker has nothing to say.
    pub lint: bool,
    /// That it builds.
    pub build: bool,
}

/// What a check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// All is well.
    Passed,
    /// Something is wrong.
    Failed,
    /// It cannot be told.
    Unknown,
}

impl Checks {
    /// Whether anything is checked.
    #[must_use]
    pub fn any(self) -> bool {
        self.tests || self.lint || self.build
    }

    fn add(&mut self, other: Self) {
        self.tests |= other.tests;
        self.lint |= other.lint;
        self.build |= other.build;
    }

    /// What a command line checks.
    #[must_use]
    pub fn of(line: &str) -> Self {
        let mut checks = Self::default();
        for (join, part) in shell::split(head(line, shell::MAX_COMMAND)) {
            // What reads another's output checks nothing itself.
            if join != Join::Pipe {
                checks.add(command::checks(part));
            }
        }
        checks
    }
}

const TESTS: Checks = Checks { tests: true, lint: false, build: false };
const LINT: Checks = Checks { tests: false, lint: true, build: false };
const BUILD: Checks = Checks { tests: false, lint: false, build: true };
const ALL: Checks = Checks { tests: true, lint: true, build: true };
const NOTHING: Checks = Checks { tests: false, lint: false, build: false };

/// What a task or a script of this name checks.
fn named(name: &str) -> Checks {
    let mut checks = NOTHING;
    let mut fixes = false;
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        match word {
            "test" | "tests" | "spec" | "e2e" | "unit" | "integration" | "vitest" | "jest" | "pytest" => {
                checks.add(TESTS);
            }
            "lint" | "vet" | "clippy" | "credo" | "dialyzer" | "eslint" | "ruff" | "analyze" | "stan"
            | "phpstan" | "checkstyle" | "rubocop" => {
                checks.add(LINT);
            }
            "build" | "compile" | "assemble" | "bundle" => checks.add(BUILD),
            _ if word.starts_with("compile") || word.ends_with("Test") || word.ends_with("Tests") => {
                checks.add(if word.starts_with("compile") { BUILD } else { TESTS });
            }
            "typecheck" | "types" | "tsc" | "type" | "typescript" => {
                checks.add(Checks { tests: false, lint: true, build: true });
            }
            "check" | "checks" | "verify" | "ci" | "validate" | "precommit" | "quality" => checks.add(ALL),
            "fmt" | "format" | "fix" | "watch" => fixes = true,
            _ => {}
        }
    }
    if fixes && !checks.tests { NOTHING } else { checks }
}
