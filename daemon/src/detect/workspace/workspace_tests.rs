use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use super::*;
use ccd_detect::words::each_word;
use proptest::prelude::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Limits of a test: nobody is kept from looking, and what was looked at is believed for good.
fn limits() -> Limits {
    Limits {
        refresh: Duration::from_secs(3600),
        believed: Duration::from_secs(3600),
        pause: 0,
        patience: Duration::from_millis(100),
        ..Limits::default()
    }
}

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

fn open(workspaces: &Workspaces, cwd: &Path) -> Arc<dyn Index> {
    let index = workspaces.of(cwd);
    eventually("looked through", || index.is_complete());
    index
}

#[test]
fn a_tree_is_looked_through_in_the_background() {
    let (_dir, root) = dir();
    put(&root, "go.mod", "module example.org/shop\nrequire github.com/lib/pq v1\n");
    put(&root, "basket/basket.go", "package basket\nfunc LoadBasketItems() {}\n");
    let workspaces = Workspaces::new(limits(), None);
    let index = open(&workspaces, &root);
    assert!(
        index.has_file("basket/basket.go") && index.has_file("basket") && !index.has_file("basket/other.go")
    );
    assert!(index.has_symbol("LoadBasketItems") && !index.has_symbol("package"));
    assert!(index.has_identifier("package") && !index.has_identifier("LoadItemsBasket"));
    assert_eq!(index.files_named("basket.go"), ["basket/basket.go"]);
    assert_eq!(index.similar("LoadItemsBasket"), Some(("LoadBasketItems".to_owned(), 100)));
    assert!(index.is_dependency("github.com/lib/pq") && !index.is_dependency("fmt"));
    assert_eq!(index.modules(), ["example.org/shop"]);
    let stats = workspaces.stats();
    assert_eq!((stats.directories, stats.refused, stats.trees.len()), (1, 0, 1));
    assert_eq!((stats.trees[0].files, stats.trees[0].looks, stats.trees[0].gap), (2, 1, None));
}

#[test]
fn what_the_session_touches_is_known_at_the_next_question() {
    let (_dir, root) = dir();
    put(&root, "a.py", "def load_basket(): pass\n");
    put(&root, "b.py", "def other_name(): pass\n");
    let workspaces = Workspaces::new(limits(), None);
    let index = open(&workspaces, &root);
    put(&root, "new/c.py", "def made_now(): pass\n");
    workspaces.touched(&root, Path::new("new/c.py"));
    eventually("made", || index.is_complete() && index.has_symbol("made_now"));
    assert!(index.has_file("new/c.py") && index.has_file("new"));
    put(&root, "a.py", "def renamed_basket(): pass\n");
    workspaces.touched(&root, &root.join("a.py"));
    eventually("written", || index.is_complete() && !index.has_identifier("load_basket"));
    assert!(index.has_symbol("renamed_basket"));
    fs_err::remove_file(root.join("b.py")).unwrap();
    workspaces.touched(&root, &root.join("b.py"));
    eventually("deleted", || index.is_complete() && !index.has_identifier("other_name"));
    assert!(!index.has_file("b.py") && index.files_named("b.py").is_empty());
    fs_err::rename(root.join("new"), root.join("old")).unwrap();
    workspaces.stirred(&root);
    eventually("moved", || index.is_complete() && index.files_named("c.py") == ["old/c.py"]);
    assert!(!index.has_file("new"));
    workspaces.touched(&root, Path::new("/etc/hostname"));
    workspaces.touched(&root, Path::new("../elsewhere.py"));
    eventually("outside", || index.is_complete());
}

