use std::collections::BTreeSet;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use super::*;
use crate::detect::workspace::limits::{Gap, Limits};
use crate::detect::workspace::scan;
use ccd_detect::Index;

fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    (dir, root)
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

fn paths(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(root, |entry| {
        found.insert(entry.path);
        WalkState::Continue
    });
    found
}

fn gap(root: &Path) -> Option<Gap> {
    scan(root, None, &Limits::default()).gap()
}

#[test]
fn what_git_ignores_is_left_out() {
    let (_dir, root) = dir();
    put(&root.parent().unwrap().join(root.file_name().unwrap()), ".gitignore", "/dist/\n*.log\n!keep.log\n");
    for path in [
        "src/a.rs",
        ".github/ci.yml",
        "dist/a.js",
        "x.log",
        "keep.log",
        "sub/.gitignore",
        "sub/y.tmp",
        "excluded.txt",
        ".git/config",
        "node_modules/x/i.js",
        "sub/node_modules/y.js",
        ".ignore",
        "not_ignored.txt",
    ] {
        put(&root, path, "");
    }
    put(&root, "sub/.gitignore", "*.tmp\n");
    put(&root, ".git/info/exclude", "excluded.txt\n");
    put(&root, ".ignore", "not_ignored.txt\n");
    let wanted = [
        ".github/ci.yml",
        ".gitignore",
        ".ignore",
        "keep.log",
        "not_ignored.txt",
        "src/a.rs",
        "sub/.gitignore",
    ];
    assert_eq!(paths(&root), wanted.map(ToOwned::to_owned).into());
    for (path, ignored) in
        [("dist/deep/a.js", true), ("src/b.rs", false), ("a/node_modules/b", true), ("b.log", true)]
    {
        assert_eq!(is_ignored(&root, Path::new(path), false), ignored, "{path}");
    }
    let index = scan(&root, None, &Limits::default());
    assert!(index.has_file("dist/a.js") && index.has_file("node_modules/x/i.js"), "ignored, and there");
    assert!(index.has_file("dist") && !index.has_file("dist/b.js"));
}

#[test]
fn copies_of_the_tree_are_left_out_and_submodules_are_not() {
    let (_dir, root) = dir();
    put(&root, ".git/config", "");
    put(&root, "copy/.git", "gitdir: /x/.git/worktrees/copy\n");
    put(&root, "copy/a.rs", "");
    put(&root, "module/.git", "gitdir: ../.git/modules/module\n");
    put(&root, "module/b.rs", "");
    assert_eq!(paths(&root), ["module/.git", "module/b.rs"].map(ToOwned::to_owned).into());
}

#[test]
fn hostile_trees_are_gone_through() {
    let (_dir, root) = dir();
    put(&root, "src/a.rs", "fn load_basket() {}");
    symlink(&root, root.join("src/loop")).unwrap();
    symlink("self", root.join("self")).unwrap();
    symlink("/nowhere/at/all.rs", root.join("dangling.rs")).unwrap();
    symlink("/etc", root.join(".settings")).unwrap();
    symlink("/etc/hostname", root.join("hostname")).unwrap();
    fs_err::create_dir(root.join("sub")).unwrap();
    for pipe in ["pipe", "pipe.rs", "sub/.git"] {
        mkfifo(&root.join(pipe));
    }
    let odd = root.join(std::ffi::OsString::from_vec(b"odd\xff.rs".to_vec()));
    // Some file systems have names in UTF-8 only.
    let odd = std::fs::write(&odd, "fn odd_one() {}").is_ok();
    put(&root, "line\nbreak \u{1f600}.py", "def even_one(): pass");
    put(&root, "blob.rs", "fn a() {}\0\0\0");
    let index = scan(&root, None, &Limits::default());
    assert_eq!(index.gap(), None);
    assert!(index.has_symbol("load_basket") && index.has_symbol("even_one"));
    assert_eq!(index.has_symbol("odd_one"), odd);
    assert!(index.has_file("pipe") && index.has_file("dangling.rs") && index.has_file("src/loop/src/a.rs"));
    assert!(!index.has_file("pipe/x") && !index.has_file("a\0b") && !index.has_file(&"x".repeat(5000)));
}

