//! Images of a session: only such as a browser only draws, told by their first bytes, never by what they are called.
//!
//! Must never let anything through but base64 of a PNG, JPEG, GIF or WebP; an SVG is a document, and may do things.

use serde_json::Value;

/// The largest that is put into a file, in characters of base64, unless everything is wanted.
const MOST: usize = 4 << 20;
/// How deep images are looked for.
const DEEP: usize = 12;

/// An image, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    media_type: &'static str,
    base64: String,
}

impl Image {
    /// What its first bytes say that it is.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// Its bytes, as letters, digits, `+`, `/` and `=`.
    #[must_use]
    pub fn base64(&self) -> &str {
        &self.base64
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.base64.trim_end_matches('=').len() * 3 / 4) as u64
    }

    /// The image that base64 is, if it is one.
    #[must_use]
    pub fn read(base64: &str) -> Option<Self> {
        let base64: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let body = base64.trim_end_matches('=');
        let is_base64 = base64.len().is_multiple_of(4)
            && base64.len() - body.len() <= 2
            && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
        if !is_base64 {
            return None;
        }
        let head = decode(body.get(..16)?);
        let media_type = match head.as_slice() {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
            _ => return None,
        };
        Some(Image { media_type, base64 })
    }
}

/// What became of an image that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It can be shown.
    Image(Image),
    /// It is too large, with its size in bytes.
    Large(u64),
    /// It is none that is shown.
    Other,
}

/// Takes the images out of a value, in their order: their base64 is not text.
pub fn take(value: &mut Value, whole: bool) -> Vec<Found> {
    let mut found = Vec::new();
    look(value, whole, DEEP, &mut found);
    found
}

fn look(value: &mut Value, whole: bool, deep: usize, found: &mut Vec<Found>) {
    if deep == 0 {
        return;
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(|v| look(v, whole, deep - 1, found)),
        Value::Object(members) => {
            let is = |name: &str, word: &str| members.get(name).and_then(Value::as_str) == Some(word);
            let has_image_type = ["media_type", "type"].iter().any(|name| {
                members.get(*name).and_then(Value::as_str).is_some_and(|kind| kind.starts_with("image/"))
            });
            let name = match () {
                () if is("type", "base64") && members.contains_key("data") => Some("data"),
                () if has_image_type && members.contains_key("base64") => Some("base64"),
                () if has_image_type && members.contains_key("data") => Some("data"),
                () => None,
            };
            if let Some(Value::String(data)) = name.and_then(|name| members.get_mut(name)) {
                let data = std::mem::replace(data, "(shown as an image, or left out)".into());
                found.push(if data.len() > MOST && !whole {
                    Found::Large((data.len() * 3 / 4) as u64)
                } else {
                    Image::read(&data).map_or(Found::Other, Found::Image)
                });
            }
            members.values_mut().for_each(|v| look(v, whole, deep - 1, found));
        }
        _ => {}
    }
}

/// The bytes of base64 without padding.
fn decode(base64: &str) -> Vec<u8> {
    let (mut bits, mut held, mut out) = (0u32, 0u32, Vec::new());
    for b in base64.bytes() {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 0xff).unwrap_or_default());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    #[test]
    fn only_what_is_drawn_is_an_image() {
        assert_eq!(Image::read(PNG).unwrap().media_type(), "image/png");
        assert_eq!(Image::read("R0lGODlhAQABAIAAAAUEBA==").unwrap().media_type(), "image/gif");
        assert_eq!(Image::read("/9j/4AAQSkZJRgABAQEASA==").unwrap().media_type(), "image/jpeg");
        assert_eq!(Image::read("UklGRiQAAABXRUJQVlA4IBgA").unwrap().media_type(), "image/webp");
        // <svg onload=alert(1)>, a PNG's head with something behind it that is no base64, nothing.
        for other in
            ["PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+", "iVBORw0KGgoAAAANSUhEUgAA\"><script>", "", "iVBO", "===="]
        {
            assert_eq!(Image::read(other), None, "{other}");
        }
    }

    #[test]
    fn images_are_taken_out_wherever_they_stand() {
        let mut value = json!([
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image", "file": {"type": "image/png", "base64": PNG}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/svg+xml", "data": "PHN2Zz48L3N2Zz4="}},
            {"type": "text", "text": "data"},
            {"base64": PNG},
        ]);
        let found = take(&mut value, false);
        assert!(
            matches!(found.as_slice(), [Found::Image(a), Found::Image(b), Found::Other] if a == b && a.bytes() == 70)
        );
        assert_eq!(value.to_string().matches(PNG).count(), 1, "{value}");
    }
}
