// Where a span is shown: in which session, and in which row.
//
// No DOM. A prompt's root has the prompt's row, a helper's agent that of the call that started it.

/** The key of the row that shows a span. */
export function rowKey(model, s) {
  // The rows themselves are asked: a call may have started two helpers, and only the first one has the call's row.
  model.blocks();
  const own = `s:${s.id}`,
    rows = model.turns.get(s.turn)?.rows ?? [];
  if (rows.some((r) => r.key === own)) return own;
  return rows.find((r) => r.agent?.id === s.id || (r.type === "prompt" && r.span?.id === s.id))?.key ?? own;
}

/** Where a span is that this session may not have: { session, key }, or null where it is not on record. The key is the
    span's own: which row shows it is known once that session's data are there (Timeline.showSelected). */
export async function whereIs(api, id) {
  try {
    const { span } = await api.json(`show/${encodeURIComponent(id)}`);
    return span ? { session: span.session_id, key: `s:${span.span_id}` } : null;
  } catch (e) {
    if (e.status === 404 || e.status === 400) return null;
    throw e;
  }
}
