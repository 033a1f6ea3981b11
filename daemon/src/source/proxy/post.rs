//! One request of our own to somebody whom the user named, on a connection of its own: the way there is the one that
//! requests to the API go. Never with the user's client certificate, which is for the API's gateway alone.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::dial::{Dialled, Dialler};
use super::target::Target;
use crate::config::Network;

/// Posts JSON and returns the answer's status; redirects are not followed. The error is for the log, and tells nothing of
/// the URL's path.
pub async fn post(
    url: &Uri,
    network: &Network,
    body: Vec<u8>,
    limit: Duration,
) -> Result<StatusCode, String> {
    let target = Target::new(url).ok_or("it is no URL")?;
    let network = Network { client: None, ..network.clone() };
    let (dialler, _) = Dialler::new(&target, &network, limit);
    let sent = async {
        let Dialled { io, http2, .. } = dialler.dial().await.map_err(|e| e.to_string())?;
        let io = TokioIo::new(io);
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let wrong = |e: http::Error| e.to_string();
        let head = Request::builder()
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("ccd/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_LENGTH, body.len());
        let body = Full::new(Bytes::from(body));
        // A connection ends with the answer; how, is of no interest.
        let response = if http2 {
            let request = head.uri(url.clone()).body(body).map_err(wrong)?;
            let handshake = http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = handshake.map_err(|e| e.to_string())?;
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await
        } else {
            let request =
                head.uri(path).header(HOST, target.authority().as_str()).body(body).map_err(wrong)?;
            let (mut sender, connection) = http1::handshake(io).await.map_err(|e| e.to_string())?;
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await
        };
        response.map(|response| response.status()).map_err(|e| e.to_string())
    };
    tokio::time::timeout(limit, sent).await.unwrap_or_else(|_| Err("no answer in time".into()))
}
