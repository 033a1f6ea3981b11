//! One line of a transcript, read into a fact.
//!
//! A line's members are gone through once; what is inside of them is looked at only in the lines that tell something.

use ccd_proto::api::Tokens;

use super::block::{Block, Message, add_block, content_head, read_usage};
use super::json::{self, Elements, Members};
use super::{AgentMeta, Answer, Costs, LineFact, LineKind, Prompt, PromptKind, ToolResult, TranscriptFacts};
use crate::clock::parse_rfc3339;
use crate::project::charge::MAX_COUNT;
use crate::project::compactions::{Boundary, Trigger};
use crate::project::request::is_denial;
use crate::project::text::preview;

/// Longest id and name that is kept, in characters.
const MAX_NAME: usize = 200;
/// Longest working directory that is kept, in characters.
const MAX_PATH: usize = 4096;
/// So much of a text is decoded for its first words.
pub(super) const HEAD: usize = 512;

/// Types of lines that tell the projection nothing, and are known not to.
const SILENT: [&[u8]; 23] = [
    b"summary",
    b"queue-operation",
    b"last-prompt",
    b"mode",
    b"permission-mode",
    b"file-history-snapshot",
    b"file-history-delta",
    b"api-request",
    b"api-request-blob",
    b"api-request-shape",
    b"tools-used",
    b"atis-latch",
    b"relocated",
    b"worktree-state",
    b"progress",
    b"custom-title",
    b"ai-title",
    b"agent-name",
    b"agent-setting",
    b"agent-color",
    b"pr-link",
    b"tag",
    b"content-replacement",
];

/// Reads all lines.
pub(super) fn read_all(body: &[u8], facts: &mut TranscriptFacts) {
    let from_lines = facts.session_id.is_empty();
    let mut fresh: Option<LineFact> = None;
    let mut last_ns = 0;
    let mut start = 0;
    while start < body.len() {
        let end = memchr::memchr(b'\n', &body[start..]).map_or(body.len(), |i| start + i);
        let (bytes, before) = bare(&body[start..end]);
        let at = (start + before) as u64;
        start = end + 1;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        facts.count += 1;
        let Some(line) = Line::of(bytes) else {
            facts.unreadable += 1;
            continue;
        };
        if from_lines && facts.session_id.is_empty() {
            facts.session_id = line.session_id.and_then(name).unwrap_or_default();
        }
        let told = line.timestamp.and_then(time);
        if let Some(ns) = told {
            facts.first_ns = if facts.first_ns == 0 { ns } else { facts.first_ns.min(ns) };
            facts.last_ns = facts.last_ns.max(ns);
            line.envelope(ns, facts);
            last_ns = ns;
        }
        let kind = match line.kind() {
            Told::Fact(kind) => kind,
            Told::Nothing => continue,
            Told::Unknown => {
                facts.unknown += 1;
                continue;
            }
        };
        let fact = line.fact(bytes, at, told.unwrap_or(last_ns), kind);
        // Reminders come by the dozen: what goes to the model between two other lines is one fact.
        match (&mut fresh, &fact.kind) {
            (Some(LineFact { kind: LineKind::Fresh(sum), .. }), LineKind::Fresh(more)) => {
                *sum = sum.saturating_add(*more);
            }
            (None, LineKind::Fresh(_)) => fresh = Some(fact),
            _ => {
                facts.lines.extend(fresh.take());
                facts.lines.push(fact);
            }
        }
    }
    facts.lines.extend(fresh);
}

/// A line without what is no part of it, and how many bytes that was at its beginning: the mark that some editors put
/// before a text, and the zeros that a file system puts where it lost the end of a write.
fn bare(line: &[u8]) -> (&[u8], usize) {
    let zeros = line.iter().take_while(|b| **b == 0).count();
    let rest = &line[zeros..];
    let rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    let end = rest.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    (&rest[..end], line.len() - rest.len())
}

/// The members of a line that something is read from.
#[derive(Default)]
struct Line<'a> {
    kind: &'a [u8],
    subtype: &'a [u8],
    session_id: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    uuid: Option<&'a [u8]>,
    prompt_id: Option<&'a [u8]>,
    agent_id: Option<&'a [u8]>,
    cwd: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    branch: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    tool_use_result: Option<&'a [u8]>,
    denial: Option<&'a [u8]>,
    agent_type: Option<&'a [u8]>,
    compact: Option<&'a [u8]>,
    rendered: Option<&'a [u8]>,
    attachment: Option<&'a [u8]>,
    start_time: Option<&'a [u8]>,
    duration: Option<&'a [u8]>,
    model_usage: Option<&'a [u8]>,
    is_meta: Option<&'a [u8]>,
    is_summary: Option<&'a [u8]>,
    is_sidechain: Option<&'a [u8]>,
    is_api_error: Option<&'a [u8]>,
    whole: &'a [u8],
}

