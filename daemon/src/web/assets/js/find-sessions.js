// Which sessions are asked for, and the days that they stand under.
//
// Pure: no DOM, no clock (`now` is given).

import { dayName, parseTime } from "./format.js";

const LIVE_MS = 120_000;

/** Sessions with what was typed in them: project, model, directory, id, `live`, `errors`, `found`. */
export function findSessions(sessions, text, now) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return sessions;
  return sessions.filter((s) => {
    const hay = `${s.project ?? ""} ${s.cwd ?? ""} ${s.model ?? ""} ${s.session_id}`.toLowerCase();
    return words.every((w) => {
      if (w === "is:live") return isLive(s, now);
      if (w === "is:error" || w === "has:errors") return s.tool_errors > 0;
      if (w === "has:detections") return s.detections > 0;
      return hay.includes(w);
    });
  });
}

export function isLive(s, now) {
  return !s.ended && now - parseTime(s.last_at) < LIVE_MS;
}

/** Sessions with a heading before each day. */
export function byDay(sessions, now) {
  const out = [];
  let day = null;
  for (const s of sessions) {
    const name = dayName(parseTime(s.last_at), now);
    if (name !== day) {
      day = name;
      out.push({ day: name, key: `day ${name}`, n: 0, cost: 0 });
      out.at = out.length - 1;
    }
    out[out.at].n += 1;
    out[out.at].cost += s.cost_usd_micros ?? 0;
    out.push(s);
  }
  return out;
}

/** Sessions with those put in that changed, the one that was used last first. */
export function merge(sessions, changed) {
  const ids = new Set(changed.map((s) => s.session_id));
  return [...changed, ...sessions.filter((s) => !ids.has(s.session_id))].sort((a, b) =>
    a.last_at < b.last_at ? 1 : a.last_at > b.last_at ? -1 : 0,
  );
}
