//! A session's row in lists: counts, models, context.

use ccd_proto::api;

use super::pairs::ModelCall;
use super::price::Prices;
use super::request::Purpose;
use super::session::{Call, SessionState, Tool};
use crate::clock::rfc3339;

impl SessionState {
    /// Whether the session's end was seen and nothing came after it.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended_ns.is_some_and(|end| end >= self.alive_ns)
    }

    /// The session's row in lists, but for what was billed: that is its account's to tell.
    ///
    /// Made anew with each batch that changes the session: it must cost little for each call and each message.
    #[must_use]
    pub fn summary(&self, prices: &Prices) -> api::Session {
        if let Some(shadow) = self.shadow() {
            return shadow.summary(prices);
        }
        let calls = self.paired_calls();
        // Few, and when each was called first.
        let mut models: Vec<(u64, &str)> = Vec::new();
        let mut last_main: Option<&ModelCall<'_>> = None;
        for call in &calls {
            if let Some(model) = call.model() {
                match models.iter_mut().find(|(_, known)| *known == model) {
                    Some((first, _)) => *first = (*first).min(call.start_ns()),
                    None => models.push((call.start_ns(), model)),
                }
            }
            if call.purpose() == Purpose::Main
                && call.tokens().is_some()
                && last_main
                    .is_none_or(|last| (last.start_ns(), last.end_ns()) <= (call.start_ns(), call.end_ns()))
            {
                last_main = Some(call);
            }
        }
        models.sort_unstable();
        let model = last_main.and_then(ModelCall::model).map(str::to_owned);
        let used = last_main.and_then(ModelCall::tokens).map_or(0, |t| t.prompt());
        // After a compaction there is what it left, until the next call tells.
        let compacted = self.lines.compacted.filter(|(ns, _)| last_main.is_none_or(|c| c.end_ns() < *ns));
        let used = compacted.map_or(used, |(_, left)| left);
        let asked = last_main.and_then(|c| c.call?.facts.row.context_window);
        let window = asked.or_else(|| prices.context_window(model.as_deref()?));
        let (mut tool_calls, mut tool_errors) = (0, 0);
        for (_, tool) in self.visible_tools() {
            tool_calls += 1;
            tool_errors += u64::from(tool.status() == "error");
        }
        let others = self.calls.values().filter(|c| !c.facts.row.purpose().is_model_call()).count();
        api::Session {
            session_id: self.session_id.clone(),
            cwd: self.cwd.as_ref().map(|(_, cwd)| cwd.chars().take(300).collect()),
            project: self.project().map(|p| p.chars().take(100).collect()),
            model,
            started_at: rfc3339(self.first_ns),
            last_at: rfc3339(self.last_ns),
            ended: self.ended(),
            turns: self.turn_count() as u64,
            exchanges: (calls.len() + others) as u64,
            tool_calls,
            tool_errors,
            agents: self.agents.values().filter(|a| a.real).count() as u64,
            models: models.into_iter().take(8).map(|(_, model)| model.to_owned()).collect(),
            context: api::Context { used, window, percent: window.map(|w| used * 100 / w.max(1)) },
            client: self.client.as_ref().map(|(_, c)| c.clone()),
            ..api::Session::default()
        }
    }

    pub(super) fn calls_by_start(&self) -> Vec<&Call> {
        let mut calls: Vec<&Call> = self.calls.values().collect();
        calls.sort_by_key(|c| (c.facts.row.started_ns, c.facts.row.id));
        calls
    }

    /// Tool calls that are calls: a result of a call from before the capture, or a call in an answer that was
    /// cut and asked for again, tells of nothing that ran.
    pub(super) fn visible_tools(&self) -> impl Iterator<Item = (&String, &Tool)> {
        self.tools.iter().filter(|(_, t)| {
            let hooked = t.start.is_some() || t.end.is_some() || t.batch.is_some();
            let asked = t.requested.is_some_and(|(_, id)| {
                t.result.is_some() || self.calls.get(&id).is_some_and(|c| c.facts.row.complete)
            });
            hooked || asked || t.asked.is_some() || t.signal.is_some()
        })
    }
}
