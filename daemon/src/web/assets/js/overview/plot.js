// Plots: inline SVG, drawn at the size they have; values under the pointer or the arrow keys; the same as a table.
//
// A plot is given as { labels, series: [{ name, colour, values }], kind: "line" | "stack", … } and knows nothing of sessions.
// Its table has every value, the drawing as many as there is room for.

import { button, fill, h, s } from "../dom.js";
import { niceScale, thin } from "../series.js";

const LEFT = 52,
  RIGHT = 8,
  TOP = 8,
  BOTTOM = 20;

/** A card: a heading, a drawing, and a table in its place. */
export function card(title, note, draw, table, full = false) {
  const body = h("div", {});
  let asTable = false;
  const toggle = table
    ? button("as table", () => {
        asTable = !asTable;
        toggle.textContent = asTable ? "as plot" : "as table";
        show();
      })
    : null;
  const show = () => fill(body, asTable ? table() : draw());
  show();
  return h(
    "section",
    { class: `card${full ? " full" : ""}` },
    h("header", {}, h("h2", { text: title }), note ? h("span", { class: "muted", text: note }) : null, toggle),
    body,
  );
}

/** A table of heads and rows; numbers are told by their column. */
export function table(heads, rows, numeric = heads.map((_, i) => i > 0)) {
  const cell = (v, i, tag = "td") =>
    h(tag, { class: numeric[i] ? "num" : null, scope: tag === "th" ? "col" : null }, v);
  const box = h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((t, i) => cell(t, i, "th")),
      ),
    ),
  );
  const body = h("tbody", {});
  const more = (from) => {
    body.append(
      ...rows.slice(from, from + 200).map((r) =>
        h(
          "tr",
          {},
          r.map((v, i) => cell(v, i)),
        ),
      ),
    );
    if (from + 200 < rows.length) {
      const b = h(
        "tr",
        {},
        h(
          "td",
          { colspan: String(heads.length) },
          button(
            `${rows.length - from - 200} more`,
            () => {
              b.remove();
              more(from + 200);
            },
            { class: "more" },
          ),
        ),
      );
      body.append(b);
    }
  };
  more(0);
  box.append(body);
  return box;
}

