//! The real client: what a session's transcripts, hooks and exchanges tell together, and its transcripts alone, both
//! against what the mock billed.
//!
//! How the client's closing totals (`cost-state`) behave, which all of this rests on (2.1.329, found by trying):
//! - one is written at the end of each process that ends by itself or by SIGTERM, and at `/clear`; after SIGKILL none is,
//!   and nothing later makes up for it. It has no timestamp;
//! - a resumed session counts on from the last one in its file, under the same `startTime`; where there is none it
//!   starts from nothing, under a `startTime` of its own;
//! - a fork counts on from its original's last one, under the original's `startTime`, in a record of its own; its file
//!   holds the original's messages (after a compaction: those since), but not its closing totals;
//! - compactions are in them, and in no line; so are responses that broke off, whose output the client estimates from
//!   what it received; failed requests are not.

use std::collections::BTreeMap;

use ccd_proto::api::{Tokens, Usage};
use ccd_tests::corpus::oracle::Oracle;
use ccd_tests::harness::{ClientRun, Daemon, RealClient, TestHome, eventually};
use ccd_tests::mock::{Answer, End, Exchange, Mock, Script, fail, reply};

use super::{imported, rows};
use crate::check;
use crate::scenario::{AGAIN, EVERYTHING, everything};

/// A turn with retries that cost nothing.
const RETRIED: &str = "SCENARIO-retried";
/// A turn with a response that breaks off.
const CUT: &str = "SCENARIO-cut";
/// A fork's turn.
const FORKED: &str = "SCENARIO-forked";

fn script(home: &TestHome) -> Script {
    let retried: Vec<Answer> = vec![fail(529).into(), fail(529).into(), reply().text("At last.").into()];
    let text = "A sentence that is long enough to be told from the few tokens that a stream opens with.";
    let cut: Vec<Answer> =
        vec![reply().text(text).end(End::Cut(4)).into(), reply().text("Whole this time.").into()];
    everything(&home.work()).on(RETRIED, [retried]).on(CUT, [cut]).on(FORKED, [reply().text("I am a fork.")])
}

struct World {
    home: TestHome,
    mock: Mock,
    client: RealClient,
    /// Ended with the world; before the home is.
    _daemon: Daemon,
}

impl World {
    fn new() -> Self {
        let home = TestHome::without_upstream();
        let mock = Mock::start(script(&home));
        let home = home.with_upstream(&mock.url());
        home.write_settings(crate::scenario::SETTINGS);
        let daemon = Daemon::start(&home);
        World { client: RealClient::find(), home, mock, _daemon: daemon }
    }

    #[track_caller]
    fn run(&self, prompt: &str, args: &[&str]) -> ClientRun {
        self.client.print_captured(&self.home, prompt, args)
    }

    /// Waits until every exchange is recorded and every line read.
    #[track_caller]
    fn settled(&self) -> Vec<Exchange> {
        let ledger = self.mock.ledger();
        eventually("every exchange is recorded", || {
            (check::exchanges(&self.home).len() >= ledger.len()).then_some(())
        });
        imported(&self.home, 0);
        ledger
    }

    /// Another home, whose daemon has nothing but the transcripts.
    #[track_caller]
    fn transcripts_alone(&self) -> (TestHome, Daemon) {
        let root = self.home.user().join(".claude");
        let home = TestHome::new("http://127.0.0.1:9").with_env("CLAUDE_CONFIG_DIR", root);
        let daemon = Daemon::start(&home);
        imported(&home, 0);
        (home, daemon)
    }
}

/// What each session was billed.
fn by_session(ledger: &[Exchange]) -> BTreeMap<Vec<String>, Tokens> {
    let mut sums = BTreeMap::<_, Tokens>::new();
    for sent in ledger {
        if let (Some(session), Some(tokens)) = (sent.session(), sent.tokens) {
            *sums.entry(vec![session.to_owned()]).or_default() += tokens;
        }
    }
    sums
}

/// What a home's `usage session` tells.
#[track_caller]
fn told_by_session(home: &TestHome) -> BTreeMap<Vec<String>, Tokens> {
    let usage: Usage = home.query(&["usage", "session"]);
    rows(&usage).into_iter().map(|(key, (tokens, ..))| (key, tokens)).collect()
}

