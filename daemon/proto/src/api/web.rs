//! The way into the pages.

use serde::{Deserialize, Serialize};

/// `POST /v0/web/login` on `ccd.sock`: a link that opens the pages once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebLogin {
    /// `http://127.0.0.1:PORT/login#…`. Whoever opens it first, within `valid_s`, is let in.
    pub url: String,
    /// Seconds it is good for.
    pub valid_s: u64,
}
