//! `ccctl heal`: how far ccd goes about what it finds, what it did, and how to hold it off.
//!
//! Pauses and allowances are the daemon's; the mode stands in the configuration, which is changed here and nowhere else.

mod mode;

use std::collections::BTreeMap;

use ccd_proto::api::{Heal, HealException};

use crate::analyze::wrap;
use crate::args::{HealArgs, HealCommand, HealListArgs};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{count, short_id};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::table::{Column, Table, captured};
use crate::time;

/// The daemon's route.
const ROUTE: &str = "/v0/heal";
/// The longest pause, in seconds.
const LONGEST_S: u64 = 366 * 86_400;
/// Interventions that `status` counts.
const COUNTED: u32 = 1000;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &HealArgs) -> Result<()> {
    match &args.command {
        None => status(env, out, args.json),
        Some(HealCommand::Status(args)) => status(env, out, args.json),
        Some(HealCommand::List(args)) => list(env, out, args),
        Some(HealCommand::Allow(args)) => {
            let target = Target::new(ROUTE)
                .part("allow")
                .with("session", Some(&args.session))
                .with("kind", args.kind.as_ref());
            let what = args.kind.as_deref().map_or("anything".to_owned(), |kind| format!("`{kind}`"));
            let session = captured(short_id(&args.session));
            judge(
                env,
                out,
                &target,
                args.json,
                &format!("nothing more is done about {what} in session {session}"),
                Some(&args.session),
            )
        }
        Some(HealCommand::Pause(args)) => {
            let seconds = args.time.as_deref().map(seconds).transpose()?;
            let target = Target::new(ROUTE)
                .part("pause")
                .with("session", args.session.as_ref())
                .with("for_s", seconds.map(|s| s.to_string()));
            let until = args
                .time
                .as_deref()
                .map_or("until `ccctl heal resume`".to_owned(), |t| format!("for {}", visible(t)));
            let place = place(args.session.as_deref());
            let said = format!("nothing is done{place} {until}");
            judge(env, out, &target, args.json, &said, args.session.as_deref())
        }
        Some(HealCommand::Resume(args)) => {
            let target = Target::new(ROUTE).part("resume").with("session", args.session.as_ref());
            let place = place(args.session.as_deref());
            let said = if args.session.is_some() {
                format!("no pause and no allowance holds{place} any more")
            } else {
                "no pause holds any more; what is allowed in a session, `ccctl heal resume --session ID` takes back"
                    .to_owned()
            };
            judge(env, out, &target, args.json, &said, None)
        }
        Some(HealCommand::Mode(args)) => mode::run(env, out, args),
    }
}

fn place(session: Option<&str>) -> String {
    session.map_or_else(String::new, |id| format!(" in session {}", captured(short_id(id))))
}

fn seconds(text: &str) -> Result<u64> {
    let seconds = time::age_ns(text).map(|ns| ns / 1_000_000_000).filter(|seconds| *seconds > 0);
    if seconds.is_some_and(|seconds| seconds > LONGEST_S) {
        return Err(CommandError::usage(format!("`{}` is too long: a year at most", visible(text)))
            .hint("without --for it lasts until `ccctl heal resume`"));
    }
    seconds.ok_or_else(|| {
        CommandError::usage(format!("`{}` is no length of time", visible(text)))
            .hint("lengths look like 30m, 2h, 1d, 1w")
    })
}

/// Tells the daemon what the user says, and shows what holds then.
fn judge(
    env: &Env,
    out: &mut Printer,
    target: &Target,
    json: bool,
    said: &str,
    excepted: Option<&str>,
) -> Result<()> {
    let body = Client::new(env)?.command(out, target.as_ref())?;
    if json {
        return out.object(&body);
    }
    out.line(said)?;
    let heal: Heal = decode(&body)?;
    exceptions(env, out, &heal).iter().try_for_each(|line| out.line(line))?;
    let is_told = |session: &str| {
        heal.exceptions.iter().any(|e| e.session_id.as_deref().is_some_and(|id| id.starts_with(session)))
    };
    match excepted {
        Some(session) if !is_told(session) => {
            out.line("that session is over: it holds if the session is resumed soon")
        }
        _ => Ok(()),
    }
}

fn status(env: &Env, out: &mut Printer, json: bool) -> Result<()> {
    let target = Target::new(ROUTE).with("limit", Some(COUNTED.to_string()));
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if json {
        return out.object(&body);
    }
    let heal: Heal = decode(&body)?;
    lines(env, out, &heal).iter().try_for_each(|line| out.line(line))
}

/// What a mode means.
fn meaning(mode: &str) -> &'static str {
    match mode {
        "off" => "nothing is done",
        "advise" => "the model is told, with the next prompt or tool result",
        "guard" => {
            "the model is told; calls that go on with a loop are denied, and unproved claims are sent back"
        }
        _ => "of a later version",
    }
}

