//! Certificates made on the spot.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority of our own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: Vec<u8>,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// No more.
    Over,
    /// Not yet.
    Later,
}

/// A certificate with its key.
pub struct Identity {
    /// PEM.
    pub cert: String,
    /// PEM.
    pub key: String,
    cert_der: Vec<u8>,
    key_der: Vec<u8>,
}

impl Authority {
    /// A new one that nobody trusts yet.
    pub fn new() -> Self {
        Self::named("Test CA")
    }

    /// As [`Authority::new`], by another name.
    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        Self { pem: cert.pem(), der: cert.der().to_vec(), issuer: Issuer::new(params, key) }
    }

    /// Writes the certificate where `ca_file` can name it.
    pub fn write_to(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    /// A certificate for this name.
    pub fn issue(&self, name: &str, validity: Validity) -> Identity {
        self.issue_for(&[name], validity)
    }

    /// A certificate for these names and addresses.
    pub fn issue_for(&self, names: &[&str], validity: Validity) -> Identity {
        let key = KeyPair::generate().unwrap();
        let cert = params(names, validity).signed_by(&key, &self.issuer).unwrap();
        Identity::new(cert.pem(), cert.der().to_vec(), &key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone().into()).unwrap();
        roots
    }
}

impl Identity {
    fn new(cert: String, cert_der: Vec<u8>, key: &KeyPair) -> Self {
        Self { cert, key: key.serialize_pem(), cert_der, key_der: key.serialize_der() }
    }

    /// One that vouches for itself. As its own authority (what openssl makes) or as a plain one.
    pub fn self_signed(name: &str, own_authority: bool) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[name], Validity::Now);
        if own_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let cert = params.self_signed(&key).unwrap();
        Self::new(cert.pem(), cert.der().to_vec(), &key)
    }

    /// Serves with it.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_asking(None)
    }

    /// Serves with it, and wants the client to show a certificate of `clients`.
    pub fn acceptor_asking(&self, clients: Option<&Authority>) -> TlsAcceptor {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let mut config = builder
            .with_single_cert(vec![self.cert_der.clone().into()], self.key_der.clone().try_into().unwrap())
            .unwrap();
        // One that would rather speak HTTP/2.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn params(names: &[&str], validity: Validity) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names[0]);
    (params.not_before, params.not_after) = match validity {
        Validity::Now => (date_time_ymd(2000, 1, 1), date_time_ymd(2099, 1, 1)),
        Validity::Over => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
        Validity::Later => (date_time_ymd(2098, 1, 1), date_time_ymd(2099, 1, 1)),
    };
    params
}
