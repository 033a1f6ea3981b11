//! A thread for the streams alone.
//!
//! No question, rebuild or import can stand in their way there, and an exchange, whose two connections wake each other,
//! never changes threads. Nothing that runs on it may block.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// The thread. What still runs on it ends when this is dropped.
pub struct Streams {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Streams {
    /// Starts it.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ccd-proxy")
            // Name look-ups, which do block, have threads beside it.
            .max_blocking_threads(8)
            .enable_all()
            .build()?;
        Ok(Streams { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a task there, and whatever that starts.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // A runtime must not wait for its threads within another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
