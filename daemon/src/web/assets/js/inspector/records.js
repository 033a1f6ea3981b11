// Who told of a thing: the records of hooks, of the wire, of the transcript, side by side and in time; each opens to what it
// said.
//
// Payloads are somebody's: JSON as a tree, anything else as text.

import { button, fill, h } from "../dom.js";
import { bytes, clockMs, duration, oneLine, parseTime } from "../format.js";
import { block, code, copyButton, tree } from "./parts.js";

const LANES = [
  ["hook", "Hooks", "what it did"],
  ["proxy", "Wire", "what it saw"],
  ["transcript", "Transcript", "what it noted"],
  ["telemetry", "Telemetry", "its figures"],
];
/** What was taken in from another recorder, by its format. */
const OTHERS = ["other", "Others", "taken in"];
/** These stand there even where they have nothing. */
const ALWAYS = 3;

/** The lanes of these records. */
export function lanesOf(records) {
  const has = new Set(records.map((r) => r.source)),
    lanes = LANES.filter(([source], i) => i < ALWAYS || has.has(source));
  return [...has].some((source) => LANES.every(([known]) => known !== source)) ? [...lanes, OTHERS] : lanes;
}

/** Records of one moment stand in one line, those of one source below each other: [[record or null per lane]]. */
export function lines(records, lanes = lanesOf(records)) {
  const out = [];
  for (const r of records) {
    const lane = lanes.findIndex(([source]) => source === r.source),
      at = parseTime(r.at),
      last = out[out.length - 1];
    const cell = { record: r, lane: lane < 0 ? lanes.length - 1 : lane, at };
    if (last && !last.cells[cell.lane] && cell.at - last.at < 1000 && last.cells.findLastIndex(Boolean) < cell.lane)
      last.cells[cell.lane] = cell;
    else out.push({ at, cells: lanes.map((_, i) => (i === cell.lane ? cell : null)) });
  }
  return out;
}

/** The records of a span. */
export function showRecords(list, { api, t0, openExchange }) {
  if (list.length === 0)
    return block("Told by", null, h("p", { class: "muted", text: "No record of it is kept any more." }));
  const detail = h("div", { class: "record-detail" });
  let open = null;
  const show = async (r, el) => {
    for (const b of grid.querySelectorAll("[aria-expanded]")) b.setAttribute("aria-expanded", "false");
    if (open === r) {
      open = null;
      fill(detail);
      return;
    }
    open = r;
    el.setAttribute("aria-expanded", "true");
    fill(detail, h("p", { class: "muted", text: "Loading…" }));
    let content;
    try {
      content = payload(await api.record(r.record_id));
    } catch (e) {
      content = h("p", { class: "muted", text: oneLine(e.message, 300) });
    }
    if (open === r) fill(detail, content);
  };
  const cell = (c) => {
    if (!c) return h("span", { class: "record none" });
    const r = c.record,
      el = button(
        [
          h("b", { class: "cut", text: oneLine(r.kind, 60) }),
          h("span", { class: "muted", text: `${offset(c.at - t0)} · ${bytes(r.bytes)}` }),
        ],
        () => (r.exchange_id && openExchange(r.exchange_id)) || show(r, el),
        {
          class: `record ${r.source}`,
          title: `${clockMs(c.at)} · joined by ${r.joined_by} ${oneLine(r.join_key, 80)}`,
          "aria-expanded": r.source === "proxy" ? null : "false",
        },
      );
    return el;
  };
  const lanes = lanesOf(list);
  const grid = h(
    "div",
    { class: "records", vars: { "--lanes": String(lanes.length) } },
    lanes.map(([, name, about]) =>
      h(
        "span",
        { class: "lane", title: about },
        h("b", { text: name }),
        lanes.length > ALWAYS ? null : h("span", { class: "muted", text: ` ${about}` }),
      ),
    ),
    lines(list, lanes).map((l) => l.cells.map(cell)),
  );
  return block(
    "Told by",
    null,
    grid,
    detail,
    h(
      "p",
      { class: "muted keys-note" },
      "Joined by ",
      [...new Set(list.map((r) => r.joined_by).filter(Boolean))].map((k, i) => [i > 0 ? ", " : "", h("code", { text: k })]),
    ),
  );
}

/** A time since the thing began. */
function offset(ms) {
  if (!Number.isFinite(ms)) return "–";
  return ms >= 0 ? `+${duration(ms)}` : `−${duration(-ms)}`;
}

function payload({ record, payload: value, text }) {
  const whole = value === null || value === undefined ? (text ?? "") : JSON.stringify(value, null, 2);
  return block(
    `${oneLine(record.kind, 60)} · ${bytes(record.bytes)}`,
    [copyButton(whole)],
    value === null || value === undefined ? code(whole) : tree(value, 2),
  );
}