#[test]
fn a_question_is_not_answered_with_no_before_what_happened_is_known() {
    let (_dir, root) = dir();
    put(&root, "a.py", "def load_basket(): pass\n");
    let patience = Duration::ZERO;
    let workspaces = Workspaces::new(Limits { patience, ..limits() }, None);
    let index = open(&workspaces, &root);
    // A look that is not allowed yet.
    let tree = workspaces.shared.trees.lock().unwrap().values().next().cloned().unwrap();
    tree.hold(Instant::now() + Duration::from_secs(3600));
    assert!(
        index.is_complete() && !index.has_identifier("unheard_of") && index.files_named("x.py").is_empty()
    );
    workspaces.stirred(&root);
    assert!(!index.is_complete());
    assert!(index.has_identifier("unheard_of") && index.has_symbol("unheard_of") && index.is_dependency("x"));
    assert_eq!(index.files_named("x.py"), ["x.py"]);
    assert!(!index.has_file("x.py"), "a look at a path is done at once");
    tree.hold(Instant::now());
    eventually("looked again", || index.is_complete() && !index.has_identifier("unheard_of"));
}

#[test]
fn an_old_look_is_not_believed_and_a_new_one_is_made_unasked() {
    let (_dir, root) = dir();
    put(&root, "a.py", "x = 1\n");
    let zero = Limits { believed: Duration::ZERO, patience: Duration::ZERO, ..limits() };
    let workspaces = Workspaces::new(zero, None);
    let index = workspaces.of(&root);
    eventually("looked through", || index.has_symbol("x"));
    assert!(!index.is_complete());
    let fresh = Limits { refresh: Duration::ZERO, ..limits() };
    let workspaces = Workspaces::new(fresh, None);
    let index = open(&workspaces, &root);
    put(&root, "b.py", "by_somebody_else = 1\n");
    eventually("seen without a word", || index.is_complete() && index.has_symbol("by_somebody_else"));
    put(&root, "b.py", "by_another = 1\n");
    eventually("expected", || {
        workspaces.expected(&root);
        index.has_symbol("by_another")
    });
}

#[test]
fn sessions_in_one_work_tree_share_it_and_see_it_from_where_they_are() {
    let (_dir, root) = dir();
    put(&root, ".git/config", "");
    put(&root, "go.mod", "module example.org/shop\n");
    put(&root, "web/app/main.ts", "export const x = 1;\n");
    put(&root, "lib/util.ts", "export function leftPad() {}\n");
    let workspaces = Workspaces::new(limits(), None);
    let (top, app) = (open(&workspaces, &root), open(&workspaces, &root.join("web/app")));
    assert_eq!(workspaces.stats().trees.len(), 1);
    assert!(app.has_file("main.ts") && app.has_file("../../lib/util.ts") && !app.has_file("lib/util.ts"));
    assert!(app.has_file(root.join("lib/util.ts").to_str().unwrap()) && app.has_symbol("leftPad"));
    assert!(!app.has_file(root.join("lib/none.ts").to_str().unwrap()));
    assert!(app.has_file("../../../elsewhere") && app.has_file("/nowhere/at/all"), "nobody looked");
    assert_eq!(app.files_named("util.ts"), ["../../lib/util.ts"]);
    assert_eq!(top.files_named("main.ts"), ["web/app/main.ts"]);
    assert_eq!(
        (top.modules(), app.modules()),
        (vec!["example.org/shop".into()], vec!["example.org/shop/web/app".into()])
    );
    put(&root, "go.mod", "module example.org/shop\nrequire example.org/shop/api v1\n");
    workspaces.touched(&root.join("web/app"), &root.join("go.mod"));
    eventually("a module that lies elsewhere", || top.is_complete() && top.modules().is_empty());
    symlink(&root, root.join("again")).unwrap();
    let linked = open(&workspaces, &root.join("again/web"));
    assert_eq!(workspaces.stats().trees.len(), 1);
    assert!(linked.has_file(root.join("again/lib/util.ts").to_str().unwrap()));
}

