//! The session's own list of things to do, from the tools that keep it.
//!
//! It must never guess: an item is open only if a tool said so.
//!
//! Invariant: at most [`MAX_TASKS`] items; the oldest is forgotten.

use std::collections::VecDeque;

use serde_json::Value;

use crate::event::{Outcome, ToolCall, text};
use crate::memory::push;
use crate::text::clip;

/// Items that are remembered.
const MAX_TASKS: usize = 64;
/// Bytes of an item's name.
const MAX_NAME: usize = 120;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Task {
    id: String,
    name: String,
    open: bool,
}

/// The list.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    items: VecDeque<Task>,
    /// Calls that touched the list since the last prompt.
    touched: u32,
    /// Items that were made, which stand for ids that were not told.
    made: u32,
    /// The event that last touched the list.
    at: usize,
    /// Others work on the list too: what they have done is not seen here.
    shared: bool,
}

impl Tasks {
    /// A prompt: what happens to the list counts from here.
    pub(super) fn prompt(&mut self) {
        self.touched = 0;
    }

    /// Others work on the list.
    pub(super) fn share(&mut self) {
        self.shared = true;
    }

    /// Takes a call in.
    pub(super) fn take(&mut self, at: usize, call: &ToolCall, outcome: &Outcome) {
        let Outcome::Ok(response) = outcome else { return };
        self.at = at;
        self.touched = self.touched.saturating_add(1);
        match call.name.as_str() {
            "TodoWrite" => {
                let todos = call.input.get("todos").and_then(Value::as_array);
                self.items.clear();
                for todo in todos.into_iter().flatten().take(MAX_TASKS) {
                    let open = matches!(text(todo, "status"), "pending" | "in_progress");
                    let name = clip(text(todo, "content"), MAX_NAME);
                    self.items.push_back(Task { id: String::new(), name, open });
                }
            }
            "TaskCreate" => {
                self.made = self.made.saturating_add(1);
                let told = response.pointer("/task/id").and_then(Value::as_str);
                let id = told.map_or_else(|| self.made.to_string(), |id| clip(id, MAX_NAME));
                let name = clip(call.text("subject"), MAX_NAME);
                push(&mut self.items, MAX_TASKS, Task { id, name, open: true });
            }
            "TaskUpdate" => {
                self.shared |= !call.text("owner").is_empty();
                let id = match call.input.get("taskId") {
                    Some(Value::String(id)) => clip(id, MAX_NAME),
                    Some(Value::Number(id)) => id.to_string(),
                    _ => return,
                };
                let open = match call.text("status") {
                    "pending" | "in_progress" => true,
                    "completed" | "deleted" | "cancelled" => false,
                    _ => return,
                };
                match self.items.iter_mut().find(|task| task.id == id) {
                    Some(task) => task.open = open,
                    None => push(&mut self.items, MAX_TASKS, Task { name: format!("task {id}"), id, open }),
                }
            }
            _ => {}
        }
    }

    /// How many are open, of a list that was kept in this turn.
    pub(super) fn open(&self) -> usize {
        if self.touched == 0 || self.shared { 0 } else { self.items.iter().filter(|task| task.open).count() }
    }

    /// Those that are open.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter(|task| task.open).map(|task| task.name.as_str())
    }

    /// The event that last touched the list.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// How many items it holds.
    pub(super) fn held(&self) -> usize {
        self.items.len()
    }
}
