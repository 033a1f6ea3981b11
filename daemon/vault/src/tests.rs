//! What the vault promises, tried: against a model, with a failure at every step, with damage at every byte.

mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::audit::Who;
use crate::files::Step;
use crate::keys::{KeyError, KeyFile, KeyStore, Keys};
use crate::rewrite::What;
use crate::token::Name;
use crate::vault::{Answer, Hit, Vault};
use crate::{Lock, Unlock, VaultError};

/// A key store in memory.
#[derive(Default)]
struct Memory(Mutex<Option<String>>);

impl KeyStore for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn load(&self) -> Result<Option<Zeroizing<String>>, KeyError> {
        Ok(self.0.lock().unwrap().clone().map(Zeroizing::new))
    }

    fn store(&self, keys: &str) -> Result<(), KeyError> {
        *self.0.lock().unwrap() = Some(keys.to_owned());
        Ok(())
    }
}

struct Home {
    dir: tempfile::TempDir,
    keys: Arc<Memory>,
}

impl Home {
    fn new() -> Home {
        Home { dir: tempfile::tempdir().unwrap(), keys: Arc::default() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("vault")
    }

    fn try_open(&self) -> Result<Vault, VaultError> {
        Vault::open(&self.path(), Arc::clone(&self.keys) as Arc<dyn KeyStore>, None)
    }

    fn open(&self) -> Vault {
        self.try_open().unwrap()
    }

    fn stepped(&self, step: Step) -> Result<Vault, VaultError> {
        Vault::open_with(&self.path(), Arc::clone(&self.keys) as Arc<dyn KeyStore>, None, step)
    }
}

fn hit<'a>(value: &'a str, source: &'a str, scope: &'a str) -> Hit<'a> {
    Hit { rule: "kind", value: value.as_bytes(), source: source.as_bytes(), scope, at_s: 100, times: 1 }
}

fn seal(vault: &Vault, value: &str, scope: &str) -> Name {
    vault.seal(&hit(value, value, scope)).unwrap()
}

fn look(vault: &Vault, name: Name) -> Answer {
    let mut answers = vault.look_up(&[name], &Who::default(), "a test", "2026-01-01T00:00:00Z").unwrap();
    answers.remove(0)
}

fn text(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Value(value) => Some(String::from_utf8(value.bytes.to_vec()).unwrap()),
        _ => None,
    }
}

/// Fails at the step with this number, and at every later one, as a process that is killed does no more.
fn dies_at(number: usize) -> (Step, Arc<AtomicUsize>) {
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let step: Step = Arc::new(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        step if step >= number => Err(std::io::Error::other("killed")),
        _ => Ok(()),
    });
    (step, done)
}

#[test]
fn what_another_session_has_keeps_its_name_where_nothing_can_be_written() {
    let home = Home::new();
    let name = seal(&home.open(), "hunter2-hunter2", "s1");
    let fails: Step = Arc::new(|step| match step {
        "append" => Err(std::io::Error::other("full")),
        _ => Ok(()),
    });
    let vault = home.stepped(fails).unwrap();
    assert!(vault.seal(&hit("another-value", "another-value", "s1")).is_err());
    assert_eq!(seal(&vault, "hunter2-hunter2", "s2"), name);
    assert!(vault.seal(&hit("hunter2-hunter2", "hunter2\\u002dhunter2", "s2")).is_err());
}

#[test]
fn what_is_done_with_the_vault_is_on_the_audit_log() {
    let home = Home::new();
    let vault = home.open();
    vault.note("backup", &Who::default(), "moving", "2026-01-01T00:00:00Z").unwrap();
    let log = vault.audit().unwrap();
    assert!(log.broken.is_none());
    assert_eq!((log.entries[0].token.as_str(), log.entries[0].result.as_str()), ("backup", "asked"));
}

