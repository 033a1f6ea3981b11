//! The way from a company's network to upstream: its proxy, its own authority, a certificate of the client's.

use std::sync::mpsc::Receiver;

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, TestHome};

use super::peers::{Authority, BODY, Upstream, company_proxy};
use crate::proxy::Proxy;

/// Sends one request; the status and the body that came.
fn ask(home: &TestHome) -> (u16, String) {
    let proxy = Proxy::of(home);
    let mut client = proxy.connect();
    client.send(proxy.request("POST", "/v1/messages", &[], BODY.as_bytes()));
    let status = client.read_head().status();
    (status, String::from_utf8(client.read_rest().0).unwrap())
}

/// Writes the configuration before a daemon runs.
fn configure(home: &TestHome, text: &str) {
    let file = home.layout().config_file;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn asked_for(asked: &Receiver<String>, upstream: &Upstream) {
    let head = asked.try_recv().expect("the proxy was not asked");
    assert!(head.starts_with(&format!("CONNECT api.invalid:{} ", upstream.port())), "{head}");
    // user:secret
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpzzwnyzxq="), "{head}");
}

#[test]
fn the_proxy_of_the_network_is_used_by_connect() {
    for over_tls in [false, true] {
        let authority = Authority::new();
        let upstream = Upstream::new(authority.server("api.invalid"), "h2").called("api.invalid");
        let (proxy, asked) = company_proxy(over_tls.then(|| authority.server("localhost")));
        let scheme = if over_tls { "https" } else { "http" };
        let home = TestHome::new(&upstream.url());
        let roots = authority.write(&home.user().join("roots.pem"));
        let url = format!("{scheme}://user:secret@localhost:{}", proxy.port());
        let home = home.with_env("SSL_CERT_FILE", roots).with_env("HTTPS_PROXY", url);
        let _daemon = Daemon::start(&home);
        assert_eq!(ask(&home), (200, BODY.to_owned()), "{scheme}");
        asked_for(&asked, &upstream);
        assert_eq!(ask(&home).0, 200);
        assert!(asked.try_recv().is_err(), "the connection is kept");
    }
}

#[test]
fn no_proxy_and_loopback_go_past_the_proxy_of_the_network() {
    let authority = Authority::new();
    let (proxy, asked) = company_proxy(None);
    let here = Upstream::new(authority.server("localhost"), "h2");
    let nowhere = Upstream::new(authority.server("api.invalid"), "h2").called("api.invalid");
    for (upstream, status, words) in [(&here, 200, BODY), (&nowhere, 502, "api.invalid does not resolve")] {
        let home = TestHome::new(&upstream.url());
        let roots = authority.write(&home.user().join("roots.pem"));
        let home = home
            .with_env("SSL_CERT_FILE", roots)
            .with_env("HTTPS_PROXY", format!("http://{proxy}"))
            .with_env("NO_PROXY", "example.org, invalid");
        let _daemon = Daemon::start(&home);
        let (got, body) = ask(&home);
        assert_eq!(got, status, "{body}");
        assert!(body.contains(words), "{body}");
        assert!(asked.try_recv().is_err(), "{}: the proxy was asked", upstream.url());
    }
}

#[test]
fn a_proxy_of_the_network_that_refuses_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        while let Ok((mut client, _)) = listener.accept() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            // Its body never comes: nobody waits for it.
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 100\r\n\r\n";
            client.write_all(refusal.as_bytes()).unwrap();
            let _ = client.read(&mut [0]);
        }
    });
    let home = TestHome::new("https://api.invalid").with_env("HTTPS_PROXY", format!("http://{proxy}"));
    let _daemon = Daemon::start(&home);
    let (status, body) = ask(&home);
    assert_eq!(status, 502, "{body}");
    assert!(body.contains("network's proxy") && body.contains("407"), "{body}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let authority = Authority::new();
    let cases = [
        (authority.expired_server("localhost"), "its certificate has expired"),
        (authority.server("elsewhere.example"), "its certificate is for another name"),
        (Authority::new().server("localhost"), "nobody whom this machine trusts"),
    ];
    for (server, words) in cases {
        let upstream = Upstream::new(server, "http/1.1");
        let home = TestHome::new(&upstream.url());
        let roots = authority.write(&home.user().join("roots.pem"));
        let home = home.with_env("SSL_CERT_FILE", roots);
        let _daemon = Daemon::start(&home);
        let (status, body) = ask(&home);
        assert_eq!(status, 502, "{body}");
        assert!(body.contains(words) && body.contains("api_error"), "{body}");
    }
}

