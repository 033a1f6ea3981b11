//! Each rule about loops: what fires it, and the healthy work next to it that does not.

mod common;

use ccd_detect::Kind;
use common::{Session, bash_call};
use serde_json::json;

fn loops(session: &Session) -> Vec<(&'static str, usize)> {
    session.found(Kind::Loop)
}

#[test]
fn the_same_call_with_the_same_result_is_a_loop_at_the_third() {
    let mut session = Session::new();
    session.bash("make test", "3 failed").bash("make test", "3 failed");
    assert_eq!(loops(&session), []);
    session.bash("make test", "3 failed");
    assert_eq!(loops(&session), [("repeat", session.last())]);
    session.bash("make test", "3 failed").bash("make test", "3 failed");
    assert_eq!(loops(&session).len(), 1, "told once");
    session.bash("make test", "3 failed");
    assert_eq!(loops(&session).len(), 2, "and again when it has doubled");
}

#[test]
fn times_ids_and_dress_do_not_hide_a_loop() {
    let mut session = Session::new();
    session
        .bash("make test 2>&1", "3 failed in 1.2s\nrun 9f8e7d6c5b")
        .bash("cd /home/u/shop && make test | tail -20", "3 failed in 0.97s\nrun 1234abcd99")
        .bash("make test; echo \"exit: $?\"", "3 failed in 44ms\nrun 77aa88bb99\nexit: 1");
    assert_eq!(loops(&session), [("repeat", session.last())]);
}

#[test]
fn results_that_change_are_progress() {
    let mut session = Session::new();
    for failed in (1..9).rev() {
        session.bash("make test", &format!("{failed} failed"));
    }
    assert_eq!(loops(&session), []);
}

#[test]
fn new_edits_begin_anew_and_edits_taken_back_do_not() {
    let mut healthy = Session::new();
    for n in 0..8 {
        healthy
            .edit("/home/u/shop/a.py", &format!("v{n}"), &format!("v{}", n + 1))
            .bash_fails("make test", "no");
    }
    assert_eq!(loops(&healthy), []);

    let mut back_and_forth = Session::new();
    for n in 0..4 {
        let (old, new) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
        back_and_forth.edit("/home/u/shop/a.py", old, new).bash_fails("make test", "no");
    }
    assert_eq!(loops(&back_and_forth).first(), Some(&("repeat", 7)));
}

#[test]
fn a_command_that_undoes_makes_the_next_same_edit_no_news() {
    let mut session = Session::new();
    for _ in 0..4 {
        session
            .edit("/home/u/shop/a.py", "a", "b")
            .bash_fails("make test", "no")
            .bash("git checkout -- a.py", "");
    }
    assert_eq!(loops(&session).first().map(|(rule, _)| *rule), Some("repeat"));
}

#[test]
fn the_same_edit_in_many_files_is_work() {
    let mut session = Session::new();
    for n in 0..10 {
        session.edit(&format!("/home/u/shop/{n}.py"), "2025", "2026");
    }
    assert_eq!(loops(&session), []);
}

#[test]
fn a_prompt_a_compaction_and_a_refusal_begin_anew() {
    for between in 0..3 {
        let mut session = Session::new();
        for _ in 0..5 {
            session.bash("git status", "clean");
            match between {
                0 => session.prompt("and now?"),
                1 => session.compact("manual", 50_000),
                _ => session.bash_fails("rm x", "The user doesn't want to proceed with this tool use."),
            };
        }
        assert_eq!(loops(&session), [], "{between}");
    }
}

#[test]
fn looking_between_commits_is_work() {
    let mut session = Session::new();
    for n in 0..8 {
        session
            .bash(&format!("git add f{n} && git commit -qm 'part {n}'"), "")
            .bash("git log -1 --format=%an", "u");
    }
    assert_eq!(loops(&session), []);
}

#[test]
fn two_calls_in_turn_and_long_cycles_are_loops() {
    let mut pair = Session::new();
    for _ in 0..3 {
        pair.grep("total", "a.py:1:total").grep("sum", "b.py:1:sum");
    }
    assert_eq!(loops(&pair).first(), Some(&("repeat", 6)), "the third of the first");

    let mut cycle = Session::new();
    for _ in 0..2 {
        for n in 0..8 {
            cycle.read(&format!("/home/u/shop/{n}.py"), &format!("file {n}"));
        }
    }
    assert_eq!(loops(&cycle).first(), Some(&("cycle", 13)), "the fourth that was made before");
}

