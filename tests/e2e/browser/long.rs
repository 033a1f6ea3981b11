//! A long session as the client's transcripts tell it, made up: the same for the same length, and every call knows its
//! number, so that whoever reads it can tell whether one is missing.
//!
//! Must stay what the client writes: shapes are those of its transcripts.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// Model calls of a turn, and tool calls of each.
const CALLS: usize = 25;
const TOOLS: usize = 3;
/// Every so many turns, a subagent, a compaction, and an hour in which nothing happens.
const AGENT_EVERY: usize = 50;
const COMPACTION_EVERY: usize = 100;
const IDLE_AFTER: usize = 250;
/// Every so many tool calls, one that fails, and one that edits.
const ERROR_EVERY: usize = 97;
const EDIT_EVERY: usize = 41;
/// The output of one call says this; nothing else does.
const NEEDLE: &str = "the needle of the haystack";
/// That call.
const NEEDLE_AT: usize = 1_011;

/// Writes a session that ends at `end_ms`, of so many turns; what is in it.
pub(super) fn write(dir: &Path, session: &str, cwd: &str, turns: usize, end_ms: i64) -> Value {
    let turn_ms = 60_000;
    let idle = 3_600_000;
    let span = i64::try_from(turns).unwrap() * turn_ms + idle;
    let mut long = Long {
        session,
        cwd,
        out: String::new(),
        at_ms: end_ms - span,
        ids: 0,
        parent: None,
        step: 0,
        told: Told::default(),
    };
    for turn in 0..turns {
        let begins = long.at_ms;
        long.turn(dir, turn);
        long.at_ms = begins + turn_ms;
        if turn == IDLE_AFTER {
            long.at_ms += idle;
        }
    }
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(format!("{session}.jsonl")), &long.out).unwrap();
    let Told { llm, tools, agents, compactions, errors, edits, needle } = long.told;
    json!({
        "session": session, "turns": turns, "llm": llm, "tools": tools, "agents": agents, "compactions": compactions,
        "errors": errors, "edits": edits, "needle": {"text": NEEDLE, "step": needle}, "bytes": long.out.len(),
    })
}

/// Writes a session of one prompt and one answer.
pub(super) fn write_short(dir: &Path, session: &str, cwd: &str, at_ms: i64) {
    let mut long = Long {
        session,
        cwd,
        out: String::new(),
        at_ms,
        ids: 0,
        parent: None,
        step: 0,
        told: Told::default(),
    };
    long.prompt("A short question");
    long.answer(&[json!({"type": "text", "text": "A short answer."})], "end_turn");
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(format!("{session}.jsonl")), &long.out).unwrap();
}

#[derive(Default)]
struct Told {
    llm: usize,
    tools: usize,
    agents: usize,
    compactions: usize,
    errors: usize,
    edits: usize,
    needle: usize,
}

struct Long<'a> {
    session: &'a str,
    cwd: &'a str,
    out: String,
    at_ms: i64,
    ids: u64,
    parent: Option<String>,
    step: usize,
    told: Told,
}

