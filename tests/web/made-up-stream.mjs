// The stream that the pages follow, of made-up sessions (generate.mjs): cursors that hold as long as this process, and
// somebody at work in a session, where that is wanted.

const START = Math.random().toString(36).slice(2);
const HEARTBEAT_MS = 15_000;

/** An object without what is empty in it: as the stream tells spans. */
export function light(o) {
  return Object.fromEntries(
    Object.entries(o).filter(([, v]) => v !== null && v !== "" && !(Array.isArray(v) && v.length === 0)),
  );
}

/** A session that is followed: what was told so far, and who listens. */
export class Told {
  constructor(g) {
    this.g = g;
    this.log = [];
    this.listeners = new Set();
  }

  /** Tells everybody, now and later. Changes what there is, too. */
  push(lines) {
    const { g } = this;
    for (const line of lines) {
      if (line.session) g.session = line.session;
      put(g.turns, line.turn, "turn_id");
      put(g.spans, line.span, "span_id");
      put(g.detections, line.detection, "detection_id");
      put(g.interventions, line.intervention, "intervention_id");
      if (line.gone?.spans) g.spans = g.spans.filter((s) => !line.gone.spans.includes(s.span_id));
    }
    this.log.push(lines);
    for (const l of this.listeners) l([...lines, { cursor: this.cursor }]);
  }

  get cursor() {
    return `${START}.${this.log.length}`;
  }

  /** All lines for a reader that was last sent this cursor. */
  since(cursor) {
    const { g } = this,
      [start, n] = String(cursor ?? "").split(".");
    const resumed = start === START && Number(n) <= this.log.length;
    const lines = resumed
      ? this.log.slice(Number(n)).flat()
      : [
          { session: g.session },
          ...g.turns.map((turn) => ({ turn })),
          ...g.spans.map((s) => ({ span: light(s) })),
          ...g.detections.map((detection) => ({ detection })),
          ...g.interventions.map((intervention) => ({ intervention })),
        ];
    const open = { session_id: g.session.session_id, resumed, turns: g.turns.length, spans: g.spans.length };
    return [{ open }, ...lines, { cursor: this.cursor }];
  }
}

function put(list, thing, id) {
  if (!thing) return;
  const i = list.findIndex((x) => x[id] === thing[id]);
  if (i < 0) list.push(thing);
  else list[i] = thing;
}

/** Answers `GET /v0/follow`: these lines, then what `told` is told. Large sessions go out in pieces, as they are taken. */
export function follow(res, headers, lines, told) {
  res.writeHead(200, { ...headers, "content-type": "application/x-ndjson" });
  let queue = lines,
    at = 0,
    busy = false;
  const pump = async () => {
    if (busy) return;
    busy = true;
    while (at < queue.length && !res.destroyed) {
      const some = queue.slice(at, at + 500);
      at += some.length;
      if (!res.write(some.map((l) => `${JSON.stringify(l)}\n`).join("")))
        await new Promise((done) => {
          res.once("drain", done);
          if (res.destroyed) done();
        });
    }
    queue = [];
    at = 0;
    busy = false;
  };
  const listener = (more) => {
    queue.push(...more);
    pump();
  };
  told?.listeners.add(listener);
  const beat = setInterval(() => res.write("{}\n"), HEARTBEAT_MS);
  res.on("close", () => {
    told?.listeners.delete(listener);
    clearInterval(beat);
  });
  pump();
}

/** Something goes on in a session, so many times a second: calls begin and end in a turn that runs. */
export function play(told, rate) {
  const { g } = told,
    calls = g.spans.filter((s) => s.kind !== "agent"),
    turn = { ...g.turns.at(-1), turn_id: "live", number: g.turns.length + 1, status: "running", duration_ms: null };
  const stamp = () => new Date().toISOString().replace("Z", "000Z");
  const root = { ...g.spans.find((s) => s.kind === "agent"), span_id: "liveroot", turn_id: "live", status: "running" };
  let i = 0,
    running = null;
  const timer = setInterval(() => {
    if (i === 0) {
      const at = stamp();
      told.push([
        { session: { ...g.session, ended: false, last_at: at } },
        { turn: { ...turn, started_at: at } },
        { span: { ...root, started_at: at, duration_ms: null } },
      ]);
    }
    i += 1;
    if (running) {
      const duration_ms = Date.now() - Date.parse(running.started_at);
      told.push([{ span: { ...running, status: "ok", duration_ms } }, { session: { ...g.session, last_at: stamp() } }]);
      running = null;
    } else {
      running = {
        ...calls[i % calls.length],
        span_id: `live${String(i).padStart(12, "0")}`,
        parent_id: "liveroot",
        turn_id: "live",
        started_at: stamp(),
        status: "running",
        duration_ms: null,
        execution_ms: null,
      };
      told.push([{ span: running }]);
    }
  }, 1000 / rate);
  return () => clearInterval(timer);
}
