//! ccd's store: an append-only journal and content-addressed packs, and an index that can be rebuilt from them.
//!
//! It knows nothing of what it stores. **The journal is the truth; everything else is derived.**
//!
//! ```text
//! v1/lock                   held while the store is open
//! v1/watermark              how far everything was durable at the last sync          watermark.rs
//! v1/journal/00000001.log   segments: header, frames; a frame is a batch of records  segment.rs, frame.rs
//! v1/packs/000001.pack      header, blocks; a block is some pieces, and a recipe     block.rs, recipe.rs
//! v1/manifest               what was let go of on purpose, and what is kept of it     manifest.rs, prune.rs
//! v1/index/000001/          places of records and pieces, the caller's views         index/
//!   current                 which of the following count                             index/generation.rs
//!   head-1/                 sled: the recent rows                                    index/head.rs
//!   runs/000002.run         the others, sorted                                       index/run.rs
//! v1/index/000003.unfinished  a generation that is being built beside it             builder.rs
//! v1/quarantine-1           what of an index did not open, for whoever wants to know recover.rs
//! restoring/                a backup being put back                                  restore.rs
//! restore                   says that it takes over                                  restore.rs
//! v1.before-restore-1/      what was there before                                    restore.rs
//! ```
//!
//! Directories are 0700 and files 0600. Numbers grow by one and are never used twice. Integers in files are
//! little-endian, in keys big-endian. Everything has a CRC-32 that includes the file's number and the offset, so bytes
//! in the wrong place are wrong bytes; a body is also checked against its BLAKE3 when it is read.
//!
//! How to use it: [`Store::open`]; [`Reader::replay`] from [`Store::applied`] + 1 with [`Store::reindex`] and
//! [`Store::apply`]; then, for each batch, [`Store::put_blob`], [`Store::append`], [`Store::sync`], acknowledge,
//! [`Store::apply`]. When `sync` fails, everything since the last success is given up and has to be done again.
//!
//! When `apply` fails, journalling goes on without the index; call [`Store::reopen_index`] until it works, and replay.
//!
//! What survives: after `sync`, everything, whatever happens to the process or the power. Without it, what the system
//! had written; a half-written end is cut at the next opening. Damage is found, named ([`Damage`]) and skipped; no
//! wrong byte is ever handed out. The index is never asked to be durable, is told only of what is, and
//! is not believed if it is ahead of the files.

#![deny(missing_docs)]

mod backup;
mod blobs;
mod block;
mod builder;
mod catalogue;
mod codec;
mod copy;
mod dictionary;
mod engine;
mod error;
mod files;
mod frame;
mod index;
mod indexer;
mod journal;
mod manifest;
mod marks;
#[cfg(test)]
mod model;
mod open;
mod pack;
mod packs;
mod prune;
mod reader;
mod recipe;
mod recover;
mod restore;
mod seen;
mod segment;
mod shared;
mod split;
mod store;
mod tail;
mod types;
mod unpack;
mod verify;
mod vfs;
mod watermark;
mod zip;

pub use self::backup::{Backup, BackupReport, Cut, End, Manifest};
pub use self::builder::{Builder, ViewWriter};
pub use self::error::StoreError;
pub use self::open::Opened;
pub use self::prune::{Dropped, Moves, PackShare, PackUse};
pub use self::reader::Reader;
pub use self::restore::{Staged, Swapped};
pub use self::seen::Seen;
pub use self::store::Store;
pub use self::types::{
    BlobRef, Damage, FileKind, IndexState, Locator, Mutation, NewRecord, Options, Progress, Record, RecordId,
    ReplayReport, Report, SegmentInfo, Stats,
};
pub use self::verify::{Extent, InIndex, Lost};
