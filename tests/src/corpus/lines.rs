//! The lines of a transcript, as two versions of the client write them, and the file that they go to.
//!
//! Shapes only: what is said, when, and what it costs is [`super::session`]'s.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Tokens;

/// Which client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// 2.1.197: no closing totals, no copies of requests.
    Older,
    /// 2.1.329.
    Newer,
}

impl Client {
    fn version(self) -> &'static str {
        match self {
            Client::Older => "2.1.197",
            Client::Newer => "2.1.329",
        }
    }
}

/// A file that lines are added to.
pub(super) struct Lines {
    out: BufWriter<File>,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) count: u64,
    /// Every line so far, where somebody will want a copy.
    pub(super) kept: Option<Vec<Value>>,
}

impl Lines {
    pub(super) fn create(path: &Path, keep: bool) -> std::io::Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let out = BufWriter::with_capacity(1 << 18, File::create(path)?);
        Ok(Lines { out, path: path.to_owned(), bytes: 0, count: 0, kept: keep.then(Vec::new) })
    }

    pub(super) fn push(&mut self, line: Value) -> std::io::Result<()> {
        self.raw(format!("{line}\n").as_bytes())?;
        self.count += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(line);
        }
        Ok(())
    }

    /// Bytes that are no whole line.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    pub(super) fn close(mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Where a line stands: what every line of a session says.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) client: Client,
    pub(super) session: String,
    pub(super) agent: Option<String>,
    pub(super) cwd: String,
    pub(super) branch: String,
    pub(super) prompt_id: String,
}

/// One billed message, as its lines tell it.
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) request: Option<&'a str>,
    pub(super) model: &'a str,
    pub(super) stop_reason: &'a str,
    pub(super) tokens: Tokens,
    pub(super) searches: u64,
    pub(super) tier: &'a str,
}

/// RFC 3339 with milliseconds, as the client writes it.
pub(super) fn stamp(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).unwrap().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Adds what every line of a conversation says.
fn placed(place: &Place, uuid: &str, parent: Option<&str>, at_ms: i64, mut line: Value) -> Value {
    let more = json!({
        "uuid": uuid, "parentUuid": parent, "timestamp": stamp(at_ms), "isSidechain": place.agent.is_some(),
        "sessionId": place.session, "cwd": place.cwd, "gitBranch": place.branch, "version": place.client.version(),
        "userType": "external", "entrypoint": "cli",
    });
    let (Value::Object(to), Value::Object(from)) = (&mut line, more) else { return line };
    to.extend(from);
    if let Some(agent) = &place.agent {
        to.insert("agentId".into(), json!(agent));
    }
    line
}

/// Something that a person, or a parent, said.
pub(super) fn prompt(place: &Place, uuid: &str, parent: Option<&str>, at_ms: i64, text: &str) -> Value {
    let line = json!({
        "type": "user", "promptId": place.prompt_id, "message": {"role": "user", "content": text},
        "permissionMode": "default", "promptSource": "typed",
    });
    placed(place, uuid, parent, at_ms, line)
}

/// What a compaction left.
pub(super) fn summary(place: &Place, uuid: &str, parent: &str, at_ms: i64, text: &str) -> Value {
    let mut line = prompt(place, uuid, Some(parent), at_ms, text);
    line["isCompactSummary"] = json!(true);
    line["isVisibleInTranscriptOnly"] = json!(true);
    line
}

/// One block of an answer.
pub(super) fn block(
    place: &Place,
    uuid: &str,
    parent: Option<&str>,
    at_ms: i64,
    message: &Message<'_>,
    content: &Value,
) -> Value {
    let t = &message.tokens;
    let mut usage = json!({
        "input_tokens": t.input, "cache_creation_input_tokens": t.cache_write_5m + t.cache_write_1h,
        "cache_read_input_tokens": t.cache_read, "output_tokens": t.output,
        "server_tool_use": {"web_search_requests": message.searches, "web_fetch_requests": 0},
        "service_tier": message.tier, "inference_geo": "", "iterations": [], "speed": "standard",
        "cache_creation": {
            "ephemeral_1h_input_tokens": t.cache_write_1h, "ephemeral_5m_input_tokens": t.cache_write_5m,
        },
    });
    if place.client == Client::Newer {
        usage["output_tokens_details"] = json!({"thinking_tokens": 0});
        usage["fallback_credit"] = Value::Null;
    }
    let mut line = json!({
        "type": "assistant",
        "message": {
            "id": message.id, "type": "message", "role": "assistant", "model": message.model, "content": [content],
            "stop_reason": message.stop_reason, "stop_sequence": null, "usage": usage, "stop_details": null,
        },
    });
    if let Some(request) = message.request {
        line["requestId"] = json!(request);
    }
    if place.client == Client::Newer {
        line["requestedModel"] = json!(message.model);
        line["madeBy"] = json!("model");
        line["effort"] = json!("medium");
    }
    placed(place, uuid, parent, at_ms, line)
}

