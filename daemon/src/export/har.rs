//! HTTP Archive 1.2: the exchanges, as a browser's network panel opens them.
//!
//! What the standard has no place for stands in members that begin with `_`. Credentials in headers were never stored; the rest
//! was redacted before it came here. What is not known is -1 or empty, never guessed.
//!
//! A page is a session. Pages stand behind the entries, for the file is written while they are read.

use ccd_proto::VERSION;
use ccd_proto::api::ExportEnd;
use serde_json::{Value, json};

use super::bulk::{About, Bodies, Form, Made};
use super::clean::Cleaner;
use super::wire::Body;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::project::sse::Events;

/// The form.
pub(super) struct Har;

impl Form for Har {
    fn head(&mut self, _about: &About<'_>, out: &mut Vec<u8>) {
        let creator = json!({"name": "ccd", "version": VERSION});
        out.extend_from_slice(
            format!("{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"entries\":[\n").as_bytes(),
        );
    }

    fn entry(&mut self, made: Made, nth: u64, out: &mut Vec<u8>) {
        if nth > 0 {
            out.extend_from_slice(b",\n");
        }
        let bodies = made.bodies.unwrap_or_default();
        out.extend_from_slice(entry(&made.value, &bodies).to_string().as_bytes());
    }

    fn tail(&mut self, about: &About<'_>, end: &ExportEnd, out: &mut Vec<u8>) {
        let cleaner = if about.wanted.reveal {
            Ok(Cleaner::revealing_by(about.wanted.revealer.clone()))
        } else {
            Cleaner::standard(&about.wanted.privacy, None)
        };
        let with_exchanges = about.sessions.iter().filter(|session| session.exchanges > 0);
        let pages = with_exchanges.map(|session| {
            let project = session.project.as_deref().unwrap_or_default();
            // Without rules nothing captured is let through.
            let project = cleaner.as_ref().map(|c| c.text(project).as_str().to_owned()).unwrap_or_default();
            json!({
                "startedDateTime": session.started_at,
                "id": session.session_id,
                "title": format!("{project} {}", session.session_id).trim(),
                "pageTimings": {},
                "_cost_usd_micros": session.cost_usd_micros,
                "_tokens": session.tokens,
            })
        });
        let pages: Vec<Value> = pages.collect();
        let comment = match end.unreadable {
            0 => String::new(),
            n => format!("{n} entries could not be read whole"),
        };
        let (pages, comment) = (json!(pages), json!(comment));
        out.extend_from_slice(format!("\n],\"pages\":{pages},\"comment\":{comment}}}}}\n").as_bytes());
    }
}

fn text<'v>(of: &'v Value, at: &str) -> &'v str {
    of.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn entry(of: &Value, bodies: &Bodies) -> Value {
    let started = text(of, "/started_at");
    // One that could not be read has no time: the standard wants one.
    let started = if parse_rfc3339(started).is_ok() { started.to_owned() } else { rfc3339(0) };
    let timings = Timings::of(of);
    let status = of["status"].as_u64().unwrap_or(0);
    let mut entry = json!({
        "startedDateTime": started,
        "time": timings.total(),
        "request": request(of, bodies),
        "response": response(of, bodies),
        "cache": {},
        "timings": timings.to_json(),
        "comment": comment(of, bodies),
        "_resourceType": "fetch",
        "_exchange_id": of["exchange_id"],
        "_session_id": of["session_id"],
        "_agent_id": of["agent_id"],
        "_request_id": of["request_id"],
        "_message_id": of["message_id"],
        "_model": of["model"],
        "_purpose": of["purpose"],
        "_stop_reason": of["stop_reason"],
        "_complete": of["complete"],
        "_tokens": of["tokens"],
        "_cost_usd_micros": of["cost_usd_micros"],
        "_attempt": of["attempt"],
        "_retry_of": of["retry_of"],
        "_reused_connection": of.pointer("/timing/reused"),
    });
    if let Some(session) = of["session_id"].as_str() {
        entry["pageref"] = session.into();
    }
    if let Ok(peer) = text(of, "/timing/peer").parse::<std::net::SocketAddr>() {
        entry["serverIPAddress"] = peer.ip().to_string().into();
    }
    if status == 0 {
        entry["response"]["_error"] = of["error"].clone();
    }
    let events = events(of, &bodies.response, &started);
    if !events.is_empty() {
        entry["_resourceType"] = "eventsource".into();
        entry["_eventSourceMessages"] = events.into();
    }
    entry
}

