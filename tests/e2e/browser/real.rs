//! Sessions of the real client, captured by hooks, proxy and transcripts at once.

use std::path::Path;
use std::thread;

use ccd_tests::assert_eventually;
use ccd_tests::harness::{RealClient, Supervised, TestHome};
use ccd_tests::mock::{Exchange, Mock, Script, reply, trouble};
use serde_json::{Value, json};

use super::play::play;
use crate::check;
use crate::scenario::{self, EVERYTHING, FLAKY, SETTINGS};

/// Starts [`pictures`].
const PICTURES: &str = "SCENARIO-pictures";
/// Starts a session that does the same thing over and over.
const LOOP: &str = "demo: loop";

/// Two pixels.
const PICTURE: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
    0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x7b, 0x40, 0xe8, 0xdd, 0x00,
    0x00, 0x00, 0x0f, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0xc0, 0xf0, 0x1f, 0x00,
    0x05, 0x00, 0x01, 0xff, 0x66, 0x1d, 0x5d, 0x69, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae,
    0x42, 0x60, 0x82,
];

/// Looks like a key of a well-known kind and is none. Put together here, so that nobody takes this file for a leak.
fn planted() -> String {
    format!("ghp_{}", "16C7e42F292c6912E7710c838347Ae178B4a")
}

/// A turn that reads a picture, prints in colours, shows a key, and changes a file of some length.
fn pictures(work: &Path) -> Script {
    let file = |name: &str| work.join(name).display().to_string();
    let lines: Vec<String> = (1..=20).map(|n| format!("let value_{n} = {n};")).collect();
    let edit = json!({
        "file_path": file("values.rs"), "old_string": "let value_10 = 10;", "new_string": "let value_10 = 100;",
        "replace_all": false,
    });
    let colours = json!({"command": "printf 'a \\033[31mred\\033[0m word\\n'", "description": "Colours"});
    let secret = json!({"command": format!("echo token {}", planted()), "description": "Show a key"});
    Script::new().on(
        PICTURES,
        [
            reply()
                .text("A picture, and colours.")
                .tool("Read", json!({"file_path": file("picture.png")}))
                .tool("Bash", colours),
            reply().tool("Write", json!({"file_path": file("values.rs"), "content": lines.join("\n")})),
            reply().tool("Edit", edit),
            reply().tool("Bash", secret),
            reply().thinking_omitted().text("That was **all** of it."),
        ],
    )
}

/// Everything that the scenes of the real client have.
fn script(work: &Path) -> Script {
    let all = [scenario::everything(work), scenario::flaky(), pictures(work)];
    let all = all.into_iter().flat_map(|script| script.conversations);
    all.chain(trouble::demos()).fold(Script::new(), Script::with)
}

/// What went over the wire, as files beside what they are about.
fn kept(home: &TestHome, ledger: &[Exchange]) -> Vec<Value> {
    let dir = home.work().parent().unwrap().join("wire");
    std::fs::create_dir_all(&dir).unwrap();
    let write = |n: usize, side: &str, bytes: &[u8]| {
        let path = dir.join(format!("{n}.{side}"));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let told = |(n, sent): (usize, &Exchange)| {
        json!({
            "request_id": sent.request_id, "message_id": sent.message_id, "session": sent.session(),
            "agent": sent.agent(), "status": sent.status, "stop_reason": sent.stop_reason,
            "request": write(n, "request", &sent.request), "response": write(n, "response", &sent.response),
        })
    };
    ledger.iter().enumerate().map(told).collect()
}

/// A daemon and the sessions `everything` (compacted at its end), `looping`, `flaky` and `pictures`.
fn scene(act: impl FnOnce(&TestHome, &Value)) {
    let home = TestHome::without_upstream();
    let mock = Mock::start(script(&home.work()));
    let home = home.with_upstream(&mock.url());
    home.write_settings(SETTINGS);
    let config = home.layout().config_file;
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(config, "[heal]\nmode = \"guard\"\n").unwrap();
    std::fs::write(home.work().join("picture.png"), PICTURE).unwrap();
    let _daemon = Supervised::start(&home);
    let client = RealClient::find();
    let elsewhere = client.in_dir(home.work().join("elsewhere"));
    let (everything, others) = thread::scope(|scope| {
        let everything = scope.spawn(|| {
            let run = client.print_captured(&home, EVERYTHING, &[]);
            let _ = client.print_captured(&home, "/compact", &["--resume", run.session()]);
            run.session().to_owned()
        });
        let others = scope.spawn(|| {
            let run =
                |client: &RealClient, prompt| client.print_captured(&home, prompt, &[]).session().to_owned();
            [run(&elsewhere, LOOP), run(&client, PICTURES), run(&elsewhere, FLAKY)]
        });
        (everything.join().unwrap(), others.join().unwrap())
    });
    let ledger = mock.ledger();
    let [looping, pictures, flaky] = others;
    let quiet = |id: &String| check::turns(&home, id).iter().all(|turn| turn.status != "running");
    assert_eventually!(check::exchanges(&home).len() >= ledger.len(), "every exchange is recorded");
    assert_eventually!(
        [&everything, &looping, &pictures, &flaky].into_iter().all(quiet),
        "every turn's end is"
    );
    let scene = json!({
        "everything": everything, "looping": looping, "pictures": pictures, "flaky": flaky, "prompt": EVERYTHING,
        "planted": planted(), "ledger": kept(&home, &ledger),
    });
    act(&home, &scene);
}

#[test]
fn the_pages_show_what_the_real_client_did() {
    scene(|home, scene| play(home, "real", scene));
}
