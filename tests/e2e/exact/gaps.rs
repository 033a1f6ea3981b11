//! What an end could tell if it looked closely: seldom met, and kept by no polite library by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ccd_tests::harness::raw::bytes;

use super::World;
use super::attack::{Attack, Fate, run};
use super::client::{Body, Request};
use super::corners::told;
use super::origin::{Cut, Origin, Script, Step};

#[test]
fn informational_responses_reach_the_client() {
    let world = World::new(Origin::plain());
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(told(&world, &Request::post("early", b"{}"), &Script::answer([answer])), [""; 0]);
}

#[test]
fn an_informational_response_does_not_wait_for_the_answer() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    let request = Request::post("at-once", b"{}");
    let arrived = Arc::<AtomicU64>::default();
    let mut script = Script::answer(["HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"]);
    script.steps.push(Step::Await(arrived.clone(), 1));
    script.steps.push(Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()));
    world.origin.play([script]);
    let mut client = way.connect();
    client.send(&[request.head(&way), request.body()].concat());
    let early = client.reader.head().expect("a head");
    assert_eq!((early.start.as_str(), early.header("link")), ("HTTP/1.1 103 Early Hints", Some("</x>")));
    arrived.store(1, Ordering::SeqCst);
    let got = client.response("POST").expect("an answer");
    assert_eq!((got.interim.len(), got.head.status(), got.body.as_slice()), (0, 200, &b"ok"[..]));
}

#[test]
fn an_informational_response_comes_before_the_word_that_upstream_failed() {
    let world = World::new(Origin::plain());
    let mut script = Script::answer(["HTTP/1.1 102 Processing\r\n\r\n"]);
    script.steps.push(Step::End(Cut::Fin));
    world.origin.play([script]);
    let got = world.proxied().ask(&Request::post("failed", b"{}")).expect("an answer");
    assert_eq!(got.interim.iter().map(|head| head.status()).collect::<Vec<_>>(), [102]);
    world.bad_gateway(&got, "cut behind a 102");
}

/// Who speaks HTTP/1.0 would take one for the answer.
#[test]
fn a_client_of_http_1_0_gets_no_informational_response() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    world.origin.play([Script::answer([answer])]);
    let mut client = way.connect();
    client.send(&bytes(&format!("GET {}/x HTTP/1.0\r\nHost: {}\r\n\r\n", way.prefix(), way.host())));
    let got = client.response("GET").expect("an answer");
    assert_eq!((got.interim.len(), got.head.status(), got.body.as_slice()), (0, 200, &b"ok"[..]));
}

#[test]
fn a_304_keeps_the_length_that_it_tells() {
    let world = World::new(Origin::plain());
    let answer = "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1234\r\n\r\n";
    let mut request = Request::post("not-modified", b"");
    (request.method, request.body) = ("GET", Body::None);
    assert_eq!(told(&world, &request, &Script::answer([answer])), [""; 0]);
}

#[test]
fn a_fragment_is_refused_or_passed_on_and_never_cut_off() {
    let wire = "GET {T}/v1/messages#fragment HTTP/1.1\r\nHost: {H}\r\n\r\n";
    let fate = Fate::RefusedOr("GET /v1/messages#fragment HTTP/1.1".into());
    run([Attack { what: "a fragment".into(), wire: wire.into(), fate }]);
}
