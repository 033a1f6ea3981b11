//! One number everywhere: whatever command or page tells tokens and cost tells what the oracle counts in the same
//! transcripts, to the token and the micro-dollar.

mod ccusage;
mod commands;
mod hostile;
mod keeping;
mod orders;
mod real;

use std::collections::BTreeMap;

use ccd_proto::api::{Tokens, Usage, UsageRow};
use ccd_tests::corpus::oracle::Oracle;
use ccd_tests::corpus::{self, Spec, Written};
use ccd_tests::harness::{Control, Daemon, TestHome, poll};
use std::path::PathBuf;
use std::time::Duration;

/// How long an import may take. Only what hangs gets near it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A home in which the client has left transcripts, and a daemon that has read them.
struct World {
    home: TestHome,
    written: Written,
    daemon: Option<Daemon>,
}

impl World {
    #[track_caller]
    fn of(spec: &Spec) -> Self {
        let home = TestHome::new("http://127.0.0.1:9");
        let written = corpus::write(&home.user().join(".claude"), spec).unwrap();
        let mut world = World { home, written, daemon: None };
        world.start();
        world
    }

    /// Where the transcripts lie.
    fn root(&self) -> PathBuf {
        self.home.user().join(".claude")
    }

    /// Starts the daemon and waits until it has read everything.
    #[track_caller]
    fn start(&mut self) {
        self.daemon = Some(Daemon::start(&self.home));
        imported(&self.home, self.written.torn);
    }

    /// Ends the daemon as a kill does, and starts another.
    #[track_caller]
    fn killed_and_started(&mut self) {
        self.daemon.take().unwrap().kill9();
        self.start();
    }

    /// What the control API tells of usage.
    #[track_caller]
    fn usage(&self, query: &str) -> Usage {
        let path = format!("/v0/usage?{query}");
        let (status, body) = Control::of(&self.home).get(&path).unwrap();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

/// Waits until all transcripts of a home are read, but for `torn` bytes of half lines.
#[track_caller]
pub(crate) fn imported(home: &TestHome, torn: u64) {
    let done = || {
        let status = home.ccctl(&["status", "--json"]).ok().json();
        let told = &status["transcripts"];
        let (taken, total) = (told["imported_bytes"].as_u64()?, told["total_bytes"].as_u64()?);
        (total > 0 && taken + torn == total).then_some(())
    };
    assert!(
        poll(PATIENCE, done).is_some(),
        "all transcripts are read: {} torn of {}",
        torn,
        home.ccctl(&["status", "--json"]).json()["transcripts"]
    );
}

/// What a sum tells: tokens, micro-dollars, messages.
type Told = (Tokens, Option<i64>, u64);

fn told(row: &UsageRow) -> Told {
    (row.tokens, row.cost_usd_micros, row.exchanges)
}

/// The oracle's sums of a grouping such as `daily model`, each under the parts of its key.
#[track_caller]
fn expected(oracle: &Oracle, group: &str) -> BTreeMap<Vec<String>, Told> {
    let sums = oracle.groups.get(group).unwrap_or_else(|| panic!("the oracle knows no {group}"));
    let parts = |key: &str| key.split('\t').filter(|part| !part.is_empty()).map(String::from).collect();
    sums.iter().map(|(key, sum)| (parts(key), (sum.tokens(), sum.cost, sum.messages))).collect()
}

/// The rows' sums, each under the values of its key in the order of `names`.
#[track_caller]
fn rows(usage: &Usage) -> BTreeMap<Vec<String>, Told> {
    let period = match usage.period.as_str() {
        "daily" => Some("date"),
        "weekly" => Some("week"),
        "monthly" => Some("month"),
        "session" => Some("session_id"),
        "blocks" => Some("block"),
        _ => None,
    };
    let names: Vec<&str> = period.into_iter().chain(usage.by.iter().map(String::as_str)).collect();
    let key = |row: &UsageRow| names.iter().map(|name| row.key[*name].clone()).collect::<Vec<_>>();
    let all: BTreeMap<_, _> = usage.rows.iter().map(|row| (key(row), told(row))).collect();
    assert_eq!(all.len(), usage.rows.len(), "no key is there twice");
    all
}

/// Asserts that two groupings are the same, and shows what is not.
#[track_caller]
fn assert_same(what: &str, got: &BTreeMap<Vec<String>, Told>, wanted: &BTreeMap<Vec<String>, Told>) {
    let keys: std::collections::BTreeSet<_> = got.keys().chain(wanted.keys()).collect();
    let differ: Vec<_> = keys.into_iter().filter(|key| got.get(*key) != wanted.get(*key)).collect();
    let shown = differ.iter().take(8).map(|key| (key, got.get(*key), wanted.get(*key))).collect::<Vec<_>>();
    assert!(
        differ.is_empty(),
        "{what}: {} of {} rows differ (key, told, oracle): {shown:#?}",
        differ.len(),
        wanted.len()
    );
}
