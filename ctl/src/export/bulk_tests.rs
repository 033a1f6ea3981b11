//! What is written where, how it goes on, and what is said.

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use super::*;
use crate::args::{Compression, QueryArgs};
use crate::testing::{Daemon, Home, Reply};

/// Entries of the file, one per line, and what the daemon does behind so many of them.
const ENTRIES: usize = 40;

fn file() -> String {
    (0..ENTRIES).map(entry).collect()
}

/// An entry, long enough that places are kept between them.
fn entry(n: usize) -> String {
    format!("{n} {}\n", "x".repeat(200_000))
}

/// Frames from this entry on; `until`: the daemon ends there.
fn frames(from: usize, until: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut put = |frame: &ExportFrame, content: &str| {
        all.extend(serde_json::to_vec(frame).unwrap());
        all.push(b'\n');
        all.extend(content.as_bytes());
    };
    for n in from..until {
        let content = entry(n);
        let frame = ExportFrame {
            bytes: content.len() as u64,
            cursor: Some(format!("at {}", n + 1)),
            entries: n as u64 + 1,
            sessions: (0, 1),
            ..ExportFrame::default()
        };
        put(&frame, &content);
    }
    if until == ENTRIES {
        let end = ExportEnd {
            counts: [("span".to_owned(), ENTRIES as u64)].into(),
            entries: ENTRIES as u64,
            unreadable: 0,
            complete: true,
            marks_left: 0,
        };
        put(&ExportFrame { end: Some(end), entries: ENTRIES as u64, ..ExportFrame::default() }, "");
    }
    all
}

/// A daemon that ends its answers where it is told, one after the other; the last holds for all that follow.
fn daemon(home: &Home, ends: &'static [usize]) -> Daemon {
    let asked = Mutex::new(0);
    home.daemon(move |request| {
        let mut asked = asked.lock().unwrap();
        let until = ends[(*asked).min(ends.len() - 1)];
        *asked += 1;
        let query = request.uri().query().unwrap_or_default();
        let from = query.split("after=at%20").nth(1).map_or(0, |n| n.parse().unwrap());
        if until == usize::MAX {
            let error = r#"{"error":{"code":"changed","message":"it changed","hint":"begin it again"}}"#;
            return Reply::status(409, error);
        }
        Reply::status(200, frames(from, until))
    })
}

fn args(output: Option<&str>) -> ExportArgs {
    ExportArgs {
        format: Some(ExportFormat::Jsonl),
        output: output.map(PathBuf::from),
        ..ExportArgs::default()
    }
}

fn export(home: &Home, args: &ExportArgs, is_watched: bool) -> (Result<()>, String, String) {
    let (out, text, err) = Printer::captured(80);
    let mut out = if is_watched { out.drawn(false) } else { out };
    let done = crate::export::run(&home.env(), &mut out, args);
    if let Err(error) = &done {
        out.error(error);
    }
    let home = home.path().display().to_string();
    (done, text.text(), err.text().replace(&home, "HOME"))
}

fn names(home: &Home) -> Vec<String> {
    let files = std::fs::read_dir(home.path()).unwrap();
    let mut names: Vec<_> = files.map(|f| f.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != "ccd");
    names.sort();
    names
}

#[test]
fn a_file_is_whole_or_not_there() {
    let home = Home::new();
    let daemon = daemon(&home, &[ENTRIES]);
    let (done, text, err) = export(&home, &args(Some("a.jsonl")), true);
    done.unwrap();
    assert_eq!(
        (text.as_str(), err.as_str()),
        (&*format!("{} (40 spans, 7.6 MiB)\n", home.path().join("a.jsonl").display()), "")
    );
    assert_eq!(home.read("a.jsonl").unwrap(), file());
    let mode = home.path().join("a.jsonl").metadata().unwrap().permissions().mode();
    assert_eq!((mode & 0o777, names(&home)), (0o600, vec!["a.jsonl".to_owned()]));
    assert_eq!(daemon.requests(), ["GET /v0/export?format=jsonl&framed=1"]);

    let (done, _, err) = export(&home, &args(Some("a.jsonl")), true);
    assert!(done.is_err() && err.contains("a.jsonl is there already"), "{err}");
    let json = ExportArgs {
        query: QueryArgs { json: true, ..QueryArgs::default() },
        force: true,
        ..args(Some("a.jsonl"))
    };
    let (done, text, _) = export(&home, &json, false);
    done.unwrap();
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&summary["entries"], &summary["counts"]["span"], &summary["complete"]),
        (&40.into(), &40.into(), &true.into())
    );
    assert_eq!(summary["bytes"], file().len());
}

