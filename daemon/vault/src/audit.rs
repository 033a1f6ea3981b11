//! The audit log: who looked which value up, when, why, and what came of it; one JSON object a line.
//!
//! Each line carries a keyed hash of itself and of the line before; the head says how far the log goes. A line that is
//! changed, removed or added by somebody without the key shows, the last one, too. Never holds a value.

use std::io::{ErrorKind, Write};

use serde::{Deserialize, Serialize};

use crate::codec::hex;
use crate::error::Result;
use crate::files::{Files, Step, private, replace};
use crate::keys::Keys;

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The user.
    pub uid: u32,
    /// The process; 0: it is not known.
    pub pid: u32,
    /// Its terminal, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Its program, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub by: Who,
    /// What: a token, with a variant where one was asked for; or what was done with the vault, as `backup`.
    pub token: String,
    /// Why, in the words of who asked.
    pub reason: String,
    /// `given`, `deleted`, `unknown` or `damaged`; `asked` of what was done with the vault.
    pub result: String,
    /// Binds it to the line before.
    pub hash: String,
}

/// The log, and whether all of it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Lines in order.
    pub entries: Vec<Entry>,
    /// What is wrong with it, if anything, in words.
    pub broken: Option<String>,
}

#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seq: u64,
    hash: String,
}

fn hashed(keys: &Keys, before: &str, entry: &Entry) -> String {
    let bare = Entry { hash: String::new(), ..entry.clone() };
    let text = serde_json::to_string(&bare).unwrap_or_default();
    hex(&keys.audit(format!("{before}\n{text}").as_bytes()))
}

/// Adds lines, in this order, and has them survive.
pub(crate) fn append(files: &Files, keys: &Keys, entries: Vec<Entry>, step: &Step) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let text = text(files)?;
    let last = text.lines().rev().find_map(|line| serde_json::from_str::<Entry>(line).ok());
    // After damage the chain goes on from what there is: that it was broken stays to be seen.
    let (mut seq, mut before) = last.map_or_else(Default::default, |entry| (entry.seq, entry.hash));
    if let Some(head) = head(files).filter(|head| head.seq > seq) {
        (seq, before) = (head.seq, head.hash);
    }
    let mut lines = String::new();
    if !text.is_empty() && !text.ends_with('\n') {
        lines.push('\n');
    }
    for mut entry in entries {
        seq += 1;
        entry.seq = seq;
        entry.hash = hashed(keys, &before, &entry);
        lines.push_str(&serde_json::to_string(&entry).map_err(std::io::Error::other)?);
        lines.push('\n');
        before = entry.hash;
    }
    if text.is_empty() && head(files).is_none() {
        // The first lines are not without a head either, whenever it breaks off.
        step("audit: first head")?;
        write_head(files, &Head::default())?;
    }
    step("audit: append")?;
    let mut file = private().create(true).append(true).open(files.audit())?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    step("audit: head")?;
    write_head(files, &Head { seq, hash: before })
}

fn write_head(files: &Files, head: &Head) -> Result<()> {
    let text = serde_json::to_string(head).map_err(std::io::Error::other)?;
    Ok(replace(&files.audit_head(), text.as_bytes())?)
}

fn text(files: &Files) -> Result<String> {
    match std::fs::read(files.audit()) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}

fn head(files: &Files) -> Option<Head> {
    serde_json::from_str(&std::fs::read_to_string(files.audit_head()).ok()?).ok()
}

/// Reads all of it, and looks at each line's hash.
pub(crate) fn read(files: &Files, keys: &Keys) -> Result<Log> {
    let text = text(files)?;
    let mut log = Log::default();
    let mut before = String::new();
    let head = head(files);
    // A head of no entry is there before the first.
    let mut reached = head.as_ref().is_some_and(|head| head.seq == 0);
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let number = number + 1;
        let Ok(entry) = serde_json::from_str::<Entry>(line) else {
            log.broken.get_or_insert(format!("line {number} is no entry"));
            continue;
        };
        let expected = log.entries.last().map_or(1, |last: &Entry| last.seq + 1);
        if entry.seq != expected {
            log.broken
                .get_or_insert(format!("line {number} is entry {}; entry {expected} is missing", entry.seq));
        } else if entry.hash != hashed(keys, &before, &entry) {
            log.broken.get_or_insert(format!("line {number} was changed"));
        }
        before.clone_from(&entry.hash);
        reached |= head.as_ref().is_some_and(|head| (head.seq, &head.hash) == (entry.seq, &entry.hash));
        log.entries.push(entry);
    }
    match head {
        // An entry may be there that the head does not tell of yet: its reader was killed between the two.
        Some(head) if !reached => {
            log.broken.get_or_insert(format!("entry {}, the last that was written, is missing", head.seq));
        }
        None if !log.entries.is_empty() => {
            log.broken.get_or_insert("the file that says how far the log goes is missing".to_owned());
        }
        _ => {}
    }
    Ok(log)
}