#[test]
fn a_value_has_one_name_across_restarts_and_keys_and_nothing_is_on_disk_in_clear() {
    let home = Home::new();
    let vault = home.open();
    let name = seal(&vault, "hunter2-hunter2", "s1");
    let escaped = vault.seal(&hit("hunter2-hunter2", "hunter2\\u002dhunter2", "s1")).unwrap();
    assert_eq!((escaped.token, name.variant), (name.token, None));
    assert!(escaped.variant.is_some());
    assert_eq!(vault.rotate().unwrap().rows, 2);
    drop(vault);
    let vault = home.open();
    assert_eq!(seal(&vault, "hunter2-hunter2", "s2"), name);
    assert_eq!(text(&look(&vault, name)).unwrap(), "hunter2-hunter2");
    assert_eq!(text(&look(&vault, escaped)).unwrap(), "hunter2\\u002dhunter2");
    let Answer::Value(value) = look(&vault, name) else { panic!() };
    assert_eq!((value.rule.as_str(), value.scopes.len(), value.first_s), ("kind", 2, 100));
    assert_eq!(
        vault.values(9).iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["hunter2-hunter2"]
    );
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
    }
    assert_eq!(vault.loose(), Vec::<String>::new());
    assert_eq!(vault.health().unwrap().opened, 3);
}

#[derive(Clone, Debug)]
enum Op {
    /// These values, of which it is told whether they were escaped, and the session.
    Seal(Vec<(u8, bool, u8)>),
    DeleteToken(u8),
    DeleteValue(u8),
    DeleteSession(u8),
    Rotate,
    Flush,
    Reopen,
    /// What follows is done by another process, which has the vault open, too.
    Other,
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec((0..6u8, any::<bool>(), 0..3u8), 1..5).prop_map(Op::Seal),
        1 => (0..6u8).prop_map(Op::DeleteToken),
        1 => (0..6u8).prop_map(Op::DeleteValue),
        1 => (0..3u8).prop_map(Op::DeleteSession),
        1 => Just(Op::Rotate),
        1 => Just(Op::Flush),
        1 => Just(Op::Reopen),
        2 => Just(Op::Other),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_in_whatever_order_it_holds_what_it_was_given(ops in prop::collection::vec(ops(), 1..30)) {
        let home = Home::new();
        let (mut vault, mut other) = (home.open(), home.open());
        let value_of = |n: u8| format!("value number {n}");
        let source_of = |n: u8, escaped: bool| if escaped { format!("value\\u0020number {n}") } else { value_of(n) };
        // Value and way of writing, and the sessions that have it.
        let mut rows: BTreeMap<(u8, bool), BTreeSet<u8>> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        let mut names: BTreeMap<(u8, bool), Name> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Seal(all) => {
                    let texts: Vec<[String; 3]> = all
                        .iter()
                        .map(|(value, escaped, scope)| {
                            [value_of(*value), source_of(*value, *escaped), format!("session-{scope}")]
                        })
                        .collect();
                    let hits: Vec<Hit<'_>> =
                        texts.iter().map(|[value, source, scope]| hit(value, source, scope)).collect();
                    let sealed = vault.seal_all(&hits);
                    prop_assert!(sealed.error.is_none());
                    for ((value, escaped, scope), name) in all.into_iter().zip(sealed.names) {
                        let name = name.unwrap();
                        prop_assert_eq!(*names.entry((value, escaped)).or_insert(name), name);
                        if !gone.contains(&value) || rows.contains_key(&(value, false)) {
                            rows.entry((value, false)).or_default().insert(scope);
                            rows.entry((value, escaped)).or_default().insert(scope);
                        }
                    }
                }
                Op::DeleteToken(n) => {
                    let Some(name) = names.get(&(n, false)).or(names.get(&(n, true))).copied() else { continue };
                    let had = rows.remove(&(n, false)).is_some();
                    rows.remove(&(n, true));
                    let deleted = vault.delete(&What::Token(name.token), 7).unwrap();
                    prop_assert_eq!(!deleted.tokens.is_empty(), had);
                    if had { gone.insert(n); }
                }
                Op::DeleteValue(n) => {
                    rows.remove(&(n, false));
                    rows.remove(&(n, true));
                    vault.delete(&What::Value(value_of(n).as_bytes()), 7).unwrap();
                    gone.insert(n);
                }
                Op::DeleteSession(scope) => {
                    vault.delete(&What::Session(&format!("session-{scope}")), 7).unwrap();
                    for sessions in rows.values_mut() { sessions.remove(&scope); }
                    rows.retain(|_, sessions| !sessions.is_empty());
                }
                Op::Rotate => prop_assert_eq!(vault.rotate().unwrap().lost, 0),
                Op::Flush => vault.flush().unwrap(),
                Op::Reopen => vault = home.open(),
                Op::Other => std::mem::swap(&mut vault, &mut other),
            }
            let total: usize = rows.values().map(BTreeSet::len).sum();
            let health = vault.health().unwrap();
            prop_assert_eq!((health.opened, health.unopened, health.stats.damaged), (total, 0, 0));
            for ((value, escaped), name) in &names {
                let answer = look(&vault, *name);
                if rows.contains_key(&(*value, *escaped)) {
                    prop_assert_eq!(text(&answer), Some(source_of(*value, *escaped)));
                } else {
                    let expected = if gone.contains(value) { "deleted" } else { "unknown" };
                    prop_assert_eq!(answer.word(), expected);
                }
            }
        }
        prop_assert_eq!(vault.audit().unwrap().broken, None);
    }
}

