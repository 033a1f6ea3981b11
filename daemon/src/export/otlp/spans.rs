//! A turn as spans. Pure: what it tells is in the [`Story`] and in what `fill` answers; it reads no store and no clock.

use std::collections::{HashMap, HashSet};

use ccd_otlp::{AnyValue, Event, KeyValue, Link, Span, SpanKind, Status, StatusCode};
use ccd_proto::api::{self, Detection, Intervention, Session, Tokens, Turn};
use serde_json::Value;

use super::semconv::{self, ccd, operation};
use super::{Level, Options, Trace, content};
use crate::clock::parse_rfc3339;
use crate::export::clean::Cleaner;
use crate::project::ids;
use crate::project::view::{SessionView, SpanView, is_own_wording};

/// Bytes of an error's text.
const MAX_ERROR: usize = 1024;
/// Letters of an error's class.
const MAX_CLASS: usize = 48;

/// What is known of an exchange beyond its span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// HTTP status.
    pub status: Option<u16>,
    /// The API's message id.
    pub message_id: Option<String>,
    /// The API's request id.
    pub request_id: Option<String>,
    /// Whether it was a stream.
    pub stream: bool,
    /// Where it was sent: scheme, host, port.
    pub upstream: String,
    /// The W3C `traceparent` that the client sent along.
    pub traceparent: Option<String>,
}

/// A session, and what its spans' views do not tell.
#[derive(Clone, Copy)]
pub struct Story<'a> {
    /// The session.
    pub session: &'a Session,
    /// Its tree.
    pub view: &'a SessionView,
    /// By exchange id; those of the turns that are told.
    pub calls: &'a HashMap<String, Call>,
    /// What was found to go wrong.
    pub detections: &'a [Detection],
    /// What was done about it.
    pub interventions: &'a [Intervention],
}

/// A span's content, as it is on record.
#[derive(Clone, Debug, Default)]
pub struct Filled {
    /// What went in.
    pub input: Option<Value>,
    /// What came out.
    pub output: Option<Value>,
    /// A model call's system prompt.
    pub system: Option<Value>,
}

/// One turn. `fill` is asked for spans' content where the options want any; with true, for the system prompt too.
pub fn trace(
    story: &Story<'_>,
    turn: &Turn,
    options: &Options,
    cleaner: &Cleaner,
    fill: &mut dyn FnMut(&SpanView, bool) -> Filled,
) -> Trace {
    Teller::new(story, turn, options, cleaner).tell(fill)
}

/// The id of a trace or span from its digits.
fn bytes<const N: usize>(digits: &str) -> Vec<u8> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let read: Option<Vec<u8>> = pairs.iter().map(|[h, l]| Some(digit(*h)? << 4 | digit(*l)?)).collect();
    let fits = |id: &Vec<u8>| id.len() == N && rest.is_empty() && id.iter().any(|b| *b != 0);
    // Not ours, and of another form: as stable, and of the right size.
    read.filter(fits).unwrap_or_else(|| blake3::hash(digits.as_bytes()).as_bytes()[..N].to_vec())
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &str, value: impl Into<AnyValue>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn maybe(&mut self, key: &str, value: Option<impl Into<AnyValue>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }
}

struct Teller<'a> {
    story: &'a Story<'a>,
    turn: &'a Turn,
    options: &'a Options,
    cleaner: &'a Cleaner,
    /// The turn's spans, in order of their start, each once.
    own: Vec<&'a SpanView>,
    by_id: HashMap<&'a str, &'a SpanView>,
    /// The root's id: that of a span, or made up where the turn has none.
    root: String,
    trace_id: Vec<u8>,
}

