// The page that lets a browser in: what it makes of an address. No browser, no daemon.
//
//   node --test tests/web/

import assert from "node:assert/strict";
import { test } from "node:test";
import { target, wanted } from "../../daemon/src/web/assets/js/login.js";

test("a link says its code, and where it leads", () => {
  const to = "#/s/a b/s:1?q=x&y";
  assert.deepEqual(wanted(`#code=c0de&to=${encodeURIComponent(to)}`), { code: "c0de", to });
  assert.deepEqual(wanted("#code=c0de"), { code: "c0de", to: "" });
  for (const nothing of ["", "#", "#/s/x", undefined, "#to=%23%2F"]) assert.equal(wanted(nothing).code, "");
});

test("a link leads nowhere but to our own pages", () => {
  for (const wrong of [
    "//evil.example/",
    "/v0/stop",
    "https://evil.example",
    "javascript:alert(1)",
    "#x",
    " #/",
    "\\evil",
    "",
    null,
    undefined,
    {},
    `#/${"x".repeat(9000)}`,
  ]) {
    assert.equal(target(wrong), "");
    assert.equal(wanted(`#code=c&to=${encodeURIComponent(String(wrong))}`).to, "");
  }
  // What it becomes is always a part of our own page's address.
  for (const to of ["#/", "#//evil.example", "#/../x"]) {
    assert.equal(new URL(`/${target(to)}`, "http://127.0.0.1:7789").host, "127.0.0.1:7789");
    assert.equal(new URL(`/${target(to)}`, "http://127.0.0.1:7789").pathname, "/");
  }
});
