//! What is sent because it was asked for: whole sessions of the past, newest last, one after the other.
//!
//! Works on a sink that is off, too: being asked is what switches it on, for this once. Exclusions hold all the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::api::{ForwardParcel, ForwardPreview, Line, Progress, Reply, SyncNote, Synced};
use tokio::sync::mpsc;

use super::look;
use super::pisama;
use super::retry::Retry;
use super::speaker::{Packing, Parcel, Shipped, Speaker, shown};
use crate::app::Running;
use crate::config::{Content, Sink, SinkKind};
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, sessions};

/// Attempts at one unit.
const ATTEMPTS: u32 = 4;
/// Bytes of bodies that a preview shows; the request that goes beyond is the last.
const SHOWN: u64 = 16 << 20;
/// Lines that may wait for a slow reader; more progress than that is left out.
const QUEUE: usize = 16;

/// What is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Of these sessions; its limit is how many of the newest.
    pub filter: Filter,
    /// What tools answered goes along, or does not, whatever the sink says.
    pub outputs: Option<bool>,
    /// Nothing is sent.
    pub dry_run: bool,
}

/// A sink by its name, or the only one.
pub fn sink(app: &Running, name: Option<&str>) -> Result<(String, Arc<Sink>), QueryError> {
    let all = app.forwarding.settings();
    let found = match (name, all.len()) {
        (Some(name), _) => all.get_key_value(name),
        (None, 1) => all.first_key_value(),
        (None, 0) => None,
        (None, _) => {
            let names: Vec<&str> = all.keys().map(String::as_str).collect();
            return Err(
                QueryError::bad(format!("there are several sinks: {}", names.join(", "))).hint("name one")
            );
        }
    };
    let (name, sink) = found.ok_or_else(|| {
        let what =
            name.map_or_else(|| "no sink is configured".to_owned(), |name| format!("no sink {name:?}"));
        QueryError::not_found(what)
            .hint("`ccctl forward add` makes one, `ccctl connect` one for the Pisama platform")
    })?;
    Ok((name.clone(), Arc::new(sink.clone())))
}

fn packing(app: &Running, sink: &Sink, outputs: Option<bool>) -> Packing {
    let packing = Packing::of(app, sink);
    match outputs {
        Some(true) => Packing { content: Content::Full, ..packing },
        Some(false) => Packing { outputs: false, ..packing },
        None => packing,
    }
}

/// The units of a session: keys, with the turns that they are.
fn units(ask: &Ask, sink: &Sink, session_id: &str) -> Result<Vec<(u64, Option<String>)>, QueryError> {
    if sink.kind == SinkKind::Pisama {
        return Ok(vec![(look::WHOLE, None)]);
    }
    let view = tree(ask, session_id)?;
    let ended = view.turns.iter().filter(|turn| turn.status != "running");
    Ok(ended.map(|turn| (look::key_of(turn), Some(turn.turn_id.clone()))).collect())
}

/// Shows as many of a turn's requests as there is room for, and counts the others.
fn show(preview: &mut ForwardPreview, room: &mut u64, parcels: Vec<ForwardParcel>) {
    for parcel in parcels {
        if *room == 0 {
            preview.more_requests += 1;
            continue;
        }
        *room = room.saturating_sub(parcel.bytes);
        preview.requests.push(parcel);
    }
}

/// What would be sent of a session, or of the newest one: all of it, or its beginning and how much more there is.
pub async fn preview(
    app: &Arc<Running>,
    name: Option<&str>,
    session: Option<&str>,
    readable: bool,
) -> Result<ForwardPreview, QueryError> {
    let (name, sink) = sink(app, name)?;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let packing = packing(app, &sink, None);
    let prefix = session.map(str::to_owned);
    let work = move || {
        let filter = Filter { session: prefix, limit: 1, ..Filter::default() };
        let mut preview = ForwardPreview { name, enabled: sink.enabled, ..ForwardPreview::default() };
        let Some(session) = sessions::sessions(&ask, &filter)?.sessions.pop() else {
            preview.reason = Some("nothing was recorded yet".into());
            return Ok(preview);
        };
        if !look::wants(&sink, &session) {
            preview.reason = Some(format!("the session {} is excluded", session.session_id));
            return Ok(preview);
        }
        preview.session_id = Some(session.session_id.clone());
        let mut room = SHOWN;
        for (key, turn_id) in units(&ask, &sink, &session.session_id)? {
            if room == 0 {
                preview.more_turns += 1;
                continue;
            }
            let parcel = super::speaker::pack(&ask, &sink, &packing, &session.session_id, key)?;
            if let Some(parcel) = parcel {
                let parcels = shown(&sink, &session.session_id, turn_id.as_deref(), &parcel, readable);
                show(&mut preview, &mut room, parcels);
            }
        }
        if preview.requests.is_empty() {
            preview.reason = Some(format!("there is nothing to send of the session {}", session.session_id));
        }
        Ok(preview)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(QueryError::bad(e.to_string())))
}

/// Sends sessions; the lines say how far it is, and what came of it. Whoever stops reading stops it.
pub async fn start(
    app: &Arc<Running>,
    name: Option<&str>,
    request: Request,
) -> Result<mpsc::Receiver<Bytes>, QueryError> {
    let (name, sink) = sink(app, name)?;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let (tx, rx) = mpsc::channel(QUEUE);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let work = sync(&app, &name, &sink, &ask, &request, &tx);
        let done = tokio::select! {
            done = work => done,
            () = tx.closed() => return,
        };
        let last = match done {
            Ok(synced) => to_line(&Line { progress: None, result: Some(Reply::new(synced)), error: None }),
            Err(error) => to_line::<()>(&Line { progress: None, result: None, error: Some(error.error) }),
        };
        let _ = tx.send(last).await;
    });
    Ok(rx)
}

