//! Which authorities the API server shall trust: ours first, then whatever was there and still lives, so
//! that old and new webhooks may serve side by side during a roll-over (packaging 3.1).

use pem::Pem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::parse_x509_certificate;

/// `ours`, followed by the certificates of `existing` that are not among them and have not ended.
/// What does not parse is dropped: an API server cannot use it either.
pub fn merged(existing: &[u8], ours: &str, now: UnixTime) -> String {
    let mut kept = certificates(ours.as_bytes());
    for certificate in certificates(existing) {
        if !kept.contains(&certificate) && lives(&certificate, now) {
            kept.push(certificate);
        }
    }
    kept.iter().map(encode).collect()
}

/// Whether the two texts hold the same certificates, whatever their order and whitespace.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    let (left, right) = (certificates(left), certificates(right));
    left.len() == right.len() && left.iter().all(|certificate| right.contains(certificate))
}

/// The certificates in `pem`; what is not one is passed over.
pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).flatten().collect()
}

// The original's authority is an X.509 version 1 certificate, which webpki refuses and this parser reads.
fn lives(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let end = parse_x509_certificate(certificate).map(|(_, parsed)| parsed.validity().not_after.timestamp());
    end.is_ok_and(|end| u64::try_from(end).is_ok_and(|end| now.as_secs() < end))
}

fn encode(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&Pem::new("CERTIFICATE", certificate.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Names;
    use super::super::issue::new_authority;
    use super::*;

    // An X.509 version 1 certificate without extensions, as the authority of the original is.
    const VERSION_1: &str = include_str!("../../tests/data/version1.pem");

    fn at(day: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_hours((20_000 + day) * 24))
    }

    fn authority(day: u64) -> String {
        new_authority(at(day), &Names::of_service("a"), None)
            .expect("a certificate")
            .authorities
    }

    #[test]
    fn ours_stand_before_what_was_there() {
        let (old, new) = (authority(0), authority(0));
        assert_eq!(merged(old.as_bytes(), &new, at(0)), format!("{new}{old}"));
    }

    #[test]
    fn what_has_ended_or_does_not_parse_is_dropped() {
        let new = authority(400);
        let old = format!("{}garbage\n{VERSION_1}", authority(0));
        let bundle = merged(old.as_bytes(), &new, at(400));
        assert_eq!(certificates(bundle.as_bytes()).len(), 2);
        assert_eq!(merged(bundle.as_bytes(), &new, at(9000)), new);
    }

    #[test]
    fn merging_twice_changes_nothing() {
        let new = authority(0);
        let once = merged(authority(0).as_bytes(), &new, at(0));
        assert_eq!(merged(once.as_bytes(), &new, at(0)), once);
        assert!(same(once.as_bytes(), once.as_bytes()));
        assert!(!same(new.as_bytes(), once.as_bytes()));
        assert!(!same(b"", once.as_bytes()));
    }
}
