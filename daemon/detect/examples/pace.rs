//! How long an event takes in all detectors, and what a session holds: `cargo run --release -p ccd-detect --example
//! pace`. Printed, not asserted: machines differ.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a program that prints measurements")]

use std::sync::Arc;
use std::time::Instant;

use ccd_detect::{Engine, Event, Index, Settings, Unknown};
use serde_json::{Value, json};

/// A turn of work every six events; outputs of usual sizes.
fn event(n: u64) -> Value {
    let at = 1_767_225_600_000_u64 + n * 3000;
    let line = |l: u64| format!("src/part{l}.rs:{n}: value {} took 0.{l}s", l * n);
    let lines = |count: u64| (0..count).map(line).collect::<Vec<_>>().join("\n");
    let output: String = lines(if n % 40 == 3 { 1200 } else { 60 });
    let tool = |name: &str, input: Value, response: Value| json!({"hook_event_name": "PostToolUse", "ts": at, "tool_name": name, "tool_input": input, "tool_response": response});
    match n % 6 {
        0 => {
            json!({"hook_event_name": "ApiTurn", "ts": at, "message_id": format!("m{n}"), "model": "claude-opus-4-6",
            "text": output, "usage": {"input_tokens": 1, "cache_creation_input_tokens": 900,
            "cache_read_input_tokens": n % 130_000, "output_tokens": 300}})
        }
        1 => tool(
            "Bash",
            json!({"command": format!("cargo test part{n} 2>&1 | tail -40")}),
            json!({"stdout": output, "stderr": ""}),
        ),
        2 => tool(
            "Read",
            json!({"file_path": format!("/home/u/app/src/part{n}.rs")}),
            json!({"type": "text", "file": {"content": output}}),
        ),
        3 => tool(
            "Grep",
            json!({"pattern": format!("part{n}")}),
            json!({"mode": "content", "content": output, "numLines": 60}),
        ),
        4 => tool("TaskUpdate", json!({"taskId": n}), json!({"success": true})),
        _ if n % 60 == 5 => json!({"hook_event_name": "UserPromptSubmit", "ts": at, "prompt": output}),
        _ if n % 30 == 11 => tool(
            "Edit",
            json!({"file_path": "/home/u/app/a.rs", "old_string": output, "new_string": n}),
            json!({}),
        ),
        _ => tool("Glob", json!({"pattern": format!("*{n}*")}), json!({"filenames": [], "numFiles": 0})),
    }
}

/// Kilobytes that the process holds, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").trim().parse().ok())
}

fn main() {
    let index: Arc<dyn Index> = Arc::new(Unknown);
    let settings = Settings::default();
    let events: Vec<Event> = (0..6000).map(|n| Event::from_hook(event(n))).collect();
    let mut engine = Engine::new(&settings, &index);
    let mut took: Vec<u128> = Vec::with_capacity(events.len());
    for event in &events {
        let started = Instant::now();
        let found = engine.observe(event);
        took.push(started.elapsed().as_nanos());
        drop(found);
    }
    took.sort_unstable();
    let at = |permille: usize| took.get(took.len() * permille / 1000).copied().unwrap_or(0) as f64 / 1000.0;
    let mean = took.iter().sum::<u128>() as f64 / took.len() as f64 / 1000.0;
    println!(
        "{} events: mean {mean:.1} µs, median {:.1}, 99 % {:.1}, 99.9 % {:.1}, most {:.1}",
        took.len(),
        at(500),
        at(990),
        at(999),
        took.last().copied().unwrap_or(0) as f64 / 1000.0
    );
    let before = resident();
    let engines: Vec<Engine> = (0..200)
        .map(|_| {
            let mut engine = Engine::new(&settings, &index);
            for event in &events[..600] {
                let _ = engine.observe(event);
            }
            engine
        })
        .collect();
    if let Some((before, after)) = before.zip(resident()) {
        let held: usize = engines.iter().map(Engine::held).sum();
        println!(
            "{} sessions of 600 events: {} kB each, {} items each",
            engines.len(),
            after.saturating_sub(before) / engines.len() as u64,
            held / engines.len()
        );
    }
}
