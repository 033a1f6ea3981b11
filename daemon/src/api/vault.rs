//! The vault's routes, and those that show what marks stand for. On the control socket alone: no page gets here.
//!
//! What is given out is on the audit log before. Passphrases and values come in bodies, never in a path.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ccd_proto::api::{
    MARKS_LEFT, VaultAsk, VaultAudit, VaultDeleted, VaultHealth, VaultLook, VaultLookup, VaultRestored,
    VaultRotated,
};
use ccd_vault::{Answer, Lock, Name, Unlock, Vault, VaultError, What, Who};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use zeroize::Zeroizing;

use super::body::ApiBody;
use super::routes::{blocking, parameter};
use super::{json, with_type};
use crate::app::Running;
use crate::clock::rfc3339;
use crate::ingest::scrub;
use crate::query::exchanges::{self, Side};
use crate::query::filter::Filter;
use crate::query::{Ask, QueryError, show};
use crate::vault::reveal;

/// The longest command.
const MAX_COMMAND: usize = 4 << 20;
/// The longest backup.
const MAX_BACKUP: usize = 300 << 20;

fn failed(error: &VaultError) -> QueryError {
    let (status, code) = match error {
        VaultError::NotAToken(_) | VaultError::NotABackup | VaultError::PassphraseNeeded => {
            (StatusCode::BAD_REQUEST, "bad_request")
        }
        VaultError::Ambiguous(..) | VaultError::OtherVault(_) | VaultError::Passphrase => {
            (StatusCode::CONFLICT, "vault")
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "vault"),
    };
    let made = QueryError::new(status, code, error.to_string());
    match error {
        VaultError::OtherVault(_) => {
            made.hint("--replace puts it in the place of this one, whose values are then lost")
        }
        VaultError::Ambiguous(..) => made.hint("give more of the id"),
        VaultError::PassphraseNeeded => {
            made.hint("it is asked for on a terminal, or read with --passphrase-fd")
        }
        _ => made,
    }
}

