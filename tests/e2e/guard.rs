//! A guard by way of the real shim and daemon: which call of a loop is denied, and what is known of it afterwards.

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, TestHome, eventually};
use serde_json::Value;

#[test]
fn a_loop_is_denied_from_its_fourth_call_on_and_the_printing_is_known() {
    let home = TestHome::new("http://127.0.0.1:9");
    let file = home.layout().config_file;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "[heal]\nmode = \"guard\"\n").unwrap();
    let _daemon = Daemon::start(&home);
    let session = HookSession::new();
    let said = |event: &[u8]| {
        let out = home.cc_hook(event);
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{out}");
        let said = (!out.stdout.is_empty()).then(|| out.json());
        said.map_or(Value::Null, |said| said["hookSpecificOutput"].clone())
    };
    assert_eq!(said(&session.prompt("build it")), Value::Null);
    for n in 1..=3 {
        let id = format!("toolu_{n}");
        assert_eq!(said(&session.before_tool(&id, "make")), Value::Null, "call {n}");
        let advice = said(&session.after_tool(&id, "make", "nothing to be done"));
        assert!(advice.is_null() || n == 3 && advice["additionalContext"].is_string(), "{advice}");
    }
    // A machine that is busy may let one through: what is late is allowed.
    let mut n = 3;
    let denied = eventually("a call is denied", || {
        n += 1;
        Some(said(&session.before_tool(&format!("toolu_{n}"), "make"))).filter(|said| !said.is_null())
    });
    assert_eq!(denied["permissionDecision"], "deny");
    assert!(denied["permissionDecisionReason"].as_str().unwrap().contains("make"), "{denied}");
    assert_eq!(said(&session.before_tool("toolu_other", "ls")), Value::Null, "other calls run");
    assert_eventually!(home.running().heal.denied >= 1, "it is counted, and on record");
    assert_eq!(home.running().hooks.spooled, 0);
}
