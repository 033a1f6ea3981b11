//! The vault: whether what is taken out can be shown to its owner again, and who else could.

use ccd_proto::api::VaultStatus;

use crate::doctor::Check;
use crate::doctor::facts::Facts;
use crate::human::plural;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    // A daemon of before the vault says nothing of it.
    let status = facts.daemon().map(|status| &status.vault).filter(|vault| !vault.state.is_empty());
    status.map(vault).into_iter().collect()
}

pub(super) fn vault(status: &VaultStatus) -> Check {
    let for_good = "credentials are taken out for good";
    let error = status.error.as_deref().unwrap_or("no reason is known");
    let hint = status.hint.as_deref().unwrap_or("`ccctl logs` may say why");
    match status.state.as_str() {
        "off" => Check::note("vault", format!("off by the configuration: {for_good}")),
        "open" if !status.loose.is_empty() => {
            let hint = "it is yours alone: directories 0700, files 0600 (`chmod`), and rotate the key: `ccctl vault rotate`";
            Check::fail("vault", format!("others can get at it: {}", status.loose.join(", ")), hint)
        }
        "open" if status.damaged > 0 => Check::fail(
            "vault",
            format!("{} of it are damaged; the rest is served", plural(status.damaged, "place")),
            "`ccctl vault health` counts what does not open; `ccctl vault restore FILE` brings it back from a backup",
        ),
        "open" if status.error.is_some() => {
            Check::warn("vault", format!("the last credential was taken out for good: {error}"), hint)
        }
        "open" => match (&status.key_file, status.key.as_str()) {
            (Some(path), "key file") => Check::note(
                "vault",
                format!(
                    "its key lies in a file, {path}: whoever can read your files can read what was taken out"
                ),
            )
            .hint("where there is a keychain, `[vault] key = \"keychain\"` keeps the key there"),
            (_, key) => {
                Check::good("vault", format!("{}, its key is in the {key}", plural(status.tokens, "value")))
            }
        },
        state => Check::warn("vault", format!("{state}: {for_good} meanwhile: {error}"), hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_key_in_a_file_and_files_that_are_open_to_others_are_named() {
        let of = |change: &dyn Fn(&mut VaultStatus)| {
            let mut status =
                VaultStatus { state: "open".into(), key: "keychain".into(), ..VaultStatus::default() };
            change(&mut status);
            vault(&status)
        };
        assert_eq!(of(&|_| ()).level, Level::Ok);
        let file = of(&|s| (s.key, s.key_file) = ("key file".into(), Some("/s/vault/key".into())));
        assert!(file.level == Level::Note && file.ok && file.detail.contains("/s/vault/key"), "{file:?}");
        let loose = of(&|s| s.loose = vec!["/s/vault/key has mode 0644".into()]);
        assert!(loose.level == Level::Fail && loose.detail.contains("0644"), "{loose:?}");
        let closed = of(&|s| (s.state, s.error) = ("closed".into(), Some("the key is gone".into())));
        assert!(closed.level == Level::Warn && closed.detail.contains("for good"), "{closed:?}");
        assert_eq!(of(&|s| s.state = "off".into()).level, Level::Note);
    }
}
