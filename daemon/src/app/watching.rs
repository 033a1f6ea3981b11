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
use crate::detect::session::{Kit, NoTrees, engines};
use crate::detect::thread::Detecting;
use crate::ingest::found::DetectionV1;
use crate::startup::StartError;

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
        let (prices, trees) = (app.shared.live.prices(), Arc::new(NoTrees));
        let kit = Kit { settings, prices, trees, make: engines() };
        let detecting = Detecting::new(&app.detect, rx, Arc::clone(&app.shared), kit, heal, out);
        let thread = Builder::new().name("ccd-detect".into()).spawn(move || detecting.run());
        let thread = thread.map_err(|e| failed("the detectors' thread", &e))?;
        let telling = Arc::clone(app);
        let tell = move |detection: &DetectionV1| alert::detection(&telling, detection);
        let recorder = tokio::spawn(recorder::run(found, app.door.clone(), tell));
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