fn to_line<T: serde::Serialize>(line: &Line<T>) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

async fn sync(
    app: &Arc<Running>,
    name: &str,
    sink: &Arc<Sink>,
    ask: &Ask,
    request: &Request,
    lines: &mpsc::Sender<Bytes>,
) -> Result<Synced, QueryError> {
    let (asking, filter) = (ask.clone(), request.filter.clone());
    let work = move || sessions::sessions(&asking, &filter);
    let found =
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(QueryError::bad(e.to_string())))?;
    let total = found.sessions.len() as u64;
    let mut speaker = Speaker::new(app, name, sink);
    let dashboard = if sink.kind == SinkKind::Pisama { pisama::dashboard(&sink.url) } else { String::new() };
    let mut synced = Synced {
        name: name.to_owned(),
        sessions: total,
        dry_run: request.dry_run,
        dashboard,
        ..Synced::default()
    };
    // Oldest first, so that what is interrupted is whole up to where it got.
    for (n, session) in found.sessions.iter().rev().enumerate() {
        let progress = Progress { phase: "sessions".into(), done: n as u64, total, unit: "sessions".into() };
        let _ = lines.try_send(to_line::<()>(&Line { progress: Some(progress), result: None, error: None }));
        let id = &session.session_id;
        // What is in force may have changed since the last one: another exclusion, another rule, or no such sink any more.
        let now = app.forwarding.settings();
        let Some(current) = now.get(name) else {
            let text = "the sink was removed meanwhile".to_owned();
            synced.failed.push(SyncNote { session_id: id.clone(), text });
            return Ok(synced);
        };
        let packing = packing(app, sink, request.outputs);
        if !look::wants(current, session) {
            synced.excluded += 1;
            continue;
        }
        let (asking, of, wanted) = (ask.clone(), Arc::clone(sink), id.clone());
        let units = tokio::task::spawn_blocking(move || units(&asking, &of, &wanted)).await;
        let mut all_taken = true;
        let mut anything = false;
        for (key, _) in units.unwrap_or_else(|e| Err(QueryError::bad(e.to_string())))? {
            let shipped = if request.dry_run {
                dry(&speaker, ask, &packing, sink, id, key).await
            } else {
                persist(&mut speaker, ask, &packing, id, key).await
            };
            let say = |text: String| SyncNote { session_id: id.clone(), text };
            match shipped {
                Shipped::Taken { items, bytes, note } => {
                    anything = true;
                    synced.items += items;
                    synced.bytes += bytes;
                    synced.degraded.extend(note.map(say));
                }
                Shipped::Gone => {}
                Shipped::Refused(words) => {
                    all_taken = false;
                    synced.failed.push(say(words));
                }
                Shipped::Failed(failed) => {
                    all_taken = false;
                    let held = failed.held;
                    synced.failed.push(say(failed.words));
                    if held {
                        // The next one would fare no better.
                        return Ok(synced);
                    }
                }
            }
        }
        synced.sent += u64::from(all_taken && anything);
    }
    Ok(synced)
}

async fn dry(
    speaker: &Speaker,
    ask: &Ask,
    packing: &Packing,
    sink: &Sink,
    session: &str,
    key: u64,
) -> Shipped {
    match speaker.pack(ask, packing, session, key).await {
        Ok(Some(Parcel::Session(body))) => {
            Shipped::Taken { items: body.traces, bytes: body.bytes.len() as u64, note: body.degraded }
        }
        Ok(Some(Parcel::Trace(batches))) => Shipped::Taken {
            items: batches.iter().map(super::otlp::Batch::spans).sum(),
            bytes: batches.iter().map(|batch| batch.bytes(sink.encoding).len() as u64).sum(),
            note: None,
        },
        Ok(None) => Shipped::Gone,
        Err(words) => Shipped::Refused(words),
    }
}

/// Tries a few times: somebody waits.
async fn persist(speaker: &mut Speaker, ask: &Ask, packing: &Packing, session: &str, key: u64) -> Shipped {
    let mut attempt = 1;
    loop {
        let shipped = speaker.ship(ask, packing.clone(), session, key).await;
        match &shipped {
            Shipped::Failed(failed) if !failed.held && attempt < ATTEMPTS => {
                let pause = Retry::SHORT.pause(attempt, failed.asked, u64::from(attempt) * 0x5555);
                tokio::time::sleep(pause.min(Duration::from_secs(60))).await;
                attempt += 1;
            }
            _ => return shipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_ends_with_the_request_that_goes_beyond_its_room_and_counts_the_others() {
        let parcel = |bytes| ForwardParcel { bytes, ..ForwardParcel::default() };
        let (mut preview, mut room) = (ForwardPreview::default(), 10);
        show(&mut preview, &mut room, vec![parcel(4), parcel(3)]);
        assert_eq!((preview.requests.len(), preview.more_requests, room), (2, 0, 3));
        show(&mut preview, &mut room, vec![parcel(9), parcel(1), parcel(1)]);
        assert_eq!((preview.requests.len(), preview.more_requests, room), (3, 2, 0));
    }
}