#[test]
fn reading_on_is_work_and_reading_again_is_not() {
    let mut session = Session::new();
    for n in 0..12 {
        let input = json!({"file_path": "/home/u/shop/a.py", "offset": n * 100, "limit": 100});
        session.ok("Read", &input, &json!({"type": "text", "file": {"content": format!("part {n}")}}));
    }
    assert_eq!(loops(&session), []);
    let mut again = Session::new();
    again.read("/home/u/shop/a.py", "text");
    for _ in 0..2 {
        again.ok("Read", &json!({"file_path": "/home/u/shop/a.py"}), &json!({"type": "file_unchanged"}));
    }
    assert_eq!(loops(&again), [("repeat", again.last())]);
}

#[test]
fn a_list_written_again_and_again_is_a_loop() {
    let todo = |done: usize| {
        json!({"todos": (0..4).map(|n| json!({"content": n, "status": if n < done { "completed" } else { "pending" }}))
            .collect::<Vec<_>>()})
    };
    let mut session = Session::new();
    for done in 0..4 {
        session.ok("TodoWrite", &todo(done), &json!({"oldTodos": done}));
    }
    assert_eq!(loops(&session), []);
    for _ in 0..2 {
        session.ok("TodoWrite", &todo(3), &json!({"oldTodos": 3}));
    }
    assert_eq!(loops(&session), [("repeat", session.last())]);
}

#[test]
fn waiting_has_a_limit_of_its_own() {
    let mut sleeps = Session::new();
    for _ in 0..39 {
        sleeps.bash("sleep 30; gh run view 7 --json status", "in_progress");
    }
    assert_eq!(loops(&sleeps), []);
    sleeps.bash("sleep 30; gh run view 7 --json status", "in_progress");
    assert_eq!(loops(&sleeps), [("waiting", sleeps.last())]);

    let mut patient = Session::new();
    for _ in 0..12 {
        patient.wait(40).bash_fails("gh pr checks 7", "Exit code 8\nci pending");
    }
    assert_eq!(loops(&patient), []);

    let mut hammering = Session::new();
    for _ in 0..4 {
        hammering.bash_fails("gh pr checks 7", "Exit code 8\nci pending");
    }
    assert_eq!(loops(&hammering), [("waiting", hammering.last())]);

    let mut background = Session::new();
    for _ in 0..12 {
        let task = json!({"task_id": "b1", "block": true, "timeout": 30000});
        background.ok("TaskOutput", &task, &json!({"retrieval_status": "timeout"}));
    }
    assert_eq!(loops(&background), []);
}

#[test]
fn a_network_may_fail_a_few_times() {
    let error = "Exit code 1\nerror: fetch https://registry.example failed: ETIMEDOUT";
    let mut session = Session::new();
    for _ in 0..5 {
        session.bash_fails("npm test", error);
    }
    assert_eq!(loops(&session), []);
    session.bash_fails("npm test", error);
    assert_eq!(loops(&session), [("repeat", session.last())]);
}

#[test]
fn what_a_server_acts_on_is_not_seen() {
    let mut session = Session::new();
    for n in 0..4 {
        session.ok("mcp__browser__click", &json!({"ref": "next"}), &json!("Clicked"));
        session.ok("mcp__browser__look", &json!({}), &json!(format!("page {n}")));
    }
    assert_eq!(loops(&session), []);
    let mut stuck = Session::new();
    for _ in 0..5 {
        stuck.ok("mcp__browser__click", &json!({"ref": "next"}), &json!("Clicked"));
    }
    assert_eq!(loops(&stuck), [("repeat", stuck.last())]);
}

#[test]
fn searches_that_find_nothing() {
    let patterns = ["basket_order", "basketOrder", "BasketOrder", "basket.*order", "BASKET_ORDER"];
    let mut spiral = Session::new();
    for pattern in patterns {
        spiral.says("").grep(pattern, "");
    }
    assert_eq!(loops(&spiral), [("empty_search", spiral.last())]);

    let mut side_by_side = Session::new();
    side_by_side.says("");
    for pattern in patterns {
        side_by_side.grep(pattern, "");
    }
    assert_eq!(loops(&side_by_side), [], "one try, in five places");

    let mut finds = Session::new();
    for pattern in patterns {
        finds.says("").grep(pattern, "").grep("order", &format!("{pattern}: one"));
    }
    assert_eq!(loops(&finds), []);
}

