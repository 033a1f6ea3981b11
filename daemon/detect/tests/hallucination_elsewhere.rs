//! Things that do not exist in JavaScript, TypeScript and Python, and the healthy code next to them.

mod common;

use std::sync::Arc;

use ccd_detect::imports::named;
use ccd_detect::source::Language;
use ccd_detect::{Index, Kind, Workspace};
use common::Session;
use serde_json::json;

#[expect(clippy::expect_used, reason = "a fixture that is no object should fail")]
fn web() -> Arc<dyn Index> {
    let line = json!({
        "workspace": "web",
        "files": ["package.json", "tsconfig.json", "src/index.ts", "src/lib/cart.ts", "src/lib/format-price.ts",
            "src/lib/data/prices.json", "src/components/ui/button.tsx", "src/components/Basket/index.tsx",
            "src/api/client.mts", "apps/admin/src/lib/users.ts", "py/shop/__init__.py", "py/shop/basket.py",
            "py/shop/db/models.py", "src/types.d.ts"],
        "dependencies": ["react", "zod", "@tanstack/react-query"],
        "symbols": {"loadBasket": ["function:src/lib/cart.ts"], "formatPrice": ["function:src/lib/format-price.ts"],
            "getUserOrders": ["function:apps/admin/src/lib/users.ts"], "parseOrderLine": ["function:src/lib/cart.ts"],
            "load_basket": ["function:py/shop/basket.py"], "OrderLine": ["class:py/shop/db/models.py"],
            "start": ["function:src/index.ts"], "DATA": ["const:src/lib/cart.ts"],
            "lastChangeTime": ["field:src/lib/cart.ts"]},
        "identifiers": ["Button", "Basket", "Line", "cart", "basket", "order", "client", "button", "types"],
    });
    Arc::new(Workspace::from_line(&line.to_string()).expect("a line"))
}

fn rules(session: &Session) -> Vec<&'static str> {
    session.found_in(Kind::Hallucination, &web()).into_iter().map(|(rule, _)| rule).collect()
}

fn edits(file: &str, new: &str) -> Vec<&'static str> {
    let mut session = Session::new();
    session.edit(&format!("/home/u/shop/{file}"), "", new);
    rules(&session)
}

#[test]
fn modules_that_are_not_there() {
    for (file, new) in [
        ("src/index.ts", "import { total } from './lib/cartUtils';"),
        ("src/index.ts", "import { total } from './lib/cart-utils.js';"),
        ("src/index.ts", "import {\n  total,\n  sum,\n} from \"./lib/cartUtils\";"),
        ("src/index.ts", "export * from './lib/basketStore'"),
        ("src/index.ts", "const { total } = require('./lib/cartUtils');"),
        ("src/index.ts", "const cart = await import('./lib/cartUtils');"),
        ("src/components/Basket/index.tsx", "import { Input } from '@/components/ui/inputField'"),
        ("apps/admin/src/page.tsx", "import { users } from '@/lib/userStore'"),
        ("src/index.ts", "import prices from './lib/data/discounts.json'"),
        ("py/shop/basket.py", "from .db.schemas import Order"),
        ("py/shop/basket.py", "from ..stocks import level"),
    ] {
        assert_eq!(edits(file, new), ["import"], "{new}");
    }
}

#[test]
fn modules_that_are_there_or_nobody_knows() {
    for (file, new) in [
        ("src/index.ts", "import { loadBasket } from './lib/cart';"),
        ("src/index.ts", "import { loadBasket } from './lib/cart.js';"),
        ("src/index.ts", "import { Basket } from './components/Basket';"),
        ("src/index.ts", "import client from './api/client.mjs'"),
        ("src/index.ts", "import prices from './lib/data/prices.json' with { type: 'json' }"),
        ("src/lib/cart.ts", "import type { Line } from '../types'"),
        ("src/components/Basket/index.tsx", "import { Button } from '@/components/ui/button'"),
        ("apps/admin/src/page.tsx", "import { getUserOrders } from '@/lib/users'"),
        // No place is known that the alias may stand for.
        ("src/index.ts", "import { x } from '@/nowhere/thing'"),
        ("src/index.ts", "import { x } from '#internal/thing'"),
        ("src/index.ts", "import { useQuery } from '@tanstack/react-query'"),
        ("src/index.ts", "import styles from './gen/styles.css'"),
        ("src/index.test.ts", "writeFileSync('a.ts', \"import { x } from './nowhere'\")"),
        ("src/index.test.ts", "const source = `\nimport { x } from './nowhere'\n`;"),
        ("src/__fixtures__/a.ts", "import { x } from './nowhere'"),
        ("src/index.ts", "// moved from './lib/old'"),
        ("py/shop/basket.py", "from .db.models import OrderLine"),
        ("py/shop/basket.py", "from . import db"),
        ("py/shop/basket.py", "import numpy as np"),
    ] {
        assert_eq!(edits(file, new), [""; 0], "{new}");
    }
}

