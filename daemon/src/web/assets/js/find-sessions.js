// Which sessions are asked for, and the days that they stand under.
//
// Pure: no DOM, no clock (`now` is given).

import { dayName, parseTime } from "./format.js";

/** So long after the last thing that happened, a session that did not end is taken to be at work. */
export const LIVE_MS = 5 * 60_000;

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
  let day = null,
    head = null;
  for (const s of sessions) {
    const name = dayName(parseTime(s.last_at), now);
    if (name !== day) {
      day = name;
      head = { day: name, key: `day ${name}`, n: 0, cost: 0 };
      out.push(head);
    }
    head.n += 1;
    head.cost += s.cost_usd_micros ?? 0;
    out.push(s);
  }
  return out;
}

const byLast = (a, b) =>
  a.last_at < b.last_at ? 1 : a.last_at > b.last_at ? -1 : a.session_id < b.session_id ? 1 : -1;

/** The sessions as a stream tells them: each once, as it is now, the one that was used last first. */
export class SessionSet {
  constructor() {
    this.known = new Map();
    this.sorted = [];
    this.stale = false;
    this.again = null;
  }

  get size() {
    return this.known.size;
  }

  get(id) {
    return this.known.get(id) ?? null;
  }

  get list() {
    if (this.stale) {
      this.sorted = [...this.known.values()].sort(byLast);
      this.stale = false;
    }
    return this.sorted;
  }

  /** Takes in lines; whether all that there is has come. */
  take(lines) {
    let complete = false;
    for (const line of lines) {
      if (line.session) {
        this.known.set(line.session.session_id, line.session);
        this.again?.add(line.session.session_id);
      } else if (line.gone) for (const id of line.gone.sessions ?? []) this.known.delete(id);
      else if (line.open) this.again = line.open.resumed ? null : new Set();
      else if (typeof line.cursor === "string") {
        if (this.again) for (const id of [...this.known.keys()]) if (!this.again.has(id)) this.known.delete(id);
        this.again = null;
        complete = true;
      }
    }
    this.stale = true;
    return complete;
  }
}
