// The icons: line drawings on a grid of 16, as paths. Must stay drawings: no text, no colour of their own.

import { s } from "./dom.js";

const PATHS = {
  prompt: "M3 4l4 4-4 4M8.5 12H13",
  llm: "M8 2l1.5 4.5L14 8l-4.5 1.5L8 14l-1.5-4.5L2 8l4.5-1.5z",
  tool: "M9.8 6.2a3 3 0 0 1 3.6-3.9L11.5 4.2l.3 1.5 1.5.3 1.9-1.9a3 3 0 0 1-3.9 3.6L6 13a1.6 1.6 0 0 1-2.3-2.3z",
  Bash: "M2.5 3.5h11v9h-11zM5 6.5l2 1.7-2 1.7M8.5 10.5H11",
  Edit: "M3 13l.6-2.6L10.8 3.2l2 2-7.2 7.2zM9.3 4.7l2 2",
  Write: "M4 2.5h5l3 3v8H4zM9 2.5v3h3M8 8v4M6 10h4",
  Read: "M4 2.5h5l3 3v8H4zM9 2.5v3h3M6 8.5h4M6 11h4",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.6L14 14",
  web: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM2 8h12M8 2c4 4 4 8 0 12M8 2c-4 4-4 8 0 12",
  mcp: "M5 2.5v4M11 2.5v4M3.5 6.5h9V9a4.5 4.5 0 0 1-9 0zM8 13.5V15",
  agent: "M4.5 3v6.5a2 2 0 0 0 2 2H10M4.5 6.5H10M10 4.5h3.5v4H10zM10 9.8h3.5v3.5H10z",
  todo: "M3 4.5l1 1 2-2M8 4.5h5.5M3 9l1 1 2-2M8 9h5.5M3.5 13h.5M8 13h5.5",
  compaction: "M3 3h10M3 13h10M8 5v2.2M6.5 6.2L8 7.5l1.5-1.3M8 11V8.8M6.5 9.8L8 8.5l1.5 1.3",
  gap: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 5v3.2l2 1.3",
  detection: "M8 2.5L14.2 13H1.8zM8 6.5v3M8 11.3v.2",
  intervention: "M8 2l5 1.8v4.2c0 3-2 5-5 6-3-1-5-3-5-6V3.8zM5.8 8l1.6 1.6 3-3.2",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  close: "M4 4l8 8M12 4l-8 8",
  help: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.3 6.3A1.8 1.8 0 1 1 8.6 8q-.6.3-.6 1.2M8 11.2v.2",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6z",
  system: "M2.5 3h11v8h-11zM6 13.5h4",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.5l7 4.5-7 4.5z",
  down: "M8 3v9M4.5 8.8L8 12.3l3.5-3.5",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
};

const TOOLS = {
  Bash: "Bash",
  BashOutput: "Bash",
  KillShell: "Bash",
  Edit: "Edit",
  MultiEdit: "Edit",
  NotebookEdit: "Edit",
  Write: "Write",
  Read: "Read",
  Grep: "search",
  Glob: "search",
  LS: "search",
  WebFetch: "web",
  WebSearch: "web",
  Agent: "agent",
  Task: "agent",
  TodoWrite: "todo",
  TaskCreate: "todo",
  TaskUpdate: "todo",
  TaskList: "todo",
};

/** The drawing of a row. */
export function pathOf(row) {
  if (row.type !== "tool") return PATHS[row.type] ?? PATHS.tool;
  const tool = row.span?.tool ?? "";
  if (tool.startsWith("mcp__")) return PATHS.mcp;
  return PATHS[Object.hasOwn(TOOLS, tool) ? TOOLS[tool] : "tool"];
}

/** An icon by name. */
export function icon(name, title = null) {
  return s(
    "svg",
    {
      class: "icon",
      viewBox: "0 0 16 16",
      "aria-hidden": title ? null : "true",
      role: title ? "img" : null,
      "aria-label": title,
    },
    s("path", { d: PATHS[name] ?? PATHS.tool }),
  );
}
