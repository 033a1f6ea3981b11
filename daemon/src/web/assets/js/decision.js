// Who let a tool call run, or did not, in words.
//
// Pure: no DOM. Telemetry alone tells it. What it tells besides what is known here is shown as it came.

const VERBS = { accept: "allowed", reject: "refused" };
const BY = {
  config: "by the settings",
  hook: "by a hook",
  user_permanent: "by the user, from then on",
  user_temporary: "by the user, this time",
  user_reject: "by the user",
  user_abort: "by the user, who broke off",
};
const known = (table, word) => (Object.hasOwn(table, word) ? table[word] : word);

/** "allowed by the settings"; null where nothing told of it. */
export function permission({ decision, decidedBy }) {
  if (decision === null && decidedBy === null) return null;
  const verb = decision === null ? "decided" : known(VERBS, decision);
  return decidedBy === null ? verb : `${verb} ${known(BY, decidedBy)}`;
}
