//! Things that do not exist, and the healthy work next to them.

mod common;

use std::sync::Arc;

use ccd_detect::imports::{From, imports};
use ccd_detect::source::{Language, names};
use ccd_detect::words::{Words, likeness, parts};
use ccd_detect::{Index, Kind, Workspace};
use common::Session;
use serde_json::json;

#[expect(clippy::expect_used, reason = "a fixture that is no object should fail")]
fn shop() -> Arc<dyn Index> {
    let line = json!({
        "workspace": "shop",
        "files": ["go.mod", "basket/basket.go", "web/src/cart.ts", "web/src/api/client.ts", "py/shop/basket.py", "src/lib.rs"],
        "dependencies": ["mod:example.org/shop", "github.com/lib/pq"],
        "symbols": {"LoadBasketItems": ["func:basket/basket.go"], "parseOrderLine": ["function:web/src/cart.ts"],
            "MAX_ORDER_LINES": ["const:web/src/cart.ts"], "load_user_basket": ["function:py/shop/basket.py"]},
        "identifiers": ["store", "basket", "order", "shop"],
    });
    Arc::new(Workspace::from_line(&line.to_string()).expect("a line"))
}

fn rules(session: &Session) -> Vec<&'static str> {
    session.found_in(Kind::Hallucination, &shop()).into_iter().map(|(rule, _)| rule).collect()
}

fn edits(file: &str, old: &str, new: &str) -> Vec<&'static str> {
    let mut session = Session::new();
    session.edit(&format!("/home/u/shop/{file}"), old, new);
    rules(&session)
}

#[test]
fn names_that_are_near_misses() {
    assert_eq!(edits("basket/a.go", "", "items, err := store.LoadItemsBasket(ctx)"), ["name"]);
    assert_eq!(edits("web/src/a.ts", "", "const line = parseOrderLineAsync(text);"), ["name"]);
    assert_eq!(edits("py/shop/a.py", "pass", "return basket.load_user_basket_items(1)"), ["name"]);
    assert_eq!(edits("src/a.rs", "", "let n = order::parse_order_line_fast(text);"), ["name"]);
    let mut session = Session::new();
    session.edit("/home/u/shop/basket/a.go", "", "x := store.LoadItemsBasket(ctx)");
    let (_, found) = session.engine_in(&shop());
    let told = found.iter().find(|d| d.kind == Kind::Hallucination).expect("one");
    assert!(told.title.contains("LoadBasketItems") && told.mast == Some("FM-2.6"));
}

#[test]
fn names_that_exist_are_defined_or_belong_to_others() {
    for (file, old, new) in [
        ("basket/a.go", "", "items := store.LoadBasketItems(ctx)"),
        (
            "basket/a.go",
            "",
            "func LoadItemsBasket(ctx context.Context) error {\n\treturn nil\n}\nfunc b() { LoadItemsBasket(nil) }",
        ),
        (
            "basket/a.go",
            "",
            "type Store interface {\n\tLoadItemsBasket(ctx context.Context) ([]Item, error)\n}",
        ),
        ("basket/a.go", "store.LoadItemsBasket(a)", "store.LoadItemsBasket(b)"),
        ("basket/a.go", "", "import (\n\t\"github.com/lib/pq\"\n)\nvar x = pq.LoadItemsBasket()"),
        ("basket/a.go", "", "x := strings.LoadItemsBasket(y)"),
        ("basket/a.go", "", "// LoadItemsBasket is gone\nfmt.Println(\"store.LoadItemsBasket()\")"),
        ("web/src/a.ts", "", "class A {\n  parseOrderLineAsync(text: string): void {\n  }\n}\n"),
        ("web/src/a.ts", "", "const parseOrderLineAsync = (t) => t;\nparseOrderLineAsync(1);"),
        ("web/src/a.ts", "", "import { z } from 'zod';\nz.parseOrderLineAsync(1)"),
        ("py/shop/a.py", "", "def load_basket_user(n):\n    return 1\n\nload_basket_user(2)"),
        ("py/shop/a.py", "", "frobnicate_everything_twice()"),
        ("lib/a.ex", "", "Store.load_user_basket!(1)"),
        ("notes.md", "", "call store.LoadItemsBasket(ctx)"),
    ] {
        assert_eq!(edits(file, old, new), [""; 0], "{new}");
    }
}

