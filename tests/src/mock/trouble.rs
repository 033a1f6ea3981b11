//! Conversations in which something goes wrong, each in one way that a detector is to see, and that stays honest traffic:
//! every call has an id of its own, and every answer says what it costs.
//!
//! A conversation here ends by itself after a number of steps that the caller gives: nothing that is said to it, and
//! nobody who says nothing, can make it go on for ever.

use ccd_proto::api::Tokens;
use serde_json::{Value, json};

use super::script::{Conversation, Reply, reply};

/// What the client puts before the reason when a hook denied a call.
pub const DENIED: &str = "hook error: ";
/// What a conversation says after this has been denied to it, before the reason.
pub const GIVES_WAY: &str = "I was told: ";
/// The claim that [`unfounded`] ends with.
pub const CLAIM: &str = "Done. All tests pass.";

/// The same command again and again, `times` times; a denial makes it end, and quote what it was told.
#[must_use]
pub fn repeated(marker: &str, command: &str, times: usize) -> Conversation {
    giving_way(Conversation::new(marker, ended((0..times).map(|_| call(command)))))
}

/// [`repeated`] by a model that does not listen.
#[must_use]
pub fn stubborn(marker: &str, command: &str, times: usize) -> Conversation {
    Conversation::new(marker, ended((0..times).map(|_| call(command))))
}

/// One command in other words each time: from the same directory, with its errors elsewhere, with another description or
/// time-out. `work` is where the session runs.
#[must_use]
pub fn cosmetic(marker: &str, command: &str, work: &str, times: usize) -> Conversation {
    let variant = |n: usize| {
        let line = match n % 4 {
            0 => command.to_owned(),
            1 => format!("{command} 2>&1"),
            2 => format!("cd {work} && {command}"),
            _ => format!("cd {work} && {command} 2>&1"),
        };
        let input = json!({"command": line, "description": format!("Try {n}"), "timeout": 60_000 + n});
        reply().tool("Bash", input)
    };
    giving_way(Conversation::new(marker, ended((0..times).map(variant))))
}

/// Reads files that are not there, by names that nobody said. `work` is where the session runs.
#[must_use]
pub fn missing(marker: &str, work: &str) -> Conversation {
    let names = ["auth/session_manager.rs", "auth/token_store.rs", "net/retry_policy.rs", "net/backoff.rs"];
    let read = |name| reply().tool("Read", json!({"file_path": format!("{work}/src/{name}")}));
    Conversation::new(marker, ended(names.into_iter().map(read)))
}

/// Edits `file` by a text that is not in it, which the client refuses before it asks any hook.
#[must_use]
pub fn missed_edits(marker: &str, file: &str, times: usize) -> Conversation {
    let edit = || {
        let input = json!({
            "file_path": file, "old_string": "fn no_such_thing()", "new_string": "fn thing()", "replace_all": false,
        });
        reply().tool("Edit", input)
    };
    Conversation::new(marker, ended((0..times).map(|_| edit())))
}

/// Runs `check`, which is to fail; writes `file`; says [`CLAIM`], and again each time it is kept from ending, `times` times
/// in all. After that it admits.
#[must_use]
pub fn unfounded(marker: &str, check: &str, file: &str, times: usize) -> Conversation {
    let write = reply().tool("Write", json!({"file_path": file, "content": "print('changed')\n"}));
    let claims = (0..times).map(|_| reply().text(CLAIM));
    let admits = reply().text("The tests still fail; I did not mend them.");
    Conversation::new(marker, [call(check), write].into_iter().chain(claims).chain([admits]))
}

/// A context that fills: one answer for each of `percent`, of a `window` in tokens, and one more like the last of them.
#[must_use]
pub fn filling(marker: &str, window: u64, percent: &[u64]) -> Conversation {
    let tokens = |percent: u64| {
        let context = window * percent / 100;
        let (input, output, cache_write_5m) = (100, 900, 9_000);
        let cache_read = context - input - output - cache_write_5m;
        Tokens { input, output, cache_read, cache_write_5m, ..Tokens::default() }
    };
    let part = |(n, percent): (usize, &u64)| call(&format!("echo part {n}")).tokens(tokens(*percent));
    let last = percent.last().map(|percent| reply().text("All parts.").tokens(tokens(*percent)));
    Conversation::new(marker, percent.iter().enumerate().map(part).chain(last))
}

