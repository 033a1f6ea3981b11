//! What the supervisor does: when a worker speaks, dies or takes too long, and when it is asked for something.
//!
//! Invariants: at most one worker is the one that serves, at most one is to become it; the old one is told to leave only
//! after the new one accepts; nobody that has streams is killed but by somebody's word or the drain's own limit.

use std::time::{Duration, Instant};

use super::channel::{Order, Word};
use super::control::Request;
use super::ladder::{Life, Rung};
use super::listeners::Change;
use super::refuse::Refuser;
use super::run::{Ended, Supervisor};
use super::stuck::{Act, Watch};
use super::worker::{End, Recipe, Role, Worker};

/// How long a worker may take until it accepts.
const READY: Duration = Duration::from_secs(10);
/// How long one may take that was told to end at once.
const AT_ONCE: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Starts a worker.
    fn start(&mut self, kind: Rung, role: Role, now: Instant) -> Result<(), String> {
        let reason = match (kind, role) {
            (Rung::Bypass, Role::Beside) => Some("the worker does not answer".to_owned()),
            (Rung::Bypass, _) => Some(self.reason.clone().unwrap_or_else(|| "it was asked for".into())),
            _ => None,
        };
        let Some(listeners) = &mut self.listeners else {
            return Err("no listener is left".into());
        };
        if self.change.is_none() {
            listeners.complete(self.configured);
        }
        let recipe = Recipe {
            program: &self.program,
            listeners: listeners.handed(self.change.as_ref().filter(|_| role == Role::Coming)),
            manager: &self.manager,
            to_stderr: self.to_stderr,
            upstream: self.retiring.as_ref().map(|(_, upstream)| upstream.as_str()),
        };
        let takeover = self.takeover || !self.workers.is_empty();
        match Worker::start(&recipe, reason.as_deref(), role, takeover) {
            Ok(mut worker) => {
                tracing::info!(pid = worker.number(), ?kind, ?role, takeover, "worker started");
                worker.kill_at = Some(now + READY);
                self.workers.push(worker);
                Ok(())
            }
            Err(error) => Err(format!("{} cannot be started: {error}", self.program.display())),
        }
    }

    /// Reads what workers say.
    pub(super) fn hear(&mut self, now: Instant) {
        for at in 0..self.workers.len() {
            for line in self.workers[at].channel.read() {
                match Word::parse(&line) {
                    Some(Word::Ready) => self.ready(at, now),
                    Some(Word::Pong) => self.answered(at, now),
                    Some(Word::Error(why)) => self.workers[at].error = Some(why),
                    Some(Word::Running(who)) => self.workers[at].running = Some(who),
                    Some(Word::Retiring(idle_s, upstream)) => self.retiring = Some((idle_s, upstream)),
                    None => {}
                }
            }
        }
    }

    fn ready(&mut self, at: usize, now: Instant) {
        let worker = &mut self.workers[at];
        if worker.ready {
            return;
        }
        (worker.ready, worker.kill_at) = (true, None);
        let (pid, kind, role) = (worker.number(), worker.kind, worker.role);
        tracing::info!(pid, ?kind, ?role, "worker serves");
        match role {
            Role::Coming => {
                let (now_at_once, patience) = (std::mem::take(&mut self.leave_now), self.patience);
                for (n, other) in self.workers.iter_mut().enumerate() {
                    if n == at {
                        other.role = Role::Serving;
                    } else if other.role != Role::Leaving {
                        other.leave(now_at_once);
                        other.kill_in(patience);
                    }
                }
                if let (Some(change), Some(listeners)) = (self.change.take(), &mut self.listeners) {
                    listeners.replace(change, &mut self.configured);
                }
                self.control.finish(&Ok(pid));
                self.notifier.reloaded();
                self.renew = true;
            }
            Role::Serving => {
                for other in self.workers.iter_mut().filter(|w| w.role == Role::Beside) {
                    other.leave(false);
                    other.kill_in(self.patience);
                }
            }
            Role::Beside | Role::Leaving => return,
        }
        (self.watch, self.beside_at, self.next, self.refuser) = (Watch::Armed, None, None, None);
        self.ladder.serves(now, kind);
        if kind == Rung::Full {
            self.reason = None;
        }
        if let Some((idle_s, _)) = self.retiring {
            self.workers[at].tell(&Order::Retire(idle_s));
        }
        self.inform();
        if let (Ok(pid), Some(Ok(addr))) =
            (u32::try_from(pid), self.proxy().map(std::net::TcpListener::local_addr))
        {
            self.say(Ok((pid, addr)));
        }
    }

    /// Tells the worker about us.
    fn inform(&mut self) {
        let about = serde_json::to_string(&self.about()).unwrap_or_default();
        for worker in self.workers.iter_mut().filter(|w| w.role == Role::Serving && w.ready) {
            worker.tell(&Order::Info(about.clone()));
        }
    }

    fn answered(&mut self, at: usize, now: Instant) {
        self.workers[at].asked = None;
        if self.workers[at].role == Role::Serving && self.watch.answered(now) {
            tracing::info!(pid = self.workers[at].number(), "the worker answers again");
            self.beside_at = None;
            for other in self.workers.iter_mut().filter(|w| w.role == Role::Beside) {
                other.leave(false);
                other.kill_in(self.patience);
            }
        }
    }

    /// Takes note of workers that have ended.
    pub(super) fn reap(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.workers.len() {
            let Some(end) = self.workers[at].ended() else {
                at += 1;
                continue;
            };
            // Its last words may have come after the last look.
            for line in self.workers[at].channel.read() {
                match Word::parse(&line) {
                    Some(Word::Error(why)) => self.workers[at].error = Some(why),
                    Some(Word::Running(who)) => self.workers[at].running = Some(who),
                    _ => {}
                }
            }
            let worker = self.workers.remove(at);
            self.died(&worker, end, now);
        }
    }

    fn died(&mut self, worker: &Worker, end: End, now: Instant) {
        let why = worker.error.clone().or_else(|| worker.running.clone());
        let why = why.map_or_else(|| end.to_string(), |why| format!("{why} ({end})"));
        tracing::info!(pid = worker.number(), role = ?worker.role, end = why, "worker ended");
        match worker.role {
            Role::Leaving => {}
            Role::Beside => {
                if self.watch == Watch::Stuck && !self.stopping {
                    self.beside_at = Some(now + Duration::from_secs(1));
                }
            }
            Role::Coming => self.handing_failed(&why, now),
            Role::Serving if self.stopping => {}
            // As somebody asked it: `ccctl stop`, or the end of its retirement.
            Role::Serving if end == End::Code(0) && worker.running.is_none() => self.stop(false, now),
            Role::Serving => self.crashed(worker, why, now),
        }
    }

    fn crashed(&mut self, worker: &Worker, why: String, now: Instant) {
        let first = self.tell.is_some() && self.restarts == 0;
        if first && !self.kept {
            // Whoever asked for the start is told the reason, and can mend it.
            if let Some(who) = worker.running.clone() {
                self.ended = Some(Ended::Running(who));
                return;
            }
            if let Some(error) = worker.error.clone() {
                self.ended = Some(Ended::Failed(error));
                return;
            }
        }
        self.restarts += 1;
        self.watch = Watch::Armed;
        let before = self.ladder.rung();
        let life = Life { served: worker.ready, lasted: now.duration_since(worker.started) };
        let next = self.ladder.died(now, life);
        tracing::error!(pid = worker.number(), why, rung = ?self.ladder.rung(), "the worker died");
        if self.ladder.rung() != before {
            let what = if before == Rung::Full { "the worker" } else { "a worker that only relays" };
            self.reason = Some(format!("{what} died again and again, at last: {why}"));
        }
        self.last_exit = Some(why);
        if self.ladder.rung() == Rung::Refuse {
            self.refuser.get_or_insert_with(Refuser::new);
            let failed = "no worker can run; every request is answered with 503";
            self.say(Err(failed));
        }
        if !self.has(Role::Coming) {
            self.next = Some((now + next.pause, next.rung));
        }
    }

    /// What is asked for on our own socket.
    pub(super) fn asked(&mut self, now: Instant) {
        let status = self.status();
        for request in self.control.advance(now, || status.clone()) {
            match request {
                Request::Restart(at_once) => self.hand_over(at_once, now),
                Request::Leave => {
                    self.forget();
                    self.leave();
                }
                Request::Stop(at_once) => {
                    self.forget();
                    self.stop(at_once, now);
                }
                Request::Status => {}
            }
        }
    }

    /// Ends, and leaves the workers to finish their streams: whoever asked has another supervisor to put in our place.
    fn leave(&mut self) {
        tracing::info!("making room for another supervisor");
        for worker in &mut self.workers {
            // One that does not accept yet has nothing to finish.
            worker.leave(!worker.ready);
        }
        self.ended = Some(Ended::Stopped);
    }

    /// Puts a new worker in the old one's place.
    pub(super) fn hand_over(&mut self, at_once: bool, now: Instant) {
        if self.stopping {
            self.control.finish(&Err("it is being stopped".into()));
            return;
        }
        self.leave_now |= at_once;
        if self.has(Role::Coming) {
            return;
        }
        self.ladder.asked();
        self.notifier.reloading();
        let begun = self.listen_anew().and_then(|()| {
            self.next = None;
            self.start(Rung::Full, Role::Coming, now)
        });
        if let Err(why) = begun {
            self.handing_failed(&why, now);
        }
    }

    /// Binds other addresses, if the configuration names some now.
    fn listen_anew(&mut self) -> Result<(), String> {
        let to = (self.reload)()?;
        self.change = Change::between(self.configured, to).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn handing_failed(&mut self, why: &str, now: Instant) {
        tracing::error!(why, "no new worker took over; the one before goes on");
        self.change = None;
        self.leave_now = false;
        self.ladder.retry_failed(now);
        self.control.finish(&Err(why.to_owned()));
        self.notifier.reloaded();
        if !self.has(Role::Serving) && !self.stopping && self.next.is_none() {
            let next = self.ladder.died(now, Life { served: false, lasted: Duration::ZERO });
            self.next = Some((now + next.pause, next.rung));
        }
    }

    /// Ends everything; the second time at once.
    pub(super) fn stop(&mut self, at_once: bool, now: Instant) {
        tracing::info!(at_once, "stopping");
        self.notifier.stopping(if at_once { AT_ONCE } else { self.patience });
        (self.stopping, self.next, self.beside_at) = (true, None, None);
        (self.watch, self.refuser, self.renew) = (Watch::Stuck, None, false);
        self.control.finish(&Err("it is being stopped".into()));
        for worker in &mut self.workers {
            if at_once || matches!(worker.role, Role::Coming) {
                worker.tell(&Order::StopNow);
                worker.kill_in(AT_ONCE);
            } else if worker.role == Role::Serving || worker.role == Role::Beside {
                worker.tell(&Order::Stop);
                worker.kill_at = Some(now + self.patience);
            }
        }
    }

    /// What time has brought.
    pub(super) fn act(&mut self, now: Instant) {
        for worker in &mut self.workers {
            if worker.kill_at.is_some_and(|at| now >= at) {
                if !worker.ready && worker.error.is_none() {
                    worker.error = Some(format!("it did not serve within {} s", READY.as_secs()));
                }
                worker.kill();
            }
        }
        if self.stopping {
            if !self.has(Role::Serving) && !self.has(Role::Beside) {
                // Nobody will accept any more: better refused than left waiting.
                self.listeners = None;
            }
            if self.workers.is_empty() {
                self.ended = Some(Ended::Stopped);
            }
            return;
        }
        if let Some((_, kind)) = self.next.take_if(|(at, _)| now >= *at)
            && !self.has(Role::Serving)
            && let Err(why) = self.start(kind, Role::Serving, now)
        {
            self.not_started(why, now);
        }
        if self.ladder.retry_at().is_some_and(|at| now >= at) && !self.has(Role::Coming) {
            tracing::info!("trying a worker that captures again");
            if let Err(why) = self.start(Rung::Full, Role::Coming, now) {
                self.handing_failed(&why, now);
            }
        }
        let mut watch = self.watch;
        let act = watch.look(now, || self.waits());
        self.watch = watch;
        match act {
            Act::Nothing => {}
            Act::Ask => {
                for worker in self.workers.iter_mut().filter(|w| w.role == Role::Serving) {
                    worker.asked = Some(now);
                    worker.tell(&Order::Ping);
                }
            }
            Act::Relieve => {
                tracing::error!("the worker neither accepts nor answers: another one relays beside it");
                self.beside_at = Some(now);
            }
        }
        if self.beside_at.take_if(|at| now >= *at).is_some()
            && let Err(why) = self.start(Rung::Bypass, Role::Beside, now)
        {
            tracing::error!(why, "nobody relays beside it");
            self.beside_at = Some(now + Duration::from_secs(1));
        }
    }

    /// The program itself could not be started.
    fn not_started(&mut self, why: String, now: Instant) {
        tracing::error!(why, "no worker");
        self.restarts += 1;
        let next = self.ladder.died(now, Life { served: false, lasted: Duration::ZERO });
        if self.ladder.rung() != Rung::Full {
            self.reason = Some(why.clone());
        }
        if self.ladder.rung() == Rung::Refuse {
            self.refuser.get_or_insert_with(Refuser::new);
            self.say(Err("no worker can run; every request is answered with 503"));
        }
        self.last_exit = Some(why);
        self.next = Some((now + next.pause, next.rung));
    }
}
