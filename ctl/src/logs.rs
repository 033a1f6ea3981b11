//! `ccctl logs`: the daemon's log, and its level. The log is read from its file, so that it can be read when
//! the daemon is down.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::args::LogsArgs;
use crate::client::Client;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::printer::{Printer, visible};
use crate::query::Target;

/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How much of the file's end is read to find its last lines.
const TAIL: u64 = 4 << 20;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &LogsArgs) -> Result<()> {
    if let Some(level) = &args.level {
        let target = Target::new("/v0/log-level").with("level", Some(level));
        Client::new(env)?.post(target.as_ref())?;
        out.note(format!("log level: {}", visible(level)));
    }
    let path = env.layout.log_file();
    if !args.follow && !path.exists() {
        return Err(CommandError::failed(format!("there is no log yet ({})", path.display()))
            .hint("`ccctl start` starts the daemon, which writes it"));
    }
    let (mut at, inode) = last_lines(out, &path, args.lines)?;
    if !args.follow {
        return Ok(());
    }
    out.flush()?;
    let mut inode = inode;
    loop {
        sleep(LOOK);
        (at, inode) = news(out, &path, at, inode)?;
        out.flush()?;
    }
}

/// The last `count` lines of a log, made safe to show; none of a file that cannot be read.
#[must_use]
pub fn tail(path: &Path, count: usize) -> Vec<String> {
    read_tail(path, count).map(|tail| tail.lines).unwrap_or_default()
}

/// The end of a log.
struct Tail {
    lines: Vec<String>,
    /// Where to go on, and in which file.
    next: (u64, u64),
}

fn read_tail(path: &Path, count: usize) -> std::io::Result<Tail> {
    let mut file = std::fs::File::open(path)?;
    let meta = file.metadata()?;
    let from = meta.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[..end]);
    let lines: Vec<_> = text.lines().collect();
    let lines = lines[lines.len().saturating_sub(count)..].iter().map(|line| visible(line)).collect();
    Ok(Tail { lines, next: (from + end as u64, meta.ino()) })
}

/// Prints the last `count` lines; returns where to go on, and in which file.
fn last_lines(out: &mut Printer, path: &Path, count: usize) -> Result<(u64, u64)> {
    let Ok(tail) = read_tail(path, count) else { return Ok((0, 0)) };
    tail.lines.iter().try_for_each(|line| out.line(line))?;
    Ok(tail.next)
}

/// Prints whole lines written since; a file that was replaced or cut is read from its start.
fn news(out: &mut Printer, path: &Path, at: u64, inode: u64) -> Result<(u64, u64)> {
    let Ok(mut file) = std::fs::File::open(path) else { return Ok((at, inode)) };
    let meta = file.metadata()?;
    let at = if meta.ino() == inode && meta.len() >= at { at } else { 0 };
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    for line in String::from_utf8_lossy(&bytes[..end]).lines() {
        out.line(visible(line))?;
    }
    Ok((at + end as u64, meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};

    #[test]
    fn the_last_lines_are_shown_and_nothing_acts_on_the_terminal() {
        let home = Home::new();
        home.write("ccd/logs/ccd.log", "one\ntwo\u{1b}[2J\nthree\nhalf");
        let (mut out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out, &LogsArgs { lines: 2, ..LogsArgs::default() }).unwrap();
        assert_eq!(text.text(), "two\\u{1b}[2J\nthree\n");
    }

    #[test]
    fn a_followed_file_may_grow_and_be_replaced() {
        let home = Home::new();
        let path = home.write("log", "one\nha");
        let (mut out, text, _) = Printer::captured(80);
        let (at, inode) = last_lines(&mut out, &path, 10).unwrap();
        std::fs::write(&path, "one\nhalf\n").unwrap();
        let (at, inode) = news(&mut out, &path, at, inode).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(news(&mut out, &path, at, inode).unwrap(), (at, inode));
        std::fs::write(&path, "new\n").unwrap();
        news(&mut out, &path, at, inode).unwrap();
        assert_eq!(text.text(), "one\nhalf\nnew\n");
    }

    #[test]
    fn the_level_is_the_running_daemons() {
        let home = Home::new();
        home.write("ccd/logs/ccd.log", "");
        let daemon = home.daemon(|_| Reply::json(r#"{"schema_version":1,"ok":true}"#));
        let (mut out, _, _) = Printer::captured(80);
        let args = LogsArgs { level: Some("ccd::api=debug".into()), ..LogsArgs::default() };
        run(&home.env(), &mut out, &args).unwrap();
        assert_eq!(daemon.requests(), ["POST /v0/log-level?level=ccd%3A%3Aapi%3Ddebug"]);
    }
}
