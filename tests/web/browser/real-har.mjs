// The HTTP Archive in the tool that people open one with: Chromium's own DevTools, which come with it.
//
// What the Network panel lists is compared with the exchanges on record. Leans on DevTools' modules by their names, which
// nobody promises: where they are called otherwise one day, this says so and has to be looked at.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { api, ask, chromium, eventually, facts, run } from "./kit.mjs";

const { everything } = facts.scene;

test("3 HAR: DevTools' Network panel opens it and lists every exchange", async () => {
  const file = join(facts.work, "everything.har");
  await run(facts.ccctl, ["export", "--session", everything, "-o", file]);
  const { exchanges } = await api(`exchanges?session=${everything}&limit=1000`);
  assert.ok(exchanges.length > 3);
  const context = await (await chromium()).newContext({ viewport: { width: 1400, height: 900 } });
  const page = await context.newPage();
  await page.goto("devtools://devtools/bundled/devtools_app.html?panel=network");
  // What it makes of the entries, and what its panel shows of them.
  const made = await page.evaluate(async (text) => {
    const { HARFormat, Importer } = await import(new URL("./models/har/har.js", location.href).href);
    const requests = Importer.Importer.requestsFromHARLog(new HARFormat.HARRoot(JSON.parse(text)).log);
    return Promise.all(
      requests.map(async (r) => [
        r.requestMethod,
        new URL(r.url()).pathname,
        r.statusCode,
        (await r.requestContentData()).text,
        await r.requestFormData(),
      ]),
    );
  }, readFileSync(file, "utf8"));
  const body = async (id, side) => (await ask(`/v0/exchanges/${id}/${side}`)).body.toString();
  const wanted = await Promise.all(
    exchanges.map(async (e) => [
      e.method,
      new URL(e.path, "http://api").pathname,
      e.status ?? 0,
      await body(e.exchange_id, "response"),
      await body(e.exchange_id, "request"),
    ]),
  );
  const sorted = (rows) => rows.map((row) => JSON.stringify(row)).sort();
  assert.deepEqual(sorted(made), sorted(wanted));

  const load = async (text) => {
    const at = (path) => import(new URL(path, location.href).href);
    const [ui, network] = await Promise.all([at("./ui/legacy/legacy.js"), at("./panels/network/network.js")]);
    await ui.ViewManager.ViewManager.instance().showView("network");
    await network.NetworkPanel.NetworkPanel.instance().networkLogView.onLoadFromFile(new File([text], "all.har"));
  };
  await eventually("DevTools are up and take the file", async () => {
    await page.evaluate(load, readFileSync(file, "utf8"));
    return true;
  });
  // Its table is virtual: as many rows as there is room for.
  const rows = page.locator("tr.network-node, tr.data-grid-data-grid-node").filter({ hasText: "messages" });
  await eventually("the panel lists them", async () => (await rows.count()) >= Math.min(exchanges.length, 8));
  const listed = await rows.allInnerTexts();
  const codes = new Set(exchanges.map((e) => String(e.status)));
  for (const text of listed) assert.ok(codes.has(text.split("\t")[1]), text);
  await context.close();
});
