//! `ccctl token`: who may hand something in over the network.
//!
//! A token is shown once, when it is made: the daemon keeps a hash of it.

use ccd_proto::api::{TokenCreated, TokenInfo, TokenList, TokenRevoked};

use crate::args::{TokenArgs, TokenCommand, TokenCreateArgs};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::table::{Column, Table, captured};
use crate::time;

/// The daemon's route.
const ROUTE: &str = "/v0/tokens";

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &TokenArgs) -> Result<()> {
    match &args.command {
        TokenCommand::Create(args) => create(env, out, args),
        TokenCommand::List(args) => list(env, out, args.json),
        TokenCommand::Revoke(args) => {
            let target = Target::new(ROUTE).part("revoke").with("which", Some(&args.which));
            let body = Client::new(env)?.command(out, target.as_ref())?;
            if args.json {
                return out.object(&body);
            }
            let gone: TokenRevoked = decode(&body)?;
            out.line(format!("{} is good no more", captured(&gone.revoked.name)))
        }
    }
}

fn create(env: &Env, out: &mut Printer, args: &TokenCreateArgs) -> Result<()> {
    let lives_s = match args.expires.as_deref() {
        None => None,
        Some(text) => {
            let seconds = time::age_ns(text).map(|ns| ns / 1_000_000_000).filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or_else(|| {
                CommandError::usage(format!("`{}` is no length of time", visible(text)))
                    .hint("lengths look like 12h, 90d, 52w")
            })?;
            Some(seconds.to_string())
        }
    };
    let target = Target::new(ROUTE)
        .part("create")
        .with("name", Some(&args.name))
        .with("scope", Some(args.scope.name()))
        .with("expires_s", lives_s);
    let body = Client::new(env)?.command(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let made: TokenCreated = decode(&body)?;
    out.line(&made.token)?;
    let end = made.info.expires_at.as_deref().map_or_else(
        || "until it is revoked".to_owned(),
        |end| format!("until {}", time::short(end, env.now, &env.tz)),
    );
    out.note(format!("shown this once; good for {}, {end}", captured(&made.info.scope)));
    Ok(())
}

fn list(env: &Env, out: &mut Printer, json: bool) -> Result<()> {
    let body = Client::new(env)?.get(out, ROUTE)?;
    if json {
        return out.object(&body);
    }
    let all: TokenList = decode(&body)?;
    if all.tokens.is_empty() {
        return out.line("no tokens; `ccctl token create NAME` makes one");
    }
    let columns = ["NAME", "SCOPE", "MADE", "ENDS", "LAST USED", "ID"].map(Column::Whole);
    let mut table = Table::new(columns);
    for token in &all.tokens {
        let TokenInfo { id, name, scope, made_at, expires_at, used_at, expired } = token;
        let at = |at: &Option<String>| {
            at.as_deref().map_or_else(|| "never".to_owned(), |at| time::short(at, env.now, &env.tz))
        };
        let made = time::short(made_at, env.now, &env.tz);
        let tone = if *expired { Tone::Faint } else { Tone::Plain };
        let end = if *expired { format!("ended {}", at(expires_at)) } else { at(expires_at) };
        let cells = [captured(name), captured(scope), made, end, at(used_at), captured(id)];
        table.toned(cells.map(|cell| (cell, tone)));
    }
    table.print(out)
}
