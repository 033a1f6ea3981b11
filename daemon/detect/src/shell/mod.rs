//! Shell commands as far as a detector has to understand them: which parts say the same thing in other clothes, which
//! wait, which only look, and which change something.
//!
//! It must never be used to decide whether a command is safe: it is a reading of ordinary commands, not a shell.
//!
//! Invariant: quotes, `$(…)` and here-documents are never split.

mod outside;

use crate::text::head;

use outside::asks;
pub use outside::is_log;

/// Bytes of a command that are looked at.
pub const MAX_COMMAND: usize = 8 * 1024;

/// How parts of a command line are joined: what stands before the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// The first part.
    First,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `;`, a new line or `&`
    Then,
    /// `|`
    Pipe,
}

/// A command line, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub struct Command {
    /// The line without what only dresses it: going to the working directory, where errors are printed, how much of
    /// the output is shown, how the exit code is reported.
    pub core: String,
    /// The directory that it goes to first, if that is not the working directory.
    pub dir: String,
    /// Only a part of the output was asked for (`head`, `tail`), so that equal outputs may look different.
    pub windowed: bool,
    /// The last line of the output is an `echo` that was taken off.
    pub echoes: bool,
    /// It waits by itself.
    pub sleeps: bool,
    /// It asks about something that changes without the agent: a run, a server, a process, a log.
    pub asks_outside: bool,
    /// It changes something: files, the index, packages, processes.
    pub writes: bool,
    /// It is a search through files.
    pub searches: bool,
}

impl Command {
    /// Reads a command line that runs in `cwd`.
    #[must_use]
    pub fn read(line: &str, cwd: &str) -> Self {
        let mut parts = split(head(line, MAX_COMMAND));
        let mut command = Self::default();
        for (_, part) in &parts {
            command.look_at(part);
        }
        while parts.len() > 1 && matches!(parts[1].0, Join::And | Join::Then) {
            match target(parts[0].1) {
                Some(target) if !is_around(target, cwd) => target.clone_into(&mut command.dir),
                Some(_) => {}
                None if is_setting_up(parts[0].1) => {}
                None => break,
            }
            parts.remove(0);
        }
        while parts.len() > 1 && command.undress(&parts) {
            parts.pop();
        }
        command.searches = parts.first().is_some_and(|(_, part)| is_search(part));
        for (at, (join, part)) in parts.iter().enumerate() {
            if at > 0 {
                command.core.push_str(match join {
                    Join::And => " && ",
                    Join::Or => " || ",
                    Join::Pipe => " | ",
                    Join::First | Join::Then => "; ",
                });
            }
            plain(part, &mut command.core);
        }
        command
    }

    /// Whether the last part is only dress.
    fn undress(&mut self, parts: &[(Join, &str)]) -> bool {
        let Some((join, part)) = parts.last() else { return false };
        let word = part.split_whitespace().next().unwrap_or_default();
        match (join, word) {
            (Join::Or, "true" | ":") | (Join::Pipe, "cat" | "less" | "more" | "Out-String" | "Out-Host") => {
                true
            }
            (Join::Pipe, "head" | "tail" | "Select-Object") if !part.contains(" -f") => {
                self.windowed = true;
                true
            }
            (Join::Then, "echo") => {
                self.echoes = true;
                true
            }
            _ => part.trim().is_empty(),
        }
    }

    fn look_at(&mut self, part: &str) {
        let mut words = part.split_whitespace().filter(|word| !is_prefix(word));
        let program = words.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or(program);
        let first = words.find(|word| !word.starts_with('-')).unwrap_or_default();
        let has = |word: &str| part.split_whitespace().any(|w| w == word);
        // Also within a quoted script.
        let sleeps = has("sleep")
            || has("Start-Sleep")
            || ["'sleep ", "\"sleep ", "time.sleep(", "setTimeout("].iter().any(|sign| part.contains(sign));
        self.sleeps |= sleeps
            || matches!(
                program,
                "wait" | "until" | "while" | "wait-on" | "wait-for-it" | "wait-for-it.sh" | "watch"
            )
            || has("--watch")
            || has("--wait")
            || has("wait-on")
            || matches!((program, first), ("kubectl" | "oc", "wait" | "rollout") | ("pg_isready", _));
        self.asks_outside |= asks(program, first, part);
        self.writes |= changes(program, first, part);
    }
}