impl Long<'_> {
    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}_01{:022}", self.ids)
    }

    fn push(&mut self, mut line: Value, agent: Option<&str>) {
        self.ids += 1;
        let uuid = format!("00000000-0000-4000-8000-{:012x}", self.ids);
        let at = jiff::Timestamp::from_millisecond(self.at_ms)
            .unwrap()
            .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string();
        let more = json!({
            "uuid": uuid, "parentUuid": self.parent, "timestamp": at, "isSidechain": agent.is_some(),
            "sessionId": self.session, "cwd": self.cwd, "gitBranch": "main", "version": "2.1.329",
            "userType": "external", "entrypoint": "cli",
        });
        let (Value::Object(to), Value::Object(more)) = (&mut line, more) else { return };
        to.extend(more);
        if let Some(agent) = agent {
            to.insert("agentId".into(), json!(agent));
        }
        writeln!(self.out, "{line}").unwrap();
        self.parent = Some(uuid);
        self.at_ms += 100;
    }

    fn prompt(&mut self, text: &str) {
        let id = self.id("prompt");
        self.push(
            json!({"type": "user", "promptId": id, "message": {"role": "user", "content": text}}),
            None,
        );
    }

    /// One message of the model's, a line for each of its blocks.
    fn answer(&mut self, blocks: &[Value], stop: &str) {
        self.answer_as(None, blocks, stop);
    }

    fn answer_as(&mut self, agent: Option<&str>, blocks: &[Value], stop: &str) {
        let (message, request) = (self.id("msg"), self.id("req"));
        let usage = json!({
            "input_tokens": 10, "output_tokens": 200, "cache_read_input_tokens": 20_000 + 7 * self.ids % 90_000,
            "cache_creation_input_tokens": 500, "service_tier": "standard",
            "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 0},
        });
        for block in blocks {
            let line = json!({
                "type": "assistant", "requestId": request,
                "message": {
                    "id": message, "type": "message", "role": "assistant", "model": "claude-opus-5-5",
                    "content": [block], "stop_reason": stop, "stop_sequence": null, "usage": usage,
                },
            });
            self.push(line, agent);
        }
        self.told.llm += 1;
    }

    fn result(&mut self, agent: Option<&str>, call: &str, told: &str, detail: &Value, is_error: bool) {
        let content =
            json!({"tool_use_id": call, "type": "tool_result", "content": told, "is_error": is_error});
        let line = json!({
            "type": "user", "message": {"role": "user", "content": [content]}, "toolUseResult": detail,
        });
        self.push(line, agent);
    }

    fn turn(&mut self, dir: &Path, turn: usize) {
        self.prompt(&format!("Prompt {turn}: go on with the work"));
        for _ in 0..CALLS {
            let calls: Vec<(String, Value, usize)> = (0..TOOLS).map(|_| self.call()).collect();
            let blocks: Vec<Value> = calls.iter().map(|(_, block, _)| block.clone()).collect();
            self.answer(&blocks, "tool_use");
            for (id, block, step) in calls {
                self.outcome(&id, &block, step);
            }
        }
        if turn % AGENT_EVERY == AGENT_EVERY - 1 {
            self.subagent(dir);
        }
        self.answer(&[json!({"type": "text", "text": format!("Turn {turn} is done.")})], "end_turn");
        if turn % COMPACTION_EVERY == COMPACTION_EVERY - 1 {
            self.compaction();
        }
    }

    /// A call that knows its number.
    fn call(&mut self) -> (String, Value, usize) {
        self.step += 1;
        self.told.tools += 1;
        let (step, id) = (self.step, self.id("toolu"));
        let (name, input) = if step.is_multiple_of(EDIT_EVERY) {
            self.told.edits += 1;
            let file = format!("{}/src/file{}.rs", self.cwd, step % 12);
            (
                "Edit",
                json!({"file_path": file, "old_string": format!("let n = {step};"), "new_string": format!("let n = {};", step + 1)}),
            )
        } else {
            ("Bash", json!({"command": format!("echo step {step:06}"), "description": "One more step"}))
        };
        (id.clone(), json!({"type": "tool_use", "id": id, "name": name, "input": input}), step)
    }

    fn outcome(&mut self, id: &str, block: &Value, step: usize) {
        if block["name"] == "Edit" {
            let (old, new) = (&block["input"]["old_string"], &block["input"]["new_string"]);
            let lines = json!([
                " fn main() {",
                format!("-{}", old.as_str().unwrap()),
                format!("+{}", new.as_str().unwrap()),
                " }"
            ]);
            let patch =
                json!([{"oldStart": 10, "oldLines": 3, "newStart": 10, "newLines": 3, "lines": lines}]);
            let detail = json!({
                "filePath": block["input"]["file_path"], "oldString": old, "newString": new, "originalFile": null,
                "structuredPatch": patch, "userModified": false, "replaceAll": false,
            });
            self.result(None, id, "The file has been updated.", &detail, false);
            return;
        }
        let fails = step.is_multiple_of(ERROR_EVERY);
        self.told.errors += usize::from(fails);
        let mut text =
            if fails { format!("Exit code 1\nno step {step:06}") } else { format!("step {step:06}") };
        if step == NEEDLE_AT {
            self.told.needle = step;
            let _ = write!(text, "\n{NEEDLE}");
        }
        let detail = if fails {
            json!(format!("Error: {text}"))
        } else {
            json!({"stdout": text, "stderr": "", "interrupted": false, "isImage": false})
        };
        self.result(None, id, &text, &detail, fails);
    }

    /// A subagent with a call of its own, in its own file.
    fn subagent(&mut self, dir: &Path) {
        self.told.agents += 1;
        self.told.tools += 2;
        let (call, agent) = (self.id("toolu"), format!("a{:016x}", self.ids));
        let input = json!({"description": "A helper", "prompt": "Help", "subagent_type": "general-purpose"});
        self.answer(&[json!({"type": "tool_use", "id": call, "name": "Agent", "input": input})], "tool_use");
        let (main, parent) = (std::mem::take(&mut self.out), self.parent.take());
        let who = Some(agent.as_str());
        self.push(json!({"type": "user", "message": {"role": "user", "content": "Help"}}), who);
        let inner = self.id("toolu");
        let block =
            json!({"type": "tool_use", "id": inner, "name": "Bash", "input": {"command": "echo helping"}});
        self.answer_as(who, &[block], "tool_use");
        self.result(who, &inner, "helping", &json!({"stdout": "helping", "stderr": ""}), false);
        self.answer_as(who, &[json!({"type": "text", "text": "Helped."})], "end_turn");
        let own = std::mem::replace(&mut self.out, main);
        self.parent = parent;
        let dir = dir.join(self.session).join("subagents");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("agent-{agent}.jsonl")), own).unwrap();
        let meta = json!({"agentType": "general-purpose", "description": "A helper", "toolUseId": call, "spawnDepth": 1});
        std::fs::write(dir.join(format!("agent-{agent}.meta.json")), meta.to_string()).unwrap();
        let detail = json!({"status": "completed", "agentId": agent, "content": [{"type": "text", "text": "Helped."}]});
        self.result(None, &call, "Helped.", &detail, false);
    }

    fn compaction(&mut self) {
        self.told.compactions += 1;
        let boundary = json!({
            "type": "system", "subtype": "compact_boundary", "level": "info", "content": "Conversation compacted",
            "compactMetadata": {"trigger": "auto", "preTokens": 150_000},
        });
        self.push(boundary, None);
        let summary = json!({
            "type": "user", "isCompactSummary": true, "isVisibleInTranscriptOnly": true,
            "message": {"role": "user", "content": "This session is being continued from a previous one."},
        });
        self.push(summary, None);
    }
}
