//! The real Claude Code client, pinned, offline, with a made-up key.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::home::{TestHome, binary, repo_root};
use super::process::{self, Out};

/// The version that the tests are written for; `tests/run.sh` installs it.
pub const CLIENT_VERSION: &str = "2.1.329";

/// Looks like a key and is none.
pub const DUMMY_KEY: &str = "sk-ant-api03-this-is-a-made-up-key-for-tests-only";

/// The client's program.
#[derive(Clone, Debug)]
pub struct RealClient {
    program: PathBuf,
    /// Where its sessions run; none: in the home's project directory.
    dir: Option<PathBuf>,
}

/// A finished print-mode session.
#[derive(Debug)]
pub struct ClientRun {
    /// What it printed: the client's result object.
    pub result: Value,
    /// How long it took, in milliseconds.
    pub wall_ms: u64,
}

impl ClientRun {
    /// The session's id.
    #[must_use]
    pub fn session(&self) -> &str {
        self.result["session_id"].as_str().unwrap()
    }

    /// The model's last words.
    #[must_use]
    pub fn text(&self) -> &str {
        self.result["result"].as_str().unwrap()
    }

    fn of(started: std::time::Instant, out: &Out) -> Self {
        let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap();
        ClientRun { result: out.json(), wall_ms }
    }
}

impl RealClient {
    /// The client that `CCD_TEST_CLAUDE` names, else the one that `tests/run.sh` put under the target directory.
    #[track_caller]
    #[must_use]
    pub fn find() -> Self {
        let cached = || {
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| repo_root().join("target"), PathBuf::from);
            target.join("claude-code").join(CLIENT_VERSION).join("claude")
        };
        let program = std::env::var_os("CCD_TEST_CLAUDE").map_or_else(cached, PathBuf::from);
        assert!(
            program.is_file(),
            "the real client is missing at {}: `tests/run.sh` installs it (or name one in CCD_TEST_CLAUDE)",
            program.display()
        );
        RealClient { program, dir: None }
    }

    /// Its program.
    #[must_use]
    pub fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// The same client, its sessions running in `dir`, which is made if need be.
    #[must_use]
    pub fn in_dir(&self, dir: PathBuf) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        RealClient { dir: Some(dir), ..self.clone() }
    }

    /// `ccctl ARGS` where this is the client that it finds.
    #[track_caller]
    #[must_use]
    pub fn ccctl(&self, home: &TestHome, args: &[&str]) -> Out {
        process::run(home.command(&binary("ccctl")).args(args).env("CCCTL_CLAUDE", &self.program), b"")
    }

    /// `claude ARGS`, which asks no model.
    #[track_caller]
    #[must_use]
    pub fn run(&self, home: &TestHome, args: &[&str]) -> Out {
        process::run(home.command(&self.program).args(args), b"")
    }

    /// `claude -p PROMPT ARGS` as a plain process, sending to wherever `extra` and the settings say.
    #[track_caller]
    #[must_use]
    pub fn print(&self, home: &TestHome, prompt: &str, args: &[&str], extra: &[(&str, &str)]) -> ClientRun {
        let mut command = home.command(&self.program);
        command.args(print_args(prompt, args)).envs(extra.iter().copied());
        self.finish(command)
    }

    /// `ccctl run -- -p PROMPT ARGS`: the same, captured without an installation.
    #[track_caller]
    #[must_use]
    pub fn print_captured(&self, home: &TestHome, prompt: &str, args: &[&str]) -> ClientRun {
        let mut command = home.command(&binary("ccctl"));
        command.args(["run", "--"]).args(print_args(prompt, args)).env("CCCTL_CLAUDE", &self.program);
        self.finish(command)
    }

    #[track_caller]
    fn finish(&self, mut command: Command) -> ClientRun {
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
            .env("ANTHROPIC_API_KEY", DUMMY_KEY)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            // Lets it skip permissions when the tests run as root.
            .env("IS_SANDBOX", "1");
        let started = std::time::Instant::now();
        ClientRun::of(started, &process::run(&mut command, b"").ok())
    }
}

fn print_args<'a>(prompt: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["-p", prompt, "--output-format", "json", "--permission-mode", "bypassPermissions"];
    [&fixed, args].concat()
}
