// Everything in light, dark and narrow: axe finds nothing serious anywhere.

import test from "node:test";
import { api, axe, facts, visit } from "./kit.mjs";
import { ROW, loaded, press } from "./page.mjs";

const { everything, looping, pictures } = facts.scene;
const TABS = ["summary", "request", "response", "timing", "headers", "raw", "related"];

/** What is in the panel once it is drawn. */
const drawn = (page) => page.waitForSelector("#tabpanel :is(.block, .facts, .msg, table, pre)");

for (const [name, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["narrow", { colorScheme: "light", viewport: { width: 640, height: 900 } }],
]) {
  test(`nothing serious by axe: ${name}`, async () => {
    const { spans } = await api(`spans?session=${everything}&limit=0`);
    const llm = spans.filter((s) => s.kind === "llm" && s.exchange_id && s.purpose === "main")[1];
    const edit = (await api(`spans?session=${pictures}&limit=0&tool=Edit`)).spans[0];
    await visit(`#/s/${everything}/s:${llm.span_id}`, options, async (page) => {
      await loaded(page, 3);
      for (const t of TABS) {
        await page.evaluate((h) => {
          location.hash = h;
        }, `#/s/${everything}/s:${llm.span_id}?tab=${t}`);
        await page.waitForSelector(`#tab-${t}[aria-selected="true"]`);
        await drawn(page);
        await axe(page);
      }
      await press(page, "Escape");
      await press(page, "?");
      await page.getByRole("dialog").waitFor();
      await axe(page);
      await press(page, "Escape");
      await press(page, "Ctrl-k");
      await page.getByRole("dialog").waitFor();
      await axe(page);
    });
    await visit(`#/s/${pictures}/s:${edit.span_id}?tab=tool`, options, async (page) => {
      await loaded(page, 3);
      await drawn(page);
      await axe(page);
    });
    await visit(`#/s/${looping}`, options, async (page) => {
      await loaded(page, 3);
      await page.waitForSelector(ROW);
      await axe(page);
    });
    for (const hash of [`#/o/${looping}`, "#/all"]) {
      await visit(hash, options, async (page) => {
        await page.waitForSelector(".sheet:not([hidden]) .card");
        await axe(page);
      });
    }
  });
}
