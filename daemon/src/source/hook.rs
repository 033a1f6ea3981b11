//! The hook socket: takes one frame per connection, answers once it is on disk.
//!
//! Only our own user (or root) is heard. Limits are checked before memory is taken; a peer that is slow or
//! wrong costs one task, for a bounded time. Nothing is read of the payload here, except where a budget that is used up
//! stops tool calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::frame::{self, HEADER_LEN, Header, Kind, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ingest::{Ack, Door, HookEvent};

/// Says what `cc-hook` shall print for an event; from memory, at once.
pub type Decide = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// How long a peer may take to send its frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a decision waits for its event to be on disk: the shim waits for 50 ms.
const DECIDED: Duration = Duration::from_millis(25);
/// Bytes of frames being received, all connections together; further peers wait.
const MAX_INBOUND: usize = 256 << 20;

/// Serves the socket until `stop`; connections under way are finished.
pub async fn serve(
    listener: UnixListener,
    door: Door,
    decide: Decide,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MAX_INBOUND));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close theirs.
                    tracing::warn!(%error, "the hook socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        if !peer_is_us(&stream) {
            tracing::warn!("another user's connection to the hook socket was refused");
            continue;
        }
        let (door, decide, room) = (door.clone(), Arc::clone(&decide), Arc::clone(&room));
        tracker.spawn(async move {
            if let Err(error) = one(stream, &door, &*decide, &room).await {
                tracing::debug!(%error, "a hook connection failed");
            }
        });
    }
}

/// Tells everybody who comes that nothing is captured, until `stop`, so that the event goes to the spool at once. Nothing
/// is read.
pub async fn turn_away(listener: UnixListener, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((mut stream, _)) if peer_is_us(&stream) => {
                // It fits any buffer; whoever does not get it reads an end instead, which says the same.
                let _ = stream.try_write(&frame::encode_reply(Status::Refused, 0));
                let _ = stream.shutdown().await;
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Whether the peer runs as our own user, or as root.
#[must_use]
pub fn peer_is_us(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == us || peer.uid() == 0)
}

async fn one(
    mut stream: UnixStream,
    door: &Door,
    decide: &(dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync),
    room: &Semaphore,
) -> std::io::Result<()> {
    let read = async {
        let mut head = [0; HEADER_LEN];
        stream.read_exact(&mut head).await?;
        let header = Header::decode(&head).map_err(std::io::Error::other)?;
        let permit = room.acquire_many(header.body_len).await.map_err(std::io::Error::other)?;
        let mut body = vec![0; header.body_len as usize];
        stream.read_exact(&mut body).await?;
        let len = usize::from(stream.read_u16().await?);
        if len > frame::MAX_CLIENT {
            return Err(std::io::Error::other("client name too long"));
        }
        let mut client = vec![0; len];
        stream.read_exact(&mut client).await?;
        Ok((header, body, client, permit))
    };
    let (header, body, client, permit) = tokio::time::timeout(PATIENCE, read).await??;
    let (status, decision) = match header.kind {
        Kind::Probe => (Status::Durable, Vec::new()),
        Kind::Event => {
            let decision = decide(&body).unwrap_or_default();
            let event = HookEvent { arrived_ns: header.arrived_ns, client, body: Bytes::from(body) };
            // A decision must be there before the shim stops waiting; the event it then spools is the same one.
            let patience = if decision.is_empty() { Duration::MAX } else { DECIDED };
            match tokio::time::timeout(patience, door.hook(event)).await {
                Ok(Ack::Durable) => (Status::Durable, decision),
                Ok(Ack::Refused) | Err(_) => (Status::Refused, decision),
            }
        }
    };
    drop(permit);
    let len = u32::try_from(decision.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&frame::encode_reply(status, len)[..], &decision].concat()).await?;
    stream.shutdown().await
}
