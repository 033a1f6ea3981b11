//! What agents and turns cost: the sums of their model calls' spans, and of nothing else.

use std::collections::{BTreeMap, HashMap};

use ccd_proto::api;

use super::cost::Sum;
use super::view::SessionView;

impl SessionView {
    /// Gives each agent the sum of its model calls and of the agents below it, and each turn the sum and the counts of
    /// its spans. To be called again where a model call's tokens or cost were changed.
    pub fn sum_up(&mut self) {
        let parents: HashMap<&str, &str> = self
            .spans
            .iter()
            .filter_map(|s| Some((s.span.span_id.as_str(), s.span.parent_id.as_deref()?)))
            .collect();
        let agents: HashMap<&str, usize> = self
            .spans
            .iter()
            .enumerate()
            .filter(|(_, s)| s.span.kind == "agent")
            .map(|(i, s)| (s.span.span_id.as_str(), i))
            .collect();
        let turns: HashMap<String, usize> =
            self.turns.iter().enumerate().map(|(i, t)| (t.turn_id.clone(), i)).collect();
        let mut of_turn: Vec<(api::Turn, Sum)> = vec![Default::default(); self.turns.len()];
        let mut sums: BTreeMap<usize, Sum> = BTreeMap::new();
        for view in &self.spans {
            let span = &view.span;
            let turn = turns.get(&span.turn_id).and_then(|i| of_turn.get_mut(*i));
            match (span.kind.as_str(), turn) {
                ("llm", turn) => {
                    if let Some((turn, sum)) = turn {
                        turn.exchanges += 1;
                        sum.add_span(span);
                    }
                    let mut at = parents.get(span.span_id.as_str());
                    // As many steps as there are agents at most: headers come from outside and may name a circle.
                    for _ in 0..=2 * agents.len() {
                        let Some(id) = at else { break };
                        if let Some(agent) = agents.get(id) {
                            sums.entry(*agent).or_default().add_span(span);
                        }
                        at = parents.get(id);
                    }
                }
                ("tool", Some((turn, _))) => {
                    turn.tool_calls += 1;
                    turn.tool_errors += u64::from(span.status == "error");
                }
                ("agent", Some((turn, _))) if span.agent_id.is_some() => turn.agents += 1,
                _ => {}
            }
        }
        let agents: Vec<usize> = agents.into_values().collect();
        for i in agents {
            let sum = sums.remove(&i).unwrap_or_default();
            self.spans[i].span.tokens = Some(sum.tokens);
            self.spans[i].span.cost_usd_micros = sum.cost_usd_micros();
        }
        for (turn, (counts, sum)) in self.turns.iter_mut().zip(of_turn) {
            turn.exchanges = counts.exchanges;
            turn.tool_calls = counts.tool_calls;
            turn.tool_errors = counts.tool_errors;
            turn.agents = counts.agents;
            turn.tokens = sum.tokens;
            turn.cost_usd_micros = sum.cost_usd_micros();
            turn.cost = sum.display();
        }
    }
}