#[test]
fn what_was_interrupted_goes_on_and_is_the_same_file() {
    let plain = file().into_bytes();
    for compress in [None, Some(Compression::Zstd), Some(Compression::Gzip)] {
        let home = Home::new();
        let daemon = daemon(&home, &[ENTRIES, 33, 7, ENTRIES]);
        let of = |name: &str| ExportArgs { compress, ..args(Some(name)) };
        export(&home, &of("whole"), true).0.unwrap();
        let (done, _, err) = export(&home, &of("cut"), true);
        assert_eq!(done.unwrap_err().exit_code(), 1);
        assert!(err.contains("the same command with --resume goes on"), "{err}");
        let (done, _, err) = export(&home, &of("cut"), true);
        assert!(done.is_err() && err.contains("--resume goes on with it"), "{err}");
        // Bytes behind the last place, as a killed run leaves them.
        let ending = compress.map_or("", |with| if with == Compression::Zstd { ".zst" } else { ".gz" });
        let part = home.path().join(format!("cut{ending}.part"));
        let mut all = std::fs::read(&part).unwrap();
        all.extend(b"half an entry");
        std::fs::write(&part, all).unwrap();
        // Nothing new, and once more.
        for is_whole in [false, true] {
            let (done, text, err) = export(&home, &ExportArgs { resume: true, ..of("cut") }, true);
            assert_eq!(done.is_ok(), is_whole, "{text} {err}");
        }
        let read = |name: &str| std::fs::read(home.path().join(format!("{name}{ending}"))).unwrap();
        assert_eq!(read("cut"), read("whole"), "{compress:?}");
        if compress.is_none() {
            assert_eq!(read("cut"), plain);
        }
        assert!(names(&home).iter().all(|name| !name.contains("part")), "{:?}", names(&home));
        let last = daemon.requests().pop().unwrap();
        let place = if compress.is_none() { "33" } else { "21" };
        assert_eq!(last, format!("GET /v0/export?format=jsonl&framed=1&after=at%20{place}"));
    }
}

#[test]
fn what_changed_is_begun_again_and_said() {
    let home = Home::new();
    let _daemon = daemon(&home, &[9, usize::MAX, ENTRIES]);
    export(&home, &args(Some("a.jsonl")), true).0.unwrap_err();
    let (done, _, err) = export(&home, &ExportArgs { resume: true, ..args(Some("a.jsonl")) }, true);
    done.unwrap();
    assert!(err.contains("it is begun again"), "{err}");
    assert_eq!(home.read("a.jsonl").unwrap(), file());
}

#[test]
fn another_command_does_not_go_on_with_it() {
    let home = Home::new();
    let _daemon = daemon(&home, &[9]);
    export(&home, &args(Some("a.jsonl")), true).0.unwrap_err();
    let other = ExportArgs { resume: true, reveal: true, ..args(Some("a.jsonl")) };
    let (done, _, err) = export(&home, &other, true);
    assert!(done.unwrap_err().exit_code() == 2 && err.contains("another export"), "{err}");
    let (done, _, err) = export(&home, &ExportArgs { resume: true, ..args(Some("b.jsonl")) }, true);
    assert!(done.is_err() && err.contains("nothing to go on with"), "{err}");
}

#[test]
fn with_force_what_goes_on_takes_the_place_of_the_file_that_is_there_once_it_is_whole() {
    let home = Home::new();
    let _daemon = daemon(&home, &[9, 20, ENTRIES]);
    home.write("a.jsonl", "old");
    let forced = |resume| ExportArgs { force: true, resume, ..args(Some("a.jsonl")) };
    export(&home, &forced(false), true).0.unwrap_err();
    let (done, _, err) = export(&home, &forced(true), true);
    assert!(done.is_err() && err.contains("the same command with --resume goes on"), "{err}");
    assert_eq!(home.read("a.jsonl").unwrap(), "old");
    let (done, _, err) = export(&home, &ExportArgs { resume: true, ..args(Some("a.jsonl")) }, true);
    assert!(done.is_err() && err.contains("--force"), "{err}");
    export(&home, &forced(true), true).0.unwrap();
    assert_eq!(home.read("a.jsonl").unwrap(), file());
    assert_eq!(names(&home), ["a.jsonl"]);
}

#[test]
fn stdout_has_the_file_itself_and_a_terminal_is_asked_about() {
    let home = Home::new();
    let _daemon = daemon(&home, &[ENTRIES]);
    for output in [None, Some("-")] {
        let (done, text, err) = export(&home, &args(output), false);
        done.unwrap();
        assert!(text == file() && err.is_empty());
    }
    let (done, _, err) = export(&home, &args(None), true);
    assert!(done.unwrap_err().exit_code() == 2 && err.contains("-o"), "{err}");
    let (done, text, _) = export(&home, &ExportArgs { force: true, ..args(None) }, true);
    done.unwrap();
    assert_eq!(text, file());
    assert_eq!(names(&home), Vec::<String>::new());
}

#[test]
fn what_is_asked_for_is_what_was_typed() {
    let home = Home::new();
    let daemon = daemon(&home, &[ENTRIES]);
    let query =
        QueryArgs { since: Some("2026-11-01".into()), session: Some("0a".into()), ..QueryArgs::default() };
    let csv = ExportArgs { format: None, table: Some(ExportTable::Turns), query, ..args(Some("t.csv")) };
    export(&home, &csv, true).0.unwrap();
    let (done, _, err) = export(&home, &ExportArgs { reveal: true, ..args(Some("r.jsonl")) }, true);
    done.unwrap();
    assert!(err.contains("may hold credentials"));
    assert_eq!(
        daemon.requests(),
        [
            "GET /v0/export?format=csv&table=turns&since=2026-11-01T00%3A00%3A00Z&session=0a&framed=1",
            "POST /v0/export?format=jsonl&reveal=1&framed=1"
        ]
    );
    for wrong in [
        ExportArgs { full: true, ..args(None) },
        ExportArgs { format: Some(ExportFormat::Html), ..args(None) },
        ExportArgs { resume: true, ..args(None) },
    ] {
        assert_eq!(export(&home, &wrong, false).0.unwrap_err().exit_code(), 2);
    }
    let (out, text, _) = Printer::captured(80);
    let mut out = out;
    crate::export::run(&home.env(), &mut out, &ExportArgs { schema: true, ..args(None) }).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&text.text()).is_ok());
}
