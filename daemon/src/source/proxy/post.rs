//! Requests of our own to somebody whom the user named, each on a connection of its own: the way there is the one that
//! requests to the API go. Never with the user's client certificate, which is for the API's gateway alone.
//!
//! Redirects are not followed, and no more of an answer is read than was asked for. Errors are for the log: they tell
//! nothing of the URL's path, nor of a header.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::dial::{Dialled, Dialler};
use super::failure::{Failure, Kind};
use super::target::Target;
use crate::config::Network;

/// The way to one URL: trust and the network's proxy are looked up once.
pub struct Way {
    url: Uri,
    target: Target,
    dialler: Dialler,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The answer's status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it was read.
    pub body: Bytes,
    /// Whether that is all of it.
    pub whole: bool,
}

impl Way {
    /// The way to `url` by `network`; a connection is made within `limit`, or not at all. None where it is no URL.
    #[must_use]
    pub fn new(url: &Uri, network: &Network, limit: Duration) -> Option<Self> {
        let target = Target::new(url)?;
        let network = Network { client: None, ..network.clone() };
        let (dialler, _) = Dialler::new(&target, &network, limit);
        Some(Way { url: url.clone(), target, dialler })
    }

    /// Posts once, and reads at most `longest` bytes of the answer; all of it within `limit`.
    pub async fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
        longest: usize,
    ) -> Result<Answer, Failure> {
        let sent = async {
            let response = self.send(headers, body).await?;
            let (head, body) = response.into_parts();
            let (body, whole) = read(body, longest).await?;
            Ok(Answer { status: head.status, headers: head.headers, body, whole })
        };
        tokio::time::timeout(limit, sent)
            .await
            .unwrap_or_else(|_| Err(Failure::new(Kind::Timeout, "no answer in time")))
    }

    async fn send(&self, headers: HeaderMap, body: Bytes) -> Result<Response<Incoming>, Failure> {
        let Dialled { io, http2, .. } = self.dialler.dial().await?;
        let io = TokioIo::new(io);
        let wrong = |e: http::Error| Failure::new(Kind::Send, e.to_string());
        let failed = |e: hyper::Error| Failure::exchanging(&e);
        let mut head = Request::builder().method(Method::POST);
        if let Some(all) = head.headers_mut() {
            *all = headers;
            all.entry(USER_AGENT)
                .or_insert(HeaderValue::from_static(concat!("ccd/", env!("CARGO_PKG_VERSION"))));
            all.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let body = Full::new(body);
        // A connection ends with the answer; how, is of no interest.
        if http2 {
            let request = head.uri(self.url.clone()).body(body).map_err(wrong)?;
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await.map_err(failed)
        } else {
            let path = self.url.path_and_query().map_or("/", |path| path.as_str());
            let request =
                head.uri(path).header(HOST, self.target.authority().as_str()).body(body).map_err(wrong)?;
            let (mut sender, connection) = http1::handshake(io).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await.map_err(failed)
        }
    }
}

/// As much of a body as is wanted, and whether that is all of it.
async fn read(mut body: Incoming, longest: usize) -> Result<(Bytes, bool), Failure> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::exchanging(&e))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = longest - kept.len();
        if data.len() > room {
            kept.extend_from_slice(&data[..room]);
            return Ok((kept.freeze(), false));
        }
        kept.extend_from_slice(&data);
    }
    Ok((kept.freeze(), true))
}

/// Posts JSON and returns the answer's status. The error is for the log.
pub async fn post(
    url: &Uri,
    network: &Network,
    body: Vec<u8>,
    limit: Duration,
) -> Result<StatusCode, String> {
    let way = Way::new(url, network, limit).ok_or("it is no URL")?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The status is what counts, whatever becomes of the rest.
    let sent = async {
        let response = way.send(headers, Bytes::from(body)).await.map_err(|e| e.to_string())?;
        Ok(response.status())
    };
    tokio::time::timeout(limit, sent).await.unwrap_or_else(|_| Err("no answer in time".into()))
}
