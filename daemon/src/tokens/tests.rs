//! Tests of the tokens.

use std::os::unix::fs::PermissionsExt;

use super::*;

const DAY_NS: u64 = 86_400 * SECOND_NS;

fn tokens(dir: &tempfile::TempDir) -> Tokens {
    Tokens::new(dir.path().join("tokens"))
}

#[test]
fn a_token_is_shown_once_and_good_until_it_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let all = tokens(&dir);
    assert_eq!(all.check(&format!("{PREFIX}{}", "0".repeat(64)), 5), Err(Refused::Unknown));
    let (text, token) = all.create("laptop", Scope::Ingest, None, 5).unwrap();
    assert!(text.starts_with(PREFIX) && text.len() == PREFIX.len() + 64);
    assert_eq!(all.check(&text, 6).unwrap().id, token.id);
    // Of the token itself the disk knows nothing.
    let file = fs_err::read_to_string(dir.path().join("tokens")).unwrap();
    assert!(!file.contains(&text[PREFIX.len()..]));
    let mode = fs_err::metadata(dir.path().join("tokens")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Another daemon reads it, and sees what this one does.
    let other = tokens(&dir);
    assert!(other.check(&text, 7).is_ok());
    assert_eq!(all.revoke(&token.id[..6]).unwrap().name, "laptop");
    assert_eq!(all.check(&text, 8), Err(Refused::Unknown));
    assert_eq!(other.check(&text, 8), Err(Refused::Unknown));
}

#[test]
fn what_it_was_exchanged_for_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let all = tokens(&dir);
    let (text, token) = all.create("a", Scope::All, Some(60), 0).unwrap();
    let (jwt, lives) = all.exchange(&text, 0).unwrap();
    assert_eq!(lives, 60, "no longer than the token");
    assert_eq!(all.check(&jwt, 59 * SECOND_NS).unwrap(), Pass { id: token.id, scope: Scope::All });
    assert_eq!(all.check(&jwt, 60 * SECOND_NS), Err(Refused::Expired));
    assert_eq!(all.check(&text, 60 * SECOND_NS), Err(Refused::Expired));
    assert_eq!(all.exchange(&jwt, 1), Err(Refused::Unknown), "only a token is exchanged");
    let (text, _) = all.create("b", Scope::Ingest, None, 0).unwrap();
    let (jwt, lives) = all.exchange(&text, 0).unwrap();
    assert_eq!(lives, EXCHANGED_S);
    all.revoke("b").unwrap();
    assert_eq!(all.check(&jwt, 1), Err(Refused::Unknown));
}

#[test]
fn names_are_plain_and_stand_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let all = tokens(&dir);
    for name in ["", "a b", "../x", "a\n", "ä", &"x".repeat(65)] {
        assert!(matches!(all.create(name, Scope::All, None, 0), Err(TokenError::Name)), "{name:?}");
    }
    all.create("a", Scope::All, None, 0).unwrap();
    assert!(matches!(all.create("a", Scope::All, None, 0), Err(TokenError::Exists)));
    assert!(matches!(all.revoke("b"), Err(TokenError::NotFound)));
    assert!(matches!(all.revoke(""), Err(TokenError::NotFound)));
    for n in 1..MOST {
        all.create(&format!("n{n}"), Scope::All, None, 0).unwrap();
    }
    assert!(matches!(all.create("more", Scope::All, None, 0), Err(TokenError::TooMany)));
}

#[test]
fn its_use_is_written_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let (all, path) = (tokens(&dir), dir.path().join("tokens"));
    let (text, _) = all.create("a", Scope::All, None, 0).unwrap();
    all.check(&text, DAY_NS).unwrap();
    let before = private::stamp(&path).unwrap();
    for n in 0..100 {
        all.check(&text, DAY_NS + n).unwrap();
    }
    assert_eq!(private::stamp(&path).unwrap(), before, "no write");
    all.check(&text, 2 * DAY_NS).unwrap();
    assert_ne!(private::stamp(&path).unwrap(), before);
    assert_eq!(tokens(&dir).list()[0].used_s, Some(2 * 86_400));
}

#[test]
fn a_file_that_others_could_have_written_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let (text, _) = tokens(&dir).create("a", Scope::All, None, 0).unwrap();
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(tokens(&dir).check(&text, 1), Err(Refused::Unknown));
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(tokens(&dir).check(&text, 1).is_ok());
    fs_err::rename(&path, dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real"), &path).unwrap();
    assert_eq!(tokens(&dir).check(&text, 1), Err(Refused::Unknown), "a link");
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, "{}").unwrap();
    assert_eq!(tokens(&dir).check(&text, 1), Err(Refused::Unknown), "damaged");
}

#[test]
fn what_cannot_be_read_now_is_neither_replaced_nor_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let all = tokens(&dir);
    let (text, _) = all.create("a", Scope::All, None, 0).unwrap();
    let bytes = fs_err::read(&path).unwrap();
    let mode = |mode: u32| {
        fs_err::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    // Neither its length nor when it was written tells of that.
    mode(0o644);
    assert_eq!(all.check(&text, 1), Err(Refused::Unknown));
    assert!(matches!(all.create("b", Scope::All, None, 1), Err(TokenError::Disk(_))));
    assert!(matches!(all.revoke("a"), Err(TokenError::Disk(_))));
    assert!(matches!(tokens(&dir).create("b", Scope::All, None, 1), Err(TokenError::Disk(_))));
    assert_eq!(fs_err::read(&path).unwrap(), bytes);
    mode(0o600);
    assert!(all.check(&text, 1).is_ok());
    all.create("b", Scope::All, None, 1).unwrap();
    assert_eq!(all.list().len(), 2);
}
