//! Load with a memory: events that tell by their id what is in them, streams that are remembered byte for byte.
//! What was acknowledged must be found again, as it was, once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use ccd_proto::api::{Exchanges, Sessions, Spans};
use ccd_proto::frame::Status;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::{HookSession, deliver_at, now_ns};
use ccd_tests::harness::soak::Random;
use ccd_tests::harness::wire::BodyEnd;
use ccd_tests::harness::{Control, TestHome, eventually};
use ccd_tests::mock;

use super::status;
use crate::proxy::Proxy;

/// Every so many events, one is too large for the journal's own records.
const LARGE_EVERY: u64 = 64;

/// An event that was sent at least once.
struct Event {
    session: HookSession,
    arrived_ns: u64,
    acknowledged: bool,
}

/// All events sent in a home, and what was heard of them.
pub(super) struct Events {
    socket: PathBuf,
    sent: Mutex<BTreeMap<String, Event>>,
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    /// Events recorded that somebody else sent.
    others: AtomicUsize,
}

/// What an event's tool call is about: only its id tells.
pub(super) fn command_of(id: &str) -> String {
    let mut random = Random::of(id);
    let len = if random.below(LARGE_EVERY) == 0 { 80 << 10 } else { 20 + random.index(2_000) };
    random.text(len)
}

impl Events {
    pub(super) fn of(home: &TestHome) -> Self {
        Events {
            socket: home.layout().hook_socket(),
            sent: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            others: AtomicUsize::new(0),
        }
    }

