//! The text for `CLAUDE.md` that would have helped: what was found, turned into a few lines of when, never and before.
//!
//! It must never copy anything that was captured but names of files, tools and commands, and of those only what a short
//! name can be made of: the text is pasted into a file that a model obeys. `names.rs` is the only way in.
//!
//! Invariants: the same detections give the same text; each kind that was found has a heading and two to five lines.

mod names;

use std::cmp::Reverse;
use std::fmt::Write as _;

use crate::detection::{Detection, Kind};

/// Lines of one kind that say when to do what.
const MAX_WHEN: usize = 3;

/// The guardrail for these detections, as Markdown; empty where nothing was found. The worst kind comes first.
#[must_use]
pub fn text(found: &[Detection]) -> String {
    let mut kinds: Vec<(Reverse<u8>, Kind)> = Kind::ALL
        .into_iter()
        .filter_map(|kind| Some((Reverse(of(found, kind).map(|d| d.severity).max()?), kind)))
        .collect();
    kinds.sort_unstable();
    let parts: Vec<String> = kinds.into_iter().map(|(_, kind)| part(found, kind)).collect();
    parts.join("\n")
}

fn of(found: &[Detection], kind: Kind) -> impl Iterator<Item = &Detection> {
    found.iter().filter(move |detection| detection.kind == kind)
}

/// What one detection asks for.
struct Lines {
    /// What can be observed, and what to do then.
    when: String,
    /// What must not be done, and why.
    never: &'static str,
    /// What must hold at the end.
    before: Option<String>,
}

fn part(found: &[Detection], kind: Kind) -> String {
    let mut found: Vec<&Detection> = of(found, kind).collect();
    found.sort_by_key(|detection| (Reverse(detection.severity), detection.at_event));
    let (mut whens, mut never, mut before) = (Vec::new(), "", None);
    for detection in found {
        let lines = lines(detection);
        if whens.len() < MAX_WHEN && !whens.contains(&lines.when) {
            whens.push(lines.when);
        }
        if never.is_empty() {
            never = lines.never;
        }
        before = before.or(lines.before);
    }
    let mut text = format!("## Guardrail: {}\n", heading(kind));
    for when in whens {
        _ = writeln!(text, "- When {when}");
    }
    _ = writeln!(text, "- Never {never}");
    if let Some(before) = before {
        _ = writeln!(text, "- Before saying that it is done: {before}");
    }
    text
}

fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::Loop => "no repetition",
        Kind::Derailment => "stay with the request",
        Kind::Overflow => "keep the context free",
        Kind::Cost => "spend on what the work needs",
        Kind::Hallucination => "look before naming",
        Kind::Completion => "done is what the checks say",
    }
}

fn lines(detection: &Detection) -> Lines {
    match detection.kind {
        Kind::Loop => looping(detection),
        Kind::Derailment => derailment(detection),
        Kind::Overflow => overflow(detection),
        Kind::Cost => cost(detection),
        Kind::Hallucination => hallucination(detection),
        Kind::Completion => completion(detection),
    }
}

fn looping(detection: &Detection) -> Lines {
    let call = names::Call::of(detection);
    let what = || call.subject();
    let when = match (detection.rule, call.tool.as_deref()) {
        ("stop", _) => {
            "a Stop hook keeps the turn from ending, do what it asks for, or say why that cannot be done; an answer alone \
             changes nothing."
                .to_owned()
        }
        ("chant", _) => "an answer begins to say the same again, end it there and say what is missing.".to_owned(),
        ("agent", _) => {
            "a subagent has reported twice on the same prompt, work with what it said, or ask it for something else."
                .to_owned()
        }
        ("waiting", _) => format!(
            "{} has given the same answer ten times, look at why it does not change, wait in the background, or tell the \
             user.",
            what()
        ),
        ("empty_search", _) => {
            "three searches in a row find nothing, list the directory or search for a part of the name; after that, ask."
                .to_owned()
        }
        ("cycle", _) => {
            "three calls in a row were all made before with the same results, say what these mean for the task, and take \
             a step that was not taken yet, or ask the user."
                .to_owned()
        }
        ("missed_edit", _) | ("repeat", Some("Edit" | "MultiEdit" | "NotebookEdit")) => format!(
            "an edit of {} does not fit, or is about to be taken back, read that part of the file as it is now and decide \
             once what it shall say.",
            call.file().unwrap_or_else(|| "a file".into())
        ),
        ("repeat", Some("Read" | "NotebookRead")) => format!(
            "{} has been read and was not changed since, use what was read, or read another part.",
            call.file().unwrap_or_else(|| "a file".into())
        ),
        ("repeat", Some("TodoWrite" | "TaskUpdate" | "TaskCreate")) => {
            "the list of tasks says so already, work on its next open point instead of writing it again.".to_owned()
        }
        ("same_failure", _) => format!(
            "{} fails three times in the same way, whatever it is given, find the one reason before the next try.",
            call.tool_name()
        ),
        _ => format!(
            "{} gives the same result a second time, change the code, the call or what it depends on before the next \
             time, or ask the user.",
            what()
        ),
    };
    let never = match detection.rule {
        "stop" => {
            "answer a Stop hook twice without having done anything in between, because it will ask again."
        }
        "chant" => "fill an answer with what it has said already, because it costs and tells nothing.",
        "agent" => {
            "start the same subagent with the same prompt a third time, because it will report the same."
        }
        "waiting" => "ask again without a pause, because what is waited for does not come any sooner.",
        _ => "make the same call a third time with nothing changed in between, because it cannot tell more.",
    };
    Lines { when, never, before: None }
}

