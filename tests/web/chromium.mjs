// Debian's Chromium by playwright-core, which lies where npm put it: `TOOLS` (default: target/web-tools).

import { createRequire } from "node:module";
import { resolve } from "node:path";

export const TOOLS = resolve(process.env.WEB_TOOLS ?? "target/web-tools");
export const require = createRequire(`${TOOLS}/`);

export function launch({ args = [] } = {}) {
  const { chromium } = require("playwright-core");
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", ...args],
  });
}

/** What is wrong with a page while it is looked at: errors, requests elsewhere, dialogs, breaches of the policy. */
export function watch(page, origin) {
  const wrong = [];
  page.on("pageerror", (e) => wrong.push(`error: ${e.message} ${e.stack?.split("\n")[1] ?? ""}`));
  page.on("console", (m) => {
    if (["error", "warning"].includes(m.type())) wrong.push(`console: ${m.text()}`);
  });
  page.on("dialog", (d) => {
    wrong.push(`dialog: ${d.message()}`);
    d.dismiss();
  });
  page.on("request", (r) => {
    if (!r.url().startsWith(origin) && !r.url().startsWith("data:")) wrong.push(`request: ${r.url()}`);
  });
  return wrong;
}