#[test]
fn nobodys_project_is_not_looked_through() {
    let (_dir, home) = dir();
    put(&home, "notes.py", "x = 1\n");
    let workspaces = Workspaces::new(limits(), Some(home.clone()));
    let index = workspaces.of(&home);
    eventually("refused", || workspaces.stats().refused == 1);
    assert!(!index.is_complete() && !index.has_identifier("x") && workspaces.stats().trees.is_empty());
    let many = Workspaces::new(Limits { views: 1, ..limits() }, None);
    let (_kept, beyond) = (many.of(&home), many.of(Path::new("/nowhere")));
    assert!(!beyond.is_complete() && many.stats().directories == 1);
}

#[test]
fn what_nobody_asks_for_is_dropped_and_comes_back() {
    let (_dir, root) = dir();
    put(&root, "a.py", "def load_basket(): pass\n");
    let workspaces = Workspaces::new(limits(), None);
    let index = open(&workspaces, &root);
    let now = Instant::now();
    assert!(workspaces.rest(now), "in use a moment ago");
    assert!(!workspaces.rest(now + limits().idle + Duration::from_secs(1)));
    assert!(workspaces.stats().trees.is_empty() && workspaces.stats().directories == 1);
    assert!(!index.has_symbol("load_basket"));
    eventually("asked again", || index.is_complete() && index.has_symbol("load_basket"));
    drop(index);
    workspaces.rest(now + 2 * limits().idle + PATIENCE);
    workspaces.rest(now);
    assert_eq!(workspaces.stats().directories, 0);
}

#[test]
fn the_tree_that_was_not_asked_for_longest_makes_room() {
    let trees: Vec<_> = (0..3).map(|_| dir()).collect();
    let workspaces = Workspaces::new(Limits { trees: 2, ..limits() }, None);
    for (_, root) in &trees {
        put(root, "a.py", "x = 1\n");
        open(&workspaces, root);
    }
    let kept: Vec<PathBuf> = workspaces.stats().trees.into_iter().map(|tree| tree.root).collect();
    assert!(kept.len() == 2 && kept.contains(&trees[2].1));
}

#[test]
fn a_file_system_that_hangs_keeps_nobody_waiting() {
    let (_dir, root) = dir();
    put(&root, "a.py", "x = 1\n");
    let tree = Tree::new(root.clone(), Limits { patience: Duration::from_millis(1), ..limits() }, true);
    assert!(tree.exists("none.py") && tree.exists("none.py"), "nobody answers");
    tree.close();
    let tree = Tree::new(root, Limits { patience: PATIENCE, ..limits() }, true);
    let worker = Arc::clone(&tree);
    let thread = std::thread::spawn(move || worker.work());
    assert!(tree.exists("a.py") && !tree.exists("none.py"));
    tree.close();
    thread.join().unwrap();
    assert!(tree.exists("none.py"), "nobody is left to answer");
}

#[test]
fn a_tree_that_changes_meanwhile_is_known_in_the_end() {
    let (_dir, root) = dir();
    put(&root, "src/a.py", "def first_name(): pass\n");
    let workspaces = Workspaces::new(limits(), None);
    let index = open(&workspaces, &root);
    let changing = {
        let root = root.clone();
        std::thread::spawn(move || {
            for n in 0..200 {
                let (path, to) = (root.join(format!("src/f{}.py", n % 7)), root.join(format!("g{}", n % 3)));
                put(&root, &format!("src/f{}.py", n % 7), &format!("def name_{n}(): pass\n"));
                match n % 5 {
                    0 => fs_err::remove_file(path).unwrap(),
                    1 => fs_err::rename(path, to).unwrap(),
                    2 => {
                        let _ = std::fs::remove_dir_all(root.join("moved"));
                        fs_err::rename(root.join("src"), root.join("moved")).unwrap();
                    }
                    _ => {}
                }
            }
        })
    };
    while !changing.is_finished() {
        workspaces.stirred(&root);
        workspaces.touched(&root, Path::new("src/f1.py"));
        index.has_identifier("name_1");
        index.files_named("f1.py");
    }
    changing.join().unwrap();
    workspaces.stirred(&root);
    eventually("known", || index.is_complete());
    let (live, anew) = (&workspaces.stats().trees[0], scan(&root, None, &limits()).stats());
    assert_eq!((live.files, live.identifiers, live.symbols), (anew.files, anew.identifiers, anew.symbols));
}

