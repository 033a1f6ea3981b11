//! Connections of the web door: so many at a time, and who has nothing to say makes room for who comes.
//!
//! A browser keeps connections that it does not use, and a program may open hundreds and say nothing; neither keeps the
//! page out. Must never cut an answer under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Places for connections.
pub(super) struct Room {
    places: Arc<Semaphore>,
    lines: Mutex<HashMap<u64, Arc<Line>>>,
    /// Goes up with each connection, and whenever one has nothing to do any more.
    time: AtomicU64,
    /// Somebody waits for a place that nobody can give up.
    wanted: AtomicBool,
}

/// A connection.
pub(super) struct Line {
    room: Arc<Room>,
    id: u64,
    /// Answers so far.
    asked: AtomicUsize,
    /// Answers under way.
    busy: AtomicUsize,
    idle_since: AtomicU64,
    /// It is to make room.
    pub(super) leave: CancellationToken,
}

/// A connection's place, as long as it is there.
pub(super) struct Place {
    pub(super) line: Arc<Line>,
    _permit: OwnedSemaphorePermit,
}

/// An answer under way.
pub(super) struct Busy(Arc<Line>);

impl Room {
    /// With so many places.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Room {
            places: Arc::new(Semaphore::new(places)),
            lines: Mutex::default(),
            time: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
        })
    }

    /// A place, as soon as there is one. Only one waits at a time. None: the room is closed.
    pub(super) async fn enter(self: &Arc<Self>) -> Option<Place> {
        let permit = if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            permit
        } else {
            self.wanted.store(true, Ordering::SeqCst);
            self.free_one();
            let permit = Arc::clone(&self.places).acquire_owned().await;
            self.wanted.store(false, Ordering::SeqCst);
            permit.ok()?
        };
        let id = self.tick();
        let line = Arc::new(Line {
            room: Arc::clone(self),
            id,
            asked: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            idle_since: AtomicU64::new(id),
            leave: CancellationToken::new(),
        });
        self.lines().insert(id, Arc::clone(&line));
        Some(Place { line, _permit: permit })
    }

    /// Has the connection leave that has had nothing to do for longest.
    fn free_one(&self) {
        let lines = self.lines();
        let idle = lines.values().filter(|line| line.is_idle() && !line.leave.is_cancelled());
        if let Some(line) = idle.min_by_key(|line| line.idle_since.load(Ordering::SeqCst)) {
            line.leave.cancel();
        }
    }

    fn tick(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<u64, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Whether it was never asked anything.
    pub(super) fn is_unused(&self) -> bool {
        self.asked.load(Ordering::SeqCst) == 0
    }

    /// Whether no answer is under way.
    fn is_idle(&self) -> bool {
        self.busy.load(Ordering::SeqCst) == 0
    }

    /// An answer begins; it ends with what is returned.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let line = &self.0;
        line.idle_since.store(line.room.tick(), Ordering::SeqCst);
        line.busy.fetch_sub(1, Ordering::SeqCst);
        if line.room.wanted.load(Ordering::SeqCst) {
            line.room.free_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.room.lines().remove(&self.line.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_been_idle_for_longest_makes_room_and_who_is_answered_stays() {
        let room = Room::new(3);
        let (first, second, third) =
            (room.enter().await.unwrap(), room.enter().await.unwrap(), room.enter().await.unwrap());
        let answer = first.line.busy();
        // The second was asked something since the third came.
        drop(second.line.busy());
        let entering = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.enter().await }
        });
        third.line.leave.cancelled().await;
        assert!(!first.line.leave.is_cancelled() && !second.line.leave.is_cancelled());
        drop(third);
        let fourth = entering.await.unwrap().unwrap();

        // All are busy: whose answer ends first gives its place.
        let others = (second.line.busy(), fourth.line.busy());
        let entering = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.enter().await }
        });
        while !room.wanted.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        assert!(!first.line.leave.is_cancelled());
        drop(answer);
        first.line.leave.cancelled().await;
        drop(first);
        assert!(entering.await.unwrap().is_some());
        drop(others);
        assert!(!room.wanted.load(Ordering::SeqCst));
    }
}
