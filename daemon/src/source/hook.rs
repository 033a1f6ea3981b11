//! The hook socket: takes one frame per connection, answers once it is on disk.
//!
//! Only our own user (or root) is heard. Limits are checked before memory is taken; a peer that is slow or
//! wrong costs one task, for a bounded time. Nothing is read of the payload here.

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

/// How long a peer may take to send its frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of frames being received, all connections together; further peers wait.
const MAX_INBOUND: usize = 256 << 20;

/// Serves the socket until `stop`; connections under way are finished.
pub async fn serve(listener: UnixListener, door: Door, tracker: TaskTracker, stop: CancellationToken) {
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
        let (door, room) = (door.clone(), Arc::clone(&room));
        tracker.spawn(async move {
            if let Err(error) = one(stream, &door, &room).await {
                tracing::debug!(%error, "a hook connection failed");
            }
        });
    }
}

/// Whether the peer runs as our own user, or as root.
#[must_use]
pub fn peer_is_us(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == us || peer.uid() == 0)
}

async fn one(mut stream: UnixStream, door: &Door, room: &Semaphore) -> std::io::Result<()> {
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
    let status = match header.kind {
        Kind::Probe => Status::Durable,
        Kind::Event => {
            let event = HookEvent { arrived_ns: header.arrived_ns, client, body: Bytes::from(body) };
            match door.hook(event).await {
                Ack::Durable => Status::Durable,
                Ack::Refused => Status::Refused,
            }
        }
    };
    drop(permit);
    stream.write_all(&frame::encode_reply(status, 0)).await?;
    stream.shutdown().await
}
