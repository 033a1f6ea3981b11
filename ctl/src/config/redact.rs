//! `[redact]` of the daemon's `config.toml`, for what is redacted without a daemon. Only read.

use ccd_redact::{CustomRule, Redactor, Rules};
use toml::{Table, Value};

use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::files;

/// What redacts by the configuration, or by the built-in rules where there is none.
pub fn redactor(env: &Env) -> Result<Redactor> {
    let Some(bytes) = files::read(&env.layout.config_file)? else { return Ok(Redactor::standard()) };
    let rules = rules(super::text(&bytes)?)?;
    if rules == Rules::default() {
        return Ok(Redactor::standard());
    }
    Redactor::with(&rules).map_err(|error| wrong(&error.to_string()))
}

fn wrong(what: &str) -> CommandError {
    CommandError::failed(format!("config.toml: [redact]: {what}")).hint("correct it, then run this again")
}

/// The rules that a configuration names.
pub fn rules(text: &str) -> Result<Rules> {
    let file: Table = toml::from_str(text)
        .map_err(|error| CommandError::failed(format!("config.toml cannot be read: {}", error.message())))?;
    let Some(table) = file.get("redact") else { return Ok(Rules::default()) };
    let table = table.as_table().ok_or_else(|| wrong("is no table"))?;
    let mut custom = Vec::new();
    for rule in list(table, "rules")? {
        let rule = rule.as_table().ok_or_else(|| wrong("`rules` holds something that is no table"))?;
        let text = |name: &str| {
            let value = rule.get(name).and_then(Value::as_str);
            value.map(str::to_owned).ok_or_else(|| wrong(&format!("a rule has no `{name}`")))
        };
        let entropy = match rule.get("entropy") {
            None => 0.0,
            Some(value) => number(value).ok_or_else(|| wrong("`entropy` is no number"))?,
        };
        custom.push(CustomRule {
            id: text("id")?,
            pattern: text("pattern")?,
            keywords: texts(rule, "keywords")?,
            entropy,
        });
    }
    let mut allow_values = texts(table, "allow_values")?;
    allow_values.retain(|value| !value.is_empty());
    Ok(Rules {
        custom,
        allow_values,
        allow_patterns: texts(table, "allow_patterns")?,
        off: texts(table, "off")?,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "bits per character: below nine"
)]
fn number(value: &Value) -> Option<f32> {
    value.as_float().map(|float| float as f32).or_else(|| value.as_integer().map(|whole| whole as f32))
}

fn list<'a>(table: &'a Table, name: &str) -> Result<&'a [Value]> {
    match table.get(name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(wrong(&format!("`{name}` is no list"))),
    }
}

fn texts(table: &Table, name: &str) -> Result<Vec<String>> {
    list(table, name)?
        .iter()
        .map(|item| {
            item.as_str()
                .map(str::to_owned)
                .ok_or_else(|| wrong(&format!("`{name}` holds something that is no text")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_mistakes_named() {
        let text = "upstream = 'x'\n[redact]\nallow_values = ['x', '']\noff = ['jwt']\n[[redact.rules]]\nid = 'acme'\npattern = 'acme-[0-9]{8}'\nkeywords = ['acme-']\nentropy = 2\n";
        let rules = rules(text).unwrap();
        assert_eq!((rules.custom.len(), rules.allow_values.len(), rules.off.len()), (1, 1, 1));
        assert_eq!(super::rules("[proxy]\n").unwrap(), Rules::default());
        for (text, want) in [
            ("[redact]\noff = 1", "`off`"),
            ("[redact]\nrules = [{id = 'x'}]", "`pattern`"),
            ("redact = 1", "no table"),
            ("[redact", "cannot be read"),
        ] {
            assert!(super::rules(text).unwrap_err().message.contains(want), "{text}");
        }
    }
}