/// How it stands.
fn lines(env: &Env, out: &Printer, heal: &Heal) -> Vec<String> {
    let mut lines = fact(out, "mode", &format!("{}: {}", captured(&heal.mode), meaning(&heal.mode)));
    for (at, (dir, mode)) in heal.projects.iter().enumerate() {
        let name = if at == 0 { "projects" } else { "" };
        lines.extend(fact(out, name, &format!("{} in {}", captured(mode), visible(dir))));
    }
    lines.extend(exceptions(env, out, heal));
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for i in &heal.interventions {
        *counts.entry(i.action.as_str()).or_default() += 1;
    }
    let missed = heal.interventions.iter().filter(|i| !i.delivered).count() as u64;
    let mut done: Vec<String> =
        counts.iter().map(|(action, n)| format!("{} {}", count(*n), captured(action))).collect();
    if missed > 0 {
        done.push(format!("{} of them may not have arrived", count(missed)));
    }
    if heal.more > 0 {
        done.push(format!("and {} earlier ones", count(heal.more)));
    }
    let done = if done.is_empty() { "nothing so far".to_owned() } else { done.join(", ") };
    let hint = if heal.interventions.is_empty() { "" } else { "; `ccctl heal list` shows them" };
    lines.extend(fact(out, "done", &format!("{done}{hint}")));
    lines
}

/// A named fact in lines of the terminal's width.
fn fact(out: &Printer, name: &str, text: &str) -> Vec<String> {
    let head = format!("{name:10} ");
    let mut lines = wrap(&head, text, out.width());
    if let Some(first) = lines.first_mut()
        && let Some(rest) = first.strip_prefix(&head)
    {
        *first = format!("{}{rest}", out.paint(Tone::Strong, &head));
    }
    lines
}

/// What holds interventions off.
fn exceptions(env: &Env, out: &Printer, heal: &Heal) -> Vec<String> {
    let lines = |(at, e): (usize, &HealException)| {
        fact(out, if at == 0 { "held off" } else { "" }, &exception(env, e))
    };
    heal.exceptions.iter().enumerate().flat_map(lines).collect()
}

fn exception(env: &Env, e: &HealException) -> String {
    let what = e.kind.as_deref().map_or_else(|| "everything".to_owned(), captured);
    let place = e
        .session_id
        .as_deref()
        .map_or(" in all sessions".to_owned(), |id| format!(" in session {}", captured(short_id(id))));
    let end = e.until.as_deref().map_or_else(
        || if e.what == "allow" { String::new() } else { " until `ccctl heal resume`".to_owned() },
        |until| format!(" until {}", time::short(until, env.now, &env.tz)),
    );
    let since = time::short(&e.at, env.now, &env.tz);
    let verb = match e.what.as_str() {
        "allow" => "allowed",
        "pause" => "paused",
        other => return format!("{}: {what}{place}{end}", captured(other)),
    };
    format!("{what} {verb}{place}{end} (since {since})")
}

fn list(env: &Env, out: &mut Printer, args: &HealListArgs) -> Result<()> {
    let target = Target::new(ROUTE).query(env, &args.query, &env.tz)?.with("kind", args.kind.as_ref());
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.query.json {
        return out.object(&body);
    }
    let heal: Heal = decode(&body)?;
    if heal.interventions.is_empty() {
        return out.line("nothing was done; `ccctl heal` says how far ccd goes");
    }
    table(env, &heal).print(out)?;
    if heal.more > 0 {
        out.line(format!("… and {} more: a higher --limit shows them", count(heal.more)))?;
    }
    Ok(())
}

/// What of a text to the model is about the matter: what stands in its quotes.
fn gist(text: &str) -> &str {
    let quoted = text.split_once('“').and_then(|(_, rest)| rest.split_once('”'));
    quoted.map_or(text, |(inside, _)| inside)
}

/// The audit list.
fn table(env: &Env, heal: &Heal) -> Table {
    let mut table = Table::new([
        Column::Whole("TIME"),
        Column::Whole("ACTION"),
        Column::Whole("KIND"),
        Column::Whole("SESSION"),
        Column::Whole("DETECTION"),
        Column::Whole("SPAN"),
        Column::Whole("ARRIVED"),
        Column::Text("WHAT THE MODEL WAS TOLD"),
    ])
    .spare(["SPAN", "DETECTION", "SESSION", "ARRIVED"]);
    for i in &heal.interventions {
        let tone = match i.action.as_str() {
            "denied" | "blocked" => Tone::Warn,
            _ => Tone::Plain,
        };
        let (arrived, how) = if i.delivered { ("yes", Tone::Plain) } else { ("not known", Tone::Faint) };
        let id = |id: &Option<String>| captured(id.as_deref().map_or("–", short_id));
        table.toned([
            (time::short(&i.at, env.now, &env.tz), Tone::Plain),
            (captured(&i.action), tone),
            (captured(&format!("{}/{}", i.kind, i.rule)), Tone::Plain),
            (captured(short_id(&i.session_id)), Tone::Faint),
            (id(&i.detection_id), Tone::Faint),
            (id(&i.span_id), Tone::Faint),
            (arrived.to_owned(), how),
            (captured(gist(&i.text)), Tone::Plain),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
