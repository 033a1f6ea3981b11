//! `ccctl files`: what a session did to files, as `git diff --stat` tells it, or as a difference.

use ccd_proto::api::{Files, SessionFile};

use crate::analyze::newest;
use crate::args::FilesArgs;
use crate::client::{Client, decode};
use crate::diff;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{count, plural, short_id};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::table::{Column, Table, captured};

/// Widest bar.
const BAR: u64 = 24;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &FilesArgs) -> Result<()> {
    let client = Client::new(env)?;
    let session = match &args.session {
        Some(session) => session.clone(),
        None => newest(env, out, &client)?.ok_or_else(|| {
            CommandError::failed("no sessions yet, so no files")
                .hint("use Claude Code as always, or record one now with `ccctl run`")
        })?,
    };
    let target = Target::new("/v0/files")
        .with("session", Some(&session))
        .with("path", args.path.as_ref().map(|path| whole(env, path)))
        .flag("content", args.diff);
    let body = client.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let Files { session_id, files } = decode(&body)?;
    if files.is_empty() {
        let of = visible(short_id(&session_id));
        return out
            .line(format!("session {of} edited no such file; what its commands did is not known here"));
    }
    if args.diff {
        let lines: Vec<String> = files.iter().flat_map(|file| difference(env, out, file)).collect();
        return lines.iter().try_for_each(|line| out.line(line));
    }
    stat(env, &files).print(out)?;
    out.line(out.paint(Tone::Faint, &summary(&session_id, &files)))?;
    if files.iter().any(|file| !file.exact) {
        out.note("≈: something else changed the file between the edits, or not all of it is known; the edits are counted");
    }
    Ok(())
}

/// A path as the tools name it, which is from the root.
fn whole(env: &Env, path: &str) -> String {
    let whole = env.cwd.join(path);
    whole.to_str().map_or_else(|| path.to_owned(), str::to_owned)
}

/// A path as it is shown: from here, where it lies below.
fn shown(env: &Env, path: &str) -> String {
    let below = env.cwd.to_str().and_then(|cwd| path.strip_prefix(cwd)?.strip_prefix('/'));
    visible(below.unwrap_or(path))
}

fn stat(env: &Env, files: &[SessionFile]) -> Table {
    let mut table = Table::new([
        Column::Text("FILE"),
        Column::Number("EDITS"),
        Column::Number("ADDED"),
        Column::Number("REMOVED"),
        Column::Whole(""),
        Column::Whole(""),
    ])
    .spare(["EDITS"]);
    let most = files.iter().map(|file| file.added + file.removed).max().unwrap_or(0).max(1);
    for file in files {
        // Every change is seen, and none is wider than there is room.
        let scaled = |lines: u64| if most <= BAR { lines } else { (lines * BAR).div_ceil(most) };
        let (plus, minus) = (scaled(file.added), scaled(file.removed));
        let bar = |mark: &str, n: u64| mark.repeat(usize::try_from(n).unwrap_or(0));
        let note = match (file.created, file.exact) {
            (true, true) => "new",
            (true, false) => "new ≈",
            (false, true) => "",
            (false, false) => "≈",
        };
        table.toned([
            (captured(&shown(env, &file.path)), Tone::Plain),
            (count(file.edits), Tone::Plain),
            (format!("+{}", count(file.added)), Tone::Good),
            (format!("-{}", count(file.removed)), Tone::Bad),
            (format!("{}{}", bar("+", plus), bar("-", minus)), Tone::Faint),
            (note.to_owned(), Tone::Plain),
        ]);
    }
    table
}

fn summary(session_id: &str, files: &[SessionFile]) -> String {
    let sum = |of: fn(&SessionFile) -> u64| files.iter().map(of).sum::<u64>();
    format!(
        "session {}: {}, {}, {} added, {} removed",
        visible(short_id(session_id)),
        plural(files.len() as u64, "file"),
        plural(sum(|file| file.edits), "edit"),
        count(sum(|file| file.added)),
        count(sum(|file| file.removed)),
    )
}

