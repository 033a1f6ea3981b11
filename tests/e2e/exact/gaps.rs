//! What an end could tell if it looked closely: seldom met, and kept by no polite library by itself.

use super::World;
use super::attack::{Attack, Fate, run};
use super::client::{Body, Request};
use super::corners::told;
use super::origin::{Origin, Script};

#[test]
fn informational_responses_reach_the_client() {
    let world = World::new(Origin::plain());
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(told(&world, &Request::post("early", b"{}"), &Script::answer([answer])), [""; 0]);
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
fn headers_keep_their_place_among_each_other() {
    let world = World::new(Origin::plain());
    let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-A: 1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\nX-A: 2\r\n\r\n";
    let mut request = Request::post("order", b"{}");
    request.headers = [("X-A", "1"), ("X-B", "2"), ("x-a", "3"), ("X-B", "4"), ("X-A", "5")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(told(&world, &request, &Script::answer([answer])), [""; 0]);
}

#[test]
fn trailers_that_nobody_announced_reach_the_client() {
    let world = World::new(Origin::plain());
    let mut request = Request::post("unannounced", b"{}");
    request.headers.push(("TE".into(), "trailers".into()));
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Checksum: abc\r\n\r\n";
    assert_eq!(told(&world, &request, &Script::answer([answer])), [""; 0]);
}

#[test]
fn a_fragment_is_refused_or_passed_on_and_never_cut_off() {
    let wire = "GET {T}/v1/messages#fragment HTTP/1.1\r\nHost: {H}\r\n\r\n";
    let fate = Fate::RefusedOr("GET /v1/messages#fragment HTTP/1.1".into());
    run([Attack { what: "a fragment".into(), wire: wire.into(), fate }]);
}
