//! What is to be exported, and how: the parameters of the question.

use std::sync::Arc;

use http::StatusCode;

use super::cursor::Cursor;
use crate::export::clean::Privacy;
use crate::query::QueryError;
use crate::query::filter::{Filter, one_of};
use crate::vault::reveal::Revealer;

/// The form of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One object per line, of all types.
    #[default]
    Jsonl,
    /// One table.
    Csv,
    /// HTTP Archive 1.2: the exchanges.
    Har,
    /// OTLP as JSON lines: one trace per line.
    Otlp,
}

impl Format {
    fn parse(name: &str) -> Result<Self, QueryError> {
        Ok(match one_of("format", name.to_owned(), &["jsonl", "csv", "har", "otlp"])?.as_str() {
            "csv" => Format::Csv,
            "har" => Format::Har,
            "otlp" => Format::Otlp,
            _ => Format::Jsonl,
        })
    }

    /// What a file's name ends in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Har => "har",
            Format::Otlp => "otlp.jsonl",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Jsonl | Format::Otlp => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Har => "application/json",
        }
    }
}

/// How much of what was captured is in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Figures and names: no text that somebody or something wrote.
    None,
    /// Prompts, answers, thinking, tools' inputs and outputs.
    #[default]
    Text,
    /// Bodies and headers of the exchanges as well.
    Full,
}

/// Types of entries, in the order in which they stand.
pub(super) const KINDS: [&str; 7] =
    ["session", "turn", "span", "exchange", "detection", "intervention", "record"];
/// Tables of CSV, and the type of their rows.
const TABLES: [(&str, &str); 6] = [
    ("spans", "span"),
    ("sessions", "session"),
    ("turns", "turn"),
    ("exchanges", "exchange"),
    ("usage", "usage"),
    ("detections", "detection"),
];

/// The parameters.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Times, session, project; the limit is one of sessions, the newest of them.
    pub filter: Filter,
    /// The form.
    pub format: Format,
    /// How much of what was captured.
    pub content: Content,
    /// With what redaction took out, where it is known.
    pub reveal: bool,
    /// Then, by which it is known.
    pub revealer: Option<Arc<Revealer>>,
    /// In frames.
    pub framed: bool,
    /// What is taken out, where nothing is revealed.
    pub privacy: Privacy,
    /// Types of entries.
    pub(super) kinds: Vec<&'static str>,
    pub(super) after: Option<Cursor>,
    /// All parameters but the place, as a hash.
    pub(super) question: String,
}

