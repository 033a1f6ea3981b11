// Which rows are asked for, and where in a text the words are.
//
// Pure: no DOM. Words are looked for as they are, without regard to case; all of them must be there. Must never build a
// pattern out of what somebody typed.

import { oneLine } from "./format.js";

const FIELDS = { kind: "kinds", type: "kinds", tool: "tools", agent: "agents", status: "statuses", is: "statuses" };

/** What was typed: words, "phrases", and `tool:Bash status:error`; those given go to `extra`. */
export function parseQuery(text) {
  const words = [],
    extra = { kinds: [], tools: [], agents: [], statuses: [], models: [] };
  for (const m of String(text).matchAll(/(?:(\w+):)?(?:"([^"]*)"?|(\S+))/g)) {
    const value = m[2] ?? m[3] ?? "";
    const field = m[1] && Object.hasOwn(FIELDS, m[1].toLowerCase()) ? FIELDS[m[1].toLowerCase()] : null;
    if (field && value) extra[field].push(value.toLowerCase());
    else if (m[1] === "model" && value) extra.models.push(value.toLowerCase());
    else {
      const word = (m[1] ? `${m[1]}:` : "") + value;
      if (word) words.push(word.toLowerCase());
    }
  }
  return { words: words.slice(0, 16), extra };
}

/** The name of the agent that a row belongs to. */
export function agentOf(row) {
  return row.span?.agentType ?? (row.type === "agent" ? row.agent?.agentType : null) ?? "main";
}

const haystacks = new WeakMap();

/** What a row's words are looked for in. */
function haystack(row) {
  let text = haystacks.get(row);
  if (text === undefined) {
    const s = row.span,
      i = row.type === "prompt" ? row.turn.info : null;
    text = [
      row.note,
      s?.tool,
      s?.model,
      s?.error,
      s?.agentType,
      i?.result,
      i?.error,
      row.detection?.kind,
      row.detection?.advice,
      row.intervention?.action,
    ]
      .filter(Boolean)
      .join("\n")
      .toLowerCase();
    haystacks.set(row, text);
  }
  return text;
}

/** Whether any of it narrows the list. */
export function isEmpty(state) {
  return !state.q.trim() && state.kinds.length + state.tools.length + state.agents.length + state.statuses.length === 0;
}

/** State → a function that says whether a row is asked for; null where all are. `found`: ids of spans in whose content
    the words are, as the daemon found them. */
export function compile(state, found = null) {
  if (isEmpty(state)) return null;
  const { words, extra } = parseQuery(state.q);
  const set = (a, b) => {
    const s = new Set([...a.map((x) => x.toLowerCase()), ...b]);
    return s.size > 0 ? s : null;
  };
  const kinds = set(state.kinds, extra.kinds),
    tools = set(state.tools, extra.tools);
  const agents = set(state.agents, extra.agents),
    statuses = set(state.statuses, extra.statuses);
  const models = extra.models;
  return (row) => {
    if (row.type === "gap" && !kinds?.has("gap")) return false;
    if (kinds && !kinds.has(row.type)) return false;
    const s = row.span;
    if (tools && !(row.type !== "prompt" && s?.tool && tools.has(s.tool.toLowerCase()))) return false;
    if (agents && !agents.has(agentOf(row).toLowerCase())) return false;
    if (statuses && !statuses.has(row.status)) return false;
    if (models.length > 0 && !models.some((m) => s?.model?.toLowerCase().includes(m))) return false;
    if (words.length === 0) return true;
    if (found && row.type !== "detection" && row.type !== "intervention") {
      // The row of a call shows the helper that it started, too.
      if ((s && found.has(s.id)) || (row.agent && found.has(row.agent.id))) return true;
    }
    const text = haystack(row);
    return words.every((w) => text.includes(w));
  };
}

/** Where the words are in a text: ranges [from, to) in UTF-16 units, in order, those that overlap made one. */
export function ranges(text, words) {
  if (words.length === 0 || !text) return [];
  const low = text.toLowerCase();
  // Some letters get longer in lower case: then places differ, and nothing is marked rather than the wrong thing.
  if (low.length !== text.length) return [];
  const found = [];
  for (const w of words) {
    if (!w) continue;
    for (let at = low.indexOf(w); at >= 0 && found.length < 200; at = low.indexOf(w, at + w.length))
      found.push([at, at + w.length]);
  }
  found.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const out = [];
  for (const r of found) {
    const last = out[out.length - 1];
    if (last && r[0] <= last[1]) last[1] = Math.max(last[1], r[1]);
    else out.push(r);
  }
  return out;
}

/** A text on one line, cut so that its first match is in sight. */
export function around(text, words, limit = 300) {
  const line = oneLine(text, 4000);
  if (words.length === 0) return line.slice(0, limit);
  const low = line.toLowerCase(),
    at = Math.min(
      ...words.map((w) => {
        const i = low.indexOf(w);
        return i < 0 ? Infinity : i;
      }),
    );
  if (!(at > 48) || at === Infinity) return line.slice(0, limit);
  return `…${line.slice(at - 24, at - 24 + limit)}`;
}