fn derailment(detection: &Detection) -> Lines {
    let places: Vec<String> =
        detection.evidence.iter().skip(1).filter_map(|seen| names::file(&seen.text)).take(3).collect();
    let last_time =
        if places.is_empty() { String::new() } else { format!(" (last time: {})", places.join(", ")) };
    Lines {
        when: format!(
            "the next step is about something that the request does not name{last_time}, say first how it serves the \
             request; if it does not, leave it and name it at the end."
        ),
        never: "go on to other work before each point of the request is done, because what was asked for is left undone.",
        before: Some("each point of the request must be told as done, or as left and why.".to_owned()),
    }
}

fn overflow(detection: &Detection) -> Lines {
    let (when, never) = match detection.rule {
        "agent" => (
            "a subagent has much to read, give it one narrow question and ask for a short answer with places, not for \
             contents.",
            "give one subagent a whole directory to read, because it fills up and forgets the question.",
        ),
        "compacted" | "forgotten" => (
            "the conversation was compacted, read the plan and the open points again and check them against the task \
             before going on.",
            "keep a plan in the conversation only, because a compaction keeps no more than a summary: write it to a file.",
        ),
        _ => (
            "the context is three fifths full, write plan, open points and decisions to a file, then compact, or start \
             anew with a summary.",
            "print whole files or long outputs into the conversation, because they stay in the context: read parts, or \
             give the search to a subagent.",
        ),
    };
    Lines { when: when.to_owned(), never, before: None }
}

fn cost(detection: &Detection) -> Lines {
    let (when, never) = match detection.rule {
        "same_request" => (
            "the same request is sent again and again with nothing between, stop and look at what rejects the answers: a \
             gateway, a proxy, the client.",
            "let retries run unwatched, because each is paid in full.",
        ),
        "output" => (
            "a file is to be changed, edit the places that change; what is long goes into a file, not into an answer.",
            "write a whole file anew for a small change, because output is the dearest part.",
        ),
        "agents" => (
            "work is given to subagents, start three at a time at most, each with one narrow question, and a smaller model \
             where they only search.",
            "start a subagent for what one search or one read would tell, because each begins with a context of its own.",
        ),
        "model" => (
            "the model changes in the middle of the work and nobody chose it, say so and ask before going on.",
            "carry a full context over to a dearer model, because all of it is paid anew.",
        ),
        _ => (
            "a session is under way, leave its tools, its servers, its model and its instructions as they are, or start a \
             new one.",
            "put what changes with each request, such as the time, at the beginning of the context, because all after it \
             is paid again.",
        ),
    };
    Lines { when: when.to_owned(), never, before: None }
}

fn hallucination(detection: &Detection) -> Lines {
    let guess = "use a name because it sounds right, because it is found out only when it runs.";
    match detection.rule {
        "files" => Lines {
            when: "the place of a file is not known, list the directory or search for its name before the first try."
                .to_owned(),
            never: "try a second path after the first did not exist, because what is not there is not found by guessing.",
            before: None,
        },
        "import" => Lines {
            when: format!(
                "an import is added to {}, list what the package has first, and import what is there, or make it before.",
                names::importer(detection).unwrap_or_else(|| "a file".into())
            ),
            never: guess,
            before: None,
        },
        "cited" => Lines {
            when: "the closing message names files, name those that were read or changed in this session, by their paths."
                .to_owned(),
            never: "name a file from memory, because somebody will look for it.",
            before: Some(
                "`git status --short` must list every file that is told as changed; otherwise correct the message."
                    .to_owned(),
            ),
        },
        _ => Lines {
            when: format!(
                "code in {} is about to use a function, field or type that was not seen in this session, search for its \
                 definition first, and use what is there.",
                names::edited(detection).unwrap_or_else(|| "a file".into())
            ),
            never: guess,
            before: None,
        },
    }
}

fn completion(detection: &Detection) -> Lines {
    let unproved = "say that checks pass which did not run on what is there now, because nobody can rely on the rest then.";
    match detection.rule {
        "failing" => {
            let check = names::failed(detection).unwrap_or_else(|| "the check that failed".into());
            Lines {
                when: format!("{check} has failed, read what it says and mend that, then run it again."),
                never: unproved,
                before: Some(format!("{check} must end without a failure; otherwise say what fails.")),
            }
        }
        "open_tasks" => Lines {
            when:
                "tasks of the session's own list are open at the end, do them, or say which are left and why."
                    .to_owned(),
            never: "leave a task open that is done, or close one that is not, because the list is what others go by.",
            before: Some(
                "the list of tasks must have no open point; otherwise name those that are left.".to_owned(),
            ),
        },
        "unfounded_report" => Lines {
            when: "a subagent reports that checks pass, run them once more before relying on it.".to_owned(),
            never: "pass a subagent's claim on as a result, because it may not have run anything.",
            before: Some(
                "the checks must have run in this session; otherwise say that they did not.".to_owned(),
            ),
        },
        _ => {
            let such =
                names::changed(detection).map_or_else(String::new, |file| format!(" (such as {file})"));
            Lines {
                when: format!("code was changed{such}, run the project's tests after the last change, not before it."),
                never: unproved,
                before: Some(
                    "the project's tests must have run after the last change and passed; otherwise say what was not run."
                        .to_owned(),
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests;
