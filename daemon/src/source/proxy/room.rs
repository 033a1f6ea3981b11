//! How many connections may be open, and which of them makes room when all places are taken.
//!
//! A client keeps connections for later that it may never use again; one that has rested long goes before somebody new is
//! turned away. Must never end a connection that has a request under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::intake::Turns;

/// How long a connection that was told to go is waited for. One at rest goes at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// The places for connections.
#[derive(Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    number: u64,
    connections: HashMap<u64, (Arc<Turns>, CancellationToken)>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    number: u64,
    leave: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// With so many places.
    #[must_use]
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Room { places: Arc::new(Semaphore::new(places)), open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection, if need be that of the one that has rested longest, and at least for `spare`. The
    /// connection is to end when it is told to, and when `stop` is.
    pub async fn enter(
        self: &Arc<Self>,
        turns: &Arc<Turns>,
        spare: Duration,
        stop: &CancellationToken,
    ) -> Option<Place> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.make_room(spare) => {
                timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()?
            }
            Err(_) => return None,
        };
        let leave = stop.child_token();
        let mut open = self.open();
        open.number += 1;
        let number = open.number;
        open.connections.insert(number, (Arc::clone(turns), leave.clone()));
        drop(open);
        Some(Place { room: Arc::clone(self), number, leave, _permit: permit })
    }

    /// Tells the connection to go that has rested longest; false: none has rested long enough.
    fn make_room(&self, spare: Duration) -> bool {
        let open = self.open();
        let resting = open.connections.values().filter(|(_, leave)| !leave.is_cancelled());
        let longest = resting
            .filter_map(|(turns, leave)| Some((turns.resting()?, leave)))
            .min_by_key(|(since, _)| *since);
        let Some((_, leave)) = longest.filter(|(since, _)| since.elapsed() >= spare) else { return false };
        leave.cancel();
        true
    }
}

impl Place {
    /// Tells when the connection is to end.
    #[must_use]
    pub fn leave(&self) -> &CancellationToken {
        &self.leave
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.open().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SPARE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn whoever_rested_longest_makes_room_and_nobody_who_is_busy() {
        let (room, stop) = (Room::new(2), CancellationToken::new());
        let turns = [(); 4].map(|()| Turns::new());
        let enter = |n: usize| room.enter(&turns[n], SPARE, &stop);
        let busy = enter(0).await.unwrap();
        let idle = enter(1).await.unwrap();
        turns[0].push(None);
        assert!(enter(2).await.is_none(), "nobody has rested long enough");
        advance(SPARE).await;
        let leave = idle.leave().clone();
        tokio::spawn(async move {
            leave.cancelled().await;
            drop(idle);
        });
        let third = enter(2).await.unwrap();
        assert!(!busy.leave().is_cancelled() && !third.leave().is_cancelled());
        advance(SPARE).await;
        // Told to go, and it does not: whoever is new does not wait for ever.
        assert!(enter(3).await.is_none());
        assert!(third.leave().is_cancelled() && !busy.leave().is_cancelled());
        assert!(enter(3).await.is_none(), "there is nobody else to ask");
        drop(third);
        assert!(enter(3).await.is_some());
        stop.cancel();
        assert!(busy.leave().is_cancelled());
    }
}
