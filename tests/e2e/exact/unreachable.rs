//! No answer can be had from upstream: the client gets a gateway's error in the API's shape, soon, and `status` says
//! why. An answer that is none is never passed on.

use std::io::Write;
use std::net::TcpListener;

use ccd_tests::harness::raw::{End, text};
use ccd_tests::harness::{Daemon, TestHome};

use super::World;
use super::client::{Request, Way, short};
use super::origin::{Cut, Flaw, Origin, Script, Step};

/// Asks a home whose upstream cannot answer, and returns what it says of it.
#[track_caller]
fn refused(world: &World, what: &str) -> String {
    let got = world.proxied().ask(&Request::post("unreachable", b"{}")).expect("an answer");
    world.bad_gateway(&got, what);
    assert_eq!(got.end, End::Whole, "{what}");
    let record = world.recorded("unreachable");
    assert!(!record.complete && record.status == Some(got.head.status()), "{what}: {record:?}");
    let told = record.error.clone().expect("a cause");
    let proxy = world.home.running().proxy;
    assert_eq!(proxy.last_error.as_ref(), Some(&told), "{what}: one cause everywhere");
    assert_eq!(proxy.unreached, 1, "{what}: no request has reached it since");
    assert!(text(&got.body).contains("api_error"), "{what}");
    told
}

fn world_of(url: &str) -> World {
    let home = TestHome::new(url);
    let daemon = Daemon::start(&home);
    World { daemon, home, origin: Origin::plain() }
}

#[test]
fn an_upstream_that_refuses_is_a_bad_gateway() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = refused(&world_of(&format!("http://{free}")), "refused");
    assert!(told.to_lowercase().contains("refused"), "{told}");
}

#[test]
fn an_upstream_whose_name_does_not_resolve_is_a_bad_gateway() {
    refused(&world_of("http://name.invalid:9"), "not resolved");
}

#[test]
fn an_upstream_that_accepts_and_closes_is_a_bad_gateway() {
    for how in [Cut::Fin, Cut::Rst] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((tcp, _)) = listener.accept() {
                super::origin::Stream::plain(tcp).end(how);
            }
        });
        refused(&world_of(&format!("http://{address}")), "accepts and closes");
    }
}

#[test]
fn an_upstream_that_speaks_no_tls_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut tcp, _)) = listener.accept() {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    refused(&world_of(&format!("https://localhost:{port}")), "no TLS");
}

#[test]
fn an_upstream_whose_certificate_is_not_good_is_a_bad_gateway_and_is_told_nothing() {
    for flaw in [Flaw::UnknownRoot, Flaw::WrongName, Flaw::Expired] {
        let world = World::new(Origin::tls(flaw));
        let told = refused(&world, &format!("{flaw:?}"));
        assert!(told.to_lowercase().contains("certificate"), "{flaw:?}: {told}");
        assert!(world.origin.so_far().is_empty(), "{flaw:?}: nothing was sent");
    }
}

#[test]
fn an_answer_that_is_none_is_a_bad_gateway() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    let answers: [&[u8]; 14] = [
        b"garbage\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"<html>HTTP/0.9</html>",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/4.2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        let session = format!("garbage-{n}");
        let mut script = Script::answer([answer]);
        script.steps.push(Step::End(Cut::Fin));
        world.origin.reset();
        world.origin.play([script]);
        let got = way.ask(&Request::post(&session, b"{}")).expect("an answer");
        world.bad_gateway(&got, &short(answer));
        world.origin.seen(1);
        assert!(world.recorded(&session).error.is_some(), "{}", short(answer));
    }
}

/// Chunks that are none, within an answer that began well: what was good arrives, then the answer breaks off.
#[test]
fn chunks_that_are_none_break_the_answer_off() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    for (n, chunks) in
        ["zz\r\nbad\r\n", "FFFFFFFFFFFFFFFFFF\r\nbad\r\n", "3\r\nbadbad\r\n0\r\n\r\n"].into_iter().enumerate()
    {
        let session = format!("chunks-{n}");
        let mut client = way.connect();
        let steps = vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n".to_vec()),
            // In lock-step: the head and what is good have arrived.
            Step::Await(client.received.clone(), 5),
            Step::Send(chunks.into()),
            Step::End(Cut::Fin),
        ];
        world.origin.reset();
        world.origin.play([Script { steps, early: false }]);
        let got = client.exchange(&way, &Request::post(&session, b"{}")).expect("an answer");
        assert_eq!(got.end, End::Cut, "{chunks:?}");
        assert!(got.body.starts_with(b"good"), "{chunks:?}: {}", short(&got.body));
        let record = world.recorded(&session);
        assert!(record.error.is_some() && !record.complete, "{record:?}");
    }
}

/// Two statements of a response's length: chunks count (RFC 9112 §6.3), or it is refused; the client is never given
/// both to choose from.
#[test]
fn an_answer_with_a_length_and_chunks_has_one_meaning_for_the_client() {
    let world = World::new(Origin::plain());
    let way: Way = world.proxied();
    for order in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        world.origin.reset();
        let wire = format!("HTTP/1.1 200 OK\r\n{order}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        world.origin.play([Script::answer([wire])]);
        let got = way.ask(&Request::post("both", b"{}")).expect("an answer");
        if got.head.status() == 200 {
            assert_eq!((got.body.as_slice(), got.end), (&b"hello"[..], End::Whole), "{order:?}");
            let length = got.head.header("content-length");
            assert!(length.is_none_or(|length| length == "5"), "{:?}", got.head);
        } else {
            world.bad_gateway(&got, order);
        }
    }
}
