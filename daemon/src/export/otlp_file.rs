//! OTLP as a file: JSON lines, as OpenTelemetry's file exporters write them, one `{"resourceSpans":[…]}` per turn.
//!
//! There is no header and no trailer: the format has none. Turns that still run are in it, with spans that end with the last
//! sign of life.

use ccd_proto::api::ExportEnd;

use super::bulk::{About, Content, Form, Made};
use super::otlp::{Level, Options};

/// The form.
pub(super) struct OtlpFile;

/// How spans are told in a file.
pub(super) fn options(content: Content) -> Options {
    let content = match content {
        Content::None => Level::None,
        Content::Text => Level::Text,
        Content::Full => Level::Full,
    };
    Options { content, running: true, ..Options::default() }
}

impl Form for OtlpFile {
    fn head(&mut self, _about: &About<'_>, _out: &mut Vec<u8>) {}

    fn entry(&mut self, made: Made, _nth: u64, out: &mut Vec<u8>) {
        if let Some(line) = made.line {
            out.extend_from_slice(&line);
            out.push(b'\n');
        }
    }

    fn tail(&mut self, _about: &About<'_>, _end: &ExportEnd, _out: &mut Vec<u8>) {}
}
