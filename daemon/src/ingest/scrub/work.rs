//! A piece of work: one body, one event, one header. What is found in it is sealed together, at its end.
//!
//! Where every credential waited for the disk by itself, a page full of them would keep the thread for minutes. Nothing may
//! be given away that holds a mark of a piece of work that is not settled: its value is not durable yet.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ccd_redact::{Batch, Edit, Scrubber};

use super::{cuts, unscanned};

/// What looks through the texts of one piece of work.
pub(super) struct Work<'a> {
    scope: &'a str,
    scrubber: Arc<Scrubber>,
    batch: Option<Arc<dyn Batch>>,
}

impl<'a> Work<'a> {
    /// `scope`: the session.
    pub(super) fn new(scope: &'a str, scrubber: Arc<Scrubber>, batch: Option<Arc<dyn Batch>>) -> Self {
        Work { scope, scrubber, batch }
    }

    /// What the scrubber finds. All of what it falls over is left out.
    pub(super) fn found(&self, text: &str) -> Vec<Edit> {
        let edits = || match &self.batch {
            Some(batch) => self.scrubber.edits_in(self.scope, text.as_bytes(), batch),
            None => self.scrubber.edits(self.scope, text.as_bytes()),
        };
        catch_unwind(AssertUnwindSafe(edits))
            .unwrap_or_else(|_| vec![Edit { range: 0..text.len(), mark: unscanned(text.len()) }])
    }

    /// The text without credentials, which stands under a name that may tell of one.
    pub(super) fn named<'t>(&self, name: &str, text: &'t str) -> Cow<'t, str> {
        match &self.batch {
            Some(batch) => self.scrubber.named_in(self.scope, name, text, batch),
            None => self.scrubber.named(self.scope, name, text),
        }
    }

    /// Seals what was found, and puts right what was made of it: what could not be sealed is gone for good.
    pub(super) fn settle<'t>(self, texts: impl IntoIterator<Item = &'t mut String>) {
        let Some(batch) = self.batch else { return };
        let others: HashMap<String, String> = batch.settle().into_iter().collect();
        if others.is_empty() {
            return;
        }
        for text in texts {
            let made = cuts::reveal(text.as_bytes(), &[], &|mark| others.get(mark).cloned());
            if made != text.as_bytes() {
                *text = String::from_utf8_lossy(&made).into_owned();
            }
        }
    }
}
