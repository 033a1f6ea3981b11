//! Turns that are kept from ending: counted, so that the healer makes no loop of its own.

use ccd_tests::harness::Daemon;
use ccd_tests::mock::{Conversation, Script, reply, trouble};
use serde_json::json;

use super::{interventions, is_ended, late, play, times_told, world, write};

const CLAIM: &str = "HEAL-claim";
/// What the client puts before the reason of a blocked Stop.
const FEEDBACK: &str = "Stop hook feedback:";
const FAILS: &str = "echo '2 tests failed'\nexit 1\n";

fn claiming(home: &ccd_tests::harness::TestHome) -> Script {
    let file = home.work().join("app.py").display().to_string();
    Script::new().with(trouble::unfounded(CLAIM, "sh test.sh", &file, 20))
}

/// The blocks of a session that claims what is not so, twenty times over, under this `[heal]`, and the answers that were late.
#[track_caller]
fn blocks(more: &str) -> (usize, usize) {
    let (home, mock) = world(&format!("[heal]\nmode = \"guard\"\n{more}"), claiming);
    write(&home, "test.sh", FAILS);
    let _daemon = Daemon::start(&home);
    let run = play(&home, CLAIM, &[]);
    assert_eq!(run.text(), trouble::CLAIM, "the session ends by itself");
    is_ended(&home, run.session());
    let blocks = times_told(&mock, &run, FEEDBACK);
    let done = interventions(&home, run.session(), blocks);
    let blocked: Vec<_> = done.iter().filter(|done| done.action == "blocked").collect();
    assert_eq!(blocked.len(), blocks, "every one is on the audit list: {done:?}");
    for block in blocked {
        assert_eq!(
            (block.kind.as_str(), block.event.as_str(), block.delivered),
            ("completion", "Stop", true)
        );
        assert!(times_told(&mock, &run, &block.text) > 0, "the model was told: {block:?}");
    }
    (blocks, late(&home))
}

#[test]
fn a_claim_that_is_not_so_does_not_end_the_turn_but_for_a_counted_number_of_times() {
    let (blocks, late) = blocks("");
    assert!(blocks <= 2 && blocks + late >= 1, "no more than the default allows: {blocks}, {late} late");
}

#[test]
fn one_block_is_one_block() {
    let (blocks, late) = blocks("max_stop_blocks = 1\n");
    assert!(blocks <= 1 && blocks + late >= 1, "{blocks}, {late} late");
}

#[test]
fn a_limit_of_none_is_none() {
    assert_eq!(blocks("max_stop_blocks = 0\n").0, 0);
}

/// The client stops counting blocks once a tool was called between: only ccd's own counter ends this.
#[test]
fn calls_between_do_not_start_the_counter_anew() {
    let check = || reply().tool("Bash", json!({"command": "sh test.sh", "description": "Run the tests"}));
    let edit = |n: usize| {
        let input = json!({"command": format!("echo {n} > app.py"), "description": "Change something"});
        reply().tool("Bash", input)
    };
    let round = |n: usize| [edit(n), check(), reply().text(trouble::CLAIM)];
    let rounds = || Conversation::new(CLAIM, (0..12).flat_map(round));
    let (home, mock) = world("[heal]\nmode = \"guard\"\n", |_| Script::new().with(rounds()));
    write(&home, "test.sh", FAILS);
    let _daemon = Daemon::start(&home);
    let run = play(&home, CLAIM, &[]);
    assert_eq!(run.text(), trouble::CLAIM);
    let blocks = times_told(&mock, &run, FEEDBACK);
    assert!(blocks <= 2 && blocks + late(&home) >= 1, "{blocks}");
}

#[test]
fn who_mends_what_failed_may_end() {
    let bash =
        |command: &str| reply().tool("Bash", json!({"command": command, "description": "Run a command"}));
    let steps = [
        bash("sh test.sh"),
        reply().text(trouble::CLAIM),
        bash("echo 'echo 2 tests passed' > test.sh"),
        bash("sh test.sh"),
        reply().text(trouble::CLAIM),
    ];
    let (home, mock) = world("[heal]\nmode = \"guard\"\n", |_| Script::new().on(CLAIM, steps));
    write(&home, "test.sh", FAILS);
    let _daemon = Daemon::start(&home);
    let run = play(&home, CLAIM, &[]);
    assert_eq!(run.text(), trouble::CLAIM);
    let (blocks, late) = (times_told(&mock, &run, FEEDBACK), late(&home));
    assert!(blocks <= 1 && blocks + late >= 1, "{blocks}, {late} late");
    let steps = if blocks == 1 { 5 } else { 2 };
    assert_eq!(mock.ledger().len(), steps, "it goes on after a block, and ends after the second claim");
}
