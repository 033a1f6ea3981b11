//! Prints what the store does per second: `cargo bench -p ccd-store`. Nothing here fails on a time.
#![allow(clippy::print_stderr, clippy::cast_precision_loss, clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use ccd_store::{NewRecord, Options};
use support::{id, noise, open_with, view};

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn main() {
    const RECORDS: u64 = 300_000;
    let dir = tempfile::tempdir().unwrap();
    let start_rss = rss_kib();
    let (mut store, _) = open_with(dir.path(), Options::default());
    eprintln!("empty store: rss +{} KiB", rss_kib() - start_rss);
    let body = |n: u64| {
        format!(
            r#"{{"session_id":"6b5f","tool_name":"Bash","n":{n},"tool_input":{{"command":"{:?}"}}}}"#,
            noise(n, 60)
        )
        .into_bytes()
    };
    let batch = |from: u64| -> Vec<_> {
        (from..from + 64)
            .map(|n| NewRecord { kind: 1, schema: 1, id: id(n), at_ns: n, body: body(n) })
            .collect()
    };
    let bytes = body(1).len();
    let (mut append, mut sync, mut apply) = (0.0, 0.0, 0.0);
    for from in (0..RECORDS).step_by(64) {
        let new = batch(from);
        let begun = Instant::now();
        let records = store.append(new).unwrap();
        append += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        if from % (64 * 50) == 0 {
            store.sync().unwrap();
        }
        sync += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        store.apply(store.last_seq(), records.iter().flat_map(view).collect()).unwrap();
        apply += begun.elapsed().as_secs_f64();
    }
    let rate = |seconds: f64| RECORDS as f64 / seconds;
    eprintln!(
        "{RECORDS} records of {bytes} B in batches of 64: append {:.0}/s, with sync each 50 batches {:.0}/s, with index {:.0}/s; rss {} KiB",
        rate(append),
        rate(append + sync),
        rate(append + sync + apply),
        rss_kib()
    );
    let begun = Instant::now();
    let report = store.reader().replay(1, &mut |_| Ok(())).unwrap();
    eprintln!(
        "replay {:.0}/s; {:?}",
        report.records as f64 / begun.elapsed().as_secs_f64(),
        store.reader().stats().unwrap()
    );
    store.flush().unwrap();
    drop(store);
    let begun = Instant::now();
    let (store, _) = open_with(dir.path(), Options::default());
    eprintln!("open with {RECORDS} records: {:?}, rss {} KiB", begun.elapsed(), rss_kib());
    let reader = store.reader();
    let begun = Instant::now();
    for n in 0..10_000 {
        reader.record_by_id(&id(n * 7919 % RECORDS)).unwrap().unwrap();
    }
    eprintln!("record_by_id: {:?} each", begun.elapsed() / 10_000);
    drop((store, reader));
    std::fs::remove_dir_all(dir.path().join("v1/index")).unwrap();
    let begun = Instant::now();
    drop(open_with(dir.path(), Options::default()));
    eprintln!("rebuild, record by record: {:?}", begun.elapsed());
}
