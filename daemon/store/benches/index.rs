//! Prints what the index does: `cargo bench -p ccd-store --bench index [-- rows...]`. Nothing here fails on a time.
//!
//! Rows like ours: record ids to locators, hashes to places, and 1 KiB rows rewritten often. What is told about memory
//! and opening is measured in processes of their own: this program starts itself with a role.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::exit
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ccd_store::{Mutation, Opened, Options, Store};

const BATCH: u64 = 64;

fn status_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn written_kib() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find(|line| line.starts_with("write_bytes:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn record_key(n: u64) -> Vec<u8> {
    [b"\x21", &blake3::hash(&n.to_le_bytes()).as_bytes()[..16]].concat()
}

fn piece_key(n: u64) -> Vec<u8> {
    [b"\x22", &blake3::hash(&(!n).to_le_bytes()).as_bytes()[..]].concat()
}

/// Half records, half pieces; each batch also rewrites a session's row.
fn batch(from: u64) -> Vec<Mutation> {
    let mut batch = Vec::new();
    for n in from..from + BATCH / 2 {
        batch.push(Mutation::Put(record_key(n), n.to_be_bytes().repeat(2)[..10].to_vec()));
        batch.push(Mutation::Put(piece_key(n), n.to_be_bytes()[..8].to_vec()));
    }
    let session = (from / BATCH).wrapping_mul(0x9E37_79B9) % 500;
    batch.push(Mutation::Put(format!("s{session:08}").into_bytes(), vec![7; 1_000]));
    batch
}

fn open(dir: &Path) -> (Store, Duration) {
    let begun = Instant::now();
    let mut options = Options::default();
    if let Some(changes) = std::env::var("CCD_BENCH_HEAD").ok().and_then(|n| n.parse().ok()) {
        options.head_mutations = changes;
    }
    if let Some(bytes) = std::env::var("CCD_BENCH_CACHE").ok().and_then(|n| n.parse().ok()) {
        options.cache_bytes = bytes;
    }
    let Opened { store, report } = Store::open(dir, options).unwrap();
    let took = begun.elapsed();
    eprintln!("    opened ({:?}) in {took:?}", report.index);
    (store, took)
}

/// Fills; tells of folds by the batches that took long.
fn fill(dir: &Path, rows: u64, clean: bool) {
    let (mut store, _) = open(dir);
    let begun = Instant::now();
    let mut slow: Vec<Duration> = Vec::new();
    let mut busy = Duration::ZERO;
    for from in (0..rows / 2).step_by(32) {
        let batch = batch(from);
        let begun = Instant::now();
        store.apply(0, batch).unwrap();
        busy += begun.elapsed();
        if begun.elapsed() > Duration::from_millis(10) {
            slow.push(begun.elapsed());
        }
    }
    slow.sort_unstable();
    eprintln!(
        "    filled: {:.0} rows/s ({:.0}/s in apply alone); {} batches over 10 ms, median {:?}, worst {:?}; rss {} KiB, peak {} KiB, written {} MiB, disk {} MiB",
        rows as f64 / begun.elapsed().as_secs_f64(),
        rows as f64 / busy.as_secs_f64(),
        slow.len(),
        slow.get(slow.len() / 2).copied().unwrap_or_default(),
        slow.last().copied().unwrap_or_default(),
        status_kib("VmRSS:"),
        status_kib("VmHWM:"),
        written_kib() / 1_024,
        store.reader().stats().unwrap().index_bytes >> 20,
    );
    if clean {
        store.flush().unwrap();
        drop(store);
    } else {
        // The parent kills us.
        println!("filled");
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn use_it(dir: &Path, rows: u64) {
    let before = status_kib("VmRSS:");
    let (store, _) = open(dir);
    eprintln!("    idle: rss {} KiB, {} KiB before opening", status_kib("VmRSS:"), before);
    let reader = store.reader();
    let rounds: u64 = 20_000;
    let begun = Instant::now();
    for n in 0..rounds {
        assert!(reader.get(&record_key(n * 7_919 % (rows / 4))).unwrap().is_some());
    }
    let hit = begun.elapsed() / 20_000;
    let begun = Instant::now();
    for n in 0..rounds {
        assert!(reader.get(&record_key(rows + n)).unwrap().is_none());
    }
    eprintln!("    get: hit {hit:?}, miss {:?}; rss {} KiB", begun.elapsed() / 20_000, status_kib("VmRSS:"));
    let begun = Instant::now();
    let count = reader.scan(b"\x20", b"\xff").map(Result::unwrap).count();
    eprintln!(
        "    scan: {count} rows, {:.0}/s; rss {} KiB, peak {} KiB",
        count as f64 / begun.elapsed().as_secs_f64(),
        status_kib("VmRSS:"),
        status_kib("VmHWM:")
    );
    let begun = Instant::now();
    let last: Vec<_> = reader.scan(b"s", b"t").rev().take(20).collect();
    eprintln!("    the last {} of a range: {:?}", last.len(), begun.elapsed());
}

/// This program in a role of its own.
fn role(role: &str, dir: &Path, rows: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("CCD_BENCH_ROLE", role).env("CCD_BENCH_DIR", dir).arg(rows.to_string());
    command
}

fn main() {
    let rows: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    if let (Ok(role), Some(dir)) = (std::env::var("CCD_BENCH_ROLE"), std::env::var_os("CCD_BENCH_DIR")) {
        let (dir, rows) = (Path::new(&dir), rows[0]);
        match role.as_str() {
            "fill" => fill(dir, rows, true),
            "fill and be killed" => fill(dir, rows, false),
            _ => use_it(dir, rows),
        }
        return;
    }
    for rows in if rows.is_empty() { vec![1_000_000, 4_000_000] } else { rows } {
        let dir = tempfile::tempdir().unwrap();
        eprintln!("{rows} rows, ended cleanly:");
        assert!(role("fill", dir.path(), rows).status().unwrap().success());
        for _ in 0..2 {
            assert!(role("use", dir.path(), rows).status().unwrap().success());
        }
        let dir = tempfile::tempdir().unwrap();
        eprintln!("{rows} rows, killed:");
        let mut child = role("fill and be killed", dir.path(), rows).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(role("use", dir.path(), rows).status().unwrap().success());
    }
}
