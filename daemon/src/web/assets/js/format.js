// Figures and captured text for people: times, durations, money, tokens, bytes; and control characters made visible.
//
// Pure: no DOM, no clock, no locale but the time zone of local times. Must never round money away to "$0.00" while it is
// not nothing, and must never hand out captured text with a character in it that acts instead of being seen.
// Money is integer micro-dollars, worded exactly as the command line words it.

/** RFC 3339 in UTC ("…T…Z", up to nanoseconds) as milliseconds with microseconds behind the point; NaN if it is none. */
export function parseTime(text) {
  if (typeof text !== "string" || text.length < 20 || text.charCodeAt(10) !== 84) return NaN;
  const digit = (i) => text.charCodeAt(i) - 48;
  const two = (i) => digit(i) * 10 + digit(i + 1);
  const whole = Date.UTC(two(0) * 100 + two(2), two(5) - 1, two(8), two(11), two(14), two(17));
  if (text.charCodeAt(19) !== 46) return text.endsWith("Z") ? whole : Date.parse(text);
  if (!text.endsWith("Z")) return Date.parse(text);
  const fraction = Number(text.slice(19, -1));
  return whole + Math.round(fraction * 1e6) / 1e3;
}

const pad = (n, width = 2) => String(n).padStart(width, "0");

/** Local time of day: 14:03:59. */
export function clock(ms) {
  if (!Number.isFinite(ms)) return "–";
  const d = new Date(ms);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** Local time of day with milliseconds. */
export function clockMs(ms) {
  return Number.isFinite(ms) ? `${clock(ms)}.${pad(new Date(ms).getMilliseconds(), 3)}` : "–";
}

/** Local date: 2026-11-21. */
export function date(ms) {
  if (!Number.isFinite(ms)) return "–";
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** A heading for a day, seen from `now`: Today, Yesterday, Friday, 2026-11-02. */
export function dayName(ms, now) {
  const midnight = (t) => {
    const d = new Date(t);
    return new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  };
  const days = Math.round((midnight(now) - midnight(ms)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days > 1 && days < 7) return DAYS[new Date(ms).getDay()];
  return date(ms);
}

/** A duration that fits in seven characters: 0.4 ms, 87 ms, 1.43 s, 2 m 05 s, 3 h 20 m, 4 d 02 h. */
export function duration(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms === 0) return "0 ms";
  if (ms < 9.95) return `${ms < 0.1 ? ms.toFixed(2) : ms.toFixed(1).replace(/\.0$/, "")} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} m ${pad(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86_400)} d ${pad(Math.floor((s % 86_400) / 3600))} h`;
}

/** How long ago, roughly: now, 4 min, 3 h, 2 d. */
export function ago(ms, now) {
  const s = Math.max(0, (now - ms) / 1000);
  if (s < 60) return "now";
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

/** Micro-dollars: cents where that says enough, more digits below a dollar. The rule of the API's display strings. */
export function money(micros) {
  if (micros === null || micros === undefined) return "–";
  const sign = micros < 0 ? "-" : "";
  const abs = Math.abs(micros);
  if (abs >= 1_000_000 || abs === 0) {
    const cents = Math.floor((abs + 5_000) / 10_000);
    return `${sign}$${Math.floor(cents / 100)}.${pad(cents % 100)}`;
  }
  if (abs >= 100) {
    const part = abs + 50;
    return `${sign}$${Math.floor(part / 1e6)}.${pad(Math.floor((part % 1e6) / 100), 4)}`;
  }
  return `${sign}$0.${pad(abs, 6)}`;
}

/** Money at a plot's axis that reaches up to `top`: as many digits at each place. */
export function moneyTick(micros, top) {
  const places = top >= 5_000_000 ? 0 : top >= 50_000 ? 2 : top >= 500 ? 4 : 6;
  return micros === 0 ? "$0" : `$${(micros / 1e6).toFixed(places)}`;
}

/** A count that fits in five characters: 999, 1.2k, 34k, 1.2M. */
export function count(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return "–";
  if (n < 0) return `-${count(-n)}`;
  if (n < 1000) return String(Math.round(n));
  for (const [unit, size] of [
    ["k", 1e3],
    ["M", 1e6],
    ["G", 1e9],
  ]) {
    const x = n / size;
    if (x < 9.95) return `${x.toFixed(1).replace(/\.0$/, "")}${unit}`;
    if (x < 999.5) return `${Math.round(x)}${unit}`;
  }
  return `${Math.round(n / 1e12)}T`;
}

/** A whole number with thin separators: 12 345. */
export function whole(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return "–";
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Bytes in binary units: 512 B, 1.4 KiB. */
export function bytes(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return "–";
  if (n < 1024) return `${n} B`;
  let x = n / 1024;
  for (const unit of ["KiB", "MiB", "GiB"]) {
    if (x < 1000) return `${x < 9.95 ? x.toFixed(1) : Math.round(x)} ${unit}`;
    x /= 1024;
  }
  return `${x.toFixed(1)} TiB`;
}

/** "1 call", "2 calls". */
export function plural(n, one, many = `${one}s`) {
  return `${whole(n)} ${n === 1 ? one : many}`;
}

/** Everything the model read. */
export function promptTokens(t) {
  return t ? t.input + t.cache_read + t.cache_write_5m + t.cache_write_1h : 0;
}

/** A model's name without what all of them share. */
export function model(name) {
  return name ? visible(name.replace(/^claude-/, "").replace(/-\d{8}$/, "")) : "–";
}

// C0 (but tab and newline), DEL, C1, soft hyphen, BiDi controls, zero-width characters, line separators, interlinear
// and tag characters, byte order marks, and halves of surrogate pairs.
const ACTS = new RegExp(
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f" +
    "\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}\\ud800-\\udfff]",
  "gu",
);

/** Captured text as it can be shown: what would act is written out, as `\u{1b}`. Tabs and newlines stay. */
export function visible(text) {
  const s = typeof text === "string" ? text : String(text);
  return s.replace(ACTS, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** The same on one line: newlines and tabs become a space, long text is cut. */
export function oneLine(text, limit = 400) {
  if (text === null || text === undefined) return "";
  let s = typeof text === "string" ? text : String(text);
  if (s.length > limit * 2) s = s.slice(0, limit * 2);
  s = visible(s.replace(/[\s\u0085]+/g, " ").trim());
  return s.length > limit ? `${s.slice(0, limit)}…` : s;
}