enum Told {
    Fact(LineKind),
    Nothing,
    Unknown,
}

/// What stands between the quotes of a string.
pub(super) fn inner(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or_default()
}

/// An id or a name; `None` where it is no string, or empty.
pub(super) fn name(value: &[u8]) -> Option<String> {
    json::text(value, MAX_NAME).filter(|s| !s.is_empty())
}

/// First words, the same that [`preview`] gives of the whole text.
pub(super) fn words(value: &[u8]) -> Option<String> {
    let head = json::text(value, HEAD)?;
    let mut chars = head.trim().chars();
    let enough = chars.nth(HEAD / 2).is_some() || head.chars().nth(HEAD - 1).is_none();
    if enough { Some(preview(&head)) } else { json::text(value, usize::MAX).map(|text| preview(&text)) }
}

fn is_true(value: Option<&[u8]>) -> bool {
    value.is_some_and(json::is_true)
}

pub(super) fn count(value: Option<&[u8]>) -> Option<u64> {
    value.and_then(json::number).map(|n| n.min(MAX_COUNT))
}

/// Nanoseconds since the Unix epoch. The client writes one form only, which is read without a parser.
fn time(value: &[u8]) -> Option<u64> {
    let text = inner(value);
    if let [.., b'Z'] = text
        && text.len() == 24
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.')]
            .iter()
            .all(|(i, b)| text[*i] == *b)
    {
        let n = |from: usize, to: usize| {
            text[from..to]
                .iter()
                .try_fold(0u64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
        };
        let (year, month, day) = (n(0, 4)?, n(5, 7)?, n(8, 10)?);
        let (hour, minute, second, milli) = (n(11, 13)?, n(14, 16)?, n(17, 19)?, n(20, 23)?);
        if (1970..2500).contains(&year)
            && (1..=12).contains(&month)
            && (1..=28 + u64::from(month != 2) * 2).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60
        {
            // Days from the civil date: years begin in March, so that the leap day is the last.
            let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
            let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
            let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
            return Some((seconds * 1000 + milli) * 1_000_000);
        }
    }
    parse_rfc3339(std::str::from_utf8(text).ok()?).ok()
}

impl<'a> Line<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut line = Line { whole: bytes, ..Line::default() };
        let mut members = Members::of(bytes);
        for (key, value) in members.by_ref() {
            let slot = match key {
                b"type" => {
                    line.kind = inner(value);
                    continue;
                }
                b"subtype" => {
                    line.subtype = inner(value);
                    continue;
                }
                b"isMeta" => &mut line.is_meta,
                b"isCompactSummary" => &mut line.is_summary,
                b"isSidechain" => &mut line.is_sidechain,
                b"isApiErrorMessage" => &mut line.is_api_error,
                b"sessionId" => &mut line.session_id,
                b"timestamp" => &mut line.timestamp,
                b"uuid" => &mut line.uuid,
                b"promptId" => &mut line.prompt_id,
                b"agentId" => &mut line.agent_id,
                b"cwd" => &mut line.cwd,
                b"version" => &mut line.version,
                b"gitBranch" => &mut line.branch,
                b"requestId" => &mut line.request_id,
                b"message" => &mut line.message,
                b"toolUseResult" => &mut line.tool_use_result,
                b"toolDenialKind" => &mut line.denial,
                b"attributionAgent" => &mut line.agent_type,
                b"compactMetadata" => &mut line.compact,
                b"rendered" => &mut line.rendered,
                b"attachment" => &mut line.attachment,
                b"startTime" => &mut line.start_time,
                b"totalDuration" => &mut line.duration,
                b"modelUsage" => &mut line.model_usage,
                _ => continue,
            };
            *slot = Some(value);
        }
        members.is_whole().then_some(line)
    }

    /// What the lines of a file have in common.
    fn envelope(&self, ns: u64, facts: &mut TranscriptFacts) {
        if facts.cwd.as_ref().is_none_or(|(at, _)| ns < *at)
            && let Some(cwd) = self.cwd.and_then(|v| json::text(v, MAX_PATH)).filter(|s| !s.is_empty())
        {
            facts.cwd = Some((ns, cwd));
        }
        later(&mut facts.version, ns, self.version);
        later(&mut facts.branch, ns, self.branch);
    }

    fn fact(&self, bytes: &[u8], at: u64, at_ns: u64, kind: LineKind) -> LineFact {
        // Before subagents had files of their own, their lines stood in the session's, marked and without a name.
        let aside = || is_true(self.is_sidechain).then(|| "sidechain".to_owned());
        LineFact {
            at,
            at_ns,
            uuid: hash(self.uuid.map_or(bytes, inner)),
            prompt_id: self.prompt_id.and_then(name),
            agent_id: self.agent_id.and_then(name).or_else(aside),
            kind,
        }
    }

    fn kind(&self) -> Told {
        let told = match self.kind {
            b"assistant" => self.answer(),
            b"user" => self.user(),
            b"system" => return self.system(),
            b"attachment" => self.fresh(),
            b"cost-state" => self.costs(),
            kind if SILENT.contains(&kind) => None,
            _ => return Told::Unknown,
        };
        told.map_or(Told::Nothing, Told::Fact)
    }

    fn system(&self) -> Told {
        match self.subtype {
            b"compact_boundary" => {
                let number = |name| self.compact.and_then(|meta| count(json::member(meta, name)));
                let trigger = self.compact.and_then(|meta| json::member(meta, "trigger"));
                Told::Fact(LineKind::Compacted(Boundary {
                    trigger: trigger.and_then(|name| json::text(name, 8)).as_deref().and_then(Trigger::named),
                    before: number("preTokens"),
                    left: number("postTokens"),
                    duration_ms: number("durationMs"),
                }))
            }
            _ => Told::Nothing,
        }
    }

    fn fresh(&self) -> Option<LineKind> {
        let rendered = self.rendered.or_else(|| json::member(self.attachment?, "content"))?;
        Some(LineKind::Fresh(rendered.len() as u64))
    }

    fn user(&self) -> Option<LineKind> {
        let content = json::member(self.message?, "content")?;
        let mut text = json::text(content, HEAD);
        let mut results = Vec::new();
        for block in Elements::of(content) {
            match Block::of(block) {
                block if block.kind == b"tool_result" => results.extend(self.result(&block)),
                block if block.kind == b"text" && text.is_none() => {
                    text = block.text.and_then(|t| json::text(t, HEAD));
                }
                _ => {}
            }
        }
        if !results.is_empty() {
            if let ([only], Some(agent)) = (&mut results[..], self.started_agent()) {
                only.started_agent = Some(agent);
            }
            return Some(LineKind::Results(results));
        }
        let text = text.unwrap_or_default();
        let opening = text.trim_start();
        if opening.starts_with("[Request interrupted by user") {
            return Some(LineKind::Interrupted);
        }
        let kind = if is_true(self.is_summary) {
            PromptKind::Summary
        } else if is_true(self.is_meta) {
            PromptKind::Meta
        } else {
            kind_of(opening)
        };
        let preview = if kind == PromptKind::Command { preview(&typed(opening)) } else { preview(&text) };
        let own_id = if self.prompt_id.is_none() { self.uuid.and_then(name) } else { None };
        Some(LineKind::Prompt(Prompt { kind, preview, bytes: content.len() as u64, own_id }))
    }

    fn started_agent(&self) -> Option<String> {
        json::member(self.tool_use_result?, "agentId").and_then(name)
    }

    fn result(&self, block: &Block<'_>) -> Option<ToolResult> {
        let content = block.content.unwrap_or_default();
        let text = content_head(content);
        let is_error = block.is_error.is_some_and(json::is_true);
        Some(ToolResult {
            tool_use_id: name(block.tool_use_id?)?,
            is_error,
            denied: self.denial.and_then(name).is_some() || (is_error && is_denial(&text)),
            preview: preview(&text),
            bytes: content.len() as u64,
            started_agent: None,
        })
    }

    fn answer(&self) -> Option<LineKind> {
        let message = Message::of(self.message?)?;
        let model = message.model.and_then(name).unwrap_or_default();
        if model == "<synthetic>" {
            // The client's own words: of an error they tell, of nothing else.
            let text = message.content.map(content_head).unwrap_or_default();
            return is_true(self.is_api_error).then(|| LineKind::ApiError(preview(&text)));
        }
        let mut answer = Answer {
            request_id: self.request_id.and_then(name),
            model,
            service_tier: String::new(),
            stop_reason: message.stop_reason.and_then(name),
            branch: self.branch.and_then(name).unwrap_or_default(),
            agent_type: self.agent_type.and_then(name),
            ..Answer::default()
        };
        answer.message_id = message.id.and_then(name).unwrap_or_else(|| match &answer.request_id {
            Some(request) => format!("request {request}"),
            None => format!("line {:016x}", hash(self.uuid.map_or(self.whole, inner))),
        });
        // Money hangs on this line: it must be JSON to the last byte.
        if let Some(usage) = message.usage.filter(|_| json::is_json(self.whole)) {
            read_usage(usage, &mut answer);
        }
        for block in Elements::of(message.content.unwrap_or_default()) {
            answer.bytes += block.len() as u64;
            add_block(&Block::of(block), &mut answer);
        }
        Some(LineKind::Answer(Box::new(answer)))
    }

    fn costs(&self) -> Option<LineKind> {
        let ms = |value: Option<&[u8]>| value.and_then(json::number).unwrap_or(0).saturating_mul(1_000_000);
        let mut costs =
            Costs { start_ns: ms(self.start_time), duration_ns: ms(self.duration), models: Vec::new() };
        for (model, usage) in Members::of(self.model_usage?) {
            let of = |key: &str| count(json::member(usage, key));
            let written = of("cacheCreationInputTokens").unwrap_or(0);
            let one_hour = of("cacheCreationEphemeral1hInputTokens").unwrap_or(0).min(written);
            let tokens = Tokens {
                input: of("inputTokens").unwrap_or(0),
                output: of("outputTokens").unwrap_or(0),
                cache_read: of("cacheReadInputTokens").unwrap_or(0),
                cache_write_5m: written - one_hour,
                cache_write_1h: one_hour,
            };
            let usd = json::member(usage, "costUSD").and_then(json::float).unwrap_or(0.0);
            let name: String = String::from_utf8_lossy(model).chars().take(MAX_NAME).collect();
            costs.models.push((name, tokens, of("webSearchRequests").unwrap_or(0), micros(usd)));
        }
        Some(LineKind::Costs(Box::new(costs)))
    }
}

