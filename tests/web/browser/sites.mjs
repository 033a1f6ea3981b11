// Another site, in the same browser as the pages; and somebody who is let in.
//
// The other site is a server of this script's own. It is reached by its address, by another port of the host that the pages
// have, and by a name that resolves to this machine, as a name does whose owner changed what it points to after its page was
// loaded.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before } from "node:test";
import { api, chromium, hook, link, origin } from "./kit.mjs";

export const SECRET = "what-only-its-owner-may-read";
export const SESSION = "40000000-0000-4000-8000-000000000001";
let other;
export let evil, neighbour, rebound, ours, port, state;

const event = (name, more) => ({
  session_id: SESSION,
  transcript_path: "/nowhere/x.jsonl",
  cwd: `/nowhere/${SECRET}`,
  hook_event_name: name,
  ...more,
});

before(async () => {
  await hook(event("UserPromptSubmit", { prompt: SECRET, prompt_id: "40000000-0000-4000-8000-000000000002" }));
  other = createServer((req, res) => {
    res.setHeader("content-type", "text/html");
    res.end("<!doctype html><title>another site</title><body>another site");
  });
  const listening = await new Promise((done) => other.listen(0, "127.0.0.1", () => done(other.address().port)));
  evil = `http://evil.test:${listening}`;
  neighbour = `http://127.0.0.1:${listening}`;
  const browser = await chromium({
    args: ["--host-resolver-rules=MAP evil.test 127.0.0.1,MAP rebind.evil.test 127.0.0.1"],
  });
  ours = await origin();
  port = new URL(ours).port;
  rebound = `http://rebind.evil.test:${port}`;
  const c = await browser.newContext();
  const page = await c.newPage();
  await page.goto(await link());
  await page.waitForSelector("#app #sessions");
  state = await c.storageState();
  await c.close();
});
after(() => other.close());

/** All that must not change. */
export const everything = async () => {
  const { store, proxy, hooks } = await api("status");
  const heal = await api("heal?limit=0");
  const counts = [store.records, proxy.exchanges, hooks.events];
  assert.ok(counts.every(Number.isInteger) && store.records > 0, "there is something to count");
  return JSON.stringify([counts, heal.mode, heal.exceptions]);
};
