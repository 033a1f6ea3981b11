//! `ccctl vault`: what redaction took out. The daemon holds it; here it is asked for.
//!
//! A value goes to stdout and nowhere else. Values and passphrases that are typed are never arguments, are not shown while
//! they are typed, and are wiped when they are done with.

mod secret;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use bytes::Bytes;
use ccd_proto::api::{
    Reply, VaultAsk, VaultAudit, VaultDeleted, VaultHealth, VaultLookup, VaultRestored, VaultRotated,
    VaultStatus,
};
use serde::de::DeserializeOwned;

use crate::args::{
    JsonArgs, VaultArgs, VaultBackupArgs, VaultCommand, VaultDeleteArgs, VaultLookUpArgs, VaultRestoreArgs,
};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::human::{bytes, count, plural};
use crate::printer::{Printer, Tone, visible, visible_block};
use crate::time;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &VaultArgs) -> Result<()> {
    match &args.command {
        VaultCommand::Status(args) => status(env, out, args),
        VaultCommand::LookUp(args) => look_up(env, out, args),
        VaultCommand::Delete(args) => delete(env, out, args),
        VaultCommand::Rotate(args) => rotate(env, out, args),
        VaultCommand::Backup(args) => backup(env, out, args),
        VaultCommand::Restore(args) => restore(env, out, args),
        VaultCommand::Health(args) => health(env, out, args),
        VaultCommand::Audit(args) => audit(env, out, args),
    }
}

/// Asks the daemon; prints its object where that is wanted.
fn ask<T: DeserializeOwned>(
    env: &Env,
    out: &mut Printer,
    what: &str,
    ask: &VaultAsk,
    json: bool,
) -> Result<Option<T>> {
    let body = serde_json::to_vec(ask).map_err(|e| CommandError::failed(e.to_string()))?;
    let reply = Client::new(env)?.send(out, &format!("/v0/vault/{what}"), body.into())?;
    told(out, &reply, json)
}

fn told<T: DeserializeOwned>(out: &mut Printer, reply: &Bytes, json: bool) -> Result<Option<T>> {
    if json {
        out.object(reply)?;
        return Ok(None);
    }
    Ok(Some(decode::<Reply<T>>(reply)?.body))
}

fn status(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let reply = Client::new(env)?.get(out, "/v0/vault")?;
    let Some(status) = told::<VaultStatus>(out, &reply, args.json)? else { return Ok(()) };
    for (tone, text) in facts(&status) {
        let text = out.paint(tone, &visible_block(&text));
        out.line(text)?;
    }
    Ok(())
}

/// How the vault is, for people; nothing of a daemon that has none.
#[must_use]
pub fn facts(status: &VaultStatus) -> Vec<(Tone, String)> {
    let mut facts = Vec::new();
    let lost = match status.irreversible {
        0 => String::new(),
        n => format!(", {} taken out for good since start", count(n)),
    };
    match status.state.as_str() {
        "" => return facts,
        "open" => {
            let held = plural(status.tokens, "value");
            let key = status.key_file.as_deref().filter(|_| status.key == "key file").unwrap_or(&status.key);
            facts.push((Tone::Plain, format!("{held}, {}, key: {key}{lost}", bytes(status.bytes))));
        }
        "off" => facts.push((Tone::Plain, "off: credentials are taken out for good".to_owned())),
        state => {
            facts.push((Tone::Warn, format!("{state}: credentials are taken out for good meanwhile{lost}")));
        }
    }
    if let Some(error) = &status.error {
        facts.push((Tone::Bad, error.clone()));
    }
    if let Some(hint) = &status.hint {
        facts.push((Tone::Plain, hint.clone()));
    }
    if status.damaged > 0 {
        facts.push((
            Tone::Bad,
            format!("{} of it damaged → `ccctl vault health`", plural(status.damaged, "place")),
        ));
    }
    facts.extend(status.loose.iter().map(|what| (Tone::Bad, format!("open to others: {what}"))));
    facts
}

