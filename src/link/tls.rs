//! TLS: whom we trust, who we are, and what a failed handshake means.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_platform_verifier::Verifier;

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, crypto};

use super::Target;
use super::stream::Counted;
use crate::model::{Failure, TlsFault};

/// `[server] tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate and its chain.
    pub client_cert: Option<PathBuf>,
    /// PEM file with the key of [`TlsSettings::client_cert`].
    pub client_key: Option<PathBuf>,
}

/// What is wrong with the files named in [`TlsSettings`], or with the system's trust.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A file cannot be read or holds something else.
    #[error("{key}: {path}: {detail}", path = path.display())]
    File {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// One of certificate and key is missing.
    #[error("tls.client_cert and tls.client_key belong together: {0} is missing")]
    Half(&'static str),
    /// Nobody can be trusted, or certificate and key do not fit.
    #[error("TLS cannot be set up: {0}")]
    Other(String),
}

/// Makes TLS connections. The roots are read once, when it is made.
pub(super) struct Tls {
    connector: TlsConnector,
}

impl Tls {
    pub(super) fn new(settings: &TlsSettings) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let other = |error: Error| TlsSetupError::Other(error.to_string());
        let extra = match &settings.ca_file {
            Some(path) => certificates("tls.ca_file", path)?,
            None => Vec::new(),
        };
        let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(other)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (&settings.client_cert, &settings.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("tls.client_cert", cert)?, private_key(key)?)
                .map_err(other)?,
            (Some(_), None) => return Err(TlsSetupError::Half("tls.client_key")),
            (None, Some(_)) => return Err(TlsSetupError::Half("tls.client_cert")),
        };
        // A server that prefers HTTP/2 would not understand the upgrade.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn connect(
        &self,
        target: &Target,
        wire: Counted,
    ) -> Result<TlsStream<Counted>, Failure> {
        let host = target.host().trim_end_matches('.').to_owned();
        let fault = match ServerName::try_from(host.clone()) {
            Ok(name) => match self.connector.connect(name, wire).await {
                Ok(stream) => return Ok(stream),
                Err(error) => fault_of(&error),
            },
            Err(_) => TlsFault::Other("a certificate cannot be checked against this host name".into()),
        };
        Err(Failure::Tls { host, fault })
    }
}

fn file_error(key: &'static str, path: &Path, detail: impl ToString) -> TlsSetupError {
    TlsSetupError::File { key, path: path.to_owned(), detail: detail.to_string() }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let text = std::fs::read(path).map_err(|error| file_error(key, path, error))?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file_error(key, path, error))?;
    if found.is_empty() {
        return Err(file_error(key, path, "no certificate in PEM form in it"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    let key = "tls.client_key";
    let text = std::fs::read(path).map_err(|error| file_error(key, path, error))?;
    // The parser's own error might quote the file.
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| file_error(key, path, "no private key in PEM form in it"))
}

/// Names of the certificate that are quoted at most.
const NAMES_QUOTED: usize = 4;

fn fault_of(error: &io::Error) -> TlsFault {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return TlsFault::Other(if error.kind() == io::ErrorKind::UnexpectedEof {
            "the connection ended in the middle of the handshake".into()
        } else {
            error.to_string()
        });
    };
    let Error::InvalidCertificate(fault) = cause else {
        return TlsFault::Other(cause.to_string());
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
    match fault {
        CertificateError::NotValidForName => TlsFault::WrongName(String::new()),
        CertificateError::NotValidForNameContext { presented, .. } => TlsFault::WrongName(names(presented)),
        // A signature that does not fit is an authority of the right name with another key.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            TlsFault::UnknownIssuer
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::NotYetValid,
        // What openssl makes when asked for a self-signed certificate: it is its own CA, and
        // the library names that before it looks at the issuer.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            TlsFault::UnknownIssuer
        }
        other => TlsFault::Other(other.to_string()),
    }
}

/// The certificate's names as people write them, out of the library's `DnsName("…")`.
fn names(presented: &[String]) -> String {
    let quoter = super::foreign::Quoter::default();
    let mut names: Vec<&str> = presented
        .iter()
        .take(NAMES_QUOTED)
        .map(|name| {
            name.split_once('"')
                .and_then(|(_, rest)| rest.split_once('"'))
                .map_or(name.as_str(), |(name, _)| name)
        })
        .collect();
    if presented.len() > NAMES_QUOTED {
        names.push("\u{2026}");
    }
    quoter.quote(&names.join(", "))
}
