//! The one key that `install` may put into the daemon's `config.toml`: `upstream`, and what upstreams mean. And the
//! addresses that the daemon listens on, which are only read.
//!
//! Changes are text in, text out; the user's own configuration and comments stay. Credentials in a URL are never shown.

pub mod command;
pub mod forward;
pub mod heal;
pub mod redact;

use ccd_proto::api::{Budget, display_usd};
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

use crate::client::without_token;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::files;

/// The key.
const UPSTREAM: &str = "upstream";

fn parse(text: &str) -> Result<DocumentMut> {
    text.parse().map_err(|e: toml_edit::TomlError| {
        CommandError::failed(format!("config.toml cannot be read: {}", e.to_string().trim_end()))
            .hint("correct it, then run this again")
    })
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| CommandError::failed("config.toml is not UTF-8 text"))
}

/// The upstream that a configuration names.
pub fn upstream(bytes: &[u8]) -> Result<Option<String>> {
    Ok(parse(text(bytes)?)?.get(UPSTREAM).and_then(Item::as_str).map(ToOwned::to_owned))
}

/// The address that a configuration has the proxy listen on.
pub fn listen(bytes: &[u8]) -> Result<Option<String>> {
    listen_of(bytes, "proxy")
}

fn listen_of(bytes: &[u8], part: &str) -> Result<Option<String>> {
    let document = parse(text(bytes)?)?;
    let listen = document.get(part).and_then(|table| table.get("listen"));
    Ok(listen.and_then(Item::as_str).map(ToOwned::to_owned))
}

/// Where the daemon listens, as text that nobody has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The proxy.
    pub proxy: String,
    /// The web port.
    pub web: String,
}

/// The addresses that the daemon will listen on: the environment's, else the configuration's, else its own.
pub fn addresses(env: &Env) -> Result<Addresses> {
    let file = files::read(&env.layout.config_file)?;
    let of = |variable: &str, part: &str, default: &str| -> Result<String> {
        let configured = file.as_deref().map(|bytes| listen_of(bytes, part)).transpose()?.flatten();
        Ok(env.text(variable).or(configured).unwrap_or_else(|| default.to_owned()))
    };
    Ok(Addresses {
        proxy: of("CCD_PROXY_LISTEN", "proxy", "127.0.0.1:7788")?,
        web: of("CCD_WEB_LISTEN", "web", "127.0.0.1:7789")?,
    })
}

/// The configuration with this upstream, or with none.
pub fn with_upstream(bytes: &[u8], url: Option<&str>) -> Result<Vec<u8>> {
    let mut document = parse(text(bytes)?)?;
    match url {
        Some(url) => document[UPSTREAM] = value(url),
        None => _ = document.remove(UPSTREAM),
    }
    Ok(document.to_string().into_bytes())
}

/// A change to one scope's budget. Outer `None`: left as it is; inner `None`: taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetChange {
    /// `session`, `day` or `month`.
    pub scope: String,
    /// The soft limit: dollars, as a number is written.
    pub soft: Option<Option<String>>,
    /// The hard limit.
    pub hard: Option<Option<String>>,
    /// Whether hard limits stop anything.
    pub enforce: Option<bool>,
}

/// The configuration with a budget changed.
pub fn with_budget(bytes: &[u8], change: &BudgetChange) -> Result<Vec<u8>> {
    let mut document = parse(text(bytes)?)?;
    let wrong = || CommandError::failed("config.toml: `budget` is no table");
    let budget = document.entry("budget").or_insert_with(|| Item::Table(Table::new()));
    let budget = budget.as_table_like_mut().ok_or_else(wrong)?;
    if let Some(enforce) = change.enforce {
        put(budget, "enforce", Some(value(enforce)));
    }
    let amount = |text: &String| {
        let number: Value =
            text.parse().map_err(|_| CommandError::usage(format!("`{text}` is no amount")))?;
        Ok::<_, CommandError>(value(number))
    };
    if change.soft.is_some() || change.hard.is_some() {
        let fresh = || Item::Value(Value::InlineTable(InlineTable::new()));
        let scope = budget.entry(&change.scope).or_insert_with(fresh);
        let scope = scope.as_table_like_mut().ok_or_else(wrong)?;
        for (key, wanted) in [("soft", &change.soft), ("hard", &change.hard)] {
            if let Some(wanted) = wanted {
                put(scope, key, wanted.as_ref().map(amount).transpose()?);
            }
        }
    }
    let file = document.to_string().into_bytes();
    // Limits that make no sense would make the daemon refuse the whole of it.
    for (scope, soft, hard) in self::budget(&file)?.limits {
        if let (Some(soft), Some(hard)) = (soft, hard)
            && soft > hard
        {
            let (soft, hard) = (display_usd(soft), display_usd(hard));
            return Err(CommandError::usage(format!(
                "{scope}: the soft limit {soft} lies above the hard one {hard}"
            ))
            .hint("a soft limit tells of what the hard one ends: give a lower --soft, or a higher --hard"));
        }
    }
    Ok(file)
}

/// What a configuration says of budgets, as far as it can be read here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetFile {
    /// Each scope with its soft and its hard limit, in micro-dollars.
    limits: Vec<(&'static str, Option<i64>, Option<i64>)>,
    enforce: bool,
}

impl BudgetFile {
    /// Whether the daemon goes by it. Of a session it tells only if there is one.
    #[must_use]
    pub fn holds_in(&self, budget: &Budget) -> bool {
        let told = |name: &str| budget.scopes.iter().find(|scope| scope.scope == name);
        budget.enforce == self.enforce
            && self.limits.iter().all(|(name, soft, hard)| {
                told(name)
                    .is_none_or(|scope| (scope.soft_usd_micros, scope.hard_usd_micros) == (*soft, *hard))
            })
    }
}

