// What a session did to files: from its edits, file by file, the difference of the whole session.
//
// Pure: no DOM. Edits are somebody's JSON; what cannot be followed exactly is told as the edits it was (`exact` false), never
// guessed.

const str = (v) => (typeof v === "string" ? v : null);

/** The text after one call, from the text before: null where that is not known. */
function after(input, output, before) {
  if (str(input?.content) !== null) return input.content;
  const original = str(output?.originalFile) ?? before;
  if (original === null) return null;
  const edits = Array.isArray(input?.edits) ? input.edits : [input];
  let text = original;
  for (const e of edits) {
    const from = str(e?.old_string),
      to = str(e?.new_string);
    if (from === null || to === null) return null;
    if (from === "" && text === "") {
      text = to;
      continue;
    }
    const at = text.indexOf(from);
    if (at < 0) return null;
    text = e.replace_all ? text.split(from).join(to) : text.slice(0, at) + to + text.slice(at + from.length);
  }
  return text;
}

/** Spans with content, in time → files: { path, spans, before, after, exact, created }, those with most changes first. */
export function filesTouched(spans) {
  const files = new Map();
  for (const s of spans) {
    if (s.status !== "ok" && s.status !== undefined) continue;
    const path = str(s.input?.file_path) ?? str(s.input?.notebook_path);
    if (path === null) continue;
    let f = files.get(path);
    if (!f) {
      const original = str(s.output?.originalFile);
      f = {
        path,
        spans: [],
        before: original ?? (s.output?.type === "create" ? "" : null),
        after: null,
        exact: true,
        created: s.output?.type === "create",
        parts: [],
      };
      files.set(path, f);
    }
    f.spans.push(s.span_id);
    f.parts.push(s);
    const text = after(s.input, s.output, f.after ?? f.before);
    if (text === null || f.before === null) f.exact = false;
    f.after = text ?? f.after;
  }
  return [...files.values()].sort((a, b) => b.spans.length - a.spans.length || (a.path < b.path ? -1 : 1));
}