fn open(app: &Running) -> Result<Arc<Vault>, QueryError> {
    app.vault.vault().ok_or_else(|| {
        let (why, hint) = app.vault.why_closed();
        let error = QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "vault_closed", why);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, QueryError> {
    let whole = Limited::new(body, most).collect().await;
    Ok(whole.map_err(|e| QueryError::bad(format!("the request's body: {e}")))?.to_bytes())
}

fn asked(bytes: &[u8]) -> Result<VaultAsk, QueryError> {
    if bytes.is_empty() {
        return Ok(VaultAsk::default());
    }
    // The parser's own words could hold a piece of a value.
    serde_json::from_slice(bytes).map_err(|_| QueryError::bad("the request's body is not what was expected"))
}

/// `GET /v0/vault/audit`.
pub(super) async fn audit(app: &Arc<Running>) -> Result<Response<ApiBody>, QueryError> {
    let vault = open(app)?;
    let log = blocking(move || vault.audit().map_err(|e| failed(&e))).await?;
    let entries = log.entries.into_iter().map(|entry| VaultLook {
        seq: entry.seq,
        at: entry.at,
        uid: entry.by.uid,
        pid: entry.by.pid,
        tty: entry.by.tty,
        program: entry.by.program,
        token: entry.token,
        reason: entry.reason,
        result: entry.result,
    });
    json(VaultAudit { entries: entries.collect(), broken: log.broken })
}

/// `POST /v0/vault/…`.
pub(super) async fn command(
    app: &Arc<Running>,
    name: &str,
    who: Who,
    body: Incoming,
) -> Result<Response<ApiBody>, QueryError> {
    if name == "restore" {
        return restore(app, who, read(body, MAX_BACKUP).await?).await;
    }
    let ask = asked(&read(body, MAX_COMMAND).await?)?;
    let vault = open(app)?;
    let now_ns = app.clock.now_ns();
    match name {
        "lookup" => json(blocking(move || look_up(&vault, &ask, &who, now_ns)).await?),
        "delete" => json(blocking(move || delete(&vault, &ask, &who, now_ns)).await?),
        "rotate" => {
            let done = blocking(move || {
                note(&vault, "rotate", &who, &ask, now_ns)?;
                vault.rotate().map_err(|e| failed(&e))
            });
            let done = done.await?;
            json(VaultRotated { rows: done.rows as u64, lost: done.lost as u64 })
        }
        "backup" => {
            let made = blocking(move || {
                let lock = match (&ask.passphrase, ask.with_key) {
                    (Some(passphrase), false) if !passphrase.is_empty() => Lock::Passphrase(passphrase),
                    (None, true) => Lock::WithKey,
                    _ => return Err(QueryError::bad("a passphrase, or with_key")),
                };
                let what = if ask.with_key { "backup with the key" } else { "backup" };
                note(&vault, what, &who, &ask, now_ns)?;
                vault.backup(lock).map_err(|e| failed(&e))
            });
            Ok(with_type("application/octet-stream", ApiBody::full(made.await?.to_vec())))
        }
        _ => {
            let app = Arc::clone(app);
            json(blocking(move || health(&app, &vault)).await?)
        }
    }
}

/// What is done with the vault is on its audit log before.
fn note(vault: &Vault, what: &str, who: &Who, ask: &VaultAsk, now_ns: u64) -> Result<(), QueryError> {
    let reason = ask.reason.as_deref().map_or("", str::trim);
    vault.note(what, who, reason, &rfc3339(now_ns)).map_err(|e| failed(&e))
}

fn look_up(vault: &Vault, ask: &VaultAsk, who: &Who, now_ns: u64) -> Result<VaultLookup, QueryError> {
    let token = ask.token.as_deref().unwrap_or_default();
    let name: Name = token.parse().map_err(|e| failed(&e))?;
    let reason = ask.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.ok_or_else(|| QueryError::bad("a reason is needed: it goes on the audit log"))?;
    let mut answers = vault.look_up(&[name], who, reason, &rfc3339(now_ns)).map_err(|e| failed(&e))?;
    let at = |seconds: u64| rfc3339(seconds.saturating_mul(1_000_000_000));
    match answers.pop() {
        Some(Answer::Value(value)) => Ok(VaultLookup {
            token: name.to_string(),
            value: String::from_utf8_lossy(&value.bytes).into_owned(),
            rule: value.rule,
            sessions: value.scopes.into_iter().filter(|scope| !scope.is_empty()).collect(),
            first_at: at(value.first_s),
            last_at: at(value.last_s),
            count: value.count,
        }),
        Some(Answer::Deleted(when)) => Err(QueryError::new(
            StatusCode::GONE,
            "deleted",
            format!("the value of {name} was deleted at {}: nothing brings it back", at(when)),
        )),
        Some(Answer::Damaged) => Err(QueryError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "damaged",
            format!("the row of {name} is damaged"),
        )
        .hint("`ccctl vault restore FILE` brings it back from a backup")),
        _ => Err(QueryError::not_found(format!("the vault has no value {name}")).hint(
            "marks show their tokens: [redacted:RULE:TOKEN]; those without one were taken out for good",
        )),
    }
}

fn delete(vault: &Vault, ask: &VaultAsk, who: &Who, now_ns: u64) -> Result<VaultDeleted, QueryError> {
    let parsed: Name;
    let (what, told) = match (&ask.token, &ask.session, &ask.value) {
        (Some(token), None, None) => {
            parsed = token.parse().map_err(|e| failed(&e))?;
            (What::Token(parsed.token), format!("delete {}", parsed.token))
        }
        (None, Some(session), None) if !session.is_empty() => {
            (What::Session(session), format!("delete session {session}"))
        }
        (None, None, Some(value)) if !value.is_empty() => {
            (What::Value(value.as_bytes()), "delete a value".to_owned())
        }
        _ => return Err(QueryError::bad("one of token, session and value is needed")),
    };
    note(vault, &told, who, ask, now_ns)?;
    let done = vault.delete(&what, now_ns / 1_000_000_000).map_err(|e| failed(&e))?;
    Ok(VaultDeleted {
        tokens: done.tokens.iter().map(ToString::to_string).collect(),
        rows: done.rows as u64,
        session: done.session,
        lost: done.lost as u64,
    })
}

fn health(app: &Running, vault: &Vault) -> Result<VaultHealth, QueryError> {
    let health = vault.health().map_err(|e| failed(&e))?;
    let audit = vault.audit().map_err(|e| failed(&e))?.broken;
    let status = app.vault.status();
    Ok(VaultHealth {
        ok: health.unopened == 0 && health.stats.damaged == 0 && health.loose.is_empty() && audit.is_none(),
        opened: health.opened as u64,
        unopened: health.unopened as u64,
        rules: health.rules.into_iter().map(|(rule, count)| (rule, count as u64)).collect(),
        audit,
        vault: status,
    })
}

/// A line with what is asked for, then the backup's bytes.
async fn restore(app: &Arc<Running>, who: Who, bytes: Bytes) -> Result<Response<ApiBody>, QueryError> {
    let end = memchr::memchr(b'\n', &bytes).ok_or_else(|| QueryError::bad("no backup"))?;
    let mut ask = asked(&bytes[..end])?;
    let backup = bytes.slice(end + 1..);
    let keeping = app.vault.keeping().ok_or_else(|| {
        let (why, hint) = app.vault.why_closed();
        QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "vault_closed", why).hint(hint.unwrap_or_default())
    })?;
    let app = Arc::clone(app);
    let done = blocking(move || {
        let passphrase = ask.passphrase.take().map(Zeroizing::new);
        let unlock = Unlock { passphrase: passphrase.as_ref().map(|p| p.as_str()), replace: ask.replace };
        let done = Vault::restore(app.vault.dir(), &keeping.0, keeping.1, &backup, unlock)
            .map_err(|e| failed(&e))?;
        app.vault.retry();
        // Before, there may have been no vault to note it in.
        if let Some(vault) = app.vault.vault() {
            note(&vault, "restore", &who, &ask, app.clock.now_ns())?;
        }
        Ok(done)
    });
    let done = done.await?;
    json(VaultRestored {
        added: done.added as u64,
        known: done.known as u64,
        deleted: done.deleted as u64,
        lost: done.lost as u64,
        replaced: done.replaced as u64,
    })
}

