//! TLS: whom we trust, who we are, and what a failed handshake means.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError,
    PeerIncompatible, SignatureScheme, crypto,
};

use super::stream::Counted;
use super::{Target, certificate};
use crate::model::{Failure, Timestamp, TlsFault, Validity};

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
    /// The last moment of our own certificate.
    own_until: Option<Timestamp>,
}

impl Tls {
    pub(super) fn new(settings: &TlsSettings) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let other = |error: Error| TlsSetupError::Other(error.to_string());
        let extra = match &settings.ca_file {
            Some(path) => certificates("tls.ca_file", path)?,
            None => Vec::new(),
        };
        let verifier = Verifier::new_with_extra_roots(extra.clone(), Arc::clone(&provider)).map_err(other)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Judge { verifier, known: extra }));
        let mut own_until = None;
        let mut config = match (&settings.client_cert, &settings.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("tls.client_cert", cert)?;
                own_until = chain.first().and_then(|own| certificate::look(own)).map(|own| own.not_after);
                builder
                    .with_client_auth_cert(chain, private_key(key)?)
                    .map_err(|error| unfit(cert, key, &error))?
            }
            (Some(_), None) => return Err(TlsSetupError::Half("tls.client_key")),
            (None, Some(_)) => return Err(TlsSetupError::Half("tls.client_cert")),
        };
        // A server that prefers HTTP/2 would not understand the upgrade.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), own_until })
    }

    /// When our own certificate expires; none where there is none, or nobody can tell.
    pub(super) const fn own_until(&self) -> Option<Timestamp> {
        self.own_until
    }

    pub(super) async fn connect(
        &self,
        target: &Target,
        wire: Counted,
        now: Timestamp,
    ) -> Result<TlsStream<Counted>, Failure> {
        let host = target.host().trim_end_matches('.').to_owned();
        let fault = match ServerName::try_from(host.clone()) {
            Ok(name) => match self.connector.connect(name, wire).await {
                Ok(stream) => return Ok(stream),
                Err(error) => fault_of(&error, now),
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
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let locked = text.windows(b"ENCRYPTED".len()).any(|word| word == b"ENCRYPTED");
        file_error(
            key,
            path,
            if locked {
                "the private key in it is protected by a password, which nobody could enter; `openssl pkey -in FILE -out NEW` writes it without one"
            } else {
                "no private key in PEM form in it"
            },
        )
    })
}

/// Why certificate and key do not go together.
fn unfit(cert: &Path, key: &Path, error: &Error) -> TlsSetupError {
    if matches!(error, Error::InconsistentKeys(_)) {
        let detail = format!("it is not the key of the certificate in {}", cert.display());
        return file_error("tls.client_key", key, detail);
    }
    if matches!(error, Error::InvalidCertificate(_)) {
        return file_error("tls.client_cert", cert, format!("the certificate in it cannot be used: {error}"));
    }
    file_error("tls.client_key", key, format!("the private key in it cannot be used: {error}"))
}

/// The system's judgement, and beside it what it cannot say of a certificate that vouches for
/// itself: that it does (which is put right in another way), and that `ca_file` names this very one.
#[derive(Debug)]
struct Judge {
    verifier: Verifier,
    /// The certificates of `ca_file`.
    known: Vec<CertificateDer<'static>>,
}

/// Marks a certificate that vouches for itself in the library's error.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is signed by itself")]
struct SelfSigned;

impl Judge {
    /// What openssl makes when asked for a self-signed certificate is an authority as well, and the
    /// library takes no authority for a server. One that a person has named is taken nevertheless,
    /// in its time and for its name.
    fn knows(&self, cert: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<bool, Error> {
        let Some(found) = certificate::look(cert).filter(|_| self.known.iter().any(|known| known == cert))
        else {
            return Ok(false);
        };
        let now =
            Timestamp::from_millis(i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000));
        if now < found.not_before {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if now > found.not_after {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        verify_server_name(&ParsedCertificate::try_from(cert)?, name)?;
        Ok(true)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(Error::InvalidCertificate(fault)) = &judged else { return judged };
        if is_authority(fault) && self.knows(end_entity, server_name, now)? {
            return Ok(ServerCertVerified::assertion());
        }
        let stranger = is_authority(fault) || is_unknown_issuer(fault);
        if stranger && certificate::look(end_entity).is_some_and(|it| it.self_issued) {
            return Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(SelfSigned)))));
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// A signature that does not fit is an authority of the right name with another key.
const fn is_unknown_issuer(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    )
}

/// Whether the fault is that the server's certificate is one of an authority, which the library
/// says before it looks at anything else, and in a type it does not show.
fn is_authority(fault: &CertificateError) -> bool {
    matches!(fault, CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

/// What a server that refused us in the middle of TLS had against us; none where it was not that.
pub(super) fn refusal_of(error: &io::Error) -> Option<TlsFault> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => alert_fault(*alert),
        _ => None,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
fn alert_fault(alert: AlertDescription) -> Option<TlsFault> {
    let words = match alert {
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
            return Some(TlsFault::Version);
        }
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => "",
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::UnknownCA => "it does not trust who signed it",
        AlertDescription::AccessDenied => "it lets this one not in",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "it cannot accept this one",
        AlertDescription::NoApplicationProtocol => {
            return Some(TlsFault::Other("the server speaks no HTTP/1.1 there (ALPN)".into()));
        }
        _ => return None,
    };
    Some(TlsFault::ClientCertificate(words.into()))
}

/// Names of the certificate that are quoted at most.
const NAMES_QUOTED: usize = 4;

fn fault_of(error: &io::Error, now: Timestamp) -> TlsFault {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return TlsFault::Other(if error.kind() == io::ErrorKind::UnexpectedEof {
            "the connection ended in the middle of the handshake".into()
        } else {
            error.to_string()
        });
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
    let fault = match cause {
        Error::InvalidCertificate(fault) => fault,
        Error::AlertReceived(alert) => {
            return alert_fault(*alert).unwrap_or_else(|| TlsFault::Other(cause.to_string()));
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => return TlsFault::Version,
        _ => return TlsFault::Other(cause.to_string()),
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
    match fault {
        CertificateError::NotValidForName => TlsFault::WrongName(String::new()),
        CertificateError::NotValidForNameContext { presented, .. } => TlsFault::WrongName(names(presented)),
        CertificateError::Expired => TlsFault::Expired(Validity { bound: None, clock: now }),
        CertificateError::ExpiredContext { time, not_after } => {
            TlsFault::Expired(Validity { bound: Some(at(*not_after)), clock: at(*time) })
        }
        CertificateError::NotValidYet => TlsFault::NotYetValid(Validity { bound: None, clock: now }),
        CertificateError::NotValidYetContext { time, not_before } => {
            TlsFault::NotYetValid(Validity { bound: Some(at(*not_before)), clock: at(*time) })
        }
        CertificateError::Other(other) if other.0.is::<SelfSigned>() => TlsFault::SelfSigned,
        other if is_unknown_issuer(other) || is_authority(other) => TlsFault::UnknownIssuer,
        other => TlsFault::Other(other.to_string()),
    }
}

fn at(time: UnixTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
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
