//! Hook events as the client sends them, and a way to hand them over as `cc-hook` does, but with a clock of the
//! test's own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccd_proto::frame::{self, Header, Kind, Status};
use serde_json::{Value, json};

/// A session that is made of hook events only.
#[derive(Clone, Debug)]
pub struct HookSession {
    /// Its id.
    pub session: String,
    /// Its one prompt's id.
    pub prompt: String,
}

impl Default for HookSession {
    fn default() -> Self {
        HookSession { session: uuid::Uuid::new_v4().to_string(), prompt: uuid::Uuid::new_v4().to_string() }
    }
}

impl HookSession {
    /// A session with an id of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn event(&self, name: &str, rest: Value) -> Vec<u8> {
        let mut event = json!({
            "session_id": self.session,
            "transcript_path": format!("/nowhere/{}.jsonl", self.session),
            "cwd": "/nowhere/project",
            "hook_event_name": name,
        });
        let Value::Object(rest) = rest else { panic!("an event's fields are an object") };
        event.as_object_mut().unwrap().extend(rest);
        // One line, as the client writes it.
        format!("{event}\n").into_bytes()
    }

    /// `SessionStart`.
    #[must_use]
    pub fn start(&self) -> Vec<u8> {
        self.event("SessionStart", json!({"source": "startup"}))
    }

    /// `UserPromptSubmit`.
    #[must_use]
    pub fn prompt(&self, text: &str) -> Vec<u8> {
        let rest = json!({"prompt_id": self.prompt, "permission_mode": "default", "prompt": text});
        self.event("UserPromptSubmit", rest)
    }

    /// `PreToolUse` of a Bash call.
    #[must_use]
    pub fn before_tool(&self, id: &str, command: &str) -> Vec<u8> {
        self.event("PreToolUse", self.tool(id, command))
    }

    /// `PostToolUse` of a Bash call.
    #[must_use]
    pub fn after_tool(&self, id: &str, command: &str, stdout: &str) -> Vec<u8> {
        let mut rest = self.tool(id, command);
        rest["tool_response"] =
            json!({"stdout": stdout, "stderr": "", "interrupted": false, "isImage": false});
        rest["duration_ms"] = 12.into();
        self.event("PostToolUse", rest)
    }

    /// `Stop`.
    #[must_use]
    pub fn stop(&self) -> Vec<u8> {
        let rest =
            json!({"prompt_id": self.prompt, "stop_hook_active": false, "last_assistant_message": "done"});
        self.event("Stop", rest)
    }

    fn tool(&self, id: &str, command: &str) -> Value {
        json!({
            "prompt_id": self.prompt, "permission_mode": "default", "tool_name": "Bash",
            "tool_input": {"command": command}, "tool_use_id": id,
        })
    }
}

/// Hands one event to the daemon and waits for its word; an error: it gave none.
pub fn deliver(socket: &Path, payload: &[u8]) -> std::io::Result<Status> {
    deliver_at(socket, now_ns(), payload)
}

/// The time of an event that happens now.
#[must_use]
pub fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or_default()
}

/// [`deliver`] of an event that happened then: with the same time and payload, the same event.
pub fn deliver_at(socket: &Path, arrived_ns: u64, payload: &[u8]) -> std::io::Result<Status> {
    let header = Header {
        kind: Kind::Event,
        body_len: u32::try_from(payload.len()).map_err(std::io::Error::other)?,
        arrived_ns,
    };
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&header.encode())?;
    stream.write_all(payload)?;
    stream.write_all(&frame::trailer(b"claude-code_2-1-329_harness"))?;
    let mut answer = [0; frame::REPLY_LEN];
    stream.read_exact(&mut answer)?;
    let (status, _) = frame::decode_reply(&answer).map_err(std::io::Error::other)?;
    Ok(status)
}