fn filled(home: &Home) -> Vec<(Name, String)> {
    let vault = home.open();
    (0..4).map(|n| format!("secret value {n}")).map(|value| (seal(&vault, &value, "s"), value)).collect()
}

#[test]
fn killed_at_any_step_of_a_rotation_every_value_opens_and_the_old_key_goes() {
    for number in 0.. {
        let home = Home::new();
        let all = filled(&home);
        let (step, done) = dies_at(number);
        let died = home.stepped(step).and_then(|vault| vault.rotate()).is_err();
        let vault = home.open();
        for (name, value) in &all {
            assert_eq!(text(&look(&vault, *name)).as_ref(), Some(value), "step {number}");
        }
        let kept = Keys::load(&*home.keys).unwrap().unwrap();
        assert_eq!(kept.count(), 1, "one key is left after step {number}");
        assert!(!home.path().join("rows.new").exists());
        if !died {
            assert!(done.load(Ordering::Relaxed) == number && number > 6, "{number} steps");
            assert_eq!(kept.newest().map(|key| key.id), Some(2));
            return;
        }
    }
}

#[test]
fn killed_at_any_step_of_a_deletion_all_is_there_or_just_that_is_gone() {
    for number in 0.. {
        let home = Home::new();
        let all = filled(&home);
        let (step, _) = dies_at(number);
        let died =
            home.stepped(step).and_then(|vault| vault.delete(&What::Token(all[1].0.token), 9)).is_err();
        let vault = home.open();
        let left: Vec<bool> = all.iter().map(|(name, _)| text(&look(&vault, *name)).is_some()).collect();
        assert!(left == [true; 4] || left == [true, false, true, true], "step {number}: {left:?}");
        assert_eq!(seal(&vault, &all[1].1, "s"), all[1].0);
        assert_eq!(text(&look(&vault, all[1].0)).is_some(), left[1], "what was deleted is not sealed again");
        if !died {
            assert_eq!(left, [true, false, true, true]);
            return;
        }
    }
}

#[test]
fn a_name_is_given_out_only_once_its_row_is_durable_and_a_failed_write_harms_nothing() {
    for number in 0..2 {
        let home = Home::new();
        let all = filled(&home);
        let armed = Arc::new(AtomicUsize::new(usize::MAX));
        let left = Arc::clone(&armed);
        let vault = home
            .stepped(Arc::new(move |_| {
                match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
                    Err(_) => Err(std::io::Error::other("no space left")),
                    Ok(_) => Ok(()),
                }
            }))
            .unwrap();
        armed.store(number, Ordering::Relaxed);
        assert!(vault.seal(&hit("new value", "new value", "s")).is_err());
        assert!(vault.seal(&hit("new value", "new value", "s")).is_err(), "it does not pass for known");
        armed.store(usize::MAX, Ordering::Relaxed);
        let name = seal(&vault, "new value", "s");
        for vault in [&vault, &home.open()] {
            assert_eq!(text(&look(vault, name)).unwrap(), "new value");
            assert_eq!(text(&look(vault, all[3].0)).unwrap(), all[3].1);
            assert_eq!(vault.stats().damaged, 0);
        }
    }
}

