//! The real client: what a session's transcripts, hooks and exchanges tell together, and its transcripts alone.
