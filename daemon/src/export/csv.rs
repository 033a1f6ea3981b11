//! CSV, as RFC 4180 has it: one table, a header line, one type per column, UTF-8, each row on one line.
//!
//! Spreadsheets take a cell that begins with `=`, `+`, `-`, `@` or a tab for a formula: captured text that does has a `'` before
//! it. Characters that act instead of being seen are written out (`\n`, `\u{1b}`). Figures and times are ours and stay as they
//! are; money is whole micro-dollars. There are no contents in a table, only first lines.

use std::fmt::Write as _;

use ccd_proto::api::ExportEnd;
use serde_json::Value;

use super::bulk::{About, Form, Made};
use super::html::is_hidden;

/// A column's name, and where its value stands.
type Column = (&'static str, &'static str);

const SESSIONS: [Column; 23] = [
    ("session_id", "/session_id"),
    ("project", "/project"),
    ("cwd", "/cwd"),
    ("client", "/client"),
    ("model", "/model"),
    ("models", "/models"),
    ("started_at", "/started_at"),
    ("last_at", "/last_at"),
    ("ended", "/ended"),
    ("turns", "/turns"),
    ("exchanges", "/exchanges"),
    ("tool_calls", "/tool_calls"),
    ("tool_errors", "/tool_errors"),
    ("agents", "/agents"),
    ("input_tokens", "/tokens/input"),
    ("output_tokens", "/tokens/output"),
    ("cache_read_tokens", "/tokens/cache_read"),
    ("cache_write_5m_tokens", "/tokens/cache_write_5m"),
    ("cache_write_1h_tokens", "/tokens/cache_write_1h"),
    ("cost_usd_micros", "/cost_usd_micros"),
    ("context_used", "/context/used"),
    ("context_window", "/context/window"),
    ("detections", "/detections"),
];

const TURNS: [Column; 22] = [
    ("turn_id", "/turn_id"),
    ("trace_id", "/trace_id"),
    ("session_id", "/session_id"),
    ("number", "/number"),
    ("source", "/source"),
    ("started_at", "/started_at"),
    ("duration_ms", "/duration_ms"),
    ("status", "/status"),
    ("exchanges", "/exchanges"),
    ("tool_calls", "/tool_calls"),
    ("tool_errors", "/tool_errors"),
    ("agents", "/agents"),
    ("input_tokens", "/tokens/input"),
    ("output_tokens", "/tokens/output"),
    ("cache_read_tokens", "/tokens/cache_read"),
    ("cache_write_5m_tokens", "/tokens/cache_write_5m"),
    ("cache_write_1h_tokens", "/tokens/cache_write_1h"),
    ("cost_usd_micros", "/cost_usd_micros"),
    ("detections", "/detections"),
    ("error", "/error"),
    ("prompt", "/prompt"),
    ("result", "/result"),
];

const SPANS: [Column; 34] = [
    ("span_id", "/span_id"),
    ("trace_id", "/trace_id"),
    ("parent_id", "/parent_id"),
    ("session_id", "/session_id"),
    ("turn_id", "/turn_id"),
    ("agent_id", "/agent_id"),
    ("agent_type", "/agent_type"),
    ("kind", "/kind"),
    ("name", "/name"),
    ("started_at", "/started_at"),
    ("duration_ms", "/duration_ms"),
    ("execution_ms", "/execution_ms"),
    ("status", "/status"),
    ("tool_name", "/tool_name"),
    ("tool_use_id", "/tool_use_id"),
    ("model", "/model"),
    ("purpose", "/purpose"),
    ("exchange_id", "/exchange_id"),
    ("ttfb_ms", "/ttfb_ms"),
    ("stop_reason", "/stop_reason"),
    ("retry_of", "/retry_of"),
    ("requested_by", "/requested_by"),
    ("input_tokens", "/tokens/input"),
    ("output_tokens", "/tokens/output"),
    ("cache_read_tokens", "/tokens/cache_read"),
    ("cache_write_5m_tokens", "/tokens/cache_write_5m"),
    ("cache_write_1h_tokens", "/tokens/cache_write_1h"),
    ("cost_usd_micros", "/cost_usd_micros"),
    ("attributed_usd_micros", "/attributed_usd_micros"),
    ("copied_from", "/copied_from"),
    ("sources", "/sources"),
    ("detections", "/detections"),
    ("error", "/error"),
    ("summary", "/summary"),
];

const EXCHANGES: [Column; 33] = [
    ("exchange_id", "/exchange_id"),
    ("session_id", "/session_id"),
    ("agent_id", "/agent_id"),
    ("method", "/method"),
    ("path", "/path"),
    ("status", "/status"),
    ("request_id", "/request_id"),
    ("message_id", "/message_id"),
    ("model", "/model"),
    ("purpose", "/purpose"),
    ("started_at", "/started_at"),
    ("ttfb_ms", "/ttfb_ms"),
    ("duration_ms", "/duration_ms"),
    ("request_bytes", "/request_bytes"),
    ("response_bytes", "/response_bytes"),
    ("complete", "/complete"),
    ("stream", "/stream"),
    ("stop_reason", "/stop_reason"),
    ("attempt", "/attempt"),
    ("retry_of", "/retry_of"),
    ("retried_by", "/retried_by"),
    ("input_tokens", "/tokens/input"),
    ("output_tokens", "/tokens/output"),
    ("cache_read_tokens", "/tokens/cache_read"),
    ("cache_write_5m_tokens", "/tokens/cache_write_5m"),
    ("cache_write_1h_tokens", "/tokens/cache_write_1h"),
    ("cost_usd_micros", "/cost_usd_micros"),
    ("reasoning_blocks", "/reasoning/blocks"),
    ("resolve_ms", "/timing/resolve_ms"),
    ("connect_ms", "/timing/connect_ms"),
    ("tls_ms", "/timing/tls_ms"),
    ("longest_gap_ms", "/timing/longest_gap_ms"),
    ("error", "/error"),
];