fn comment(of: &Value, bodies: &Bodies) -> String {
    let told = |what: &str, missing: Option<&str>| missing.map(|missing| format!("{what}: {missing}"));
    let parts = [
        told("request body", bodies.request.missing.as_deref()),
        told("response body", bodies.response.missing.as_deref()),
        told("not read", of["unreadable"].as_str()),
        told("error", of["error"].as_str()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn headers(of: &Value) -> Value {
    let pairs = of.as_array().into_iter().flatten();
    let pairs = pairs.map(|pair| json!({"name": text(pair, "/0"), "value": text(pair, "/1")}));
    Value::Array(pairs.collect())
}

fn request(of: &Value, bodies: &Bodies) -> Value {
    let path = text(of, "/path");
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let query: Vec<Value> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let body = &bodies.request;
    let mut request = json!({
        "method": text(of, "/method"),
        "url": format!("{}{path}", bodies.upstream.trim_end_matches('/')),
        "httpVersion": version(text(of, "/http/0")),
        "cookies": [],
        "headers": headers(&of["request_headers"]),
        "queryString": query,
        "headersSize": -1,
        "bodySize": of["request_bytes"].as_u64().unwrap_or(0),
    });
    if body.bytes > 0 {
        request["postData"] = json!({"mimeType": body.media_type, "text": body.text});
        if body.is_base64 {
            request["postData"]["_encoding"] = "base64".into();
        }
        if let Some(missing) = &body.missing {
            request["postData"]["comment"] = missing.as_str().into();
        }
    }
    request
}

fn response(of: &Value, bodies: &Bodies) -> Value {
    let body = &bodies.response;
    let status = of["status"].as_u64().unwrap_or(0);
    let reason = u16::try_from(status).ok().and_then(|code| http::StatusCode::from_u16(code).ok());
    let mut content = json!({"size": body.bytes, "mimeType": body.media_type, "text": body.text});
    if body.wire_bytes < body.bytes {
        content["compression"] = (body.bytes - body.wire_bytes).into();
    }
    if body.is_base64 {
        content["encoding"] = "base64".into();
    }
    if let Some(missing) = &body.missing {
        content["comment"] = missing.as_str().into();
    }
    let headers_of = of["response_headers"].as_array().into_iter().flatten();
    let location = headers_of.filter(|pair| text(pair, "/0").eq_ignore_ascii_case("location"));
    let location = location.map(|pair| text(pair, "/1")).next().unwrap_or_default();
    json!({
        "status": status,
        "statusText": reason.and_then(|code| code.canonical_reason()).unwrap_or_default(),
        "httpVersion": version(text(of, "/http/1")),
        "cookies": [],
        "headers": headers(&of["response_headers"]),
        "content": content,
        "redirectURL": location,
        "headersSize": -1,
        "bodySize": of["response_bytes"].as_u64().unwrap_or(0),
        "_trailers": headers(&of["response_trailers"]),
    })
}

fn version(told: &str) -> &str {
    if told.is_empty() { "unknown" } else { told }
}

/// A stream's events with the seconds at which each came, as a browser's network panel has them.
fn events(of: &Value, body: &Body, started: &str) -> Vec<Value> {
    if !body.media_type.starts_with("text/event-stream") || body.is_base64 {
        return Vec::new();
    }
    let began_us = parse_rfc3339(started).unwrap_or(0) / 1000;
    let times = of["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let events = Events::new(body.text.as_bytes()).enumerate();
    let events = events.map(|(n, event)| {
        let at_us = times.get(n).and_then(|event| event["at_us"].as_u64()).unwrap_or(0);
        #[allow(clippy::cast_precision_loss, reason = "exact to the microsecond for the next 285 years")]
        let seconds = (began_us + at_us) as f64 / 1e6;
        json!({
            "time": seconds,
            "eventName": String::from_utf8_lossy(event.name),
            "eventId": "",
            "data": String::from_utf8_lossy(&event.data),
        })
    });
    events.collect()
}

/// Milliseconds; what is not known is `None`.
#[derive(Debug, PartialEq)]
struct Timings {
    dns: Option<f64>,
    connect: Option<f64>,
    ssl: Option<f64>,
    send: f64,
    wait: f64,
    receive: f64,
}

impl Timings {
    /// Of moments since the request's arrival, and durations of what went before. They are made to follow one another.
    fn of(of: &Value) -> Self {
        let timing = |name: &str| of["timing"].get(name).and_then(Value::as_f64).map(|ms| ms.max(0.0));
        let (dns, ssl) = (timing("resolve_ms"), timing("tls_ms"));
        // The standard counts TLS as part of connecting.
        let connect = match (timing("connect_ms"), ssl) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        };
        let total = timing("total_ms").unwrap_or(0.0);
        let before = dns.unwrap_or(0.0) + connect.unwrap_or(0.0);
        let first = timing("first_byte_ms").or_else(|| timing("head_ms")).unwrap_or(total).min(total);
        let over = timing("sent_ms").unwrap_or(0.0).min(first);
        let send = (over - before).max(0.0);
        let wait = (first - before - send).max(0.0);
        Timings { dns, connect, ssl, send, wait, receive: total - first }
    }

    fn total(&self) -> f64 {
        let sum =
            self.dns.unwrap_or(0.0) + self.connect.unwrap_or(0.0) + self.send + self.wait + self.receive;
        rounded(sum)
    }

    fn to_json(&self) -> Value {
        let known = |ms: Option<f64>| ms.map_or(-1.0, rounded);
        json!({
            "blocked": -1,
            "dns": known(self.dns),
            "connect": known(self.connect),
            "ssl": known(self.ssl),
            "send": rounded(self.send),
            "wait": rounded(self.wait),
            "receive": rounded(self.receive),
        })
    }
}

/// To the microsecond.
fn rounded(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_follow_one_another() {
        let of = json!({"timing": {"resolve_ms": 2.0, "connect_ms": 5.0, "tls_ms": 10.0, "sent_ms": 20.0,
            "head_ms": 300.0, "first_byte_ms": 301.5, "total_ms": 1000.0}});
        let timings = Timings::of(&of);
        assert_eq!(
            timings.to_json(),
            json!({"blocked": -1, "dns": 2.0, "connect": 15.0, "ssl": 10.0, "send": 3.0, "wait": 281.5, "receive": 698.5})
        );
        assert_eq!(timings.total().to_string(), "1000");
        let unknown = Timings::of(&json!({})).to_json();
        assert_eq!((&unknown["dns"], &unknown["wait"]), (&json!(-1.0), &json!(0.0)));
    }

    proptest! {
        #[test]
        fn it_is_well_formed_whatever_was_captured(
            texts in prop::collection::vec(any::<String>(), 6),
            times in prop::collection::vec(prop::option::of(-5.0f64..1e6), 6),
        ) {
            let [a, b, c, d, e, f] = std::array::from_fn(|i| texts[i].clone());
            let names = ["resolve_ms", "connect_ms", "tls_ms", "sent_ms", "first_byte_ms", "total_ms"];
            let timing: serde_json::Map<String, Value> =
                names.iter().zip(&times).map(|(name, ms)| ((*name).to_owned(), json!(ms))).collect();
            let value = json!({"started_at": a, "method": b, "path": format!("/v1?{c}"), "timing": timing, "session_id": d,
                "request_headers": [[e, f]], "error": c, "http": [a, b]});
            let bodies = Bodies {
                response: Body { media_type: "text/event-stream".into(), text: format!("data: {c}\n\n"), bytes: 9, ..Body::default() },
                request: Body { text: d.clone(), bytes: 1, ..Body::default() },
                ..Bodies::default()
            };
            let made = || Made { kind: "exchange", value: value.clone(), bodies: Some(Box::new(bodies.clone())), line: None, unreadable: false };
            let wanted = crate::export::bulk::Wanted::default();
            let about = About { wanted: &wanted, begun_at: rfc3339(0), sessions: &[] };
            let mut out = Vec::new();
            Har.head(&about, &mut out);
            Har.entry(made(), 0, &mut out);
            Har.entry(made(), 1, &mut out);
            Har.tail(&about, &ExportEnd::default(), &mut out);
            let har: Value = serde_json::from_slice(&out).unwrap();
            let entries = har["log"]["entries"].as_array().unwrap();
            prop_assert_eq!(entries.len(), 2);
            for entry in entries {
                prop_assert!(entry["time"].as_f64().unwrap() >= 0.0);
                for name in ["send", "wait", "receive"] {
                    prop_assert!(entry["timings"][name].as_f64().unwrap() >= 0.0);
                }
                prop_assert_eq!(&entry["request"]["postData"]["text"], &json!(d));
            }
        }
    }
}
