//! How much of a working directory is looked at, and how long anybody waits for it.
//!
//! Must never be reached silently: a bound that is hit makes the index incomplete, so that nothing is said to be missing.
//!
//! Invariant: the defaults are what the daemon uses; tests bring their own.

use std::time::Duration;

/// Bounds of one index, and of all of them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Files of a tree. Chromium has 400,000, the Linux kernel 85,000, Kubernetes 30,000, nearly everything else less
    /// than 10,000. A look at 50,000 takes a second or so; the index of so many holds some 10 MiB for their names.
    pub files: usize,
    /// Bytes of source code that are read in all. A gibibyte of source nobody looks through while an agent waits.
    pub source_bytes: u64,
    /// Bytes of other texts that are read in all, and then no more: a name that only stands in data is rarely one that
    /// code uses, so that this bound alone leaves the index complete.
    pub text_bytes: u64,
    /// Bytes of one source file; a longer one leaves the index incomplete. Generated ones reach a few megabytes.
    pub source_file_bytes: u64,
    /// Bytes of the beginning of another text that are read.
    pub text_file_bytes: u64,
    /// Different words of all texts, about 40 bytes each.
    pub identifiers: usize,
    /// Different names that are defined, about 130 bytes each.
    pub symbols: usize,
    /// Trees at a time; one more, and the one that was not asked for longest goes.
    pub trees: usize,
    /// Working directories at a time that are known by name.
    pub views: usize,
    /// How long a question may wait for what is under way. The detectors' thread answers hooks within 50 ms.
    pub patience: Duration,
    /// From what age on a question has the tree looked at again; the answer does not wait for that.
    pub refresh: Duration,
    /// Up to what age a look at the tree is believed about what it did not find. An answer of the model may take minutes,
    /// and a look that begins after it finds what its edit has written; with a prompt it is made anew anyway.
    pub believed: Duration,
    /// A look is followed by so many times its own length without another: 9 is at most a tenth of one processor.
    pub pause: u32,
    /// How long a tree is kept after the last question.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 50_000,
            source_bytes: 64 << 20,
            text_bytes: 32 << 20,
            source_file_bytes: 4 << 20,
            text_file_bytes: 1 << 20,
            identifiers: 1_000_000,
            symbols: 200_000,
            trees: 8,
            views: 256,
            patience: Duration::from_millis(3),
            refresh: Duration::from_secs(10),
            believed: Duration::from_secs(10 * 60),
            pause: 9,
            idle: Duration::from_secs(15 * 60),
        }
    }
}

/// Why an index is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Nobody has looked yet.
    Unbuilt,
    /// It is the home directory, the root, or of the system: nobody's project.
    Refused,
    /// It is not there, or no directory.
    Absent,
    /// Too many files.
    Files,
    /// Too much source code, or a source file that is too long.
    Bytes,
    /// Too many different words.
    Identifiers,
    /// Too many definitions.
    Symbols,
    /// A directory or a source file could not be read.
    Unreadable,
    /// A link leads to sources outside.
    Outside,
    /// A defect of the index.
    Broken,
}

impl Gap {
    /// Whether it is of no use to look again soon.
    #[must_use]
    pub fn lasts(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Files | Self::Bytes | Self::Identifiers | Self::Symbols | Self::Broken
        )
    }

    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unbuilt => "not looked at yet",
            Self::Refused => "not a project's directory",
            Self::Absent => "not a directory",
            Self::Files => "too many files",
            Self::Bytes => "too much source code",
            Self::Identifiers => "too many different words",
            Self::Symbols => "too many definitions",
            Self::Unreadable => "something could not be read",
            Self::Outside => "a link leads to sources outside",
            Self::Broken => "a defect",
        }
    }
}
