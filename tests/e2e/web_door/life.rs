//! Codes and logins: how they come, how long they are good, and how they end.

use std::io::{Read, Write};
use std::sync::Barrier;

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, Supervised, TestHome, binary, eventually};

use super::{OURS, Opened, answer, code, connect, listen, log_in, raw, redeem};

#[test]
fn a_code_lets_in_one_of_those_who_have_it() {
    let opened = Opened::new();
    let (code, start) = (code(&opened.home), Barrier::new(8));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let steal = || {
            start.wait();
            redeem(opened.at, &code).status
        };
        let thieves: Vec<_> = (0..8).map(|_| scope.spawn(steal)).collect();
        thieves.into_iter().map(|thief| thief.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 204 | 403)), "{statuses:?}");
    // Whoever guesses is soon not heard any more; whoever is in does not notice.
    let heard = (0..20).map(|n| redeem(opened.at, &format!("{n:032x}")).status).collect::<Vec<_>>();
    assert!(heard.contains(&403) && heard.ends_with(&[429]), "{heard:?}");
    assert_eq!(
        redeem(opened.at, &super::code(&opened.home)).status,
        204,
        "a right one is let in all the same"
    );
    let refused = redeem(opened.at, &"f".repeat(32));
    assert_eq!(refused.status, 429);
    assert!(
        refused.header("retry-after").is_some_and(|s| s.parse::<u64>().is_ok_and(|s| s <= 60)),
        "{}",
        refused.head
    );
    opened.still_serves();

    // Nothing of all this is in a log, nor a login in any file.
    let secrets = [code.as_str(), opened.cookie.split_once('=').unwrap().1];
    let mut dirs = vec![opened.home.ccd()];
    let mut read = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                read += 1;
                let text = String::from_utf8_lossy(&bytes);
                assert!(!secrets.iter().any(|secret| text.contains(secret)), "{}", path.display());
            }
        }
    }
    assert!(read > 3);
    opened.daemon.stop(&opened.home);
}

#[test]
fn what_is_followed_ends_when_the_daemon_does() {
    let opened = Opened::new();
    let (at, cookie) = (opened.at, &opened.cookie);
    let mut stream = connect(at);
    write!(stream, "GET /v0/spans/follow HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\n{OURS}\r\n").unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let Opened { home, daemon, .. } = opened;
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    daemon.stop(&home);
    assert!(reader.join().unwrap().ends_with(b"0\r\n\r\n"), "ended, and not cut");
}

#[test]
fn a_login_outlives_a_restart_at_the_port_that_somebody_else_holds() {
    let home = TestHome::new("http://127.0.0.1:9");
    let supervised = Supervised::start_as(&home, home.command(&binary("ccd")));
    let at = listen(&home);
    let cookie = log_in(&home, at);
    let worker = supervised.worker();
    let ask = || {
        let text =
            format!("GET /v0/status HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        let came = raw(at, text);
        // While it changes hands.
        if came.is_empty() { 0 } else { answer(&came).status }
    };
    assert_eq!(ask(), 200);
    let _ = home.ccctl(&["restart"]).ok();
    let now = eventually("another worker", || Some(supervised.worker()).filter(|now| *now != worker));
    assert_ne!(now, worker);
    assert_eq!(listen(&home), at, "the supervisor held it");
    assert_eventually!(ask() == 200, "still logged in");
    assert_eq!(home.running().web.logins, 1);
    let out = home.ccctl(&["open", "--forget"]).ok();
    assert!(out.text().contains("logged out"), "{out}");
    assert_eq!((ask(), home.running().web.logins), (401, 0));
    supervised.stop();
}

#[test]
fn the_pages_are_served_by_either_family() {
    let Ok(free) = std::net::TcpListener::bind("[::1]:0") else { return };
    drop(free);
    let opened = Opened::of(TestHome::new("http://127.0.0.1:9").with_env("CCD_WEB_LISTEN", "[::1]:0"));
    assert!(opened.at.is_ipv6());
    assert_eq!(opened.post("/v0/heal/pause?for_s=1", &opened.ours(), "{}").status, 200);
    opened.daemon.stop(&opened.home);
}

#[test]
fn what_cannot_be_opened_says_why_and_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = TestHome::new("http://127.0.0.1:9");
    let out = home.ccctl(&["open"]);
    assert_eq!(out.code, Some(3), "{out}");
    assert!(out.stderr.contains("ccctl start"), "{out}");
    let home = home.with_env("CCD_WEB_LISTEN", taken.local_addr().unwrap().to_string());
    let daemon = Daemon::start(&home);
    let out = home.ccctl(&["open", "--print"]);
    assert_eq!((out.code, out.text().as_str()), (Some(1), ""), "{out}");
    assert!(
        out.stderr.contains("another program has this port") && out.stderr.contains("web.listen"),
        "{out}"
    );
    daemon.stop(&home);
}
