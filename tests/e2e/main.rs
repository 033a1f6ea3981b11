//! Black-box tests of the real binaries.
//!
//! Every test has a home, a mock or an upstream, and a daemon of its own, so all of them may run at once. None
//! reads a clock to decide what is right, and none is ever skipped: what a test needs and does not find fails it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod analyze;
mod browser;
mod budget;
mod canary;
mod check;
mod contract;
mod doctor;
mod exact;
mod export;
mod faults;
mod forward;
mod guard;
mod healing;
mod hook;
mod install;
mod install_kills;
mod kill9;
mod limits;
mod mcp;
mod numbers;
mod otlp;
mod packages;
mod pisama;
mod proxy;
mod proxy_command;
mod proxy_faults;
mod proxy_raw;
mod readme;
mod real_client;
mod receive;
mod retries;
mod reveal;
#[cfg(target_os = "linux")]
mod revival;
mod scenario;
mod search;
#[cfg(target_os = "linux")]
mod service;
mod skew;
mod statusline;
mod store;
mod supervise;
mod telemetry;
mod tls;
mod transcripts;
mod uninstall;
mod upgrade;
mod vault;
mod web;
mod web_door;
