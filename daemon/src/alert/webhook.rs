//! Sends an alert to whom the user named.
//!
//! Must never log the URL: it may hold a secret. Its host is all that is told.

use std::time::Duration;

use http::Uri;

use crate::config::Network;
use crate::source::proxy::post::post;

/// How long each of the two attempts may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the first attempt the second one is made.
const PAUSE: Duration = Duration::from_secs(2);

/// Sends it, and again once if that fails.
pub(super) async fn send(url: &Uri, network: &Network, json: &serde_json::Value) {
    for attempt in 0..2 {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match post(url, network, json.to_string().into_bytes(), PATIENCE).await {
            Ok(status) if status.is_success() => return,
            Ok(status) => tracing::warn!(%status, host = url.host(), "a webhook refuses"),
            Err(error) => tracing::warn!(error, host = url.host(), "a webhook cannot be reached"),
        }
    }
}
