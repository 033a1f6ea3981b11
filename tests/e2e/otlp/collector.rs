//! A real client's session through `rotel`, a collector that is not ours: everything arrives, and adds up.

use ccd_proto::api::{OtelExported, Usage};
use ccd_tests::harness::{Daemon, RealClient, Rotel, TestHome, eventually};
use ccd_tests::mock::Mock;

use super::sink::{Sink, assert_trees, number, text};
use crate::check;
use crate::numbers::imported;
use crate::scenario::{AGAIN, EVERYTHING, SETTINGS, everything};

#[test]
fn a_real_session_arrives_whole_and_adds_up() {
    let home = TestHome::without_upstream();
    let mock = Mock::start(everything(&home.work()));
    let home = home.with_upstream(&mock.url());
    home.write_settings(SETTINGS);
    let _daemon = Daemon::start(&home);
    let client = RealClient::find();
    let first = client.print_captured(&home, EVERYTHING, &[]);
    let _ = client.print_captured(&home, AGAIN, &["--resume", first.session()]);
    let ledger = mock.ledger();
    eventually("every exchange is recorded", || {
        (check::exchanges(&home).len() >= ledger.len()).then_some(())
    });
    imported(&home, 0);
    let usage: Usage = home.query(&["usage"]);
    let sink = Sink::taking_all();
    let rotel = Rotel::start(&home, &sink.url());

    for (how, content) in [
        (["--protocol", "http/protobuf", "--compress", "gzip"], "full"),
        (["--protocol", "http/json", "--compress", "none"], "text"),
        (["--protocol", "http/json", "--compress", "gzip"], "none"),
    ] {
        sink.clear();
        let url = rotel.url();
        let asked = [&["export-otel", "-e", &url, "--content", content][..], &how].concat();
        let done: OtelExported = home.query(&asked);
        assert_eq!((done.rejected_spans, done.running, done.sessions, done.traces), (0, 0, 1, 2), "{done:?}");
        let spans = eventually("the collector sends on", || {
            let spans = sink.spans();
            (spans.len() as u64 >= done.spans).then_some(spans)
        });
        assert_eq!(spans.len() as u64, done.spans, "{how:?}");
        assert_eq!(assert_trees(&spans), 2, "{how:?}");

        let sum = |key: &str| spans.iter().map(|span| number(span, key)).sum::<i64>();
        let told = usage.totals.tokens;
        let as_told = |n: u64| i64::try_from(n).unwrap();
        assert_eq!(sum("gen_ai.usage.input_tokens"), as_told(told.prompt()), "{how:?}");
        assert_eq!(sum("gen_ai.usage.output_tokens"), as_told(told.output), "{how:?}");
        assert_eq!(sum("gen_ai.usage.cache_read.input_tokens"), as_told(told.cache_read), "{how:?}");
        let written = told.cache_write_5m + told.cache_write_1h;
        assert_eq!(sum("gen_ai.usage.cache_creation.input_tokens"), as_told(written), "{how:?}");
        assert_eq!(Some(sum("ccd.cost_usd_micros")), usage.totals.cost_usd_micros, "{how:?}");

        for span in &spans {
            assert_eq!(text(span, "gen_ai.conversation.id"), Some(first.session()));
            let (said, thought) = (text(span, "gen_ai.output.messages"), content != "none");
            assert!(thought || said.is_none(), "{}", span.name);
            for json in [said, text(span, "gen_ai.input.messages")].into_iter().flatten() {
                let messages: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
                assert!(messages.iter().all(|m| m["role"].is_string() && m["parts"].is_array()), "{json}");
            }
        }
        let thoughts = spans.iter().filter_map(|s| text(s, "gen_ai.output.messages"));
        let thoughts = thoughts.filter(|said| said.contains("A file first.")).count();
        assert_eq!(thoughts > 0, content != "none", "thinking goes along with what was said");
        let agents = spans.iter().filter(|s| s.name.starts_with("invoke_agent")).count();
        assert_eq!(agents, 2 + 3, "two turns and three subagents");
    }
}