fn look_up(env: &Env, out: &mut Printer, args: &VaultLookUpArgs) -> Result<()> {
    let request = VaultAsk {
        token: Some(args.token.clone()),
        reason: Some(args.reason.clone()),
        ..VaultAsk::default()
    };
    let Some(found) = ask::<VaultLookup>(env, out, "lookup", &request, args.json)? else { return Ok(()) };
    if out.is_drawn() {
        out.warn("a credential follows: clear the terminal's history once you are done");
        return out.line(visible_block(&found.value));
    }
    out.line(&found.value)
}

fn delete(env: &Env, out: &mut Printer, args: &VaultDeleteArgs) -> Result<()> {
    let mut request =
        VaultAsk { token: args.token.clone(), session: args.session.clone(), ..VaultAsk::default() };
    let mut what = "this value".to_owned();
    if args.value {
        let value = secret::value("Value: ")?;
        request.value = Some(value.to_string());
    } else if let Some(token) = &args.token {
        what = format!("the value of {token}");
    } else if let Some(session) = &args.session {
        what = format!("all that was seen in session {session}");
    }
    if !args.yes {
        sure(
            out,
            &format!(
                "Delete {what} for good? Records go on showing the token, and nothing stands behind it."
            ),
        )?;
    }
    let Some(done) = ask::<VaultDeleted>(env, out, "delete", &request, args.json)? else { return Ok(()) };
    if done.rows == 0 {
        let why = if args.value {
            "the vault did not hold it, and will not keep it"
        } else {
            "the vault held nothing of it"
        };
        return out.line(why);
    }
    let of = done.session.as_deref().map(|id| format!(" of session {}", visible(id))).unwrap_or_default();
    let rows = plural(done.rows, "row");
    out.line(format!(
        "deleted{of}: {}, {rows}; the file was read again, and they are not in it",
        plural(done.tokens.len() as u64, "value")
    ))?;
    if done.lost > 0 {
        out.warn(format!("{} that were damaged went with them", plural(done.lost, "row")));
    }
    Ok(())
}

fn sure(out: &mut Printer, question: &str) -> Result<()> {
    match out.ask(question) {
        Some(true) => Ok(()),
        Some(false) => Err(CommandError::failed("nothing was changed")),
        None => Err(CommandError::usage("this cannot be taken back, and there is nobody to ask")
            .hint("give --yes if that is meant")),
    }
}

fn rotate(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let done = ask::<VaultRotated>(env, out, "rotate", &VaultAsk::default(), args.json)?;
    let Some(done) = done else { return Ok(()) };
    if done.lost > 0 {
        out.warn(format!("{} did not open with the old key either, and are gone", plural(done.lost, "row")));
    }
    out.line(format!("{} sealed with a new key; the old one is destroyed", plural(done.rows, "row")))?;
    out.note("backups made before open with their passphrases as ever");
    Ok(())
}

fn backup(env: &Env, out: &mut Printer, args: &VaultBackupArgs) -> Result<()> {
    let path = env.cwd.join(&args.output);
    if !args.force && path.symlink_metadata().is_ok() {
        return Err(CommandError::failed(format!("{} is there already: it was not touched", path.display()))
            .hint("name another one with -o, or have it replaced with --force"));
    }
    let mut request = VaultAsk { with_key: args.with_key, ..VaultAsk::default() };
    if !args.with_key {
        let passphrase = secret::new_passphrase(args.passphrase_fd)?;
        request.passphrase = Some(passphrase.to_string());
    }
    let body = serde_json::to_vec(&request).map_err(|e| CommandError::failed(e.to_string()))?;
    let made = Client::new(env)?.send(out, "/v0/vault/backup", body.into())?;
    let aside = path.with_extension("unfinished");
    let written = (|| -> std::io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(&made)?;
        file.sync_all()?;
        std::fs::rename(&aside, &path)
    })();
    if let Err(error) = written {
        let _ = std::fs::remove_file(&aside);
        return Err(CommandError::failed(format!("{}: {error}", path.display())));
    }
    let path = path.display().to_string();
    if args.json {
        return out.json(&serde_json::json!({ "path": path, "bytes": made.len(), "sealed": !args.with_key }));
    }
    out.line(format!("{} ({})", visible(&path), bytes(made.len() as u64)))?;
    if args.with_key {
        out.warn("it is not sealed: whoever has this file has every value in it");
    }
    Ok(())
}

