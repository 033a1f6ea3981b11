// 7: what a page of another site can do in the same browser: read nothing, change nothing.

import assert from "node:assert/strict";
import test from "node:test";
import { attack } from "./attack.mjs";
import { ask, ccctl, chromium, eventually, facts, visit } from "./kit.mjs";
import "./login.mjs";
import { SECRET, SESSION, everything, evil, neighbour, ours, port, rebound, state } from "./sites.mjs";

test("7 headers: every answer keeps other sites out", async () => {
  await visit("#/", { allow: [/status of 404/] }, async (page) => {
    for (const path of ["/", "/js/app.js", "/css/base.css", "/v0/status", "/login", "/nothing", "/v0/nothing"]) {
      const headers = await page.evaluate(async (p) => Object.fromEntries((await fetch(p)).headers), path);
      const policy = new Map((headers["content-security-policy"] ?? "").split(";").map((d) => d.trim().split(/ (.*)/)));
      assert.equal(policy.get("default-src"), "'none'", path);
      assert.ok(["'self'", undefined].includes(policy.get("script-src")), path);
      for (const part of ["frame-ancestors", "base-uri", "form-action"]) assert.equal(policy.get(part), "'none'", path);
      assert.equal(policy.get("require-trusted-types-for"), "'script'", path);
      assert.ok(!headers["content-security-policy"].includes("unsafe"), path);
      const others = [
        "cross-origin-resource-policy",
        "cross-origin-opener-policy",
        "x-frame-options",
        "x-content-type-options",
        "referrer-policy",
      ].map((name) => headers[name]);
      assert.deepEqual(others, ["same-origin", "same-origin", "DENY", "nosniff", "no-referrer"], path);
      assert.ok(!Object.keys(headers).some((name) => name.startsWith("access-control-")), path);
    }
  });
});

/** What to try it on: reads, and what changes something by a POST. */
const JSON_TYPES = ["text/plain", "application/x-www-form-urlencoded", "application/json"];
const PATHS = [
  ["/"],
  ["/v0/sessions"],
  [`/v0/spans?session=${SESSION}`],
  ["/v0/follow"],
  ["/v0/heal/pause", JSON_TYPES],
  ["/v0/stop", JSON_TYPES],
  ["/v0/web/login", JSON_TYPES],
  ["/login", JSON_TYPES],
];

test("7 the attack would see what it could read", async () => {
  const c = await (await chromium()).newContext();
  const page = await c.newPage();
  await page.goto(evil);
  const read = await attack(page, evil, [["/"]]);
  const ways = new Set(read.filter(([, text]) => text !== "").map(([what]) => what.split(" ")[0]));
  for (const way of ["fetch", "iframe", "performance"]) assert.ok(ways.has(way), [...ways].join());
  await c.close();
});

for (const [name, from, base] of [
  ["by its address", () => evil, () => ours],
  ["by the name localhost", () => evil, () => `http://localhost:${port}`],
  ["by a name that was bound anew", () => evil, () => rebound],
  // To a browser, all ports of a host are one site: it sends the cookie along.
  ["from another port of the same host", () => neighbour, () => ours],
]) {
  test(`7 another site reads nothing and changes nothing, ${name}`, async () => {
    const c = await (await chromium()).newContext({ storageState: state });
    // The cookie of the one who is in is in this browser: it must not help.
    assert.equal((await c.cookies()).length, 1);
    const page = await c.newPage();
    await page.goto(from());
    const was = await everything();
    const read = await attack(page, base(), PATHS);
    assert.deepEqual(
      read.filter(([, text]) => text !== "" && text !== "0"),
      [],
      "something was read",
    );
    assert.equal(await everything(), was, "something was changed");
    await c.close();
  });
}

test("7 a page that was loaded from a name bound anew is answered nothing, whatever it asks", async () => {
  const c = await (await chromium()).newContext({ storageState: state });
  const page = await c.newPage();
  const answer = await page.goto(`${rebound}/`).catch(() => null);
  assert.ok([400, 403, 421].includes(answer?.status()), `${answer?.status()}`);
  assert.ok(!(await page.content()).includes(SECRET));
  const was = await everything();
  const got = await page.evaluate(async () => {
    const out = [];
    for (const [path, options] of [
      ["/v0/sessions", {}],
      ["/v0/heal/pause", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }],
      ["/login", { method: "POST", headers: { "content-type": "application/json" }, body: '{"code":"x"}' }],
    ]) {
      try {
        const r = await fetch(path, options);
        out.push([path, r.status, await r.text()]);
      } catch {
        out.push([path, 0, ""]);
      }
    }
    return out;
  });
  for (const [path, status, text] of got)
    assert.ok(![200, 204].includes(status) && !text.includes(SECRET), `${path}: ${status} ${text}`);
  assert.equal(await everything(), was);
  await c.close();
});

test("7 a window of ours that another site opens tells it nothing", async () => {
  const c = await (await chromium()).newContext({ storageState: state });
  const page = await c.newPage();
  await page.goto(evil);
  const [popup] = await Promise.all([
    c.waitForEvent("page"),
    page.evaluate((u) => {
      window.opened = window.open(u);
    }, `${ours}/`),
  ]);
  await popup.waitForSelector("#app"); // come by another site's hand, the login page asks once more itself
  const told = await page.evaluate(() => {
    try {
      return [window.opened?.closed ?? null, window.opened?.length ?? 0, window.opened?.document?.title ?? ""];
    } catch (e) {
      return e.name;
    }
  });
  assert.ok(told === "SecurityError" || (told[0] === true && told[2] === ""), JSON.stringify(told));
  assert.equal(await popup.evaluate(() => window.opener), null);
  await c.close();
});

test("7 the proxy's port answers no page either, and spends nothing", async () => {
  const c = await (await chromium()).newContext();
  const page = await c.newPage();
  await page.goto(evil);
  const was = await everything();
  const base = `http://${facts.scene.proxy}`,
    { pathname } = new URL(facts.scene.base_url);
  const read = await attack(page, base, [
    ["/"],
    [`${pathname.replace(/\/$/, "")}/v1/messages`, JSON_TYPES],
    [`${pathname.replace(/\/$/, "")}/v1/models`],
  ]);
  assert.deepEqual(
    read.filter(([, text]) => text !== "" && text !== "0"),
    [],
  );
  assert.equal(await everything(), was);
  await c.close();
});

test("7 from within, only what the page needs can be changed, and only as the page asks for it", async () => {
  await visit("#/", { allow: [/status of 4\d\d/] }, async (page) => {
    const post = (path, headers, body = "{}") =>
      page.evaluate(
        async ([p, h, b]) => (await fetch(p, { method: "POST", headers: h, body: b })).status,
        [path, headers, body],
      );
    const json = { "content-type": "application/json" };
    for (const path of [
      "/v0/stop",
      "/v0/web/login",
      "/v0/import",
      "/v0/store/prune",
      "/v0/log-level",
      "/v0/statusline",
      "/v0/retire",
    ])
      assert.ok([403, 404, 405].includes(await post(path, json)), path);
    assert.equal(await post("/v0/heal/pause", { "content-type": "text/plain" }), 415);
    for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS"])
      assert.ok(
        [403, 404, 405].includes(
          await page.evaluate(async (m) => (await fetch("/v0/status", { method: m })).status, method),
        ),
        method,
      );
    assert.equal((await ask("/v0/status")).status, 200, "the daemon still runs");
    await eventually("and says so", async () => (await ccctl("status")).daemon.running);
  });
});
