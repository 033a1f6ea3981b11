//! The daemon in-process, in a home of its own for each test: hook events, requests and questions go in by its sockets.
//!
//! One program for all of them: each would carry the whole daemon, and take as long to link.

// First, for the macros in it.
#[macro_use]
mod common;

mod alerts;
mod canary;
mod daemon;
mod detect;
mod detections;
mod export;
mod export_bulk;
mod forward;
mod healing;
mod kept;
mod live;
mod questions;
mod receive;
mod retention;
mod store;
mod transport;
mod watching;
mod web;
mod workspace;
