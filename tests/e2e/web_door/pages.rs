//! What other pages, other names, other cookies and other users ask: refused, whatever they bring.

use super::{CAPTURED, OURS, Opened, ROUTES};

#[test]
fn by_another_name_nobody_gets_anything() {
    // A name of the attacker's that points at us: the cookie is not even theirs to send, and would not help.
    let opened = Opened::new();
    let port = opened.at.port();
    let hosts = [
        format!("evil.example:{port}"),
        "127.0.0.1".into(),
        format!("127.0.0.1.:{port}"),
        format!("0.0.0.0:{port}"),
    ];
    for path in ROUTES {
        for host in &hosts {
            for method in ["GET", "POST"] {
                let more = format!("{OURS}Origin: http://{host}\r\nContent-Type: application/json\r\n");
                let answer = opened.ask(&format!("{method} {path}"), host, &more, "");
                assert_eq!(answer.status, 421, "{method} {path} {host}");
                answer.gives_nothing_away();
            }
        }
    }
    opened.still_serves();
    opened.daemon.stop(&opened.home);
}

#[test]
fn without_its_cookie_no_browser_sees_anything() {
    let mut opened = Opened::new();
    let (name, value) = opened.cookie.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
    let others = Opened::new();
    for wrong in [
        "a=b".to_owned(),
        format!("{name}="),
        format!("{name}={}", "0".repeat(64)),
        format!("{name}={}", &value[1..]),
        format!("{name}={value}0"),
        format!("{name}=\"{value}\""),
        format!("x{name}={value}"),
        // That of another daemon of this user.
        others.cookie.clone(),
        format!("{name}={}", others.cookie.split_once('=').unwrap().1),
    ] {
        opened.cookie = wrong.clone();
        for path in ROUTES.iter().filter(|path| path.starts_with("/v0")) {
            let answer = opened.get(path, OURS);
            assert_eq!(answer.status, 401, "{path} {wrong}");
            assert!(
                answer.body.contains("login_needed") && answer.body.contains("ccctl open"),
                "{}",
                answer.body
            );
            answer.gives_nothing_away();
        }
        let page = opened.get("/", OURS);
        assert_eq!(page.status, 401);
        page.gives_nothing_away();
    }
    others.daemon.stop(&others.home);
    opened.daemon.stop(&opened.home);
}

#[test]
fn what_another_page_can_send_is_refused_although_the_cookie_comes_with_it() {
    let opened = Opened::new();
    let shapes = [
        // Another port of this host is the same site to a browser.
        ("same-site", "no-cors", "image", ""),
        ("same-site", "cors", "empty", "http://127.0.0.1:3000"),
        ("same-site", "navigate", "iframe", ""),
        ("cross-site", "no-cors", "script", ""),
        ("cross-site", "cors", "empty", "https://evil.example"),
        ("cross-site", "navigate", "iframe", ""),
        ("cross-site", "no-cors", "empty", "null"),
        ("cross-site", "websocket", "websocket", "https://evil.example"),
        ("", "", "", "https://evil.example"),
    ];
    for (site, mode, dest, origin) in shapes {
        let mut more = String::new();
        for (name, value) in
            [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest), ("Origin", origin)]
        {
            if !value.is_empty() {
                more.extend([name, ": ", value, "\r\n"]);
            }
        }
        for path in ROUTES {
            let answer = opened.get(path, &more);
            assert_eq!(answer.status, 403, "{path} {more}");
            answer.gives_nothing_away();
        }
    }
    // A link leads to the page, which asks for what it shows itself.
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    assert_eq!((opened.get("/", link).status, opened.get("/login", link).status), (200, 200));
    assert_eq!(opened.get("/v0/turns", link).status, 403);
    opened.still_serves();
    opened.daemon.stop(&opened.home);
}

#[test]
fn nothing_is_changed_but_by_a_page_of_ours_and_nothing_else_is_a_pages_to_change() {
    let opened = Opened::new();
    let (ours, at) = (opened.ours(), opened.at);
    let pause = "/v0/heal/pause?for_s=60";
    let of = |site: &str, origin: &str, kind: &str| {
        format!("Sec-Fetch-Site: {site}\r\nOrigin: {origin}\r\nContent-Type: {kind}\r\n")
    };
    let own = format!("http://{at}");
    for (more, status) in [
        (of("same-origin", &own, "text/plain"), 415),
        (of("same-origin", &own, "application/x-www-form-urlencoded"), 415),
        (of("same-origin", &own, "multipart/form-data; boundary=x"), 415),
        (OURS.to_owned() + &format!("Origin: {own}\r\n"), 415),
        (of("cross-site", "https://evil.example", "application/json"), 403),
        (of("same-site", "http://127.0.0.1:3000", "application/json"), 403),
        (of("same-origin", "null", "application/json"), 403),
        (of("none", &own, "application/json"), 403),
        (format!("{OURS}Content-Type: application/json\r\n"), 403),
    ] {
        let answer = opened.post(pause, &more, "{}");
        assert_eq!(answer.status, status, "{more}");
        answer.gives_nothing_away();
    }
    for path in [
        "/v0/stop",
        "/v0/stop?now=1",
        "/v0/retire?idle_s=0",
        "/v0/log-level?level=trace",
        "/v0/upstream/probe",
        "/v0/import",
        "/v0/store/verify",
        "/v0/store/rebuild",
        "/v0/store/prune?max_bytes=0",
        "/v0/statusline",
        "/v0/web/login",
        "/v0/web/forget",
        "/v0/sessions",
        "/",
        "/js/app.js",
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = opened.ask(&format!("{method} {path}"), &at.to_string(), &ours, "{}");
            // A body that nobody may send is a question's.
            let want = if method == "POST" { 405 } else { 400 };
            assert_eq!(answer.status, want, "{method} {path}");
            let bare = opened.ask(&format!("{method} {path}"), &at.to_string(), &ours, "");
            assert_eq!((bare.status, bare.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    // A preflight gets no leave.
    for path in ROUTES.iter().chain(&[pause]) {
        let asks = "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
        let answer = opened.ask(&format!("OPTIONS {path}"), &at.to_string(), asks, "");
        assert_eq!(answer.status, 405, "{path}");
        answer.gives_nothing_away();
    }
    opened.still_serves();
    assert_eq!(opened.post(pause, &ours, "{}").status, 200, "as our page sends it");
    opened.daemon.stop(&opened.home);
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_is_refused_even_with_the_cookie() {
    use std::os::unix::process::CommandExt;
    let opened = Opened::new();
    let (at, port, cookie) = (opened.at, opened.at.port(), &opened.cookie);
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET /v0/turns HTTP/1.1\\r\\nHost: {at}\\r\\nCookie: {cookie}\\r\\n\
         Connection: close\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let asked_by = |uid: u32| {
        let mut command = std::process::Command::new("/bin/bash");
        command.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.uid(uid).output().unwrap().stdout
    };
    let us = rustix::process::geteuid().as_raw();
    assert!(String::from_utf8_lossy(&asked_by(us)).contains(CAPTURED));
    // Only root can be somebody else.
    if us == 0 {
        assert_eq!(asked_by(65_534), b"");
    }
    opened.daemon.stop(&opened.home);
}
