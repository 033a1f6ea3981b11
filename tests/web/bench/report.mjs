// Figures: the median of what was measured with the least and the most, as a table and as JSON.
//
// Pure. Must never hide how many samples a figure has, nor that one is missing.

/** The sample below which so many of them lie. */
export function quantile(samples, q) {
  if (samples.length === 0) return null;
  const sorted = [...samples].sort((a, b) => a - b),
    at = (sorted.length - 1) * q,
    low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}

/** Samples → what is told of them. */
export function figure(samples) {
  const some = samples.filter((v) => Number.isFinite(v));
  if (some.length === 0) return null;
  return { median: quantile(some, 0.5), min: Math.min(...some), max: Math.max(...some), n: some.length };
}

const digits = (v) => (v === 0 ? "0" : v < 10 ? v.toFixed(2) : v < 100 ? v.toFixed(1) : v.toFixed(0));
const shown = (f) => (f ? `${digits(f.median)} (${digits(f.min)}–${digits(f.max)})` : "—");

/** How many times dearer the first is than the second. */
export function ratio(a, b) {
  if (!a || !b || b.median <= 0) return "";
  const r = a.median / b.median;
  return `${r >= 10 ? r.toFixed(0) : r.toFixed(1)}×`;
}

/** Names and units of the figures, in the order of the table. */
export const FIGURES = [
  ["first", "first row painted", "ms"],
  ["every", "all rows there", "ms"],
  ["loadTask", "  main thread until then", "ms CPU"],
  ["toolCold", "click on a tool call → inspector, cold", "ms"],
  ["toolWarm", "  again", "ms"],
  ["callCold", "click on a model call → inspector, cold", "ms"],
  ["callWarm", "  again", "ms"],
  ["filter", "typing a 10-letter word → rows settled", "ms"],
  ["filterWhole", "  contents searched too", "ms"],
  ["filterTask", "  main thread", "ms CPU"],
  ["unfilter", "word deleted → all rows again", "ms"],
  ["slow50", "frames, scrolling 3 rows each: p50", "ms"],
  ["slow95", "  p95", "ms"],
  ["slowMax", "  longest", "ms"],
  ["slowTask", "  main thread per frame", "ms CPU"],
  ["fast50", "frames, scrolling 25 rows each: p50", "ms"],
  ["fast95", "  p95", "ms"],
  ["fastMax", "  longest", "ms"],
  ["fastTask", "  main thread per frame", "ms CPU"],
  ["far50", "frames, anywhere: p50", "ms"],
  ["far95", "  p95", "ms"],
  ["farMax", "  longest", "ms"],
  ["long", "long tasks while scrolling", ""],
  ["heap", "JS heap after a collection", "MB"],
  ["nodes", "DOM nodes", ""],
  ["pss", "renderer's memory (PSS)", "MB"],
  ["seen", "live: event sent → its row painted", "ms"],
  ["liveScript", "live: script per event", "µs CPU"],
  ["liveTask", "live: main thread per event", "µs CPU"],
  ["liveCpu", "live: renderer per event", "µs CPU"],
  ["liveServer", "live: server per event", "µs CPU"],
];

/** `told`: name → samples, of each page. */
export function table(title, told) {
  const [ours, theirs] = [told.ours, told["cc-tracer"]];
  const rows = FIGURES.filter(([key]) => ours?.[key] || theirs?.[key]).map(([key, name, unit]) => [
    unit ? `${name}, ${unit}` : name,
    shown(ours?.[key]),
    shown(theirs?.[key]),
    ratio(theirs?.[key], ours?.[key]),
  ]);
  const all = [["median (least–most)", "ours", "cc-tracer", "theirs / ours"], ...rows];
  const widths = [0, 1, 2, 3].map((i) => Math.max(...all.map((r) => r[i].length)));
  const line = (r) => r.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ");
  return [title, line(all[0]), widths.map((w) => "-".repeat(w)).join("  "), ...all.slice(1).map(line)].join("\n");
}

/** Appends what one visit told. */
export function collect(samples, told) {
  for (const [key, value] of Object.entries(told))
    (samples[key] ??= []).push(...(Array.isArray(value) ? value : [value]));
}

/** What a scrolled page told, as samples. */
export function ofScrolling({ slow, fast, far }) {
  const out = { long: slow.long.length + fast.long.length + far.long.length };
  for (const [name, { times, task }] of Object.entries({ slow, fast, far })) {
    out[`${name}50`] = quantile(times, 0.5);
    out[`${name}95`] = quantile(times, 0.95);
    out[`${name}Max`] = Math.max(...times);
    out[`${name}Task`] = task;
  }
  return out;
}
