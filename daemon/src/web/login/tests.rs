//! Codes and logins: their life, their file, and its damage.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_780_000_000 * SECOND_NS;
const DAY: u64 = 86_400 * SECOND_NS;

fn logins(dir: &tempfile::TempDir) -> Logins {
    Logins::new(dir.path().join("web-logins"))
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn log_in(logins: &Logins, now_ns: u64) -> String {
    logins.redeem(&logins.code(now_ns).unwrap(), now_ns).unwrap()
}

/// As the door asks.
fn is_in(logins: &Logins, login: &str, now_ns: u64) -> bool {
    match logins.known(login, now_ns) {
        Known::Yes(_) => true,
        Known::Look => logins.look(login, now_ns).is_some(),
        Known::No => false,
    }
}

#[test]
fn a_code_is_good_once_and_for_a_minute() {
    let dir = dir();
    let logins = logins(&dir);
    let code = logins.code(NOW).unwrap();
    assert!(code.len() == 32 && code.bytes().all(|b| b.is_ascii_hexdigit()));
    let login = logins.redeem(&code, NOW + CODE_S * SECOND_NS).unwrap();
    assert_eq!(login.len(), 64);
    assert!(is_in(&logins, &login, NOW));
    assert_eq!(logins.redeem(&code, NOW), Err(Refused::Wrong), "stolen, and second");
    let old = logins.code(NOW).unwrap();
    assert_eq!(logins.redeem(&old, NOW + CODE_S * SECOND_NS + 1), Err(Refused::Wrong), "too old");
    let early = logins.code(NOW).unwrap();
    assert_eq!(logins.redeem(&early, NOW - 1), Err(Refused::Wrong), "by a clock that was set back");
    assert_eq!(logins.redeem("", NOW), Err(Refused::Wrong));
    assert!(!is_in(&logins, &code, NOW), "a code is no login");
}

#[test]
fn only_so_many_codes_wait_and_only_so_many_wrong_ones_are_heard() {
    let dir = dir();
    let logins = logins(&dir);
    let codes: Vec<String> = (0..=CODES).map(|_| logins.code(NOW).unwrap()).collect();
    assert_eq!(logins.redeem(&codes[0], NOW), Err(Refused::Wrong), "the oldest gave way");
    assert!(logins.redeem(&codes[1], NOW).is_ok());
    for _ in 1..WRONG {
        assert_eq!(logins.redeem("wrong", NOW), Err(Refused::Wrong));
    }
    assert_eq!(logins.redeem("wrong", NOW + SECOND_NS), Err(Refused::TooMany(WRONG_S - 1)));
    assert!(logins.redeem(&codes[2], NOW + SECOND_NS).is_ok(), "nobody is kept out by another's guesses");
    let later = NOW + WRONG_S * SECOND_NS;
    assert_eq!(logins.redeem("wrong", later), Err(Refused::Wrong));
}

#[test]
fn a_login_outlives_the_daemon_and_ends_a_month_after_its_last_use() {
    let dir = dir();
    let first = logins(&dir);
    let (used, unused) = (log_in(&first, NOW), log_in(&first, NOW));
    let mut now = NOW;
    for _ in 0..4 {
        now += 20 * DAY;
        // Each time by a daemon that has just begun.
        assert!(is_in(&logins(&dir), &used, now));
    }
    let last = logins(&dir);
    assert!(!is_in(&last, &unused, now) && !is_in(&last, &used, now + 31 * DAY));
    assert!(is_in(&last, &used, NOW - DAY), "a clock that was set back locks nobody out");
    assert_eq!(last.count(now), 1);
}

#[test]
fn the_file_is_private_holds_no_login_and_is_written_once_a_day() {
    let dir = dir();
    let logins = logins(&dir);
    let code = logins.code(NOW).unwrap();
    let login = logins.redeem(&code, NOW).unwrap();
    let path = dir.path().join("web-logins");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&login) && !text.contains(&code), "{text}");
    let meta = || std::fs::metadata(&path).unwrap();
    assert_eq!(meta().permissions().mode() & 0o777, 0o600);
    let inode = meta().ino();
    for hour in 0..24 {
        assert!(is_in(&logins, &login, NOW + hour * DAY / 24));
    }
    assert_eq!(meta().ino(), inode, "not written again");
    assert!(is_in(&logins, &login, NOW + DAY));
    assert!(std::fs::read_to_string(&path).unwrap().contains(&(NOW / SECOND_NS + 86_400).to_string()));
}

#[test]
fn only_so_many_are_in_at_a_time() {
    let dir = dir();
    let logins = logins(&dir);
    let first = log_in(&logins, NOW);
    for more in 1..=LOGINS as u64 {
        log_in(&logins, NOW + more * SECOND_NS);
    }
    assert!(!is_in(&logins, &first, NOW));
    assert_eq!(logins.count(NOW), LOGINS);
}

