//! Decisions by way of the hook socket, frame by frame: a writer and detectors of the test's own, with the policy between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{PATIENCE, frame, home};
use ccd::config::{self, Mode};
use ccd::detect::{Feed, Message};
use ccd::heal::{Healing, Occasion, Policy};
use ccd::ingest::found::{DetectionV1, InterventionV1};
use ccd::ingest::{Ack, Door, Submission};
use ccd::source::hook::{self, Desk, Healer, Times};
use ccd_detect::event::What;
use ccd_detect::{Engine, Event, Index, Settings, Unknown};
use ccd_proto::frame::{PRINTED, REPLY_LEN, Status, decode_reply};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the test does to the parts of its own.
#[derive(Default)]
struct Knobs {
    /// Milliseconds that writing takes.
    writing_ms: AtomicU64,
    /// The detectors answer nobody.
    hang: AtomicBool,
    /// Questions that were asked.
    asked: AtomicU64,
    /// Turns that were let run.
    let_run: AtomicU64,
    /// Answers that were handed back.
    back: AtomicU64,
    /// Interventions on record.
    record: Mutex<Vec<InterventionV1>>,
}

struct World {
    knobs: Arc<Knobs>,
    healing: Arc<Healing>,
    socket: PathBuf,
    stop: CancellationToken,
    time: AtomicU64,
    _dir: TempDir,
}

/// One engine, one policy: what the daemon's own thread does.
fn detectors(rx: &Receiver<Message>, seen: &Receiver<Vec<u8>>, healing: &Healing, knobs: &Knobs) {
    let index: Arc<dyn Index> = Arc::new(Unknown);
    let mut engine = Engine::new(&Settings::default(), &index);
    let mut policy = Policy::new(healing.settings());
    while let Ok(message) = rx.recv() {
        while knobs.hang.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        for body in seen.try_iter() {
            let payload: Value = serde_json::from_slice(&body).unwrap();
            let at_ns = payload["at"].as_u64().unwrap();
            for found in engine.observe(&Event::from_hook(payload)) {
                policy.found(&DetectionV1 {
                    at_ns,
                    session_id: "s-1".into(),
                    agent_id: None,
                    cwd: Some("/w".into()),
                    turn_id: None,
                    span_id: None,
                    kind: found.kind.as_str().into(),
                    rule: found.rule.into(),
                    severity: found.severity,
                    confidence: found.confidence,
                    at_event: found.at_event as u64,
                    fingerprint: found.fingerprint(),
                    title: found.title,
                    evidence: Vec::new(),
                    advice: found.advice,
                    mast: found.mast.map(Into::into),
                });
            }
        }
        match message {
            Message::Ask(asked, payload, answer) => {
                knobs.asked.fetch_add(1, Ordering::SeqCst);
                policy.set(healing.settings());
                let event = Event::from_hook(serde_json::from_slice(&payload).unwrap());
                let verdict = match &event.what {
                    What::Call(call) if asked.occasion == Occasion::PreToolUse => engine.before(None, call),
                    _ => None,
                };
                let _ = answer.send(policy.answer(&asked, verdict.as_ref()));
            }
            Message::Undelivered(intervention) => {
                policy.undelivered(&intervention);
                knobs.back.fetch_add(1, Ordering::SeqCst);
            }
            Message::Seen(_) | Message::Stop => {}
        }
    }
}

impl World {
    /// One in which everybody has all the time that a busy machine takes.
    fn new(mode: Mode) -> Self {
        let (long, longer) = (Duration::from_secs(2), PATIENCE);
        Self::in_time(
            mode,
            Times { decided: longer, answer: long, too_late: longer, last: 2 * longer, printed: longer },
        )
    }

