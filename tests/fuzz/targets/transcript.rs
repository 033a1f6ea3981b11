//! Transcripts, and the session that they make: any bytes are lines that tell something or nothing, and what they
//! tell is bounded by what they are.
#![no_main]

use ccd::ingest::record::{Stored, TranscriptPart, TranscriptV1};
use ccd::project::price::Prices;
use ccd::project::session::{Fact, SessionState};
use ccd::project::transcript;
use ccd_store::Locator;

libfuzzer_sys::fuzz_target!(|input: (bool, &[u8])| {
    let (meta, bytes) = input;
    let file = if meta { "s/subagents/agent-a.meta.json" } else { "c4aea1f3-66f1-45dc-b211-c365079e7020.jsonl" };
    let record = TranscriptV1 {
        path: file.into(),
        part: if meta { TranscriptPart::AgentMeta } else { TranscriptPart::Lines },
        device: 1,
        inode: 2,
        born_ns: 3,
        offset: 0,
        body: Stored::Inline(Vec::new()),
    };
    let Some(facts) = transcript::read(&record, bytes) else { return };
    assert!(facts.lines.len() as u64 <= facts.count);
    let mut state = SessionState::new(&facts.session_id);
    state.apply(&Fact::Transcript(Box::new(facts)), Locator { segment: 1, offset: 0, index: 0 });
    let _ = state.view(&Prices::new(&Default::default()));
});
