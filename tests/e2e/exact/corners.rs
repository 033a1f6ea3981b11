//! What happens seldom, and must be the same all the same.

use super::World;
use super::client::{Body, Request};
use super::differential::differences;
use super::origin::{Cut, Origin, Script, Step};

/// Sends the same on both ways and returns where the ends could tell.
pub(super) fn told(world: &World, request: &Request, script: &Script) -> Vec<String> {
    let both = [world.direct(), world.proxied()].map(|way| {
        world.origin.reset();
        world.origin.play([script.clone()]);
        let got = way.connect().exchange(&way, request).expect("an answer");
        (world.origin.seen(1).remove(0), got)
    });
    let [direct, proxied] = both;
    let mut found = differences(&direct.0, &proxied.0);
    found.extend(differences(&direct.1, &proxied.1));
    found
}

#[test]
fn trailers_of_a_request_reach_upstream() {
    let world = World::new(Origin::plain());
    let mut request = Request::post("trailers", b"");
    request.headers.push(("Trailer".into(), "X-Checksum".into()));
    request.body = Body::Chunked(vec![b"hello".to_vec()], vec![("X-Checksum".into(), "abc".into())]);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(told(&world, &request, &Script::answer([answer])), [""; 0]);
}

/// Upstream sends trailers only to who takes them, so it must hear that the client does.
#[test]
fn upstream_is_told_that_the_client_takes_trailers() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    for (asked, told) in
        [("trailers", Some("trailers")), ("gzip;q=1, trailers", Some("trailers")), ("gzip", None)]
    {
        let mut request = Request::post("te", b"{}");
        request.headers.push(("TE".into(), asked.into()));
        world.origin.reset();
        world.origin.play([Script::answer(["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])]);
        assert!(way.ask(&request).is_some());
        assert_eq!(world.origin.seen(1)[0].head.header("te"), told, "{asked}");
    }
}

/// An upstream that has heard enough answers before the request is whole, and closes.
#[test]
fn an_answer_that_comes_before_the_request_is_whole_reaches_the_client() {
    let world = World::new(Origin::plain());
    let answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";
    for way in [world.direct(), world.proxied()] {
        let mut client = way.connect();
        // It has the answer before upstream closes what it has not read.
        let arrived = Step::Await(client.received.clone(), 6);
        let script = Script::steps(vec![Step::Send(answer.into()), arrived, Step::End(Cut::Fin)]);
        world.origin.reset();
        world.origin.play([script]);
        let request = Request::post("early-answer", &vec![b'x'; 10_000_000]);
        client.send(&request.head(&way));
        client.send(b"xxxxx");
        let got = client.response("POST").expect("an answer");
        assert_eq!((got.head.status(), got.body.as_slice()), (413, &b"large"[..]));
    }
}
