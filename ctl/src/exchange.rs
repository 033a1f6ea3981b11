//! `ccctl exchange ID`: one request to the API: what is known of it, its headers, or its exact bytes.
//!
//! Bodies go to stdout exactly as they went by: not decoded, not made visible, nothing added.

use std::fmt::Write as _;

use ccd_proto::api::{Exchange, ExchangeDetail, StreamEvent};

use crate::args::ExchangeArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exchanges::outcome;
use crate::human::{bytes, count, duration_ms, plural};
use crate::printer::{Printer, Tone, visible, visible_block};
use crate::query::Target;
use crate::{limits, request_changes, time, tree, waterfall};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ExchangeArgs) -> Result<()> {
    let client = Client::new(env)?;
    let target = Target::about("/v0/exchanges", &args.id);
    if args.reveal.reveal && !(args.request || args.response) {
        return Err(CommandError::usage("--reveal goes with --request or --response")
            .hint("`ccctl show ID --reveal` shows the exchange's content with what was taken out"));
    }
    if args.request || args.response {
        let part = target.part(if args.request { "request" } else { "response" });
        if args.reveal.reveal {
            let part = part.with("reason", args.reveal.reason.as_deref());
            return client.watch(out, part.as_ref(), Printer::bytes);
        }
        return client.stream(out, part.as_ref(), Printer::bytes);
    }
    if args.changes {
        return request_changes::run(env, out, &client, target, args.json);
    }
    let body = client.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let detail: ExchangeDetail = decode(&body)?;
    let lines = if args.headers { headers(out, &detail) } else { summary(env, out, &detail) };
    lines.iter().try_for_each(|line| out.line(line))
}

/// Both sides' headers.
#[must_use]
pub fn headers(out: &Printer, detail: &ExchangeDetail) -> Vec<String> {
    let e = &detail.exchange;
    let status = e.status.map_or_else(|| "no response".to_owned(), |s| s.to_string());
    let mut lines =
        vec![out.paint(Tone::Strong, &visible(&format!("{} {} {}", e.method, e.path, detail.http.0)))];
    let list = |lines: &mut Vec<String>, headers: &[(String, String)]| {
        lines.extend(headers.iter().map(|(name, value)| format!("{}: {}", visible(name), visible(value))));
    };
    list(&mut lines, &detail.request_headers);
    lines.push(String::new());
    lines.push(out.paint(Tone::Strong, &visible(&format!("{} {status}", detail.http.1))));
    list(&mut lines, &detail.response_headers);
    if !detail.response_trailers.is_empty() {
        lines.push(String::new());
        list(&mut lines, &detail.response_trailers);
    }
    lines
}

/// What is known of an exchange.
#[must_use]
pub fn summary(env: &Env, out: &Printer, detail: &ExchangeDetail) -> Vec<String> {
    let e = &detail.exchange;
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{} {}", out.paint(Tone::Faint, &format!("{name:12}")), visible(value)));
        }
    };
    fact("exchange", &e.exchange_id);
    fact("request", &format!("{} {}", e.method, e.path));
    fact("session", e.session_id.as_deref().unwrap_or_default());
    fact("agent", e.agent_id.as_deref().unwrap_or_default());
    fact("purpose", &e.purpose);
    fact("model", e.model.as_deref().unwrap_or_default());
    fact("started", &time::short(&e.started_at, env.now, &env.tz));
    fact("took", &took(detail));
    fact("route", &waterfall::route(&e.timing));
    fact("status", &outcome(e).0);
    fact("stop reason", e.stop_reason.as_deref().unwrap_or_default());
    fact("error", e.error.as_deref().unwrap_or_default());
    fact("attempt", &attempt(e));
    fact(
        "wait",
        &detail.retry_after_s.map_or_else(String::new, |s| format!("asked to come back after {s} s")),
    );
    fact("request id", e.request_id.as_deref().unwrap_or_default());
    fact("message id", e.message_id.as_deref().unwrap_or_default());
    fact("sent", &kept(e.request_bytes, detail.request_kept));
    fact("received", &kept(e.response_bytes, detail.response_kept));
    if let Some(t) = e.tokens {
        let (input, read, output) = (count(t.input), count(t.cache_read), count(t.output));
        let written = count(t.cache_write_5m + t.cache_write_1h);
        fact("tokens", &format!("{input} in, {read} from cache, {written} to cache, {output} out"));
    }
    fact("cost", &e.cost);
    if e.reasoning.blocks > 0 {
        let omitted = tree::omitted(&e.reasoning).map(|o| format!(", {o}")).unwrap_or_default();
        fact("thinking", &format!("{} blocks{omitted}", e.reasoning.blocks));
    }
    fact("stream", &pace(&detail.events));
    if let Some((_, line)) = detail.rate_limits.as_ref().and_then(|told| limits::line(env, told)) {
        fact("rate limits", &line);
    }
    lines.extend(waterfall::lines(&e.timing));
    if let Some(content) = detail.message.as_ref().and_then(|m| m.get("content")) {
        lines.push(String::new());
        lines.extend(tree::readable(content).lines().map(ToOwned::to_owned));
    } else if let Some(text) = e.reasoning.text.as_deref() {
        lines.push(visible_block(text));
    }
    lines.push(String::new());
    let id = visible(&e.exchange_id);
    lines.push(
        out.paint(
            Tone::Faint,
            &format!("exact bytes: ccctl exchange {id} --request | --response | --headers"),
        ),
    );
    lines
}

