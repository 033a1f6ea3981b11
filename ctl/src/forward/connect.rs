//! `ccctl connect`: takes the Pisama platform's API key, keeps it in a file of its own (0600), names the platform in the
//! configuration, and has the daemon look at once whether the key is good.
//!
//! Must never show the key, nor leave it in a file that others can read.

use std::io::Read;

use ccd_proto::api::{Connected, Reply};

use super::{ROUTE, change, host, level, taken_up};
use crate::args::ConnectArgs;
use crate::client::{Client, decode};
use crate::config::forward::{self as file, NewSink};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::files;
use crate::printer::{Printer, visible};
use crate::query::Target;

/// Longest key.
const LONGEST: u64 = 64 << 10;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ConnectArgs) -> Result<()> {
    let mut key = args.api_key.clone().unwrap_or_default();
    if args.api_key.is_some() {
        out.warn("a key on the command line can be seen by others: --api-key-stdin is the better way");
    } else {
        std::io::stdin().take(LONGEST).read_to_string(&mut key)?;
    }
    with_key(env, out, args, key.trim())
}

fn with_key(env: &Env, out: &mut Printer, args: &ConnectArgs, key: &str) -> Result<()> {
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(CommandError::usage("that is no API key").hint("one word is expected"));
    }
    // Before anything is kept: the name becomes a part of the key's file name.
    file::with_sink(b"", &args.name, &NewSink::default())?;
    let dir = env.layout.config_file.parent().map(|dir| dir.join("forward")).unwrap_or_default();
    files::make_dirs(&dir)?;
    let key_file = dir.join(format!("{}.key", args.name));
    // A new file has the mode that we give it; one that was there may be anybody's to read.
    files::remove_file(&key_file)?;
    files::replace(&key_file, None, format!("{key}\n").as_bytes())?;
    let new = NewSink {
        kind: "pisama",
        url: args.api_url.clone(),
        content: level(args.content),
        headers_file: None,
        key_file: Some(format!("forward/{}.key", args.name)),
        enabled: args.auto_sync,
        allow_http: false,
    };
    change(env, |bytes| file::with_sink(bytes, &args.name, &new))?;
    let name = args.name.clone();
    let is_taken_up = taken_up(env, out, false, |sinks| {
        sinks.iter().any(|sink| sink.name == name && sink.enabled == args.auto_sync)
    })?;
    if !is_taken_up {
        return Err(CommandError::not_running()
            .hint("the key is kept; once the daemon runs, `ccctl sync --dry-run` and `ccctl sync` use it"));
    }
    let target = Target::new(ROUTE).part("connect").with("name", Some(&args.name));
    let body = Client::new(env)?.command(out, target.as_ref())?;
    let connected: Reply<Connected> = decode(&body)?;
    let Connected { ok, tenant_id, error, dashboard } = connected.body;
    if args.json {
        out.object(&body)?;
    } else if ok {
        out.line(format!("connected to {}", visible(host(&args.api_url))))?;
        if let Some(tenant) = tenant_id {
            out.line(format!("tenant   {}", visible(&tenant)))?;
        }
        out.line(format!("pages    {}", visible(&dashboard)))?;
        out.line(format!("content  {}", level(args.content)))?;
        out.line(if args.auto_sync {
            format!(
                "each session is sent from now on; `ccctl forward off {}` stops that",
                visible(&args.name)
            )
        } else {
            "nothing is sent before `ccctl sync` or `ccctl forward on`".to_owned()
        })?;
    }
    if ok {
        return Ok(());
    }
    Err(CommandError::failed(format!(
        "the key could not be exchanged for a token: {}",
        visible(error.as_deref().unwrap_or("it did not say why"))
    ))
    .hint("the key is kept: run this again with another key, or another --api-url"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For the tests of this directory.
    pub(in super::super) fn connect(
        env: &Env,
        out: &mut Printer,
        args: &ConnectArgs,
        key: &str,
    ) -> Result<()> {
        with_key(env, out, args, key)
    }
}
