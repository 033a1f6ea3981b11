//! A request on its way to upstream, and the record that is kept of it.
//!
//! Must never alter what passes but the hop-by-hop headers, the `Host` and the token in front of the path; an upstream
//! that fails is an answer in the API's own shape.

use std::sync::Arc;

use http::header::{HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::body::{ProxyBody, Upload};
use super::outlet::ToClient;
use super::server::Proxy;
use super::tap::{Tap, version};
use super::upstream::{Outgoing, Target};
use super::{headers, respond};
use crate::ingest::record::{BodyV1, ExchangeV3, Outcome, RedactionV1, RouteV1, Stored};

impl Proxy {
    /// Sends a request on and hands its answer back.
    pub(super) async fn forward(&self, request: Request<Incoming>, path: &str) -> Response<ProxyBody> {
        let settings = self.settings();
        let target = settings.upstream.target();
        let Some(uri) = target.uri(path) else {
            return respond::error(StatusCode::BAD_REQUEST, "path", "the path is not a valid URI");
        };
        let (mut parts, body) = request.into_parts();
        let record = self.record(&parts, path, target);
        let door = self.bypass.door(record.started_ns);
        let tap = Tap::new(record, settings.capture, door, Arc::clone(&self.gauges));

        headers::strip_hop_by_hop(&mut parts.headers);
        if let Ok(host) = HeaderValue::from_str(target.authority().as_str()) {
            parts.headers.insert(HOST, host);
        }
        parts.uri = uri;
        let to_client = parts.extensions.remove::<ToClient>();
        let outgoing = Outgoing { head: parts, upload: Upload::new(body, Arc::clone(&tap)) };
        let sent = settings.upstream.send(&outgoing, &tap, to_client.clone()).await;
        if let Some(to_client) = &to_client {
            to_client.all_written().await;
        }
        match sent {
            Ok((mut parts, body)) => {
                headers::strip_hop_by_hop(&mut parts.headers);
                parts.version = http::Version::HTTP_11;
                Response::from_parts(parts, body)
            }
            Err(failure) => {
                let (status, cause) = (failure.status(), failure.to_string());
                tracing::warn!(upstream = %target, kind = failure.kind.word(), error = cause, "upstream failed");
                let response =
                    respond::error(status, "upstream", &format!("no answer from {target}: {cause}"));
                tap.failed(status.as_u16(), &cause, &response.body().own_bytes());
                response
            }
        }
    }

    fn record(&self, parts: &http::request::Parts, path: &str, target: &Target) -> ExchangeV3 {
        let none = || BodyV1 { seen: 0, kept: 0, stored: Stored::Inline(Vec::new()) };
        ExchangeV3 {
            id: uuid::Uuid::now_v7().into_bytes(),
            session_id: headers::name_of(&parts.headers, "x-claude-code-session-id"),
            agent_id: headers::name_of(&parts.headers, "x-claude-code-agent-id"),
            parent_agent_id: headers::name_of(&parts.headers, "x-claude-code-parent-agent-id"),
            method: parts.method.as_str().to_owned(),
            path: headers::captured_path(path),
            upstream: target.to_string(),
            client_http: version(parts.version),
            upstream_http: 0,
            started_ns: self.clock.now_ns(),
            request_end_us: None,
            head_us: None,
            first_byte_us: None,
            end_us: 0,
            status: None,
            outcome: Outcome::Complete,
            error: None,
            request_headers: headers::captured(&parts.headers),
            response_headers: Vec::new(),
            response_trailers: Vec::new(),
            request: none(),
            response: none(),
            marks: Vec::new(),
            route: RouteV1::default(),
            redaction: RedactionV1::default(),
        }
    }
}
