//! The hook socket: takes one frame per connection, answers once it is on disk.
//!
//! Only our own user (or root) is heard. Limits are checked before memory is taken; a peer that is slow or
//! wrong costs one task, for a bounded time. An event is scrubbed as soon as it is read whole: nobody sees it before. What an event is answered with is worked out in [`decide`]; nothing is read
//! of a payload here.

mod decide;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::frame::{self, HEADER_LEN, Header, Kind, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use decide::Said;
pub use decide::{Decide, Desk, Healer, LetRun, Times};

/// How long a peer may take to send its frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of frames being received, all connections together; further peers wait.
const MAX_INBOUND: usize = 256 << 20;

/// Serves the socket until `stop`; connections under way are finished.
pub async fn serve(listener: UnixListener, desk: Arc<Desk>, tracker: TaskTracker, stop: CancellationToken) {
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
        let (desk, room) = (Arc::clone(&desk), Arc::clone(&room));
        tracker.spawn(async move {
            if let Err(error) = one(stream, &desk, &room).await {
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

async fn one(mut stream: UnixStream, desk: &Desk, room: &Semaphore) -> std::io::Result<()> {
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
    let (status, said) = match header.kind {
        Kind::Probe => (Status::Durable, Said::Nothing),
        Kind::Event => {
            let scrub = desk.door.scrub();
            desk.event(scrub.hook_beside(header.arrived_ns, client, Bytes::from(body)).await).await
        }
    };
    drop(permit);
    let replied = reply(&mut stream, status, said.bytes()).await;
    let replied_well = replied.is_ok();
    if let Said::Healing(answer) = said {
        desk.settle(&mut stream, *answer, replied_well).await;
    }
    replied
}

async fn reply(stream: &mut UnixStream, status: Status, said: &[u8]) -> std::io::Result<()> {
    let len = u32::try_from(said.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&frame::encode_reply(status, len)[..], said].concat()).await?;
    // Our end only: `cc-hook` may have something to say yet.
    stream.shutdown().await
}
