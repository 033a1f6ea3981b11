// Everything that a page of another site can try.
//
// What is tried runs in that page, as its own scripts would; what it could read is what this gives back.

/** Everything that a page can try, at one base; what it could read of the answers. */
export async function attack(page, base, paths) {
  return page.evaluate(
    async ([at, list]) => {
      const read = [],
        within = (p) => Promise.race([p, new Promise((done) => setTimeout(() => done("nothing"), 3000))]);
      const note = (what, text) => read.push([what, String(text).slice(0, 200)]);
      const tries = list.flatMap(([path, bodies]) => [
        ...["cors", "no-cors"].flatMap((mode) =>
          ["include", "omit"].map(async (credentials) => {
            try {
              const r = await fetch(`${at}${path}`, { mode, credentials });
              note(`fetch ${mode} ${credentials} ${path}`, r.type === "opaque" ? "" : await r.text());
            } catch {
              /* as it should be */
            }
          }),
        ),
        ...(bodies ?? []).flatMap((type) =>
          ["cors", "no-cors"].map(async (mode) => {
            try {
              const r = await fetch(`${at}${path}`, {
                method: "POST",
                mode,
                credentials: "include",
                headers: { "content-type": type },
                body: '{"reason":"x","mode":"off"}',
              });
              note(`post ${mode} ${type} ${path}`, r.type === "opaque" ? "" : await r.text());
            } catch {
              /* as it should be */
            }
          }),
        ),
        new Promise((done) => {
          const s = document.createElement("script");
          s.src = `${at}${path}`;
          s.onload = s.onerror = done;
          document.head.append(s);
        }),
        new Promise((done) => {
          const i = new Image();
          i.onload = () => {
            note(`img ${path}`, i.width);
            done();
          };
          i.onerror = done;
          i.src = `${at}${path}`;
        }),
        new Promise((done) => {
          const l = document.createElement("link");
          l.rel = "stylesheet";
          l.href = `${at}${path}`;
          l.onload = l.onerror = done;
          document.head.append(l);
        }),
        new Promise((done) => {
          const f = document.createElement("iframe");
          f.onload = () => {
            try {
              note(`iframe ${path}`, f.contentDocument?.body?.textContent ?? "");
            } catch {
              /* as it should be */
            }
            done();
          };
          f.src = `${at}${path}`;
          document.body.append(f);
        }),
        new Promise((done) => {
          const e = new EventSource(`${at}${path}`, { withCredentials: true });
          e.onmessage = (m) => note(`events ${path}`, m.data);
          e.onerror = () => {
            e.close();
            done();
          };
        }),
        new Promise((done) => {
          const w = new WebSocket(`${at.replace("http", "ws")}${path}`);
          w.onopen = () => note(`websocket ${path}`, "open");
          w.onclose = done;
        }),
        new Promise((done) => {
          const f = document.createElement("form");
          const frame = document.createElement("iframe");
          frame.name = `f${Math.random()}`;
          frame.onload = done;
          f.method = "post";
          f.enctype = "text/plain";
          f.action = `${at}${path}`;
          f.target = frame.name;
          const input = document.createElement("input");
          input.name = '{"reason":"x","a":"';
          input.value = '"}';
          f.append(input);
          document.body.append(frame, f);
          f.submit();
        }),
        Promise.resolve(navigator.sendBeacon(`${at}${path}`, "{}")),
      ]);
      await Promise.all(tries.map(within));
      for (const e of performance.getEntriesByType("resource"))
        if (e.name.startsWith(at) && (e.transferSize > 0 || e.decodedBodySize > 0))
          note(`performance ${e.name}`, `${e.transferSize} ${e.decodedBodySize}`);
      return read;
    },
    [base, paths],
  );
}
