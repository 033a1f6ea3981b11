//! `ccctl store`: what is recorded on disk. The daemon does the work; here it is asked for and watched.
//!
//! Must never open the store's files: they are the daemon's.

pub mod backup;
pub mod prune;
pub mod rebuild;
pub mod restore;
pub mod stats;
pub mod verify;

use std::path::{Component, Path, PathBuf};

use ccd_proto::api::{ApiError, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::args::{StoreArgs, StoreCommand};
use crate::client::{Client, decode, told};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::printer::Printer;
use crate::query::Target;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &StoreArgs) -> Result<()> {
    match &args.command {
        StoreCommand::Stats(args) => stats::run(env, out, args),
        StoreCommand::Verify(args) => verify::run(env, out, args),
        StoreCommand::Rebuild(args) => rebuild::run(env, out, args),
        StoreCommand::Prune(args) => prune::run(env, out, args),
        StoreCommand::Backup(args) => backup::run(env, out, args),
        StoreCommand::Restore(args) => restore::run(env, out, args),
    }
}

/// One line of what the daemon tells, its result as it came.
#[derive(Deserialize)]
struct Line {
    progress: Option<Progress>,
    result: Option<Box<RawValue>>,
    error: Option<ApiError>,
}

/// What an operation did: the daemon's object as it came, and read.
pub(crate) struct Done<T> {
    object: Vec<u8>,
    pub(crate) result: T,
}

impl<T> Done<T> {
    /// The object, for `--json`.
    pub(crate) fn print(&self, out: &mut Printer) -> Result<()> {
        out.object(&self.object)
    }
}

/// Has the daemon do something that takes a while, and shows how far it is. `interrupted`: what becomes of it if
/// nobody waits any more.
pub(crate) fn operate<T: DeserializeOwned>(
    env: &Env,
    out: &mut Printer,
    target: &Target,
    interrupted: &str,
) -> Result<Done<T>> {
    operate_with(env, out, target, Vec::new(), interrupted)
}

/// As [`operate`], with what is in `body`.
pub(crate) fn operate_with<T: DeserializeOwned>(
    env: &Env,
    out: &mut Printer,
    target: &Target,
    body: Vec<u8>,
    interrupted: &str,
) -> Result<Done<T>> {
    let mut watching = Watching { bar: out.bar(), phase: String::new(), rest: Vec::new(), last: None };
    let ended =
        Client::new(env)?.watch_with(out, target.as_ref(), body.into(), |_, piece| watching.take(piece));
    watching.bar.finish_and_clear();
    match ended {
        Err(e) if e.kind == Kind::Interrupted => return Err(e.hint(interrupted)),
        other => other?,
    }
    let object = watching.last.unwrap_or_else(|| {
        Err(CommandError::new(Kind::Disconnected, "the daemon ended before it was done")
            .hint("`ccctl logs` may say why"))
    })?;
    Ok(Done { result: decode(&object)?, object })
}

struct Watching {
    bar: ProgressBar,
    phase: String,
    /// A line that is not whole yet.
    rest: Vec<u8>,
    last: Option<Result<Vec<u8>>>,
}

impl Watching {
    fn take(&mut self, piece: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(piece);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line: Line = decode(&line)?;
            if let Some(progress) = line.progress {
                self.show(&progress);
            }
            if let Some(result) = line.result {
                self.last = Some(Ok(result.get().as_bytes().to_vec()));
            }
            if let Some(error) = line.error {
                self.last = Some(Err(told(error)));
            }
        }
        Ok(())
    }

    fn show(&mut self, progress: &Progress) {
        if self.phase != progress.phase {
            self.phase.clone_from(&progress.phase);
            let template = match (progress.total, progress.unit.as_str()) {
                (0, _) => "{spinner} {msg}",
                (_, "bytes") => "{msg:8} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
                _ => "{msg:8} {wide_bar} {human_pos} of {human_len}, {eta} left",
            };
            self.bar.reset();
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.set_message(crate::printer::visible(&progress.phase));
        }
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
    }
}

/// A directory as the daemon is told it: absolute, because the daemon has another working directory.
pub(crate) fn told_dir(env: &Env, dir: &Path) -> Result<String> {
    let mut whole = PathBuf::new();
    for part in env.cwd.join(dir).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = whole.pop(),
            part => whole.push(part),
        }
    }
    whole.into_os_string().into_string().map_err(|dir| {
        CommandError::usage(format!("{} is not UTF-8", Path::new(&dir).display()))
            .hint("choose a directory with another name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};
    use ccd_proto::api::{Rebuilt, Reply as Envelope};

    #[test]
    fn lines_are_put_together_and_the_last_one_counts() {
        let home = Home::new();
        let text = concat!(
            "{\"progress\":{\"phase\":\"x\",\"done\":1,\"total\":2,\"unit\":\"bytes\"}}\n",
            "{\"result\":{\"schema_version\":1,\"records\":7,\"tomorrow\":[]}}\n"
        );
        let daemon = home.daemon(move |_| Reply::json(text));
        let (mut out, printed, err) = Printer::captured(80);
        let target = Target::new("/v0/store/rebuild");
        let done: Done<Envelope<Rebuilt>> = operate(&home.env(), &mut out, &target, "").unwrap();
        assert_eq!(done.result.body.records, 7);
        done.print(&mut out).unwrap();
        assert_eq!(printed.text(), "{\"schema_version\":1,\"records\":7,\"tomorrow\":[]}\n");
        assert_eq!(
            (err.text(), daemon.requests()),
            (String::new(), vec!["POST /v0/store/rebuild".to_owned()])
        );
    }

    #[test]
    fn an_error_line_and_no_last_line_are_failures() {
        let ask = |text: &'static str| {
            let home = Home::new();
            let _daemon = home.daemon(move |_| Reply::json(text));
            let (mut out, _, _) = Printer::captured(80);
            let done =
                operate::<Envelope<Rebuilt>>(&home.env(), &mut out, &Target::new("/v0/store/verify"), "");
            done.err().unwrap()
        };
        let refused = ask("{\"error\":{\"code\":\"refused\",\"message\":\"no\",\"hint\":\"do\"}}\n");
        assert_eq!(
            (refused.exit_code(), refused.message.as_str(), refused.hints),
            (1, "no", vec!["do".to_owned()])
        );
        assert!(ask("{\"progress\":{}}\n").message.contains("ended before it was done"));
    }

    #[test]
    fn directories_are_told_whole() {
        let home = Home::new();
        let env = home.env();
        let cwd = env.cwd.display().to_string();
        assert_eq!(told_dir(&env, Path::new("./a/../b c")).unwrap(), format!("{cwd}/b c"));
        assert_eq!(told_dir(&env, Path::new("/x/../y")).unwrap(), "/y");
        let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/a\xff");
        assert_eq!(told_dir(&env, Path::new(odd)).unwrap_err().exit_code(), 2);
    }
}
