//! `ccd-bench`: the budgets of the hook, the proxy, the store, usage and search, each measured in one run beside what it
//! is held against: a program that does nothing, a plain relay, a bare proxy, nginx, a compressor, grep.
//!
//! ```text
//! cargo build --release --bins && cargo run --release -p ccd-tests --bin ccd-bench -- [hook|proxy] [--rounds N]
//! cargo build --release --bins && cargo run --release -p ccd-tests --bin ccd-bench -- store [--records N]
//! cargo build --release --bins && cargo run --release -p ccd-tests --bin ccd-bench -- import [--mb N]
//! cargo build --release --bins && cargo run --release -p ccd-tests --bin ccd-bench -- [usage|search] [--lines N]
//! ```
//!
//! Everything is interleaved, so that a machine that is busy is busy for all; what counts are the ratios. No
//! figure here fails anything.
#![allow(clippy::print_stdout, reason = "its output is for the person who runs it")]
#![allow(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops with a message")]

mod bare;
mod hook;
mod import;
mod origin;
mod proxy;
mod relay;
mod scale;
mod search;
mod stats;
mod store;
mod target;
mod usage;

use ccd_tests::corpus::{self, Spec};
use clap::{Parser, Subcommand};

/// Benches of the hook, the proxy, the store, transcripts, usage and search.
#[derive(Parser)]
#[command(name = "ccd-bench", version)]
struct Args {
    /// What to measure; without it, everything.
    #[command(subcommand)]
    what: Option<What>,
    /// Rounds of each case; without it, as many as a steady median takes.
    #[arg(long, global = true)]
    rounds: Option<usize>,
}

#[derive(Subcommand)]
enum What {
    /// cc-hook, whole process, beside programs that do nothing or just read.
    Hook,
    /// The proxy, beside a direct connection, a plain relay, a bare hyper proxy and nginx.
    Proxy {
        /// Only the cases whose name holds this.
        #[arg(long, default_value = "")]
        case: String,
    },
    /// The store, by way of the real daemon: what a session costs, how fast it takes things in, and what it is like
    /// with many records.
    Store {
        /// Hook events to fill it with.
        #[arg(long, default_value_t = scale::RECORDS)]
        records: usize,
    },
    /// Taking transcripts in, beside ccusage, cat and wc on the same files.
    Import {
        /// Megabytes of transcripts.
        #[arg(long, default_value_t = 500)]
        mb: u64,
    },
    /// Questions about usage, whole processes, beside ccusage.
    Usage {
        /// Lines of transcripts.
        #[arg(long, default_value_t = usage::LINES)]
        lines: u64,
    },
    /// Finding words, beside rg and grep over the transcripts.
    Search {
        /// Lines of transcripts.
        #[arg(long, default_value_t = search::LINES)]
        lines: u64,
    },
    /// Writes a corpus of transcripts, the same for the same seed, and measures nothing.
    Corpus {
        /// Where to: the files go below its `projects`.
        dir: std::path::PathBuf,
        /// At least this many megabytes of sessions of real sizes; without it, a small corpus full of peculiarities.
        #[arg(long)]
        mb: Option<u64>,
        /// The corpus's name.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The bare proxy itself (started by `proxy` as a process of its own).
    #[command(hide = true)]
    Bare {
        /// `address:port` to send to.
        upstream: String,
    },
    /// The plain relay itself (started by `proxy` as a process of its own).
    #[command(hide = true)]
    Relay {
        /// `address:port` to send to.
        upstream: String,
    },
}

fn main() {
    let args = Args::parse();
    match args.what {
        Some(What::Bare { upstream }) => bare::serve(&upstream),
        Some(What::Relay { upstream }) => relay::serve(&upstream),
        Some(What::Import { mb }) => import::run(mb, args.rounds),
        Some(What::Usage { lines }) => usage::run(lines, args.rounds),
        Some(What::Search { lines }) => search::run(lines, args.rounds),
        Some(What::Corpus { dir, mb, seed }) => {
            let spec = mb.map_or_else(|| Spec::small(seed), |mb| Spec::large(seed, mb * 1_000_000));
            let written = corpus::write(&dir, &spec).expect("the directory can be written to");
            let (files, messages) = (written.files.len(), written.billed.len());
            println!(
                "{} MB in {files} files, {} lines, {messages} messages",
                written.bytes / 1_000_000,
                written.lines
            );
        }
        Some(What::Hook) => hook::run(args.rounds),
        Some(What::Proxy { case }) => proxy::run(args.rounds, &case),
        Some(What::Store { records }) => {
            store::run(args.rounds);
            scale::run(records, args.rounds);
        }
        None => {
            hook::run(args.rounds);
            proxy::run(args.rounds, "");
            store::run(args.rounds);
            scale::run(scale::RECORDS, args.rounds);
            import::run(500, args.rounds);
            usage::run(usage::LINES, args.rounds);
            search::run(search::LINES, args.rounds);
        }
    }
}
