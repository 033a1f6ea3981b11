// Tab "Timing": the steps of an exchange, and its stream event by event with the silences in it.

import { streamShape } from "../conversation.js";
import { h, s } from "../dom.js";
import { bytes, clockMs, duration, plural } from "../format.js";
import { block, facts } from "./parts.js";

/** The steps: [name, from, to, colour], in ms since the request. */
export function steps(t) {
  const out = [];
  let at = 0;
  for (const [name, ms] of [
    ["Name lookup", t.resolve_ms],
    ["Connecting", t.connect_ms],
    ["TLS", t.tls_ms],
  ]) {
    if (ms !== null && ms !== undefined) {
      out.push([name, at, at + ms, "--k-compaction"]);
      at += ms;
    }
  }
  if (t.sent_ms !== null) out.push(["Request sent", 0, t.sent_ms, "--t-in"]);
  const sent = Math.max(t.sent_ms ?? 0, at);
  if (t.head_ms !== null) out.push(["Waiting for the answer", sent, t.head_ms, "--k-llm-soft"]);
  if (t.first_byte_ms !== null) out.push(["Head to first byte", t.head_ms ?? sent, t.first_byte_ms, "--k-llm-soft"]);
  if (t.first_byte_ms !== null) out.push(["Stream", t.first_byte_ms, t.total_ms, "--k-llm"]);
  return out;
}

function phases(t) {
  const total = Math.max(t.total_ms, 0.001);
  return h(
    "div",
    { class: "hbars" },
    steps(t).flatMap(([name, from, to, c]) => {
      const bar = h("span", {
        class: "t",
        vars: { "--c": `var(${c})`, "--p": String(Math.max(0, ((to - from) / total) * 100)) },
      });
      bar.style.marginLeft = `${Math.min(99, (from / total) * 100)}%`;
      return [
        h("span", { class: "name", text: name }),
        h("span", {}, bar),
        h("span", { class: "num", text: duration(Math.max(0, to - from)) }),
        h("span", { class: "num muted", text: `at ${duration(to)}` }),
      ];
    }),
  );
}

const W = 420,
  H = 130,
  LEFT = 44,
  BOTTOM = 18;

function chart(shape, total) {
  const x = (ms) => LEFT + (ms / total) * (W - LEFT - 6),
    y = (n) => H - BOTTOM - (n / Math.max(1, shape.bytes)) * (H - BOTTOM - 8);
  const step = Math.max(1, Math.floor(shape.points.length / 900)),
    points = shape.points.filter((_, i) => i % step === 0 || i === shape.points.length - 1);
  const line = points.map(([t, n], i) => `${i === 0 ? "M" : "L"}${x(t).toFixed(1)} ${y(n).toFixed(1)}`).join("");
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((f) => f * total);
  return h(
    "div",
    { class: "plot chart", vars: { "--c": "var(--k-llm)" } },
    s(
      "svg",
      {
        viewBox: `0 0 ${W} ${H + 10}`,
        role: "img",
        "aria-label": `Stream of ${plural(shape.points.length, "event")}, ${bytes(shape.bytes)} in ${duration(total)}`,
      },
      shape.gaps.map(([a, b]) =>
        s(
          "rect",
          { x: x(a), y: 4, width: Math.max(1, x(b) - x(a)), height: H - BOTTOM - 4, fill: "var(--denied-ground)" },
          s("title", { text: `Silence of ${duration(b - a)}` }),
        ),
      ),
      ticks.map((t) => [
        s("line", { class: "grid-line", x1: x(t), x2: x(t), y1: 4, y2: H - BOTTOM }),
        s("text", {
          x: x(t),
          y: H - 4,
          "text-anchor": t === 0 ? "start" : t === total ? "end" : "middle",
          text: duration(t),
        }),
      ]),
      s("line", { class: "axis", x1: LEFT, x2: W - 6, y1: H - BOTTOM, y2: H - BOTTOM }),
      s("text", { x: LEFT - 6, y: 12, "text-anchor": "end", text: bytes(shape.bytes) }),
      s("path", { class: "line", d: line }),
      points.map(([t, , what]) =>
        s(
          "line",
          {
            x1: x(t),
            x2: x(t),
            y1: H + 2,
            y2: H + 9,
            stroke:
              what === "ping"
                ? "var(--gap)"
                : what?.startsWith("content_block_delta")
                  ? "var(--k-llm)"
                  : "var(--accent)",
            "stroke-width": 1,
          },
          s("title", { text: `${what} at ${duration(t)}` }),
        ),
      ),
    ),
  );
}

export const timing = {
  id: "timing",
  label: "Timing",
  applies: ({ exchange }) => exchange !== null,
  async render({ detail, span }) {
    const d = await detail(),
      t = d.exchange.timing,
      shape = streamShape(d.events ?? []),
      kinds = new Map();
    for (const e of d.events ?? []) kinds.set(e.event, (kinds.get(e.event) ?? 0) + 1);
    const out = d.exchange.tokens?.output ?? 0,
      streaming = t.first_byte_ms === null ? 0 : t.total_ms - t.first_byte_ms;
    return [
      block("Steps", null, phases(t)),
      shape.points.length > 1
        ? block(
            "Stream",
            null,
            chart(shape, Math.max(t.total_ms, shape.points[shape.points.length - 1][0], 0.001)),
            h(
              "div",
              { class: "legend" },
              [...kinds].map(([k, n]) => h("span", { text: `${k} ${n}` })),
            ),
          )
        : null,
      t.stalls?.length
        ? block(
            "Stalls",
            null,
            h(
              "table",
              {},
              t.stalls.map((x) =>
                h(
                  "tr",
                  {},
                  h("td", { text: `at ${duration(x.at_ms)}` }),
                  h("td", { class: "num", text: duration(x.ms) }),
                ),
              ),
            ),
          )
        : null,
      facts([
        ["Began", clockMs(span.t0)],
        ["Connection", t.reused ? "used again" : "new"],
        ["Through a proxy", t.tunnelled ? "yes" : null],
        ["To", t.peer],
        ["Longest silence", t.longest_gap_ms === null ? null : duration(t.longest_gap_ms)],
        ["Output rate", streaming > 50 && out > 0 ? `${Math.round((out / streaming) * 1000)} tokens/s` : null],
        ["HTTP", d.http?.join(" ⇄ ")],
        ["Asked to wait", d.retry_after_s ? `${d.retry_after_s} s` : null],
      ]),
    ];
  },
};
