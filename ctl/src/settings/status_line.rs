//! The `statusLine` key: there is one, and whoever sets it owns it. Ours is known by its command.

use std::path::Path;

use serde_json::{Value, json};

use super::Document;
use crate::env::Env;
use crate::files;

/// The key.
pub const KEY: &str = "statusLine";

/// Whether a value of the key is ours: it runs some `ccctl statusline`.
#[must_use]
pub fn is_ours(value: &Value) -> bool {
    let command = value.get("command").and_then(Value::as_str).unwrap_or("");
    let Some(program) = command.strip_suffix(" statusline") else { return false };
    program.trim_end_matches('\'').ends_with("/ccctl")
}

/// What a settings file has there.
#[must_use]
pub fn in_file(path: &Path) -> Option<Value> {
    let bytes = files::read(path).ok()??;
    Document::read(&bytes).ok()?.value().get(KEY).cloned()
}

/// Ours. The client hands it to a shell.
#[must_use]
pub fn ours(env: &Env) -> Value {
    let program = quoted(&env.exe.to_string_lossy());
    let home = env.layout.home.as_ref();
    let home = home.map(|home| format!("CCD_HOME={} ", quoted(&home.to_string_lossy()))).unwrap_or_default();
    json!({"type": "command", "command": format!("{home}{program} statusline")})
}

/// A word of a POSIX shell.
fn quoted(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@%".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn ours_is_known_and_others_are_not() {
        let env = Home::new().env();
        assert!(is_ours(&ours(&env)));
        for command in
            ["/opt/my dir/ccctl statusline --x", "ccusage statusline", "~/.claude/statusline.sh", ""]
        {
            assert!(!is_ours(&json!({"type": "command", "command": command})), "{command}");
        }
        assert!(is_ours(&json!({"command": "CCD_HOME='/a b' '/opt/my dir/ccctl' statusline"})));
        assert!(!is_ours(&Value::Null));
    }

    #[test]
    fn words_of_a_shell_are_quoted_where_they_must_be() {
        assert_eq!(quoted("/usr/bin/ccctl"), "/usr/bin/ccctl");
        assert_eq!(quoted("/a b/$(x)/it's"), "'/a b/$(x)/it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
