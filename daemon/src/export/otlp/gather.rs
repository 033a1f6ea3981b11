//! Reads what is to be told, a session at a time, and has its turns told in order.
//!
//! Memory goes by the largest session, not by how many there are. Turns that still run are left out and counted, unless
//! the options want them: whoever takes a span keeps it as it was.

use std::collections::{BTreeMap, HashMap, HashSet};

use ccd_otlp::{Encoding, ExportTraceServiceRequest, Message as _, Resource};
use ccd_proto::api::{Session, Turn};

use super::spans::{Call, Filled, Story, trace};
use super::{Level, Options, Trace, resource, resource_spans};
use crate::clock::parse_rfc3339;
use crate::export::clean::Cleaner;
use crate::project::ids;
use crate::project::view::{SessionView, SpanView};
use crate::query::content::Contents;
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, detections, exchanges, sessions, turns};

/// Makes what takes credentials out of a session's texts, given its working directory.
pub type CleanerFor<'a> = dyn Fn(Option<&str>) -> Result<Cleaner, QueryError> + 'a;

/// What was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Sessions with a turn among them.
    pub sessions: u64,
    /// Turns.
    pub traces: u64,
    /// Spans.
    pub spans: u64,
    /// Turns that were left out because they still run.
    pub running: u64,
}

/// The turns that are asked for, by session: those that began first, first.
pub struct Wanted {
    sessions: Vec<(String, Vec<Turn>)>,
    /// Turns that were left out because they still run.
    pub running: u64,
}

impl Wanted {
    /// Finds them. The filter's limit is one of turns, the newest.
    pub fn find(ask: &Ask, filter: &Filter, options: &Options) -> Result<Self, QueryError> {
        let mut running = 0;
        let mut by_session: BTreeMap<String, Vec<Turn>> = BTreeMap::new();
        for turn in turns::turns(ask, filter)?.turns {
            if turn.status == "running" && !options.running {
                running += 1;
                continue;
            }
            by_session.entry(turn.session_id.clone()).or_default().push(turn);
        }
        let mut sessions: Vec<_> = by_session.into_iter().collect();
        for (_, turns) in &mut sessions {
            turns.sort_by(|a, b| (&a.started_at, a.number).cmp(&(&b.started_at, b.number)));
        }
        let first = |turns: &[Turn]| turns.first().map(|turn| turn.started_at.clone());
        sessions.sort_by_key(|(_, turns)| first(turns));
        Ok(Wanted { sessions, running })
    }

    /// How many there are.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.sessions.iter().map(|(_, turns)| turns.len() as u64).sum()
    }

    /// Tells them, until `sink` says that nobody wants more.
    pub fn tell(
        &self,
        ask: &Ask,
        options: &Options,
        cleaner: &CleanerFor<'_>,
        sink: &mut dyn FnMut(Resource, Trace) -> bool,
    ) -> Result<Told, QueryError> {
        let mut told = Told { running: self.running, ..Told::default() };
        for (id, turns) in &self.sessions {
            let Some(session) = sessions::row(ask, ids::session_key(id))? else { continue };
            told.sessions += 1;
            let cleaner = cleaner(session.cwd.as_deref())?;
            let mut go_on = true;
            of_session(ask, &session, turns, options, &cleaner, &mut |trace| {
                told.traces += 1;
                told.spans += trace.spans.len() as u64;
                go_on = sink(resource(&session, options), trace);
                go_on
            })?;
            if !go_on {
                break;
            }
        }
        Ok(told)
    }
}

fn of_session(
    ask: &Ask,
    session: &Session,
    turns: &[Turn],
    options: &Options,
    cleaner: &Cleaner,
    sink: &mut dyn FnMut(Trace) -> bool,
) -> Result<(), QueryError> {
    let view = tree(ask, &session.session_id)?;
    let started = parse_rfc3339(&session.started_at).unwrap_or(0);
    let detections = detections::of_session(ask, &session.session_id)?;
    let interventions = detections::done_in(ask, &session.session_id, started)?;
    let mut contents = Contents::new(ask);
    // A turn at a time: a record may be large.
    for turn in turns {
        let calls = calls(ask, &view, &turn.turn_id)?;
        let story = Story {
            session,
            view: &view,
            calls: &calls,
            detections: &detections,
            interventions: &interventions,
        };
        let mut fill =
            |of: &SpanView, with_system: bool| fill(&mut contents, of, with_system, options.content);
        if !sink(trace(&story, turn, options, cleaner, &mut fill)) {
            break;
        }
    }
    Ok(())
}

/// A span's content, as far as the level wants it.
pub(in crate::export) fn fill(
    contents: &mut Contents<'_>,
    of: &SpanView,
    with_system: bool,
    level: Level,
) -> Filled {
    // What tools said goes along with everything else, or not at all.
    if of.span.kind == "tool" && level < Level::Full {
        return Filled::default();
    }
    let system = of.input.as_ref().filter(|_| with_system).and_then(|at| contents.system(at));
    let filter = Filter { content: true, ..Filter::default() };
    let span = contents.fill(of.clone(), &filter);
    Filled { input: span.input, output: span.output, system }
}

/// What is known of a turn's exchanges beyond its spans.
pub(in crate::export) fn calls(
    ask: &Ask,
    view: &SessionView,
    turn: &str,
) -> Result<HashMap<String, Call>, QueryError> {
    let mut calls = HashMap::new();
    let mut asked: HashSet<Option<&str>> = HashSet::new();
    for of in view.spans.iter().filter(|of| of.span.turn_id == turn) {
        let Some(text) = &of.span.exchange_id else { continue };
        let Ok(id) = uuid::Uuid::parse_str(text) else { continue };
        let Some(row) = exchanges::one(ask, of.start_ns, id.into_bytes())? else { continue };
        let sent = exchanges::sent(ask, id.into_bytes(), "traceparent")?;
        let (upstream, traceparent) = sent.unwrap_or_default();
        // The first of each agent tells what all of them do.
        let traceparent = traceparent.filter(|_| asked.insert(of.span.agent_id.as_deref()));
        calls.insert(
            text.clone(),
            Call {
                status: row.status,
                message_id: row.message_id,
                request_id: row.request_id,
                stream: row.stream,
                upstream,
                traceparent,
            },
        );
    }
    Ok(calls)
}

/// The turns that a filter lets through as lines of OTLP's JSON, as its file exporters write them: one
/// `{"resourceSpans":[…]}` per turn, with its line feed.
pub fn traces_json_lines(
    ask: &Ask,
    filter: &Filter,
    options: &Options,
    cleaner: &CleanerFor<'_>,
    sink: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<Told, QueryError> {
    Wanted::find(ask, filter, options)?.tell(ask, options, cleaner, &mut |resource, trace| {
        let request =
            ExportTraceServiceRequest { resource_spans: vec![resource_spans(resource, trace.spans)] };
        let mut line = request.to_bytes(Encoding::Json);
        line.push(b'\n');
        sink(line)
    })
}
