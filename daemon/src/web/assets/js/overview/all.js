// The overview of everything: cost by day, model and project; limits and budgets; what detectors found; what tools cost.
//
// Asks the daemon for sums: nothing is added up here that the command line adds up otherwise.

import { button, fill, h } from "../dom.js";
import { count, date, model, money, moneyTick, oneLine, plural, promptTokens, whole } from "../format.js";
import { icon } from "../icons.js";
import { toolName } from "../row.js";
import { budgets, limits } from "./caps.js";
import { card, hbars, plot, table, tiles } from "./plot.js";
import { slowestTools, topLoops } from "./rankings.js";

const COLOURS = ["--k-llm", "--t-in", "--k-tool", "--t-w5", "--k-agent", "--detect", "--t-read", "--ok"];
const DAY_MS = 86_400_000;
/** The local midnight so many days before the day of `now`: days of 23 and 25 hours count as one. */
function midnight(now, days) {
  const d = new Date(now);
  return new Date(d.getFullYear(), d.getMonth(), d.getDate() - days).getTime();
}

const RANGES = [
  [7, "7 days"],
  [30, "30 days"],
  [90, "90 days"],
  [0, "all"],
];

export class AllOverview {
  /** `goToSpan(id)`: shows a row, whatever its session. */
  constructor(root, { api, goToSpan, now }) {
    Object.assign(this, { root, api, go: goToSpan, now });
    this.days = 30;
    this.asked = 0;
  }

  async show() {
    if (this.at && this.now() - this.at < 30_000 && this.shown === this.days) return;
    this.at = this.now();
    this.shown = this.days;
    this.asked += 1;
    const mine = this.asked;
    // The first bar is a whole day, too.
    this.from = this.days === 0 ? null : midnight(this.now(), this.days - 1);
    const since = this.from === null ? null : new Date(this.from).toISOString();
    const ask = (query) =>
      this.api.json("usage", { since, tz: Intl.DateTimeFormat().resolvedOptions().timeZone, ...query });
    try {
      const [models, projects, tools, agents, status, budget, trend, times, loops] = await Promise.all([
        ask({ period: "daily", by: "model" }),
        ask({ period: "total", by: "project" }),
        ask({ period: "total", by: "tool" }),
        ask({ period: "total", by: "agent" }),
        this.api.json("status"),
        this.api.optional("budget", {}, { scopes: [] }),
        this.api.optional("detections/trend", { by: "kind,project", since }, null),
        this.api.optional("tools", { since }, { tools: [] }),
        this.api.optional("detections", { kind: "loop", since, limit: 200 }, { detections: [] }),
      ]);
      // Another range was asked for since: a slow answer must not take the place of a newer one.
      if (mine !== this.asked) return;
      this.draw({ models, projects, tools, agents, status, budget, trend, times, loops });
    } catch (e) {
      if (mine !== this.asked) return;
      this.at = 0;
      this.put(
        this.ranges(),
        h("div", { class: "empty" }, h("b", { text: "The daemon does not answer" }), oneLine(e.message, 300)),
      );
    }
  }

  /** Draws all of it again; a range button that was pressed keeps the focus. */
  put(...parts) {
    const { activeElement: at } = document,
      back = this.root.contains(at) && at.hasAttribute("data-range");
    fill(this.root, ...parts);
    if (back) this.root.querySelector('[data-range][aria-pressed="true"]')?.focus({ preventScroll: true });
  }

  ranges() {
    const pick = (d) => () => {
      this.days = d;
      this.show();
    };
    return h(
      "div",
      { class: "legend" },
      RANGES.map(([d, label]) => button(label, pick(d), { "aria-pressed": String(d === this.days), "data-range": d })),
    );
  }

  draw({ models, projects, tools, agents, status, budget, trend, times, loops }) {
    const t = models.totals,
      read = promptTokens(t.tokens),
      c = models.cache;
    this.put(
      this.ranges(),
      tiles([
        [money(t.cost_usd_micros), "cost"],
        [whole(t.exchanges), "billed messages"],
        [count(read), "tokens read"],
        [count(t.tokens.output), "tokens written"],
        c ? [`${c.hit_percent} %`, "of it from the cache"] : null,
        c ? [money(c.saved_usd_micros), "saved by caching"] : null,
        c?.wasted_usd_micros ? [money(c.wasted_usd_micros), "wasted on writing it again"] : null,
        models.retries?.exchanges
          ? [money(models.retries.cost_usd_micros), `in ${plural(models.retries.exchanges, "failed attempt")}`]
          : null,
      ]),
      h(
        "div",
        { class: "cols" },
        this.daily(models),
        limits(status.rate_limits, this.now()),
        budgets(budget),
        this.by("Projects", projects, "project", "--t-in"),
        this.by("Models", models, "model", "--k-llm", model),
        this.by(
          "Tools",
          tools,
          "tool",
          "--k-tool",
          (t) => (t === "(none)" ? "no tool" : toolName(t)),
          "shared out by a rule, part of the models' cost",
        ),
        this.by("Agents", agents, "agent", "--k-agent"),
        this.trend(trend),
        this.loops(loops),
        slowestTools(times, this.go),
        models.unpriced_models?.length
          ? h(
              "p",
              { class: "muted" },
              icon("detection"),
              ` Without a price, and in no cost: ${models.unpriced_models.map((m) => oneLine(m, 60)).join(", ")}`,
            )
          : null,
      ),
    );
  }

