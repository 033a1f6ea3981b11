//! The same exchanges twice, directly and through the proxy: both ends see the same.

use ccd_tests::harness::raw::{End, Message};
use ccd_tests::harness::soak::{Random, count, summary};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use super::World;
use super::cases::{self, Case, Conversation};
use super::client::{Way, short};
use super::origin::{Flaw, Origin};

/// What both ends saw of a conversation: the requests, the responses.
struct Seen {
    requests: Vec<Message>,
    responses: Vec<Message>,
}

/// Holds a conversation. `named` numbers its exchanges, so that their records are found.
fn hold(world: &World, way: &Way, conversation: &Conversation, named: &dyn Fn(usize) -> String) -> Seen {
    let cases: Vec<Case> = conversation
        .cases
        .iter()
        .cloned()
        .enumerate()
        .map(|(n, mut case)| {
            case.request.headers.push(("x-claude-code-session-id".into(), named(n)));
            case
        })
        .collect();
    world.origin.reset();
    world.origin.play(cases.iter().map(Case::script));
    let mut responses = Vec::new();
    let mut connection = way.connect();
    let ended = "the connection ended instead of an answer";
    if conversation.pipelined {
        let wire: Vec<u8> =
            cases.iter().flat_map(|case| [case.request.head(way), case.request.body()].concat()).collect();
        connection.send(&wire);
        for case in &cases {
            responses.push(connection.response(case.request.method).expect(ended));
        }
    } else {
        for case in &cases {
            responses.push(connection.exchange(way, &case.request).expect(ended));
            if case.is_last() {
                connection = way.connect();
            }
        }
    }
    drop(connection);
    Seen { requests: world.origin.seen(cases.len()), responses }
}

/// Where two of them differ. A body that ends with the connection on one way may have its length on the other; both
/// are whole.
pub(crate) fn differences(direct: &Message, proxied: &Message) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, direct: String, proxied: String| {
        if direct != proxied {
            found.push(format!("{what}\n   direct: {direct}\n  proxied: {proxied}"));
        }
    };
    compare("start line", direct.head.start.clone(), proxied.head.start.clone());
    let interim = |message: &Message| {
        // Each hop asks for a body by a 100 of its own.
        let told = message.interim.iter().filter(|head| head.status() != 100);
        told.map(|head| format!("{} {}", head.start, fields(&head.end_to_end())))
            .collect::<Vec<_>>()
            .join("; ")
    };
    compare("informational", interim(direct), interim(proxied));
    compare("headers", fields(&direct.head.end_to_end()), fields(&proxied.head.end_to_end()));
    if direct.end != End::Cut {
        compare("trailers", fields(&lower(&direct.trailers)), fields(&lower(&proxied.trailers)));
    }
    let whole = |message: &Message| if message.end == End::Cut { "cut" } else { "whole" }.to_owned();
    compare("end", whole(direct), whole(proxied));
    compare("body", short(&direct.body), short(&proxied.body));
    if direct.body != proxied.body && found.is_empty() {
        found.push("body: as long, and otherwise".into());
    }
    found
}

fn fields(headers: &[(String, String)]) -> String {
    let value = |value: &str| {
        if value.len() > 60 { format!("{}…{}", &value[..20], value.len()) } else { value.into() }
    };
    let fields: Vec<_> = headers.iter().map(|(name, v)| format!("{name}={:?}", value(v))).collect();
    fields.join(" ")
}

fn same(direct: &Seen, proxied: &Seen) -> Result<(), TestCaseError> {
    let requests = direct.requests.iter().zip(&proxied.requests).map(|pair| ("request", pair));
    let responses = direct.responses.iter().zip(&proxied.responses).map(|pair| ("response", pair));
    for (which, (direct, proxied)) in requests.chain(responses) {
        if let Some(difference) = differences(direct, proxied).first() {
            return Err(TestCaseError::fail(format!("{which}: {difference}\n")));
        }
    }
    Ok(())
}

/// The captured copy is what the wire had.
fn captured(
    world: &World,
    session: &str,
    request: &Message,
    response: &Message,
) -> Result<(), TestCaseError> {
    let got = world.recorded(session);
    let keeps = |which, came: &[u8]| world.keeps(&got.exchange_id, which, came);
    let checks = [
        ("method and path", {
            let mut start = request.head.start.split(' ');
            start.next() == Some(&got.method) && start.next() == Some(&got.path)
        }),
        ("status", got.status == Some(response.head.status())),
        ("request body", keeps("request", &request.body)),
        ("response body", keeps("response", &response.body)),
        ("trailers", lower(&response.trailers) == world.detail(&got.exchange_id).response_trailers),
    ];
    match checks.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((what, _)) => Err(TestCaseError::fail(format!("captured otherwise: {what}: {got:?}"))),
    }
}

fn lower(fields: &[(String, String)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

fn differential(who: &str, origin: Origin, conversations: usize) {
    let world = World::new(origin);
    let (direct, proxied) = (world.direct(), world.proxied());
    // The seed of a failure is told by `PROPTEST_RNG_SEED` again.
    let config = Config::default();
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => Random::seeded(who).any(),
    };
    summary(&format!("{who}: PROPTEST_RNG_SEED={seed}"));
    let config = Config {
        cases: u32::try_from(conversations).unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..config
    };
    let (number, exchanges) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let result = TestRunner::new(config).run(&cases::conversation(), |conversation| {
        number.set(number.get() + 1);
        exchanges.set(exchanges.get() + conversation.cases.len());
        let named = |n: usize| format!("{}-{n}", number.get());
        let want = hold(&world, &direct, &conversation, &named);
        let got = hold(&world, &proxied, &conversation, &named);
        same(&want, &got)?;
        for (n, (request, response)) in got.requests.iter().zip(&got.responses).enumerate() {
            captured(&world, &named(n), request, response)?;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{who}: PROPTEST_RNG_SEED={seed}\n{error}");
    }
    summary(&format!(
        "F17: {who}: {} exchanges in {} conversations, the same both ways and in the record",
        exchanges.get(),
        number.get()
    ));
}

#[test]
fn any_exchange_over_tcp_is_the_same_with_and_without_the_proxy() {
    differential("exact over TCP", Origin::plain(), count(60, 3_000));
}

#[test]
fn any_exchange_over_tls_is_the_same_with_and_without_the_proxy() {
    differential("exact over TLS", Origin::tls(Flaw::Nothing), count(25, 1_000));
}
