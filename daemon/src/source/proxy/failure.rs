//! Why upstream could not be reached or did not answer: a kind to count by, and words for people.
//!
//! The words name the cause plainly (a name that does not resolve, a certificate that has expired) and never hold a
//! credential.

use std::error::Error;
use std::io;

use http::StatusCode;
use rustls::CertificateError;

/// Which part of the way failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name has no address.
    Resolve,
    /// No TCP connection.
    Connect,
    /// The HTTP proxy of the user's network does not let us through.
    Proxy,
    /// TLS: a certificate, a version, our own configuration of it.
    Tls,
    /// The request could not be sent, or what came back is not HTTP.
    Send,
    /// Upstream closed the connection before it answered.
    Closed,
    /// There was no connection within the time allowed.
    Timeout,
}

impl Kind {
    /// One word, for logs and counts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Resolve => "resolve",
            Kind::Connect => "connect",
            Kind::Proxy => "proxy",
            Kind::Tls => "tls",
            Kind::Send => "send",
            Kind::Closed => "closed",
            Kind::Timeout => "timeout",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failure {
    /// Which part of the way.
    pub kind: Kind,
    /// What went wrong.
    pub words: String,
}

impl Failure {
    /// A failure of `kind`.
    #[must_use]
    pub fn new(kind: Kind, words: impl Into<String>) -> Self {
        Failure { kind, words: words.into() }
    }

    /// What the client is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// No TCP connection to `whom`.
    #[must_use]
    pub fn connecting(whom: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Failure::new(Kind::Timeout, format!("connecting to {whom} timed out")),
            _ => Failure::new(Kind::Connect, format!("{}: {whom}", plain(error))),
        }
    }

    /// No TLS with `whom`.
    #[must_use]
    pub fn negotiating(whom: &str, error: &io::Error) -> Self {
        let why = find::<rustls::Error>(error).map_or_else(|| plain(error), tls);
        Failure::new(Kind::Tls, format!("TLS with {whom}: {why}"))
    }

    /// A request that was under way.
    #[must_use]
    pub fn exchanging(error: &(dyn Error + 'static)) -> Self {
        if let Some(error) = find::<rustls::Error>(error) {
            return Failure::new(Kind::Tls, format!("TLS: {}", tls(error)));
        }
        if let Some(error) = find::<io::Error>(error) {
            // HTTP/2 keeps an error's text alone, since many streams end by it.
            if let Some(alert) = error.to_string().strip_prefix("received fatal alert: ") {
                return Failure::new(Kind::Tls, format!("TLS: {}", alerted(alert)));
            }
            let kind = match error.kind() {
                io::ErrorKind::TimedOut => Kind::Timeout,
                _ => Kind::Closed,
            };
            return Failure::new(kind, plain(error));
        }
        let closed = find::<hyper::Error>(error)
            .is_some_and(|e| e.is_incomplete_message() || e.is_closed() || e.is_canceled());
        if closed {
            Failure::new(Kind::Closed, "upstream closed the connection before it answered")
        } else {
            Failure::new(Kind::Send, describe(error))
        }
    }
}

/// Why a response ended before its end, for people.
#[must_use]
pub(super) fn broke_off(error: &(dyn Error + 'static)) -> String {
    let why = if let Some(error) = find::<rustls::Error>(error) {
        format!("TLS: {}", tls(error))
    } else if let Some(error) = find::<h2::Error>(error) {
        match (error.get_io(), error.reason()) {
            (Some(error), _) => plain(error),
            (None, Some(reason)) if error.is_go_away() => format!("it ended the connection ({reason:?})"),
            (None, Some(reason)) if error.is_reset() => format!("it reset the stream ({reason:?})"),
            (None, Some(reason)) => format!("HTTP/2 failed ({reason:?})"),
            (None, None) => error.to_string(),
        }
    } else if let Some(error) = find::<io::Error>(error) {
        plain(error)
    } else if find::<hyper::Error>(error).is_some_and(|e| e.is_incomplete_message() || e.is_closed()) {
        "the connection was closed".to_owned()
    } else {
        describe(error)
    };
    format!("upstream broke off: {why}")
}

/// An error of the system in words.
fn plain(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the connection was reset",
        io::ErrorKind::NetworkUnreachable => "the network is unreachable",
        io::ErrorKind::HostUnreachable => "the host is unreachable",
        io::ErrorKind::UnexpectedEof => "the connection was closed",
        _ => return error.to_string(),
    };
    words.to_owned()
}

/// An error of TLS in words.
fn tls(error: &rustls::Error) -> String {
    use CertificateError as Certificate;
    let words = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired | Certificate::ExpiredContext { .. } => "its certificate has expired",
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            Certificate::UnknownIssuer => {
                "nobody whom this machine trusts vouches for its certificate (a network that opens TLS needs its own \
                 authority in [network] ca_files or NODE_EXTRA_CA_CERTS)"
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            Certificate::Revoked => "its certificate has been revoked",
            other if super::tls::is_authority(other) => {
                "its certificate is a certificate authority's own (it is trusted where [network] ca_files or \
                 NODE_EXTRA_CA_CERTS has that very certificate)"
            }
            other => return format!("its certificate is not valid: {other}"),
        },
        rustls::Error::AlertReceived(alert) => return alerted(&format!("{alert:?}")),
        other => return other.to_string(),
    };
    words.to_owned()
}

