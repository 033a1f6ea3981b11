//! From a tool's arguments to the daemon's answer, cut to what a model can take.
//!
//! The questions are those of the command line, through the same parameters. Times are read as of the moment of the
//! call: the server lives as long as its client.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::fit;
use super::tools::{BYTES, Given, ROWS, Shape, Tool};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::printer::Printer;
use crate::query::Target;
use crate::time::{self, Edge};

/// The longest reply taken from the daemon, in bytes.
const MAX_REPLY: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// The circumstances of a call.
pub struct Ask<'a> {
    /// The moment of the call.
    pub now: Timestamp,
    /// The zone that times are read in and days begin in.
    pub tz: &'a TimeZone,
}

/// Answers a call.
pub fn answer(
    env: &Env,
    client: &Client<'_>,
    out: &mut Printer,
    tool: &Tool,
    arguments: &Map<String, Value>,
) -> Result<Value> {
    let given = tool.given(arguments)?;
    let ask = Ask { now: (env.clock)(), tz: &env.tz };
    let target = (tool.target)(&ask, &given)?;
    let mut reply: Value = decode(&fetch(client, out, &target)?)?;
    let mut cut = Vec::new();
    if let Some(Value::Array(hits)) = reply.get_mut("hits") {
        // Places of characters, for those who paint them.
        hits.iter_mut().filter_map(Value::as_object_mut).for_each(|hit| drop(hit.remove("ranges")));
    }
    if let Some(key) = tool.shape.rows() {
        let limit = usize::try_from(given.count("limit", ROWS)).unwrap_or(usize::MAX);
        // Usage is no list: all of its rows make the sum.
        let limit = if tool.shape == Shape::Rows("rows") { usize::MAX } else { limit };
        let Some(Value::Array(rows)) = reply.get_mut(key) else {
            return Err(CommandError::failed(format!("the daemon's reply has no `{key}`")).hint(
                "ccctl and the daemon may be of different versions: `ccctl restart` brings them together",
            ));
        };
        // One more was asked for than is given: whether there is more.
        if rows.len() > limit {
            match tool.shape {
                Shape::NewestLast(_) => drop(rows.drain(..rows.len() - limit)),
                _ => rows.truncate(limit),
            }
            cut.push(fit::beyond(tool.shape, rows));
        }
    } else if let Some(events) = reply.pointer_mut("/exchange/events") {
        // One per piece of a stream, by the thousand: of no use to a model.
        *events = Value::Null;
    }
    let budget = usize::try_from(given.count("max_bytes", BYTES)).unwrap_or(usize::MAX);
    Ok(fit::fit(&reply, tool.shape, budget, &cut))
}

/// The daemon's reply, which is held in memory: not without a limit.
fn fetch(client: &Client<'_>, out: &mut Printer, target: &Target) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    client.stream(out, target.as_ref(), |_, piece| {
        if body.len() + piece.len() > MAX_REPLY {
            return Err(CommandError::failed(format!("the reply has more than {} MiB", MAX_REPLY >> 20))
                .hint("lower limit, leave content out, or narrow it down with since, until, session, turn"));
        }
        body.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(body)
}

impl Ask<'_> {
    /// What every question takes.
    fn common(&self, path: &str, given: &Given<'_>) -> Result<Target> {
        let at = |name, edge| -> Result<Option<String>> {
            let Some(text) = given.text(name) else { return Ok(None) };
            let at = time::parse(text, edge, self.now, self.tz);
            at.map(|at| Some(at.to_string())).map_err(|e| CommandError::usage(format!("{name}: {e}")))
        };
        Ok(Target::new(path)
            .with("since", at("since", Edge::Since)?)
            .with("until", at("until", Edge::Until)?)
            .with("session", given.text("session"))
            .with("project", given.text("project")))
    }

    fn list(&self, path: &str, given: &Given<'_>) -> Result<Target> {
        let limit = given.count("limit", ROWS) + 1;
        Ok(self.common(path, given)?.with("limit", Some(limit.to_string())))
    }
}

/// The question behind `sessions`.
pub fn sessions(ask: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    ask.list("/v0/sessions", given)
}

/// The question behind `turns`.
pub fn turns(ask: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    ask.list("/v0/turns", given)
}

/// The question behind `spans`.
pub fn spans(ask: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    Ok(ask
        .list("/v0/spans", given)?
        .with("turn", given.text("turn"))
        .with("kind", given.text("kind"))
        .with("status", given.text("status"))
        .with("tool", given.text("tool"))
        .flag("content", given.flag("content")))
}

/// The question behind `detections`.
pub fn detections(ask: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    Ok(ask.list("/v0/detections", given)?.with("kind", given.text("kind")))
}

/// The question behind `search`.
pub fn search(ask: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    Ok(ask
        .common("/v0/search", given)?
        // It says by itself whether there is more.
        .with("limit", Some(given.count("limit", ROWS).to_string()))
        .with("q", given.text("q"))
        .flag("regex", given.flag("regex"))
        .flag("raw", given.flag("raw"))
        .with("kind", given.text("kind"))
        .with("status", given.text("status"))
        .with("tool", given.text("tool"))
        .with("cursor", given.text("cursor")))
}

/// The question behind `show`.
pub fn show(_: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    let id = given.text("id").unwrap_or_default();
    Ok(Target::about("/v0/show", id).flag("content", true).flag("reasoning", given.flag("reasoning")))
}

/// The question behind `exchanges`.
pub fn exchanges(ask: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    ask.list("/v0/exchanges", given)
}

/// The question behind `usage`.
pub fn usage(ask: &Ask<'_>, given: &Given<'_>) -> Result<Target> {
    Ok(ask
        .common("/v0/usage", given)?
        .with("period", given.text("period"))
        .with("by", given.list("by"))
        .with("tz", ask.tz.iana_name()))
}
