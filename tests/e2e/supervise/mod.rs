//! A port that is always answered: workers that die, are replaced, are stopped or cannot start, and the supervisor
//! itself killed. No connection is refused, no stream is cut that somebody did not kill.

mod crashes;
mod holder;
mod ladder;
mod life;
mod real;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::Command;

use ccd_tests::harness::wire::BodyEnd;
use ccd_tests::harness::{TestHome, binary};
use ccd_tests::mock::{Block, Reply, Script, reply};

use crate::proxy::Proxy;

/// A long answer in many pieces.
fn long(words: usize) -> Reply {
    reply().block(Block::Text { text: "word ".repeat(words), deltas: words, citations: Vec::new() })
}

/// Answers `SHORT` at once.
fn short() -> Script {
    Script::new().on("SHORT", [reply().text("A short answer.")])
}

/// One request on a connection of its own: its answer, or none if the connection ended first.
fn ask(proxy: &Proxy, session: &str) -> Option<(u16, Vec<u8>)> {
    let mut wire = proxy.try_connect().expect("no connection is refused");
    wire.try_send(proxy.message(session, "SHORT", true)).ok()?;
    let status = wire.try_head()?.status();
    let (body, end) = wire.read_rest();
    (end == BodyEnd::Whole).then_some((status, body))
}

/// A copy of the product's programs that a test may replace.
struct Installed {
    dir: PathBuf,
}

impl Installed {
    fn new(home: &TestHome) -> Self {
        let dir = home.user().join("bin");
        std::fs::create_dir_all(&dir).unwrap();
        let installed = Installed { dir };
        installed.put("ccctl", &binary("ccctl"));
        installed.put("ccd", &binary("ccd"));
        installed
    }

    fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Puts another file in a program's place, as an installer does: written aside, then renamed.
    fn put(&self, name: &str, from: &Path) {
        let aside = self.dir.join(".new");
        std::fs::copy(from, &aside).unwrap();
        std::fs::rename(aside, self.program(name)).unwrap();
    }

    /// Puts a script in a program's place.
    fn put_script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let aside = self.dir.join(".script");
        std::fs::write(&aside, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&aside, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(aside, self.program(name)).unwrap();
    }

    fn command(&self, home: &TestHome, name: &str) -> Command {
        home.command(&self.program(name))
    }
}
