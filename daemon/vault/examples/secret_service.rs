//! A vault with its key in the desktop's keychain, tried on a real one:
//! `dbus-run-session -- sh -c 'echo pw | gnome-keyring-daemon --unlock --components=secrets && cargo run -p ccd-vault --example secret_service'`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a trial fails by a panic, and says how it went"
)]

#[cfg(target_os = "linux")]
fn main() {
    use std::sync::Arc;

    use ccd_vault::keys::SecretService;
    use ccd_vault::{Hit, Vault, Who};

    let bus = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap();
    let dir = std::env::temp_dir().join(format!("ccd-vault-trial-{}", std::process::id()));
    let open = || {
        let store = SecretService::new(bus.clone(), dir.display().to_string());
        Vault::open(&dir, Arc::new(store), None).unwrap()
    };
    let hit = Hit { rule: "trial", value: b"a value", source: b"a value", scope: "s", at_s: 0, times: 1 };
    let name = open().seal(&hit).unwrap();
    open().rotate().unwrap();
    let answers = open().look_up(&[name], &Who::default(), "a trial", "").unwrap();
    println!("{name}: {} after a rotation; the key is in the {}", answers[0].word(), open().key());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[cfg(not(target_os = "linux"))]
fn main() {}
