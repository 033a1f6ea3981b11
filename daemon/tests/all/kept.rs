//! Exchanges that a leaving worker kept as files: taken in by whoever has the store, each of them once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use crate::common::{Daemon, home};
use ccd::ingest::record::{BodyV1, ExchangeV3, Outcome, RedactionV1, RouteV1, Stored};
use ccd::ingest::{CapturedExchange, Reserved};
use ccd::source::kept;

fn exchange(id: u8) -> CapturedExchange {
    let body = |seen| BodyV1 { seen, kept: 0, stored: Stored::Inline(Vec::new()) };
    CapturedExchange {
        record: ExchangeV3 {
            id: [id; 16],
            session_id: Some("kept".into()),
            agent_id: None,
            parent_agent_id: None,
            method: "POST".into(),
            path: "/v1/messages".into(),
            upstream: "https://api.anthropic.com".into(),
            client_http: 11,
            upstream_http: 11,
            started_ns: 1_795_200_000_000_000_000 + u64::from(id),
            request_end_us: Some(1),
            head_us: Some(2),
            first_byte_us: Some(3),
            end_us: 4,
            status: Some(200),
            outcome: Outcome::Complete,
            error: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            response_trailers: Vec::new(),
            request: body(7),
            response: body(2_000),
            marks: Vec::new(),
            route: RouteV1::default(),
            redaction: RedactionV1::default(),
        },
        request: vec!["request".into()],
        response: vec![vec![id; 1_000].into(), vec![id; 1_000].into()],
        budget: Reserved::new(Arc::default()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_recorded_once_however_often_its_file_comes_and_a_damaged_one_is_set_aside() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let spool = daemon.app.layout.spool_dir.clone();
    let count = || {
        let spool = spool.clone();
        move |extension: &str| {
            let files = std::fs::read_dir(&spool).unwrap().map(|e| e.unwrap().path());
            files.filter(|p| p.extension().is_some_and(|e| e == extension)).count()
        }
    };
    let count = count();
    for round in 0..3 {
        for id in 1..=2 {
            kept::keep(&spool, &exchange(id)).unwrap();
        }
        assert_eventually!(count(kept::EXTENSION) == 0, "round {round}: the files are taken in");
    }
    let listed = daemon.get("/v0/exchanges").await;
    assert_eq!(listed["exchanges"].as_array().unwrap().len(), 2, "{listed}");
    let id = listed["exchanges"][0]["exchange_id"].as_str().unwrap();
    let detail = daemon.get(&format!("/v0/exchanges/{id}")).await;
    assert_eq!(detail["exchange"]["response_bytes"], 2_000, "{detail}");

    std::fs::write(spool.join("00000000000000000001-x.exchange"), "nothing of ours").unwrap();
    assert_eventually!(count("rejected") == 1, "what is no exchange is set aside");
    let status = daemon.get("/v0/status").await;
    assert_eq!((&status["hooks"]["spooled"], &status["hooks"]["rejected"]), (&0.into(), &1.into()));
    daemon.stop().await;

    // And by the next daemon, too.
    kept::keep(&spool, &exchange(1)).unwrap();
    kept::keep(&spool, &exchange(3)).unwrap();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    assert_eventually!(count(kept::EXTENSION) == 0, "the files are taken in at the start");
    let listed = daemon.get("/v0/exchanges").await;
    assert_eq!(listed["exchanges"].as_array().unwrap().len(), 3, "{listed}");
    daemon.stop().await;
}
