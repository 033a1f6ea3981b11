//! One number everywhere: whatever tells tokens and cost tells what the oracle counts in the same transcripts.

mod ccusage;
