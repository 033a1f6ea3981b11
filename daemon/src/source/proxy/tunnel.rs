//! A way through the HTTP proxy of the user's network: CONNECT, and then bytes.

use std::pin::pin;

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::{Failure, Kind, describe};

/// Asks the proxy behind `io` for a way to `to` (`host:port`), and returns `io` once there is one.
pub(super) async fn open<T>(io: T, to: &str, auth: Option<&HeaderValue>) -> Result<T, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |why: String| Failure::new(Kind::Proxy, format!("the network's proxy: {why}"));
    let uri: Uri = to.parse().map_err(|_| failed(format!("{to} is no address")))?;
    let host = HeaderValue::from_str(to).map_err(|_| failed(format!("{to} is no address")))?;
    let mut request = Request::new(Empty::<bytes::Bytes>::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, host);
    if let Some(auth) = auth {
        request.headers_mut().insert(PROXY_AUTHORIZATION, auth.clone());
    }
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(io)).await.map_err(|e| failed(describe(&e)))?;
    // hyper hands the bytes back once the answer to CONNECT is there.
    let mut connection = pin!(connection.without_shutdown());
    let mut ended = None;
    let status = {
        let mut answer = pin!(sender.send_request(request));
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            parts = &mut connection => {
                ended = Some(parts);
                answer.await
            }
        };
        // Nothing of a refusal but its status is looked at.
        answer.map_err(|e| failed(describe(&e)))?.status()
    };
    if !status.is_success() {
        return Err(failed(match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                "it asks for a login (407): put it into the URL, http://USER:PASSWORD@HOST:PORT".into()
            }
            other => format!("it answered CONNECT {to} with {other}"),
        }));
    }
    let parts = match ended {
        Some(parts) => parts,
        None => connection.await,
    };
    let parts = parts.map_err(|e| failed(describe(&e)))?;
    if !parts.read_buf.is_empty() {
        return Err(failed("it sent bytes before TLS began".into()));
    }
    Ok(parts.io.into_inner())
}
