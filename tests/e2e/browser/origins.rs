//! What another site's page can do in the same browser: nothing.

use ccd_tests::harness::{Supervised, TestHome};
use ccd_tests::mock::{Mock, Script};
use serde_json::json;

use super::play::play;

#[test]
fn another_sites_page_reads_nothing_and_changes_nothing() {
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    let _daemon = Supervised::start(&home);
    let status = home.running();
    let scene = json!({"proxy": status.proxy.listen, "base_url": home.base_url()});
    play(&home, "origins", &scene);
    assert_eq!(mock.ledger().len(), 0, "nothing was spent");
}