/// What a configuration says of budgets.
pub fn budget(bytes: &[u8]) -> Result<BudgetFile> {
    let document = parse(text(bytes)?)?;
    let budget = document.get("budget");
    let limit = |scope: &str, key: &str| micros(budget?.get(scope)?.get(key)?);
    let enforce = budget.and_then(|b| b.get("enforce")).and_then(Item::as_bool).unwrap_or(false);
    let limits = ["session", "day", "month"].map(|scope| (scope, limit(scope, "soft"), limit(scope, "hard")));
    Ok(BudgetFile { limits: limits.into(), enforce })
}

/// An amount of dollars as it is written, in micro-dollars; none where it is no amount.
fn micros(item: &Item) -> Option<i64> {
    let written = item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned).replace('_', "");
    let written = written.trim().trim_start_matches('$');
    let (whole, part) = written.split_once('.').unwrap_or((written, ""));
    let part = format!("{part:0<6}");
    let is_plain = part.len() == 6 && [whole, &part].iter().all(|d| d.bytes().all(|b| b.is_ascii_digit()));
    is_plain.then(|| whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(part.parse().ok()?))?
}

fn put(table: &mut dyn TableLike, key: &str, item: Option<Item>) {
    match item {
        Some(mut item) => match table.get_mut(key) {
            // What stands around the old value stays, and so does the comment above its key.
            Some(old) => {
                if let (Some(old), Item::Value(new)) = (old.as_value(), &mut item) {
                    *new.decor_mut() = old.decor().clone();
                }
                *old = item;
            }
            None => _ = table.insert(key, item),
        },
        None => _ = table.remove(key),
    }
}

/// The same upstream, whatever the slash at the end, credentials, and letter case of scheme and host.
#[must_use]
pub fn same_upstream(a: &str, b: &str) -> bool {
    normal(a) == normal(b)
}

/// A URL in one form, credentials left out, as the daemon tells it.
fn normal(url: &str) -> String {
    let Some((scheme, rest)) = url.trim().split_once("://") else { return url.trim().to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let port = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(port).unwrap_or(&host);
    format!("{scheme}://{host}{}", path.trim_end_matches('/'))
}

/// A base URL in the form that ccd writes: a loopback address and a token.
#[must_use]
pub fn is_anothers(url: &str) -> bool {
    let Some((host, path)) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let token = path.trim_end_matches('/');
    host.starts_with("127.0.0.1:") && token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A URL for messages: without credentials or tokens.
#[must_use]
pub fn shown(url: &str) -> String {
    if is_anothers(url) {
        return without_token(url);
    }
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ccd_proto::api::BudgetScope;

    use super::*;

    #[test]
    fn the_users_configuration_stays() {
        let before = b"# mine\nlog = \"debug\" # loud\n\n[web]\nlisten = \"127.0.0.1:1\"\n";
        let after = with_upstream(before, Some("https://gw.example/v")).unwrap();
        assert_eq!(upstream(&after).unwrap().as_deref(), Some("https://gw.example/v"));
        let text = String::from_utf8(after.clone()).unwrap();
        assert!(text.contains("# mine") && text.contains("# loud") && text.contains("[web]"), "{text}");
        assert_eq!(with_upstream(&after, None).unwrap(), before);
        assert_eq!(upstream(b"").unwrap(), None);
        assert!(with_upstream(b"= 1", None).is_err());
    }

    #[test]
    fn budgets_are_read_as_the_daemon_reads_them() {
        let file =
            b"[budget]\nenforce = true\nday = { soft = 2.5, hard = \"15\" }\n[budget.month]\nhard = 1_00\n";
        let read = budget(file).unwrap();
        assert_eq!(
            read.limits,
            [
                ("session", None, None),
                ("day", Some(2_500_000), Some(15_000_000)),
                ("month", None, Some(100_000_000))
            ]
        );
        let scope = |soft, hard| BudgetScope {
            scope: "day".into(),
            soft_usd_micros: soft,
            hard_usd_micros: hard,
            ..BudgetScope::default()
        };
        let told = |scopes, enforce| Budget { enforce, scopes, ..Budget::default() };
        assert!(read.holds_in(&told(vec![scope(Some(2_500_000), Some(15_000_000))], true)));
        assert!(!read.holds_in(&told(vec![scope(Some(2_500_000), Some(15_000_000))], false)));
        assert!(!read.holds_in(&told(vec![scope(None, Some(15_000_000))], true)));
        let change =
            BudgetChange { scope: "day".into(), soft: Some(Some("16".into())), ..BudgetChange::default() };
        assert_eq!(with_budget(file, &change).unwrap_err().exit_code(), 2, "above the hard limit");
        assert!(
            budget(b"budget = 3")
                .unwrap()
                .limits
                .iter()
                .all(|(_, soft, hard)| soft.is_none() && hard.is_none())
        );
    }

    #[test]
    fn urls_are_shown_without_what_is_secret_in_them() {
        assert_eq!(shown("https://u:p@gw/x"), "https://gw/x");
        assert_eq!(shown("https://gw/x"), "https://gw/x");
        assert_eq!(
            shown("http://127.0.0.1:7788/0123456789abcdef0123456789abcdef"),
            "http://127.0.0.1:7788/…"
        );
    }

    #[test]
    fn upstreams_are_compared_by_what_they_mean() {
        for (a, b) in [
            ("https://api.anthropic.com", "https://API.anthropic.com:443/"),
            ("http://u:p@gw:8080/x/", "http://gw:8080/x"),
        ] {
            assert!(same_upstream(a, b), "{a} {b}");
        }
        assert!(!same_upstream("https://a", "http://a"));
        assert!(!same_upstream("https://a/x", "https://a/X"));
    }
}
