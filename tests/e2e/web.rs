//! The web door as a client on a raw socket sees it: whom it answers, with what, and what becomes of a port that is taken.

use ccd_tests::assert_eventually;
use ccd_tests::harness::wire::{Head, Wire};
use ccd_tests::harness::{Daemon, Supervised, TestHome, binary};

fn ask(address: &str, target: &str, more: &str) -> (Head, String) {
    let mut wire = Wire::connect(address);
    wire.send(format!("GET {target} HTTP/1.1\r\n{more}Connection: close\r\n\r\n"));
    let head = wire.read_head();
    (head, String::from_utf8(wire.read_rest().0).unwrap())
}

#[test]
fn it_answers_to_our_names_alone_and_lets_no_other_page_in() {
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let status = home.running();
    let address = status.web.listen.unwrap();
    assert_eq!(status.web.error, None);
    let port = address.rsplit_once(':').unwrap().1;
    for host in [&address, &format!("localhost:{port}"), &format!("[::1]:{port}")] {
        let (head, body) = ask(&address, "/health", &format!("Host: {host}\r\n"));
        assert_eq!((head.status(), head.header("content-type")), (200, Some("application/json")), "{host}");
        assert_eq!(body.trim(), format!("{{\"ccd\":\"{}\"}}", status.daemon.version));
    }
    for host in ["Host: evil.example\r\n", "Host: localhost\r\n", ""] {
        let (head, _) = ask(&address, "/health", host);
        assert_eq!(head.status(), 421, "{host:?}");
        assert_eq!(head.header("x-frame-options"), Some("DENY"));
    }
    let of = format!("Host: {address}\r\n");
    let (head, _) = ask(&address, "/nothing", &format!("{of}Origin: http://evil.example\r\n"));
    assert_eq!(head.status(), 403);
    let (head, body) = ask(&address, "/nothing", &of);
    assert_eq!(head.status(), 404);
    assert!(body.contains("no such page") && body.contains("ccctl open"), "{body}");
    let csp = head.header("content-security-policy").unwrap();
    assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"), "{csp}");
    for (name, value) in [
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(head.header(name), Some(value));
    }
    assert_eq!(head.header("access-control-allow-origin"), None);
    daemon.stop(&home);
    assert!(Wire::try_connect(&address).is_err(), "nobody holds the port");
}

#[test]
fn a_port_that_is_taken_is_told_and_another_one_serves_without_a_restart() {
    let home = TestHome::new("http://127.0.0.1:9");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let configure = |listen: &str| {
        std::fs::create_dir_all(home.ccd()).unwrap();
        std::fs::write(home.layout().config_file, format!("[web]\nlisten = \"{listen}\"\n")).unwrap();
    };
    configure(&taken.local_addr().unwrap().to_string());
    let mut command = home.command(&binary("ccd"));
    command.env_remove("CCD_WEB_LISTEN");
    let supervised = Supervised::start_as(&home, command);
    let status = supervised.status().unwrap();
    assert_eq!((status.web.listen, status.daemon.state.as_str()), (None, "serving"));
    let error = status.web.error.unwrap();
    assert!(error.contains("another program has this port") && error.contains("CCD_WEB_LISTEN"), "{error}");
    assert!(home.ccctl(&["status"]).ok().text().contains(&error));

    configure("127.0.0.1:0");
    let listen = || supervised.status().and_then(|status| status.web.listen);
    assert_eventually!(listen().is_some(), "another port is opened");
    let address = listen().unwrap();
    let of = format!("Host: {address}\r\n");
    assert_eq!(ask(&address, "/health", &of).0.status(), 200);
    assert_eq!(supervised.status().unwrap().web.error, None);
    // From the next worker on, the supervisor holds one.
    let _ = home.ccctl(&["restart"]).ok();
    assert_eventually!(
        supervised.status().is_some_and(|status| {
            status.daemon.sockets.iter().any(|socket| socket.name == "web" && socket.held_by == "supervise")
        }),
        "it is held"
    );
    supervised.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_is_not_answered() {
    use std::os::unix::process::CommandExt;
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let address = home.running().web.listen.unwrap();
    let port = address.rsplit_once(':').unwrap().1;
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET /health HTTP/1.1\\r\\nHost: {address}\\r\\nConnection: close\\r\\n\\r\\n' \
         >&3 && cat <&3"
    );
    let asked_by = |uid: u32| {
        let mut command = std::process::Command::new("/bin/bash");
        command.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.uid(uid).output().unwrap().stdout
    };
    let us = rustix::process::geteuid().as_raw();
    assert!(asked_by(us).starts_with(b"HTTP/1.1 200"));
    // Only root can be somebody else.
    if us == 0 {
        assert_eq!(asked_by(65_534), b"");
    }
    daemon.stop(&home);
}