impl<'a> Teller<'a> {
    fn new(story: &'a Story<'a>, turn: &'a Turn, options: &'a Options, cleaner: &'a Cleaner) -> Self {
        let mut by_id = HashMap::new();
        let mut own = Vec::new();
        for view in story.view.spans.iter().filter(|view| view.span.turn_id == turn.turn_id) {
            if by_id.insert(view.span.span_id.as_str(), view).is_none() {
                own.push(view);
            }
        }
        let is_root = |view: &&&SpanView| view.span.kind == "agent" && view.span.parent_id.is_none();
        let root = own.iter().find(is_root).map_or_else(
            || ids::span(&story.session.session_id, "turn", &turn.turn_id),
            |view| view.span.span_id.clone(),
        );
        let trace_id = bytes::<16>(&turn.trace_id);
        Teller { story, turn, options, cleaner, own, by_id, root, trace_id }
    }

    fn tell(&self, fill: &mut dyn FnMut(&SpanView, bool) -> Filled) -> Trace {
        let parents = self.parents();
        let ends = self.ends(&parents);
        let mut spans = Vec::with_capacity(self.own.len() + 1);
        if !self.by_id.contains_key(self.root.as_str()) {
            spans.push(self.made_up_root(&ends));
        }
        let mut asked: HashSet<Option<&str>> = HashSet::new();
        let mut compacted: HashSet<Option<&str>> = HashSet::new();
        for view in self.in_order(&parents) {
            let of = &view.span;
            let agent = of.agent_id.as_deref();
            let is_call = of.kind == "llm";
            let is_summary = of.kind == "compaction" || of.purpose.as_deref() == Some("compaction");
            let follows = is_call && !is_summary && compacted.remove(&agent);
            if is_summary {
                compacted.insert(agent);
            }
            let first = is_call
                && matches!(of.purpose.as_deref(), Some("main" | "subagent"))
                && self.options.content >= Level::Full
                && asked.insert(agent);
            let filled =
                if self.options.content > Level::None { fill(view, first) } else { Filled::default() };
            let mut span = self.span(view, parents.get(of.span_id.as_str()).copied(), &ends, filled);
            if follows {
                span.attributes.push(KeyValue::new(semconv::CONVERSATION_COMPACTED, true));
            }
            spans.push(span);
        }
        self.events(&mut spans, &parents);
        Trace { session_id: self.turn.session_id.clone(), turn_id: self.turn.turn_id.clone(), spans }
    }

    /// Each span's parent within the turn. What hangs on nothing in it, or on itself, hangs on the root.
    fn parents(&self) -> HashMap<&'a str, &'a str> {
        let root = self.by_id.get_key_value(self.root.as_str()).map(|(id, _)| *id);
        let mut parents: HashMap<&str, &str> = HashMap::new();
        for view in &self.own {
            let (id, parent) = (view.span.span_id.as_str(), view.span.parent_id.as_deref());
            if Some(id) == root {
                continue;
            }
            let within = parent.and_then(|p| self.by_id.get_key_value(p)).map(|(p, _)| *p);
            if let Some(parent) = within.or(root) {
                parents.insert(id, parent);
            }
        }
        // Rings are cut where they are met.
        let mut fine: HashSet<&str> = root.into_iter().collect();
        for view in &self.own {
            let mut path: Vec<&str> = Vec::new();
            let mut at = view.span.span_id.as_str();
            while !fine.contains(at) {
                if path.contains(&at) {
                    match root {
                        Some(root) => _ = parents.insert(at, root),
                        None => _ = parents.remove(at),
                    }
                    break;
                }
                path.push(at);
                match parents.get(at) {
                    Some(parent) => at = parent,
                    None => break,
                }
            }
            fine.extend(path);
        }
        parents
    }