#[test]
fn names_that_a_module_does_not_have() {
    for (file, new) in [
        ("src/index.ts", "import { loadBasketItems } from './lib/cart';"),
        ("src/index.ts", "import type { Button, ButtonVariants } from './components/ui/button'"),
        ("src/index.ts", "import {\n  loadBasket,\n  storeBasket as store,\n} from './lib/cart'"),
        ("py/shop/x.py", "from .basket import load_basket, store_basket"),
        ("py/shop/x.py", "from .db.models import (\n    OrderLine,\n    OrderHead,\n)"),
    ] {
        assert_eq!(edits(file, new), ["import"], "{new}");
    }
    for (file, new) in [
        ("src/index.ts", "import Anything from './lib/cart';"),
        ("src/index.ts", "import * as anything from './lib/cart';"),
        ("src/index.ts", "import { default as Anything } from './lib/cart';"),
        ("src/index.ts", "import { anythingAtAll } from './lib/data/prices.json';"),
        ("src/index.ts", "import { createSomething } from 'zod';"),
        ("py/shop/x.py", "from .basket import *"),
        ("py/shop/x.py", "from somewhere.else_ import store_basket"),
    ] {
        assert_eq!(edits(file, new), [""; 0], "{new}");
    }
    let mut session = Session::new();
    session.says("I'll add a storeBasket function to the cart.");
    session.edit("/home/u/shop/src/index.ts", "", "import { storeBasket } from './lib/cart'");
    assert_eq!(rules(&session), [""; 0], "announced");
}

#[test]
fn named_imports_are_read() {
    let of = |source: &str, language| named(source, language);
    assert_eq!(
        of("import React, { useState as s, type Ref } from 'react'\nimport x from 'y'", Language::Script),
        [("react".to_owned(), vec!["useState".to_owned(), "Ref".to_owned()])]
    );
    assert_eq!(
        of("from .a import (b, # one\n  c as d)\nimport e", Language::Python),
        [(".a".to_owned(), vec!["b".to_owned(), "c".to_owned()])]
    );
    for text in [
        "import {",
        "import { a",
        "import { a } from",
        "from import",
        "from é import ü",
        "import {} from ''",
        "import 'ä",
    ] {
        let _ = (of(text, Language::Script), of(text, Language::Python));
    }
}

#[test]
fn names_that_are_near_misses() {
    for (file, new) in [
        ("src/a.ts", "const b = await fetchBasket(id);"),
        ("src/a.ts", "const line = parseOrderLineSync(text);"),
        ("src/a.ts", "const t = cart.lastTimeChange;"),
        ("src/a.ts", "log(`price: ${formatPriceWithOptions(total)}`)"),
        ("src/a.tsx", "return <p>{parseLineOrder(text)}</p>"),
        ("py/a.py", "basket = fetch_basket(1)"),
        ("py/a.py", "return shop.basket.load_basket_or_default(1)"),
    ] {
        assert_eq!(edits(file, new), ["name"], "{new}");
    }
}

