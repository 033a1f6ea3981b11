//! What the scripted model does in the sessions with the real client, and how each of its tool calls must end.

use std::path::Path;

use ccd_tests::mock::{Answer, End, Reply, Script, ToolCall, fail, reply};
use serde_json::{Value, json};

/// The user's settings: one kind of command is denied. Two spaces and a key of the user's own, so that a file
/// that comes back reformatted shows.
pub(crate) const SETTINGS: &str = "{\n  \"permissions\": {\n    \"deny\": [ \"Bash(rm:*)\" ]\n  }\n}\n";

/// Starts [`everything`].
pub(crate) const EVERYTHING: &str = "SCENARIO-everything";
/// Starts [`everything`]'s second turn.
pub(crate) const AGAIN: &str = "SCENARIO-again";
/// Starts [`flaky`].
pub(crate) const FLAKY: &str = "SCENARIO-flaky";
/// Starts [`invalid`].
pub(crate) const INVALID: &str = "SCENARIO-invalid";
/// Starts [`background`].
pub(crate) const BACKGROUND: &str = "SCENARIO-background";

/// Starts the second half of [`everything_twice`].
pub(crate) const EVERYTHING_ELSEWHERE: &str = "SCENARIO-all-over-again";
/// Tool calls of [`everything`], those of its subagents included.
pub(crate) const EVERYTHING_CALLS: usize = 12;
/// Model calls by subagents of [`everything`].
pub(crate) const EVERYTHING_AGENT_CALLS: usize = 6;

/// A turn with several tools, parallel ones, a failing one, a denied one, two subagents at once and a third inside
/// the second; and a short second turn. `work` is where the session runs.
pub(crate) fn everything(work: &Path) -> Script {
    Script::new()
        .on(EVERYTHING, main_thread(work))
        .on(
            "SCENARIO-helper",
            [reply().thinking_omitted().tool("Bash", bash("wc -l < a.txt")), reply().text("Two lines.")],
        )
        .on(
            "SCENARIO-other",
            [reply().tool("Agent", agent("SCENARIO-nested: look", false)), reply().text("Somebody looked.")],
        )
        .on("SCENARIO-nested", [reply().tool("Bash", bash("ls -a")), reply().text("Looked.")])
        .on(AGAIN, [reply().tool("Bash", bash("cat a.txt")), reply().text("Once more done.")])
}

/// [`everything`], and the same once more for a session that runs in `elsewhere`.
pub(crate) fn everything_twice(work: &Path, elsewhere: &Path) -> Script {
    everything(work).on(EVERYTHING_ELSEWHERE, main_thread(elsewhere))
}

fn main_thread(work: &Path) -> [Reply; 7] {
    let file = work.join("a.txt").display().to_string();
    // The client fills in a tool's defaults: without `replace_all`, its hooks would tell another input than we sent.
    let edited = json!({"file_path": file, "old_string": "two", "new_string": "2", "replace_all": false});
    [
        reply()
            .thinking("A file first.")
            .text("I'll write a file.")
            .tool("Write", json!({"file_path": file, "content": "one\ntwo\n"})),
        reply()
            .thinking_omitted()
            .text("Three at once.")
            .tool("Read", json!({"file_path": file}))
            .tool("Bash", bash("sleep 0.2; cat a.txt"))
            .tool("Bash", bash("ls"))
            .pings(1),
        reply().tool("Edit", edited),
        reply().tool("Bash", bash("echo failing >&2; exit 3")),
        reply().text("This one is denied.").tool("Bash", bash("rm -f a.txt")),
        reply()
            .tool("Agent", agent("SCENARIO-helper: count the lines", false))
            .tool("Agent", agent("SCENARIO-other: ask somebody", false)),
        reply().thinking_omitted().text("All done."),
    ]
}

/// A turn in which the API fails in every way that the client gets over by itself.
pub(crate) fn flaky() -> Script {
    let first: Vec<Answer> =
        vec![fail(529).into(), fail(429).retry_after(1).into(), reply().tool("Bash", bash("true")).into()];
    let cut: Vec<Answer> = vec![
        reply().text("This sentence breaks off.").end(End::Cut(3)).into(),
        reply().text("This one does not.").tool("Bash", bash("true")).into(),
    ];
    let error: Vec<Answer> =
        vec![reply().text("An error follows.").end(End::Error(3)).into(), reply().text("Recovered.").into()];
    Script::new().on(FLAKY, [first, cut, error])
}

/// A turn that starts a subagent in the background, as the client does by default.
pub(crate) fn background() -> Script {
    Script::new()
        .on(
            BACKGROUND,
            [reply().tool("Agent", agent("SCENARIO-worker: work", true)), reply().text("Started.")],
        )
        .on("SCENARIO-worker", [reply().tool("Bash", bash("echo working")), reply().text("Worked.")])
}

/// A turn with calls that never run: of a tool that does not exist, and with input that the tool refuses.
pub(crate) fn invalid() -> Script {
    let calls = reply().tool("NoSuchTool", json!({"a": 1})).tool("Write", json!({"content": "no path"}));
    Script::new().on(INVALID, [calls.tool("Bash", bash("true")), reply().text("Two of three never ran.")])
}

/// How the span of a scripted call must end.
pub(crate) fn verdict(call: &ToolCall) -> &'static str {
    let command = call.input["command"].as_str().unwrap_or_default();
    let never_runs = call.name == "NoSuchTool" || (call.name == "Write" && call.input["file_path"].is_null());
    if never_runs || command.contains("exit 3") {
        "error"
    } else if command.starts_with("rm ") {
        "denied"
    } else {
        "ok"
    }
}

fn bash(command: &str) -> Value {
    json!({"command": command, "description": "Run a command"})
}

fn agent(prompt: &str, background: bool) -> Value {
    json!({
        "description": "A helper", "prompt": prompt, "subagent_type": "general-purpose",
        "run_in_background": background,
    })
}
