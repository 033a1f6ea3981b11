// What may be used: the API's limits, and the user's own budgets.
//
// Figures of others are told as they came; what a limit means for tool calls is said beside it.

import { clock, date, duration, money, oneLine, parseTime, whole } from "../format.js";
import { card, hbars, table } from "./plot.js";

/** What the API told of its limits; `now`: for what is reset since. */
export function limits(l, now) {
  if (!l || l.limits.length === 0) return null;
  const row = (x) => [
    oneLine(x.name, 40),
    x.used_percent === null ? "–" : `${Math.round(x.used_percent)} %`,
    x.limit === null ? "–" : `${whole(x.remaining)} of ${whole(x.limit)} left`,
    x.resets_at
      ? parseTime(x.resets_at) > now
        ? `in ${duration(parseTime(x.resets_at) - now)}`
        : "reset since"
      : "–",
    oneLine(x.status ?? "", 30),
  ];
  const last = l.last_limited,
    held = last ? `; last refused ${date(parseTime(last.at))} ${clock(parseTime(last.at)).slice(0, 5)} with ${last.status}` : "";
  return card(
    "Limits",
    `as the API told them ${date(parseTime(l.at))}${held}`,
    () =>
      hbars(
        l.limits.map((x) => [
          oneLine(x.name, 40),
          x.used_percent ?? 0,
          x.used_percent === null ? "–" : `${Math.round(x.used_percent)} %`,
          row(x)[3],
        ]),
        "--t-w5",
        100,
      ),
    () => table(["Limit", "Used", "Left", "Resets", "Status"], l.limits.map(row)),
  );
}

/** What was spent of what may be. */
export function budgets(b) {
  const list = (b.scopes ?? []).filter((x) => x.percent !== null);
  if (list.length === 0) return null;
  const stops = b.enforce && list.some((x) => (x.hard_usd_micros ?? null) !== null),
    note = stops ? "tool calls stop at the hard limit" : "only told of, nothing is stopped";
  return card("Budget", `${b.timezone} · ${note}`, () =>
    hbars(
      list.map((x) => [`${x.scope} ${oneLine(x.key, 20)}`, x.percent, `${x.percent} %`, spent(x)]),
      "--denied",
      100,
    ),
  );
}

function spent(x) {
  const most = x.hard_usd_micros ?? x.soft_usd_micros ?? null,
    of = most === null ? "" : ` of ${money(most)}`,
    end = x.projected_usd_micros ? `, ${money(x.projected_usd_micros)} by its end` : "";
  return `${money(x.spent_usd_micros)}${of}${end}`;
}