  daily(usage) {
    const days = [...new Set(usage.rows.map((r) => r.key.date))].sort();
    if (days.length === 0) return h("p", { class: "muted", text: "Nothing was billed in this time." });
    const names = [...new Set(usage.rows.map((r) => r.key.model))],
      of = new Map(usage.rows.map((r) => [`${r.key.date} ${r.key.model}`, r.cost_usd_micros ?? 0]));
    // Days without anything are days, too: all of the range, or from the first one on.
    const first = this.from === null ? days[0] : date(this.from),
      last = [days[days.length - 1], date(this.now())].sort()[1],
      all = [];
    for (let d = Date.parse([first, days[0]].sort()[0]); d <= Date.parse(last) && all.length < 800; d += DAY_MS)
      all.push(new Date(d).toISOString().slice(0, 10));
    const value = (d, m) => of.get(`${d} ${m}`) ?? 0;
    return card(
      "Cost per day",
      usage.timezone,
      () =>
        plot({
          kind: "stack",
          height: 220,
          about: "Cost of each day, by model",
          labels: all.map((d) => d.slice(5)),
          title: (i) => all[i],
          series: names.map((m, k) => ({
            name: model(m),
            colour: COLOURS[k % COLOURS.length],
            values: all.map((d) => value(d, m)),
          })),
          format: money,
          tick: moneyTick,
        }),
      () =>
        table(
          ["Day", ...names.map(model), "All"],
          all
            .map((d) => [d, ...names.map((m) => money(value(d, m))), money(names.reduce((n, m) => n + value(d, m), 0))])
            .reverse(),
        ),
      true,
    );
  }

  by(title, usage, key, colour, name = (x) => oneLine(x, 60), note = null) {
    const sums = new Map();
    for (const r of usage.rows) {
      const k = r.key[key] ?? "(none)",
        s = sums.get(k) ?? { cost: 0, n: 0, out: 0, read: 0 };
      s.cost += r.cost_usd_micros ?? 0;
      s.n += r.exchanges;
      s.out += r.tokens.output;
      s.read += promptTokens(r.tokens);
      sums.set(k, s);
    }
    const list = [...sums].sort((a, b) => b[1].cost - a[1].cost);
    if (list.length === 0) return null;
    return card(
      title,
      note,
      () =>
        hbars(
          list.slice(0, 12).map(([k, s]) => [name(k), s.cost, money(s.cost), whole(s.n)]),
          colour,
        ),
      () =>
        table(
          [title.replace(/s$/, ""), "Number", "Tokens read", "Written", "Cost"],
          list.map(([k, s]) => [name(k), whole(s.n), whole(s.read), whole(s.out), money(s.cost)]),
        ),
    );
  }

  /** The loops; their number has those that were too many to be told, too. */
  loops({ detections, more = 0 }) {
    const el = topLoops(detections, this.go),
      known = detections.filter((d) => d.state !== "dismissed").length;
    const note = more > 0 && el?.querySelector("header .muted");
    if (note) note.textContent = `${plural(known + more, "loop")}, of which ${whole(known)} were looked at`;
    return el;
  }

  trend(t) {
    if (!t || !t.rows?.length) return null;
    return card(
      "What detectors found",
      `in ${plural(t.sessions, "session")}`,
      () =>
        hbars(
          t.rows.slice(0, 12).map((r) => [
            Object.values(r.key)
              .map((v) => oneLine(v, 40))
              .join(" · "),
            r.detections,
            whole(r.detections),
            r.dismissed ? `${r.dismissed} dismissed` : "",
          ]),
          "--detect",
        ),
      () =>
        table(
          ["Kind", "Project", "Detections", "Sessions", "Dismissed", "Intervened"],
          t.rows.map((r) => [
            oneLine(r.key.kind ?? "", 40),
            oneLine(r.key.project ?? "", 40),
            whole(r.detections),
            whole(r.sessions),
            whole(r.dismissed),
            whole(r.intervened),
          ]),
        ),
    );
  }
}
