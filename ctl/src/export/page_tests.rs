//! What is written where, and what never is.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::args::QueryArgs;
use crate::testing::{Daemon, Home, Reply};

const SESSIONS: &str = r#"{"schema_version":1,"sessions":[{"session_id":"0a1b2c3d-4444-4555-8666-777788889999","started_at":"2026-11-21T06:00:00.000000Z"}]}"#;
const PAGE: &str = "<!doctype html>\n<p>hello</p></body></html>\n";

fn daemon(home: &Home, page: &'static str) -> Daemon {
    home.daemon(move |request| match request.uri().path() {
        "/v0/sessions" => Reply::json(SESSIONS),
        "/v0/export/session/nowhere.html" => Reply::status(
            404,
            r#"{"error":{"code":"not_found","message":"no session \"nowhere\"","hint":"`ccctl sessions` lists them"}}"#,
        ),
        _ => Reply::status(200, page),
    })
}

fn args(session: &str, output: Option<&str>) -> ExportArgs {
    let query = QueryArgs { session: Some(session.into()), ..QueryArgs::default() };
    ExportArgs { query, output: output.map(PathBuf::from), ..ExportArgs::default() }
}

fn export(home: &Home, args: &ExportArgs, is_watched: bool) -> (Result<()>, String, String) {
    let (out, text, err) = Printer::captured(80);
    let mut out = if is_watched { out.drawn(false) } else { out };
    let done = run(&home.env(), &mut out, args);
    if let Err(error) = &done {
        out.error(error);
    }
    (done, text.text(), err.text())
}

#[test]
fn a_pipe_and_a_dash_have_the_file_itself() {
    let home = Home::new();
    let daemon = daemon(&home, PAGE);
    let (done, text, err) = export(&home, &args("0a1b", None), false);
    done.unwrap();
    assert_eq!((text.as_str(), err.as_str()), (PAGE, ""));
    let all = ExportArgs { full: true, ..args("0a1b", Some("-")) };
    let (done, text, _) = export(&home, &all, true);
    done.unwrap();
    assert_eq!(text, PAGE);
    assert_eq!(
        daemon.requests(),
        ["GET /v0/export/session/0a1b.html", "GET /v0/export/session/0a1b.html?full=1"]
    );
}

#[test]
fn a_file_is_new_and_its_owners_alone() {
    let home = Home::new();
    let _daemon = daemon(&home, PAGE);
    let path = home.path().join("ccd-0a1b2c3d-2026-11-21.html");
    let (done, text, _) = export(&home, &args("0a1b", None), true);
    done.unwrap();
    assert_eq!(text, format!("{} (43 B)\n", path.display()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), PAGE);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::write(&path, "mine").unwrap();
    let (done, _, err) = export(&home, &args("0a1b", None), true);
    assert_eq!(done.unwrap_err().exit_code(), 1);
    insta::assert_snapshot!(err.replace(&home.path().display().to_string(), "HOME"), @r"
    error: HOME/ccd-0a1b2c3d-2026-11-21.html is there already: it was not touched
    hint: name another one with -o, or have it replaced with --force
    ");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");

    let forced = ExportArgs { force: true, ..args("0a1b", Some("ccd-0a1b2c3d-2026-11-21.html")) };
    export(&home, &forced, true).0.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), PAGE);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn links_are_neither_followed_nor_written_through() {
    let home = Home::new();
    let _daemon = daemon(&home, PAGE);
    let target = home.write("target", "theirs");
    let link = home.path().join("link.html");
    for to in [target.as_path(), Path::new("/nowhere/at/all")] {
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(to, &link).unwrap();
        let (done, _, err) = export(&home, &args("0a1b", Some("link.html")), true);
        assert!(done.is_err() && err.contains("was not touched"), "{err}");
    }
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    export(&home, &ExportArgs { force: true, ..args("0a1b", Some("link.html")) }, true).0.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "theirs");
    assert!(!link.symlink_metadata().unwrap().is_symlink(), "the link itself was replaced");
}

#[test]
fn what_is_cut_off_or_unknown_leaves_nothing_behind() {
    let home = Home::new();
    let _daemon = daemon(&home, "<!doctype html>\n<p>hel");
    let old = home.write("old.html", "mine");
    for (args, why) in [
        (args("0a1b", Some("new.html")), "ended before the file did"),
        (ExportArgs { force: true, ..args("0a1b", Some("old.html")) }, "ended before the file did"),
        (args("nowhere", Some("new.html")), "no session"),
        (args("0a1b", Some("no/such/dir.html")), "no such directory"),
    ] {
        let (done, _, err) = export(&home, &args, true);
        assert!(done.is_err() && err.contains(why), "{err}");
    }
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "mine");
    let files = std::fs::read_dir(home.path()).unwrap();
    let left: Vec<_> =
        files.map(|f| f.unwrap().file_name()).filter(|n| n.to_string_lossy().contains("html")).collect();
    assert_eq!(left, ["old.html"]);
    let (done, _, _) = export(&home, &args("0a1b", None), false);
    assert!(done.is_err(), "a pipe is told, too");
}

#[test]
fn what_is_revealed_is_asked_for_in_another_way_and_warned_of() {
    let home = Home::new();
    let daemon = daemon(&home, PAGE);
    let (done, _, err) = export(&home, &ExportArgs { reveal: true, ..args("0a1b", Some("x.html")) }, true);
    done.unwrap();
    assert_eq!(daemon.requests(), ["POST /v0/export/session/0a1b.html?reveal=1"]);
    insta::assert_snapshot!(err, @"warning: nothing was taken out of it: it may hold credentials");
}

#[test]
fn names_are_made_of_checked_characters() {
    let of = |id: &str, at: &str| {
        name(&Session { session_id: id.into(), started_at: at.into(), ..Session::default() })
    };
    assert_eq!(of("../../x\n<b>", "2026-11-21T"), "ccd-xb-2026-11-21.html");
    assert_eq!(of("☃", "../../../etc/x"), "ccd-session-undated.html");
}