    /// Tells how many events of others are recorded in all.
    pub(super) fn know_others(&self, events: usize) {
        self.others.store(events, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Event>> {
        self.sent.lock().unwrap()
    }

    /// How many are acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// How often one was refused.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// How many were sent.
    pub(super) fn sent(&self) -> usize {
        self.lock().len()
    }

    /// How many were sent of a session.
    pub(super) fn sent_of(&self, session: &HookSession) -> usize {
        self.lock().values().filter(|event| event.session.session == session.session).count()
    }

    /// Sends the event `id`, for the first time or again; an error: no answer came.
    pub(super) fn send(&self, session: &HookSession, id: &str) -> std::io::Result<Status> {
        let arrived_ns = {
            let mut events = self.lock();
            let new = || Event { session: session.clone(), arrived_ns: now_ns(), acknowledged: false };
            events.entry(id.to_owned()).or_insert_with(new).arrived_ns
        };
        let answer = deliver_at(&self.socket, arrived_ns, &session.before_tool(id, &command_of(id)))?;
        match answer {
            Status::Durable => {
                let mut events = self.lock();
                let event = events.get_mut(id).unwrap();
                if !std::mem::replace(&mut event.acknowledged, true) {
                    self.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            }
            Status::Refused => drop(self.refused.fetch_add(1, Ordering::SeqCst)),
        }
        Ok(answer)
    }

    /// Sends events until nobody answers any more.
    pub(super) fn send_until_gone(&self, session: &HookSession, writer: &str) {
        for n in 0.. {
            if self.send(session, &format!("toolu_{writer}_{n:05}")).is_err() {
                return;
            }
        }
    }

    /// Sends what was never acknowledged again, as the spool does, until all of it is.
    #[track_caller]
    pub(super) fn resend(&self) -> usize {
        let open: Vec<(String, HookSession)> = {
            let events = self.lock();
            let open = events.iter().filter(|(_, event)| !event.acknowledged);
            open.map(|(id, event)| (id.clone(), event.session.clone())).collect()
        };
        for (id, session) in &open {
            eventually("an event that was refused is taken when it comes again", || {
                matches!(self.send(session, id), Ok(Status::Durable)).then_some(())
            });
        }
        open.len()
    }

    /// Asserts that every acknowledged event is recorded as it was sent, that none is recorded twice or changed, and
    /// that none is there that was not sent. Gives the number of recorded ones.
    #[track_caller]
    pub(super) fn assert_recorded(&self, home: &TestHome) -> usize {
        let control = Control::of(home);
        let events = self.lock();
        // Acknowledged is: durable. To be found it must also be in the index, a moment later.
        let acknowledged = events.values().filter(|event| event.acknowledged).count() as u64;
        assert_eventually!(
            status(home).hooks.events >= acknowledged,
            "all of {acknowledged} acknowledged events are recorded"
        );
        let sessions: BTreeSet<&str> = events.values().map(|event| event.session.session.as_str()).collect();
        let mut recorded = BTreeSet::new();
        for session in sessions {
            let path = format!("/v0/spans?session={session}&kind=tool&content=1&limit=0");
            let known = || control.get(&path).ok().filter(|(status, _)| matches!(status, 200 | 404));
            let (code, body) = eventually("the spans of a session", known);
            if code == 404 {
                // Nothing of it was recorded: right only if nothing was acknowledged, which is looked at below.
                continue;
            }
            let spans: Spans = serde_json::from_slice(&body).unwrap();
            for span in spans.spans {
                let id = span.tool_use_id.clone().unwrap();
                let sent = events.get(&id).unwrap_or_else(|| panic!("{id} is recorded, and nobody sent it"));
                assert_eq!(sent.session.session, session, "{id} is in its own session");
                let command = span.input.as_ref().map(|input| input["command"].clone());
                assert!(command == Some(command_of(&id).into()), "{id} is not what was sent: {command:?}");
                assert!(recorded.insert(id.clone()), "{id} is recorded twice");
            }
        }
        let lost: Vec<_> =
            events.iter().filter(|(id, event)| event.acknowledged && !recorded.contains(*id)).collect();
        let lost: Vec<_> = lost.iter().map(|(id, _)| id).take(10).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?} …");
        let others = self.others.load(Ordering::SeqCst);
        assert_eventually!(
            status(home).hooks.events == (recorded.len() + others) as u64,
            "each recorded event counts once ({} of them; status counts {})",
            recorded.len(),
            status(home).hooks.events
        );
        recorded.len()
    }
}

/// A stream that came to its end.
pub(super) struct Stream {
    request: Vec<u8>,
    response: Vec<u8>,
}

/// All streams of a home.
pub(crate) struct Streams {
    proxy: Proxy,
    /// What ended well, by the answer's request id.
    whole: Mutex<HashMap<String, Stream>>,
    cut: AtomicUsize,
    number: AtomicUsize,
    /// What daemons that are gone said they had dropped: each counts since its own start.
    dropped: AtomicU64,
}

impl Streams {
    #[track_caller]
    pub(crate) fn of(home: &TestHome) -> Self {
        Streams {
            proxy: Proxy::of(home),
            whole: Mutex::default(),
            cut: AtomicUsize::new(0),
            number: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Exchanges dropped by this daemon and those before it.
    pub(super) fn dropped(&self, home: &TestHome) -> u64 {
        status(home).capture.dropped + self.dropped.load(Ordering::SeqCst)
    }

    /// To be called before a daemon is killed.
    pub(super) fn remember_dropped(&self, home: &TestHome) {
        self.dropped.fetch_add(status(home).capture.dropped, Ordering::SeqCst);
    }

    pub(crate) fn whole(&self) -> usize {
        self.whole.lock().unwrap().len()
    }

    pub(super) fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }

    /// One stream of `session`; false: it did not come to its end.
    pub(crate) fn stream(&self, session: &str) -> bool {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        // A long prompt, new each time: its body goes into the packs.
        let prompt = format!("STREAM {}", Random::of(&format!("{session} {number}")).text(6_000));
        let request = self.proxy.message(session, &prompt, true);
        let Ok(mut wire) = self.proxy.try_connect() else { return false };
        let head = wire.try_send(&request).ok().and_then(|()| wire.try_head());
        let Some(head) = head.filter(|head| head.status() == 200) else { return false };
        let (response, end) = wire.read_rest();
        if end != BodyEnd::Whole {
            self.cut.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        let start = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let id = head.header("request-id").unwrap().to_owned();
        let stream = Stream { request: request[start..].to_vec(), response };
        assert!(self.whole.lock().unwrap().insert(id, stream).is_none(), "the mock's ids differ");
        true
    }

    /// Asserts that what upstream sent and received is, byte for byte, what the client received and sent.
    #[track_caller]
    pub(crate) fn assert_relayed(&self, sent: &mock::Exchange) {
        let whole = self.whole.lock().unwrap();
        let got = whole.get(&sent.request_id).unwrap_or_else(|| panic!("{} arrived whole", sent.request_id));
        assert!(got.request == sent.request && got.response == sent.response, "{}", sent.request_id);
    }

    /// Streams until nobody answers any more.
    pub(super) fn stream_until_gone(&self, session: &str) {
        while self.stream(session) {}
    }

    /// The ids of a session's exchanges that are reported as captured whole; none if nobody answers.
    pub(super) fn reported(home: &TestHome, session: &str) -> BTreeSet<String> {
        let known: Option<Sessions> = Control::of(home).ask("/v0/sessions?limit=0");
        if !known.is_some_and(|known| known.sessions.iter().any(|found| found.session_id == session)) {
            return BTreeSet::new();
        }
        let path = format!("/v0/exchanges?session={session}&limit=0");
        let found: Option<Exchanges> = Control::of(home).ask(&path);
        let whole = found.into_iter().flat_map(|found| found.exchanges).filter(|exchange| exchange.complete);
        whole.map(|exchange| exchange.exchange_id).collect()
    }

    /// Asserts that what is recorded as whole is what the client sent and received, each once, and that all of
    /// `reported` is among it. Gives the number of whole ones.
    #[track_caller]
    pub(super) fn assert_recorded(&self, home: &TestHome, reported: &BTreeSet<String>) -> usize {
        let control = Control::of(home);
        let found: Exchanges = eventually("the exchanges", || control.ask("/v0/exchanges?limit=0"));
        let whole = self.whole.lock().unwrap();
        let mut seen = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for exchange in found.exchanges.iter().filter(|exchange| exchange.complete) {
            let id = exchange.request_id.clone().unwrap();
            assert!(seen.insert(id.clone()), "{id} is recorded twice");
            ids.insert(exchange.exchange_id.clone());
            // The client may have been cut off by the kill where the daemon had seen the end already.
            let Some(stream) = whole.get(&id) else { continue };
            for (side, sent) in [("request", &stream.request), ("response", &stream.response)] {
                let path = format!("/v0/exchanges/{}/{side}", exchange.exchange_id);
                let (status, body) = control.get(&path).unwrap();
                assert!(status == 200 && body == *sent, "{id}: the {side}'s bytes, status {status}");
            }
        }
        let lost: Vec<_> = reported.difference(&ids).collect();
        assert!(lost.is_empty(), "reported as captured and lost: {lost:?}");
        seen.len()
    }
}