const DETECTIONS: [Column; 17] = [
    ("detection_id", "/detection_id"),
    ("kind", "/kind"),
    ("rule", "/rule"),
    ("severity", "/severity"),
    ("confidence", "/confidence"),
    ("session_id", "/session_id"),
    ("agent_id", "/agent_id"),
    ("project", "/project"),
    ("turn_id", "/turn_id"),
    ("span_id", "/span_id"),
    ("at", "/at"),
    ("state", "/state"),
    ("mast", "/mast"),
    ("action", "/intervention/action"),
    ("reason", "/reason"),
    ("title", "/title"),
    ("advice", "/advice"),
];

const USAGE: [Column; 9] = [
    ("date", "/key/date"),
    ("model", "/key/model"),
    ("input_tokens", "/tokens/input"),
    ("output_tokens", "/tokens/output"),
    ("cache_read_tokens", "/tokens/cache_read"),
    ("cache_write_5m_tokens", "/tokens/cache_write_5m"),
    ("cache_write_1h_tokens", "/tokens/cache_write_1h"),
    ("cost_usd_micros", "/cost_usd_micros"),
    ("exchanges", "/exchanges"),
];

/// The form.
pub(super) struct Csv(&'static [Column]);

impl Csv {
    /// With the table of entries of this type.
    pub(super) fn new(kind: &str) -> Self {
        Csv(match kind {
            "session" => &SESSIONS,
            "turn" => &TURNS,
            "exchange" => &EXCHANGES,
            "detection" => &DETECTIONS,
            "usage" => &USAGE,
            _ => &SPANS,
        })
    }
}

impl Form for Csv {
    fn head(&mut self, _about: &About<'_>, out: &mut Vec<u8>) {
        row(self.0.iter().map(|(name, _)| (*name).to_owned()), out);
    }

    fn entry(&mut self, made: Made, _nth: u64, out: &mut Vec<u8>) {
        row(self.0.iter().map(|(_, at)| cell(made.value.pointer(at))), out);
    }

    fn tail(&mut self, _about: &About<'_>, _end: &ExportEnd, _out: &mut Vec<u8>) {}
}

fn row(cells: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    // Memory takes everything.
    let _ = writer.write_record(cells);
    let _ = writer.flush();
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => visible(text),
        Some(Value::Array(list)) => {
            let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            // What is more than a name is counted.
            if names.len() == list.len() { visible(&names.join(" ")) } else { list.len().to_string() }
        }
        Some(other) => other.to_string(),
    }
}

/// Text in which nothing acts, neither here nor in a spreadsheet.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) {
        out.push('\'');
    }
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formulas_are_text_and_figures_are_figures() {
        for (given, want) in [
            ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
            ("+1", "'+1"),
            ("-rf", "'-rf"),
            ("@x", "'@x"),
            ("\tx", "'\\tx"),
            ("a=b", "a=b"),
            ("two\nlines\u{1b}[2J\u{202e}", "two\\nlines\\u{1b}[2J\\u{202e}"),
        ] {
            assert_eq!(cell(Some(&given.into())), want);
        }
        assert_eq!(cell(Some(&(-5).into())), "-5");
        assert_eq!(cell(Some(&serde_json::json!(["hook", "proxy"]))), "hook proxy");
        assert_eq!(cell(Some(&serde_json::json!([{"kind": "loop"}]))), "1");
        assert_eq!(cell(None), "");
    }

    #[test]
    fn columns_have_names_of_their_own() {
        for columns in [&SESSIONS[..], &TURNS, &SPANS, &EXCHANGES, &DETECTIONS, &USAGE] {
            let names: std::collections::BTreeSet<_> = columns.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), columns.len());
        }
    }

    proptest! {
        #[test]
        fn a_parser_reads_back_what_was_written(texts in prop::collection::vec("(\\PC|[\u{0}-\u{1f}\",;\r\n=+@-]){0,12}", 1..6)) {
            let mut out = Vec::new();
            row(texts.iter().map(|text| visible(text)), &mut out);
            row(texts.iter().map(|text| visible(text)), &mut out);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
            let read: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read.len(), 2);
            for (cell, text) in read[1].iter().zip(&texts) {
                prop_assert_eq!(cell, visible(text));
                prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t']) && !cell.chars().any(is_hidden));
            }
            prop_assert_eq!(out.split(|b| *b == b'\n').count(), 3, "a row is a line");
        }
    }
}
