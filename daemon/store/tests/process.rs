//! What depends on the process: its umask, its limits, its death.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::exit, clippy::print_stderr)]

mod support;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ccd_store::StoreError;
use support::{fill, id, new_record, noise, open, replayed, views};

/// Runs one of the `child_` tests below in a process of its own, after `setup` in its shell.
fn run(setup: &str, test: &str, dir: &Path) -> std::process::ExitStatus {
    Command::new("sh")
        .args(["-c", &format!("{setup}; exec \"$0\" --exact {test} --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env("CCD_STORE_TEST_DIR", dir)
        .status()
        .unwrap()
}

/// Where a child works. A `child_` test is the other half of the one that starts it: by itself it has no
/// directory, and nothing to do.
fn dir() -> Option<std::path::PathBuf> {
    std::env::var_os("CCD_STORE_TEST_DIR").map(Into::into)
}

#[test]
fn everything_is_private_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("state/ccd");
    assert!(run("umask 0", "child_fills", &dir).success());
    let mut paths = vec![dir];
    while let Some(path) = paths.pop() {
        let meta = std::fs::metadata(&path).unwrap();
        let mode = meta.permissions().mode() & 0o7777;
        assert_eq!(mode, if meta.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if meta.is_dir() {
            paths.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
    }
}

#[test]
fn child_fills() {
    let Some(dir) = dir() else { return };
    let (mut store, _) = open(&dir);
    store.put_blob(b"f", &noise(1, 3_000)).unwrap();
    fill(&mut store, 0, 100, 10);
    store.flush().unwrap();
}

#[test]
fn an_index_is_not_set_aside_because_there_are_too_few_file_descriptors() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("store");
    assert!(run("true", "child_fills", &dir).success());
    for files in 5..24 {
        let setup = format!("ulimit -n {files}");
        assert!(run(&setup, "child_opens", &dir).success(), "with {files} files");
    }
    let (store, report) = open(&dir);
    assert_eq!(report.index, ccd_store::IndexState::Opened);
    assert_eq!(views(&store).len(), 100);
    assert!(!dir.join("v1/quarantine-1").exists());
}

#[test]
fn child_opens() {
    let Some(dir) = dir() else { return };
    match ccd_store::Store::open(&dir, support::options()) {
        Ok(opened) => assert_eq!(opened.report.index, ccd_store::IndexState::Opened),
        Err(error) => assert!(matches!(error, StoreError::Io { .. }), "{error}"),
    }
}

#[test]
fn writes_that_fail_half_way_leave_whole_frames_and_reading_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    // Files may not grow over 8 MiB; a write over that is short first, then fails.
    assert!(run("trap '' XFSZ; ulimit -f 16384", "child_hits_the_limit", parent.path()).success());
    let (mut store, report) = open(parent.path());
    assert_eq!((report.damaged, report.cut_bytes), (0, 0));
    let last = store.last_seq();
    assert_eq!(replayed(&store).len() as u64, last);
    assert_eq!(fill(&mut store, 900, 901, 1)[0].seq, last + 1);
}

#[test]
fn child_hits_the_limit() {
    let Some(dir) = dir() else { return };
    let (mut store, _) = support::open_with(&dir, ccd_store::Options::default());
    let big = |n| ccd_store::NewRecord { body: noise(n, 700_000), ..new_record(n) };
    let mut written = 0;
    let error = loop {
        match store.append(vec![big(written)]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Io { .. }) && written > 5);
    assert!(!store.reader().contains(&id(written)).unwrap());
    // Smaller ones still fit, and everything written is durable and readable.
    store.append(vec![new_record(written)]).unwrap();
    store.sync().unwrap();
    assert_eq!(replayed(&store).len() as u64, written + 1);
    let error = (0..).find_map(|n| store.put_blob(b"f", &noise(n, 700_000)).err()).unwrap();
    assert!(matches!(error, StoreError::Io { .. }));
    let small = store.put_blob(b"f", &noise(1_000, 1_000)).unwrap();
    assert_eq!(store.reader().blob(&small).unwrap(), noise(1_000, 1_000));
    store.sync().unwrap();
}

fn synced(dir: &Path) -> u64 {
    std::fs::read_to_string(dir.join("synced")).unwrap_or_default().lines().count() as u64
}

/// What was synced is there, once, in order, with its bodies.
fn check_synced(dir: &Path) {
    let (store, report) = open(dir);
    assert_eq!(report.damaged, 0, "{report:?}");
    let records = replayed(&store);
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    assert!(ids.len() as u64 >= synced(dir) * 3, "{} records, {} batches synced", ids.len(), synced(dir));
    assert_eq!(ids, (0..ids.len() as u64).map(id).collect::<Vec<_>>());
    assert_eq!(views(&store), ids);
    for (record, n) in records.into_iter().zip(1..) {
        let blob = ccd_store::BlobRef { id: record.body[..32].try_into().unwrap(), len: 2_000 };
        assert_eq!(store.reader().blob(&blob).unwrap(), noise(n, 2_000));
    }
}

#[test]
fn failing_syncs_and_full_disks_lose_nothing_acknowledged() {
    if cfg!(not(target_os = "linux")) {
        return; // nothing to inject faults with
    }
    let found = Command::new("strace").arg("-V").output();
    assert!(found.is_ok(), "strace is not installed: tests/run.sh installs it where it may");
    let once = [3, 10, 11, 40].map(|n| format!("fdatasync:error=EIO:when={n}"));
    let often = [
        "fdatasync:error=EIO:when=5+7",
        "pwrite64:error=ENOSPC:when=20+9",
        "pwrite64:error=ENOSPC:when=31+5",
    ]
    .map(String::from);
    for fault in once.iter().chain(&often) {
        let parent = tempfile::tempdir().unwrap();
        let status = Command::new("strace")
            .args(["-f", "-qqq", "-o", "/dev/null", "-e", "trace=fdatasync,pwrite64", "-e"])
            .arg(format!("inject={fault}"))
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_killed"])
            .env("CCD_STORE_TEST_DIR", parent.path())
            .env("CCD_STORE_TEST_BATCHES", "60")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{fault}");
        assert_eq!(synced(parent.path()), 60, "{fault}");
        check_synced(parent.path());
    }
}

#[test]
fn a_killed_process_leaves_everything_it_had_synced() {
    for round in 0..6 {
        let parent = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_killed"])
            .env("CCD_STORE_TEST_DIR", parent.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while synced(parent.path()) < 20 + round * 13 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        check_synced(parent.path());
    }
}

#[test]
fn child_writes_until_killed() {
    let Some(dir) = dir() else { return };
    watchdog();
    let batches = std::env::var("CCD_STORE_TEST_BATCHES").map_or(u64::MAX, |n| n.parse().unwrap());
    let (mut store, _) = open(&dir);
    let mut log = std::fs::File::create(dir.join("synced")).unwrap();
    for batch in 0..batches {
        // What fails is done again, as a caller would from its spool.
        let records = loop {
            match write_batch(&mut store, batch) {
                Ok(records) => break records,
                Err(error @ (StoreError::Io { .. } | StoreError::Full { .. })) => {
                    eprintln!("batch {batch}: {error}");
                    assert!(!store.reader().contains(&id(batch * 3)).unwrap_or(false));
                }
                Err(other) => panic!("{other}"),
            }
        };
        writeln!(log, "{batch}").unwrap();
        // The index may fail too; then it is reopened, until it works again.
        let mutations = records.iter().flat_map(support::view).collect();
        if let Err(error) = store.apply(records.last().unwrap().seq, mutations) {
            eprintln!("apply {batch}: {error}");
            // Meanwhile everything applied is still read.
            let rows = store.reader().scan(b"r", b"s").map(Result::unwrap).count();
            assert!(rows > 0 || batch == 0);
            assert!((0..100).any(|_| store.reopen_index().is_ok() && support::catch_up(&mut store).is_ok()));
        }
    }
    // As the product does: sled may hang when dropped after a write failed.
    std::process::exit(0);
}

/// Nothing here takes long, unless it hangs.
fn watchdog() {
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(20));
        std::process::exit(99);
    });
}

fn write_batch(store: &mut ccd_store::Store, batch: u64) -> Result<Vec<ccd_store::Record>, StoreError> {
    let records = (0..3).map(|n| {
        let n = batch * 3 + n;
        let blob = store.put_blob(b"f", &noise(n + 1, 2_000))?;
        Ok(ccd_store::NewRecord { body: blob.id.to_vec(), ..new_record(n) })
    });
    let records = records.collect::<Result<_, StoreError>>()?;
    let records = store.append(records)?;
    store.sync()?;
    Ok(records)
}