#[test]
fn names_that_only_look_unknown() {
    for (file, new) in [
        ("src/a.ts", "const text = line.trimStart();"),
        ("src/a.ts", "const i = items[0].dataIndex;"),
        ("src/a.ts", "const style = { loadBasketColor: 1, 'parse-order-line-x': 2 };"),
        (
            "src/a.tsx",
            "return <Basket loadBasketFirst={true} className=\"parse-order-line format-price-x\" />",
        ),
        ("src/a.ts", "const q = sql`select load_basket_x(1) from parse_order_line_x()`;"),
        ("src/a.ts", "const re = /order\\.parseOrderLineX(\\d+)\\.formatPriceX()/g;"),
        ("src/a.ts", "const half = total / 2; const path = a / parts.length / b;"),
        ("src/a.ts", "import { z } from 'zod';\nconst s = z.object({}).parseOrderLineX().formatPriceX();"),
        (
            "src/a.ts",
            "import { useQuery } from '@tanstack/react-query';\nconst { data } = useQuery();\ndata.parseOrderLineX();",
        ),
        ("src/a.ts", "import express from 'express';\nconst app = express();\napp.loadBasketX();"),
        ("src/a.test.ts", "expect(total).not.parseOrderLineX(1);"),
        ("src/a.ts", "class A { async parseOrderLineX(text: string) { return 1 } }"),
        ("src/a.ts", "const s = `text with parseOrderLineX(1) in it`;"),
        ("py/a.py", "sql = \"\"\"select load_basket_x(1)\"\"\"\ncall(load_basket_x=1)"),
        ("py/a.py", "@pytest.fixture\ndef load_basket_first(tmp_path):\n    return tmp_path.read_text()"),
        ("py/a.py", "path.write_text(data); result.setdefault(1)"),
    ] {
        assert_eq!(edits(file, new), [""; 0], "{new}");
    }
}

fn write(session: &mut Session, path: &str, content: &str) {
    let input = json!({"file_path": format!("/home/u/shop/{path}"), "content": content});
    session.ok("Write", &input, &json!({"type": "create"}));
}

#[test]
fn new_files_may_speak_of_what_the_next_one_brings() {
    let begin = || {
        let mut session = Session::new();
        write(
            &mut session,
            "src/routes/a.ts",
            "import { loadBasketRoute } from './basketRoute';\nloadBasketRoute();",
        );
        session
    };
    let mut session = begin();
    write(&mut session, "src/routes/basketRoute.ts", "export function loadBasketRoute() {}");
    for n in 0..6 {
        session.bash(&format!("echo {n}"), "x");
    }
    session.stop("Both are there.", false);
    assert_eq!(rules(&session), [""; 0], "written a moment later");
    let mut session = begin();
    for n in 0..6 {
        session.bash(&format!("echo {n}"), "x");
    }
    assert!(rules(&session).contains(&"import"), "and never came");
    let mut session = begin();
    session.stop("Done.", false);
    assert!(rules(&session).contains(&"import"), "or the turn ended");
}

#[test]
fn sessions_that_run_below_the_root_of_the_tree() {
    let at = |cwd: &str, file: &str, new: &str| {
        let mut session = Session::new();
        session.events.clear();
        session.push(json!({"hook_event_name": "SessionStart", "source": "startup", "cwd": cwd}));
        session.edit(file, "", new);
        rules(&session)
    };
    let import = "import { getUserOrders } from './lib/users'";
    assert_eq!(
        at("/home/u/web/apps/admin", "/home/u/web/apps/admin/src/lib/users.ts", "import x from './users'"),
        [""; 0]
    );
    assert_eq!(
        at("/home/u/web/apps", "/home/u/web/src/index.ts", "import { loadBasket } from './lib/cart'"),
        [""; 0]
    );
    assert_eq!(at("/home/u/web", "/home/u/other/x.ts", import), [""; 0], "another tree");
    assert_eq!(
        at("C:\\u\\web", "C:\\u\\web\\src\\index.ts", "import { t } from './lib/cartUtils'"),
        ["import"]
    );
}

#[test]
fn files_that_a_message_names() {
    let says = |message: &str| {
        let mut session = Session::new();
        session.edit("/home/u/shop/src/index.ts", "", "start()").stop(message, false);
        rules(&session)
    };
    assert_eq!(says("Done. The retries live in `src/lib/retry_queue.ts` now."), ["cited"]);
    for message in [
        "Here's the draft:\n\n## Structure\nThe store is in `src/lib/price_store.ts`.",
        "### Option A\nA script `scripts/fetch_prices.ts` writes the cache.",
        "I recommend a shared module.\n`src/lib/theme_constants.ts` holds the colours.",
        "```\nsrc/lib/price_store.ts\n```\nis where it goes",
        "├── src/lib/price_store.ts",
        "The theme is in tailwind.config.js as usual.",
        "New: src/lib/price_store.ts",
        "The output is in dist/price_store.js.",
    ] {
        assert_eq!(says(message), [""; 0], "{message}");
    }
}
