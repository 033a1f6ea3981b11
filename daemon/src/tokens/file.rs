//! The file of tokens: names, hashes and times, and the key that signs what tokens are exchanged for.
//!
//! Must never hold a token. A file that is damaged, or that others could have written, lets nobody in.

use std::io::Result;
use std::path::Path;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::{Kept, Scope, Token, hex};
use crate::private::{self, Form, damaged};

/// Many times as long as the most tokens.
const FORM: Form = Form { version: 1, longest: 1 << 20 };

#[derive(Serialize, Deserialize)]
struct Whole {
    key: Option<String>,
    tokens: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    name: String,
    scope: Scope,
    hash: String,
    made_s: u64,
    expires_s: Option<u64>,
    used_s: Option<u64>,
}

/// Reads the tokens.
pub(super) fn read(path: &Path) -> Result<Kept> {
    let whole: Whole = private::read(path, FORM)?;
    let token = |line: Line| {
        let hash = Hash::from_hex(line.hash.as_bytes()).ok()?;
        let Line { id, name, scope, made_s, expires_s, used_s, .. } = line;
        Some(Token { id, name, scope, hash, made_s, expires_s, used_s })
    };
    // A hash and a key are as long as each other.
    let key = match whole.key {
        Some(key) => Some(*Hash::from_hex(key.as_bytes()).map_err(|_| damaged("it is damaged"))?.as_bytes()),
        None => None,
    };
    let tokens: Option<_> = whole.tokens.into_iter().map(token).collect();
    Ok(Kept { key, tokens: tokens.ok_or_else(|| damaged("it is damaged"))? })
}

/// Replaces the file. A token that was shown as made is made, and one that was shown as revoked is gone.
pub(super) fn write(path: &Path, kept: &Kept) -> Result<()> {
    let line = |token: &Token| Line {
        id: token.id.clone(),
        name: token.name.clone(),
        scope: token.scope,
        hash: token.hash.to_hex().to_string(),
        made_s: token.made_s,
        expires_s: token.expires_s,
        used_s: token.used_s,
    };
    let whole =
        Whole { key: kept.key.as_ref().map(|key| hex(key)), tokens: kept.tokens.iter().map(line).collect() };
    private::write(path, FORM, whole)
}
