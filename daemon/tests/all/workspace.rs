//! The hallucination detector with the index of a real directory: what is invented is told of, what exists is not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccd::detect::workspace::{Limits, Workspaces, scan};
use ccd_detect::{Engine, Event, Index, Kind, Settings};
use serde_json::{Value, json};

struct Shop {
    _dir: tempfile::TempDir,
    root: PathBuf,
    workspaces: Arc<Workspaces>,
    index: Arc<dyn Index>,
    engine: Engine,
}

impl Shop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (path, text) in [
            (
                "py/shop/basket.py",
                "class Basket:\n    def load_user_basket(self, user):\n        return basket\n",
            ),
            ("web/cart.ts", "export function parseOrderLine(text: string) {}\n"),
            ("go.mod", "module example.org/shop\n"),
            ("store/store.go", "package store\nfunc LoadBasketItems() {}\n"),
        ] {
            fs_err::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs_err::write(root.join(path), text).unwrap();
        }
        // Only what the session tells of counts here.
        let limits = Limits {
            refresh: Duration::from_secs(3600),
            believed: Duration::from_secs(3600),
            patience: Duration::from_secs(5),
            pause: 0,
            ..Limits::default()
        };
        let workspaces = Workspaces::new(limits, None);
        let index = workspaces.of(&root);
        let start = Instant::now();
        while !index.is_complete() {
            assert!(start.elapsed() < Duration::from_secs(20), "looked through");
            std::thread::yield_now();
        }
        let engine = Engine::new(&Settings::default(), &index);
        let mut shop = Self { _dir: dir, root, workspaces, index, engine };
        shop.event(json!({"hook_event_name": "SessionStart", "source": "startup", "cwd": shop.root}));
        shop.event(json!({"hook_event_name": "UserPromptSubmit", "prompt": "Mend the order."}));
        shop
    }

    fn event(&mut self, payload: Value) -> Vec<&'static str> {
        let found = self.engine.observe(&Event::from_hook(payload));
        found.into_iter().filter(|found| found.kind == Kind::Hallucination).map(|found| found.rule).collect()
    }

    /// An edit as the client does it: the file is written, then everybody hears of it.
    fn edit(&mut self, path: &str, new: &str) -> Vec<&'static str> {
        self.write(path, new);
        self.event(json!({
            "hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_response": {"filePath": path},
            "tool_input": {"file_path": self.root.join(path), "old_string": "", "new_string": new},
        }))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
    }
}

#[test]
fn an_invented_name_is_told_of_and_a_right_one_is_not() {
    let mut shop = Shop::new();
    assert_eq!(shop.edit("web/a.ts", "const line = parseOrderLine(text);"), [""; 0]);
    assert_eq!(shop.edit("py/shop/a.py", "x = basket.load_user_basket(1)"), [""; 0]);
    assert_eq!(shop.edit("store/b.go", "import (\n\t\"example.org/shop/store\"\n)\n"), [""; 0]);
    assert_eq!(shop.edit("py/shop/b.py", "x = basket.load_basket_of_user(1)"), ["name"]);
    assert_eq!(shop.edit("web/b.ts", "const line = parseOrderLineAsync(text);"), ["name"]);
    assert_eq!(shop.edit("web/c.ts", "import { a } from './cartoon';"), ["import"]);
    assert_eq!(shop.edit("store/c.go", "import (\n\t\"example.org/shop/storage\"\n)\n"), ["import"]);
}

#[test]
fn what_was_written_just_before_exists() {
    let mut shop = Shop::new();
    // By a command, which nobody has read: the index is all that knows.
    shop.write("py/shop/made.py", "def load_basket_of_user(user): pass\n");
    shop.workspaces.stirred(&shop.root);
    assert!(shop.index.is_complete(), "waits for the look");
    assert_eq!(shop.edit("py/shop/b.py", "x = basket.load_basket_of_user(1)"), [""; 0]);
    // By another session, which tells of its own file.
    shop.write("web/line.ts", "export function parseOrderLineAsync() {}\n");
    shop.workspaces.touched(&shop.root, Path::new("web/line.ts"));
    assert_eq!(shop.edit("web/b.ts", "const line = parseOrderLineAsync(text);"), [""; 0]);
    assert_eq!(shop.edit("web/c.ts", "import { parseOrderLine } from './line';"), [""; 0]);
}

#[test]
fn a_scan_answers_as_the_live_index_does() {
    let shop = Shop::new();
    let scanned = scan(&shop.root, None, &Limits::default());
    assert!(scanned.is_complete());
    for name in ["load_user_basket", "parseOrderLine", "LoadBasketItems", "nothing_like_it"] {
        assert_eq!(scanned.has_symbol(name), shop.index.has_symbol(name), "{name}");
        assert_eq!(scanned.similar(name), shop.index.similar(name), "{name}");
    }
    assert_eq!(scanned.modules(), shop.index.modules());
}
