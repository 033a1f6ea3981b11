//! Requests that the parser would let pass and that somebody else may read otherwise: two lengths, a length and chunks,
//! lines that end in a bare LF, a coding besides chunks; and heads beyond the limits.

use super::attack::{Attack, Fate, SMUGGLED, post, run};

#[test]
fn two_statements_of_a_length_are_refused_even_if_they_agree() {
    let closed =
        |what: &str, wire: String| Attack { what: what.into(), wire, fate: Fate::Closed(&[400, 501]) };
    let chunks = format!("0\r\n\r\n{SMUGGLED}");
    run([
        closed("a length and chunks", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &chunks)),
        closed("chunks and a length", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &chunks)),
        closed("the same length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
        closed("the same length twice in one", post("Content-Length: 5, 5\r\n", "hello")),
    ]);
}

/// The proxy takes the chunks off and would pass on the rest of the coding without its name.
#[test]
fn a_coding_besides_chunks_is_refused() {
    for coding in ["gzip, chunked", "chunked, chunked", "gzip\r\nTransfer-Encoding: chunked"] {
        let wire = post(&format!("Transfer-Encoding: {coding}\r\n"), "5\r\nhello\r\n0\r\n\r\n");
        run([Attack { what: coding.into(), wire, fate: Fate::Closed(&[400, 501]) }]);
    }
}

#[test]
fn a_line_that_ends_in_a_bare_lf_is_refused() {
    for wire in [
        "POST {T}/v1 HTTP/1.1\nHost: {H}\nContent-Length: 5\n\nhello",
        "POST {T}/v1 HTTP/1.1\r\nHost: {H}\nContent-Length: 5\r\n\r\nhello",
        "POST {T}/v1 HTTP/1.1\r\nHost: {H}\r\nX-A: b\nContent-Length: 5\r\n\r\nhello",
        "POST {T}/v1 HTTP/1.1\r\nHost: {H}\r\nContent-Length: 5\r\n\nhello",
    ] {
        run([Attack { what: wire.into(), wire: wire.into(), fate: Fate::Closed(&[400]) }]);
    }
}

#[test]
fn a_head_beyond_the_limits_is_refused() {
    let many = "X-A: b\r\n".repeat(101);
    let large = format!("X-A: {}\r\n", "y".repeat(100 << 10));
    let long = format!("GET {{T}}/{} HTTP/1.1\r\nHost: {{H}}\r\n\r\n", "z".repeat(100 << 10));
    let fate = Fate::Closed(&[400, 414, 431]);
    run([
        Attack { what: "101 headers".into(), wire: post(&many, ""), fate: fate.clone() },
        Attack { what: "a header of 100 KB".into(), wire: post(&large, ""), fate: fate.clone() },
        Attack { what: "a path of 100 KB".into(), wire: long, fate },
    ]);
}