    /// The spans, each behind its parent.
    fn in_order(&self, parents: &HashMap<&'a str, &'a str>) -> Vec<&'a SpanView> {
        let mut below: HashMap<Option<&str>, Vec<&SpanView>> = HashMap::new();
        for view in self.own.iter().rev() {
            below.entry(parents.get(view.span.span_id.as_str()).copied()).or_default().push(view);
        }
        let mut open = below.remove(&None).unwrap_or_default();
        let mut all = Vec::with_capacity(self.own.len());
        while let Some(view) = open.pop() {
            all.push(view);
            open.extend(below.remove(&Some(view.span.span_id.as_str())).unwrap_or_default());
        }
        all
    }

    /// When each span ended: as is on record, else with the last sign of life below it.
    fn ends(&self, parents: &HashMap<&'a str, &'a str>) -> HashMap<&'a str, u64> {
        let mut ends: HashMap<&str, u64> = HashMap::new();
        for view in self.in_order(parents).into_iter().rev() {
            let id = view.span.span_id.as_str();
            let last = ends.get(id).copied().unwrap_or(0);
            let end = view.end_ns.unwrap_or(last).max(view.start_ns);
            ends.insert(id, end);
            if let Some(parent) = parents.get(id) {
                let last = ends.entry(parent).or_default();
                *last = end.max(*last);
            }
        }
        ends
    }

    fn made_up_root(&self, ends: &HashMap<&'a str, u64>) -> Span {
        let starts = self.own.iter().map(|view| view.start_ns).min();
        let start = starts.or_else(|| parse_rfc3339(&self.turn.started_at).ok()).unwrap_or(0);
        let end = ends.values().copied().max().unwrap_or(start);
        let root = api::Span {
            span_id: self.root.clone(),
            kind: "agent".to_owned(),
            name: format!("{} main", operation::INVOKE_AGENT),
            session_id: self.turn.session_id.clone(),
            status: "ok".to_owned(),
            ..api::Span::default()
        };
        let view = SpanView { span: root, start_ns: start, end_ns: Some(end), ..SpanView::default() };
        self.span(&view, None, &HashMap::new(), Filled::default())
    }

    fn span(&self, view: &SpanView, parent: Option<&str>, ends: &HashMap<&str, u64>, filled: Filled) -> Span {
        let of = &view.span;
        // A span hangs on the root that was made up where there is no other.
        let parent = parent.or_else(|| (of.span_id != self.root).then_some(self.root.as_str()));
        let mut a = Attributes::default();
        let (name, kind) = match of.kind.as_str() {
            "llm" => (self.model_call(&mut a, view), SpanKind::Client),
            "tool" => (self.tool_call(&mut a, view), SpanKind::Internal),
            "compaction" => {
                a.put(semconv::OPERATION_NAME, operation::COMPACT);
                (self.clean(&of.name), SpanKind::Internal)
            }
            _ => (self.agent(&mut a, view), SpanKind::Internal),
        };
        for key in [semconv::CONVERSATION_ID, semconv::SESSION_ID] {
            a.put(key, self.turn.session_id.as_str());
        }
        a.put(ccd::STATUS, of.status.as_str());
        if !of.sources.is_empty() {
            a.put(ccd::SOURCES, of.sources.clone());
        }
        if view.end_ns.is_none() {
            a.put(ccd::END_UNKNOWN, true);
        }
        if of.span_id == self.root {
            self.of_turn(&mut a);
        }
        let status = self.status(&mut a, view);
        self.content(&mut a, view, filled);
        Span {
            trace_id: self.trace_id.clone(),
            span_id: bytes::<8>(&of.span_id),
            parent_span_id: parent.map(bytes::<8>).unwrap_or_default(),
            // W3C's "sampled".
            flags: 1,
            name,
            kind: kind as i32,
            start_time_unix_nano: view.start_ns,
            end_time_unix_nano: ends
                .get(of.span_id.as_str())
                .copied()
                .or(view.end_ns)
                .unwrap_or(view.start_ns)
                .max(view.start_ns),
            attributes: a.0,
            links: self.links(view, parent),
            status,
            ..Span::default()
        }
    }

    fn clean(&self, text: &str) -> String {
        self.cleaner.text(text).into_owned().as_str().to_owned()
    }

    fn of_turn(&self, a: &mut Attributes) {
        a.put(ccd::TURN_ID, self.turn.turn_id.as_str());
        a.put(ccd::TURN_NUMBER, self.turn.number);
        a.put(ccd::TURN_SOURCE, self.turn.source.as_str());
        a.maybe(ccd::PROJECT, self.story.session.project.as_deref().map(|name| self.clean(name)));
    }

    fn agent(&self, a: &mut Attributes, view: &SpanView) -> String {
        let of = &view.span;
        a.put(semconv::OPERATION_NAME, operation::INVOKE_AGENT);
        a.put(semconv::PROVIDER_NAME, "anthropic");
        let prefix = format!("{} ", operation::INVOKE_AGENT);
        let name = self.clean(of.name.strip_prefix(&prefix).unwrap_or(&of.name));
        a.put(semconv::AGENT_NAME, name.as_str());
        a.maybe(semconv::AGENT_ID, of.agent_id.as_deref());
        // Never as `gen_ai.usage.*`: the model calls have it.
        if let Some(tokens) = &of.tokens {
            split(a, "ccd.rollup", tokens);
        }
        a.maybe("ccd.rollup.cost_usd_micros", of.cost_usd_micros);
        format!("{prefix}{name}")
    }

    fn model_call(&self, a: &mut Attributes, view: &SpanView) -> String {
        let of = &view.span;
        let unknown = Call::default();
        let call = of.exchange_id.as_ref().and_then(|id| self.story.calls.get(id)).unwrap_or(&unknown);
        let uri: Option<http::Uri> = call.upstream.parse().ok();
        let host = uri.as_ref().and_then(http::Uri::host);
        a.put(semconv::OPERATION_NAME, operation::CHAT);
        a.put(semconv::PROVIDER_NAME, provider(host.unwrap_or("")));
        let model = of.model.as_deref().map(|model| self.clean(model));
        a.maybe(semconv::REQUEST_MODEL, model.as_deref());
        let billed = view.billed.as_ref();
        let message = call.message_id.as_deref().or_else(|| billed.map(|(message, _)| message.as_str()));
        a.maybe(semconv::RESPONSE_MODEL, model.as_deref().filter(|_| message.is_some()));
        a.maybe(semconv::RESPONSE_ID, message);
        a.maybe(semconv::FINISH_REASONS, of.stop_reason.clone().map(|why| vec![why]));
        if of.exchange_id.is_some() {
            a.put(semconv::REQUEST_STREAM, call.stream);
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a call are far below 2^52")]
        a.maybe(semconv::TIME_TO_FIRST_CHUNK, of.ttfb_ms.filter(|_| call.stream).map(|ms| ms as f64 / 1e3));
        if let Some(tokens) = &of.tokens {
            a.put(semconv::INPUT_TOKENS, tokens.prompt());
            a.put(semconv::OUTPUT_TOKENS, tokens.output);
            a.put(semconv::CACHE_READ_TOKENS, tokens.cache_read);
            let written = tokens.cache_write_5m + tokens.cache_write_1h;
            a.put(self.options.semconv.cache_write_tokens(), written);
            split(a, "ccd.usage", tokens);
        }
        a.maybe(ccd::COST, of.cost_usd_micros);
        a.maybe(ccd::PURPOSE, of.purpose.as_deref());
        a.maybe(ccd::COPIED_FROM, of.copied_from.as_deref());
        a.maybe(ccd::EXCHANGE_ID, of.exchange_id.as_deref());
        let request =
            call.request_id.as_deref().or_else(|| billed.and_then(|(_, request)| request.as_deref()));
        a.maybe(ccd::REQUEST_ID, request);
        a.maybe(semconv::HTTP_STATUS, call.status.map(u32::from));
        if let (Some(uri), Some(host)) = (&uri, host) {
            let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
            a.put(semconv::SERVER_ADDRESS, host);
            a.put(semconv::SERVER_PORT, u32::from(uri.port_u16().unwrap_or(usual)));
        }
        a.maybe(semconv::AGENT_ID, of.agent_id.as_deref());
        format!("{} {}", operation::CHAT, model.as_deref().unwrap_or("unknown"))
    }

    fn tool_call(&self, a: &mut Attributes, view: &SpanView) -> String {
        let of = &view.span;
        let name = self.clean(of.tool_name.as_deref().unwrap_or("unknown"));
        a.put(semconv::OPERATION_NAME, operation::EXECUTE_TOOL);
        a.put(semconv::TOOL_NAME, name.as_str());
        a.put(semconv::TOOL_TYPE, "function");
        a.maybe(semconv::TOOL_CALL_ID, of.tool_use_id.as_deref());
        a.maybe(semconv::AGENT_ID, of.agent_id.as_deref());
        a.maybe(ccd::EXECUTION_MS, of.execution_ms);
        a.maybe(ccd::ATTRIBUTED, of.attributed_usd_micros);
        format!("{} {name}", operation::EXECUTE_TOOL)
    }

    fn status(&self, a: &mut Attributes, view: &SpanView) -> Option<Status> {
        let of = &view.span;
        if !matches!(of.status.as_str(), "error" | "denied") {
            return None;
        }
        let error = of.error.as_deref().unwrap_or("");
        let status = of.exchange_id.as_ref().and_then(|id| self.story.calls.get(id)?.status);
        let class = class(of, error, status);
        a.put(semconv::ERROR_TYPE, class.as_str());
        // A tool's error is what it answered.
        let needed = if of.kind == "tool" { Level::Full } else { Level::Text };
        let may_tell = is_own_wording(error) || self.options.content >= needed;
        let message = if may_tell { content::cut(&self.clean(error), MAX_ERROR) } else { class };
        Some(Status { message, code: StatusCode::Error as i32 })
    }

    fn content(&self, a: &mut Attributes, view: &SpanView, filled: Filled) {
        let level = self.options.content;
        let Filled { input, output, system } = filled;
        if level == Level::None {
            return;
        }
        let clean = |value: Option<Value>| value.map(|value| self.cleaner.value(value).into_value());
        let (input, output) = (clean(input), clean(output));
        match view.span.kind.as_str() {
            "tool" if level >= Level::Full => {
                a.maybe(semconv::TOOL_ARGUMENTS, input.as_ref().and_then(content::valued));
                a.maybe(semconv::TOOL_RESULT, output.as_ref().and_then(content::valued));
            }
            "tool" => {}
            "llm" => {
                let stop = view.span.stop_reason.as_deref();
                let told = input.map(|value| content::messages(&value, level)).unwrap_or_default();
                let said = output.map(|value| content::answer(&value, stop, level)).unwrap_or_default();
                a.maybe(semconv::INPUT_MESSAGES, content::listed(told));
                a.maybe(semconv::OUTPUT_MESSAGES, content::listed(said));
                if level >= Level::Full {
                    let system = clean(system).map(|value| content::system(&value)).unwrap_or_default();
                    a.maybe(semconv::SYSTEM_INSTRUCTIONS, content::listed(system));
                }
            }
            _ => {
                let told = input.map(|value| content::of_role("user", &value, level)).unwrap_or_default();
                let said = output.map(|value| content::answer(&value, None, level)).unwrap_or_default();
                a.maybe(semconv::INPUT_MESSAGES, content::listed(told));
                a.maybe(semconv::OUTPUT_MESSAGES, content::listed(said));
            }
        }
    }

    fn links(&self, view: &SpanView, parent: Option<&str>) -> Vec<Link> {
        let of = &view.span;
        let mut links = Vec::new();
        let mut link = |id: &str, what: &str| {
            let other = self.story.view.spans.iter().find(|view| view.span.span_id == id);
            if let Some(other) = other.filter(|_| id != of.span_id) {
                links.push(Link {
                    trace_id: bytes::<16>(&other.span.trace_id),
                    span_id: bytes::<8>(id),
                    attributes: vec![KeyValue::new(ccd::LINK, what)],
                    flags: 1,
                    ..Link::default()
                });
            }
        };
        if let Some(id) = &of.retry_of {
            link(id, "retry_of");
        }
        if let Some(id) = &of.requested_by {
            link(id, "requested_by");
        }
        if let Some(id) = &of.parent_id
            && of.kind == "agent"
        {
            // It went on when its call had ended, or hangs elsewhere in this trace.
            let ended = self.by_id.get(id.as_str()).and_then(|caller| caller.end_ns);
            let outlived = ended.is_some_and(|ended| view.end_ns.is_none_or(|end| end > ended));
            if outlived || parent != Some(id.as_str()) {
                link(id, "started_by");
            }
        }
        if of.span_id == self.root {
            links.extend(self.remote_parent());
        }
        links
    }

    /// The span of somebody else's that the session was started in, as the client told the API.
    fn remote_parent(&self) -> Option<Link> {
        let calls = self.own.iter().filter(|view| view.span.agent_id.is_none());
        let mut told = calls
            .filter_map(|view| self.story.calls.get(view.span.exchange_id.as_ref()?)?.traceparent.as_deref());
        let mut parts = told.next()?.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_id = |id: &str, len| {
            id.len() == len && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
        };
        let is_known = version.len() == 2 && version != "ff" && is_id(trace, 32) && is_id(span, 16);
        is_known.then(|| Link {
            trace_id: bytes::<16>(trace),
            span_id: bytes::<8>(span),
            attributes: vec![KeyValue::new(ccd::LINK, "traceparent")],
            // Whether it is remote is known, and it is.
            flags: u32::from_str_radix(flags, 16).unwrap_or(0) & 0xff | 0x300,
            ..Link::default()
        })
    }

    fn events(&self, spans: &mut [Span], parents: &HashMap<&'a str, &'a str>) {
        let places: HashMap<Vec<u8>, usize> =
            spans.iter().enumerate().map(|(i, span)| (span.span_id.clone(), i)).collect();
        let root = places.get(&bytes::<8>(&self.root)).copied().unwrap_or(0);
        let place = |id: &str| places.get(&bytes::<8>(id)).copied();
        let mut happened: Vec<(usize, u64, &str, Vec<KeyValue>)> = Vec::new();
        for view in &self.own {
            let of = &view.span;
            if let (Some(ms), Some(at)) = (of.ttfb_ms, place(&of.span_id)) {
                happened.push((at, view.start_ns + ms * 1_000_000, "ccd.first_byte", Vec::new()));
            }
            if let Some(failed) = &of.retry_of {
                let at = parents.get(of.span_id.as_str()).and_then(|id| place(id)).unwrap_or(root);
                let what = vec![
                    KeyValue::new("ccd.span.id", of.span_id.as_str()),
                    KeyValue::new("ccd.retry_of", failed.as_str()),
                ];
                happened.push((at, view.start_ns, "ccd.retry", what));
            }
        }
        for found in self.story.detections {
            let span = found.span_id.as_deref().and_then(place);
            let turn =
                found.turn_id.as_deref() == Some(self.turn.turn_id.as_str()) && found.state != "dismissed";
            let Some(at) = span.filter(|_| found.state != "dismissed").or_else(|| turn.then_some(root))
            else {
                continue;
            };
            let mut what = vec![
                KeyValue::new("ccd.detection.id", found.detection_id.as_str()),
                KeyValue::new("ccd.detection.kind", found.kind.as_str()),
                KeyValue::new("ccd.detection.rule", found.rule.as_str()),
                KeyValue::new("ccd.detection.severity", u32::from(found.severity)),
                KeyValue::new("ccd.detection.confidence", u32::from(found.confidence)),
            ];
            if self.options.content > Level::None {
                what.push(KeyValue::new("ccd.detection.title", self.clean(&found.title)));
            }
            happened.push((at, parse_rfc3339(&found.at).unwrap_or(0), "ccd.detection", what));
        }
        for done in self.story.interventions {
            let Some(at) = self.place_of(done, &place, root) else { continue };
            let mut what = vec![
                KeyValue::new("ccd.intervention.id", done.intervention_id.as_str()),
                KeyValue::new("ccd.intervention.action", done.action.as_str()),
                KeyValue::new("ccd.intervention.kind", done.kind.as_str()),
                KeyValue::new("ccd.intervention.rule", done.rule.as_str()),
            ];
            if let Some(about) = &done.detection_id {
                what.push(KeyValue::new("ccd.detection.id", about.as_str()));
            }
            happened.push((at, parse_rfc3339(&done.at).unwrap_or(0), "ccd.intervention", what));
        }
        happened.sort_by_key(|(_, ns, ..)| *ns);
        for (at, time_unix_nano, name, attributes) in happened {
            if let Some(span) = spans.get_mut(at) {
                let name = name.to_owned();
                span.events.push(Event { time_unix_nano, name, attributes, dropped_attributes_count: 0 });
            }
        }
    }

    /// The span that an intervention belongs to: its own, its tool call's, its detection's, else the turn it was done in.
    fn place_of(
        &self,
        done: &Intervention,
        place: &dyn Fn(&str) -> Option<usize>,
        root: usize,
    ) -> Option<usize> {
        if let Some(at) = done.span_id.as_deref().and_then(place) {
            return Some(at);
        }
        let about =
            self.story.detections.iter().find(|d| Some(&d.detection_id) == done.detection_id.as_ref());
        if let Some(id) = about.and_then(|d| d.span_id.as_deref()) {
            return place(id);
        }
        if done.span_id.is_some() {
            return None;
        }
        let turn_of = |ns: u64| {
            let started = |turn: &&Turn| parse_rfc3339(&turn.started_at).is_ok_and(|start| start <= ns);
            self.story.view.turns.iter().rfind(started)
        };
        let turn = turn_of(parse_rfc3339(&done.at).ok()?)?;
        (turn.turn_id == self.turn.turn_id).then_some(root)
    }
}

