//! How much a client of the proxy may ask for: sizes, times, connections. All in one place.
//!
//! Must never limit how long upstream, or a client that reads slowly, may take: a model thinks for minutes, and the
//! client has time limits of its own. What is limited is what costs us memory, file descriptors or tasks while nothing
//! comes of it.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are asked for at start, where the hard limit allows: two for each connection, and the store's.
const OPEN_FILES: u64 = 4096;
/// Open files left to the store, the sockets of `cc-hook` and `ccctl`, and the log.
const RESERVED_FILES: u64 = 40;
/// Connections that are always let in, however few files may be open.
const FEWEST_CONNECTIONS: usize = 8;

/// The limits. The figures of [`Limits::DEFAULT`] are those that servers in front of an API commonly have; each is far
/// above what Claude Code does (2 KB of head in 25 fields, a few connections, bodies of some MB; API requests end at
/// 32 MB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head. Beyond: 431.
    pub head_bytes: usize,
    /// Header fields of a request. Beyond: 431. hyper's own limit is the same.
    pub fields: usize,
    /// How long a head may take from its first byte to its last. Beyond: 408.
    pub head: Duration,
    /// How long a connection may rest between two requests; then it is closed.
    pub idle: Duration,
    /// How long a client may be silent in the middle of a request's body while we wait for it. Then the connection is
    /// cut, and with it the request to upstream.
    pub stall: Duration,
    /// Bytes of a request's body. Declared beyond: 413 at once; undeclared: cut there.
    pub body_bytes: u64,
    /// Connections open at a time. Beyond: one that has rested for `spare` is closed, else 503, to be tried again in a
    /// second.
    pub connections: usize,
    /// How long a connection has to have rested before it may be closed to make room.
    pub spare: Duration,
    /// Connections that are being told so at a time; further ones wait in the listener's queue.
    pub turned_away: usize,
    /// How long a refused client's remaining bytes are read and dropped, so that it gets to read its answer: closing
    /// with unread bytes would reset the connection and take the answer with it.
    pub linger: Duration,
}

impl Limits {
    /// Those of a process that may open enough files.
    pub const DEFAULT: Limits = Limits {
        head_bytes: 64 << 10,
        fields: 100,
        head: Duration::from_secs(10),
        idle: Duration::from_secs(620),
        stall: Duration::from_secs(620),
        body_bytes: 512 << 20,
        connections: 512,
        spare: Duration::from_secs(5),
        turned_away: 32,
        linger: Duration::from_secs(1),
    };

    /// Those of this process: its soft limit of open files is raised as far as the hard one allows, and the connections
    /// fit into what it then is.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::DEFAULT.for_open_files(raise_open_files())
    }

    /// The same with so few connections that, each with one of its own to upstream, they leave files for the rest.
    #[must_use]
    pub fn for_open_files(self, files: Option<u64>) -> Self {
        let Some(files) = files else { return self };
        let fit = usize::try_from(files.saturating_sub(RESERVED_FILES) / 2).unwrap_or(usize::MAX);
        let connections = self.connections.min(fit.max(FEWEST_CONNECTIONS));
        Limits { connections, turned_away: self.turned_away.min(connections / 4).max(1), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Raises the soft limit of open files, and tells it; `None`: there is none.
fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if current.is_some_and(|current| current < wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok()
    {
        return Some(wanted);
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        let connections = |files| Limits::DEFAULT.for_open_files(files).connections;
        assert_eq!(connections(None), 512);
        assert_eq!(connections(Some(1 << 20)), 512);
        assert_eq!(connections(Some(1024)), 492);
        assert_eq!(connections(Some(64)), 12);
        assert_eq!(connections(Some(10)), FEWEST_CONNECTIONS);
        assert_eq!(Limits::DEFAULT.for_open_files(Some(64)).turned_away, 3);
    }

    #[test]
    fn the_soft_limit_is_raised() {
        let files = raise_open_files().unwrap_or(u64::MAX);
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert!(files >= hard.min(OPEN_FILES), "{files} of {hard}");
    }
}
