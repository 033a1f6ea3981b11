//! `[forward.NAME]` in the daemon's `config.toml`: to whom what is recorded is sent. Text in, text out; what is not changed
//! stays as it is, comments included.

use toml_edit::{Array, Item, Table, TableLike, value};

use super::{parse, put, text};
use crate::error::{CommandError, Result};
use crate::printer::visible;

/// A new sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSink {
    /// `otlp` or `pisama`.
    pub kind: &'static str,
    /// Where to.
    pub url: String,
    /// `none`, `text` or `full`.
    pub content: &'static str,
    /// A file with headers.
    pub headers_file: Option<String>,
    /// A file with the API key.
    pub key_file: Option<String>,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether plain HTTP is allowed to other machines, too.
    pub allow_http: bool,
}

/// The names of all sinks.
pub fn names(bytes: &[u8]) -> Result<Vec<String>> {
    let document = parse(text(bytes)?)?;
    let all = document.get("forward").and_then(Item::as_table_like);
    Ok(all.map(|all| all.iter().map(|(name, _)| name.to_owned()).collect()).unwrap_or_default())
}

/// What a sink's table says of a key.
pub fn said(bytes: &[u8], name: &str, key: &str) -> Result<Option<String>> {
    let document = parse(text(bytes)?)?;
    let sink = document.get("forward").and_then(|all| all.get(name));
    Ok(sink.and_then(|sink| sink.get(key)).and_then(Item::as_str).map(str::to_owned))
}

/// With a new sink, or one put in the place of the one before; what it excludes stays excluded.
pub fn with_sink(bytes: &[u8], name: &str, new: &NewSink) -> Result<Vec<u8>> {
    if name.is_empty() || name.len() > 32 || !name.bytes().all(is_of_a_name) {
        return Err(CommandError::usage(format!("`{}` cannot be a sink's name", visible(name)))
            .hint("names are made of small letters, digits, - and _, 32 at most"));
    }
    let mut document = parse(text(bytes)?)?;
    let fresh = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let all = document.entry("forward").or_insert_with(fresh);
    let all = all.as_table_like_mut().ok_or_else(|| wrong("forward"))?;
    let sink = all.entry(name).or_insert_with(|| Item::Table(Table::new()));
    let sink = sink.as_table_like_mut().ok_or_else(|| wrong("forward"))?;
    put(sink, "kind", Some(value(new.kind)));
    put(sink, "url", Some(value(&new.url)));
    put(sink, "headers_file", new.headers_file.as_ref().map(value));
    put(sink, "key_file", new.key_file.as_ref().map(value));
    put(sink, "content", Some(value(new.content)));
    put(sink, "enabled", Some(value(new.enabled)));
    put(sink, "allow_http", new.allow_http.then(|| value(true)));
    Ok(document.to_string().into_bytes())
}

fn is_of_a_name(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_'
}

fn wrong(what: &str) -> CommandError {
    CommandError::failed(format!("config.toml: `{what}` is no table"))
}

/// Changes the table of a sink.
fn change(bytes: &[u8], name: &str, work: impl FnOnce(&mut dyn TableLike) -> Result<()>) -> Result<Vec<u8>> {
    let mut document = parse(text(bytes)?)?;
    let sink = document.get_mut("forward").and_then(|all| all.get_mut(name));
    let sink = sink.and_then(Item::as_table_like_mut).ok_or_else(|| wrong(&format!("forward.{name}")))?;
    work(sink)?;
    Ok(document.to_string().into_bytes())
}

/// With a sink switched on or off.
pub fn with_enabled(bytes: &[u8], name: &str, enabled: bool) -> Result<Vec<u8>> {
    change(bytes, name, |sink| {
        put(sink, "enabled", Some(value(enabled)));
        Ok(())
    })
}

/// Without a sink.
pub fn without_sink(bytes: &[u8], name: &str) -> Result<Vec<u8>> {
    let mut document = parse(text(bytes)?)?;
    if let Some(all) = document.get_mut("forward").and_then(Item::as_table_like_mut) {
        all.remove(name);
        if all.is_empty() {
            document.remove("forward");
        }
    }
    Ok(document.to_string().into_bytes())
}

/// With a further entry in a sink's list (`exclude_projects`, `exclude_sessions`).
pub fn with_excluded(bytes: &[u8], name: &str, list: &str, entry: &str) -> Result<Vec<u8>> {
    change(bytes, name, |sink| {
        let fresh = || value(Array::new());
        let all = sink.entry(list).or_insert_with(fresh).as_array_mut();
        let all = all.ok_or_else(|| CommandError::failed(format!("config.toml: `{list}` is no list")))?;
        if !all.iter().any(|known| known.as_str() == Some(entry)) {
            all.push(entry);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_come_and_go_and_the_rest_stays() {
        let before = "# mine\nlog = \"debug\"   # loud\n";
        let new =
            NewSink { kind: "otlp", url: "https://o.example".into(), content: "none", ..NewSink::default() };
        let with = with_sink(before.as_bytes(), "team", &new).unwrap();
        let shown = String::from_utf8(with.clone()).unwrap();
        assert!(shown.starts_with(before) && shown.contains("[forward.team]\nkind = \"otlp\""), "{shown}");
        assert!(shown.contains("enabled = false"));
        let more = with_excluded(&with, "team", "exclude_projects", "shop").unwrap();
        let more = with_excluded(&more, "team", "exclude_projects", "shop").unwrap();
        let on = with_enabled(&more, "team", true).unwrap();
        let again = with_sink(&on, "team", &NewSink { enabled: true, ..new.clone() }).unwrap();
        let shown = String::from_utf8(again.clone()).unwrap();
        assert!(
            shown.contains("exclude_projects = [\"shop\"]") && shown.contains("enabled = true"),
            "{shown}"
        );
        assert_eq!(names(&again).unwrap(), ["team"]);
        assert_eq!(said(&again, "team", "url").unwrap().as_deref(), Some("https://o.example"));
        assert_eq!(without_sink(&again, "team").unwrap(), before.as_bytes());
        for wrong in ["", "A", "a b", "../x"] {
            assert_eq!(with_sink(b"", wrong, &new).unwrap_err().exit_code(), 2, "{wrong}");
        }
        assert!(with_enabled(b"", "team", true).is_err());
    }
}
