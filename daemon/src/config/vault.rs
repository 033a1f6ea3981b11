//! `[vault]`: where the key of the vault is kept.

use std::ffi::OsString;

use serde::Deserialize;

/// Where the key of the vault is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VaultKey {
    /// The desktop's keychain where there is one, else a file of the user's own, which `status` and `doctor` name. With
    /// `CCD_HOME`, the file: an installation of its own leaves nothing in the keychain.
    #[default]
    Auto,
    /// The keychain, or nothing.
    Keychain,
    /// A file, mode 0600.
    File,
    /// Nowhere: credentials are taken out for good.
    None,
}

/// The vault's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultSettings {
    /// Where its key is kept.
    pub key: VaultKey,
    /// Where the user's session bus is, by which a desktop's keychain is reached on Linux.
    pub bus: Option<String>,
}

/// The table as it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    key: VaultKey,
}

impl Table {
    /// With the session bus, as the environment tells of it.
    pub(super) fn read(self, var: impl Fn(&str) -> Option<OsString>) -> VaultSettings {
        let text =
            |name: &str| var(name).and_then(|value| value.into_string().ok()).filter(|v| !v.is_empty());
        let usual = || text("XDG_RUNTIME_DIR").map(|dir| format!("unix:path={dir}/bus"));
        VaultSettings { key: self.key, bus: text("DBUS_SESSION_BUS_ADDRESS").or_else(usual) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_key_lies_where_it_is_said_to() {
        assert_eq!(Config::parsed("").unwrap().vault, VaultSettings::default());
        assert_eq!(Config::parsed("[vault]\nkey = \"none\"").unwrap().vault.key, VaultKey::None);
        assert!(Config::parsed("[vault]\nkey = \"fiel\"").unwrap_err().to_string().contains("keychain"));
        let table = Table { key: VaultKey::Auto };
        let bus = |name: &'static str, value: &'static str| {
            table.read(move |n| (n == name).then(|| value.into())).bus
        };
        assert_eq!(bus("XDG_RUNTIME_DIR", "/run/user/7").as_deref(), Some("unix:path=/run/user/7/bus"));
        assert_eq!(bus("DBUS_SESSION_BUS_ADDRESS", "unix:abstract=x").as_deref(), Some("unix:abstract=x"));
    }
}
