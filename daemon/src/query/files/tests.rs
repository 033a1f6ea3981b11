//! Edits as the client tells them, put behind each other.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn file(edits: &[(&str, Value, Value)]) -> SessionFile {
    let mut chain = Chain::new("/w/a.rs");
    for (n, (tool, input, response)) in edits.iter().enumerate() {
        chain.add(&format!("span{n}"), &Edit::read(tool, input, response).unwrap());
    }
    chain.told()
}

fn write(content: &str, original: Option<&str>) -> (&'static str, Value, Value) {
    let kind = if original.is_some() { "update" } else { "create" };
    let response = json!({"type":kind,"filePath":"/w/a.rs","content":content,"structuredPatch":[],"originalFile":original});
    ("Write", json!({"file_path":"/w/a.rs","content":content}), response)
}

fn edit(old: &str, new: &str, original: &str, patch: &Value) -> (&'static str, Value, Value) {
    let response = json!({"filePath":"/w/a.rs","oldString":old,"newString":new,"originalFile":original,
        "structuredPatch":patch,"userModified":false,"replaceAll":false});
    ("Edit", json!({"file_path":"/w/a.rs","old_string":old,"new_string":new}), response)
}

#[test]
fn edits_that_fit_together_are_one_difference() {
    let found = file(&[
        edit(
            "b",
            "B",
            "a\nb\nc\n",
            &json!([{"oldStart":1,"oldLines":3,"newStart":1,"newLines":3,
            "lines":[" a","-b","+B"," c"]}]),
        ),
        edit("B", "b", "a\nB\nc\n", &json!([])),
        edit("c", "c\nd", "a\nb\nc\n", &json!([])),
    ]);
    assert!(found.exact && !found.created);
    assert_eq!((found.edits, found.added, found.removed), (3, 1, 0), "what was taken back is no change");
    assert_eq!((found.before.as_deref(), found.after.as_deref()), (Some("a\nb\nc\n"), Some("a\nb\nc\nd\n")));
    assert_eq!(found.spans, ["span0", "span1", "span2"]);
}

#[test]
fn a_file_that_was_made_has_nothing_before() {
    let found = file(&[
        write("one\n", None),
        edit("one", "two", "one\n", &json!([])),
        write("two\nthree\n", Some("two\n")),
    ]);
    assert!(found.exact && found.created);
    assert_eq!((found.added, found.removed), (2, 0));
    assert_eq!((found.before, found.after.as_deref()), (None, Some("two\nthree\n")));
    // An edit of nothing makes a file, too.
    let found = file(&[edit("", "x\n", "", &json!([]))]);
    assert_eq!((found.exact, found.created, found.added), (true, true, 1));
}

#[test]
fn what_something_else_changed_in_between_is_not_passed_over() {
    let found = file(&[edit("b", "B", "a\nb\n", &json!([])), edit("a", "A", "a\nB formatted\n", &json!([]))]);
    assert!(!found.exact);
    assert_eq!((found.before.as_deref(), found.after.as_deref()), (Some("a\nb\n"), Some("A\nB formatted\n")));
    assert_eq!((found.added, found.removed), (2, 2), "what the edits themselves changed");
    // It was deleted, and made again.
    assert!(!file(&[write("one\n", None), write("one\n", None)]).exact);
}

#[test]
fn a_transcript_without_originals_tells_the_edits_alone() {
    let patch =
        json!([{"oldStart":7,"oldLines":1,"newStart":7,"newLines":2,"lines":["-    b","+    B","+    C"]}]);
    let found = file(&[edit("\tb", "\tB\n\tC", "", &patch)]);
    assert!(!found.exact && !found.created);
    assert_eq!((found.added, found.removed), (2, 1));
    assert_eq!((found.before.as_deref(), found.after.as_deref()), (Some("\tb\n"), Some("\tB\n\tC\n")));
    // A write tells what it wrote, and of what was there before, what its patch shows.
    let (tool, input, mut response) = write("new\n", Some("old\n"));
    (response["content"], response["originalFile"]) = (json!(""), Value::Null);
    response["structuredPatch"] =
        json!([{"oldStart":1,"oldLines":1,"newStart":1,"newLines":1,"lines":["-old","+new"]}]);
    let found = file(&[(tool, input, response)]);
    assert_eq!(
        (found.exact, found.added, found.removed, found.after.as_deref()),
        (false, 1, 1, Some("new\n"))
    );
}

