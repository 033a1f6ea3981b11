// 7: who gets in, and how.

import assert from "node:assert/strict";
import test from "node:test";
import { chromium, link } from "./kit.mjs";
import { until } from "./page.mjs";
import { SECRET, SESSION, evil, ours, port, state } from "./sites.mjs";

test("7 login: a link lets one browser in, once, and its cookie stays out of reach", async () => {
  const browser = await chromium(),
    url = await link();
  assert.equal(new URL(url).hostname, "127.0.0.1");
  assert.match(new URL(url).hash, /code=/, "the code stands where it is never sent");
  const c = await browser.newContext(),
    page = await c.newPage(),
    asked = [];
  page.on("request", (r) => asked.push(r.url()));
  await page.goto(url);
  await page.waitForSelector("#app #sessions");
  const code = new URLSearchParams(new URL(url).hash.slice(1)).get("code");
  assert.ok(
    asked.every((u) => !new URL(u).search.includes(code) && !new URL(u).pathname.includes(code)),
    "it is in no address",
  );
  assert.ok(!page.url().includes(code), "nor left in this one");
  const cookies = await c.cookies();
  assert.equal(cookies.length, 1);
  assert.deepEqual([cookies[0].httpOnly, cookies[0].sameSite, cookies[0].path], [true, "Strict", "/"]);
  assert.ok(cookies[0].name.endsWith(`-${port}`) && cookies[0].value.length >= 32);
  assert.equal(await page.evaluate(() => document.cookie), "", "no script reads it");
  // Once more, by somebody else.
  const thief = await browser.newContext(),
    second = await thief.newPage();
  await second.goto(url);
  await second.getByText("ccctl open").first().waitFor();
  assert.equal((await thief.cookies()).length, 0);
  assert.equal(await second.evaluate(async () => (await fetch("/v0/sessions")).status), 401);
  await Promise.all([c.close(), thief.close()]);
});

test("7 login: without it there is a page that says what to do, and no answer", async () => {
  const c = await (await chromium()).newContext();
  const page = await c.newPage();
  const answer = await page.goto(`${ours}/`);
  assert.equal(answer.status(), 401);
  await page.getByText("ccctl open").first().waitFor();
  for (const path of [
    "status",
    "sessions",
    "spans?session=x",
    "usage",
    "follow",
    "search?q=x",
    `export/session/${SESSION}.html`,
  ]) {
    const got = await page.evaluate(async (p) => {
      const r = await fetch(`/v0/${p}`);
      return [r.status, await r.text()];
    }, path);
    assert.equal(got[0], 401, path);
    assert.ok(!got[1].includes(SECRET) && got[1].includes("ccctl open"), got[1]);
  }
  await c.close();
});

test("7 login: a link to a session leads there, and one from elsewhere finds who is in already", async () => {
  const c = await (await chromium()).newContext({ storageState: state });
  const page = await c.newPage();
  await page.goto(await link(SESSION.slice(0, 8)));
  await until(page, (id) => location.hash.includes(id), SESSION);
  // A link of another site's comes without the cookie, which is for this site alone.
  await page.goto(evil);
  await page.evaluate((u) => {
    const a = document.body.appendChild(document.createElement("a"));
    a.href = u;
    a.click();
  }, `${ours}/#/all`);
  await page.waitForSelector(".sheet:not([hidden])");
  await c.close();
});