    fn in_time(mode: Mode, times: Times) -> Self {
        let dir = home();
        let socket = dir.path().join("hook.sock");
        let listener = StdListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = UnixListener::from_std(listener).unwrap();
        let knobs = Arc::<Knobs>::default();
        let healing = Arc::new(Healing::new(config::Heal { mode, cooldown_s: 0, ..config::Heal::default() }));
        let (door, mut rx) = Door::new();
        let (feed, messages) = Feed::new();
        let (observed, seen) = sync_channel(64);
        let (own, settings) = (Arc::clone(&knobs), Arc::clone(&healing));
        std::thread::spawn(move || detectors(&messages, &seen, &settings, &own));
        let own = Arc::clone(&knobs);
        tokio::spawn(async move {
            while let Some(submission) = rx.recv().await {
                match submission {
                    Submission::Hook(event, Some(done)) => {
                        tokio::time::sleep(Duration::from_millis(own.writing_ms.load(Ordering::SeqCst)))
                            .await;
                        observed.send(event.body.to_vec()).unwrap();
                        let _ = done.send(Ack::Durable);
                    }
                    Submission::Ready(ready, done) => {
                        let (record, _) = bincode::serde::decode_from_slice(
                            &ready.record.body,
                            bincode::config::standard(),
                        )
                        .unwrap();
                        own.record.lock().unwrap().push(record);
                        let _ = done.send(Ack::Durable);
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        let own = Arc::clone(&knobs);
        let let_run: hook::LetRun = Arc::new(move |_| _ = own.let_run.fetch_add(1, Ordering::SeqCst));
        let healer = Healer::new(Arc::clone(&healing), feed, let_run);
        let desk = Desk { door, decide: Arc::new(|_| None), healer, times };
        let stop = CancellationToken::new();
        tokio::spawn(hook::serve(listener, Arc::new(desk), TaskTracker::new(), stop.clone()));
        let time = AtomicU64::new(1_795_200_000_000_000_000);
        World { knobs, healing, socket, stop, time, _dir: dir }
    }

    /// Brings an event as the shim does, and says that what came back was printed, or goes away.
    async fn hook(&self, name: &str, more: Value, confirms: bool) -> (Status, Value) {
        let at = self.time.fetch_add(1_000_000_000, Ordering::SeqCst);
        let mut body =
            json!({"session_id": "s-1", "cwd": "/w", "prompt_id": "p-1", "hook_event_name": name, "at": at});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut s = UnixStream::connect(&self.socket).await.unwrap();
        s.write_all(&frame(at, &body)).await.unwrap();
        let mut head = [0; REPLY_LEN];
        s.read_exact(&mut head).await.unwrap();
        let (status, len) = decode_reply(&head).unwrap();
        let mut said = Vec::new();
        s.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.len(), len as usize, "and the end, whatever is sent back");
        if said.is_empty() {
            return (status, Value::Null);
        }
        if confirms {
            s.write_all(&[PRINTED]).await.unwrap();
        }
        (status, serde_json::from_slice(&said).unwrap())
    }

    async fn call(&self, n: u64, confirms: bool) -> Value {
        let call = json!({"tool_name": "Bash", "tool_use_id": format!("toolu_{n}"), "tool_input": {"command": "make"}});
        self.hook("PreToolUse", call, confirms).await.1
    }

    async fn result(&self, n: u64, confirms: bool) -> Value {
        let mut result = json!({"tool_name": "Bash", "tool_use_id": format!("toolu_{n}"), "tool_input": {"command": "make"}});
        result["tool_response"] = json!({"stdout": "nothing to be done", "stderr": "", "interrupted": false});
        self.hook("PostToolUse", result, confirms).await.1
    }

    async fn prompt(&self, text: &str) -> Value {
        self.hook("UserPromptSubmit", json!({"prompt": text}), true).await.1
    }

    fn record(&self) -> Vec<InterventionV1> {
        self.knobs.record.lock().unwrap().clone()
    }

    fn count(&self, knob: impl Fn(&Knobs) -> &AtomicU64) -> u64 {
        knob(&self.knobs).load(Ordering::SeqCst)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.knobs.hang.store(false, Ordering::SeqCst);
        self.stop.cancel();
    }
}

fn reason(decision: &Value) -> &str {
    assert_eq!(decision["hookSpecificOutput"]["permissionDecision"], "deny", "{decision}");
    decision["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_denied_at_the_fourth_call_and_let_run_after_three_denials() {
    let world = World::new(Mode::Guard);
    assert_eq!(world.prompt("build it").await, Value::Null);
    for n in 1..=3 {
        assert_eq!(world.call(n, true).await, Value::Null, "call {n}");
        let advice = world.result(n, true).await;
        assert_eq!(advice.is_object(), n == 3, "{advice}");
    }
    let mut said = Vec::new();
    for n in 4..=6 {
        said.push(reason(&world.call(n, true).await).to_owned());
    }
    assert!(said[0].contains("made 3 times") && said[1] != said[0] && said[2] != said[1], "{said:?}");
    assert_eq!(world.call(7, true).await, Value::Null, "let run");
    assert_eventually!(world.record().len() == 4, "{:?}", world.record());
    let record = world.record();
    let told: Vec<_> = record.iter().map(|i| (i.action.as_str(), i.event.as_str(), i.delivered)).collect();
    let denied = ("denied", "PreToolUse", true);
    assert_eq!(told, [("advised", "PostToolUse", true), denied, denied, denied]);
    assert!(record.iter().all(|i| i.detection == record[0].detection && i.detection.is_some()));
    assert_eq!(record[1].tool_use_id.as_deref(), Some("toolu_4"));
    assert_eq!(record[1].text, said[0]);
    assert_eventually!(world.count(|k| &k.let_run) == 1, "the user is told");
    let status = world.healing.status();
    assert_eq!((status.advised, status.denied, status.undelivered, status.late), (1, 3, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_confirmed_is_given_again_or_on_record_as_that() {
    let world = World::new(Mode::Guard);
    for n in 1..=2 {
        world.call(n, true).await;
        world.result(n, true).await;
    }
    // As a shim that knows nothing of a confirmation, or whose time was over.
    assert!(world.result(3, false).await.is_object());
    assert_eventually!(world.count(|k| &k.back) == 1, "handed back");
    assert_eq!(world.record(), []);
    let denial = world.call(4, false).await;
    let _ = reason(&denial);
    assert_eventually!(world.record().len() == 1, "a denial counts");
    assert_eq!((world.record()[0].action.as_str(), world.record()[0].delivered), ("denied", false));
    assert!(world.result(4, true).await.is_object(), "once more");
    assert_eventually!(world.record().len() == 2, "now it has arrived");
    assert!(world.record()[1].delivered);
    assert_eq!(world.healing.status().undelivered, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_where_nothing_can_come_of_it() {
    for (mode, want) in [(Mode::Off, [0; 6]), (Mode::Advise, [0, 1, 1, 1, 0, 1]), (Mode::Guard, [1; 6])] {
        let world = World::new(mode);
        let mut asked = 0;
        let events =
            ["PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "Stop", "UserPromptSubmit"];
        for (name, want) in events.into_iter().zip(want) {
            let more = json!({"tool_name": "Bash", "tool_use_id": "t", "tool_input": {}, "prompt": "x", "error": "e"});
            assert_eq!(world.hook(name, more, true).await, (Status::Durable, Value::Null));
            assert_eq!(world.count(|k| &k.asked) - asked, want, "{mode:?} {name}");
            asked += want;
        }
        for (name, more) in [
            ("UserPromptSubmit", json!({"prompt": "<task-notification>\n…"})),
            ("SubagentStop", json!({"stop_hook_active": false})),
            ("PostToolUse", json!({"session_id": 7})),
        ] {
            assert_eq!(world.hook(name, more, true).await, (Status::Durable, Value::Null), "{name}");
        }
        assert_eq!(world.count(|k| &k.asked), asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_in_force_with_the_next_event() {
    let world = World::new(Mode::Off);
    for n in 1..=4 {
        world.call(n, true).await;
        assert_eq!(world.result(n, true).await, Value::Null);
    }
    let project = |mode| config::Heal {
        mode: Mode::Off,
        projects: [("/w".into(), mode)].into(),
        ..config::Heal::default()
    };
    world.healing.set(project(Mode::Guard));
    let _ = reason(&world.call(5, true).await);
    world.healing.set(project(Mode::Advise));
    assert_eq!(world.call(6, true).await, Value::Null);
    assert!(world.result(6, true).await.is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_written_too_late_is_not_asked_about() {
    let world = World::in_time(Mode::Guard, Times::default());
    world.knobs.writing_ms.store(60, Ordering::SeqCst);
    assert_eq!(world.result(1, true).await, Value::Null);
    assert_eq!((world.count(|k| &k.asked), world.healing.status().late), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn detectors_that_hang_keep_nobody_waiting_twice_and_what_they_say_late_is_handed_back() {
    let world = World::new(Mode::Guard);
    for n in 1..=3 {
        world.call(n, true).await;
        world.result(n, true).await;
    }
    assert_eventually!(world.record().len() == 1, "advised");
    let asked = world.count(|k| &k.asked);
    world.knobs.hang.store(true, Ordering::SeqCst);
    for n in 4..=9 {
        assert_eq!(world.call(n, true).await, Value::Null, "let through");
    }
    assert_eq!(world.healing.status().late, 6);
    world.knobs.hang.store(false, Ordering::SeqCst);
    assert_eventually!(world.count(|k| &k.back) == 1, "the one denial that was too late");
    assert_eq!(world.count(|k| &k.asked), asked + 1, "and nobody else asked meanwhile");
    for _ in 0..3 {
        let _ = reason(&world.call(10, true).await);
    }
    assert_eq!(world.call(10, true).await, Value::Null, "the late one did not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_does_not_wait_for_a_slow_disk() {
    let times = Times {
        decided: Duration::from_millis(25),
        answer: PATIENCE,
        last: 2 * PATIENCE,
        ..Times::default()
    };
    let world = World::in_time(Mode::Guard, Times { too_late: PATIENCE, printed: PATIENCE, ..times });
    for n in 1..=3 {
        world.call(n, true).await;
        world.result(n, true).await;
    }
    world.knobs.writing_ms.store(u64::try_from(PATIENCE.as_millis()).unwrap(), Ordering::SeqCst);
    let call = json!({"tool_name": "Bash", "tool_use_id": "toolu_4", "tool_input": {"command": "make"}});
    let (status, decision) = world.hook("PreToolUse", call, true).await;
    let _ = reason(&decision);
    assert_eq!(status, Status::Refused, "the shim keeps the event");
}
