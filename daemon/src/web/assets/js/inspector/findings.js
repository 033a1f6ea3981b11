// Detections and interventions as cards: what was found, what shows it, what to do, what was done, and what the user says
// of it. The only place of the pages that changes something in the daemon.

import { button, h, notice } from "../dom.js";
import { clockMs, oneLine, parseTime, plural, visible } from "../format.js";
import { block, copyButton, facts, link, prose } from "./parts.js";

const EVIDENCE = 20;
const DEEDS = 20;

/** How bad and how sure, as a bar with words. */
const grade = (name, n) =>
  h("span", { class: "grade", title: `${name} ${n} of 100` }, name, h("i", { vars: { "--p": String(n) } }), String(n));

/** Asks the daemon to change something, and says what came of it. */
async function change(ask, done, api = null) {
  try {
    const answer = await ask();
    // What has the focus is not drawn again: the verdict has been given, and lets go of it.
    document.activeElement?.closest(".verdict")?.closest('[role="tabpanel"], [role="region"]')?.focus({ preventScroll: true });
    // Shown as it is now; the stream tells it again, and of others about the same.
    if (answer.detection) api?.onjudged?.(answer.detection);
    notice(done(answer));
  } catch (e) {
    notice(oneLine(e.hint ? `${e.message}: ${e.hint}` : e.message, 300), "error");
  }
}

const others = (n) => (n > 0 ? `, and ${plural(n, "other")} about the same` : "");

/** Dismiss, with a reason where one is given, or open again. */
function verdict(d, api) {
  if (!d.detection_id || d.state === "past") return null;
  const path = `detections/${encodeURIComponent(d.detection_id)}`;
  if (d.state === "dismissed")
    return h(
      "div",
      { class: "verdict" },
      button("Reopen", () => change(() => api.change(`${path}/reopen`), (a) => `Open again${others(a.others)}`, api), {
        class: "line",
      }),
    );
  const reason = h("input", {
    type: "text",
    placeholder: "Why it is a false alarm (may be empty)",
    "aria-label": "Why it is dismissed",
    maxlength: "300",
    hidden: true,
  });
  const dismiss = () =>
    change(
      () => api.change(`${path}/dismiss`, { reason: reason.value.trim() }),
      (a) => `Dismissed${others(a.others)}`,
      api,
    );
  reason.addEventListener("keydown", (e) => {
    if (e.key === "Enter") {
      e.preventDefault();
      dismiss();
    }
  });
  const first = button(
    "Dismiss",
    () => {
      if (!reason.hidden) {
        dismiss();
        return;
      }
      reason.hidden = false;
      reason.focus();
    },
    { class: "line" },
  );
  return h("div", { class: "verdict" }, reason, first);
}

/** What was done about it, oldest first: each leads to the call that it was done to. */
function deeds(list, go) {
  if (list.length === 0) return null;
  return h(
    "ol",
    { class: "deeds", "aria-label": "What was done about it" },
    list.slice(-DEEDS).map((x) =>
      h(
        "li",
        {},
        h("span", { class: "chip denied", text: visible(x.action) }),
        h("span", { class: "muted mono", text: clockMs(parseTime(x.at)).slice(0, 8) }),
        x.delivered ? null : h("span", { class: "muted", text: "not known to have arrived" }),
        x.span_id ? button("to the call", () => go(x.span_id), { class: "inline" }) : null,
        h("p", { text: oneLine(x.text, 600) }),
      ),
    ),
    list.length > DEEDS ? h("li", { class: "muted", text: `and ${list.length - DEEDS} before` }) : null,
  );
}

/** A detection as a card. `go(span id)`; `done`: what was done about it; `api`: then the user can judge it. */
export function finding(d, { go, done = d.intervention ? [d.intervention] : [], api = null }) {
  const evidence = (d.evidence ?? []).slice(0, EVIDENCE);
  return h(
    "article",
    { class: "finding", "data-state": d.state },
    h(
      "header",
      { class: "legend" },
      h("span", { class: "chip detect", text: visible(d.kind) }),
      h("span", { class: "muted", text: visible(d.rule ?? "") }),
      grade("severity", d.severity),
      grade("sure", d.confidence),
      d.mast ? h("span", { class: "muted", text: visible(d.mast), title: "Failure mode of MAST" }) : null,
      d.state !== "open" ? h("span", { class: "chip", text: visible(d.state) }) : null,
      d.agent_id ? h("span", { class: "muted", text: "in a subagent", title: visible(d.agent_id) }) : null,
      h("span", { class: "muted", text: clockMs(parseTime(d.at)).slice(0, 8) }),
    ),
    h("h4", { text: oneLine(d.title, 400) }),
    evidence.length > 0
      ? h(
          "ol",
          { class: "evidence" },
          evidence.map((e) =>
            h("li", {}, e.span_id ? link(oneLine(e.text, 200), "", () => go(e.span_id), "down") : oneLine(e.text, 200)),
          ),
          d.evidence.length > EVIDENCE ? h("li", { class: "muted", text: `and ${d.evidence.length - EVIDENCE} more` }) : null,
        )
      : null,
    d.advice ? h("p", { class: "advice", text: visible(d.advice) }) : null,
    deeds(done, go),
    d.reason ? h("p", { class: "muted", text: `Dismissed: ${visible(d.reason)}` }) : null,
    api ? verdict(d, api) : null,
  );
}

/** An intervention in full. */
export function intervention(x, { go, api, model }) {
  const d = model.found.get(x.detection_id);
  const allow = () =>
    change(
      () => api.change("heal/allow", { session: x.session_id, kind: x.kind }),
      () => `${x.kind} is allowed in this session`,
    );
  return [
    block("What the model was told", [copyButton(x.text)], prose(x.text)),
    facts([
      ["Done", x.action],
      ["Because of", `${x.kind} · ${x.rule}`],
      ["At", clockMs(parseTime(x.at))],
      ["In answer to", x.event],
      ["Delivered", x.delivered ? "yes" : "not known"],
      ["Subagent", x.agent_id],
      ["Tool use", x.tool_use_id],
      ["Intervention", x.intervention_id],
    ]),
    h(
      "div",
      { class: "verdict" },
      button(`Allow ${visible(x.kind)} in this session`, allow, { class: "line", title: "No more interventions of this kind in it" }),
      x.span_id ? button("To the call", () => go(x.span_id), { class: "line" }) : null,
    ),
    d ? block("The detection", null, finding(d, { go, done: model.doneAbout(d), api })) : null,
  ];
}
