//! `ccctl export --format html`: a session as one page, made by the daemon and written here as it comes.
//!
//! Must never write over a file unless it is told to, follow a link that somebody laid there, leave a file that others can
//! read, or leave one that is cut off and looks whole: what was begun and not finished is removed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ccd_proto::api::{HTML_END, Session, Sessions};

use crate::args::ExportArgs;
use crate::client::Client;
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::human::bytes;
use crate::printer::{Printer, visible};
use crate::query::Target;

/// Runs the command.
pub(super) fn run(env: &Env, out: &mut Printer, args: &ExportArgs) -> Result<()> {
    let session = args.query.session.as_deref().ok_or_else(|| {
        CommandError::usage("a page shows one session: --session ID")
            .hint("`ccctl sessions` lists them; `--format jsonl|csv|har|otlp` takes all of them elsewhere")
    })?;
    let client = Client::new(env)?;
    let to_stdout = match &args.output {
        Some(path) => path.as_os_str() == "-",
        None => !out.is_drawn(),
    };
    let mut end = End::default();
    if to_stdout {
        fetch(&client, out, args, session, |out, piece| {
            end.see(piece);
            out.bytes(piece)
        })?;
        return end.check();
    }
    let path = place(env, &client, out, args, session)?;
    let mut file = None;
    fetch(&client, out, args, session, |out, piece| {
        // Only once the daemon has begun to answer: it may not know the session.
        let file = match &mut file {
            Some(file) => file,
            None => file.insert(Unfinished::create(&path, args.force)?),
        };
        end.see(piece);
        file.write(piece)?;
        out.progress(&format!("{} written", bytes(end.seen)));
        Ok(())
    })?;
    out.progress("");
    end.check()?;
    let file = file.ok_or_else(|| CommandError::failed("the daemon sent nothing"))?;
    file.finish()?;
    out.line(format!("{} ({})", visible(&path.display().to_string()), bytes(end.seen)))?;
    if args.reveal {
        out.warn("nothing was taken out of it: it may hold credentials");
    }
    Ok(())
}

/// Asks for the file and hands it over as it comes.
fn fetch(
    client: &Client<'_>,
    out: &mut Printer,
    args: &ExportArgs,
    session: &str,
    take: impl FnMut(&mut Printer, &[u8]) -> Result<()>,
) -> Result<()> {
    let file = format!("{session}.html");
    let target =
        Target::about("/v0/export/session", &file).flag("full", args.full).flag("reveal", args.reveal);
    if args.reveal {
        return client.watch(out, target.as_ref(), take);
    }
    let mut signals = client.signals()?;
    if client.follow(out, target.as_ref(), Some(&mut signals), take)? {
        return Err(CommandError::new(Kind::Interrupted, "interrupted"));
    }
    Ok(())
}

/// Where the file goes: as was asked, with a name of its own in a directory.
fn place(env: &Env, client: &Client<'_>, out: &mut Printer, args: &ExportArgs, id: &str) -> Result<PathBuf> {
    let given = args.output.as_deref().map_or_else(|| env.cwd.clone(), |path| env.cwd.join(path));
    if !given.is_dir() {
        return Ok(given);
    }
    let target = Target::new("/v0/sessions").with("session", Some(id));
    let Sessions { sessions } = client.read(out, target.as_ref())?;
    let session = sessions.first().ok_or_else(|| {
        CommandError::failed(format!("no session {id:?}")).hint("`ccctl sessions` lists them")
    })?;
    let path = given.join(name(session));
    // Said before anything is made, with what would have helped.
    if !args.force && path.symlink_metadata().is_ok() {
        return Err(is_there(&path));
    }
    Ok(path)
}

/// A file's name of checked characters: `ccd-SESSIONHEAD-DATE.html`.
fn name(session: &Session) -> String {
    let head: String = session.session_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let date =
        session.started_at.get(..10).filter(|date| date.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    format!("ccd-{}-{}.html", if head.is_empty() { "session" } else { &head }, date.unwrap_or("undated"))
}

pub(super) fn is_there(path: &Path) -> CommandError {
    CommandError::failed(format!("{} is there already: it was not touched", path.display()))
        .hint("name another one with -o, or have it replaced with --force")
}

/// What was seen of a file, and whether it is whole.
#[derive(Default)]
struct End {
    seen: u64,
    tail: Vec<u8>,
}

impl End {
    fn see(&mut self, piece: &[u8]) {
        self.seen += piece.len() as u64;
        let most = HTML_END.len();
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(most)..]);
        self.tail.drain(..self.tail.len().saturating_sub(most));
    }

    fn check(&self) -> Result<()> {
        if self.tail == HTML_END.as_bytes() {
            return Ok(());
        }
        Err(CommandError::failed("the daemon ended before the file did").hint("`ccctl logs` may say why"))
    }
}

/// A file that is being written: removed unless it is finished.
struct Unfinished {
    file: File,
    /// Where it is written.
    at: PathBuf,
    /// Where it goes, where that is another place.
    to: Option<PathBuf>,
    is_done: bool,
}

impl Unfinished {
    fn create(path: &Path, force: bool) -> Result<Self> {
        let (at, to) = if force {
            if path.is_dir() {
                return Err(CommandError::failed(format!("{} is a directory", path.display())));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let at = path.with_file_name(format!(".{name}.ccd-{}", std::process::id()));
            (at, Some(path.to_owned()))
        } else {
            (path.to_owned(), None)
        };
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        options.custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default());
        let file = options.open(&at).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => is_there(&at),
            io::ErrorKind::NotFound => {
                CommandError::failed(format!("cannot write {}: there is no such directory", path.display()))
            }
            _ => CommandError::failed(format!("cannot write {}: {error}", at.display())),
        })?;
        Ok(Unfinished { file, at, to, is_done: false })
    }

    fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.file
            .write_all(piece)
            .map_err(|error| CommandError::failed(format!("cannot write {}: {error}", self.at.display())))
    }

    fn finish(mut self) -> Result<()> {
        let failed = |error| CommandError::failed(format!("cannot write {}: {error}", self.at.display()));
        self.file.sync_all().map_err(failed)?;
        if let Some(to) = &self.to {
            std::fs::rename(&self.at, to).map_err(failed)?;
        }
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            // Whoever is told of the failure can see whether it is gone.
            let _ = std::fs::remove_file(&self.at);
        }
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
