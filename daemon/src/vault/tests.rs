//! The slot: marks with tokens as long as the vault is open, marks without as soon as it is not.

use std::ffi::OsString;
use std::sync::atomic::AtomicU64;

use ccd_redact::Redactor;
use ccd_redact::sample::filled;

use super::*;

struct At(AtomicU64);

impl Clock for At {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Home {
    layout: Layout,
    clock: Arc<At>,
    _dir: tempfile::TempDir,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().as_os_str().to_owned();
    let layout = Layout::resolve(|name| (name == "CCD_HOME").then(|| OsString::from(&at))).unwrap();
    std::fs::create_dir_all(&layout.state_dir).unwrap();
    Home { layout, clock: Arc::new(At(AtomicU64::new(1_000_000_000))), _dir: dir }
}

fn slot(home: &Home, key: VaultKey) -> Arc<VaultSlot> {
    let clock: Arc<dyn Clock> = Arc::clone(&home.clock) as Arc<dyn Clock>;
    let slot = VaultSlot::new(&home.layout, VaultSettings { key, bus: None }, true, clock);
    slot.open();
    slot
}

fn redacted(slot: &Arc<VaultSlot>, text: &str) -> String {
    Redactor::standard().marked(VaultMark(Arc::clone(slot))).within("session").text(text).into_owned()
}

#[test]
fn a_credential_becomes_a_token_that_stays_and_is_found_again() {
    let home = home();
    let secret = filled("ghp_{a36}", 7);
    let first = slot(&home, VaultKey::Auto);
    let text = redacted(&first, &format!("use {secret} here"));
    let (_, name) = reveal::marks(text.as_bytes()).remove(0);
    assert_eq!(first.status().key, "key file");
    drop(first);
    let again = slot(&home, VaultKey::File);
    assert_eq!(redacted(&again, &format!("use {secret} here")), text);
    let mut names = std::collections::BTreeSet::new();
    reveal::names(text.as_bytes(), &mut names);
    let vault = again.vault().unwrap();
    let found = reveal::look_up(&vault, names, &ccd_vault::Who::default(), "test", "now").unwrap();
    assert_eq!(found.bytes(text.as_bytes()), format!("use {secret} here").into_bytes());
    assert_eq!(vault.audit().unwrap().entries[0].token, name.to_string());
    assert_eq!((again.status().state.as_str(), again.status().tokens), ("open", 1));
}

#[test]
fn without_a_key_credentials_are_taken_out_for_good_and_it_is_said() {
    let home = home();
    let secret = filled("ghp_{a36}", 8);
    let gone = |slot: &Arc<VaultSlot>| {
        let text = redacted(slot, &secret);
        assert!(text.starts_with("[redacted:") && reveal::marks(text.as_bytes()).is_empty(), "{text}");
    };
    let off = slot(&home, VaultKey::None);
    gone(&off);
    assert_eq!(off.status().state, "off");
    redacted(&slot(&home, VaultKey::File), &secret);
    let key = home.layout.vault_dir().join("key");
    let kept = home.layout.vault_dir().join("key.elsewhere");
    std::fs::rename(&key, &kept).unwrap();
    let lost = slot(&home, VaultKey::File);
    gone(&lost);
    let status = lost.status();
    assert_eq!((status.state.as_str(), status.irreversible), ("closed", 1));
    assert!(status.error.unwrap().contains("key is gone") && status.hint.unwrap().contains("vault restore"));
    // It is tried again by itself once there is something to seal, and not before some time has gone by.
    std::fs::rename(&kept, &key).unwrap();
    gone(&lost);
    home.clock.0.fetch_add(AGAIN_NS + 1, Ordering::Relaxed);
    gone(&lost);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while lost.vault().is_none() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(!reveal::marks(redacted(&lost, &secret).as_bytes()).is_empty());
}

#[test]
fn what_opens_too_late_is_not_put() {
    let home = home();
    let slot = slot(&home, VaultKey::File);
    let asked = slot.settings();
    slot.set(VaultSettings { key: VaultKey::None, bus: None });
    assert!(!slot.put_if(&asked, State::Opening));
    assert_eq!(slot.status().state, "off");
}

#[test]
fn a_disk_that_takes_nothing_lets_nothing_pass() {
    let home = home();
    let slot = slot(&home, VaultKey::File);
    std::fs::remove_dir_all(home.layout.vault_dir()).unwrap();
    let text = redacted(&slot, &filled("ghp_{a36}", 9));
    assert!(text.starts_with("[redacted:") && reveal::marks(text.as_bytes()).is_empty(), "{text}");
    assert!(slot.status().error.is_some());
}

#[test]
fn marks_with_tokens_stay_as_they_are_whatever_the_rule() {
    let home = home();
    let slot = slot(&home, VaultKey::File);
    let redactor = Redactor::standard().marked(VaultMark(Arc::clone(&slot)));
    for (number, rule) in ccd_redact::rules::all().enumerate() {
        let value = format!("value {number}");
        let name = slot.vault().unwrap().seal(&ccd_vault::Hit {
            rule: rule.id,
            value: value.as_bytes(),
            source: format!("{value}~").as_bytes(),
            scope: "s",
            at_s: 1,
            times: 1,
        });
        let name = name.unwrap();
        for shape in [
            "{}",
            "password: {}",
            "api_key={}",
            "\"token\": \"{}\"",
            "https://u:{}@h/",
            "Authorization: Bearer {}",
        ] {
            for mark in
                [format!("[redacted:{}:{name}]", rule.id), format!("[redacted:{}:{}]", rule.id, name.token)]
            {
                let text = shape.replace("{}", &mark);
                assert_eq!(redactor.text(&text), text);
            }
        }
    }
}