#[test]
fn a_line_goes_with_its_end_as_the_client_has_it() {
    let patch = json!([{"oldStart":1,"oldLines":3,"newStart":1,"newLines":2,"lines":[" a","-b"," c"]}]);
    let found = file(&[edit("b", "", "a\nb\nc\n", &patch)]);
    assert_eq!((found.exact, found.after.as_deref(), found.removed), (true, Some("a\nc\n"), 1));
}

#[test]
fn a_patch_that_says_something_else_is_believed() {
    // Somebody changed the edit before allowing it.
    let patch = json!([{"oldStart":1,"oldLines":1,"newStart":1,"newLines":1,"lines":["-a","+Z"]}]);
    let mut asked = edit("a", "A", "a\n", &patch);
    asked.2["newString"] = Value::Null;
    asked.2["userModified"] = json!(true);
    let found = file(&[asked]);
    assert_eq!((found.exact, found.added, found.removed), (false, 1, 1));
    assert_eq!((found.before.as_deref(), found.after.as_deref()), (Some("a\n"), Some("Z\n")));
}

#[test]
fn several_edits_at_once_and_notebooks() {
    let input = json!({"file_path":"/w/a.rs","edits":[
        {"old_string":"a","new_string":"A"},{"old_string":"b","new_string":"B","replace_all":true}]});
    let found = file(&[("MultiEdit", input, json!({"originalFileContents":"a b b\n"}))]);
    assert_eq!((found.exact, found.after.as_deref()), (true, Some("A B B\n")));
    let response =
        json!({"notebook_path":"/w/a.rs","new_source":"x","original_file":"{}","updated_file":"{\"x\":1}"});
    let found = file(&[("NotebookEdit", json!({"notebook_path":"/w/a.rs","new_source":"x"}), response)]);
    assert_eq!((found.exact, found.after.as_deref()), (true, Some("{\"x\":1}")));
    let failed = json!({"notebook_path":"/w/a.rs","error":"no such cell"});
    assert!(Edit::read("NotebookEdit", &Value::Null, &failed).is_none());
    assert!(Edit::read("Edit", &Value::Null, &Value::Null).is_none());
}

#[test]
fn edits_that_multiply_without_end_are_not_followed() {
    let steps = json!([{"old_string": "a", "new_string": "aaaaaaaaaa", "replace_all": true}]);
    let edits: Vec<_> = steps.as_array().unwrap().iter().cycle().take(20).cloned().collect();
    let input = json!({"file_path": "/w/a", "edits": edits});
    let found = file(&[("MultiEdit", input, json!({"originalFile": "a"}))]);
    assert!(!found.exact && found.edits == 1, "{found:?}");
}

#[test]
fn what_is_too_much_is_counted_only() {
    let mut chain = Chain::new("/w/a.rs");
    let (tool, input, response) = write("one\ntwo\n", None);
    chain.add("s", &Edit::read(tool, &input, &response).unwrap());
    assert!(chain.weight() > 0);
    chain.let_go();
    chain.add("t", &Edit::read(tool, &input, &response).unwrap());
    let found = chain.told();
    assert_eq!((found.edits, found.added, found.exact, found.created), (2, 4, false, true));
}

proptest! {
    #[test]
    fn a_chain_leads_from_the_first_text_to_the_last(
        begin in "([abc]\n){0,6}", steps in proptest::collection::vec(("[abc]", "[abcd]{0,2}"), 0..6),
    ) {
        let (mut now, mut edits) = (begin.clone(), vec![write(&begin, None)]);
        for (old, new) in steps {
            if let Some(at) = now.find(&old) {
                let after = format!("{}{new}{}", &now[..at], &now[at + 1..]);
                edits.push(edit(&old, &new, &now, &json!([])));
                now = after;
            }
            // Else nothing could be told from an original that was not kept.
            if now.is_empty() {
                break;
            }
        }
        let found = file(&edits);
        prop_assert!(found.created);
        if found.exact && !now.is_empty() {
            prop_assert_eq!(found.after.as_deref().unwrap_or_default(), now.as_str());
            prop_assert_eq!((found.added, found.removed), (now.lines().count() as u64, 0));
        }
    }

    #[test]
    fn any_json_is_an_edit_or_not(text in "[a-z]{0,5}", number in any::<u64>()) {
        let odd = json!({"file_path":text,"structuredPatch":[{"oldStart":number,"newStart":number,"lines":["",text,7]}],
            "oldString":text,"newString":text,"originalFile":number,"edits":[number]});
        for tool in super::super::edit::TOOLS {
            if let Some(edit) = Edit::read(tool, &odd, &odd) {
                let _ = (edit.result(Some(&text)), edit.parts(), edit.counts(None, Some(&text)));
            }
        }
    }
}
