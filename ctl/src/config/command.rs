//! `ccctl config`: single keys of the daemon's `config.toml`.
//!
//! Must never write a file that the daemon would not take: what is to become of it is shown to `ccd check` first. The rest of the
//! user's file stays as it is, byte for byte.

use std::path::{Path, PathBuf};

use serde::Serialize;
use toml_edit::{DocumentMut, Item, Key, Table, TableLike, Value};

use super::{parse, put, text};
use crate::args::{ConfigArgs, ConfigCommand, ConfigGetArgs};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::Invocation;
use crate::files;
use crate::printer::{Printer, visible, visible_block};

/// What a key says, for programs.
#[derive(Serialize)]
struct Told {
    key: Option<String>,
    value: serde_json::Value,
}

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ConfigArgs) -> Result<()> {
    let roots: Vec<PathBuf> = env.home().into_iter().chain(env.layout.home.clone()).collect();
    let path = files::resolve(&env.layout.config_file, &roots)?;
    match &args.command {
        ConfigCommand::Path => out.line(visible(&path.display().to_string())),
        ConfigCommand::Get(args) => get(out, &path, args),
        ConfigCommand::Set(args) => {
            let item = Item::Value(args.value.parse().unwrap_or_else(|_| Value::from(args.value.as_str())));
            change(env, out, &path, &args.key, Some(item))
        }
        ConfigCommand::Unset(args) => change(env, out, &path, &args.key, None),
    }
}

fn keys(key: &str) -> Result<Vec<Key>> {
    let wrong = || CommandError::usage(format!("`{key}` is no key")).hint("such as `log` or `proxy.listen`");
    Key::parse(key).map_err(|_| wrong())
}

fn get(out: &mut Printer, path: &Path, args: &ConfigGetArgs) -> Result<()> {
    let file = files::read(path)?.unwrap_or_default();
    let document = parse(text(&file)?)?;
    let Some(key) = &args.key else {
        if args.json {
            return out.json(&Told { key: None, value: json(document.as_item()) });
        }
        return out.line(visible_block(text(&file)?.trim_end()));
    };
    let mut item = document.as_item();
    for step in keys(key)? {
        item = item.get(step.get()).ok_or_else(|| {
            CommandError::failed(format!(
                "{} says nothing of `{key}`: what holds is built in",
                path.display()
            ))
        })?;
    }
    if args.json {
        return out.json(&Told { key: Some(key.clone()), value: json(item) });
    }
    let shown = item.as_str().map_or_else(|| item.to_string().trim().to_owned(), ToOwned::to_owned);
    out.line(visible_block(&shown))
}

/// As JSON has it; times are texts.
fn json(item: &Item) -> serde_json::Value {
    fn value(of: &Value) -> serde_json::Value {
        match of {
            Value::String(text) => text.value().as_str().into(),
            Value::Integer(n) => (*n.value()).into(),
            Value::Float(n) => (*n.value()).into(),
            Value::Boolean(on) => (*on.value()).into(),
            Value::Datetime(at) => at.value().to_string().into(),
            Value::Array(list) => list.iter().map(value).collect(),
            Value::InlineTable(table) => members(table),
        }
    }
    fn members(table: &dyn TableLike) -> serde_json::Value {
        serde_json::Value::Object(table.iter().map(|(name, item)| (name.to_owned(), json(item))).collect())
    }
    match item {
        Item::None => serde_json::Value::Null,
        Item::Value(of) => value(of),
        Item::Table(table) => members(table),
        Item::ArrayOfTables(list) => list.iter().map(|table| members(table)).collect(),
    }
}

