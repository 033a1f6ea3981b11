//! A request's body, read in one pass: its top-level members as they stand, and the end of its conversation.
//!
//! Bodies grow to many megabytes, and each resends the one before: they are gone through once, nothing is copied, and of
//! the messages only the last are held. Total over any bytes: what is no JSON object has no members.

use std::collections::VecDeque;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Messages held. The tail that tells something new is a few.
const TAIL: usize = 256;
/// Of a longer value only the beginning and the end, so much of each, go into the fingerprint.
const SAMPLE: usize = 4 << 10;

/// The members that something is read from.
#[derive(Debug, Default)]
pub struct Members<'a> {
    /// `model`.
    pub model: Option<&'a RawValue>,
    /// `stream`.
    pub stream: Option<&'a RawValue>,
    /// `max_tokens`.
    pub max_tokens: Option<&'a RawValue>,
    /// `tools`.
    pub tools: Option<&'a RawValue>,
    /// `output_config`.
    pub output_config: Option<&'a RawValue>,
    /// `system`.
    pub system: Option<&'a RawValue>,
    /// The last of `messages`, in order.
    pub tail: VecDeque<&'a RawValue>,
    /// Tells bodies apart that differ in more than `stream` and `max_tokens`: by the lengths of all else, by what is
    /// short, and by the beginning and the end of what is long.
    pub fingerprint: [u8; 32],
}

/// Reads a body. `None`: it is no JSON object, or its `messages` is no list.
#[must_use]
pub fn read(body: &[u8]) -> Option<Members<'_>> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let members = json.deserialize_map(Reader(blake3::Hasher::new())).ok()?;
    json.end().ok()?;
    Some(members)
}

fn mix(print: &mut blake3::Hasher, value: &[u8]) {
    print.update(&(value.len() as u64).to_be_bytes());
    if value.len() <= 2 * SAMPLE {
        print.update(value);
    } else {
        print.update(&value[..SAMPLE]);
        print.update(&value[value.len() - SAMPLE..]);
    }
}

struct Reader(blake3::Hasher);

impl<'a> Visitor<'a> for Reader {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "messages" {
                members.tail.clear();
                mix(&mut self.0, name.as_bytes());
                map.next_value_seed(Messages { print: &mut self.0, tail: &mut members.tail })?;
                continue;
            }
            let value: &'a RawValue = map.next_value()?;
            let slot = match name.as_str() {
                "stream" => {
                    members.stream = Some(value);
                    continue;
                }
                "max_tokens" => {
                    members.max_tokens = Some(value);
                    continue;
                }
                "model" => Some(&mut members.model),
                "tools" => Some(&mut members.tools),
                "output_config" => Some(&mut members.output_config),
                "system" => Some(&mut members.system),
                _ => None,
            };
            if let Some(slot) = slot {
                *slot = Some(value);
            }
            mix(&mut self.0, name.as_bytes());
            mix(&mut self.0, value.get().as_bytes());
        }
        members.fingerprint = *self.0.finalize().as_bytes();
        Ok(members)
    }
}

/// Reads the messages into the tail; their number, length and end into the fingerprint.
struct Messages<'p, 'a> {
    print: &'p mut blake3::Hasher,
    tail: &'p mut VecDeque<&'a RawValue>,
}

impl<'a> DeserializeSeed<'a> for Messages<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Messages<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let (mut count, mut bytes) = (0_u64, 0_u64);
        while let Some(message) = seq.next_element::<&'a RawValue>()? {
            count += 1;
            bytes += message.get().len() as u64;
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(message);
        }
        self.print.update(&count.to_be_bytes());
        self.print.update(&bytes.to_be_bytes());
        if let Some(last) = self.tail.back() {
            mix(self.print, last.get().as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print(body: &str) -> [u8; 32] {
        read(body.as_bytes()).unwrap().fingerprint
    }

    #[test]
    fn what_a_fallback_changes_does_not_tell_bodies_apart_and_all_else_does() {
        let body = r#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"a":1},{"b":2}]}"#;
        assert_eq!(print(body), print(&body.replace("true", "false").replace('9', "4")));
        for (from, to) in
            [("\"m\"", "\"n\""), ("{\"b\":2}", "{\"b\":3}"), ("{\"a\":1},", ""), ("model", "mode1")]
        {
            assert_ne!(print(body), print(&body.replace(from, to)), "{from}");
        }
        let long = format!(r#"{{"system":"{}","messages":[]}}"#, "x".repeat(50_000));
        assert_ne!(print(&long), print(&long.replacen('x', "xx", 1)));
    }

    #[test]
    fn of_many_messages_the_last_are_held() {
        let body = format!(r#"{{"messages":[{}9]}}"#, "1,".repeat(100_000));
        let members = read(body.as_bytes()).unwrap();
        assert_eq!((members.tail.len(), members.tail.back().unwrap().get()), (TAIL, "9"));
    }

    #[test]
    fn what_is_no_request_has_no_members() {
        for body in ["", "[1]", "{\"messages\":7}", "{\"a\":1} x", "{"] {
            assert!(read(body.as_bytes()).is_none(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body);
        }
    }
}
