//! Work on the store itself that only its owner, the writer, can do: fixing a cut for a backup, and letting a restored
//! copy take the store's place. The writer does it between two batches.
//!
//! Must never be waited for by a source.

use ccd_store::{Cut, Staged, Swapped};
use tokio::sync::oneshot;

use super::Submission;

/// Work on the store itself. Dropped unanswered if the daemon ends first.
#[derive(Debug)]
pub enum Job {
    /// Make everything durable and say how far it goes.
    Cut(oneshot::Sender<Result<Cut, String>>),
    /// Close the store, let the copy take its place, open that. Possible too while the store cannot be opened.
    Swap(Staged, oneshot::Sender<Result<Swapped, String>>),
}

/// Takes the work out of a batch, in order.
pub(super) fn take(batch: &mut Vec<Submission>) -> Vec<Job> {
    let is_job = |submission: &mut Submission| matches!(submission, Submission::Maintain(_));
    if !batch.iter_mut().any(is_job) {
        return Vec::new();
    }
    let jobs = batch.extract_if(.., is_job);
    jobs.filter_map(|submission| match submission {
        Submission::Maintain(job) => Some(job),
        _ => None,
    })
    .collect()
}
