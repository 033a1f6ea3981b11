//! What an alert says.
//!
//! Some desktops read markup, and a webhook is somebody else's machine: of what others named, only letters, digits,
//! `-`, `_` and `.` get through; of what was captured, nothing does.

use crate::clock::rfc3339;
use crate::heal::words::short;
use crate::ingest::found::{DetectionV1, InterventionV1};
use ccd_store::RecordId;
use serde_json::json;

use super::Told;

/// Characters of a name.
const MAX_NAME: usize = 40;

fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(MAX_NAME).collect()
}

/// The last component of a working directory.
fn project(cwd: Option<&str>) -> Option<String> {
    let name = plain(std::path::Path::new(cwd?).file_name()?.to_str()?);
    (!name.is_empty()).then_some(name)
}

fn hex(id: &RecordId) -> String {
    uuid::Uuid::from_bytes(*id).simple().to_string()
}

fn summed(more: u32) -> String {
    if more == 0 { String::new() } else { format!(" ({more} more since the last alert)") }
}

/// About a detection; `more` like it were not told of.
pub(super) fn detection(d: &DetectionV1, more: u32) -> Told {
    let id = DetectionV1::record_id(&d.session_id, &d.kind, &d.rule, d.at_event);
    let (kind, project) = (plain(&d.kind), project(d.cwd.as_deref()));
    let place = project.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    Told {
        title: format!("ccd: {kind}, severity {}", d.severity),
        text: format!("Session {}{place}{}", short(&d.session_id), summed(more)),
        json: json!({
            "alert": "detection",
            "detection_id": hex(&id),
            "kind": kind,
            "rule": plain(&d.rule),
            "mast": d.mast.as_deref().map(plain),
            "severity": d.severity,
            "confidence": d.confidence,
            "session_id": plain(&d.session_id),
            "agent_id": d.agent_id.as_deref().map(plain),
            "project": project,
            "turn_id": d.turn_id.as_deref().map(plain),
            "span_id": d.span_id.as_deref().map(plain),
            "at": rfc3339(d.at_ns),
            "more": more,
        }),
    }
}

/// About a turn that is let run after its last denial.
pub(super) fn let_run(i: &InterventionV1, more: u32) -> Told {
    let kind = plain(&i.kind);
    Told {
        title: format!("ccd: {kind} goes on"),
        text: format!(
            "Session {}: the same call was denied three times; nothing more is denied in this turn{}",
            short(&i.session_id),
            summed(more)
        ),
        json: json!({
            "alert": "let_run",
            "detection_id": i.detection.as_ref().map(hex),
            "kind": kind,
            "rule": plain(&i.rule),
            "session_id": plain(&i.session_id),
            "agent_id": i.agent_id.as_deref().map(plain),
            "tool_use_id": i.tool_use_id.as_deref().map(plain),
            "at": rfc3339(i.at_ns),
            "more": more,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::found::EvidenceV1;

    #[test]
    fn nothing_that_was_captured_gets_out_and_nothing_is_markup() {
        let nasty = "<b>canary</b> $(rm)\u{1b}[2J".to_owned();
        let d = DetectionV1 {
            at_ns: 1_795_200_000_000_000_000,
            session_id: "0123abcd-<i>x</i>-9999".into(),
            agent_id: None,
            cwd: Some("/home/<u>me</u>/my app".into()),
            turn_id: Some("p-1".into()),
            span_id: None,
            kind: "loop".into(),
            rule: "repeat".into(),
            severity: 75,
            confidence: 90,
            at_event: 4,
            title: nasty.clone(),
            evidence: vec![EvidenceV1 { span_id: None, text: nasty.clone() }],
            advice: nasty,
            mast: Some("FM-1.3".into()),
            fingerprint: [0; 16],
        };
        let told = detection(&d, 2);
        assert_eq!(told.title, "ccd: loop, severity 75");
        assert_eq!(told.text, "Session 0123abcd in myapp (2 more since the last alert)");
        let json = told.json.to_string();
        assert!(!json.contains("canary") && !json.contains('<') && !json.contains("home"), "{json}");
        assert_eq!(
            (&told.json["mast"], &told.json["detection_id"]),
            (&json!("FM-1.3"), &json!(hex(&DetectionV1::record_id(&d.session_id, "loop", "repeat", 4))))
        );
        let last = InterventionV1 {
            at_ns: 0,
            session_id: d.session_id.clone(),
            agent_id: None,
            detection: None,
            kind: "loop".into(),
            rule: "repeat".into(),
            action: "denied".into(),
            event: "PreToolUse".into(),
            tool_use_id: Some("toolu_1".into()),
            text: d.title.clone(),
            delivered: true,
        };
        let told = let_run(&last, 0);
        assert!(
            told.text.ends_with("denied in this turn") && !told.json.to_string().contains("canary"),
            "{told:?}"
        );
    }
}
