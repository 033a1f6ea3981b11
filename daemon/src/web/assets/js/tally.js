// How many rows there are of each kind, tool, agent and status: for the bar's buttons and menus, and the foot.
//
// Pure: no DOM. Kept as turns are built again: what a turn had is taken off, what it has is put on.

import { agentOf } from "./filter.js";

const add = (map, key, n) => {
  const sum = (map.get(key) ?? 0) + n;
  if (sum === 0) map.delete(key);
  else map.set(key, sum);
};
const order = (map) => [...map].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));

export class Tally {
  constructor() {
    this.kinds = new Map();
    this.statuses = new Map();
    this.byTool = new Map();
    this.byAgent = new Map();
    this.rows = 0;
  }

  /** `n`: 1 puts these rows on, -1 takes them off. */
  take(rows, n) {
    this.rows += n * rows.length;
    for (const row of rows) {
      add(this.kinds, row.type, n);
      if (!row.span || row.type === "prompt" || row.type === "detection" || row.type === "intervention") continue;
      if (row.span.tool) add(this.byTool, row.span.tool, n);
      add(this.statuses, row.status, n);
      add(this.byAgent, agentOf(row), n);
    }
  }

  /** Tools with how often, the most frequent first. */
  get tools() {
    return order(this.byTool);
  }

  get agents() {
    return order(this.byAgent);
  }
}