#[test]
fn what_the_session_has_shown_exists() {
    let file = "/home/u/shop/basket/a.go";
    let used = "x := store.LoadItemsBasket(ctx)";
    let mut session = Session::new();
    session.read("/home/u/shop/basket/b.go", "func (s *Store) LoadItemsBasket() {}").edit(file, "", used);
    assert_eq!(rules(&session), [""; 0], "read");
    let mut session = Session::new();
    session.edit("/home/u/shop/basket/b.go", "", "func (s *Store) LoadItemsBasket() {}").edit(file, "", used);
    assert_eq!(rules(&session), [""; 0], "written");
    let mut session = Session::new();
    session.prompt("Use LoadItemsBasket").edit(file, "", used);
    assert_eq!(rules(&session), [""; 0], "asked for");
    let mut session = Session::new();
    session.says("I'll add a LoadItemsBasket method to the store.").edit(file, "", used);
    assert_eq!(rules(&session), [""; 0], "announced");
    let mut session = Session::new();
    session.says("I'll call LoadItemsBasket.").grep("LoadItemsBasket", "").edit(file, "", used);
    assert_eq!(rules(&session), ["name"], "said and looked for is not seen");
    assert_eq!(session.found(Kind::Hallucination), [], "without an index nobody knows");
}

#[test]
fn a_compiler_that_denies_a_name() {
    let mut session = Session::new();
    session.edit("/home/u/shop/basket/a.go", "", "x := store.Frobnicate(ctx)");
    assert_eq!(rules(&session), [""; 0]);
    session.bash_fails(
        "go build ./...",
        "Exit code 1\nbasket/a.go:3:8: store.Frobnicate undefined: no such method",
    );
    assert_eq!(rules(&session), ["undefined"]);
    let mut session = Session::new();
    session.edit("/home/u/shop/basket/a_test.go", "", "x := Frobnicate(ctx)");
    session.bash_fails("go test ./...", "Exit code 1\nbasket/a_test.go:3:8: undefined: Frobnicate");
    assert_eq!(rules(&session), [""; 0], "a test that is written first");
    let mut session = Session::new();
    session.edit("/home/u/shop/basket/a.go", "", "x := Frobnicate(ctx)");
    session.edit("/home/u/shop/basket/b.go", "", "func Frobnicate(c Ctx) int { return 1 }");
    session.bash_fails("go build ./...", "Exit code 1\nbasket/a.go:9:1: undefined: other");
    assert_eq!(rules(&session), [""; 0]);
}

#[test]
fn imports_of_the_tree() {
    for (file, new) in [
        ("basket/a.go", "import \"example.org/shop/promptkit\""),
        ("basket/a.go", "\t\"fmt\"\n\t\"example.org/shop/basket/cachekit\""),
        ("web/src/a.ts", "import { go } from './navigation';"),
        ("web/src/a.ts", "const x = require('../lib/helpers')"),
        ("web/src/a.ts", "import {\n  a,\n} from './api/server';"),
        ("py/shop/a.py", "from .warehouse import stock"),
    ] {
        assert_eq!(edits(file, "", new), ["import"], "{new}");
    }
    for (file, new) in [
        ("basket/a.go", "import \"example.org/shop/basket\""),
        ("basket/a.go", "import \"example.org/other/promptkit\"\nimport \"os\""),
        ("web/src/a.ts", "import { go } from './cart';\nimport x from './api/client.js';\nimport 'react';"),
        (
            "web/src/a.ts",
            "import { go } from '@/navigation';\nimport { P } from './$types';\nimport g from './generated/graph';",
        ),
        ("py/shop/a.py", "from .basket import load_user_basket\nimport numpy as np\nfrom os import path"),
    ] {
        assert_eq!(edits(file, "", new), [""; 0], "{new}");
    }
    let mut session = Session::new();
    session.ok(
        "Write",
        &json!({"file_path": "/home/u/shop/promptkit/p.go", "content": "package promptkit"}),
        &json!({}),
    );
    session.edit("/home/u/shop/basket/a.go", "", "import \"example.org/shop/promptkit\"");
    assert_eq!(rules(&session), [""; 0], "just made");
}

fn misses(session: &mut Session, path: &str) {
    session.says("Next.").fails("Read", &json!({"file_path": path}), "File does not exist.");
}

#[test]
fn files_that_do_not_exist() {
    let mut session = Session::new();
    for name in ["helpers", "utils", "service"] {
        assert_eq!(rules(&session), [""; 0]);
        misses(&mut session, &format!("/home/u/shop/basket/{name}.go"));
    }
    assert_eq!(rules(&session), ["files"]);
    assert_eq!(session.found(Kind::Hallucination), [("files", session.last())], "without an index too");
    misses(&mut session, "/home/u/shop/basket/more.go");
    assert_eq!(rules(&session), ["files"], "told once");
}

