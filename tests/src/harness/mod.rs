//! The means to run the real binaries: a throw-away home, the daemon, `ccctl`, `cc-hook`, the real client, and
//! raw sockets for what no polite HTTP library does.
//!
//! Invariants:
//! - the environment of every child is built from nothing: what the machine happens to have set changes no test;
//! - every process is ended by the drop of the value that stands for it, also when the test panics;
//! - nobody sleeps and hopes: [`eventually`] waits for what must come true, and says what did not.

mod ccusage;
mod client;
mod control;
mod daemon;
pub mod events;
#[cfg(target_os = "linux")]
pub mod group;
mod holding;
mod home;
#[cfg(target_os = "linux")]
mod manager;
#[cfg(target_os = "linux")]
pub mod mount;
mod notify;
mod pisama;
mod process;
pub mod raw;
mod rotel;
pub mod soak;
#[cfg(target_os = "linux")]
pub mod strace;
mod wait;
pub mod wire;

pub use ccusage::{CCUSAGE_VERSION, ccusage, ccusage_command, ccusage_told};
pub use client::{CLIENT_VERSION, ClientRun, DUMMY_KEY, RealClient};
pub use control::Control;
pub use daemon::{Daemon, Supervised, supervision};
pub use holding::Holding;
pub use home::{TestHome, bin_dir, binary, repo_root};
#[cfg(target_os = "linux")]
pub use manager::UserManager;
pub use notify::Notified;
pub use pisama::{PISAMA_VERSION, pisama, pisama_bin, pisama_hook};
pub use process::{Out, run, run_within, signal};
pub use rotel::{ROTEL_SHA256, ROTEL_VERSION, Rotel};
pub use wait::{PATIENCE, eventually, poll};
