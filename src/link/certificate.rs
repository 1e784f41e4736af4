//! The few things we want to know of a certificate beside whether it is trusted: how long it is
//! valid, and whether it vouches for itself.

use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use crate::model::Timestamp;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Issuer and subject are the same.
    pub(super) self_issued: bool,
    /// Its first moment.
    pub(super) not_before: Timestamp,
    /// Its last moment.
    pub(super) not_after: Timestamp,
}

/// Looks at a certificate in DER; none where it is none.
pub(super) fn look(der: &[u8]) -> Option<Found> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let at = |time: ASN1Time| Timestamp::from_millis(time.timestamp().saturating_mul(1_000));
    Some(Found {
        self_issued: certificate.issuer() == certificate.subject(),
        not_before: at(certificate.validity().not_before),
        not_after: at(certificate.validity().not_after),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};

    use super::*;

    fn params(name: &str, year: i32) -> CertificateParams {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_before = date_time_ymd(1951, 1, 2);
        params.not_after = date_time_ymd(year, 2, 3);
        params
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_spellings_of_a_year() {
        let key = KeyPair::generate().unwrap();
        for (year, text) in [(2031, "2031-02-03T00:00:00Z"), (2099, "2099-02-03T00:00:00Z")] {
            let cert = params("a", year).self_signed(&key).unwrap();
            let found = look(cert.der()).unwrap();
            let at = |text| Timestamp::parse(text).unwrap();
            let not_before = at("1951-01-02T00:00:00Z");
            assert_eq!(found, Found { self_issued: true, not_before, not_after: at(text) });
        }
    }

    #[test]
    fn one_that_another_signed_is_not_self_issued() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let issuer = Issuer::new(params("issuer", 2031), other);
        let cert = params("a", 2031).signed_by(&key, &issuer).unwrap();
        assert!(!look(cert.der()).unwrap().self_issued);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_it_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = look(&bytes);
        }

        #[test]
        fn nor_does_it_with_a_certificate_that_was_damaged(at in 0_usize..300, to in any::<u8>(), cut in 0_usize..400) {
            let key = KeyPair::generate().unwrap();
            let cert = params("a", 2031).self_signed(&key).unwrap();
            let mut der = cert.der().to_vec();
            if let Some(byte) = der.get_mut(at) {
                *byte = to;
            }
            der.truncate(der.len().saturating_sub(cut));
            let _ = look(&der);
        }
    }
}