#[test]
fn wrong_paths_that_are_found() {
    let mut session = Session::new();
    misses(&mut session, "/home/u/shop/helpers.go");
    misses(&mut session, "/home/u/shop/utils.go");
    session.read("/home/u/shop/basket/basket.go", "package basket");
    misses(&mut session, "/home/u/shop/service.go");
    assert_eq!(rules(&session), [""; 0]);
    let mut session = Session::new();
    session.prompt("Read plan.md, notes.md and todo.md");
    for name in ["plan.md", "notes.md", "todo.md"] {
        misses(&mut session, &format!("/home/u/shop/{name}"));
    }
    assert_eq!(rules(&session), [""; 0], "the user named them");
    let mut session = Session::new();
    for name in ["a", "b", "c"] {
        misses(&mut session, &format!("/tmp/out/{name}.log"));
    }
    assert_eq!(rules(&session), [""; 0], "not of the tree");
    let mut session = Session::new();
    session.says("All at once.");
    for name in ["helpers", "utils", "service"] {
        session.fails(
            "Read",
            &json!({"file_path": format!("/home/u/shop/{name}.go")}),
            "File does not exist.",
        );
    }
    assert_eq!(rules(&session), [""; 0], "one look round");
}

#[test]
fn files_that_a_closing_message_names() {
    let says = |message: &str| {
        let mut session = Session::new();
        session.edit("/home/u/shop/basket/total.go", "a", "b").stop(message, false);
        rules(&session)
    };
    assert_eq!(says("The rounding is in `basket/basket_resolver.go:84` now."), ["cited"]);
    for message in [
        "The rounding is in `basket/basket.go` and basket/total.go now.",
        "You could create basket/basket_resolver.go for it.",
        "Shall I put it into basket/basket_resolver.go?",
        "I removed basket/basket_resolver.go.",
        "There is no basket/basket_resolver.go in the tree.",
        "It works with Next.js and Node.js, e.g. on example.com.",
        "```\nbasket/basket_resolver.go\n```",
        "Any `*_resolver.go` would do.",
    ] {
        assert_eq!(says(message), [""; 0], "{message}");
    }
}

#[test]
fn names_of_a_source() {
    let read = |text: &str, language| {
        let names = names(text, language);
        let mut used: Vec<String> = names.used.into_iter().map(|mention| mention.name).collect();
        used.dedup();
        let mut defined: Vec<String> = names.defined.into_iter().collect();
        defined.sort();
        (used, defined)
    };
    assert_eq!(
        read("a, err := open(path)", Language::Go),
        (vec!["open".into()], vec!["a".into(), "err".into()])
    );
    assert_eq!(read("if check(x) {\n}", Language::Go).0, ["check"]);
    assert_eq!(read("x = new Basket(1)", Language::Script).0, ["Basket"]);
    assert_eq!(read("# old.load() gone()\ny = 'call(me)'", Language::Python).0, ["load"]);
    assert_eq!(read("x.load_all\n…[9 chars cut, sha1 0a]…\nrest_of()", Language::Python).0, [""; 0]);
    for text in ["", "'", "\"", "/*", "`", "\"\"\"", "é.è(", "…[", "]…", "(((((", "a.", "\\"] {
        for language in
            [Language::Go, Language::Python, Language::Rust, Language::Script, Language::Ruby, Language::C]
        {
            let _ = names(text, language);
            let _ = imports(text, language, "a/b", &[], &|_| true);
        }
    }
}

#[test]
fn words_and_parts() {
    assert_eq!(parts("LoadHTTPBasket_v2"), ["load", "http", "basket", "v2"]);
    assert_eq!(parts("snake_case"), ["snake", "case"]);
    assert_eq!(parts("__"), [""; 0]);
    assert_eq!(likeness(&parts("LoadBasket"), &parts("basketLoad")), 100);
    assert_eq!(likeness(&parts("LoadBasket"), &parts("SaveBasket")), 33);
    let mut words = Words::default();
    assert!(!words.has("basket"));
    words.read("open src/basket.py and sum(total)\\nnext");
    assert!(words.has("basket") && words.has("total") && words.has("next") && words.has_file("basket.py"));
    assert!(!words.has("baske") && !words.has_file("src/basket.py"));
    let found = imports("use crate::a;\nuse serde::Serialize;", Language::Rust, "src/a.rs", &[], &|_| false);
    assert_eq!(
        found.iter().map(|i| (i.name.as_str(), i.from == From::Elsewhere)).collect::<Vec<_>>(),
        [("serde", true)]
    );
}