/// Answers whose context of 80,000 tokens comes from the cache once, and then is paid in full `times` times.
#[must_use]
pub fn uncached(marker: &str, times: u64) -> Conversation {
    let tokens = |n: u64, read: bool| {
        let context = 80_000 + 1_000 * n;
        let (cache_read, cache_write_5m) = if read { (context, 1_000) } else { (0, context) };
        Tokens { input: 50, output: 300, cache_read, cache_write_5m, ..Tokens::default() }
    };
    let part = |n: u64| call(&format!("echo part {n}")).tokens(tokens(n, n < 2));
    let last = reply().text("All parts.").tokens(tokens(times + 2, false));
    Conversation::new(marker, (0..=times).map(part).chain([last]))
}

fn giving_way(conversation: Conversation) -> Conversation {
    conversation.turning(DENIED, [reply().text(&format!("{GIVES_WAY}{{seen}}"))])
}

fn ended(steps: impl Iterator<Item = Reply>) -> impl Iterator<Item = Reply> {
    steps.chain([reply().text("I got no further.")])
}

fn call(command: &str) -> Reply {
    reply().tool("Bash", bash(command))
}

fn bash(command: &str) -> Value {
    json!({"command": command, "description": "Run a command"})
}

/// All of them, small, for trying things out by hand: a prompt with `demo: loop`, `demo: cosmetic`, `demo: missing`,
/// `demo: edits`, `demo: done`, `demo: full` or `demo: costly` starts one.
#[must_use]
pub fn demos() -> Vec<Conversation> {
    // Fails wherever Python is, and leaves nothing behind.
    let check = "python3 -m unittest no_such_tests_of_the_demo";
    vec![
        repeated("demo: loop", "cat no-such-file-of-the-demo", 10),
        cosmetic("demo: cosmetic", "cat no-such-file-of-the-demo", ".", 10),
        missing("demo: missing", "."),
        missed_edits("demo: edits", "no-such-file-of-the-demo", 5),
        unfounded("demo: done", check, "/tmp/ccd-demo.py", 5),
        filling("demo: full", 1_000_000, &[60, 75, 79, 85]),
        uncached("demo: costly", 4),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::script::{Answer, Step};

    /// The tokens of the answers, in order.
    fn told(conversation: &Conversation) -> Vec<Tokens> {
        let tokens = |Step(answers): &Step| match &answers[..] {
            [Answer::Reply(reply)] => reply.tokens.unwrap(),
            other => panic!("one reply: {other:?}"),
        };
        conversation.steps.iter().map(tokens).collect()
    }

    fn context(tokens: &Tokens) -> u64 {
        tokens.input + tokens.output + tokens.cache_read + tokens.cache_write_5m
    }

    #[test]
    fn a_context_fills_to_what_was_asked_for() {
        let told = told(&filling("m", 200_000, &[60, 75]));
        assert_eq!(told.iter().map(context).collect::<Vec<_>>(), [120_000, 150_000, 150_000]);
    }

    #[test]
    fn a_cache_is_missed_as_often_as_was_asked_for() {
        let told = told(&uncached("m", 3));
        let missed: Vec<bool> = told.iter().map(|tokens| tokens.cache_read == 0).collect();
        assert_eq!(missed, [false, false, true, true, true]);
        assert!(told.iter().all(|tokens| context(tokens) > 80_000));
    }

    #[test]
    fn every_conversation_ends_in_words() {
        for conversation in demos() {
            let turnings = conversation.turnings.iter().map(|turning| &turning.steps);
            for steps in turnings.chain([&conversation.steps]) {
                let Some(Step(last)) = steps.last() else { panic!("{} says nothing", conversation.marker) };
                let [Answer::Reply(last)] = &last[..] else { panic!("one reply: {last:?}") };
                let calls = last.blocks.iter().any(|b| matches!(b, crate::mock::Block::ToolUse { .. }));
                assert!(!calls, "{} goes on", conversation.marker);
            }
        }
    }
}