/** Draws `plot` into a box that follows its width. */
export function plot(p) {
  const box = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": p.about });
  const tip = h("div", { class: "tip", hidden: true });
  let width = 0,
    at = -1,
    cursor = null,
    marks = [];
  const height = p.height ?? 170;
  const draw = () => {
    const n = p.labels.length,
      sums = p.labels.map((_, i) =>
        p.kind === "stack"
          ? p.series.reduce((t, x) => t + (x.values[i] ?? 0), 0)
          : Math.max(...p.series.map((x) => x.values[i] ?? 0)),
      );
    const scale = niceScale(Math.max(p.least ?? 0, ...thin(sums, 4000, (v) => v).map((t) => t.p)), 4);
    const W = width - LEFT - RIGHT,
      H = height - TOP - BOTTOM;
    const x = (i) => LEFT + (n <= 1 ? W / 2 : p.kind === "stack" ? ((i + 0.5) / n) * W : (i / (n - 1)) * W),
      y = (v) => TOP + H - (Math.min(v, scale.top) / scale.top) * H;
    const kids = [];
    for (const t of scale.ticks)
      kids.push(
        s("line", {
          class: t === 0 ? "axis" : "grid-line",
          x1: LEFT,
          x2: width - RIGHT,
          y1: Math.round(y(t)) + 0.5,
          y2: Math.round(y(t)) + 0.5,
        }),
        s("text", { x: LEFT - 6, y: y(t) + 3, "text-anchor": "end", text: (p.tick ?? p.format)(t, scale.top) }),
      );
    const every = Math.max(1, Math.ceil(n / Math.max(1, Math.floor(W / 80))));
    for (let i = 0; i < n; i += every)
      kids.push(
        s("text", {
          x: x(i),
          y: height - 5,
          "text-anchor": n > 1 && i === 0 && p.kind !== "stack" ? "start" : "middle",
          text: p.labels[i],
        }),
      );
    if (p.limit && p.limit[0] <= scale.top)
      kids.push(
        s("line", { class: "limit", x1: LEFT, x2: width - RIGHT, y1: y(p.limit[0]), y2: y(p.limit[0]) }),
        s("text", { x: width - RIGHT, y: y(p.limit[0]) - 4, "text-anchor": "end", text: p.limit[1] }),
      );
    for (const e of p.events ?? [])
      kids.push(
        s("line", { class: "event", x1: x(e.at), x2: x(e.at), y1: TOP, y2: TOP + H }, s("title", { text: e.label })),
      );
    if (p.kind === "stack") kids.push(...bars(p, x, y, n, W));
    else
      for (const one of p.series) {
        const points = thin(one.values, Math.max(50, Math.floor(W / 1.5)), (v) => v);
        const d = points
          .map(({ p: v, i }, k) => `${k === 0 ? "M" : "L"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`)
          .join("");
        if (points.length > 0)
          kids.push(
            s("path", {
              class: "area",
              d: `${d}L${x(points[points.length - 1].i).toFixed(1)} ${y(0)}L${x(points[0].i).toFixed(1)} ${y(0)}Z`,
              vars: { "--c": `var(${one.colour})` },
            }),
            s("path", { class: "line", d, vars: { "--c": `var(${one.colour})` } }),
          );
        if (points.length === 1)
          kids.push(s("circle", { cx: x(0), cy: y(points[0].p), r: 3, fill: `var(${one.colour})` }));
      }
    cursor = s("line", { class: "cursor", y1: TOP, y2: TOP + H, visibility: "hidden" });
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, kids, cursor);
    marks = p.labels.map((_, i) => x(i));
    fill(box, svg, tip);
  };
  const show = (i) => {
    at = i;
    tip.hidden = i < 0;
    if (i < 0) {
      cursor?.setAttribute("visibility", "hidden");
      return;
    }
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", marks[i]);
    cursor.setAttribute("x2", marks[i]);
    fill(
      tip,
      h("b", { text: p.title ? p.title(i) : p.labels[i] }),
      p.series
        .filter((x) => x.values[i] || p.series.length < 3)
        .map((x) => h("div", {}, `${x.name} `, h("b", { text: p.format(x.values[i] ?? 0) }))),
    );
    tip.style.top = "4px";
    if (marks[i] > width / 2) {
      tip.style.left = "auto";
      tip.style.right = `${width - marks[i] + 10}px`;
    } else {
      tip.style.right = "auto";
      tip.style.left = `${marks[i] + 10}px`;
    }
  };
  const near = (e) => {
    const px = e.clientX - box.getBoundingClientRect().left;
    let best = -1,
      d = Infinity;
    marks.forEach((m, i) => {
      if (Math.abs(m - px) < d) {
        d = Math.abs(m - px);
        best = i;
      }
    });
    return best;
  };
  box.addEventListener("pointermove", (e) => {
    const i = near(e);
    if (i !== at) show(i);
  });
  box.addEventListener("pointerleave", () => show(-1));
  box.addEventListener("click", () => {
    if (at >= 0) p.onpick?.(at);
  });
  box.addEventListener("keydown", (e) => {
    const n = p.labels.length,
      step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (step && n > 0) {
      show(Math.max(0, Math.min(n - 1, at + step)));
      e.preventDefault();
      e.stopPropagation();
    }
    if (e.key === "Enter" && at >= 0) p.onpick?.(at);
  });
  new ResizeObserver(() => {
    const w = Math.floor(box.clientWidth);
    if (w > 0 && w !== width) {
      width = w;
      draw();
    }
  }).observe(box);
  return p.series.length > 1
    ? h(
        "div",
        {},
        box,
        h(
          "div",
          { class: "legend" },
          p.series.map((x) => h("span", {}, h("i", { vars: { "--c": `var(${x.colour})` } }), x.name)),
        ),
      )
    : box;
}

/** Stacked bars; where there are more than there is room for, neighbours share one, which shows the highest. */
function bars(p, x, y, n, W) {
  const sums = p.labels.map((_, i) => p.series.reduce((t, one) => t + (one.values[i] ?? 0), 0)),
    out = [];
  const shown = thin(sums, Math.max(1, Math.floor(W / 3)), (v) => v),
    wide = Math.max(1, Math.min(28, (W / shown.length) * 0.78));
  for (const { i } of shown) {
    let sum = 0;
    for (const one of p.series) {
      const v = one.values[i] ?? 0;
      if (v <= 0) continue;
      const top = y(sum + v),
        bottom = y(sum);
      out.push(
        s("rect", {
          class: "barp",
          x: (x(i) - wide / 2).toFixed(1),
          width: wide.toFixed(1),
          y: top.toFixed(1),
          height: Math.max(0.5, bottom - top).toFixed(1),
          vars: { "--c": `var(${one.colour})` },
        }),
      );
      sum += v;
    }
  }
  return out;
}

/** Bars that lie: [name, value, text, more text, onclick]. `full`: what a whole bar is; else the greatest of them. */
export function hbars(rows, colour, full = null) {
  const top = full ?? Math.max(1e-9, ...rows.map((r) => r[1]));
  return h(
    "div",
    { class: "hbars", vars: { "--c": `var(${colour})` } },
    rows.map(([name, value, text, more, go]) => [
      go ? button(name, go, { class: "name more" }) : h("span", { class: "name", text: name, title: name }),
      h("span", {}, h("span", { class: "t", vars: { "--p": String(Math.min(100, (value / top) * 100)) } })),
      h("span", { class: "num", text }),
      h("span", { class: "num muted", text: more ?? "" }),
    ]),
  );
}

/** Figures that stand for all. */
export function tiles(list) {
  return h(
    "div",
    { class: "tiles" },
    list
      .filter(Boolean)
      .map(([value, label]) => h("div", { class: "tile" }, h("b", { text: value }), h("span", { text: label }))),
  );
}
