//! Many values sealed at once: one write, one wait for the disk, and nothing lost whenever it breaks off.

use super::*;
use crate::vault::Sealed;

fn values(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("one of many {n}")).collect()
}

fn hits<'a>(values: &'a [String], scope: &'a str) -> Vec<Hit<'a>> {
    values.iter().map(|value| hit(value, value, scope)).collect()
}

fn names(sealed: &Sealed) -> Vec<Name> {
    sealed.names.iter().map(|name| name.unwrap()).collect()
}

#[test]
fn the_disk_is_waited_for_once_for_all_that_is_new() {
    let home = Home::new();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&syncs);
    let vault = home
        .stepped(Arc::new(move |step| {
            counted.fetch_add(usize::from(step == "append: sync"), Ordering::Relaxed);
            Ok(())
        }))
        .unwrap();
    let all = values(1000);
    let before: Vec<Name> = all.iter().map(|value| vault.name(value.as_bytes(), value.as_bytes())).collect();
    let sealed = vault.seal_all(&hits(&all, "s"));
    assert_eq!((names(&sealed), sealed.error.is_none()), (before, true));
    assert_eq!(syncs.load(Ordering::Relaxed), 1);
    assert_eq!(names(&vault.seal_all(&hits(&all, "s"))), names(&sealed));
    assert_eq!(syncs.load(Ordering::Relaxed), 1, "what is known is not written");
    assert_eq!(home.open().health().unwrap().opened, 1000);
    assert!(vault.seal_all(&[]).names.is_empty());
}

#[test]
fn a_value_that_comes_several_times_at_once_has_one_row_and_is_counted_as_often() {
    let home = Home::new();
    let vault = home.open();
    let value = "one of many";
    let often = Hit { times: 40, at_s: 130, ..hit(value, value, "s") };
    let sealed = vault.seal_all(&[
        hit(value, value, "s"),
        hit(value, "one\\u0020of many", "s"),
        often,
        hit(value, value, "t"),
        hit(value, "one\\u0020of many", "s"),
    ]);
    let names = names(&sealed);
    assert_eq!((names[0], names[1]), (names[2], names[4]));
    assert!(names[0] == names[3] && names[0].token == names[1].token && names[0] != names[1]);
    for vault in [&vault, &home.open()] {
        assert_eq!(vault.health().unwrap().opened, 3);
        let Answer::Value(found) = look(vault, names[0]) else { panic!() };
        assert_eq!((found.count, found.first_s, found.last_s), (44, 100, 130));
        assert_eq!(text(&look(vault, names[1])).unwrap(), "one\\u0020of many");
    }
}

#[test]
fn one_that_cannot_be_sealed_keeps_no_other_from_it() {
    let home = Home::new();
    let vault = home.open();
    let long = "x".repeat(2 << 20);
    let known = seal(&vault, "a known value", "s1");
    let all = [hit("one", "one", "s2"), hit(&long, &long, "s2"), hit("two", "two", "s2")];
    let sealed = vault.seal_all(&all);
    assert!(matches!(sealed.error, Some(VaultError::Full(_))));
    assert_eq!(sealed.names.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(home.open().health().unwrap().opened, 3);
    // Where nothing can be written, what another session has keeps its name.
    let fails: Step = Arc::new(|step| match step {
        "append: sync" => Err(std::io::Error::other("full")),
        _ => Ok(()),
    });
    let vault = home.stepped(fails).unwrap();
    let all = [hit("three", "three", "s2"), hit("a known value", "a known value", "s2")];
    let sealed = vault.seal_all(&all);
    assert_eq!((sealed.names, sealed.error.is_some()), (vec![None, Some(known)], true));
    assert_eq!(home.open().health().unwrap().opened, 3);
}

#[test]
fn killed_at_any_step_every_name_that_was_given_opens_and_the_log_is_whole() {
    let (first, second) = (values(20), values(60));
    let who = Who::default();
    for number in 0.. {
        let home = Home::new();
        let known = filled(&home);
        let (step, _) = dies_at(number);
        let mut given = Vec::new();
        let mut died = true;
        if let Ok(vault) = home.stepped(step) {
            let one = vault.seal_all(&hits(&first, "s"));
            let log = vault.look_up(&[known[0].0], &who, "between", "2026-01-01T00:00:00Z");
            let other = vault.seal_all(&hits(&second, "t"));
            died = one.error.is_some() || log.is_err() || other.error.is_some();
            given.extend(first.iter().cloned().zip(one.names));
            given.extend(second.iter().cloned().zip(other.names));
        }
        let vault = home.open();
        let health = vault.health().unwrap();
        assert_eq!((health.unopened, health.stats.damaged), (0, 0), "step {number}");
        assert_eq!(vault.audit().unwrap().broken, None, "step {number}");
        for (value, name) in given {
            let Some(name) = name else { continue };
            assert_eq!(text(&look(&vault, name)), Some(value), "step {number}");
        }
        for (name, value) in &known {
            assert_eq!(text(&look(&vault, *name)).as_ref(), Some(value), "step {number}");
        }
        if !died {
            assert_eq!(health.opened, known.len() + 80);
            assert!(number > 6, "{number} steps");
            return;
        }
    }
}

#[test]
fn killed_in_the_middle_of_the_write_what_is_whole_of_it_stays_and_the_rest_is_sealed_anew() {
    let home = Home::new();
    let known = filled(&home);
    let rows = home.path().join("rows");
    let before = std::fs::metadata(&rows).unwrap().len();
    let all = values(12);
    let sealed = names(&home.open().seal_all(&hits(&all, "s")));
    let whole = std::fs::read(&rows).unwrap();
    for cut in (usize::try_from(before).unwrap()..whole.len()).step_by(7) {
        std::fs::write(&rows, &whole[..cut]).unwrap();
        let vault = home.open();
        let health = vault.health().unwrap();
        assert_eq!((health.unopened, health.stats.damaged), (0, 0), "cut at {cut}");
        let there = sealed.iter().take_while(|name| text(&look(&vault, **name)).is_some()).count();
        assert_eq!(health.opened, known.len() + there, "cut at {cut}");
        assert_eq!(names(&vault.seal_all(&hits(&all, "s"))), sealed);
        assert_eq!(home.open().health().unwrap().opened, known.len() + all.len(), "cut at {cut}");
        assert_eq!(vault.audit().unwrap().broken, None);
    }
}