/// Dollars to micro-dollars, rounded to the nearest.
fn micros(usd: f64) -> u64 {
    let micros = (usd * 1e6).round();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // Rounded, and within what a count may be.
    if (0.0..1e12).contains(&micros) { micros as u64 } else { 0 }
}

fn later(slot: &mut Option<(u64, String)>, ns: u64, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    match slot {
        // Mostly it is what it was: then nothing is decoded.
        Some((at, old)) if old.as_bytes() == inner(value) => *at = (*at).max(ns),
        Some((at, _)) if *at > ns => {}
        _ => {
            if let Some(value) = name(value) {
                *slot = Some((ns, value));
            }
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// What a command printed: words for the model, and no prompt.
fn is_output(text: &str) -> bool {
    ["<local-command-", "<bash-stdout>", "<bash-stderr>"].iter().any(|tag| text.starts_with(tag))
}

/// Who a text comes from that is neither marked as the client's own nor a summary.
pub(super) fn kind_of(opening: &str) -> PromptKind {
    if is_output(opening) {
        PromptKind::Meta
    } else if opening.starts_with("<task-notification>") {
        PromptKind::Machine
    } else if is_command(opening) {
        PromptKind::Command
    } else {
        PromptKind::Typed
    }
}

fn is_command(text: &str) -> bool {
    ["<command-name>", "<command-message>", "<bash-input>"].iter().any(|tag| text.starts_with(tag))
}

/// A command as it was typed.
pub(super) fn typed(text: &str) -> String {
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        let (inner, _) = rest.split_once(&format!("</{tag}>"))?;
        Some(inner.trim())
    };
    match (between("bash-input"), between("command-name"), between("command-args")) {
        (Some(shell), _, _) => format!("!{shell}"),
        (None, Some(name), Some(args)) if !args.is_empty() => format!("{name} {args}"),
        (None, Some(name), _) => name.to_owned(),
        (None, None, _) => text.to_owned(),
    }
}

/// What the file beside a subagent's transcript tells.
pub(super) fn agent_meta(body: &[u8]) -> AgentMeta {
    let of = |key: &str| json::member(body, key).and_then(name);
    AgentMeta {
        agent_type: of("agentType"),
        tool_use_id: of("toolUseId"),
        parent_agent_id: of("parentAgentId"),
        finished: json::member(body, "finished").is_some_and(json::is_true),
    }
}