fn difference(env: &Env, out: &Printer, file: &SessionFile) -> Vec<String> {
    let path = shown(env, &file.path);
    let before = if file.created { "/dev/null" } else { &path };
    let mut lines = vec![
        out.paint(Tone::Strong, &format!("--- {before}")),
        out.paint(Tone::Strong, &format!("+++ {path}")),
    ];
    if !file.exact {
        let why =
            "only what is known: something else changed it between the edits, or they do not tell all of it";
        lines.push(out.paint(Tone::Faint, &format!("# {why}")));
    }
    match (&file.before, &file.after) {
        (None, None) if file.added + file.removed > 0 => {
            let why = format!("# +{} -{}, too large to be shown with the others", file.added, file.removed);
            lines.push(out.paint(Tone::Faint, &why));
        }
        (before, after) => {
            let text = |side: &Option<String>| side.clone().unwrap_or_default();
            lines.extend(diff::hunks(out, &text(before), &text(after)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};
    use serde_json::{Value, json};

    fn ran(files: &Value, args: &FilesArgs) -> (String, String, Vec<String>) {
        let home = Home::new();
        let body = json!({"schema_version":1,"session_id":"5f0c6c2e-8d1f","files":files}).to_string();
        let daemon = home.daemon(move |request| match request.uri().path() {
            "/v0/sessions" => {
                Reply::json(r#"{"schema_version":1,"sessions":[{"session_id":"5f0c"}]}"#.to_owned())
            }
            _ => Reply::json(body.clone()),
        });
        let (mut out, text, err) = Printer::captured(100);
        run(&home.env(), &mut out, args).unwrap();
        (text.text(), err.text(), daemon.requests())
    }

    #[test]
    fn a_table_of_files() {
        let files = json!([
            {"path":"/w/src/cart.py","edits":3,"added":120,"removed":40,"exact":true},
            {"path":"/w/new.rs","edits":1,"added":3,"removed":0,"exact":true,"created":true},
            {"path":"/w/odd\u{1b}name","edits":2,"added":1,"removed":1}]);
        let (text, err, _) = ran(&files, &FilesArgs { session: Some("5f0c".into()), ..FilesArgs::default() });
        insta::assert_snapshot!(text, @r"
        FILE              EDITS  ADDED  REMOVED
        /w/src/cart.py        3   +120      -40  ++++++++++++++++++------
        /w/new.rs             1     +3       -0  +                         new
        /w/odd\u{1b}name      2     +1       -1  +-                        ≈
        session 5f0c6c2e: 3 files, 6 edits, 124 added, 41 removed
        ");
        insta::assert_snapshot!(err, @r"
        ≈: something else changed the file between the edits, or not all of it is known; the edits are counted
        ");
    }

    #[test]
    fn a_difference_of_the_newest_session() {
        let files = json!([
            {"path":"/w/a","edits":1,"added":1,"removed":1,"exact":true,"before":"a\nb\nc\n","after":"a\nB\nc\n"},
            {"path":"/w/new","edits":1,"added":1,"exact":true,"created":true,"after":"x"},
            {"path":"/w/b","edits":1,"added":1,"removed":1,"before":"old","after":"new"},
            {"path":"/w/huge","edits":1,"added":9,"exact":true}]);
        let (text, _, requests) =
            ran(&files, &FilesArgs { diff: true, path: Some("/w/a".into()), ..FilesArgs::default() });
        assert_eq!(requests.last().unwrap(), "GET /v0/files?session=5f0c&path=%2Fw%2Fa&content=1");
        insta::assert_snapshot!(text, @r"
        --- /w/a
        +++ /w/a
        @@ -1,3 +1,3 @@
         a
        -b
        +B
         c
        --- /dev/null
        +++ /w/new
        @@ -0,0 +1 @@
        +x
        \ no newline at end of file
        --- /w/b
        +++ /w/b
        # only what is known: something else changed it between the edits, or they do not tell all of it
        @@ -1 +1 @@
        -old
        \ no newline at end of file
        +new
        \ no newline at end of file
        --- /w/huge
        +++ /w/huge
        # +9 -0, too large to be shown with the others
        ");
    }
}
