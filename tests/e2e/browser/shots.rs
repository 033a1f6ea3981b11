//! How the pages look, with what is made up: the same to the pixel at every run, which nothing recorded is.

use ccd_tests::harness::TestHome;
use serde_json::Value;

use super::play::play;

#[test]
fn the_pages_look_as_they_did() {
    let home = TestHome::new("http://127.0.0.1:9");
    play(&home, "shots", &Value::Null);
}