#[test]
fn forgetting_ends_all_logins_codes_and_what_is_being_sent() {
    let dir = dir();
    let logins = logins(&dir);
    let (code, login) = (logins.code(NOW).unwrap(), log_in(&logins, NOW));
    let Known::Yes(pass) = logins.known(&login, NOW) else { panic!("it is known") };
    logins.forget().unwrap();
    assert!(pass.ended.is_cancelled());
    assert!(!is_in(&logins, &login, NOW) && logins.redeem(&code, NOW).is_err());
    assert!(!dir.path().join("web-logins").exists());
    logins.forget().unwrap();
    let again = log_in(&logins, NOW);
    let Known::Yes(pass) = logins.known(&again, NOW) else { panic!("it is known") };
    assert!(!pass.ended.is_cancelled());
}

#[test]
fn two_daemons_of_one_home_know_of_each_other() {
    // One hands over to the other.
    let dir = dir();
    let (old, new) = (logins(&dir), logins(&dir));
    let first = log_in(&old, NOW);
    assert!(is_in(&new, &first, NOW));
    let second = log_in(&old, NOW);
    assert!(is_in(&new, &second, NOW), "it is read again");
    let third = log_in(&new, NOW);
    for login in [first, second, third] {
        assert!(is_in(&logins(&dir), &login, NOW) && is_in(&old, &login, NOW));
    }
}

#[test]
fn a_disk_that_takes_nothing_lets_in_until_the_end() {
    let dir = dir();
    let nowhere = Logins::new(dir.path().join("no-such-directory/web-logins"));
    let (first, second) = (log_in(&nowhere, NOW), log_in(&nowhere, NOW));
    assert!(is_in(&nowhere, &first, NOW) && is_in(&nowhere, &second, NOW + 2 * DAY));
}

#[test]
fn what_is_no_file_of_ours_is_not_believed() {
    let dir = dir();
    let login = log_in(&logins(&dir), NOW);
    let path = dir.path().join("web-logins");
    let good = std::fs::read(&path).unwrap();
    // A link, a directory, a file that others can write.
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(!is_in(&logins(&dir), &login, NOW));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(!is_in(&logins(&dir), &login, NOW));
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, &good).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!is_in(&logins(&dir), &login, NOW));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(is_in(&logins(&dir), &login, NOW));
    // Too long, and of another version.
    for text in [" ".repeat(70_000), r#"{"version":2,"logins":[]}"#.into()] {
        std::fs::write(&path, text).unwrap();
        let after = logins(&dir);
        assert!(!is_in(&after, &login, NOW));
        let again = log_in(&after, NOW);
        assert!(is_in(&logins(&dir), &again, NOW), "the next login replaces it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In whatever order codes are made, taken and waited for: each lets in once at most, and in its minute only.
    #[test]
    fn a_code_works_once(steps in prop::collection::vec((0_u8..3, 0_usize..6, 0_u64..40), 1..40)) {
        let dir = dir();
        let logins = logins(&dir);
        let (mut now, mut codes) = (NOW, Vec::<(String, u64, bool)>::new());
        let mut wrong: Vec<u64> = Vec::new();
        for (what, which, wait) in steps {
            match what {
                0 => codes.push((logins.code(now).unwrap(), now, false)),
                1 => now += wait * SECOND_NS,
                _ => {
                    let newest = codes.len().saturating_sub(CODES);
                    let Some(at) = (!codes.is_empty()).then(|| newest + which % (codes.len() - newest)) else { continue };
                    let (code, made, taken) = &mut codes[at];
                    let heard = wrong.iter().filter(|at| now - **at < WRONG_S * SECOND_NS).count() < WRONG;
                    // A right one is let in whatever others guess.
                    let good = !*taken && now - *made <= CODE_S * SECOND_NS;
                    let redeemed = logins.redeem(code, now);
                    prop_assert_eq!(redeemed.is_ok(), good);
                    *taken |= good;
                    if heard && !good {
                        wrong.push(now);
                    }
                }
            }
        }
    }

    /// A file that was damaged in any way lets nobody in who was not, and stops nothing.
    #[test]
    fn damage_lets_nobody_in(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let dir = dir();
        let login = log_in(&logins(&dir), NOW);
        let path = dir.path().join("web-logins");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at % bytes.len();
        let was = std::mem::replace(&mut bytes[at], byte);
        bytes.truncate(bytes.len() - cut % bytes.len().min(3));
        std::fs::write(&path, &bytes).unwrap();
        let after = logins(&dir);
        prop_assert!(!is_in(&after, &"0".repeat(64), NOW));
        if was == byte && bytes.len() > at {
            let _ = is_in(&after, &login, NOW);
        }
        let again = log_in(&after, NOW);
        prop_assert!(is_in(&logins(&dir), &again, NOW));
    }
}