impl Wanted {
    /// Reads a URL's query.
    pub fn parse(query: &str, may_reveal: bool) -> Result<Self, QueryError> {
        let mut wanted = Wanted::default();
        let (mut kinds, mut table, mut content) = (None, None, None);
        let mut limit = None;
        let mut asked = Vec::new();
        let filter = Filter::parse_with(query, &mut |name, value| {
            let on = matches!(value, "1" | "true");
            if !matches!(name, "after" | "framed") {
                asked.push(format!("{name}={value}"));
            }
            match name {
                "format" => wanted.format = Format::parse(value)?,
                "content" => {
                    let known = one_of(name, value.to_owned(), &["none", "text", "full"])?;
                    content = Some(match known.as_str() {
                        "none" => Content::None,
                        "full" => Content::Full,
                        _ => Content::Text,
                    });
                }
                "reveal" if on && !may_reveal => {
                    let why = "what was redacted is shown on the control socket alone, with POST";
                    return Err(QueryError::new(StatusCode::FORBIDDEN, "forbidden", why)
                        .hint("`ccctl export --reveal`"));
                }
                "reveal" => wanted.reveal = on,
                "framed" => wanted.framed = on,
                "after" => wanted.after = Some(Cursor::parse(value)?),
                "kinds" => kinds = Some(chosen(value)?),
                "table" => {
                    let names = TABLES.map(|(name, _)| name);
                    table = Some(one_of(name, value.to_owned(), &names)?);
                }
                "limit" => limit = Some(value.to_owned()),
                "since" | "until" | "session" | "project" | "tz" => return Ok(false),
                other => return Err(QueryError::bad(format!("unknown parameter {other:?}"))),
            }
            Ok(true)
        })?;
        wanted.filter = Filter { limit: 0, ..filter };
        wanted.content = content.unwrap_or(match wanted.format {
            // Where it goes next, content is asked for.
            Format::Otlp => Content::None,
            // An archive is of what went over the wire.
            Format::Har => Content::Full,
            _ => Content::default(),
        });
        if let Some(limit) = limit {
            let wrong = || QueryError::bad(format!("limit={limit:?}: not a number"));
            wanted.filter.limit = limit.parse().map_err(|_| wrong())?;
        }
        if table.is_some() && wanted.format != Format::Csv {
            return Err(QueryError::bad("table: of CSV only").hint("format=csv"));
        }
        if kinds.is_some() && wanted.format != Format::Jsonl {
            return Err(QueryError::bad("kinds: of JSON lines only").hint("format=jsonl; CSV has `table`"));
        }
        wanted.kinds = match wanted.format {
            // What was captured stands in spans and exchanges already, joined.
            Format::Jsonl => kinds.unwrap_or_else(|| KINDS.into_iter().filter(|k| *k != "record").collect()),
            Format::Csv => {
                let table = table.as_deref().unwrap_or("spans");
                TABLES.iter().filter(|(name, _)| *name == table).map(|(_, kind)| *kind).collect()
            }
            Format::Har => vec!["exchange"],
            Format::Otlp => vec!["trace"],
        };
        asked.extend([format!("{:?}", wanted.filter)]);
        asked.sort_unstable();
        wanted.question =
            blake3::hash(asked.join("\n").as_bytes()).to_hex().as_str().get(..16).unwrap_or("").into();
        if wanted.after.as_ref().is_some_and(|after| after.question != wanted.question) {
            return Err(QueryError::bad("after: a place in another export")
                .hint("an export goes on with the parameters that it was begun with"));
        }
        Ok(wanted)
    }

    /// Types of entries that are asked for.
    pub(in crate::export) fn kinds(&self) -> &[&'static str] {
        &self.kinds
    }

    /// Whether entries of this type are asked for.
    pub(super) fn has(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }
}

fn chosen(list: &str) -> Result<Vec<&'static str>, QueryError> {
    let mut wanted = Vec::new();
    for name in list.split(',') {
        wanted.push(one_of("kinds", name.trim().to_owned(), &KINDS)?);
    }
    Ok(KINDS.into_iter().filter(|kind| wanted.iter().any(|name| name == kind)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_checked() {
        let wanted = Wanted::parse("format=csv&table=turns&limit=3&project=shop", false).unwrap();
        assert_eq!(
            (wanted.format, wanted.kinds.as_slice(), wanted.filter.limit),
            (Format::Csv, &["turn"][..], 3)
        );
        let wanted = Wanted::parse("kinds=span,session&content=full&reveal=1", true).unwrap();
        assert_eq!(wanted.kinds, ["session", "span"]);
        assert!(wanted.reveal && wanted.content == Content::Full && wanted.filter.limit == 0);
        for bad in [
            "format=xml",
            "table=spans",
            "format=har&kinds=span",
            "kinds=x",
            "sesion=1",
            "after=x",
            "limit=x",
            "tool=x",
        ] {
            assert_eq!(Wanted::parse(bad, true).unwrap_err().error.code, "bad_request", "{bad}");
        }
        assert_eq!(Wanted::parse("reveal=1", false).unwrap_err().error.code, "forbidden");
    }

    #[test]
    fn a_place_belongs_to_one_question() {
        let of = |query: &str| Wanted::parse(query, true).unwrap().question;
        let cursor = Cursor { question: of("format=csv&session=x"), ..Cursor::default() }.to_text();
        let after = |query: &str| {
            let after =
                form_urlencoded::Serializer::new(query.to_owned()).append_pair("after", &cursor).finish();
            Wanted::parse(&after, true).is_ok()
        };
        assert!(after("session=x&format=csv") && after("format=csv&session=x&framed=1"));
        assert!(!after("format=csv&session=y") && !after("format=csv&session=x&reveal=1"));
    }
}
