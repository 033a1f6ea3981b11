// The overview of a session: context, tokens, cost, tools, subagents, files, detections.
//
// Drawn from what the timeline has. While it is used (a selection, a field that has the focus) it is not drawn again.

import { fill, h } from "../dom.js";
import { clock, count, date, duration, money, moneyTick, oneLine, parseTime, plural, promptTokens, whole } from "../format.js";
import { finding } from "../inspector/findings.js";
import { inUse } from "../inspector/inspector.js";
import { facts } from "../inspector/parts.js";
import { toolName } from "../row.js";
import { byAgent, byTool, contextFill, costOverTime, tokensPerTurn } from "../series.js";
import { FilesCard } from "./files-card.js";
import { card as plain, hbars, plot, table, tiles } from "./plot.js";

export class SessionOverview {
  constructor(root, { api, go }) {
    Object.assign(this, { root, api, go });
    this.files = new FilesCard(api, go);
    this.tables = new Set(); // titles of the plots that are shown as tables
    this.toggles = new Map(); // title → its button
  }

  /** A card whose choice of plot or table outlives it. */
  card(title, note, draw, table) {
    const el = plain(title, note, draw, table),
      toggle = table ? el.querySelector("header button") : null;
    if (!toggle) return el;
    if (this.tables.has(title)) toggle.click();
    toggle.addEventListener("click", () => {
      if (!this.tables.delete(title)) this.tables.add(title);
    });
    this.toggles.set(title, toggle);
    return el;
  }

  /** Something came in: draws again, not more often than every two seconds once there is something. */
  soon(data) {
    this.next = data;
    if (this.later) return;
    const wait = this.drawn === data.id ? 2000 : 250;
    this.later = setTimeout(() => {
      this.later = null;
      if (!this.root.hidden) this.show(this.next);
    }, wait);
  }

  show(data) {
    // What is put off must not bring another session back.
    this.next = data;
    const sign = `${data.id} ${data.model.version} ${data.session?.last_at} ${data.complete}`;
    if (sign === this.sign) return;
    if (this.shown === data.id && inUse(this.root, [...this.toggles.values()])) {
      this.soon(data);
      return;
    }
    this.sign = sign;
    this.shown = data.id;
    const held = [...this.toggles].find(([, el]) => el === document.activeElement)?.[0];
    this.toggles.clear();
    if (data.complete) this.drawn = data.id;
    const m = data.model,
      blocks = m.blocks(),
      s = data.session,
      y = this.root.scrollTop;
    const grid = h(
      "div",
      { class: "cols" },
      this.context(m, s),
      this.tokens(blocks),
      this.cost(m, data.complete ? s : null),
      this.tools(m),
      this.agents(m),
      this.about(s),
      this.found(data),
      this.files.draw(data, s),
    );
    fill(this.root, s ? this.numbers(s, blocks) : null, grid);
    this.root.scrollTop = y;
    if (held !== undefined) this.toggles.get(held)?.focus({ preventScroll: true });
  }

  numbers(s, blocks) {
    const read = promptTokens(s.tokens),
      work = blocks.reduce((n, b) => n + (b.t1 === null ? 0 : b.t1 - b.t0), 0);
    return tiles([
      [money(s.cost_usd_micros), "cost"],
      [duration(parseTime(s.last_at) - parseTime(s.started_at)), "from first to last"],
      [duration(work), "at work"],
      [whole(s.turns), "prompts"],
      [whole(s.exchanges), "model calls"],
      [whole(s.tool_calls), `tool calls, ${whole(s.tool_errors)} failed`],
      [count(read), `tokens read, ${read ? Math.floor((s.tokens.cache_read / read) * 100) : 0} % cached`],
      [count(s.tokens.output), "tokens written"],
      s.context?.window ? [`${s.context.percent} %`, `of ${count(s.context.window)} context`] : null,
      [whole(s.detections), "detections"],
    ]);
  }

  /** What it is, in facts. */
  about(s) {
    if (!s) return null;
    const when = (t) => `${date(parseTime(t))} ${clock(parseTime(t))}`,
      others = (s.models ?? []).filter((name) => name !== s.model);
    return this.card("About", null, () =>
      facts([
        ["Directory", s.cwd],
        ["Client", s.client],
        ["Model", s.model],
        ["Also called", others.join(", ")],
        ["Without a price", s.unpriced_models?.join(", ")],
        ["Began", when(s.started_at)],
        [s.ended ? "Ended" : "Last seen", when(s.last_at)],
        ["Subagents", s.agents ? whole(s.agents) : null],
        ["Session", s.session_id],
      ]),
    );
  }

  context(m, s) {
    const { points, drops } = contextFill(m);
    if (points.length === 0) return null;
    const pick = (i) => this.go(points[i].span.id);
    return this.card(
      "Context",
      `${plural(points.length, "call")} of the main thread${drops.length ? `, ${plural(drops.length, "compaction")}` : ""}`,
      () =>
        plot({
          kind: "line",
          about: "How full the context was at each model call",
          labels: points.map((p, i) => (i === 0 ? "1" : String(i + 1))),
          series: [{ name: "in context", colour: "--k-llm", values: points.map((p) => p.used) }],
          format: count,
          limit: s?.context?.window ? [s.context.window, "window"] : null,
          events: drops.filter((i) => i < points.length).map((at) => ({ at, label: "compaction" })),
          title: (i) =>
            `call ${i + 1}, ${clock(points[i].span.t0)}${s?.context?.window ? ` · ${Math.floor((points[i].used / s.context.window) * 100)} %` : ""}`,
          onpick: pick,
        }),
      () =>
        table(
          ["Call", "At", "Tokens in context"],
          points.map((p, i) => [String(i + 1), clock(p.span.t0), whole(p.used)]),
          [false, false, true],
        ),
    );
  }

