//! `ccctl usage`: tokens and cost, by day, week, month, session or block, and by further keys.

pub mod bars;
mod explain;
mod lines;
mod table;

use ccd_proto::api::Usage;
use jiff::tz::TimeZone;

use crate::args::{QueryArgs, UsageArgs, name_of};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::printer::Printer;
use crate::query::Target;

use table::Look;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &UsageArgs) -> Result<()> {
    let (tz, name) = zone(env, out, args.timezone.as_deref())?;
    if let Some(session) = &args.explain {
        return explain::run(env, out, session, &tz, args.query.json);
    }
    let by: Vec<_> = args.by.iter().map(name_of).collect();
    // What people see is cut here, so that the rest can be told of.
    let query = QueryArgs { limit: args.query.limit.filter(|_| args.query.json), ..args.query.clone() };
    let target = Target::new("/v0/usage")
        .query(env, &query, &tz)?
        .with("period", Some(name_of(&args.period)))
        .with("by", (!by.is_empty()).then(|| by.join(",")))
        .with("tz", Some(name));
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.query.json {
        return out.object(&body);
    }
    let usage: Usage = decode(&body)?;
    show(env, out, args, &tz, usage)
}

fn show(env: &Env, out: &mut Printer, args: &UsageArgs, tz: &TimeZone, mut usage: Usage) -> Result<()> {
    if usage.rows.is_empty() && usage.totals.exchanges == 0 {
        out.line(
            "no usage in this range: `ccctl sessions` shows what was recorded, --since reaches further back",
        )?;
    } else {
        let drawn = (out.is_drawn() && !args.no_bars).then(|| env.is_unicode());
        let spark = drawn.and_then(|unicode| lines::sparkline(&usage, out.width(), unicode));
        let left_out = table::arrange(&mut usage.rows, args.order, args.query.limit);
        let look = Look { width: out.width(), bars: drawn, compact: args.compact, tz, now: env.now };
        table::table(&usage, &look).print(out)?;
        if left_out > 0 {
            out.line(format!("… and {left_out} more, which are in the total: a higher --limit shows them"))?;
        }
        if let Some(spark) = spark {
            out.line(format!("\n{spark}"))?;
        }
    }
    lines::below(env, out, &usage)
}

/// The zone that days begin in, and its name for the daemon. A zone without a name (a rule in `TZ`, a copied
/// `/etc/localtime`) cannot be told of: then everything is in UTC, rather than the range in one zone and its days in
/// another.
fn zone(env: &Env, out: &mut Printer, name: Option<&str>) -> Result<(TimeZone, String)> {
    if let Some(name) = name {
        let tz = TimeZone::get(name).map_err(|_| {
            CommandError::usage(format!("`{name}` is no time zone"))
                .hint("names look like Europe/Berlin, America/New_York or UTC")
        })?;
        return Ok((tz, name.to_owned()));
    }
    if let Some(name) = env.tz.iana_name() {
        return Ok((env.tz.clone(), name.to_owned()));
    }
    if !env.tz.is_unknown() {
        out.warn("the machine's time zone has no name: days are those of UTC, unless --timezone names one");
    }
    Ok((TimeZone::UTC, "UTC".to_owned()))
}

#[cfg(test)]
mod tests;
