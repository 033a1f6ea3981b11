//! A session of fifty thousand rows among a thousand others, and what comes in while somebody looks.

use std::time::{SystemTime, UNIX_EPOCH};

use ccd_proto::api::{Reply, Session};
use ccd_tests::assert_eventually;
use ccd_tests::harness::{Control, Supervised, TestHome};
use serde_json::json;

use super::long;
use super::play::play;

const SESSION: &str = "10000000-0000-4000-8000-000000000001";
const TURNS: usize = 500;
const OTHERS: usize = 1_000;

#[test]
fn fifty_thousand_rows_and_what_comes_in_are_shown() {
    let home = TestHome::new("http://127.0.0.1:9");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    // A backup: nowhere that the daemon looks by itself.
    let backup = home.work().parent().unwrap().join("backup/projects/-nowhere-long");
    let long = long::write(&backup, SESSION, "/nowhere/long", TURNS, now - 30_000);
    for n in 0..OTHERS {
        let session = format!("20000000-0000-4000-8000-{n:012}");
        let at = now - 3_600_000 * (5 + i64::try_from(n).unwrap());
        long::write_short(&backup, &session, &format!("/nowhere/project-{}", n % 7), at);
    }
    let _daemon = Supervised::start(&home);
    let _ = home.ccctl(&["import", &backup.display().to_string()]).ok();
    let control = Control::of(&home);
    let taken = || -> Option<Session> {
        let found: Reply<ccd_proto::api::Sessions> = control.ask("/v0/sessions?limit=0")?;
        let whole = found.body.sessions.len() == OTHERS + 1;
        found.body.sessions.into_iter().find(|s| s.session_id == SESSION).filter(|_| whole)
    };
    let want = u64::try_from(TURNS).unwrap();
    assert_eventually!(taken().is_some_and(|session| session.turns >= want), "all is taken in");
    play(&home, "many", &json!({"long": long, "others": OTHERS, "projects": 7}));
}
