//! Corpora of transcripts, made from a seed: the same bytes for the same seed, from a few kilobytes to gigabytes.
//!
//! Whatever is billed is also entered in an account ([`Written::billed`]) by those who make it up, so that what
//! counts the files has something to be compared with that never read them.
//!
//! Nothing here reads a file or knows how to count lines.

mod lines;
pub mod oracle;
mod random;
mod session;
mod strange;
mod text;

use std::io;
use std::path::{Path, PathBuf};

use ccd_proto::api::Tokens;

use lines::Lines;
use random::Random;
use session::{Manner, Session};
use text::Writer;

/// What is peculiar about some sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A gateway does not pass the request's id on.
    NoRequestId,
    /// The request's id is on the last line of each message only.
    RequestIdLate,
    /// A gateway gives every message of a session the same id.
    OneMessageId,
    /// Subagents' files lie beside their session's.
    FlatSubagents,
    /// Earlier lines of a message tell less usage than its last.
    PartialUsage,
    /// Lines are there twice.
    RepeatedLines,
    /// Unknown records, torn ends, API errors, changes of directory.
    Strangers,
    /// Prompts for which other prices hold.
    LongContext,
    /// Messages that were billed as a batch's.
    Batch,
}

/// All of them.
pub const ODDITIES: [Oddity; 9] = [
    Oddity::NoRequestId,
    Oddity::RequestIdLate,
    Oddity::OneMessageId,
    Oddity::FlatSubagents,
    Oddity::PartialUsage,
    Oddity::RepeatedLines,
    Oddity::Strangers,
    Oddity::LongContext,
    Oddity::Batch,
];

/// What corpus to make.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub seed: u64,
    /// At least this many bytes.
    pub bytes: u64,
    /// At least this many sessions.
    pub sessions: usize,
    /// Sessions begin on this day at the earliest, as milliseconds since the Unix epoch …
    pub from_ms: i64,
    /// … and within as many days.
    pub days: u64,
    /// Sizes of texts, in percent of those in real sessions.
    pub text: u64,
    /// What makes counting hard.
    pub odd: Vec<Oddity>,
    /// Some runs are killed before they write their closing totals.
    pub kills: bool,
    /// One session in so many is forked; 0: none.
    pub forks: usize,
}

impl Spec {
    /// A small corpus with everything in it: sessions of seven months around the changes of the clocks.
    #[must_use]
    pub fn small(seed: u64) -> Self {
        Spec {
            seed,
            bytes: 0,
            sessions: 40,
            // 1 October 2025.
            from_ms: 1_759_276_800_000,
            days: 210,
            text: 5,
            odd: ODDITIES.to_vec(),
            kills: false,
            forks: 6,
        }
    }

    /// A large one for benches: texts of real sizes, nothing peculiar but forks.
    #[must_use]
    pub fn large(seed: u64, bytes: u64) -> Self {
        Spec { bytes, sessions: 1, text: 100, odd: Vec::new(), forks: 40, ..Spec::small(seed) }
    }
}

/// One billed message, or one billed request that no line tells of.
#[derive(Clone, Debug)]
pub struct Billed {
    /// The session that it was billed in.
    pub session: String,
    /// `main`, or the subagent's type.
    pub agent: String,
    /// The model.
    pub model: String,
    /// The branch.
    pub branch: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Tokens.
    pub tokens: Tokens,
    /// Web searches.
    pub searches: u64,
}

/// What was written, and what it bills.
#[derive(Debug, Default)]
pub struct Written {
    /// The files, in the order in which they were made.
    pub files: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes at the ends of files that are no whole line.
    pub torn: u64,
    /// Their whole lines.
    pub lines: u64,
    /// Messages billed.
    pub billed: Vec<Billed>,
    /// Requests billed that only the closing totals tell of.
    pub side: Vec<Billed>,
}

/// What a corpus bills, while it is made.
#[derive(Default)]
struct Account {
    written: Vec<(PathBuf, u64, u64)>,
    billed: Vec<Billed>,
    side: Vec<Billed>,
    torn: u64,
    /// Who is at work: `main`, or a subagent's type.
    agent: String,
}

impl Account {
    fn wrote(&mut self, file: &Lines) {
        self.written.push((file.path.clone(), file.bytes, file.count));
    }
}

/// Writes a corpus under `root`, which is what `CLAUDE_CONFIG_DIR` would name.
pub fn write(root: &Path, spec: &Spec) -> io::Result<Written> {
    let mut random = Random::new(spec.seed);
    let writer = Writer::new();
    let manner = Manner { text: spec.text, odd: spec.odd.clone(), kills: spec.kills };
    let mut account = Account { agent: "main".into(), ..Account::default() };
    let mut forked = Vec::new();
    let mut bytes = 0;
    let mut sessions = 0;
    while sessions < spec.sessions || bytes < spec.bytes {
        let from = account.written.len();
        let at_ms = spec.from_ms + i64::try_from(random.within(0, spec.days * 86_400_000)).unwrap();
        let session = Session::new(Random::new(random.bits()), &writer, &manner, &mut account, root, at_ms);
        let fork = spec.forks > 0 && sessions % spec.forks == spec.forks - 1;
        let told = session.play(fork)?;
        if fork {
            // A fork is younger than its original, and files are told apart by when they were made: clocks of file
            // systems tick slowly.
            let path = told.dir.join(format!("{}.jsonl", told.place.session));
            while !ticked(&path, root)? {}
            let session =
                Session::new(Random::new(random.bits()), &writer, &manner, &mut account, root, at_ms);
            session.fork(&told, random.percent(50))?;
            forked.push(told.place.session);
        }
        bytes += account.written[from..].iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        sessions += 1;
    }
    Ok(Written {
        bytes,
        torn: account.torn,
        lines: account.written.iter().map(|(_, _, lines)| lines).sum(),
        files: account.written.into_iter().map(|(path, _, _)| path).collect(),
        billed: account.billed,
        side: account.side,
    })
}

/// Whether a file made now is younger than `path`.
fn ticked(path: &Path, root: &Path) -> io::Result<bool> {
    let made =
        |path: &Path| std::fs::metadata(path).and_then(|meta| meta.created().or_else(|_| meta.modified()));
    let probe = root.join("probe");
    std::fs::write(&probe, "")?;
    let younger = made(&probe)? > made(path)?;
    std::fs::remove_file(&probe)?;
    Ok(younger)
}

#[cfg(test)]
mod tests;
