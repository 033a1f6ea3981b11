//! By which ids a record is joined to a span: only by those that both really have, each in the member where the client
//! writes it. Pure.
//!
//! Must never join by a time, by an order, or by an id that merely occurs in some text. What happens within an agent (its
//! model calls and tool calls) tells of spans of its own, and is not said to tell of the agent, too.

use serde_json::Value;

/// The span that is asked about, by the id that its records share with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A tool call, by its `tool_use_id`.
    Tool(String),
    /// A model call, by the API's message id, and the id of the request that it answers where that is known.
    Call(String, Option<String>),
    /// A turn, by its `prompt_id`.
    Turn(String),
    /// A subagent, by its id.
    Agent(String),
}

/// By what a record is joined, and that id.
pub(super) type Join = (&'static str, String);

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn elements<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The content blocks of a line's message.
fn blocks(line: &Value) -> &[Value] {
    line.get("message").map_or(&[], |message| elements(message, "content"))
}

/// Members of a line that name the call it was written for.
const OF_CALL: [&str; 4] = ["toolUseID", "tool_use_id", "parentToolUseID", "sourceToolUseID"];

impl About {
    /// The id as it stands in JSON: bytes without it tell nothing of the span.
    pub(super) fn needle(&self) -> String {
        let (About::Tool(id) | About::Call(id, _) | About::Turn(id) | About::Agent(id)) = self;
        let quoted = Value::from(id.as_str()).to_string();
        quoted.trim_matches('"').to_owned()
    }

    /// The same of telemetry, which knows a call by its request.
    pub(super) fn request_needle(&self) -> String {
        match self {
            About::Call(_, Some(request)) => About::Turn(request.clone()).needle(),
            _ => self.needle(),
        }
    }

    /// How a hook's payload is joined.
    pub(super) fn hook(&self, payload: &Value) -> Option<Join> {
        let has = |name: &str, id: &str| text(payload, name) == Some(id);
        let join = |by: &'static str, id: &String| Some((by, id.clone()));
        // Of a call: the call's span is told of.
        let of_call = payload.get("tool_use_id").is_some() || payload.get("tool_calls").is_some();
        match self {
            About::Tool(id) => {
                let in_batch =
                    || elements(payload, "tool_calls").iter().any(|c| text(c, "tool_use_id") == Some(id));
                if has("tool_use_id", id) || in_batch() { join("tool_use_id", id) } else { None }
            }
            About::Turn(id) => {
                let of_agent = payload.get("agent_id").is_some();
                if has("prompt_id", id) && !of_call && !of_agent { join("prompt_id", id) } else { None }
            }
            About::Agent(id) => {
                let started = payload.get("tool_response").is_some_and(|r| text(r, "agentId") == Some(id));
                if started || (has("agent_id", id) && !of_call) { join("agent_id", id) } else { None }
            }
            About::Call(..) => None,
        }
    }

    /// How an item of telemetry is joined, by its attributes.
    pub(super) fn telemetry(&self, attributes: &Value) -> Option<Join> {
        let has = |name: &str, id: &str| text(attributes, name) == Some(id);
        let join = |by: &'static str, id: &String| Some((by, id.clone()));
        let of_call = || {
            ["tool_use_id", "request_id", "request_body_id"]
                .iter()
                .any(|name| attributes.get(*name).is_some())
        };
        match self {
            About::Tool(id) => {
                if has("tool_use_id", id) {
                    join("tool_use_id", id)
                } else {
                    None
                }
            }
            // What a call's tools did names its request, too.
            About::Call(..) if attributes.get("tool_use_id").is_some() => None,
            About::Call(message, request) => match request {
                Some(request) if has("request_id", request) => join("request_id", request),
                _ if !message.is_empty() && has("message.id", message) => join("message_id", message),
                _ => None,
            },
            About::Turn(id) => {
                let of_agent = attributes.get("agent_id").is_some();
                if has("prompt.id", id) && !of_call() && !of_agent { join("prompt_id", id) } else { None }
            }
            About::Agent(id) => {
                if has("agent_id", id) && !of_call() {
                    join("agent_id", id)
                } else {
                    None
                }
            }
        }
    }

    /// How a transcript's line is joined.
    pub(super) fn line(&self, line: &Value) -> Option<Join> {
        let has = |name: &str, id: &str| text(line, name) == Some(id);
        let of = |name: &str| line.get(name);
        let is_result = || blocks(line).iter().any(|b| text(b, "type") == Some("tool_result"));
        match self {
            About::Tool(id) => {
                let in_block = blocks(line).iter().any(|block| {
                    (text(block, "type") == Some("tool_use") && text(block, "id") == Some(id))
                        || text(block, "tool_use_id") == Some(id)
                });
                let marked = OF_CALL.iter().any(|name| has(name, id))
                    || of("attachment").is_some_and(|a| OF_CALL.iter().any(|name| text(a, name) == Some(id)));
                (in_block || marked).then(|| ("tool_use_id", id.clone()))
            }
            About::Call(message, request) => {
                if of("message").and_then(|m| text(m, "id")) != Some(message) {
                    return None;
                }
                match (text(line, "requestId"), request) {
                    (Some(told), Some(request)) => (told == request).then(|| ("request_id", request.clone())),
                    _ => Some(("message_id", message.clone())),
                }
            }
            About::Turn(id) => {
                let aside = of("agentId").is_some() || of("isSidechain") == Some(&Value::Bool(true));
                if aside || is_result() {
                    None
                } else if has("promptId", id) {
                    Some(("prompt_id", id.clone()))
                } else {
                    // Before lines named their turn, the prompt's own line was its name.
                    let own = of("promptId").is_none() && has("type", "user") && has("uuid", id);
                    own.then(|| ("uuid", id.clone()))
                }
            }
            About::Agent(id) => {
                let asked = has("agentId", id) && !has("type", "assistant") && !is_result();
                let started = of("toolUseResult").is_some_and(|r| text(r, "agentId") == Some(id));
                (asked || started).then(|| ("agent_id", id.clone()))
            }
        }
    }

    /// How the file beside a subagent's transcript is joined; `agent`: whose file it is by its name.
    pub(super) fn meta(&self, agent: Option<&str>, meta: &Value) -> Option<Join> {
        match self {
            About::Tool(id) if text(meta, "toolUseId") == Some(id) => Some(("tool_use_id", id.clone())),
            About::Agent(id) if agent == Some(id) => Some(("agent_id", id.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn by(join: Option<Join>) -> &'static str {
        join.map_or("-", |(by, _)| by)
    }

    #[test]
    fn a_call_is_told_of_where_its_id_stands_and_not_where_it_is_mentioned() {
        let about = About::Tool("toolu_1".into());
        let hooks = [
            (json!({"hook_event_name":"PreToolUse","tool_use_id":"toolu_1"}), "tool_use_id"),
            (json!({"tool_calls":[{"tool_use_id":"toolu_0"},{"tool_use_id":"toolu_1"}]}), "tool_use_id"),
            (json!({"tool_use_id":"toolu_2","tool_input":{"command":"grep toolu_1"}}), "-"),
            (json!({"prompt":"what is toolu_1?"}), "-"),
        ];
        for (payload, want) in hooks {
            assert_eq!(by(about.hook(&payload)), want, "{payload}");
        }
        let lines = [
            (
                json!({"type":"assistant","message":{"content":[{"type":"tool_use","id":"toolu_1"}]}}),
                "tool_use_id",
            ),
            (
                json!({"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"toolu_1"}]}}),
                "tool_use_id",
            ),
            (json!({"type":"attachment","attachment":{"toolUseID":"toolu_1"}}), "tool_use_id"),
            (json!({"type":"progress","parentToolUseID":"toolu_1"}), "tool_use_id"),
            (json!({"type":"user","message":{"content":"toolu_1"}}), "-"),
            (
                json!({"type":"assistant","message":{"content":[{"type":"text","text":"toolu_1","id":"toolu_1"}]}}),
                "-",
            ),
        ];
        for (line, want) in lines {
            assert_eq!(by(about.line(&line)), want, "{line}");
        }
        assert_eq!(by(about.meta(Some("a1"), &json!({"toolUseId":"toolu_1"}))), "tool_use_id");
    }

    #[test]
    fn a_message_is_its_own_requests_alone() {
        let about = About::Call("msg_1".into(), Some("req_1".into()));
        let line = |request: Value| json!({"type":"assistant","requestId":request,"message":{"id":"msg_1"}});
        assert_eq!(by(about.line(&line(json!("req_1")))), "request_id");
        assert_eq!(by(about.line(&line(json!("req_2")))), "-", "a gateway may use one message id for all");
        assert_eq!(by(about.line(&line(Value::Null))), "message_id");
        assert_eq!(by(About::Call("msg_1".into(), None).line(&line(json!("req_2")))), "message_id");
    }

    #[test]
    fn what_happens_within_a_turn_or_an_agent_tells_of_itself() {
        let turn = About::Turn("p1".into());
        assert_eq!(
            by(turn.hook(&json!({"hook_event_name":"UserPromptSubmit","prompt_id":"p1"}))),
            "prompt_id"
        );
        assert_eq!(by(turn.hook(&json!({"prompt_id":"p1","tool_use_id":"toolu_1"}))), "-");
        assert_eq!(by(turn.hook(&json!({"prompt_id":"p1","agent_id":"a1"}))), "-");
        assert_eq!(
            by(turn.line(&json!({"type":"user","promptId":"p1","message":{"content":"go"}}))),
            "prompt_id"
        );
        assert_eq!(by(turn.line(&json!({"type":"user","uuid":"p1","message":{"content":"go"}}))), "uuid");
        let result = json!({"type":"user","promptId":"p1","message":{"content":[{"type":"tool_result"}]}});
        assert_eq!(by(turn.line(&result)), "-");
        let agent = About::Agent("a1".into());
        assert_eq!(by(agent.hook(&json!({"hook_event_name":"SubagentStop","agent_id":"a1"}))), "agent_id");
        assert_eq!(by(agent.hook(&json!({"agent_id":"a1","tool_use_id":"toolu_1"}))), "-");
        assert_eq!(by(agent.hook(&json!({"tool_use_id":"t","tool_response":{"agentId":"a1"}}))), "agent_id");
        assert_eq!(
            by(agent.line(&json!({"type":"user","agentId":"a1","message":{"content":"go"}}))),
            "agent_id"
        );
        assert_eq!(by(agent.line(&json!({"type":"assistant","agentId":"a1"}))), "-");
        assert_eq!(by(agent.meta(Some("a1"), &json!({}))), "agent_id");
    }

    #[test]
    fn a_needle_is_the_id_as_json_has_it() {
        assert_eq!(About::Tool("a\"b\\c".into()).needle(), r#"a\"b\\c"#);
    }
}