/// What a tool returned.
pub(super) fn result(
    place: &Place,
    uuid: &str,
    parent: &str,
    at_ms: i64,
    call: &str,
    text: &str,
    is_error: bool,
) -> Value {
    let content = json!({"tool_use_id": call, "type": "tool_result", "content": text, "is_error": is_error});
    let mut line = json!({
        "type": "user", "promptId": place.prompt_id, "message": {"role": "user", "content": [content]},
        "toolUseResult": {"stdout": text, "stderr": "", "interrupted": false, "isImage": false},
        "sourceToolAssistantUUID": parent,
    });
    if place.client == Client::Newer {
        line["permissionDecision"] = json!({"decision": "accept", "source": "config", "reasonType": "mode"});
    }
    placed(place, uuid, Some(parent), at_ms, line)
}

/// A failure that the client shows as if the model had said it. It costs nothing, and must not count.
pub(super) fn synthetic(place: &Place, uuid: &str, parent: Option<&str>, at_ms: i64, id: &str) -> Value {
    let usage = json!({
        "input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "service_tier": null, "speed": null,
    });
    let line = json!({
        "type": "assistant", "error": "server_error", "isApiErrorMessage": true,
        "message": {
            "id": id, "type": "message", "role": "assistant", "model": "<synthetic>", "usage": usage,
            "content": [{"type": "text", "text": "API Error: 529 Overloaded"}], "stop_reason": "stop_sequence",
        },
    });
    placed(place, uuid, parent, at_ms, line)
}

/// A line of the client's own.
pub(super) fn system(place: &Place, uuid: &str, parent: Option<&str>, at_ms: i64, subtype: &str) -> Value {
    let more = match subtype {
        "compact_boundary" => json!({"compactMetadata": {"trigger": "manual", "preTokens": 90_000}}),
        "api_error" => {
            json!({"error": {"status": 529}, "retryInMs": 561, "retryAttempt": 1, "maxRetries": 10})
        }
        _ => json!({"durationMs": 1410, "messageCount": 18}),
    };
    let mut line = json!({"type": "system", "subtype": subtype, "level": "info", "content": subtype});
    if let (Value::Object(to), Value::Object(more)) = (&mut line, more) {
        to.extend(more);
    }
    let mut line = placed(place, uuid, parent, at_ms, line);
    if subtype == "compact_boundary" {
        line["parentUuid"] = Value::Null;
        line["logicalParentUuid"] = json!(parent);
    }
    line
}

/// The system prompt and the tools, as the newer client keeps them once per shape.
pub(super) fn shape(place: &Place, at_ms: i64, hash: &str, text: &str) -> Value {
    json!({
        "type": "api-request-shape", "sessionId": place.session, "shapeHash": hash, "timestamp": stamp(at_ms),
        "version": place.client.version(),
        "shape": {"system": [{"type": "text", "text": text}], "tools": []},
    })
}

/// A request, as the newer client keeps it.
pub(super) fn request(place: &Place, at_ms: i64, id: &str, hash: &str, model: &str) -> Value {
    json!({
        "type": "api-request", "sessionId": place.session, "id": id, "timestamp": stamp(at_ms),
        "version": place.client.version(), "querySource": "sdk", "shapeHash": hash,
        "params": {"model": model, "max_tokens": 128_000, "betas": ["claude-code-20250219"]},
        "keep": 0, "tail": [hash], "requestDigest": hash,
    })
}

/// The client's closing totals.
pub(super) fn cost_state(
    session: &str,
    start_ms: i64,
    models: &std::collections::BTreeMap<String, (Tokens, u64)>,
) -> Value {
    let usage = models.iter().map(|(model, (t, searches))| {
        let told = json!({
            "inputTokens": t.input, "outputTokens": t.output, "thinkingTokens": 0,
            "cacheReadInputTokens": t.cache_read, "cacheCreationInputTokens": t.cache_write_5m + t.cache_write_1h,
            "cacheCreationEphemeral5mInputTokens": t.cache_write_5m,
            "cacheCreationEphemeral1hInputTokens": t.cache_write_1h,
            "webSearchRequests": searches, "costUSD": 0.25,
        });
        (model.clone(), told)
    });
    json!({
        "type": "cost-state", "sessionId": session, "totalCostUSD": 0.25, "totalAPIDuration": 338,
        "totalAPIDurationWithoutRetries": 311, "totalToolDuration": 182, "totalLinesAdded": 3,
        "totalLinesRemoved": 1, "totalDuration": 1814, "startTime": start_ms,
        "modelUsage": Value::Object(usage.collect()), "hasUnknownModelCost": false,
    })
}
