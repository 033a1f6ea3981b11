//! The control API, asked directly: where a test asks a thousand questions, a process for each is too many.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::home::TestHome;

/// How long an answer may take. Only what hangs gets near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The control socket of a home.
#[derive(Clone, Debug)]
pub struct Control(PathBuf);

impl Control {
    /// That of a home, whether somebody listens there or not.
    #[must_use]
    pub fn of(home: &TestHome) -> Self {
        Control(home.layout().control_socket())
    }

    /// The status and the body that a path is answered with; an error: nobody answered.
    pub fn get(&self, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: ccd\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let cut = || std::io::Error::other("the answer breaks off");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(cut)?;
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).ok_or_else(cut)?;
        let body = answer.split_off(end + 4);
        if body.len() == length { Ok((status, body)) } else { Err(cut()) }
    }

    /// What a path answers; none unless it is answered well.
    #[must_use]
    pub fn ask<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let (status, body) = self.get(path).ok()?;
        (status == 200).then(|| serde_json::from_slice(&body).ok())?
    }
}
