//! What an end could tell if it looked closely: seldom met, and kept by no polite library by itself.

use super::World;
use super::attack::{Attack, Fate, run};
use super::client::{Body, Request};
use super::corners::told;
use super::origin::{Origin, Script};

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