#[expect(unsafe_code, reason = "there is no safe wrapper")]
fn mkfifo(path: &Path) {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with a zero byte and lives until the call is over.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn rules_that_cannot_be_read_keep_nobody_waiting() {
    let (_dir, root) = dir();
    put(&root, "src/a.rs", "");
    mkfifo(&root.join("src/.gitignore"));
    assert_eq!(gap(&root), Some(Gap::Unreadable));
    assert!(is_ignored(&root, Path::new("src/a.rs"), false));
    fs_err::rename(root.join("src/.gitignore"), root.join(".gitignore")).unwrap();
    assert_eq!(gap(&root), Some(Gap::Unreadable));
}

#[test]
fn what_nobody_can_see_makes_it_incomplete() {
    let (_dir, root) = dir();
    put(&root, "src/a.rs", "");
    assert_eq!(gap(&root), None);
    let (_other, outside) = dir();
    put(&outside, "b.rs", "");
    symlink(outside.join("b.rs"), root.join("src/b.rs")).unwrap();
    assert_eq!(gap(&root), Some(Gap::Outside));
    fs_err::remove_file(root.join("src/b.rs")).unwrap();
    symlink(&outside, root.join("src/shared")).unwrap();
    assert_eq!(gap(&root), Some(Gap::Outside));
    fs_err::remove_file(root.join("src/shared")).unwrap();
    assert_eq!(gap(&root.join("nowhere")), Some(Gap::Absent));
    assert_eq!(gap(&root.join("src/a.rs")), Some(Gap::Absent));
    // The superuser reads everything.
    if !rustix::process::geteuid().is_root() {
        use std::os::unix::fs::PermissionsExt;
        put(&root, "secret/b.rs", "");
        let mode = |path: &str, mode| {
            fs_err::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode("secret", 0);
        assert_eq!(gap(&root), Some(Gap::Unreadable));
        mode("secret", 0o700);
        mode("secret/b.rs", 0);
        assert_eq!(gap(&root), Some(Gap::Unreadable));
        fs_err::remove_file(root.join("secret/b.rs")).unwrap();
        put(&root, "secret/key.pem", "");
        mode("secret/key.pem", 0);
        assert_eq!(gap(&root), None, "a text, not a source");
    }
}

#[test]
fn bounds_that_are_hit_make_it_incomplete() {
    let (_dir, root) = dir();
    for n in 0..10 {
        put(
            &root,
            &format!("a{n}.rs"),
            &format!("fn first_{n}() {{}} fn other_{n}() {{}}\n{}", "x ".repeat(50)),
        );
    }
    put(&root, "data.txt", &"words ".repeat(100));
    let of = |limits: Limits| scan(&root, None, &limits);
    let defaults = Limits::default;
    assert_eq!(of(defaults()).gap(), None);
    for (limits, wanted) in [
        (Limits { files: 10, ..defaults() }, Gap::Files),
        (Limits { source_bytes: 1000, ..defaults() }, Gap::Bytes),
        (Limits { source_file_bytes: 100, ..defaults() }, Gap::Bytes),
        (Limits { identifiers: 15, ..defaults() }, Gap::Identifiers),
        (Limits { symbols: 9, ..defaults() }, Gap::Symbols),
    ] {
        let index = of(limits);
        assert_eq!(index.gap(), Some(wanted));
        assert!(!index.is_complete() && index.stats().files == 0, "and holds nothing: {wanted:?}");
    }
    assert_eq!(of(Limits { files: 11, ..defaults() }).gap(), None);
    let little = of(Limits { text_file_bytes: 10, ..defaults() });
    assert!(little.gap().is_none() && little.has_identifier("words"));
    let none = of(Limits { text_bytes: 0, ..defaults() });
    assert!(none.gap().is_none() && !none.has_identifier("words") && none.has_file("data.txt"));
}
