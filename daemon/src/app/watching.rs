//! The detectors' thread and their recorder, begun with the writer and ended before it.
//!
//! Must never keep a daemon from ending: a detector that hangs is left behind.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::life::failed;
use super::{Running, locked};
use crate::alert;
use crate::detect::recorder;
use crate::detect::session::{Kit, engines};
use crate::detect::thread::Detecting;
use crate::detect::workspace::{Limits, Workspaces};
use crate::query::{Ask, detections};
use crate::startup::StartError;

/// How long to wait before a store that cannot be asked is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// The detectors' thread, and who records what it finds.
pub(super) struct Watching {
    thread: JoinHandle<()>,
    recorder: tokio::task::JoinHandle<()>,
}

impl Watching {
    /// Starts both; none where they were started already.
    pub(super) fn start(app: &Arc<Running>) -> Result<Option<Self>, StartError> {
        let Some(rx) = locked(&app.detect_rx).take() else { return Ok(None) };
        let (out, found) = mpsc::channel(recorder::QUEUE);
        let (settings, heal) = {
            let config = locked(&app.config);
            (Arc::new(config.detect.clone()), Arc::new(config.heal.clone()))
        };
        let trees = Workspaces::new(Limits::default(), settings.home.clone());
        let (prices, trees) = (app.shared.live.prices(), Arc::new(trees));
        let kit = Kit { settings, prices, trees, make: engines() };
        let detecting = Detecting::new(&app.detect, rx, Arc::clone(&app.shared), kit, heal, out);
        let thread = Builder::new().name("ccd-detect".into()).spawn(move || detecting.run());
        let thread = thread.map_err(|e| failed("the detectors' thread", &e))?;
        let telling = Arc::clone(app);
        let recorder = tokio::spawn(recorder::run(
            found,
            app.door.clone(),
            Arc::clone(app.detect.gauges()),
            move |detection| {
                tracing::info!(
                    kind = detection.kind,
                    rule = detection.rule,
                    "something goes wrong in a session"
                );
                alert::detection(&telling, detection);
            },
        ));
        tokio::spawn(remember(Arc::clone(app)));
        Ok(Some(Watching { thread, recorder }))
    }

    /// Lets what came be looked at and recorded, so long.
    pub(super) async fn end(self, app: &Running, patience: Duration) {
        let (feed, (tx, rx)) = (app.detect.clone(), oneshot::channel());
        // Not a thread of the runtime's, which would wait for one that hangs.
        let end = move || {
            feed.stop();
            let _ = self.thread.join();
            let _ = tx.send(());
        };
        if let Err(error) = Builder::new().name("ccd-detect-end".into()).spawn(end) {
            return tracing::warn!(%error, "what the detectors still have is read again at the next start");
        }
        let ended = async {
            let _ = rx.await;
            let _ = self.recorder.await;
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!("the detectors do not end: what they still have is read again at the next start");
        }
    }
}

/// Tells the detectors what the user said that still holds; again when another store takes the place of this one.
async fn remember(app: Arc<Running>) {
    let mut state = app.shared.state.subscribe();
    while !app.is_ending() {
        state.mark_unchanged();
        if let Ok(ask) = Ask::new(&app.shared, app.clock.now_ns()).await {
            let said = tokio::task::spawn_blocking(move || detections::judgements(&ask)).await;
            match said {
                Ok(Ok(said)) => {
                    app.detect.judged_anew(said);
                    if state.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::error!(error = error.error.message, "what the user said of detections");
                }
                Err(error) => tracing::error!(%error, "what the user said of detections"),
            }
        }
        // The store cannot be asked yet.
        tokio::time::sleep(AGAIN).await;
    }
}
