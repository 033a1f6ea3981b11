//! `ccctl analyze`: what went wrong. Of a recorded session the daemon tells, as a report; a file's sessions are analysed
//! here, without one.
//!
//! Must never print anything that was captured but as text: not to a terminal, and not into Markdown.

pub mod file;
mod lay;
mod markdown;
mod report;
mod workspaces;

use ccd_proto::api::{Reply, Report, Session, Sessions};

use crate::args::AnalyzeArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::printer::{Printer, visible_block};
use crate::query::Target;

pub(crate) use file::cause;
pub(crate) use lay::wrap;
pub(crate) use report::{Page, tone};

/// Sessions of one project that are looked through for those of this directory.
const LOOKED_THROUGH: u32 = 100;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &AnalyzeArgs) -> Result<()> {
    if let Some(path) = &args.file {
        return file::run(env, out, path, args);
    }
    let client = Client::new(env)?;
    let session = match &args.session {
        Some(session) => session.clone(),
        None => newest(env, out, &client)?.ok_or_else(|| {
            CommandError::failed("no sessions yet, so there is nothing to analyse")
                .hint("use Claude Code as always, or record one now with `ccctl run`")
                .hint("`ccctl analyze --file F.jsonl` analyses sessions of a file")
        })?,
    };
    let target = Target::new("/v0/analyze").with("session", Some(&session)).flag("tree", args.tree);
    let body = client.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let Reply { body: report, .. }: Reply<Report> = decode(&body)?;
    if args.guardrail {
        if report.guardrail.trim().is_empty() {
            out.note("nothing was found in it that a guardrail would help against");
            return Ok(());
        }
        return out.line(visible_block(report.guardrail.trim_end()));
    }
    let lines = if args.markdown { markdown::lines(&report) } else { report::lines(env, out, &report) };
    lines.iter().try_for_each(|line| out.line(line))
}

/// The newest session of this directory, else the newest.
pub(crate) fn newest(env: &Env, out: &mut Printer, client: &Client<'_>) -> Result<Option<String>> {
    let real = env.cwd.canonicalize().ok();
    let is_here = |session: &Session| {
        let cwd = session.cwd.as_deref().map(std::path::Path::new);
        cwd.is_some() && (cwd == Some(env.cwd.as_path()) || cwd == real.as_deref())
    };
    let ask = |out: &mut Printer, project: Option<&str>, limit: u32| -> Result<Vec<Session>> {
        let target =
            Target::new("/v0/sessions").with("project", project).with("limit", Some(limit.to_string()));
        client.read::<Sessions>(out, target.as_ref()).map(|reply| reply.sessions)
    };
    let names = [Some(env.cwd.as_path()), real.as_deref()].map(|dir| dir?.file_name()?.to_str());
    let mut names: Vec<&str> = names.into_iter().flatten().collect();
    names.dedup();
    for name in names {
        let here = ask(out, Some(name), LOOKED_THROUGH)?.into_iter().find(is_here);
        if let Some(session) = here {
            return Ok(Some(session.session_id));
        }
    }
    Ok(ask(out, None, 1)?.into_iter().next().map(|session| session.session_id))
}

#[cfg(test)]
pub(crate) mod tests;
