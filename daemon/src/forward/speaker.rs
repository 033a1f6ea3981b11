//! A sink's language: a unit as the requests that are sent of it, and how they are sent.
//!
//! What is made here is what is shown beforehand, and what is sent: there is one way to make it.

use std::sync::Arc;

use bytes::Bytes;
use ccd_proto::api::ForwardParcel;

use super::otlp::{self, Receiver};
use super::pisama::Platform;
use super::pisama::body::{self, Body};
use super::pisama::token::Tokens;
use super::pisama::traces::Maker;
use super::{Failed, Sent, deliver, headers, look};
use crate::app::Running;
use crate::config::{Content, Encoding, Sink, SinkKind};
use crate::export::clean::{Cleaner, Privacy};
use crate::query::content::Contents;
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError};

/// What is sent of a unit.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A session, for the platform.
    Session(Body),
    /// A trace, in requests.
    Trace(Vec<otlp::Batch>),
}

/// How parcels are made.
#[derive(Clone, Debug)]
pub struct Packing {
    /// What is taken out.
    pub privacy: Privacy,
    /// How much of what was said and done goes along.
    pub content: Content,
    /// Whether what tools answered goes along where content does.
    pub outputs: bool,
    /// Longest body.
    pub limit: usize,
}

impl Packing {
    /// As the sink wants it.
    #[must_use]
    pub fn of(app: &Running, sink: &Sink) -> Self {
        let privacy = app.privacy();
        Packing { privacy, content: sink.content, outputs: true, limit: body::LIMIT }
    }
}

/// Makes a unit's parcel; none where there is no such unit any more. Blocks.
pub(super) fn pack(
    ask: &Ask,
    sink: &Sink,
    packing: &Packing,
    session_id: &str,
    key: u64,
) -> Result<Option<Parcel>, QueryError> {
    let Some(session) = look::row(ask, session_id)? else { return Ok(None) };
    let view = tree(ask, session_id)?;
    if sink.kind == SinkKind::Otlp {
        let Some(turn) = view.turns.iter().find(|turn| look::key_of(turn) == key) else { return Ok(None) };
        return otlp::pack(ask, sink, packing, &session, turn).map(|batches| batches.map(Parcel::Trace));
    }
    let cleaner = Cleaner::standard(&packing.privacy, session.cwd.as_deref())
        .map_err(|e| QueryError::bad(e.to_string()))?;
    let maker = Maker { session: &session, view: &view, cleaner: &cleaner, content: packing.content };
    let wanted = Filter { content: true, reasoning: true, ..Filter::default() };
    let made = body::build(&session.last_at, packing.outputs, packing.limit, &mut |shape, take| {
        // Each step reads anew: nothing of a long session is held between them.
        let mut contents = Contents::new(ask);
        maker.each(shape.outputs, &mut |view| contents.fill(view.clone(), &wanted), take);
    });
    Ok((made.traces > 0).then_some(Parcel::Session(made)))
}

/// As whoever asks what would be sent is shown it.
pub(super) fn shown(
    sink: &Sink,
    session_id: &str,
    turn_id: Option<&str>,
    parcel: &Parcel,
    readable: bool,
) -> Vec<ForwardParcel> {
    let mut names: Vec<String> = headers(sink)
        .map(|all| all.keys().map(|name| name.as_str().to_owned()).collect())
        .unwrap_or_default();
    let one = |url: String, names: Vec<String>, content_type: &str, encoding: Option<&str>, bytes: &Bytes| {
        let text = std::str::from_utf8(bytes).ok().filter(|_| content_type == "application/json");
        ForwardParcel {
            session_id: session_id.to_owned(),
            turn_id: turn_id.map(str::to_owned),
            url,
            headers: names,
            content_type: content_type.to_owned(),
            content_encoding: encoding.map(str::to_owned),
            bytes: bytes.len() as u64,
            body: text.map(str::to_owned),
            body_base64: text.is_none().then(|| crate::export::base64(bytes)),
            ..ForwardParcel::default()
        }
    };
    match parcel {
        Parcel::Session(body) => {
            names.push("authorization".into());
            let url = format!("{}/…/traces/claude-code/ingest", deliver::shown(&sink.url));
            let parcel = one(url, names, "application/json", None, &body.bytes);
            let (items, degraded) = (body.traces, body.degraded.clone());
            vec![ForwardParcel { items, unit: "trace".into(), degraded, ..parcel }]
        }
        Parcel::Trace(batches) => {
            let url = format!("{}/…/v1/traces", deliver::shown(&sink.url));
            let kind = match sink.encoding {
                Encoding::Protobuf => "application/x-protobuf",
                Encoding::Json => "application/json",
            };
            let gzip = sink.gzip.then_some("gzip");
            let each = batches.iter().map(|batch| {
                let bytes = batch.bytes(sink.encoding);
                let text = || String::from_utf8(batch.bytes(Encoding::Json).to_vec()).ok();
                ForwardParcel {
                    items: batch.spans(),
                    unit: "span".into(),
                    readable: if readable && sink.encoding != Encoding::Json { text() } else { None },
                    ..one(url.clone(), names.clone(), kind, gzip, &bytes)
                }
            });
            each.collect()
        }
    }
}

