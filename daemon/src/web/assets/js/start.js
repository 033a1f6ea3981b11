// What is shown while no session was recorded yet: what to do, and what to look at if that does not help.

import { fill, h } from "./dom.js";

const command = (text) => h("code", { text });

/** Draws it, once. */
export function drawStart(root) {
  if (root.childElementCount > 0) return;
  fill(
    root,
    h("h2", { text: "No session yet" }),
    h("p", {}, "Run ", command("claude"), " in any directory. It is here as soon as it begins."),
    h(
      "dl",
      {},
      h("dt", {}, command("ccctl run -- …")),
      h("dd", { text: "one session, captured without anything installed" }),
      h("dt", {}, command("ccctl install")),
      h("dd", { text: "every session from now on" }),
      h("dt", {}, command("ccctl import")),
      h("dd", { text: "the sessions there were before, from their transcripts" }),
      h("dt", {}, command("ccctl doctor")),
      h("dd", { text: "where nothing comes: what is in the way" }),
    ),
  );
}