#[test]
fn edits_that_miss() {
    let mut reads_between = Session::new();
    for n in 0..4 {
        reads_between.says("").edit_fails("/home/u/shop/a.py", &format!("def f{n}"));
        reads_between.says("").read("/home/u/shop/a.py", &format!("text {n}"));
    }
    assert_eq!(loops(&reads_between), [("missed_edit", reads_between.last() - 2)]);

    let mut only_edits = Session::new();
    for n in 0..4 {
        only_edits.says("").edit_fails("/home/u/shop/a.py", &format!("def f{n}"));
    }
    assert_eq!(loops(&only_edits), [("missed_edit", only_edits.last())]);

    let mut side_by_side = Session::new();
    side_by_side.says("");
    for n in 0..6 {
        side_by_side.edit_fails("/home/u/shop/a.py", &format!("def f{n}"));
    }
    assert_eq!(loops(&side_by_side), [], "one try");

    let mut hits = Session::new();
    for n in 0..6 {
        hits.says("").edit_fails("/home/u/shop/a.py", &format!("f{n}"));
        hits.edit("/home/u/shop/a.py", &format!("g{n}"), &format!("h{n}"));
    }
    assert_eq!(loops(&hits), []);
}

#[test]
fn calls_that_fail_for_one_reason() {
    let mut session = Session::new();
    for n in 0..8 {
        session.says("").bash_fails(&format!("ls dir{n}"), "Exit code 2\nls: not permitted");
    }
    assert_eq!(loops(&session), [("same_failure", session.last())]);
    let mut siblings = Session::new();
    for n in 0..9 {
        siblings
            .bash_fails(&format!("ls dir{n}"), "<tool_use_error>Sibling tool call errored</tool_use_error>");
    }
    assert_eq!(loops(&siblings), []);
}

#[test]
fn stops_without_work_between() {
    let mut session = Session::new();
    session.stop("Done.", false).stop("It is done.", true);
    assert_eq!(loops(&session), []);
    session.stop("Done.", true);
    assert_eq!(loops(&session), [("stop", session.last())]);

    let mut works = Session::new();
    for n in 0..5 {
        works.stop("Done.", n > 0).bash("make test", &format!("{n} ok"));
    }
    assert_eq!(loops(&works), []);

    let mut talks = Session::new();
    for _ in 0..5 {
        talks.stop("Yes.", false).prompt("And this?");
    }
    assert_eq!(loops(&talks), []);
}

#[test]
fn text_that_chants() {
    let line = "I will now look at the basket module once more to be sure of its order.";
    let mut session = Session::new();
    session.says(&[line; 8].join("\n\n"));
    assert_eq!(loops(&session), [("chant", session.last())]);
    let mut varied = Session::new();
    varied.says(&(0..30).map(|n| format!("{line} This is point {n}.")).collect::<Vec<_>>().join("\n"));
    varied.says(&["| basket | order | a long row of a table that is repeated |"; 30].join("\n"));
    assert_eq!(loops(&varied), []);
}

#[test]
fn each_thread_has_its_own_loops() {
    let mut session = Session::new();
    for agent in ["a1", "a2", "a3"] {
        session.agent(Some(agent)).bash("cat README", "hello");
    }
    assert_eq!(loops(&session), [], "three subagents read the same");
    session.agent(Some("a2")).bash("cat README", "hello").bash("cat README", "hello");
    assert_eq!(loops(&session), [("repeat", session.last())]);
}

#[test]
fn a_guard_is_told_before_the_next_one() {
    let mut session = Session::new();
    session.bash_fails("make test", "Error 2").bash_fails("make test", "Error 2");
    let (engine, _) = session.engine();
    assert_eq!(engine.before(None, &bash_call("make test")), None);
    session.bash_fails("make test", "Error 2");
    let (engine, _) = session.engine();
    let verdict = engine.before(None, &bash_call("make test 2>&1 | tail -5")).expect("the fourth");
    assert_eq!((verdict.kind, verdict.nth), (Kind::Loop, 4));
    assert!(verdict.reason.contains("make test") && verdict.reason.contains("3 times"), "{}", verdict.reason);
    assert_eq!(engine.before(None, &bash_call("make lint")), None);
    assert_eq!(engine.before(Some("a1"), &bash_call("make test")), None);
    session.edit("/home/u/shop/a.py", "a", "b");
    assert_eq!(session.engine().0.before(None, &bash_call("make test")), None, "something changed");
}
