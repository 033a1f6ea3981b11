// Elements. The only place that makes them.
//
// Text becomes text nodes and nothing else: no markup is ever parsed, no address comes from what was captured, no style is
// given as text. `href` and `src` take our own pages, our own API, and pictures as data of a known kind; anything else
// throws.

const SVG = "http://www.w3.org/2000/svg";
const OURS = /^(#|\/v0\/[\w./?=&%:-]*$)/;
const PICTURE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;

function put(el, props) {
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") el.setAttribute("class", value);
    else if (key === "text") el.textContent = value;
    else if (key === "vars") for (const [name, v] of Object.entries(value)) el.style.setProperty(name, v);
    else if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "href") {
      if (!OURS.test(value)) throw new Error("no such link");
      el.setAttribute(key, value);
    } else if (key === "src") {
      if (!PICTURE.test(value)) throw new Error("no such picture");
      el.setAttribute(key, value);
    } else if (key === "value" || key === "checked" || key === "disabled" || key === "open" || key === "hidden")
      el[key] = value;
    else el.setAttribute(key, value === true ? "" : value);
  }
}

function append(el, kids) {
  for (const kid of kids) {
    if (kid === null || kid === undefined || kid === false) continue;
    if (Array.isArray(kid)) append(el, kid);
    else el.append(kid instanceof Node ? kid : document.createTextNode(String(kid)));
  }
}

/** An element: `h("b", { class: "x", onclick }, "text", [more])`. */
export function h(tag, props = {}, ...kids) {
  const el = document.createElement(tag);
  put(el, props);
  append(el, kids);
  return el;
}

/** An SVG element. */
export function s(tag, props = {}, ...kids) {
  const el = document.createElementNS(SVG, tag);
  put(el, props);
  append(el, kids);
  return el;
}

/** Puts these in the place of all that an element has. */
export function fill(el, ...kids) {
  el.replaceChildren();
  append(el, kids);
  return el;
}

/** Sets text only where it differs: writing the same again costs a layout. */
export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

/** Sets an attribute only where it differs; null takes it away. */
export function setAttr(el, name, value) {
  if (value === null || value === undefined) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== value) el.setAttribute(name, value);
}

/** Text with some of it marked: ranges [from, to). */
export function marked(text, ranges, tag = "mark") {
  const out = [];
  let at = 0;
  for (const [from, to] of ranges) {
    if (from > at) out.push(text.slice(at, from));
    out.push(h(tag, { text: text.slice(from, to) }));
    at = to;
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

/** A button. */
export function button(label, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props }, label);
}

/** A colour of the design, as the browser has it now: for canvases. */
export function colour(name) {
  const probe = (colour.probe ??= document.body.appendChild(h("i", { hidden: true })));
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

let noticeBox = null;

/** Tells something, for a few seconds. */
export function notice(text, kind = "") {
  noticeBox ??= document.getElementById("notices");
  const el = h("div", { class: `notice ${kind}`, text });
  noticeBox.append(el);
  setTimeout(() => el.remove(), kind === "error" ? 8000 : 2500);
}

/** Puts text on the clipboard, and says so. */
export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    notice(what);
  } catch {
    notice("The browser does not let this page write to the clipboard", "error");
  }
}