#[test]
fn further_authorities_are_trusted_beside_the_platforms() {
    let (platform, company) = (Authority::new(), Authority::new());
    for from_env in [true, false] {
        for vouching in [&platform, &company] {
            let upstream = Upstream::new(vouching.server("localhost"), "h2");
            let home = TestHome::new(&upstream.url());
            let roots = platform.write(&home.user().join("roots.pem"));
            let further = company.write(&home.user().join("company.pem"));
            let mut home = home.with_env("SSL_CERT_FILE", roots);
            if from_env {
                home = home.with_env("NODE_EXTRA_CA_CERTS", further);
            } else {
                configure(&home, &format!("[network]\nca_files = [{further:?}]\n"));
            }
            let _daemon = Daemon::start(&home);
            assert_eq!(ask(&home), (200, BODY.to_owned()), "from the environment: {from_env}");
        }
    }
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_where_it_is_written_down() {
    let authorities = "its certificate is a certificate authority's own";
    for (name, expired, written, words) in [
        ("localhost", false, true, BODY),
        ("elsewhere.example", false, true, "its certificate is for another name"),
        ("localhost", true, true, "its certificate has expired"),
        ("localhost", false, false, authorities),
    ] {
        let (server, pem) = Authority::serving_itself(name, expired);
        // Of the same name, and another one all the same.
        let other = Authority::serving_itself(name, false).1;
        let upstream = Upstream::new(server, "h2");
        let home = TestHome::new(&upstream.url());
        let roots = Authority::new().write(&home.user().join("roots.pem"));
        let further = home.user().join("own.pem");
        std::fs::write(&further, if written { pem } else { other }).unwrap();
        let home = home.with_env("SSL_CERT_FILE", roots).with_env("NODE_EXTRA_CA_CERTS", further);
        let _daemon = Daemon::start(&home);
        let (status, body) = ask(&home);
        assert_eq!(status == 200, words == BODY, "{name}: {body}");
        assert!(body.contains(words), "{name}: {body}");
    }
}

#[test]
fn a_file_that_is_missing_is_named_and_used_once_it_is_there() {
    let authority = Authority::new();
    let upstream = Upstream::new(authority.server("localhost"), "h2");
    let home = TestHome::new(&upstream.url());
    let (missing, there) = (home.user().join("missing.pem"), home.user().join("there.pem"));
    authority.write(&there);
    configure(&home, &format!("[network]\nca_files = [{missing:?}]\n"));
    let _daemon = Daemon::start(&home);
    let (status, body) = ask(&home);
    assert_eq!(status, 502, "{body}");
    assert!(body.contains("missing.pem"), "{body}");
    let shown = home.running().daemon.config_error.expect("shown in the status");
    assert!(shown.contains("missing.pem"), "{shown}");

    configure(&home, &format!("[network]\nca_files = [{there:?}]\n"));
    assert_eventually!(home.running().daemon.config_error.is_none(), "the change is in force");
    assert_eq!(ask(&home), (200, BODY.to_owned()));
}

#[test]
fn an_authority_that_the_environment_names_in_vain_is_shown_and_gone_without() {
    let authority = Authority::new();
    let upstream = Upstream::new(authority.server("localhost"), "h2");
    let home = TestHome::new(&upstream.url());
    let roots = authority.write(&home.user().join("roots.pem"));
    let home = home.with_env("SSL_CERT_FILE", roots).with_env("NODE_EXTRA_CA_CERTS", "/nowhere/ca.pem");
    let _daemon = Daemon::start(&home);
    assert_eq!(ask(&home), (200, BODY.to_owned()));
    let shown = home.running().daemon.config_error.expect("shown in the status");
    assert!(shown.contains("NODE_EXTRA_CA_CERTS /nowhere/ca.pem"), "{shown}");
    // What is in the file is another matter.
    configure(&home, "log = \"debug\"\n");
    assert_eventually!(home.running().daemon.log == "debug", "the file is in force");
    let daemon = home.running().daemon;
    assert_eq!((daemon.config_error, daemon.config_error_about.as_str()), (Some(shown), "environment"));
}

#[test]
fn an_upstream_that_asks_for_a_certificate_gets_ours() {
    for protocol in ["h2", "http/1.1"] {
        for (who, want) in [("ours", 200), ("a stranger's", 502), ("none", 502)] {
            let (authority, clients) = (Authority::new(), Authority::new());
            let upstream = Upstream::new(authority.mutual_server("localhost", &clients), protocol);
            let home = TestHome::new(&upstream.url());
            let roots = authority.write(&home.user().join("roots.pem"));
            let vouching = if who == "ours" { &clients } else { &authority };
            let (cert, key) = vouching.client(&home.user());
            let mut home = home.with_env("SSL_CERT_FILE", roots);
            if who != "none" {
                home = home.with_env("CLAUDE_CODE_CLIENT_CERT", cert).with_env("CLAUDE_CODE_CLIENT_KEY", key);
            }
            let _daemon = Daemon::start(&home);
            let (status, body) = ask(&home);
            assert_eq!(status, want, "{protocol}, {who}: {body}");
            // Why it hung up may be lost with the connection; that it is an error of ours may not.
            let said = if want == 200 { BODY } else { "api_error" };
            assert!(body.contains(said), "{protocol}, {who}: {body}");
        }
    }
}