/// The file with a key changed, or taken out.
fn with(document: &mut DocumentMut, key: &str, item: Option<Item>) -> Result<()> {
    let keys = keys(key)?;
    let Some((last, above)) = keys.split_last() else { return Ok(()) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for step in above {
        if item.is_none() && table.get(step.get()).is_none() {
            return Ok(());
        }
        table = table
            .entry(step.get())
            .or_insert_with(|| Item::Table(Table::new()))
            .as_table_like_mut()
            .ok_or_else(|| CommandError::failed(format!("config.toml: `{}` is no table", step.get())))?;
    }
    put(table, last.get(), item);
    Ok(())
}

fn change(env: &Env, out: &mut Printer, path: &Path, key: &str, item: Option<Item>) -> Result<()> {
    let current = files::read(path)?;
    let mut document = parse(text(current.as_deref().unwrap_or_default())?)?;
    with(&mut document, key, item)?;
    let target = document.to_string().into_bytes();
    let shown = visible(&path.display().to_string());
    if current.as_deref().unwrap_or_default() == target {
        return out.line(format!("{shown} says so already"));
    }
    if let Some(dir) = path.parent() {
        files::make_dirs(dir)?;
    }
    check(env, path, &target)?;
    files::replace(path, current.as_deref(), &target)?;
    out.line(format!("{shown} is changed"))
}

/// Whether the daemon would take it.
pub(crate) fn check(env: &Env, path: &Path, target: &[u8]) -> Result<()> {
    let ccd = env.program("ccd")?;
    let candidate = path.with_file_name(".config.toml.ccd-check");
    let outcome = files::remove_file(&candidate)
        .and_then(|()| files::replace(&candidate, None, target))
        .and_then(|()| {
            let asked = Invocation::new(&ccd, ["check".as_ref(), "--config".as_ref(), candidate.as_os_str()]);
            env.runner.run(&asked).map_err(CommandError::from)
        });
    // The first failure is the one to tell.
    let _ = files::remove_file(&candidate);
    let outcome = outcome?;
    if outcome.code == Some(0) {
        return Ok(());
    }
    let told = outcome.stderr.trim().trim_start_matches("ccd: ");
    let told = told.replace(&candidate.display().to_string(), &path.display().to_string());
    Err(CommandError::usage(format!("the daemon would not take that: {told}")).hint("nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{ConfigSetArgs, ConfigUnsetArgs};
    use crate::exec::Outcome;
    use crate::testing::{Home, said};

    const BEFORE: &str = "# mine\nlog = \"debug\" # loud\n\n[web]\nlisten = \"127.0.0.1:1\"\n";

    fn run_in(home: &Home, command: ConfigCommand) -> (Result<()>, String) {
        home.programs();
        let env = home.env_with(|asked| {
            let file = std::fs::read_to_string(asked.args.last().unwrap()).unwrap();
            if file.contains("nonsense") {
                let place = asked.args.last().unwrap().to_string_lossy().into_owned();
                let stderr = format!("ccd: {place}: unknown field `nonsense`\n");
                return Outcome { code: Some(1), stderr, ..Outcome::default() };
            }
            said("")
        });
        let (mut out, text, _) = Printer::captured(80);
        let done = run(&env, &mut out, &ConfigArgs { command });
        (done, text.text())
    }

    fn set(key: &str, value: &str) -> ConfigCommand {
        ConfigCommand::Set(ConfigSetArgs { key: key.into(), value: value.into() })
    }

    fn get(key: &str, json: bool) -> ConfigCommand {
        ConfigCommand::Get(ConfigGetArgs { key: Some(key.into()), json })
    }

    #[test]
    fn keys_are_set_and_the_rest_stays() {
        let home = Home::new();
        let path = home.env().layout.config_file;
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, BEFORE).unwrap();
        for (key, value) in
            [("log", "info"), ("retention.keep", "90d"), ("budget.enforce", "true"), ("capture.max_mb", "5")]
        {
            run_in(&home, set(key, value)).0.unwrap();
            assert_eq!(run_in(&home, get(key, false)).1.trim(), value);
        }
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(
            file.starts_with("# mine\nlog = \"info\" # loud\n\n[web]\nlisten = \"127.0.0.1:1\"\n"),
            "{file}"
        );
        assert!(
            file.contains("keep = \"90d\"") && file.contains("enforce = true") && file.contains("max_mb = 5")
        );
        let told: serde_json::Value = serde_json::from_str(&run_in(&home, get("web", true)).1).unwrap();
        assert_eq!(told["value"]["listen"], "127.0.0.1:1");
        run_in(&home, ConfigCommand::Unset(ConfigUnsetArgs { key: "budget.enforce".into() })).0.unwrap();
        assert!(run_in(&home, get("budget.enforce", false)).0.is_err());
        assert!(run_in(&home, set("log", "info")).1.contains("says so already"));
        assert_eq!(run_in(&home, ConfigCommand::Path).1.trim(), path.display().to_string());
    }

    #[test]
    fn what_the_daemon_would_not_take_changes_nothing() {
        let home = Home::new();
        let path = home.env().layout.config_file;
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, BEFORE).unwrap();
        let error = run_in(&home, set("nonsense", "1")).0.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.message.contains("unknown field") && error.message.contains(&path.display().to_string())
        );
        assert_eq!(run_in(&home, set("log.x", "1")).0.unwrap_err().exit_code(), 1, "no table");
        assert_eq!(run_in(&home, set("a..b", "1")).0.unwrap_err().exit_code(), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), BEFORE);
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap())
                .unwrap()
                .filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().contains("check"))
                .count(),
            0
        );
    }
}