fn restore(env: &Env, out: &mut Printer, args: &VaultRestoreArgs) -> Result<()> {
    let backup = fs_err::read(env.cwd.join(&args.file))?;
    if args.replace && !args.yes {
        sure(out, "Put the backup in the place of this vault, whose values are then lost?")?;
    }
    let sealed = backup.get(8) == Some(&1);
    let mut request = VaultAsk { replace: args.replace, ..VaultAsk::default() };
    if sealed {
        request.passphrase =
            Some(secret::passphrase(args.passphrase_fd, "Passphrase of the backup: ")?.to_string());
    }
    let mut body = serde_json::to_vec(&request).map_err(|e| CommandError::failed(e.to_string()))?;
    body.push(b'\n');
    body.extend_from_slice(&backup);
    let reply = Client::new(env)?.send(out, "/v0/vault/restore", body.into())?;
    let Some(done) = told::<VaultRestored>(out, &reply, args.json)? else { return Ok(()) };
    out.line(format!("{} brought back, {} were here already", plural(done.added, "row"), count(done.known)))?;
    if done.deleted > 0 {
        out.line(format!("{} of values that were deleted here stay so", plural(done.deleted, "row")))?;
    }
    if done.lost > 0 {
        out.warn(format!("{} of the backup do not open", plural(done.lost, "row")));
    }
    Ok(())
}

fn health(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let reply = Client::new(env)?.send(out, "/v0/vault/health", Bytes::new())?;
    let health = decode::<Reply<VaultHealth>>(&reply)?.body;
    if args.json {
        out.object(&reply)?;
    } else {
        for (tone, text) in facts(&health.vault) {
            let text = out.paint(tone, &visible_block(&text));
            out.line(text)?;
        }
        out.line(format!("{} open, {} do not", plural(health.opened, "row"), count(health.unopened)))?;
        for (rule, values) in &health.rules {
            out.line(format!("  {:6} {}", count(*values), visible(rule)))?;
        }
        if let Some(broken) = &health.audit {
            let text = out.paint(Tone::Bad, &format!("the audit log: {}", visible(broken)));
            out.line(text)?;
        }
    }
    if health.ok {
        return Ok(());
    }
    // What is wrong has been said.
    Err(CommandError::new(Kind::Verdict(1), "not healthy"))
}

fn audit(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let reply = Client::new(env)?.get(out, "/v0/vault/audit")?;
    let log = decode::<Reply<VaultAudit>>(&reply)?.body;
    if args.json {
        out.object(&reply)?;
    } else if log.entries.is_empty() && log.broken.is_none() {
        out.line("nothing was looked up yet")?;
    } else {
        for entry in &log.entries {
            let at = time::short(&entry.at, env.now, &env.tz);
            let who = [entry.program.as_deref(), entry.tty.as_deref()];
            let who: Vec<&str> = who.into_iter().flatten().collect();
            let line = format!(
                "{:>5}  {at}  {}  {:7}  uid {} pid {}{}{}  {}",
                entry.seq,
                entry.token,
                entry.result,
                entry.uid,
                entry.pid,
                if who.is_empty() { "" } else { " " },
                who.join(" "),
                entry.reason
            );
            out.line(visible(&line))?;
        }
        if log.broken.is_none() {
            out.line(format!("{}, none missing, none changed", plural(log.entries.len() as u64, "line")))?;
        }
    }
    match log.broken {
        None => Ok(()),
        Some(why) => Err(CommandError::failed(format!("the audit log was tampered with: {}", visible(&why)))),
    }
}