fn took(detail: &ExchangeDetail) -> String {
    let mut text = duration_ms(detail.exchange.duration_ms);
    if let Some(first) = detail.exchange.ttfb_ms {
        let _ = write!(text, ", first byte after {}", duration_ms(first));
    }
    text
}

/// Which attempt it is, what it repeats and what repeats it; nothing where it stands alone.
fn attempt(e: &Exchange) -> String {
    let of =
        |what: &str, id: &Option<String>| id.as_ref().map(|id| format!(", {what} {id}")).unwrap_or_default();
    let links = [of("repeats", &e.retry_of), of("repeated by", &e.retried_by)].concat();
    if links.is_empty() { links } else { format!("{}{links}", e.attempt) }
}

fn kept(size: u64, kept: Option<u64>) -> String {
    match kept {
        Some(kept) if kept < size => format!("{}, of which only {} were kept", bytes(size), bytes(kept)),
        _ => bytes(size),
    }
}

/// A stream's events in one line: how many, and the longest silence between two.
fn pace(events: &[StreamEvent]) -> String {
    let Some(last) = events.last() else { return String::new() };
    let longest = events.windows(2).map(|w| w[1].at_us.saturating_sub(w[0].at_us)).max().unwrap_or(0);
    format!(
        "{} until {}, longest silence {}",
        plural(events.len() as u64, "event"),
        duration_ms(last.at_us / 1000),
        duration_ms(longest / 1000)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};
    use ccd_proto::api::Timing;
    use serde_json::json;

    #[test]
    fn bodies_are_exact_bytes() {
        let home = Home::new();
        let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let sent = body.clone();
        let daemon = home.daemon(move |_| Reply::status(200, sent.clone()));
        let (mut out, text, _) = Printer::captured(80);
        let args = ExchangeArgs { id: "019a/..".into(), response: true, ..ExchangeArgs::default() };
        run(&home.env(), &mut out, &args).unwrap();
        assert_eq!(text.bytes(), body);
        assert_eq!(daemon.requests(), ["GET /v0/exchanges/019a%2F../response"]);
    }

    #[test]
    fn a_summary_tells_what_is_known() {
        let (out, _, _) = Printer::captured(80);
        let detail = ExchangeDetail {
            exchange: Exchange {
                exchange_id: "019a".into(),
                method: "POST".into(),
                path: "/v1/messages?beta=true".into(),
                status: Some(200),
                started_at: "2026-11-20T20:15:09Z".into(),
                ttfb_ms: Some(300),
                duration_ms: 2100,
                request_bytes: 5000,
                timing: Timing {
                    reused: true,
                    peer: Some("127.0.0.1:9".into()),
                    sent_ms: Some(0.5),
                    head_ms: Some(299.0),
                    first_byte_ms: Some(300.0),
                    total_ms: 2100.0,
                    ..Timing::default()
                },
                attempt: 2,
                retry_of: Some("0199".into()),
                ..Exchange::default()
            },
            request_kept: Some(1000),
            message: Some(
                json!({"content":[{"type":"thinking","thinking":"","signature":"x"},{"type":"text","text":"hi\u{7}"}]}),
            ),
            events: vec![
                StreamEvent { event: "message_start".into(), at_us: 300_000, bytes: 10 },
                StreamEvent { event: "message_stop".into(), at_us: 2_000_000, bytes: 10 },
            ],
            ..ExchangeDetail::default()
        };
        insta::assert_snapshot!(summary(&Home::new().env(), &out, &detail).join("\n"), @r"
        exchange     019a
        request      POST /v1/messages?beta=true
        started      20:15:09
        took         2.1s, first byte after 300ms
        route        the connection that was there to 127.0.0.1:9
        status       200 cut
        attempt      2, repeats 0199
        sent         4.9 KiB, of which only 1000 B were kept
        received     0 B
        stream       2 events until 2.0s, longest silence 1.7s
          request    █······························· 0.50ms
          waiting    █████··························· 299ms
          first byte ·····█·························· 1.00ms
          response   ·····███████████████████████████ 1.8s

        (thinking omitted by the API)
        hi\u{7}

        exact bytes: ccctl exchange 019a --request | --response | --headers
        ");
    }
}