fn reason(query: &str, otherwise: String) -> String {
    parameter(query, "reason").filter(|reason| !reason.trim().is_empty()).unwrap_or(otherwise)
}

/// `POST /v0/exchanges/ID/request|response`: the bytes as they went over the wire.
pub(super) async fn reveal_body(
    app: &Arc<Running>,
    id: String,
    side: Side,
    query: &str,
    who: Who,
) -> Result<Response<ApiBody>, QueryError> {
    let reason = reason(query, format!("reveal exchange {id}"));
    let vault = open(app)?;
    let now_ns = app.clock.now_ns();
    let ask = Ask::new(&app.shared, now_ns).await?;
    let bytes = blocking(move || {
        let (stored, cuts) = exchanges::with_cuts(&ask, &id, side)?;
        let mut names = BTreeSet::new();
        reveal::names(&stored, &mut names);
        for cut in &cuts {
            reveal::names(cut.mark.as_bytes(), &mut names);
        }
        let found =
            reveal::look_up(&vault, names, &who, &reason, &rfc3339(now_ns)).map_err(|e| failed(&e))?;
        Ok((scrub::reveal(&stored, &cuts, &|mark| found.of(mark).map(ToOwned::to_owned)), found.missing()))
    });
    let (bytes, missing) = bytes.await?;
    Ok(with_missing(with_type("application/octet-stream", ApiBody::full(bytes)), missing))
}

/// Says how many marks have no value any more.
fn with_missing(mut response: Response<ApiBody>, missing: u64) -> Response<ApiBody> {
    if missing > 0 {
        response.headers_mut().insert(MARKS_LEFT, missing.into());
    }
    response
}

/// `POST /v0/show/ID`: what `GET` tells, with values in the place of marks.
pub(super) async fn reveal_show(
    app: &Arc<Running>,
    id: String,
    query: &str,
    who: Who,
) -> Result<Response<ApiBody>, QueryError> {
    let reason = reason(query, format!("reveal {id}"));
    let rest: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != "reason"))
        .finish();
    let filter = Filter::parse(&rest)?;
    let vault = open(app)?;
    let now_ns = app.clock.now_ns();
    let ask = Ask::new(&app.shared, now_ns).await?;
    let shown = blocking(move || {
        let shown = show::show(&ask, &id, &filter)?;
        let mut value = serde_json::to_value(shown)
            .map_err(|e| QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "encode", e.to_string()))?;
        let mut names = BTreeSet::new();
        reveal::plain(&mut value, &mut names);
        let found =
            reveal::look_up(&vault, names, &who, &reason, &rfc3339(now_ns)).map_err(|e| failed(&e))?;
        found.value(&mut value);
        Ok((value, found.missing()))
    });
    let (value, missing) = shown.await?;
    Ok(with_missing(json(value)?, missing))
}
