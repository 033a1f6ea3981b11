//! The proxy as a client on a raw socket sees it.

use std::fmt::Write;

use ccd_tests::harness::TestHome;
use ccd_tests::harness::wire::Wire;

/// Looks like a credential and must never be found again.
pub(crate) const SECRET: &str = "sk-ant-api03-made-up-and-never-to-be-stored";

/// Where a home's proxy answers.
pub(crate) struct Proxy {
    address: String,
    token: String,
}

impl Proxy {
    #[track_caller]
    pub(crate) fn of(home: &TestHome) -> Self {
        let url = home.base_url();
        let (address, token) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        Proxy { address: address.into(), token: token.into() }
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(&self.address)
    }

    /// [`Self::connect`] to a proxy that may be dead.
    pub(crate) fn try_connect(&self) -> std::io::Result<Wire> {
        Wire::try_connect(&self.address)
    }

    /// A request with the headers that the client sends, `extra` among them.
    pub(crate) fn request(&self, method: &str, path: &str, extra: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        self.request_with_token(&self.token, method, path, extra, body)
    }

    /// [`Self::request`] with a token that need not be right.
    pub(crate) fn request_with_token(
        &self,
        token: &str,
        method: &str,
        path: &str,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let length = body.len().to_string();
        let fixed = [
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
            ("User-Agent", "claude-cli/2.1.329 (external, sdk-cli)"),
            ("X-Stainless-Lang", "js"),
            ("anthropic-version", "2023-06-01"),
            ("x-api-key", SECRET),
            ("Authorization", &format!("Bearer {SECRET}")),
            ("x-app", "cli"),
        ];
        let end = [
            ("Connection", "keep-alive"),
            ("Host", self.address.as_str()),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Content-Length", &length),
        ];
        let headers = fixed.iter().chain(extra).chain(&end[..if method == "POST" { 4 } else { 3 }]);
        let mut request = format!("{method} /{token}{path} HTTP/1.1\r\n");
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        request.push_str("\r\n");
        [request.as_bytes(), body].concat()
    }

    /// A streaming model call of `session` whose prompt is `prompt`.
    pub(crate) fn message(&self, session: &str, prompt: &str, stream: bool) -> Vec<u8> {
        let body = serde_json::json!({
            "model": "claude-opus-5-5", "max_tokens": 100, "stream": stream,
            "messages": [{"role": "user", "content": prompt}],
        });
        let headers = [("X-Claude-Code-Session-Id", session)];
        self.request("POST", "/v1/messages?beta=true", &headers, body.to_string().as_bytes())
    }
}
