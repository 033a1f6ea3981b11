//! Headers and paths on their way through the proxy: of any headers the hop-by-hop ones end here and no others, in
//! order; no credential gets into a record; and a path goes behind its prefix byte for byte or not at all.
#![no_main]

use ccd::source::proxy::headers;
use ccd::source::proxy::upstream::Target;
use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

const SECRET: &str = "sk-ant-made-up";
/// Never passed on.
const OURS: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "transfer-encoding", "upgrade"];

/// Lines of `name: value`; what is no header is left out, as the parser in front would.
fn read(bytes: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in bytes.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            map.append(name, value);
        }
    }
    map
}

libfuzzer_sys::fuzz_target!(|input: (&[u8], &str)| {
    let (lines, path) = input;
    let before = read(lines);
    let mut after = before.clone();
    headers::strip_hop_by_hop(&mut after);
    assert!(OURS.iter().all(|name| !after.contains_key(*name)));
    assert!(
        after.get_all(TE).iter().all(|value| value == "trailers") && after.get_all(TE).iter().count() < 2
    );
    assert!(!before.contains_key(TRANSFER_ENCODING) || !after.contains_key(CONTENT_LENGTH));
    // What is left is a part of what was there, in its order; and all of it where nothing else is named.
    let fields = |map: &HeaderMap| -> Vec<_> {
        let others = map.iter().filter(|(name, _)| *name != TE && *name != CONTENT_LENGTH);
        others.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (sent, left) = (fields(&before), fields(&after));
    let mut rest = sent.iter();
    assert!(left.iter().all(|field| rest.any(|sent| sent == field)));
    if !before.contains_key(CONNECTION) {
        let kept = |name: &HeaderName| !OURS.contains(&name.as_str()) && name != "proxy-authenticate";
        assert_eq!(left.len(), sent.iter().filter(|(name, _)| kept(name)).count());
    }
    let mut again = after.clone();
    headers::strip_hop_by_hop(&mut again);
    assert_eq!(fields(&again), left);

    let mut secret = before;
    secret.append("x-api-key", HeaderValue::from_static(SECRET));
    secret.append("x-any", HeaderValue::from_static(concat!("Bearer ", "sk-ant-made-up")));
    assert!(headers::captured(&secret).iter().all(|(_, value)| !value.ends_with(SECRET.as_bytes())));
    let _ = headers::name_of(&secret, "x-claude-code-session-id");
    let mark = if path.contains('?') { '&' } else { '?' };
    let kept = headers::captured_path(&format!("{path}{mark}api_key={SECRET}"));
    assert!(!kept.contains(SECRET) || path.contains(SECRET));

    let base = http::Uri::from_static("https://gateway.example:8443/prefix");
    if let Some(uri) = Target::new(&base).and_then(|target| target.uri(path)) {
        assert_eq!((uri.host(), uri.port_u16()), (Some("gateway.example"), Some(8443)));
        let joined = format!("/prefix{}", path.split('#').next().unwrap_or_default());
        assert_eq!(uri.path_and_query().map(ToString::to_string), Some(joined));
    }
});
