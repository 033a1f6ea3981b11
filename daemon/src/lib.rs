//! The daemon of ccd, the flight recorder for Claude Code.
//!
//! ```text
//!            hook events        API requests
//!                 │                  │
//!   source/  hook, spool          proxy ───────────────► the API
//!                 │     (a copy)     │     (the stream, untouched)
//!                 └───────┬──────────┘
//!   ingest/           one bounded door ─ de-duplicate ─ journal ─ acknowledge
//!                         │
//!   ccd-store         journal + packs (the truth)   index: sled and sorted runs (derived)
//!                         │
//!   project/          records → sessions, turns, spans, usage   (pure)
//!                         │
//!   detect/, heal/    sessions → detections → advice and denials, in the writer's order
//!                         │
//!   alert/            desktop and webhook: detections, budgets
//!   query/            every question, once
//!                         │
//!   api/              HTTP/1.1 + JSON on ccd.sock ──► ccctl
//!   export/           a session as one file, redacted: reads like any client
//!   forward/          what was recorded, sent to whom the user named: likewise
//!   web/              HTTP/1.1 on loopback ──► browsers
//! ```
//!
//! Arrows go one way. `source/proxy` waits for nothing behind the door. `project` does no I/O and reads no
//! clock. The library prints nothing and reads no environment: `main.rs` does, and hands values in.

pub mod alert;
pub mod api;
pub mod app;
pub mod budget;
pub mod clock;
pub mod config;
pub mod detect;
pub mod export;
pub mod forward;
pub mod heal;
pub mod holders;
pub mod ingest;
pub mod leaving;
pub mod live;
pub mod maintenance;
pub mod memory;
pub mod private;
pub mod project;
pub mod query;
pub mod receive;
pub mod resources;
pub mod revival;
pub mod sender;
pub mod source;
pub mod startup;
pub mod supervise;
pub mod telemetry;
pub mod tokens;
pub mod vault;
pub mod watch;
pub mod web;
