//! What is typed and must not be seen: passphrases and values. From the terminal without an echo, from a descriptor, or,
//! for a value, from stdin.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{CommandError, Result};

/// More than anybody types.
const LONGEST: u64 = 2 << 20;
/// The shortest new passphrase.
const SHORTEST: usize = 8;

/// A terminal that shows nothing of what is typed, for as long as this is there.
struct Quiet<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(tty: &'a File) -> std::io::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(tty, OptionalActions::Flush, &quiet)?;
        Ok(Quiet { tty, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, OptionalActions::Flush, &self.before);
    }
}

/// The first line of what can be read, or all of it.
fn read(from: impl Read, line: bool) -> Result<Zeroizing<String>> {
    let mut all = Zeroizing::new(Vec::with_capacity(4096));
    let mut from = from.take(LONGEST);
    let mut byte = Zeroizing::new([0]);
    while from.read(&mut *byte)? > 0 && !(line && byte[0] == b'\n') {
        all.push(byte[0]);
    }
    let mut end = all.len();
    if !line && all.ends_with(b"\n") {
        end -= 1;
    }
    if end > 0 && all[..end].ends_with(b"\r") {
        end -= 1;
    }
    let text = str::from_utf8(&all[..end]).map_err(|_| CommandError::usage("what was typed is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn typed(prompt: &str) -> Result<Zeroizing<String>> {
    let tty = File::options().read(true).write(true).open("/dev/tty").map_err(|_| {
        CommandError::usage("there is no terminal to type a passphrase at")
            .hint("--passphrase-fd N reads it from a file descriptor: `--passphrase-fd 3 3<FILE`")
    })?;
    (&tty).write_all(prompt.as_bytes())?;
    let quiet = Quiet::new(&tty)?;
    let text = read(&tty, true);
    drop(quiet);
    text
}

/// A passphrase that exists.
pub(super) fn passphrase(fd: Option<u32>, prompt: &str) -> Result<Zeroizing<String>> {
    let Some(fd) = fd else { return typed(prompt) };
    let file = File::open(format!("/dev/fd/{fd}"))
        .map_err(|e| CommandError::usage(format!("file descriptor {fd} cannot be read: {e}")))?;
    read(file, true)
}

/// A new one: typed twice.
pub(super) fn new_passphrase(fd: Option<u32>) -> Result<Zeroizing<String>> {
    let first = passphrase(fd, "Passphrase for the backup: ")?;
    if first.chars().count() < SHORTEST {
        return Err(CommandError::usage(format!("a passphrase has {SHORTEST} characters at least")));
    }
    if fd.is_none() && *typed("Once more: ")? != *first {
        return Err(CommandError::usage("the two are not the same"));
    }
    Ok(first)
}

/// A value: from stdin, or typed where that is a terminal.
pub(super) fn value(prompt: &str) -> Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    let value = if stdin.is_terminal() { typed(prompt)? } else { read(stdin.lock(), false)? };
    if value.is_empty() {
        return Err(CommandError::usage("no value came from stdin"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_line_is_not_part_of_a_secret() {
        for (bytes, line, want) in [
            ("abc\n", true, "abc"),
            ("abc\r\nrest", true, "abc"),
            ("a\nb\n", false, "a\nb"),
            ("a b ", false, "a b "),
            ("", true, ""),
        ] {
            assert_eq!(read(bytes.as_bytes(), line).unwrap().as_str(), want);
        }
        assert!(read(&b"\xff"[..], false).is_err());
    }
}