#[test]
fn with_and_without_the_proxy_every_session_costs_what_was_billed() {
    let world = World::new();
    let first = world.run(EVERYTHING, &[]);
    let id = first.session().to_owned();
    let _ = world.run(AGAIN, &["--resume", &id]);
    let _ = world.run("/compact", &["--resume", &id]);
    let _ = world.run(RETRIED, &["--resume", &id]);
    let fork = world.run(FORKED, &["--resume", &id, "--fork-session"]);
    assert_ne!(fork.session(), id);
    let _ = world.run(AGAIN, &["--resume", &id]);
    let ledger = world.settled();
    assert!(ledger.iter().any(|sent| sent.parent_agent().is_some()), "a nested subagent was at work");
    assert_eq!(ledger.iter().filter(|sent| sent.status == 529).count(), 2);

    let billed = by_session(&ledger);
    assert_eq!(billed.len(), 2);
    let (tokens, micros) = check::sum(ledger.iter());
    assert_eq!(told_by_session(&world.home), billed, "all three sources");
    let all: Usage = world.home.query(&["usage", "total"]);
    assert_eq!((all.totals.tokens, all.totals.cost_usd_micros), (tokens, Some(micros)), "all three sources");
    assert_eq!(all.side.tokens, Tokens::default(), "nothing was seen by the client alone");

    let (alone, _daemon) = world.transcripts_alone();
    assert_eq!(told_by_session(&alone), billed, "the transcripts alone");
    let usage: Usage = alone.query(&["usage", "total"]);
    assert_eq!((usage.totals.tokens, usage.totals.cost_usd_micros), (tokens, Some(micros)));
    assert_ne!(usage.side.tokens, Tokens::default(), "the compaction is in no line");
    let oracle = Oracle::count(&world.home.user().join(".claude"), "UTC");
    assert_eq!((usage.totals.tokens, usage.side.tokens), (oracle.total().tokens(), oracle.side()));
    for by in ["agent", "model", "project"] {
        let told = |home: &TestHome| {
            let usage: Usage = home.query(&["usage", "total", "--by", by]);
            rows(&usage)
                .into_iter()
                .map(|(key, (tokens, cost, _))| (key, (tokens, cost)))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(told(&alone), told(&world.home), "by {by}");
    }
}

#[test]
fn what_broke_off_was_billed_and_is_told() {
    let world = World::new();
    let run = world.run(CUT, &[]);
    assert_eq!(run.text(), "Whole this time.");
    let ledger = world.settled();
    check::assert_usage(&world.home, &ledger);
    let (tokens, _) = check::sum(ledger.iter());
    let all: Usage = world.home.query(&["usage", "total"]);
    assert_eq!(all.cut.exchanges, 1);
    assert_eq!(all.side.tokens, Tokens::default(), "the client's estimate adds nothing to what was seen");

    // Alone, the transcripts tell of it in their closing totals only: where the client saw its beginning at all, and its
    // output as the client estimated it.
    let (alone, _daemon) = world.transcripts_alone();
    let usage: Usage = alone.query(&["usage", "total"]);
    let client = &run.result["modelUsage"]["claude-opus-5-5"];
    let t = usage.totals.tokens;
    assert_eq!(client["inputTokens"], t.input);
    assert_eq!(client["outputTokens"], t.output);
    assert_eq!(client["cacheReadInputTokens"], t.cache_read);
    assert_eq!(client["cacheCreationInputTokens"], t.cache_write_5m + t.cache_write_1h);
    assert_eq!(t, Oracle::count(&world.home.user().join(".claude"), "UTC").total().tokens());
    assert!(t.prompt() <= tokens.prompt());
}

#[test]
fn a_run_that_was_killed_is_counted_by_its_lines() {
    let world = World::new();
    let first = world.run(AGAIN, &[]);
    let id = first.session().to_owned();
    // What a kill leaves: the lines of the run, and no closing totals.
    let path = transcript(&world.home, &id);
    let text = std::fs::read_to_string(&path).unwrap();
    let open: String =
        text.split_inclusive('\n').filter(|line| !line.contains("\"type\":\"cost-state\"")).collect();
    assert_ne!(open, text);
    std::fs::write(&path, open).unwrap();
    let _ = world.run(AGAIN, &["--resume", &id]);
    let _ = world.run("/compact", &["--resume", &id]);
    let ledger = world.settled();
    let (alone, _daemon) = world.transcripts_alone();
    let got = told_by_session(&alone);
    let oracle = Oracle::count(&world.home.user().join(".claude"), "UTC");
    let told = oracle.groups["session"][&id].tokens();
    assert_eq!(got, BTreeMap::from([(vec![id], told)]));
    let (tokens, _) = check::sum(ledger.iter());
    assert!(told.prompt() <= tokens.prompt(), "nothing is made up for what is not known");
}

/// A session's transcript.
fn transcript(home: &TestHome, id: &str) -> std::path::PathBuf {
    let projects = home.user().join(".claude/projects");
    let dirs = std::fs::read_dir(projects).unwrap().map(|entry| entry.unwrap().path());
    dirs.map(|dir| dir.join(format!("{id}.jsonl"))).find(|path| path.exists()).expect("a transcript")
}