/// A word before the program that does not change what it does.
pub(crate) fn is_prefix(word: &str) -> bool {
    matches!(
        word,
        "time"
            | "nice"
            | "command"
            | "sudo"
            | "env"
            | "timeout"
            | "nohup"
            | "("
            | "{"
            | "!"
            | "do"
            | "then"
            | "else"
    ) || word.parse::<f64>().is_ok()
        || word.strip_suffix('s').is_some_and(|n| n.parse::<f64>().is_ok())
        || word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}

fn changes(program: &str, first: &str, part: &str) -> bool {
    let has = |flag: &str| part.split_whitespace().any(|word| word == flag);
    let by_program = match program {
        "mkdir" | "rm" | "mv" | "cp" | "touch" | "ln" | "chmod" | "chown" | "tee" | "kill" | "pkill"
        | "patch" | "rsync" | "unzip" | "install" | "prettier" | "black" | "rustfmt" => true,
        "sed" | "perl" => {
            part.split_whitespace().any(|word| word.starts_with("-i") || word.starts_with("-pi"))
        }
        "git" => matches!(
            first,
            "add"
                | "commit"
                | "checkout"
                | "switch"
                | "merge"
                | "rebase"
                | "reset"
                | "stash"
                | "push"
                | "pull"
                | "cherry-pick"
                | "revert"
                | "apply"
                | "mv"
                | "rm"
                | "restore"
                | "tag"
                | "clone"
                | "init"
                | "am"
                | "worktree"
                | "clean"
                | "fetch"
        ),
        "npm" | "pnpm" | "yarn" | "bun" | "pip" | "pip3" | "uv" | "poetry" | "cargo" | "go" | "brew"
        | "apt" | "apt-get" | "gem" | "bundle" | "composer" | "mix" | "dotnet" => matches!(
            first,
            "install"
                | "i"
                | "ci"
                | "add"
                | "remove"
                | "uninstall"
                | "update"
                | "upgrade"
                | "get"
                | "mod"
                | "generate"
                | "fmt"
                | "fix"
                | "sync"
                | "deps.get"
                | "format"
                | "restore"
        ),
        "gofmt" => has("-w"),
        "eslint" | "ruff" | "biome" => has("--fix") || has("--write"),
        "docker" | "podman" => matches!(first, "build" | "run" | "stop" | "start" | "restart" | "rm" | "up"),
        _ => false,
    };
    by_program || redirects(part)
}

/// Whether the output goes to a file.
fn redirects(part: &str) -> bool {
    let mut rest = part;
    while let Some(at) = rest.find('>') {
        let target = rest[at..].trim_start_matches('>').trim_start();
        let before = rest[..at].chars().next_back().unwrap_or(' ');
        if !target.starts_with('&') && !target.starts_with("/dev/") && !matches!(before, '-' | '=' | '<') {
            // Inside quotes it is text; an odd number of quotes before it says so.
            let quotes = rest[..at].bytes().filter(|b| matches!(b, b'"' | b'\'')).count();
            if quotes % 2 == 0 && !target.is_empty() {
                return true;
            }
        }
        rest = target;
    }
    false
}

fn is_search(part: &str) -> bool {
    let mut words = part.split_whitespace().filter(|word| !is_prefix(word));
    match words.next().unwrap_or_default() {
        "grep" | "egrep" | "rg" | "ag" | "find" | "fd" | "ack" => true,
        "git" => words.next() == Some("grep"),
        _ => false,
    }
}

/// How the shell itself is to behave, or where its programs are: nothing that a command's result depends on.
fn is_setting_up(part: &str) -> bool {
    let part = part.trim();
    part.starts_with("set -")
        || part.starts_with("set +")
        || part.starts_with("shopt ")
        || (part.starts_with("source ") || part.starts_with(". ")) && part.contains("activate")
}

/// Where a `cd` goes.
fn target(part: &str) -> Option<&str> {
    let part = part.trim();
    let target = part.strip_prefix("cd ").or_else(|| part.strip_prefix("Set-Location "))?;
    let target = target.trim().trim_start_matches("/d ").trim_matches(['"', '\'']);
    (!target.is_empty() && target != "-").then(|| target.trim_end_matches('/'))
}

