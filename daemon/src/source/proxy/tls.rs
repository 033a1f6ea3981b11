//! TLS: the platform's trust roots and those that the configuration adds, and our own certificate where one is asked for.
//!
//! Trust is only ever added to the platform's by what the user wrote; nothing turns verification off. A server whose
//! certificate is itself one that the user wrote down is trusted by its dates and its name, even if the certificate is
//! an authority's (`openssl req -x509`): so does Node.js.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use crate::config::Network;

/// Why TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("{what} {path}: {why}")]
    File {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is nobody to trust.
    #[error(
        "no trust roots: {0}; install the system's CA certificates, or set SSL_CERT_FILE or [network] ca_files"
    )]
    Roots(String),
    /// The library refuses.
    #[error("{0}")]
    Setup(String),
}

/// A TLS configuration, and what it had to do without.
#[derive(Clone)]
pub struct Tls {
    /// For upstream: HTTP/2 or HTTP/1.1.
    pub upstream: Arc<ClientConfig>,
    /// For the network's proxy: HTTP/1.1.
    pub proxy: Arc<ClientConfig>,
    /// A file that the environment names and that cannot be used.
    pub without: Option<TlsError>,
}

/// Reads the files and sets TLS up.
pub fn load(network: &Network) -> Result<Tls, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut extra = Vec::new();
    for path in &network.ca_files {
        extra.extend(usable("network.ca_files", path)?);
    }
    let mut without = None;
    if let Some(path) = &network.extra_ca_file {
        match usable("NODE_EXTRA_CA_CERTS", path) {
            Ok(more) => extra.extend(more),
            Err(error) => without = Some(error),
        }
    }
    let setup = |e: rustls::Error| TlsError::Setup(e.to_string());
    let own = OwnCertificates::new(&extra, &provider)?;
    let platform = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
        .map_err(|e| TlsError::Roots(e.to_string()))?;
    let verifier = Trust { platform, own };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut proxy = match &network.client {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = certificates("network.client_cert", &files.cert)?;
            let key = PrivateKeyDer::from_pem_file(&files.key)
                .map_err(|e| bad("network.client_key", &files.key, &e, "private key"))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| TlsError::File {
                what: "network.client_cert",
                path: files.cert.clone(),
                why: e.to_string(),
            })?
        }
    };
    let mut upstream = proxy.clone();
    upstream.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    proxy.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { upstream: Arc::new(upstream), proxy: Arc::new(proxy), without })
}

/// Whom we trust.
#[derive(Debug)]
struct Trust {
    platform: Verifier,
    own: Option<OwnCertificates>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(own) = &self.own
            && own.vouch_for(end_entity, now)
        {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.platform.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.platform.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.platform.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.platform.supported_verify_schemes()
    }
}

/// The certificates that the user wrote down, as those of servers.
#[derive(Debug)]
struct OwnCertificates {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl OwnCertificates {
    /// `None`: there are none.
    fn new(
        certificates: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, TlsError> {
        if certificates.is_empty() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|e| TlsError::Setup(e.to_string()))?;
        Ok(Some(OwnCertificates { certificates: certificates.to_vec(), verifier }))
    }

    /// Whether it is one of them, an authority's, and valid at this time.
    fn vouch_for(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        if !self.certificates.iter().any(|own| own.as_ref() == certificate.as_ref()) {
            return false;
        }
        // That it is an authority's is looked at after its dates, and before its name.
        let nowhere = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        match self.verifier.verify_server_cert(certificate, &[], &nowhere, &[], now) {
            Err(rustls::Error::InvalidCertificate(why)) => is_authority(&why),
            _ => false,
        }
    }
}

/// Whether a server's certificate is refused because it is an authority's.
pub(super) fn is_authority(error: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(cause)) = error else { return false };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The certificates in a file that can be trusted roots.
fn usable(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(what, path)?;
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store.add(certificate.clone()).map_err(|e| TlsError::File {
            what,
            path: path.to_owned(),
            why: format!("holds a certificate that cannot be a root: {e}"),
        })?;
    }
    Ok(found)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad(what, path, &e, "certificate"))?;
    if found.is_empty() {
        return Err(bad(what, path, &pem::Error::NoItemsFound, "certificate"));
    }
    Ok(found)
}

fn bad(what: &'static str, path: &Path, error: &pem::Error, wanted: &str) -> TlsError {
    let why = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("holds no {wanted} in PEM"),
        other => format!("is no valid PEM: {other}"),
    };
    TlsError::File { what, path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientFiles;

    #[test]
    fn a_file_that_is_of_no_use_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let missing = tmp.path().join("missing.pem");
        let empty = tmp.path().join("empty.pem");
        fs_err::write(&empty, "not a certificate\n").unwrap();
        for (path, why) in [(&missing, "No such file"), (&empty, "holds no certificate")] {
            let network = Network { ca_files: vec![path.clone()], ..Network::default() };
            let error = load(&network).err().unwrap().to_string();
            assert!(error.contains("network.ca_files") && error.contains(why), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");

            let client = Some(ClientFiles { cert: path.clone(), key: path.clone() });
            let error = load(&Network { client, ..Network::default() }).err().unwrap().to_string();
            assert!(error.contains("network.client_cert") && error.contains(why), "{error}");
        }
    }
}
