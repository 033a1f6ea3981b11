//! The pages in a real headless Chromium, before a real daemon.
//!
//! Each test makes a scene here (a daemon with something on record) and hands it to a script of the same name in
//! `tests/web/browser`, which looks at it through the browser: one `test()` there for each thing that the pages promise.
//! What the pages show is compared with what the daemon answers on its socket, and with what was sent in the first place.

mod hostile;
mod long;
mod many;
mod origins;
mod play;
mod real;
mod shots;
