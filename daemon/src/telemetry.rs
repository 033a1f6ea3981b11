//! Logging: one line per event, to stderr in the foreground and to a file as a daemon, with a filter that can
//! be changed while it runs.
//!
//! Must never log a payload, a header's value or a credential: what is worth keeping of those goes to the
//! store. The log has its own size limit, because nobody looks after it.

use std::path::Path;

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Lines that may wait to be written; more are dropped. Room for all of them is taken at once.
const LINES: usize = 4_096;
/// Days of log files kept.
const KEEP_FILES: usize = 7;

/// Changes the log filter of the running process.
#[derive(Clone)]
pub struct LogHandle {
    reload: Option<reload::Handle<EnvFilter, Registry>>,
}

impl LogHandle {
    /// A handle that changes nothing, for tests.
    #[must_use]
    pub fn disconnected() -> Self {
        LogHandle { reload: None }
    }

    /// Puts another filter in force. The error says what is wrong with it.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let filter: EnvFilter = filter.parse().map_err(|e| format!("{e}"))?;
        match &self.reload {
            Some(handle) => handle.reload(filter).map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }
}

/// Starts logging for the whole process: into daily files in `dir`, and to stderr too where `to_stderr` says
/// so (foreground, or a service manager that keeps it). Keep the guards until the end: dropping them flushes.
pub fn init(filter: &str, dir: &Path, to_stderr: bool) -> anyhow::Result<(LogHandle, Vec<WorkerGuard>)> {
    let filter: EnvFilter = filter.parse()?;
    let (filter, handle) = reload::Layer::new(filter);
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("ccd")
        .filename_suffix("log")
        .latest_symlink("ccd.log")
        .max_log_files(KEEP_FILES)
        .build(dir)?;
    let (writer, guard) = queue(files);
    let mut guards = vec![guard];
    let file_layer = fmt::layer().with_ansi(false).with_writer(writer);
    let stderr_layer = to_stderr.then(|| {
        let (writer, guard) = queue(std::io::stderr());
        guards.push(guard);
        fmt::layer().with_ansi(false).with_writer(writer)
    });
    tracing_subscriber::registry().with(filter).with(file_layer).with(stderr_layer).try_init()?;
    Ok((LogHandle { reload: Some(handle) }, guards))
}

/// Logging for a process without threads: rare lines, each written at once, into the daemon's own file where there is
/// one. Does nothing where logging has begun already.
pub fn init_plain(dir: &Path, to_stderr: bool) {
    let dir = dir.to_owned();
    let file_layer = fmt::layer().with_ansi(false).with_writer(move || Appended::open(&dir));
    let stderr_layer = to_stderr.then(|| fmt::layer().with_ansi(false).with_writer(std::io::stderr));
    let filter = EnvFilter::new("info");
    let _ = tracing_subscriber::registry().with(filter).with(file_layer).with(stderr_layer).try_init();
}

/// A line at the end of the log of the day.
struct Appended(Option<std::fs::File>);

impl Appended {
    fn open(dir: &Path) -> Self {
        // The link to the day's file that the workers write; before the first of them there is none.
        let current = [dir.join("ccd.log"), dir.join("supervise.log")];
        let [shared, own] = current.map(|path| (path.exists(), path));
        let path = if shared.0 { shared.1 } else { own.1 };
        let opened = fs_err::OpenOptions::new().create(true).append(true).open(path);
        Appended(opened.ok().map(|file| file.into_parts().0))
    }
}

impl std::io::Write for Appended {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.write(line),
            None => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn queue<T: std::io::Write + Send + 'static>(to: T) -> (impl Fn() -> Scrubbed<NonBlocking>, WorkerGuard) {
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(to);
    (move || Scrubbed(writer.clone()), guard)
}

/// Takes credentials out of whole lines: at the finest levels the libraries below us tell what they send.
struct Scrubbed<T>(T);

impl<T: std::io::Write> std::io::Write for Scrubbed<T> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        // One that cannot be looked through is left out; a panic must not go up into whoever logs.
        let looked = std::panic::catch_unwind(|| ccd_redact::Redactor::standard().bytes(line).into_owned());
        match looked {
            Ok(scrubbed) => self.0.write_all(&scrubbed)?,
            Err(_) => self.0.write_all(b"[unscanned]\n")?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn no_line_of_the_log_holds_a_credential() {
        let value = ccd_redact::sample::filled("ghp_{a36}", 1);
        let mut log = Scrubbed(Vec::new());
        let line = format!("TRACE h2: send frame=Headers {{ x: \"{value}\" }} n=7\n");
        assert_eq!(log.write(line.as_bytes()).unwrap(), line.len());
        let logged = String::from_utf8(log.0).unwrap();
        assert!(!logged.contains(&value) && logged.ends_with(" n=7\n"), "{logged}");
    }
}
