// The overview of everything: cost by day, model and project; limits and budgets; what detectors found; what tools cost.
//
// Asks the daemon for sums: nothing is added up here that the command line adds up otherwise.

import { button, fill, h } from "../dom.js";
import { count, date, duration, model, money, oneLine, parseTime, plural, promptTokens, whole } from "../format.js";
import { icon } from "../icons.js";
import { toolName } from "../row.js";
import { card, hbars, plot, table, tiles } from "./plot.js";

const COLOURS = ["--k-llm", "--t-in", "--k-tool", "--t-w5", "--k-agent", "--detect", "--t-read", "--ok"];
const RANGES = [
  [7, "7 days"],
  [30, "30 days"],
  [90, "90 days"],
  [0, "all"],
];

export class AllOverview {
  constructor(root, { api, openSession, now }) {
    Object.assign(this, { root, api, openSession, now });
    this.days = 30;
  }

  async show() {
    if (this.at && this.now() - this.at < 30_000 && this.shown === this.days) return;
    this.at = this.now();
    this.shown = this.days;
    const since = this.days === 0 ? null : new Date(this.now() - this.days * 86_400_000).toISOString();
    const ask = (query) =>
      this.api.json("usage", { since, tz: Intl.DateTimeFormat().resolvedOptions().timeZone, ...query });
    try {
      const [models, projects, tools, agents, status, budget, trend] = await Promise.all([
        ask({ period: "daily", by: "model" }),
        ask({ period: "total", by: "project" }),
        ask({ period: "total", by: "tool" }),
        ask({ period: "total", by: "agent" }),
        this.api.json("status"),
        this.api.optional("budget", {}, { scopes: [] }),
        this.api.optional("detections/trend", { by: "kind,project", since }, null),
      ]);
      this.draw({ models, projects, tools, agents, status, budget, trend });
    } catch (e) {
      this.at = 0;
      fill(
        this.root,
        h("div", { class: "empty" }, h("b", { text: "The daemon does not answer" }), oneLine(e.message, 300)),
      );
    }
  }

  draw({ models, projects, tools, agents, status, budget, trend }) {
    const t = models.totals,
      read = promptTokens(t.tokens),
      c = models.cache;
    fill(
      this.root,
      h(
        "div",
        { class: "legend" },
        RANGES.map(([d, label]) =>
          button(
            label,
            () => {
              this.days = d;
              this.show();
            },
            { "aria-pressed": String(d === this.days) },
          ),
        ),
      ),
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
        this.limits(status.rate_limits),
        this.budgets(budget),
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
    // Days without anything are days, too.
    const all = [];
    for (let d = Date.parse(days[0]); d <= Date.parse(days[days.length - 1]) && all.length < 800; d += 86_400_000)
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

  limits(l) {
    if (!l || l.limits.length === 0) return null;
    const row = (x) => [
      oneLine(x.name, 40),
      x.used_percent === null ? "–" : `${Math.round(x.used_percent)} %`,
      x.limit === null ? "–" : `${whole(x.remaining)} of ${whole(x.limit)} left`,
      x.resets_at
        ? parseTime(x.resets_at) > this.now()
          ? `in ${duration(parseTime(x.resets_at) - this.now())}`
          : "reset since"
        : "–",
      oneLine(x.status ?? "", 30),
    ];
    return card(
      "Limits",
      `as the API told them ${date(parseTime(l.at))}`,
      () =>
        hbars(
          l.limits.map((x) => [
            oneLine(x.name, 40),
            x.used_percent ?? 0,
            x.used_percent === null ? "–" : `${Math.round(x.used_percent)} %`,
            row(x)[3],
          ]),
          "--t-w5",
        ),
      () => table(["Limit", "Used", "Left", "Resets", "Status"], l.limits.map(row)),
    );
  }

  budgets(b) {
    const list = (b.scopes ?? []).filter((x) => x.percent !== null);
    if (list.length === 0) return null;
    return card("Budget", b.timezone, () =>
      hbars(
        list.map((x) => [
          `${x.scope} ${oneLine(x.key, 20)}`,
          x.percent,
          `${x.percent} %`,
          `${money(x.spent_usd_micros)}${x.projected_usd_micros ? `, ${money(x.projected_usd_micros)} to come` : ""}`,
        ]),
        "--denied",
      ),
    );
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
