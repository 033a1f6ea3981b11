//! `ccd-mock-api`: the tests' mock of the Messages API, run by hand, so that the product can be tried without
//! an account and offline.
//!
//! ```text
//! ccd-mock-api [--listen 127.0.0.1:8090] [SCRIPT.json]
//! CCD_UPSTREAM=http://127.0.0.1:8090 ccctl run -- -p "demo: look around"
//! ```
//!
//! It is for trying things out: it checks no credentials and answers anybody who reaches its port.
#![allow(clippy::print_stdout, reason = "its output is for the person who runs it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use ccd_tests::mock::{Ended, Mock, Script, reply, trouble};
use clap::Parser;
use serde_json::json;

/// A mock of the Messages API with scripted answers.
#[derive(Parser)]
#[command(name = "ccd-mock-api", version)]
struct Args {
    /// Where to answer; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The script; without one, a prompt with the word `demo` plays a short session, and one with `demo: loop`, `demo: cosmetic`,
    /// `demo: missing`, `demo: edits`, `demo: done`, `demo: full` or `demo: costly` one in which that goes wrong.
    script: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let script = match &args.script {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            serde_json::from_str(&text).with_context(|| path.display().to_string())?
        }
        None => demo(),
    };
    let mock =
        Mock::start_at(script, args.listen).with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("{}", mock.url());
    let mut shown = 0;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let ledger = mock.ledger();
        // In order of arrival; one that is still running holds back those behind it.
        while let Some(exchange) = ledger.get(shown).filter(|exchange| exchange.ended != Ended::Running) {
            println!(
                "{} {} -> {} {} B in, {} B out, session {}, agent {}",
                exchange.method,
                exchange.path,
                exchange.status,
                exchange.request.len(),
                exchange.response.len(),
                exchange.session().unwrap_or("-"),
                exchange.agent().unwrap_or("-"),
            );
            shown += 1;
        }
    }
}

/// A session that thinks, runs tools (one fails), and starts a subagent.
fn demo() -> Script {
    let pace = Duration::from_millis(15);
    let agent = json!({
        "description": "Count the files", "prompt": "count-files: how many files are here?",
        "subagent_type": "general-purpose", "run_in_background": false,
    });
    let looks_around = Script::new()
        .on(
            "demo",
            [
                reply()
                    .thinking("The user wants a look around. Listing the directory first is cheap.")
                    .text("I'll look at the directory.")
                    .tool("Bash", json!({"command": "ls -la | head -20", "description": "List files"}))
                    .tool("Bash", json!({"command": "exit 3", "description": "Fail on purpose"}))
                    .pace(pace),
                reply()
                    .thinking_omitted()
                    .text("A helper can count the files.")
                    .tool("Agent", agent)
                    .pace(pace),
                reply().text("Looked around: one listing, one failed command, one helper.").pace(pace),
            ],
        )
        .on(
            "count-files",
            [
                reply()
                    .tool("Bash", json!({"command": "ls | wc -l", "description": "Count files"}))
                    .pace(pace),
                reply().text("Counted.").pace(pace),
            ],
        );
    // Of two markers in one prompt, the later conversation's counts.
    trouble::demos().into_iter().fold(looks_around, Script::with)
}