fn split(a: &mut Attributes, under: &str, tokens: &Tokens) {
    for (name, count) in [
        ("input_tokens", tokens.input),
        ("output_tokens", tokens.output),
        ("cache_read_tokens", tokens.cache_read),
        ("cache_write_5m_tokens", tokens.cache_write_5m),
        ("cache_write_1h_tokens", tokens.cache_write_1h),
    ] {
        a.put(&format!("{under}.{name}"), count);
    }
}

/// Whose API a host is, as the conventions name it.
fn provider(host: &str) -> &'static str {
    match host {
        _ if host.starts_with("bedrock") && host.ends_with(".amazonaws.com") => "aws.bedrock",
        _ if host.ends_with("aiplatform.googleapis.com") => "gcp.vertex_ai",
        _ => "anthropic",
    }
}

/// An error's class: few words, and none of what was captured but the API's own.
fn class(of: &api::Span, error: &str, status: Option<u16>) -> String {
    if of.status == "denied" {
        return "permission_denied".to_owned();
    }
    if is_own_wording(error) {
        let word = if error.contains("interrupt") || error.contains("ended before") {
            "interrupted"
        } else {
            "connection"
        };
        return word.to_owned();
    }
    if of.kind == "tool" {
        return "tool_error".to_owned();
    }
    let head = error.split(':').next().unwrap_or("");
    let is_class = |word: &str| {
        !word.is_empty()
            && word.len() <= MAX_CLASS
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    if is_class(head) {
        return head.to_owned();
    }
    status.filter(|code| *code >= 400).map_or_else(|| "_OTHER".to_owned(), |code| code.to_string())
}
