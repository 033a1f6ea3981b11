// What is put into both pages before their own scripts run: it looks at what is on the screen, and says when.
//
// A moment is told once the frame that shows it has been made: a condition is looked at in a frame's callback, and the time
// taken in the first task after that frame. Must change nothing on the page, and costs nothing while nobody waits.

/** Runs in the page; `kind`: whose page it is. Must not refer to anything outside of itself. */
export function probe(kind) {
  const $ = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const TOKEN = /(?:cmd|say|ask|live)-\d{6}/;
  const pages = {
    "cc-tracer": {
      scroller: () => $("#timeline"),
      rows: () => $("#timeline")?.getElementsByClassName("ev").length ?? 0,
      total: () => pages["cc-tracer"].rows(),
      loaded: () => true,
      seen: () => {
        const { top, bottom } = $("#timeline").getBoundingClientRect();
        // Rows have one height each: those in sight are found without looking at every one.
        const list = $("#timeline").children;
        let lo = 0,
          hi = list.length;
        while (lo < hi) {
          const mid = (lo + hi) >> 1;
          if (list[mid].getBoundingClientRect().bottom <= top) lo = mid + 1;
          else hi = mid;
        }
        const found = [];
        for (let i = lo; i < list.length && list[i].getBoundingClientRect().top < bottom; i += 1) found.push(list[i]);
        return found;
      },
      last: () => $("#timeline")?.lastElementChild?.textContent ?? "",
      panel: () => $("#inspector-body")?.textContent ?? "",
      search: () => $("#search"),
      settled: () => true,
    },
    ours: {
      scroller: () => $(".timeline .rows"),
      rows: () => Number($(".timeline .rows")?.getAttribute("aria-rowcount") ?? 0),
      // The foot of the page tells how many rows there are, whatever is in sight.
      total: () => Number(/^(.*?)\s*rows/.exec($(".timeline .foot")?.textContent ?? "")?.[1].replace(/\D/g, "") ?? 0),
      loaded: () => !/loading/.test($(".timeline .foot")?.textContent ?? "loading"),
      seen: () => {
        const { top, bottom } = $(".timeline .rows").getBoundingClientRect();
        return all(".timeline .rows .row:not([hidden])").filter((row) => {
          const box = row.getBoundingClientRect();
          return box.bottom > top && box.top < bottom;
        });
      },
      last: () =>
        all(".timeline .rows .row:not([hidden])")
          .map((row) => row.textContent)
          .join("\n"),
      panel: () => ($("#inspector")?.hidden ? "" : ($("#inspector .panel")?.textContent ?? "")),
      search: () => $(".timeline .bar input, .timeline input[type=search]"),
      settled: () => !/earching|…/.test($(".timeline .bar output, .timeline output")?.textContent ?? ""),
    },
  };
  const page = pages[kind];
  /** Resolves with the time of the first frame that shows it. */
  const shown = (condition) =>
    new Promise((done) => {
      const look = () => {
        if (!condition()) return requestAnimationFrame(look);
        const channel = new MessageChannel();
        channel.port1.onmessage = () => done(performance.now());
        channel.port2.postMessage(0);
        return undefined;
      };
      requestAnimationFrame(look);
    });
  const long = [];
  try {
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) long.push(entry.duration);
    }).observe({ type: "longtask", buffered: true });
  } catch {
    // A browser without them: none are told.
  }
  let pressed = 0,
    narrowed = null;
  for (const type of ["mousedown", "keydown"])
    addEventListener(
      type,
      (e) => {
        pressed ||= e.timeStamp;
      },
      { capture: true },
    );
  const token = (row) => TOKEN.exec(row.textContent)?.[0] ?? null;
  // Its list of sessions comes first, and a click on one opens it.
  const tracerOpen = async () => {
    await shown(() => all("#sessions-list .session").length > 0);
    all("#sessions-list .session")[0].click();
  };
  window.__bench = {
    /** When the first row was seen, and when all `n` were, in ms since the navigation began. */
    async load(n, most) {
      const opening = kind === "cc-tracer" ? tracerOpen() : null;
      const first = await shown(() => page.rows() > 0 && page.scroller().textContent.length > 20);
      const every = await shown(() => page.loaded() && page.total() >= n);
      await opening;
      const rows = page.total();
      if (rows < n || rows > most) throw new Error(`${rows} rows, and not ${n} to ${most}`);
      return { first, every, rows };
    },
    /** Tokens of the rows in sight, with the places to click at. */
    tokens: () =>
      page
        .seen()
        .map((row) => {
          const box = row.getBoundingClientRect();
          return { token: token(row), text: row.textContent, x: box.left + 220, y: box.top + box.height / 2 };
        })
        .filter((row) => row.token && row.y > page.scroller().getBoundingClientRect().top + 30),
    at: (wanted) => window.__bench.tokens().find((row) => row.token === wanted) ?? null,
    /** Ready to measure the next press of a button or key until `condition`. */
    arm() {
      pressed = 0;
    },
    async inspected(text) {
      const end = await shown(() => pressed > 0 && page.panel().includes(text));
      return end - pressed;
    },
    focus() {
      page.search().focus();
      page.search().select?.();
      pressed = 0;
      return page.rows();
    },
    /** Rows settled at fewer than `before`, some of which hold the word. */
    async filtered(before, word, least, most) {
      narrowed = () => {
        const n = page.rows();
        return (
          page.search().value === word &&
          n >= least &&
          n <= most &&
          n < before &&
          page.scroller().textContent.includes(word)
        );
      };
      return (await shown(() => pressed > 0 && narrowed())) - pressed;
    },
    /** What a program finds in contents besides is there, too. */
    whole: async () => (await shown(() => narrowed() && page.settled())) - pressed,
    async unfiltered(n) {
      const end = await shown(() => pressed > 0 && page.rows() >= n);
      return end - pressed;
    },
    /** So many frames, `by` pixels scrolled in each; null: anywhere. Times between frames, in ms. */
    scroll: (n, by) =>
      new Promise((done) => {
        const el = page.scroller(),
          height = el.scrollHeight - el.clientHeight,
          times = [];
        // To the end and back, as often as it takes: a list at its end has nothing to do.
        const place = (y) => (y % (2 * height) > height ? 2 * height - (y % (2 * height)) : y % (2 * height));
        let k = 0,
          before = 0,
          far = 0;
        const from = long.length;
        const frame = (now) => {
          if (before) times.push(now - before);
          before = now;
          if (k >= n) return done({ times, long: long.slice(from), moved: far });
          k += 1;
          el.scrollTop = by === null ? (k * 7919 * 31) % height : place(k * by);
          far = Math.max(far, el.scrollTop);
          requestAnimationFrame(frame);
          return undefined;
        };
        requestAnimationFrame(frame);
      }),
    /** Scrolls to the end, and tells when that is seen. */
    async end() {
      const el = page.scroller();
      el.scrollTop = el.scrollHeight;
      return shown(() => el.scrollTop + el.clientHeight >= el.scrollHeight - 60);
    },
    /** When a row with this text was seen, since 1970 in ms. */
    async appeared(text) {
      return performance.timeOrigin + (await shown(() => page.last().includes(text)));
    },
    busy(ms) {
      const until = performance.now() + ms;
      while (performance.now() < until);
    },
  };
}
