//! The vault: what redaction took out, and who looked at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Header of an answer that was to be revealed: of how many values the vault has none; their marks stay.
pub const MARKS_LEFT: &str = "ccd-marks-left";

/// How the vault is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultStatus {
    /// `open`; `opening`; `closed` (see `error`) and `off` (by the configuration): credentials are taken out for good.
    pub state: String,
    /// Where its key is: `keychain`, `secret service` or `key file`; empty where it is not open.
    pub key: String,
    /// The key's file, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// Values.
    pub tokens: u64,
    /// Sealed rows: one for each session and way of writing of a value.
    pub rows: u64,
    /// Values that were deleted.
    pub deleted: u64,
    /// Places in its file that are damaged.
    pub damaged: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// Its directory.
    pub path: String,
    /// Credentials taken out for good since the daemon started, because the vault was not open or did not take them.
    pub irreversible: u64,
    /// What others could read or change of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loose: Vec<String>,
    /// Why it is not open, or did not take the last value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What the vault is asked for, beside the path.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultAsk {
    /// A token, or a whole mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// A value, to be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What seals a backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<String>,
    /// Nothing does.
    pub with_key: bool,
    /// A restored vault takes the place of another.
    pub replace: bool,
}

/// What became of a look-up.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultLookup {
    /// The token.
    pub token: String,
    /// The value.
    pub value: String,
    /// The rule that told its kind.
    pub rule: String,
    /// Sessions that it was seen in.
    pub sessions: Vec<String>,
    /// When it was first seen.
    pub first_at: String,
    /// When it was last seen.
    pub last_at: String,
    /// How often it was seen.
    pub count: u64,
}

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultDeleted {
    /// Tokens that open no more.
    pub tokens: Vec<String>,
    /// Rows that are gone.
    pub rows: u64,
    /// The session that was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Rows that went with them because they were damaged.
    pub lost: u64,
}

/// What was sealed with a new key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultRotated {
    /// Rows.
    pub rows: u64,
    /// Rows that were lost because they did not open with the old key either.
    pub lost: u64,
}

/// What a backup brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultRestored {
    /// Rows that were not there.
    pub added: u64,
    /// Rows that were.
    pub known: u64,
    /// Rows of values that were deleted here, and stay so.
    pub deleted: u64,
    /// Rows of the backup that do not open.
    pub lost: u64,
    /// Rows of another vault that it took the place of.
    pub replaced: u64,
}

/// The vault, every row looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultHealth {
    /// Nothing is damaged, nothing is open to others.
    pub ok: bool,
    /// Rows that open.
    pub opened: u64,
    /// Rows that do not.
    pub unopened: u64,
    /// Values by the rule that told their kind.
    pub rules: BTreeMap<String, u64>,
    /// Why the audit log is not to be trusted, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
    /// How it is.
    pub vault: VaultStatus,
}

/// The audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultAudit {
    /// Look-ups, oldest first.
    pub entries: Vec<VaultLook>,
    /// Why the log is not to be trusted; none where every line is there as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// A look-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultLook {
    /// Its number, from 1.
    pub seq: u64,
    /// When.
    pub at: String,
    /// The user's id.
    pub uid: u32,
    /// The process; 0: not known.
    pub pid: u32,
    /// Its terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What was looked up; or what was done with the vault, as `backup`.
    pub token: String,
    /// Why.
    pub reason: String,
    /// `given`, `deleted`, `unknown` or `damaged`; `asked` of what was done with the vault.
    pub result: String,
}
