// The overview of a session: context, tokens, cost, tools, subagents, files, detections.
//
// Drawn from what the timeline has.

import { fill, h } from "../dom.js";
import { clock, count, duration, money, oneLine, parseTime, plural, promptTokens, whole } from "../format.js";
import { finding } from "../inspector/summary.js";
import { toolName } from "../row.js";
import { byAgent, byTool, contextFill, costOverTime, tokensPerTurn } from "../series.js";
import { FilesCard } from "./files-card.js";
import { card, hbars, plot, table, tiles } from "./plot.js";

export class SessionOverview {
  constructor(root, { api, go }) {
    Object.assign(this, { root, api, go });
    this.files = new FilesCard(api);
  }

  /** Something came in: draws again, not more often than every two seconds once there is something. */
  soon(data) {
    if (this.later) return;
    const wait = data.loaded < data.pieces || this.drawn !== data.id ? 250 : 2000;
    this.later = setTimeout(() => {
      this.later = null;
      if (!this.root.hidden) this.show(data);
    }, wait);
  }

  show(data) {
    const sign = `${data.id} ${data.model.version} ${data.session?.last_at}`;
    if (sign === this.sign) return;
    this.sign = sign;
    if (data.loaded > 0) this.drawn = data.id;
    const m = data.model,
      blocks = m.blocks(),
      s = data.session,
      y = this.root.scrollTop;
    const grid = h(
      "div",
      { class: "cols" },
      this.context(m, s),
      this.tokens(blocks),
      this.cost(m),
      this.tools(m),
      this.agents(m),
      this.found(data),
      this.files.draw(data, s),
    );
    fill(this.root, s ? this.numbers(s, blocks) : null, grid);
    this.root.scrollTop = y;
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

  context(m, s) {
    const { points, drops } = contextFill(m);
    if (points.length === 0) return null;
    const pick = (i) => this.go(points[i].span.id);
    return card(
      "Context",
      `${plural(points.length, "call")} of the main thread${drops.length ? `, ${plural(drops.length, "compaction")}` : ""}`,
      () =>
        plot({
          kind: "line",
          about: "How full the context was at each model call",
          labels: points.map((p, i) => (i === 0 ? "1" : String(i + 1))),
          series: [{ name: "in context", colour: "--k-llm", values: points.map((p) => p.used) }],
          format: count,
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
    return card(
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

  cost(m) {
    const points = costOverTime(m);
    if (points.length === 0) return null;
    return card(
      "Cost over time",
      money(points[points.length - 1].sum),
      () =>
        plot({
          kind: "line",
          about: "Cost of all model calls, added up",
          labels: points.map((p) => clock(p.span.t0).slice(0, 5)),
          series: [{ name: "so far", colour: "--t-in", values: points.map((p) => p.sum) }],
          format: money,
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
    return card(
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
            whole(t.failed),
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
    return card(
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
    const list = data.all ?? [];
    if (list.length === 0) return null;
    return card("Detections", plural(list.length, "detection"), () =>
      h(
        "div",
        {},
        list.slice(0, 12).map((d) => finding(d, (id) => this.go(id))),
        list.length > 12
          ? h("p", {
              class: "muted",
              text: `and ${list.length - 12} more: the timeline shows them all (kind:detection)`,
            })
          : null,
      ),
    );
  }
}