/// What became of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// It was taken.
    Taken {
        /// Traces or spans of it.
        items: u64,
        /// Bytes of its bodies.
        bytes: u64,
        /// What was left out, or not stored.
        note: Option<String>,
    },
    /// It is not on record any more.
    Gone,
    /// It is not taken, and never will be.
    Refused(String),
    /// Not now.
    Failed(Failed),
}

enum Line {
    Platform(Box<Platform>),
    Receiver(Box<Receiver>),
}

/// Speaks with a sink.
pub struct Speaker {
    app: Arc<Running>,
    sink: Arc<Sink>,
    line: Line,
}

impl Speaker {
    /// With a sink of this name; nothing is looked up yet.
    #[must_use]
    pub fn new(app: &Arc<Running>, name: &str, sink: &Arc<Sink>) -> Self {
        let line = match sink.kind {
            SinkKind::Pisama => {
                let tokens = Tokens::new(app.forwarding.token_file(name));
                Line::Platform(Box::new(Platform::new(sink, app.network(), tokens)))
            }
            SinkKind::Otlp => Line::Receiver(Box::new(Receiver::new(sink, app.network()))),
        };
        Speaker { app: Arc::clone(app), sink: Arc::clone(sink), line }
    }

    /// Looks whether the credential is good.
    pub async fn connect(&mut self) -> Result<Option<String>, Failed> {
        match &mut self.line {
            Line::Platform(platform) => platform.connect(&*self.app.clock).await,
            Line::Receiver(_) => Err(Failed::held("a key is exchanged with the Pisama platform alone")),
        }
    }

    /// Makes a unit's parcel, off the runtime's threads.
    pub async fn pack(
        &self,
        ask: &Ask,
        packing: &Packing,
        session: &str,
        key: u64,
    ) -> Result<Option<Parcel>, String> {
        let (ask, sink, packing) = (ask.clone(), Arc::clone(&self.sink), packing.clone());
        let session = session.to_owned();
        let work = move || pack(&ask, &sink, &packing, &session, key).map_err(|e| e.error.message);
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(e.to_string()))
    }

    /// Sends a unit, in less at once where the sink takes no more.
    pub async fn ship(&mut self, ask: &Ask, mut packing: Packing, session: &str, key: u64) -> Shipped {
        let mut refused: Option<(usize, String)> = None;
        loop {
            let parcel = match self.pack(ask, &packing, session, key).await {
                Ok(Some(parcel)) => parcel,
                Ok(None) => return Shipped::Gone,
                // The store's trouble passes, or somebody sees to it.
                Err(words) => return Shipped::Failed(Failed::passing(words)),
            };
            let body = match parcel {
                Parcel::Session(body) => body,
                Parcel::Trace(batches) => return self.ship_trace(batches).await,
            };
            if let Some((len, words)) = &refused
                && body.bytes.len() >= *len
            {
                return Shipped::Refused(format!("{words}; it cannot be said in less"));
            }
            let Line::Platform(platform) = &mut self.line else { return Shipped::Gone };
            match platform.send(&body, &*self.app.clock).await {
                Sent::Taken { items, note } => {
                    let bytes = body.bytes.len() as u64;
                    return Shipped::Taken { items, bytes, note: note.or(body.degraded) };
                }
                Sent::TooLarge(words) => {
                    packing.limit = body.bytes.len() / 2;
                    refused = Some((body.bytes.len(), words));
                }
                Sent::Refused(words) => return Shipped::Refused(words),
                Sent::Failed(failed) => return Shipped::Failed(failed),
            }
        }
    }

    async fn ship_trace(&mut self, batches: Vec<otlp::Batch>) -> Shipped {
        let Line::Receiver(receiver) = &mut self.line else { return Shipped::Gone };
        let mut waiting: std::collections::VecDeque<_> = batches.into();
        let mut too_large = None;
        let (mut items, mut bytes, mut note, mut left_out) = (0, 0, None, 0_u64);
        while let Some(batch) = waiting.pop_front() {
            match receiver.send(&batch, &*self.app.clock).await {
                Sent::Taken { items: taken, note: said } => {
                    items += taken;
                    bytes += batch.bytes(self.sink.encoding).len() as u64;
                    note = note.or(said);
                }
                Sent::TooLarge(words) => {
                    if let Some((first, second)) = batch.halves() {
                        waiting.push_front(second);
                        waiting.push_front(first);
                    } else {
                        left_out += 1;
                        too_large = Some(words);
                    }
                }
                Sent::Refused(words) => return Shipped::Refused(words),
                Sent::Failed(failed) => return Shipped::Failed(failed),
            }
        }
        if let Some(words) = too_large {
            let of = if left_out == 1 { "1 span is".into() } else { format!("{left_out} spans are") };
            let said = format!("{of} left out, each too large for the receiver: {words}");
            if items == 0 {
                return Shipped::Refused(said);
            }
            note = Some(note.map_or(said.clone(), |note| format!("{note}; {said}")));
        }
        Shipped::Taken { items, bytes, note }
    }
}
