//! How long looking through a directory takes, and what its index needs of memory:
//! `cargo run --release -p ccd --example index -- DIRECTORY…`
#![allow(clippy::print_stdout, reason = "an example's output")]

use std::path::Path;
use std::time::{Duration, Instant};

use ccd::detect::workspace::{Limits, Workspaces, scan};
use ccd_detect::Index;

/// Memory of our own, bytes; 0 where the system does not tell.
fn resident() -> u64 {
    ccd::memory::trim();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Vec<u64> = statm.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    pages.get(1).copied().unwrap_or(0).saturating_sub(pages.get(2).copied().unwrap_or(0)) * 4096
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn main() {
    println!(
        "| directory | gap | files | MiB read | ms first | ms again | words | symbols | MiB reckoned | MiB resident | µs a miss | µs similar |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for directory in std::env::args().skip(1) {
        let before = resident();
        let began = Instant::now();
        let scanned = scan(Path::new(&directory), None, &Limits::default());
        let first = began.elapsed();
        let stats = scanned.stats();
        let after = resident();
        let asked = Instant::now();
        for n in 0..1000 {
            std::hint::black_box(scanned.has_identifier(&format!("no_such_name_{n}")));
        }
        let miss = asked.elapsed();
        let asked = Instant::now();
        for n in 0..1000 {
            std::hint::black_box(scanned.similar(&format!("get_name_of_file_{n}")));
        }
        let similar = asked.elapsed();
        drop(scanned);
        let again = again(Path::new(&directory));
        println!(
            "| {directory} | {} | {} | {:.1} | {} | {:.1} | {} | {} | {:.1} | {:.1} | {:.2} | {:.1} |",
            stats.gap.map_or("", |gap| gap.as_str()),
            stats.files,
            mib(stats.bytes),
            first.as_millis(),
            again.as_secs_f64() * 1e3,
            stats.identifiers,
            stats.symbols,
            mib(stats.heap_bytes as u64),
            mib(after.saturating_sub(before)),
            miss.as_secs_f64() * 1e3,
            similar.as_secs_f64() * 1e3,
        );
    }
}

/// How long a live index takes to look again where nothing has changed.
fn again(directory: &Path) -> Duration {
    let workspaces = Workspaces::new(Limits { pause: 0, ..Limits::default() }, None);
    let index = workspaces.of(directory);
    let start = Instant::now();
    let looks = || workspaces.stats().trees.first().map(|tree| (tree.looks, tree.took, tree.gap));
    while start.elapsed() < Duration::from_secs(120) {
        match looks() {
            Some((0, ..)) | None => {}
            Some((_, _, Some(_))) => return Duration::ZERO,
            Some((3.., took, _)) => return took,
            _ => {
                workspaces.stirred(directory);
                std::hint::black_box(index.is_complete());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Duration::ZERO
}