/// The working directory, or one that it lies in: where a session's commands run anyway.
fn is_around(target: &str, cwd: &str) -> bool {
    let cwd = cwd.trim_end_matches('/');
    let around = |target: &str, cwd: &str| {
        target == cwd || cwd.strip_prefix(target).is_some_and(|rest| rest.starts_with('/'))
    };
    // `C:\app`, `C:/app` and `/c/app` are one place.
    target == "." || around(target, cwd) || cwd.contains(':') && around(&unixy(target), &unixy(cwd))
}

fn unixy(path: &str) -> String {
    let path = path.replace('\\', "/");
    match path.as_bytes() {
        [drive, b':', b'/', ..] => format!("/{}{}", drive.to_ascii_lowercase() as char, &path[2..]),
        _ => path,
    }
}

/// A word that only changes how an output looks.
fn is_look(word: &str) -> bool {
    matches!(
        word,
        "2>&1"
            | "2>/dev/null"
            | "&>/dev/null"
            | "1>&2"
            | "2>$null"
            | "--no-color"
            | "--no-colors"
            | "--color"
            | "--colors"
            | "--color=never"
            | "--color=always"
            | "--no-pager"
            | "--no-progress"
    )
}

/// A variable that only changes how an output looks.
fn is_look_variable(word: &str) -> bool {
    matches!(
        word.split('=').next(),
        Some(
            "CI" | "NO_COLOR"
                | "FORCE_COLOR"
                | "CLICOLOR"
                | "TERM"
                | "PAGER"
                | "GIT_PAGER"
                | "COLUMNS"
                | "PYTHONUNBUFFERED"
        )
    ) && word.contains('=')
}

/// The part with single spaces, and without where errors go and what it is run under.
fn plain(part: &str, out: &mut String) {
    let mut leading = true;
    let mut first = true;
    for word in part.split_whitespace() {
        if leading && (matches!(word, "time" | "nice" | "command" | "timeout" | "env") || is_look_variable(word))
            || is_look(word)
            || leading && word.trim_end_matches('s').parse::<f64>().is_ok()
            // `npm run test` is `npm test`.
            || word == "run" && matches!(out.rsplit(' ').next(), Some("npm" | "pnpm" | "yarn"))
        {
            continue;
        }
        leading = false;
        if !first {
            out.push(' ');
        }
        first = false;
        out.push_str(word);
    }
}

