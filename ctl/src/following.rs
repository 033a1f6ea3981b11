//! Following what the daemon tells, line by line, across its restarts.
//!
//! A worker that makes room for the next, or dies, ends the stream; the next one is asked for what ended since. Must
//! never show a line twice, and never wait long for a daemon that is not coming back.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::client::{Client, Signals};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::printer::Printer;
use crate::supervisor;

/// How long a daemon that nobody supervises may be away.
const AWAY: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(3) };
/// How long a supervised one may be: its next worker has to start, and the one before to let go of the store.
const AWAY_SUPERVISED: Duration = Duration::from_secs(20);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// So long before the end of a stream something may have happened that it did not bring any more, in seconds.
const MARGIN_S: i64 = 10;
/// Lines remembered as shown.
const REMEMBERED: usize = 4096;

/// The lines shown last.
#[derive(Default)]
struct Shown {
    hashes: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Shown {
    /// Whether a line is a new one.
    fn is_new(&mut self, line: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        let hash = hasher.finish();
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }
}

/// Hands over each line of `target` as it comes, until a signal asks to end (true) or the daemon is gone for good
/// (false). No line may be longer than `max_line` bytes.
pub fn follow(
    env: &Env,
    client: &Client<'_>,
    out: &mut Printer,
    target: &str,
    max_line: usize,
    mut signals: Option<&mut Signals>,
    mut take: impl FnMut(&mut Printer, &[u8]) -> Result<()>,
) -> Result<bool> {
    let started = Instant::now();
    let (mut shown, mut opened_ever, mut told) = (Shown::default(), false, false);
    // Since when it is away, and from when on the next one is asked.
    let mut away: Option<(Instant, String)> = None;
    loop {
        let mark = if target.contains('?') { '&' } else { '?' };
        let asked = match &away {
            Some((_, from)) => format!("{target}{mark}from={from}"),
            None => target.to_owned(),
        };
        let (mut rest, mut opened): (Vec<u8>, bool) = (Vec::new(), false);
        let ended = client.follow(out, &asked, signals.as_deref_mut(), |out, bytes| {
            if !opened && opened_ever && !std::mem::replace(&mut told, true) {
                out.note("the daemon was started again; this goes on");
            }
            (opened, opened_ever) = (true, true);
            rest.extend_from_slice(bytes);
            let mut begin = 0;
            while let Some(len) = rest[begin..].iter().position(|b| *b == b'\n') {
                let line = rest[begin..begin + len].trim_ascii();
                begin += len + 1;
                // An empty line only keeps the connection alive.
                if !line.is_empty() && shown.is_new(line) {
                    take(out, line)?;
                }
            }
            rest.drain(..begin);
            if rest.len() > max_line {
                return Err(CommandError::failed("the daemon sent a line without end"));
            }
            out.flush()
        });
        match ended {
            Ok(true) => return Ok(true),
            Err(e) if !opened_ever || !matches!(e.kind, Kind::Disconnected | Kind::NotRunning) => {
                return Err(e);
            }
            _ => {}
        }
        if opened {
            away = None;
        }
        let (since, _) = away.get_or_insert_with(|| {
            let passed = jiff::SignedDuration::try_from(started.elapsed()).unwrap_or_default();
            let now = env.now.checked_add(passed).unwrap_or(env.now);
            let from = now.checked_sub(jiff::SignedDuration::from_secs(MARGIN_S)).unwrap_or(now);
            (Instant::now(), from.to_string())
        });
        let supervised = matches!(supervisor::supervision(&env.layout), Ok(Some(s)) if !s.refusing);
        if since.elapsed() > if supervised { AWAY_SUPERVISED } else { AWAY } {
            return Ok(false);
        }
        if let Some(signals) = signals.as_deref_mut() {
            if client.pause(signals, LOOK) {
                return Ok(true);
            }
        } else {
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};

    #[test]
    fn the_next_daemon_is_asked_for_what_ended_since_and_no_line_comes_twice() {
        let home = Home::new();
        let socket = home.env().layout.control_socket();
        let daemon = home.daemon(move |request| {
            if request.uri().query().is_none() {
                return Reply::json("{\"a\":1}\n\n{\"a\":2}\n{\"a\"");
            }
            // The last one: nobody is there afterwards.
            std::fs::remove_file(&socket).unwrap();
            Reply::json("{\"a\":2}\n{\"a\":3}\n")
        });
        let (mut out, _, err) = Printer::captured(80);
        let env = home.env();
        let client = Client::new(&env).unwrap();
        let mut lines = Vec::new();
        let ended = follow(&env, &client, &mut out, "/v0/x", 100, None, |_, line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        });
        assert_eq!(ended, Ok(false));
        assert_eq!(lines, ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        assert_eq!(err.text(), "the daemon was started again; this goes on\n");
        let asked = daemon.requests();
        assert_eq!(asked.len(), 2, "{asked:?}");
        // Ten seconds before the end.
        assert!(asked[1].starts_with("GET /v0/x?from=2026-11-20T21:29:50"), "{asked:?}");
    }

    #[test]
    fn a_daemon_that_was_never_there_is_an_error_at_once() {
        let (mut out, _, _) = Printer::captured(80);
        let env = Home::new().env();
        let client = Client::new(&env).unwrap();
        let error = follow(&env, &client, &mut out, "/v0/x", 100, None, |_, _| Ok(())).unwrap_err();
        assert_eq!(error.exit_code(), 3);
    }
}