#[test]
fn damage_anywhere_is_found_and_the_rest_is_served() {
    let home = Home::new();
    let all = filled(&home);
    let whole = std::fs::read(home.path().join("rows")).unwrap();
    let check = |bytes: &[u8], what: &str| {
        std::fs::write(home.path().join("rows"), bytes).unwrap();
        let vault = home.open();
        let stats = vault.stats();
        let mut missing = 0;
        for (name, value) in &all {
            match look(&vault, *name) {
                Answer::Value(found) => assert_eq!(found.bytes.as_slice(), value.as_bytes(), "{what}"),
                _ => missing += 1,
            }
        }
        assert!(missing <= 1 || what.starts_with("cut"), "{what}: {missing}");
        (missing, stats)
    };
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let (missing, stats) = check(&bytes, &format!("flip at {at}"));
        assert!(stats.damaged + stats.torn > 0, "flip at {at}: {missing} missing, {stats:?}");
    }
    for at in (0..whole.len()).step_by(11) {
        check(&whole[..at], &format!("cut at {at}"));
    }
    check(&whole, "whole again");
}

#[test]
fn a_key_that_is_lost_or_another_is_said_and_nothing_is_made_in_its_place() {
    let home = Home::new();
    filled(&home);
    let kept = home.keys.0.lock().unwrap().take();
    let rows = std::fs::read(home.path().join("rows")).unwrap();
    assert!(matches!(home.try_open(), Err(VaultError::KeyLost("memory", 4))));
    assert!(home.keys.0.lock().unwrap().is_none());
    home.keys.store(&Keys::new().unwrap().text()).unwrap();
    assert!(matches!(home.try_open(), Err(VaultError::WrongKey("memory"))));
    home.keys.store("something else").unwrap();
    assert!(matches!(home.try_open(), Err(VaultError::Key(KeyError::Malformed("memory")))));
    assert_eq!(std::fs::read(home.path().join("rows")).unwrap(), rows);
    *home.keys.0.lock().unwrap() = kept;
    assert_eq!(home.open().health().unwrap().opened, 4);
}

#[test]
fn who_looks_up_is_on_the_log_first_and_a_line_that_is_missing_shows() {
    let home = Home::new();
    let all = filled(&home);
    let vault = home.open();
    let who = Who { uid: 7, pid: 8, tty: Some("pts/9".into()), program: None };
    for (name, _) in &all[..3] {
        vault.look_up(&[*name], &who, "to rotate it", "2026-01-01T00:00:00Z").unwrap();
    }
    let log = vault.audit().unwrap();
    assert_eq!((log.entries.len(), log.broken), (3, None));
    let last = &log.entries[2];
    assert_eq!(
        (last.seq, last.by.uid, last.reason.as_str(), last.result.as_str()),
        (3, 7, "to rotate it", "given")
    );
    let path = home.path().join("audit.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let tell = |text: String| {
        std::fs::write(&path, text).unwrap();
        vault.audit().unwrap().broken
    };
    for missing in 0..3 {
        let left: Vec<&str> =
            lines.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, l)| *l).collect();
        assert!(tell(left.join("\n") + "\n").unwrap().contains("missing"), "line {missing}");
    }
    assert!(tell(whole.replace("to rotate it", "no reason at")).unwrap().contains("line 1 was changed"));
    assert!(tell(String::new()).unwrap().contains("entry 3"));
    assert_eq!(tell(whole.clone()), None);
    // A log that cannot be written is no look-up.
    let fails = home
        .stepped(Arc::new(
            |step| if step == "audit: append" { Err(std::io::Error::other("full")) } else { Ok(()) },
        ))
        .unwrap();
    assert!(fails.look_up(&[all[0].0], &who, "x", "").is_err());
}

