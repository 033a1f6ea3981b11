//! The worker's end of the channel to its supervisor.
//!
//! A supervisor that is gone is noticed by the channel's end. Where a service manager starts another one, we make room
//! for its worker; where nobody does, we go on by ourselves, because the port must be answered.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::channel::{Order, Word};
use crate::app::{RETIRE_IDLE, Running};

/// Says that this worker accepts, and does what the supervisor says, until the channel ends.
pub async fn attend(channel: UnixStream, app: Arc<Running>) {
    let stream = channel.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(channel));
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return tracing::error!(%error, "the supervisor cannot be heard"),
    };
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    if write.write_all(Word::Ready.line().as_bytes()).await.is_ok() {
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line,
                word = app.retiring() => {
                    if write.write_all(word.line().as_bytes()).await.is_err() {
                        break;
                    }
                    continue;
                }
            };
            let Ok(Some(line)) = line else { break };
            match Order::parse(&line) {
                Some(Order::Ping) => {
                    if write.write_all(Word::Pong.line().as_bytes()).await.is_err() {
                        break;
                    }
                }
                Some(Order::Drain) => app.hand_over(),
                Some(Order::Stop) => app.stop(false),
                Some(Order::StopNow) => app.stop(true),
                Some(Order::Retire(idle_s)) => {
                    let idle = Duration::from_secs(idle_s);
                    app.retire((idle != RETIRE_IDLE).then_some(idle));
                }
                Some(Order::Info(json)) => match serde_json::from_str(&json) {
                    Ok(about) => app.set_supervisor(Some(about)),
                    Err(error) => {
                        tracing::debug!(%error, "what the supervisor says of itself is not understood");
                    }
                },
                None => tracing::debug!(line, "an order that is not known"),
            }
        }
    }
    app.set_supervisor(None);
    if app.is_ending() {
        return;
    }
    if app.holders.proxy.outlives_us() {
        tracing::warn!("the supervisor is gone: making room for the next one's worker");
        app.hand_over();
    } else {
        app.lose_supervisor();
        tracing::warn!("the supervisor is gone: going on without one");
    }
}
