//! `.mcp.json`: our MCP server, as Claude Code finds it in the plugin.
//!
//! The client starts it in the environment of its session: what decides where the daemon is found is pinned to what it
//! was at the installation.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::env::Env;
use crate::error::{CommandError, Result};

/// The server's name: its tools are called `mcp__plugin_ccd_history__…`.
pub const NAME: &str = "history";

/// The file below our plugin directory.
#[must_use]
pub fn path(plugin: &Path) -> PathBuf {
    plugin.join(".mcp.json")
}

/// Its content.
pub fn file(env: &Env) -> Result<String> {
    let entry = json!({
        "command": text("the path of ccctl", env.program("ccctl")?.into())?,
        "args": ["mcp"],
        "env": pinned(env)?,
    });
    serde_json::to_string_pretty(&json!({"mcpServers": {NAME: entry}}))
        .map(|text| text + "\n")
        .map_err(|e| CommandError::failed(e.to_string()))
}

/// Whether a file of this content names a server of ours, of whatever installation.
#[must_use]
pub fn is_one(value: &Map<String, Value>) -> bool {
    let program = entry(value).and_then(|entry| entry.get("command")).and_then(Value::as_str);
    program.is_some_and(|program| Path::new(program).ends_with("ccctl"))
}

/// Whether a file of this content names the server of this installation.
#[must_use]
pub fn is_ours(env: &Env, value: &Map<String, Value>) -> bool {
    is_one(value) && pinned(env).is_ok_and(|pinned| entry(value).and_then(|e| e.get("env")) == Some(&pinned))
}

fn entry(value: &Map<String, Value>) -> Option<&Value> {
    value.get("mcpServers")?.get(NAME)
}

/// The variables that the daemon's sockets are found by. One that is not set is pinned to nothing, which counts as not
/// set: a session may have what the installation had not.
fn pinned(env: &Env) -> Result<Value> {
    let names: &[&str] =
        if env.var("CCD_HOME").is_some() { &["CCD_HOME"] } else { &["XDG_RUNTIME_DIR", "XDG_STATE_HOME"] };
    let pairs = names.iter().map(|name| {
        let value = text(name, env.var(name).unwrap_or_default())?;
        Ok(((*name).to_owned(), value.into()))
    });
    Ok(Value::Object(pairs.collect::<Result<Map<_, _>>>()?))
}

fn text(what: &str, value: OsString) -> Result<String> {
    let value = value.into_string().map_err(|value| {
        CommandError::failed(format!(
            "{what} ({}) is not UTF-8, and cannot stand in a JSON file",
            value.display()
        ))
    })?;
    // Claude Code would put a variable's value in its place.
    if value.contains("${") {
        return Err(CommandError::failed(format!(
            "{what} ({value}) has `${{` in it, which Claude Code expands"
        ))
        .hint("install with --no-mcp"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    fn value(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_server_is_named_with_what_finds_its_daemon() {
        let home = Home::new();
        home.programs();
        let file = value(&file(&home.env()).unwrap());
        assert_eq!(
            file["mcpServers"]["history"],
            json!({
                "command": home.path().join("bin/ccctl"),
                "args": ["mcp"],
                "env": {"CCD_HOME": home.path().join("ccd")},
            })
        );
        assert!(is_ours(&home.env(), &file));
        let home = home.var("CCD_HOME", "").var("XDG_RUNTIME_DIR", "/run/user/7");
        assert!(is_one(&file) && !is_ours(&home.env(), &file), "another installation's");
        let file = value(&super::file(&home.env()).unwrap());
        assert_eq!(
            file["mcpServers"]["history"]["env"],
            json!({"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": ""})
        );
        for other in [r#"{"mcpServers":{"history":{"command":"x"}}}"#, r#"{"mcpServers":{}}"#, "{}"] {
            assert!(!is_one(&value(other)), "{other}");
        }
    }

    #[test]
    fn what_the_client_would_expand_is_refused() {
        let home = Home::new().var("CCD_HOME", "/tmp/${HOME}");
        home.programs();
        let error = file(&home.env()).unwrap_err();
        assert!(error.message.contains("expands"), "{error}");
    }
}
