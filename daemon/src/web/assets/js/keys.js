// The keyboard: which keys mean which action, and sequences such as `g o`.
//
// Pure: no DOM, no clock; the time comes with the key. One table says everything: what is listened to, what the help
// shows, what the palette offers. Must never take a key from a text field (but Escape and those with Control), nor one
// with a modifier that the browser or the system owns.

/** [keys, action, what it does, group]. A sequence has a space in it. */
export const BINDINGS = [
  ["j", "row.next", "Next row", "Rows"],
  ["k", "row.previous", "Previous row", "Rows"],
  ["J", "prompt.next", "Next prompt", "Rows"],
  ["K", "prompt.previous", "Previous prompt", "Rows"],
  ["e", "error.next", "Next error", "Rows"],
  ["E", "error.previous", "Previous error", "Rows"],
  ["d", "detection.next", "Next detection", "Rows"],
  ["D", "detection.previous", "Previous detection", "Rows"],
  ["a", "agent.next", "Next subagent", "Rows"],
  ["A", "agent.previous", "Previous subagent", "Rows"],
  ["n", "match.next", "Next match of the search", "Rows"],
  ["N", "match.previous", "Previous match of the search", "Rows"],
  ["h", "row.collapse", "Fold the row, or go to what it belongs to", "Rows"],
  ["l", "row.expand", "Unfold the row", "Rows"],
  ["z", "fold.all", "Fold all prompts, or unfold them", "Rows"],
  ["Enter", "inspector.focus", "Look into the row", "Rows"],
  ["g g", "row.first", "First row", "Rows"],
  ["G", "row.last", "Last row", "Rows"],
  ["[", "session.next", "Older session", "Sessions"],
  ["]", "session.previous", "Newer session", "Sessions"],
  ["/", "search", "Search this session", "Sessions"],
  ["f", "sessions.find", "Find a session", "Sessions"],
  ["g t", "view.timeline", "Timeline", "Views"],
  ["g o", "view.overview", "Overview of the session", "Views"],
  ["g a", "view.all", "Overview of everything", "Views"],
  ["g s", "sessions.focus", "List of sessions", "Views"],
  ["g i", "inspector.focus", "Inspector", "Views"],
  ["1", "tab.1", "Inspector's first tab; 2 to 8 for the others", "Views"],
  ["s", "scale.toggle", "Waterfall: by prompt, or over the session", "Views"],
  ["+", "zoom.in", "Look closer at the time around the row", "Views"],
  ["-", "zoom.out", "Look at more time", "Views"],
  ["0", "zoom.all", "Look at all of the time", "Views"],
  ["p", "live.toggle", "Pause what is live, or go on", "Views"],
  ["c", "copy", "Copy the row's text", "Other"],
  ["y", "copy.link", "Copy a link to the row", "Other"],
  ["x", "export", "Download the session as one file, redacted", "Other"],
  ["t", "theme.toggle", "Light, dark, or as the system says", "Other"],
  ["b", "sessions.toggle", "Show or hide the sessions", "Other"],
  ["Ctrl-k", "palette", "Command palette", "Other"],
  ["?", "help", "This help", "Other"],
  ["Escape", "escape", "Close, clear, step back", "Other"],
];

const ARROWS = {
  ArrowDown: "row.next",
  ArrowUp: "row.previous",
  ArrowLeft: "row.collapse",
  ArrowRight: "row.expand",
  PageDown: "page.next",
  PageUp: "page.previous",
  Home: "row.first",
  End: "row.last",
};
const PATIENCE_MS = 1200;

/** Follows the keys. `press` answers an action's name, "" for the beginning of a sequence, or null. */
export class Keys {
  constructor() {
    this.pending = "";
    this.at = -Infinity;
    this.table = new Map();
    this.beginnings = new Set();
    for (const [keys, action] of BINDINGS) {
      this.table.set(keys, action);
      if (keys.includes(" ")) this.beginnings.add(keys.split(" ")[0]);
    }
    for (let i = 2; i <= 8; i += 1) this.table.set(String(i), `tab.${i}`);
  }

  /** `key` as a keyboard event names it; `where`: "text" in a text field, "rows" where arrows move rows, else "". */
  press({ key, ctrlKey = false, metaKey = false, altKey = false }, where, now) {
    if (altKey || key === "Shift" || key === "Control" || key === "Meta") return null;
    if (ctrlKey || metaKey) return key.toLowerCase() === "k" ? this.done("palette") : null;
    if (key === "Escape") return this.done("escape");
    if (where === "text") return null;
    const begun = now - this.at < PATIENCE_MS ? this.pending : "";
    this.pending = "";
    if (begun && this.table.has(`${begun} ${key}`)) return this.table.get(`${begun} ${key}`);
    if (this.beginnings.has(key)) {
      this.pending = key;
      this.at = now;
      return "";
    }
    if (Object.hasOwn(ARROWS, key)) return where === "rows" ? ARROWS[key] : null;
    if (key === "Enter") return where === "rows" ? "inspector.focus" : null;
    return this.table.get(key) ?? null;
  }

  done(action) {
    this.pending = "";
    return action;
  }
}