/// Cuts a line at `&&`, `||`, `;`, `|`, `&` and new lines that are outside of quotes, parentheses and here-documents.
pub(crate) fn split(line: &str) -> Vec<(Join, &str)> {
    let bytes = line.as_bytes();
    let (mut parts, mut join, mut start) = (Vec::new(), Join::First, 0);
    let (mut quote, mut depth, mut at) = (0_u8, 0_u32, 0);
    while at < bytes.len() {
        let (byte, next) = (bytes[at], bytes.get(at + 1).copied().unwrap_or(0));
        if quote != 0 {
            match byte {
                b'\\' if quote == b'"' => at += 1,
                _ if byte == quote => quote = 0,
                _ => {}
            }
            at += 1;
            continue;
        }
        let found = match (byte, next) {
            (b'\\', _) => {
                at += 2;
                continue;
            }
            // What follows is a document, not commands.
            (b'<', b'<') => break,
            (b'\'' | b'"' | b'`', _) => {
                quote = byte;
                None
            }
            (b'(', _) => {
                depth += 1;
                None
            }
            (b')', _) => {
                depth = depth.saturating_sub(1);
                None
            }
            _ if depth > 0 => None,
            (b'&', b'&') => Some((Join::And, 2)),
            (b'|', b'|') => Some((Join::Or, 2)),
            (b'|', _) => Some((Join::Pipe, 1)),
            (b';' | b'\n', _) => Some((Join::Then, 1)),
            (b'&', _) if next != b'>' && (at == 0 || bytes[at - 1] != b'>') => Some((Join::Then, 1)),
            _ => None,
        };
        if let Some((next_join, length)) = found {
            // The separators are ASCII, so both places are between characters.
            parts.push((join, &line[start..at]));
            join = next_join;
            at += length;
            start = at;
        } else {
            at += 1;
        }
    }
    parts.push((join, line.get(start..).unwrap_or_default()));
    parts.retain(|(_, part)| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(line: &str) -> String {
        Command::read(line, "/home/u/app").core
    }

    #[test]
    fn dress_does_not_change_what_a_command_is() {
        for line in [
            "make test",
            "make  test 2>&1",
            "cd /home/u/app && make test",
            "cd /home/u/ && make test",
            "make test || true",
            "make test 2>&1 | tail -20",
            "make test | head -n 5",
            "make test; echo \"exit: $?\"",
            "timeout 60 make test",
            "time make test 2>&1 | cat",
            "set -o pipefail; make test",
            "source .venv/bin/activate && make test",
            "CI=1 NO_COLOR=1 make test --no-color",
        ] {
            assert_eq!(core(line), "make test", "{line}");
        }
        assert_eq!(core("npm run test 2>$null | Select-Object -First 3"), "npm test");
        for line in ["cd C:\\Users\\u\\app && make", "cd /c/Users/u/app; make", "cd 'C:/Users/u' && make"] {
            assert_eq!(Command::read(line, "C:/Users/u/app").dir, "", "{line}");
        }
        assert!(Command::read("make test | tail -3", "").windowed);
        assert!(Command::read("make test; echo $?", "").echoes);
    }

    #[test]
    fn what_differs_stays_different() {
        assert_eq!(Command::read("cd sub && make", "/home/u/app").dir, "sub");
        assert_eq!(Command::read("cd /other && make", "/home/u/app").dir, "/other");
        assert_eq!(core("cd \"$D\"; cd x; make"), "make");
        assert_eq!(Command::read("cd /d/app && make", "C:/app").dir, "/d/app");
        assert_eq!(core("DEBUG=1 make test"), "DEBUG=1 make test");
        assert_eq!(core("set -x"), "set -x");
        assert_eq!(core("sed -n 1,5p a"), "sed -n 1,5p a");
        assert_eq!(core("a | tail -5 | grep x"), "a | tail -5 | grep x");
        assert_eq!(core("git commit -m 'a && b; c | d'"), "git commit -m 'a && b; c | d'");
        assert_eq!(core("tail -5 x"), "tail -5 x");
    }

    #[test]
    fn waiting_asking_writing_and_searching_are_told_apart() {
        let read = |line: &str| Command::read(line, "");
        assert!(read("sleep 5; curl -s localhost:80").sleeps);
        assert!(read("gh pr checks 12").asks_outside);
        assert!(!read("gh api repos").asks_outside);
        for line in [
            "gh api repos/a/b/actions/runs/12 --jq .status",
            "kubectl get pods",
            "aws ecs describe-services",
            "docker ps",
            "curl -s localhost:3000",
            "ssh host 'tail x'",
        ] {
            assert!(read(line).asks_outside, "{line}");
        }
        for line in
            ["npx wait-on http://localhost:1", "kubectl wait pod/x", "python -c 'import time; time.sleep(3)'"]
        {
            assert!(read(line).sleeps, "{line}");
        }
        for line in ["docker build .", "kubectl apply -f x.yaml", "aws s3 cp a b", "ls -la", "ssh host make"]
        {
            assert!(!read(line).sleeps && !read(line).asks_outside, "{line}");
        }
        assert!(read("tail -20 /tmp/build.log").asks_outside);
        for line in
            ["git commit -m x", "sed -i s/a/b/ f", "echo x > f", "npm i left", "FOO=1 mkdir a", "ls && rm a"]
        {
            assert!(read(line).writes, "{line}");
        }
        for line in
            ["git status", "cargo test 2>&1", "ls 2>/dev/null", "grep 'a -> b' f", "sed s/a/b/ f", "go test"]
        {
            assert!(!read(line).writes, "{line}");
        }
        assert!(read("grep -rn foo .").searches);
        assert!(!read("make | grep foo").searches);
    }

    #[test]
    fn any_text_can_be_read() {
        for line in
            ["", "&&", "| |", "'", "\\", "a \\", "ä;ö|ü&&€", "$(", "<<EOF\n;;", "cd", "cd /", ">", "a >"]
        {
            let _ = Command::read(line, "/ä");
        }
    }
}
