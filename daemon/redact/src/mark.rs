//! What is put in the place of a credential.

use std::sync::Arc;

/// A credential that was found, for whoever makes its mark.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The id of the rule that tells its kind.
    pub rule: &'a str,
    /// The credential itself, with escapes and encodings taken off.
    pub value: &'a str,
    /// The bytes of the text that the mark replaces: they differ from `value` where it was escaped, encoded or wrapped.
    pub source: &'a str,
    /// Where it was found: a session's id; empty where there is none.
    pub scope: &'a str,
}

/// Makes marks. A mark must tell nothing of the value to who does not hold a key to it.
pub trait Mark: Send + Sync {
    /// What stands for a credential. Quotes, backslashes, `<`, `>`, `&` and control characters in it become `_`, as marks
    /// stand inside strings and elements.
    fn mark(&self, hit: &Hit<'_>) -> String;

    /// Whether a value is, or holds, a mark: those are left as they are.
    fn is_mark(&self, value: &str) -> bool;

    /// Marks for one piece of work, whose values are kept together at its end. None: what a mark stands for is kept by the
    /// time that it is made, or not at all.
    fn batch(&self) -> Option<Arc<dyn Batch>> {
        None
    }
}

/// Marks of one piece of work. Nothing that holds one of them may be given away before they were settled.
pub trait Batch: Mark {
    /// Keeps what the marks stand for. Gives those that are to be others, each before what is to stand in its place: of
    /// values that could not be kept.
    fn settle(&self) -> Vec<(String, String)>;
}

impl<M: Mark + ?Sized> Mark for Arc<M> {
    fn mark(&self, hit: &Hit<'_>) -> String {
        (**self).mark(hit)
    }

    fn is_mark(&self, value: &str) -> bool {
        (**self).is_mark(value)
    }

    fn batch(&self) -> Option<Arc<dyn Batch>> {
        (**self).batch()
    }
}

/// Marks that tell the kind only: `[redacted:github-token]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named;

impl Mark for Named {
    fn mark(&self, hit: &Hit<'_>) -> String {
        format!("[redacted:{}]", hit.rule)
    }

    fn is_mark(&self, value: &str) -> bool {
        value.contains("[redacted:") || value.starts_with("redacted:")
    }
}
