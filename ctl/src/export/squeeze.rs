//! Compression in members: each can be read alone, so that a file can be cut back to the end of one and go on.

use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;

use crate::args::Compression;
use crate::error::{CommandError, Result};

/// How a file is made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Squeeze {
    /// Not at all.
    Plain,
    /// Zstandard frames.
    Zstd,
    /// gzip members.
    Gzip,
}

/// Zstandard's usual level.
const LEVEL: i32 = 3;

impl Squeeze {
    /// As was typed, and as the file's name says; and what is to be added to the name.
    pub(super) fn chosen(asked: Option<Compression>, to: Option<&Path>) -> Result<(Self, &'static str)> {
        let ends_in = |end: &str| {
            to.and_then(Path::extension).is_some_and(|extension| extension.eq_ignore_ascii_case(end))
        };
        let by_name = match () {
            () if ends_in("zst") => Some(Squeeze::Zstd),
            () if ends_in("gz") => Some(Squeeze::Gzip),
            () => None,
        };
        let asked = match asked {
            None => return Ok((by_name.unwrap_or(Squeeze::Plain), "")),
            Some(Compression::Auto) => by_name.unwrap_or(Squeeze::Zstd),
            Some(Compression::Zstd) => Squeeze::Zstd,
            Some(Compression::Gzip) => Squeeze::Gzip,
        };
        match by_name {
            Some(named) if named != asked => {
                Err(CommandError::usage("--compress says otherwise than the name after -o"))
            }
            Some(_) => Ok((asked, "")),
            None => Ok((asked, if asked == Squeeze::Gzip { ".gz" } else { ".zst" })),
        }
    }

    /// Its name in summaries.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Squeeze::Plain => None,
            Squeeze::Zstd => Some("zstd"),
            Squeeze::Gzip => Some("gzip"),
        }
    }
}

/// What is being compressed.
pub(super) enum Member {
    /// Nothing yet.
    None,
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Member {
    /// Takes bytes; what they have become so far.
    pub(super) fn take(&mut self, how: Squeeze, bytes: &[u8]) -> Result<Vec<u8>> {
        if matches!(self, Member::None) {
            match how {
                Squeeze::Plain => return Ok(bytes.to_vec()),
                Squeeze::Zstd => *self = Member::Zstd(zstd::Encoder::new(Vec::new(), LEVEL)?),
                Squeeze::Gzip => {
                    *self = Member::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default()));
                }
            }
        }
        Ok(match self {
            Member::None => Vec::new(),
            Member::Zstd(encoder) => {
                encoder.write_all(bytes)?;
                std::mem::take(encoder.get_mut())
            }
            Member::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                std::mem::take(encoder.get_mut())
            }
        })
    }

    /// Ends the member; the rest of it.
    pub(super) fn end(&mut self) -> Result<Vec<u8>> {
        Ok(match std::mem::replace(self, Member::None) {
            Member::None => Vec::new(),
            Member::Zstd(encoder) => encoder.finish()?,
            Member::Gzip(encoder) => encoder.finish()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn members_are_read_as_one() {
        for how in [Squeeze::Plain, Squeeze::Zstd, Squeeze::Gzip] {
            let (mut member, mut all) = (Member::None, Vec::new());
            for piece in ["one ", "two ", "", "three"] {
                all.extend(member.take(how, piece.as_bytes()).unwrap());
                all.extend(member.end().unwrap());
            }
            let mut read = String::new();
            match how {
                Squeeze::Plain => read = String::from_utf8(all).unwrap(),
                Squeeze::Zstd => _ = zstd::Decoder::new(&all[..]).unwrap().read_to_string(&mut read).unwrap(),
                Squeeze::Gzip => {
                    _ = flate2::read::MultiGzDecoder::new(&all[..]).read_to_string(&mut read).unwrap();
                }
            }
            assert_eq!(read, "one two three");
        }
    }

    #[test]
    fn the_name_and_the_flag_agree() {
        let of = |asked, name: &str| Squeeze::chosen(asked, Some(Path::new(name))).ok();
        assert_eq!(of(None, "a.jsonl"), Some((Squeeze::Plain, "")));
        assert_eq!(of(None, "a.jsonl.gz"), Some((Squeeze::Gzip, "")));
        assert_eq!(of(Some(Compression::Auto), "a.csv.gz"), Some((Squeeze::Gzip, "")));
        assert_eq!(of(Some(Compression::Auto), "a.csv"), Some((Squeeze::Zstd, ".zst")));
        assert_eq!(of(Some(Compression::Gzip), "a.csv"), Some((Squeeze::Gzip, ".gz")));
        assert_eq!(of(Some(Compression::Gzip), "a.zst"), None);
    }
}