  tokens(blocks) {
    const list = tokensPerTurn(blocks);
    if (list.length === 0) return null;
    const kinds = [
      ["cache_read", "cache read", "--t-read"],
      ["cache_write_5m", "cache write 5 m", "--t-w5"],
      ["cache_write_1h", "cache write 1 h", "--t-w1"],
      ["input", "input", "--t-in"],
      ["output", "output", "--t-out"],
    ].filter(([k]) => list.some((t) => t[k] > 0));
    const number = (t, i) => `#${t.block.info?.number ?? i + 1}`;
    return this.card(
      "Tokens per prompt",
      null,
      () =>
        plot({
          kind: "stack",
          about: "Tokens of each prompt, by kind",
          labels: list.map(number),
          series: kinds.map(([k, name, colour]) => ({ name, colour, values: list.map((t) => t[k]) })),
          format: count,
          title: (i) => `${number(list[i], i)} ${oneLine(list[i].block.info?.prompt ?? "", 50)}`,
          onpick: (i) => {
            const r = list[i].block.root;
            if (r) this.go(r.id);
          },
        }),
      () =>
        table(
          ["Prompt", ...kinds.map(([, name]) => name)],
          list.map((t, i) => [number(t, i), ...kinds.map(([k]) => whole(t[k]))]),
        ),
    );
  }

  /** `s`: the session, once all of its calls are there to compare with. */
  cost(m, s) {
    const points = costOverTime(m);
    if (points.length === 0) return null;
    const sum = points[points.length - 1].sum,
      rest = (s?.cost_usd_micros ?? 0) - sum;
    // Minutes tell nothing apart where there are few.
    const brief = points[points.length - 1].span.t0 - points[0].span.t0 < 15 * 60_000;
    return this.card(
      "Cost over time",
      `${money(sum)}${rest > 0 ? `, and ${money(rest)} that only the client's closing totals tell of` : ""}`,
      () =>
        plot({
          kind: "line",
          about: "Cost of all model calls, added up",
          labels: points.map((p) => clock(p.span.t0).slice(0, brief ? 8 : 5)),
          series: [{ name: "so far", colour: "--t-in", values: points.map((p) => p.sum) }],
          format: money,
          tick: moneyTick,
          title: (i) => `${clock(points[i].span.t0)} · this call ${money(points[i].span.cost)}`,
          onpick: (i) => this.go(points[i].span.id),
        }),
      () =>
        table(
          ["At", "Call", "So far"],
          points.map((p) => [clock(p.span.t0), money(p.span.cost), money(p.sum)]),
        ),
    );
  }

  tools(m) {
    const list = byTool(m);
    if (list.length === 0) return null;
    return this.card(
      "Tools",
      "share of the cost: of the output that asked, and of the prompt that the result was added to",
      () =>
        hbars(
          list
            .slice(0, 14)
            .map((t) => [
              toolName(t.tool),
              t.share,
              money(t.share),
              `${whole(t.calls)}×  ${duration(t.ms)}`,
              t.slowest ? () => this.go(t.slowest.id) : null,
            ]),
          "--k-tool",
        ),
      () =>
        table(
          ["Tool", "Calls", "Failed", "Time", "Slowest", "Share of cost"],
          list.map((t) => [
            toolName(t.tool),
            whole(t.calls),
            t.failed + t.denied > 0 ? `${whole(t.failed)}${t.denied > 0 ? ` + ${whole(t.denied)} denied` : ""}` : "",
            duration(t.ms),
            duration(t.slowest?.ms),
            money(t.share),
          ]),
        ),
    );
  }

  agents(m) {
    const list = byAgent(m);
    if (list.length < 2) return null;
    return this.card(
      "Main thread and subagents",
      plural(list.length - 1, "subagent"),
      () =>
        hbars(
          list
            .slice(0, 14)
            .map((a) => [
              oneLine(a.type, 40),
              a.cost,
              money(a.cost),
              plural(a.calls, "call"),
              () => this.go(a.first.id),
            ]),
          "--k-agent",
        ),
      () =>
        table(
          ["Agent", "Id", "Calls", "Output", "Cost"],
          list.map((a) => [oneLine(a.type, 40), oneLine(a.key, 20), whole(a.calls), whole(a.output), money(a.cost)]),
          [false, false, true, true, true],
        ),
    );
  }

  found(data) {
    const list = data.detections;
    if (list.length === 0) return null;
    const el = this.card("Detections", plural(list.length, "detection"), () =>
      h(
        "div",
        { class: "findings" },
        list.slice(0, 12).map((d) => finding(d, { go: (id) => this.go(id), done: data.model.doneAbout(d), api: this.api })),
        list.length > 12
          ? h("p", {
              class: "muted",
              text: `and ${list.length - 12} more: the timeline shows them all (kind:detection)`,
            })
          : null,
      ),
    );
    el.classList.add("full");
    return el;
  }
}