/// What upstream says before it hangs up, by its name (RFC 8446 §6.2).
fn alerted(alert: &str) -> String {
    let words = match alert {
        "CertificateRequired" => "it asks for a client certificate ([network] client_cert and client_key)",
        "BadCertificate"
        | "UnknownCA"
        | "AccessDenied"
        | "CertificateUnknown"
        | "CertificateExpired"
        | "CertificateRevoked"
        | "UnsupportedCertificate" => "it refuses our client certificate",
        other => return format!("it hung up with the alert {other}"),
    };
    words.to_owned()
}

/// The first cause of this type, the error itself included.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An `io::Error` shows what is inside the error that it carries, and not that error.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// An error with its causes, in one line.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !out.ends_with(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        source = cause.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_named_plainly() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failure = Failure::connecting("gw:8080", &refused);
        assert_eq!(
            (failure.kind, failure.to_string().as_str()),
            (Kind::Connect, "connection refused: gw:8080")
        );
        assert_eq!(failure.status(), StatusCode::BAD_GATEWAY);

        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let carried = io::Error::new(io::ErrorKind::InvalidData, expired);
        let failure = Failure::negotiating("api", &carried);
        assert_eq!(failure.to_string(), "TLS with api: its certificate has expired");

        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        for carried in
            [io::Error::new(io::ErrorKind::InvalidData, alert.clone()), io::Error::other(alert.to_string())]
        {
            let failure = Failure::exchanging(&carried);
            assert_eq!(failure.kind, Kind::Tls, "{failure}");
            assert!(failure.words.contains("client_cert"), "{failure}");
        }

        let late = Failure::connecting("api", &io::ErrorKind::TimedOut.into());
        assert_eq!((late.kind, late.status()), (Kind::Timeout, StatusCode::GATEWAY_TIMEOUT));
    }

    #[test]
    fn a_response_that_was_cut_says_so_plainly() {
        let carried = |kind: io::ErrorKind| io::Error::other(io::Error::new(kind, "in a library's words"));
        for (error, words) in [
            (carried(io::ErrorKind::InvalidData), "in a library's words"),
            (io::ErrorKind::UnexpectedEof.into(), "the connection was closed"),
            (io::ErrorKind::ConnectionReset.into(), "the connection was reset"),
            (io::Error::other(h2::Error::from(h2::Reason::CANCEL)), "CANCEL"),
            (io::Error::other(rustls::Error::DecryptError), "TLS: "),
        ] {
            let told = broke_off(&error);
            assert!(told.starts_with("upstream broke off: ") && told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_cause_is_found_within_what_carries_it() {
        let inner = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        let outer = io::Error::other(inner);
        assert_eq!(find::<rustls::Error>(&outer), Some(&rustls::Error::DecryptError));
        assert!(find::<hyper::Error>(&outer).is_none());
    }
}