#[test]
fn a_backup_brings_back_what_was_lost_and_not_what_was_deleted() {
    let home = Home::new();
    let all = filled(&home);
    let vault = home.open();
    let sealed = vault.backup(Lock::Passphrase("correct horse")).unwrap();
    let open = vault.backup(Lock::WithKey).unwrap();
    vault.delete(&What::Token(all[0].0.token), 5).unwrap();
    vault.delete(&What::Session("s"), 5).unwrap();
    let restore = |home: &Home, bytes: &[u8], passphrase, replace| {
        let store = Arc::clone(&home.keys) as Arc<dyn KeyStore>;
        Vault::restore(&home.path(), &store, None, bytes, Unlock { passphrase, replace })
    };
    assert!(matches!(restore(&home, &sealed, None, false), Err(VaultError::PassphraseNeeded)));
    assert!(matches!(restore(&home, &sealed, Some("wrong"), false), Err(VaultError::Passphrase)));
    assert!(matches!(restore(&home, b"something", None, false), Err(VaultError::NotABackup)));
    for at in [8, 9, 40, open.len() - 1] {
        let mut hurt = open.to_vec();
        hurt[at] ^= 1;
        assert!(restore(&home, &hurt, None, false).is_err(), "{at}");
    }
    let restored = restore(&home, &sealed, Some("correct horse"), false).unwrap();
    assert_eq!((restored.added, restored.deleted), (3, 1));
    assert_eq!(text(&look(&vault, all[1].0)).unwrap(), all[1].1);
    assert_eq!(look(&vault, all[0].0).word(), "deleted");
    assert_eq!(restore(&home, &open, None, false).unwrap().known, 3);
    // Another machine, one whose key is lost, and one that has a vault of its own.
    let fresh = Home::new();
    assert_eq!(restore(&fresh, &sealed, Some("correct horse"), false).unwrap().added, 4);
    *home.keys.0.lock().unwrap() = None;
    assert_eq!(restore(&home, &open, None, false).unwrap().known, 3);
    let other = Home::new();
    let own = filled(&other)[0].0;
    assert!(matches!(restore(&other, &open, None, false), Err(VaultError::OtherVault(4))));
    let restored = restore(&other, &open, None, true).unwrap();
    assert_eq!((restored.replaced, restored.added), (4, 4));
    for home in [fresh, home, other] {
        let vault = home.open();
        assert_eq!(text(&look(&vault, all[1].0)).unwrap(), all[1].1);
        assert_eq!(seal(&vault, &all[1].1, "s"), all[1].0, "names are those of the backup's vault");
        assert_eq!(look(&vault, own).word(), "unknown");
    }
}

#[test]
fn threads_that_seal_at_once_agree() {
    let home = Home::new();
    let (one, other) = (home.open(), home.open());
    let names: Vec<BTreeSet<Name>> = std::thread::scope(|scope| {
        let work = |vault: &'static str, of: &Vault| {
            (0..12).map(|n| seal(of, &format!("shared value {n}"), vault)).collect::<BTreeSet<Name>>()
        };
        let threads: Vec<_> =
            [&one, &other, &one, &other].into_iter().map(|of| scope.spawn(move || work("s", of))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(names.iter().all(|all| *all == names[0] && all.len() == 12));
    assert_eq!(home.open().health().unwrap().opened, 12);
}

#[test]
fn a_vault_with_its_key_in_a_file_says_who_else_could_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("vault"), dir.path().join("vault/key"));
    let open = |path: &Path| Vault::open(path, Arc::new(KeyFile::new(&key)), Some(key.clone())).unwrap();
    let vault = open(&path);
    assert_eq!((vault.key(), vault.loose()), ("key file", Vec::new()));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(vault.loose(), [format!("{} has mode 0644", key.display())]);
}
