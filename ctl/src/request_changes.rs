//! `ccctl exchange ID --changes`: what a request has that the one before of the same conversation had not.

use ccd_proto::api::{Change, RequestChanges};
use serde_json::Value;

use crate::client::{Client, decode};
use crate::diff;
use crate::env::Env;
use crate::error::Result;
use crate::human::{bytes, plural};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::{time, tree};

/// Prints it; `target`: the exchange.
pub fn run(env: &Env, out: &mut Printer, client: &Client<'_>, target: Target, json: bool) -> Result<()> {
    let body = client.get(out, target.part("changes").as_ref())?;
    if json {
        return out.object(&body);
    }
    let changes: RequestChanges = decode(&body)?;
    lines(env, out, &changes).iter().try_for_each(|line| out.line(line))
}

/// The changes as lines.
#[must_use]
pub fn lines(env: &Env, out: &Printer, changes: &RequestChanges) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: &str| {
        lines.push(format!("{} {}", out.paint(Tone::Faint, &format!("{name:12}")), visible(value)));
    };
    match (&changes.previous, &changes.previous_at) {
        (Some(previous), at) => {
            let at = at.as_deref().map(|at| format!(" at {}", time::short(at, env.now, &env.tz)));
            fact("before", &format!("{previous}{}", at.unwrap_or_default()));
        }
        (None, _) => fact("before", "nothing: it is the first of its conversation, and all of it is new"),
    }
    let messages = |n: usize| plural(n as u64, "message");
    fact("kept", &plural(changes.kept_messages, "message"));
    fact("added", &messages(changes.added.len()));
    if !changes.dropped.is_empty() {
        fact("dropped", &messages(changes.dropped.len()));
    }
    if changes.cache_broken {
        fact("cache", "of no use: something before the first new message is not as it was");
    }
    for (title, of) in
        [("settings", &changes.settings), ("system", &changes.system), ("tools", &changes.tools)]
    {
        if !of.is_empty() {
            lines.extend([String::new(), out.paint(Tone::Strong, title)]);
            lines.extend(of.iter().flat_map(|change| changed(out, change, changes.previous.is_none())));
        }
    }
    for (title, of, mark, tone) in [
        ("dropped messages", &changes.dropped, '-', Tone::Bad),
        ("added messages", &changes.added, '+', Tone::Good),
    ] {
        if !of.is_empty() {
            lines.extend([String::new(), out.paint(Tone::Strong, title)]);
            lines.extend(of.iter().flat_map(|one| message(out, one, mark, tone)));
        }
    }
    lines
}

/// One change; of a first request, where everything is new, no more than that it is there.
fn changed(out: &Printer, change: &Change, is_first: bool) -> Vec<String> {
    let (mark, tone) = match change.what.as_str() {
        "added" => ('+', Tone::Good),
        "removed" => ('-', Tone::Bad),
        _ => ('~', Tone::Warn),
    };
    let short = |value: &Option<Value>| {
        value.as_ref().filter(|v| !v.is_object() && !v.is_array()).map(|v| visible(&v.to_string()))
    };
    let head = |rest: String| out.paint(tone, &format!("{mark} {}{rest}", visible(&change.name)));
    match (short(&change.before), short(&change.after)) {
        (Some(before), Some(after)) if before.len() + after.len() < 80 => {
            return vec![head(format!(": {before} → {after}"))];
        }
        (None, Some(only)) | (Some(only), None) if only.len() < 80 => return vec![head(format!(": {only}"))],
        _ => {}
    }
    let mut lines = vec![head(String::new())];
    if !is_first && change.what == "changed" {
        let text = |value: &Option<Value>| value.as_ref().map(text_of).unwrap_or_default();
        let hunks = diff::hunks(out, &text(&change.before), &text(&change.after));
        lines.extend(hunks.into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// A system block's text; of anything else, its JSON on lines.
fn text_of(value: &Value) -> String {
    let text = value.get("text").and_then(Value::as_str).or(value.as_str());
    let text = text.map_or_else(|| serde_json::to_string_pretty(value).unwrap_or_default(), str::to_owned);
    if text.ends_with('\n') { text } else { text + "\n" }
}

fn message(out: &Printer, message: &Value, mark: char, tone: Tone) -> Vec<String> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("?");
    let mut lines = vec![out.paint(tone, &format!("{mark} {}", visible(role)))];
    if let Some(left_out) = message.get("left_out_bytes").and_then(Value::as_u64) {
        lines.push(format!("  ({}, not sent; `ccctl exchange ID --request` has it)", bytes(left_out)));
        return lines;
    }
    let text = tree::readable(message.get("content").unwrap_or(message));
    lines.extend(text.lines().map(|line| format!("  {line}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ExchangeArgs;
    use crate::testing::{Home, Reply};
    use serde_json::json;

    fn ran(body: &Value) -> String {
        let home = Home::new();
        let body = body.to_string();
        let daemon = home.daemon(move |_| Reply::json(body.clone()));
        let (mut out, text, _) = Printer::captured(100);
        let args = ExchangeArgs { id: "019a".into(), changes: true, ..ExchangeArgs::default() };
        crate::exchange::run(&home.env(), &mut out, &args).unwrap();
        assert_eq!(daemon.requests(), ["GET /v0/exchanges/019a/changes"]);
        text.text()
    }

    #[test]
    fn what_changed_is_told_in_parts() {
        let text = ran(&json!({"schema_version":1,"previous":"0199","previous_at":"2026-11-20T20:15:09Z",
            "kept_messages":4,"cache_broken":true,
            "added":[{"role":"user","content":[{"type":"text","text":"go\u{1b} on"}]},{"role":"user","left_out_bytes":9000}],
            "dropped":[{"role":"assistant","content":"no"}],
            "system":[{"name":"system 2","what":"changed","before":{"text":"a\nb\n"},"after":{"text":"a\nc\n"}}],
            "tools":[{"name":"Web","what":"added","after":{"name":"Web"}},{"name":"Old","what":"removed","before":{}}],
            "settings":[{"name":"max_tokens","what":"changed","before":9,"after":10},
                {"name":"stream","what":"added","after":true}]}));
        insta::assert_snapshot!(text, @r"
        before       0199 at 20:15:09
        kept         4 messages
        added        2 messages
        dropped      1 message
        cache        of no use: something before the first new message is not as it was

        settings
        ~ max_tokens: 9 → 10
        + stream: true

        system
        ~ system 2
          @@ -1,2 +1,2 @@
           a
          -b
          +c

        tools
        + Web
        - Old

        dropped messages
        - assistant
          no

        added messages
        + user
          go\u{1b} on
        + user
          (8.8 KiB, not sent; `ccctl exchange ID --request` has it)
        ");
    }

    #[test]
    fn of_the_first_everything_is_new() {
        let text = ran(&json!({"schema_version":1,"added":[{"role":"user","content":"hi"}],
            "tools":[{"name":"Bash","what":"added","after":{"name":"Bash","input_schema":{}}}]}));
        insta::assert_snapshot!(text, @r"
        before       nothing: it is the first of its conversation, and all of it is new
        kept         0 messages
        added        1 message

        tools
        + Bash

        added messages
        + user
          hi
        ");
    }
}
