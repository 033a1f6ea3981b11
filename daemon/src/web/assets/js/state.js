// What is looked at, as the part of the address behind `#`: every view has a link, and "back" works.
//
// Pure: no DOM. Behind the `#`, because that part is never sent: words that somebody searches for are in no log.
// Reading is total: anything that is no state of ours is the start page's. Writing leaves out what is the default, and
// `parse(format(s))` is `s`.
//
//   #/                      the start: sessions, and the overview of everything
//   #/s/SESSION/SPAN?…      a session's timeline, a row of it selected
//   #/o/SESSION             a session's overview
//   #/all                   the overview of everything
//   #/x/SPAN                a span, whatever its session: for links from elsewhere

export const TABS = ["summary", "tool", "request", "response", "timing", "headers", "raw", "related"];
export const KINDS = ["prompt", "llm", "tool", "agent", "compaction", "detection", "intervention", "gap"];
export const STATUSES = ["ok", "error", "denied", "running"];
const VIEWS = { s: "timeline", o: "overview", all: "all", x: "span" };

/** The state of an empty address. */
export function initial() {
  return {
    view: "timeline",
    session: null,
    span: null,
    tab: null,
    q: "",
    project: "",
    find: "",
    kinds: [],
    tools: [],
    agents: [],
    statuses: [],
    scale: "turn",
    zoom: null,
  };
}

const ID = /^[A-Za-z0-9._:-]{1,128}$/;
const list = (text) =>
  text
    .split(",")
    .map(decode)
    .filter((t) => t !== "")
    .slice(0, 64);

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** An address's fragment → state. */
export function parse(hash) {
  const s = initial();
  const text = String(hash ?? "")
    .replace(/^#/, "")
    .slice(0, 8192);
  const [path, query = ""] = [text.split("?", 1)[0], text.includes("?") ? text.slice(text.indexOf("?") + 1) : ""];
  const parts = path
    .split("/")
    .filter((p) => p !== "")
    .map(decode);
  if (parts.length > 0) {
    if (!Object.hasOwn(VIEWS, parts[0])) return s;
    s.view = VIEWS[parts[0]];
    if (s.view === "span") {
      if (!ID.test(parts[1] ?? "")) return initial();
      s.span = parts[1];
    } else if (s.view !== "all") {
      if (!ID.test(parts[1] ?? "")) return initial();
      s.session = parts[1];
      if (ID.test(parts[2] ?? "")) s.span = parts[2];
    }
  }
  for (const pair of query.split("&")) {
    const at = pair.indexOf("=");
    if (at < 0) continue;
    const key = pair.slice(0, at),
      value = pair.slice(at + 1);
    if (key === "tab" && TABS.includes(value)) s.tab = value;
    else if (key === "q") s.q = decode(value).slice(0, 500);
    else if (key === "find") s.find = decode(value).slice(0, 200);
    else if (key === "project") s.project = decode(value).slice(0, 200);
    else if (key === "kind") s.kinds = list(value).filter((k) => KINDS.includes(k));
    else if (key === "status") s.statuses = list(value).filter((k) => STATUSES.includes(k));
    else if (key === "tool") s.tools = list(value);
    else if (key === "agent") s.agents = list(value);
    else if (key === "scale" && value === "session") s.scale = "session";
    else if (key === "zoom") {
      const [a, b] = value.split("-").map(Number);
      if (a >= 0 && b <= 1 && b - a > 1e-7) s.zoom = [a, b];
    }
  }
  return s;
}

const encode = (text) => encodeURIComponent(text).replace(/%3A/g, ":").replace(/%2F/g, "/");

/** State → an address's fragment. */
export function format(s) {
  const d = initial();
  let path = "#/";
  if (s.view === "all") path = "#/all";
  else if (s.view === "span" && s.span) path = `#/x/${encode(s.span)}`;
  else if (s.session) {
    path = `#/${s.view === "overview" ? "o" : "s"}/${encode(s.session)}`;
    if (s.span) path += `/${encode(s.span)}`;
  }
  const query = [];
  const add = (key, value) => query.push(`${key}=${value}`);
  if (s.tab) add("tab", s.tab);
  if (s.q) add("q", encodeURIComponent(s.q));
  if (s.find) add("find", encodeURIComponent(s.find));
  if (s.project) add("project", encodeURIComponent(s.project));
  for (const [key, values] of [
    ["kind", s.kinds],
    ["status", s.statuses],
    ["tool", s.tools],
    ["agent", s.agents],
  ]) {
    if (values.length > 0) add(key, values.map((v) => encodeURIComponent(v)).join(","));
  }
  if (s.scale !== d.scale) add("scale", s.scale);
  if (s.zoom) add("zoom", s.zoom.map((z) => String(Number(z.toFixed(7)))).join("-"));
  return query.length > 0 ? `${path}?${query.join("&")}` : path;
}