const WORDS: [&str; 8] = [
    "load_user",
    "loadUser",
    "UserLoader",
    "save_basket",
    "BasketItem",
    "item_count",
    "total",
    "parse_order_line",
];
const PATHS: [&str; 8] =
    ["a.rs", "b.py", "src/a.rs", "src/deep/c.ts", "src/deep/d.go", "web/a.rs", "notes.md", "web/app/b.py"];

fn text(words: &[usize], path: &str) -> String {
    let define = match path.rsplit('.').next().unwrap() {
        "rs" => "fn ",
        "py" => "def ",
        "ts" => "function ",
        "go" => "func ",
        _ => "",
    };
    words.iter().flat_map(|word| [define, WORDS[*word], "() {}\n"]).collect()
}

/// What a naive reader makes of the same tree.
fn check(index: &dyn Index, tree: &BTreeMap<usize, Vec<usize>>) -> Result<(), TestCaseError> {
    for path in PATHS {
        let there = tree.keys().any(|known| PATHS[*known] == path);
        prop_assert_eq!(index.has_file(path), there, "{}", path);
        let name = path.rsplit('/').next().unwrap();
        let named: Vec<&str> = PATHS
            .iter()
            .enumerate()
            .filter(|(at, of)| tree.contains_key(at) && of.rsplit('/').next() == Some(name))
            .map(|(_, path)| *path)
            .collect();
        let mut found = index.files_named(name);
        found.sort();
        let mut wanted: Vec<String> = named.iter().map(|path| (*path).to_owned()).collect();
        wanted.sort();
        prop_assert_eq!(found, wanted);
    }
    for word in WORDS {
        let mut there = false;
        let mut defined = false;
        for (path, words) in tree {
            each_word(&text(words, PATHS[*path]), &mut |known| {
                there |= known == word;
                defined |= known == word && PATHS[*path] != "notes.md";
            });
        }
        prop_assert_eq!(
            (index.has_identifier(word), index.has_symbol(word)),
            (there || defined, defined),
            "{}",
            word
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_index_answers_as_somebody_who_reads_everything(
        first in prop::collection::btree_map(0..PATHS.len(), prop::collection::vec(0..WORDS.len(), 0..4), 0..8),
        changes in prop::collection::vec((0..PATHS.len(), prop::option::of(prop::collection::vec(0..WORDS.len(), 0..4))), 0..12),
        touch in any::<bool>(),
    ) {
        let (_dir, root) = dir();
        let mut tree = first;
        for (path, words) in &tree {
            put(&root, PATHS[*path], &text(words, PATHS[*path]));
        }
        let index = scan(&root, None, &Limits::default());
        check(&index, &tree)?;
        for (path, words) in changes {
            let on_disk = root.join(PATHS[path]);
            if let Some(words) = words {
                put(&root, PATHS[path], &text(&words, PATHS[path]));
                tree.insert(path, words);
            } else {
                tree.remove(&path);
                // It may never have been there.
                let _ = std::fs::remove_file(&on_disk);
            }
            if touch {
                index.look_at(&on_disk);
            }
        }
        if !touch {
            index.look_again();
        }
        check(&index, &tree)?;
        let anew = scan(&root, None, &Limits::default());
        for word in WORDS.iter().chain(&["load_basket_user", "OrderLine", "none"]) {
            prop_assert_eq!(index.similar(word), anew.similar(word));
        }
        let counts = |index: &Scanned| {
            let stats = index.stats();
            (stats.gap, stats.files, stats.identifiers, stats.symbols, stats.bytes)
        };
        prop_assert_eq!(counts(&index), counts(&anew));
    }
}
