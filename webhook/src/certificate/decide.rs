//! Whether what the Secret holds can be served, and until when: a pure function of the wall clock and
//! the Secret, so every replica comes to the same answer.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use super::{Material, Names};

/// What to do with the Secret.
#[derive(Debug)]
pub enum Decision {
    /// Serve it.
    Keep,
    /// Sign a new serving certificate.
    RenewLeaf(Reason),
    /// Make a new authority and a new serving certificate.
    NewAuthority(Reason),
}

/// Why something new is made.
#[derive(Debug)]
pub enum Reason {
    /// There is no Secret yet.
    Absent,
    /// Two thirds of its life are over.
    Due,
    /// It cannot be served.
    Broken(Fault),
}

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not PEM, or not a certificate.
    #[error("{0}: not a certificate in PEM form")]
    Unreadable(&'static str),
    /// Not PEM, not a key, or the key of another certificate.
    #[error("{part}: the key does not belong to the certificate")]
    Key {
        /// Entry of the Secret.
        part: &'static str,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The first certificate among the authorities may not sign others.
    #[error("{0}: not an authority")]
    NotAuthority(&'static str),
    /// The end of its life has passed, or the start is still to come.
    #[error("{0}: outside of its validity")]
    Validity(&'static str),
    /// A client would not accept it for this name.
    #[error("serving certificate for {name}")]
    Refused {
        /// One of the names of the service.
        name: String,
        /// What a client would say.
        source: rustls::Error,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is none yet"),
            Self::Due => f.write_str("two thirds of its life are over"),
            Self::Broken(Fault::Key { part, source }) => write!(f, "{part}: {source}"),
            Self::Broken(Fault::Refused { name, source }) => {
                write!(f, "a client of {name} refuses it: {source}")
            }
            Self::Broken(fault) => fault.fmt(f),
        }
    }
}

/// What to do at `now` with what the Secret holds (`None`: there is no Secret).
pub fn decide(now: UnixTime, names: &Names, material: Option<&Material>) -> Decision {
    let Some(material) = material else {
        return Decision::NewAuthority(Reason::Absent);
    };
    let authority = match authority(now, material) {
        Ok(authority) => authority,
        Err(fault) => return Decision::NewAuthority(Reason::Broken(fault)),
    };
    if life(&authority).is_none_or(|life| life.is_due(now)) {
        return Decision::NewAuthority(Reason::Due);
    }
    match leaf(now, names, material, authority) {
        Err(fault) => Decision::RenewLeaf(Reason::Broken(fault)),
        Ok(leaf) if life(&leaf).is_none_or(|life| life.is_due(now)) => Decision::RenewLeaf(Reason::Due),
        Ok(_) => Decision::Keep,
    }
}

/// First and last second of a certificate's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Seconds after 1970.
    pub start: u64,
    /// Seconds after 1970.
    pub end: u64,
}

impl Life {
    /// Whether the certificate is valid.
    pub fn contains(self, now: UnixTime) -> bool {
        (self.start..self.end).contains(&now.as_secs())
    }

    fn is_due(self, now: UnixTime) -> bool {
        now.as_secs()
            >= self
                .start
                .saturating_add(self.end.saturating_sub(self.start) / 3 * 2)
    }
}

/// The validity of a certificate, or nothing when it cannot be read.
pub fn life(certificate: &CertificateDer<'_>) -> Option<Life> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    Some(Life {
        start: u64::try_from(validity.not_before.timestamp()).ok()?,
        end: u64::try_from(validity.not_after.timestamp()).ok()?,
    })
}

/// A certificate and its key, checked to belong together.
pub fn certified(part: &'static str, certificate: &str, key: &str) -> Result<CertifiedKey, Fault> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .flatten()
        .take(1)
        .collect();
    if chain.is_empty() {
        return Err(Fault::Unreadable(part));
    }
    let failed = |source| Fault::Key { part, source };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| failed(rustls::Error::General(format!("key: {error}"))))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(failed)
}

fn authority(now: UnixTime, material: &Material) -> Result<CertificateDer<'static>, Fault> {
    let part = "authority";
    let certified = certified(part, &material.authorities, &material.authority_key)?;
    let der = first(part, certified)?;
    let (_, parsed) = parse_x509_certificate(&der).map_err(|_| Fault::Unreadable(part))?;
    if !parsed.is_ca() {
        return Err(Fault::NotAuthority(part));
    }
    if !life(&der).is_some_and(|life| life.contains(now)) {
        return Err(Fault::Validity(part));
    }
    Ok(der)
}

// Asks what the API server will ask: is it signed by the authority, alive, and for this name?
fn leaf(
    now: UnixTime,
    names: &Names,
    material: &Material,
    authority: CertificateDer<'static>,
) -> Result<CertificateDer<'static>, Fault> {
    let part = "serving certificate";
    let der = first(part, certified(part, &material.leaf, &material.leaf_key)?)?;
    let mut roots = RootCertStore::empty();
    roots
        .add(authority)
        .map_err(|_| Fault::NotAuthority("authority"))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| Fault::NotAuthority("authority"))?;
    let addresses = names.addresses.iter().map(ToString::to_string);
    for name in names.dns.iter().cloned().chain(addresses) {
        let server = ServerName::try_from(name.clone()).map_err(|_| Fault::Unreadable("name"))?;
        verifier
            .verify_server_cert(&der, &[], &server, &[], now)
            .map_err(|source| Fault::Refused { name, source })?;
    }
    Ok(der)
}

fn first(part: &'static str, certified: CertifiedKey) -> Result<CertificateDer<'static>, Fault> {
    certified.cert.into_iter().next().ok_or(Fault::Unreadable(part))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::issue::{AUTHORITY_LIFE, LEAF_LIFE, new_authority, new_leaf};
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn at(day: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs((20_000 + day) * DAY))
    }

    fn names() -> Names {
        Names::of_service("kube-system")
    }

    fn made(day: u64) -> Material {
        new_authority(at(day), &names(), None).expect("a certificate")
    }

    fn decided(day: u64, material: &Material) -> Decision {
        decide(at(day), &names(), Some(material))
    }

    #[test]
    fn what_was_just_made_is_kept_until_two_thirds_of_its_life() {
        let material = made(0);
        assert!(matches!(decided(0, &material), Decision::Keep));
        assert!(matches!(decided(59, &material), Decision::Keep));
        assert!(matches!(decided(61, &material), Decision::RenewLeaf(Reason::Due)));
        assert_eq!(LEAF_LIFE.as_secs(), 90 * DAY);
    }

    #[test]
    fn a_renewed_leaf_is_kept_and_its_authority_too() {
        let old = made(0);
        let new = new_leaf(at(61), &names(), &old).expect("a certificate");
        assert!(matches!(decided(61, &new), Decision::Keep));
        assert_eq!(old.authorities, new.authorities);
        assert_ne!(old.leaf_key, new.leaf_key);
    }

    #[test]
    fn an_authority_is_replaced_at_two_thirds_of_its_life_and_stays_behind_the_new_one() {
        let due = AUTHORITY_LIFE.as_secs() / DAY * 2 / 3 + 1;
        let old = new_leaf(at(due), &names(), &made(0)).expect("a certificate");
        assert!(matches!(decided(due, &old), Decision::NewAuthority(Reason::Due)));
        let new = new_authority(at(due), &names(), Some(&old)).expect("a certificate");
        assert!(matches!(decided(due, &new), Decision::Keep));
        assert_eq!(
            crate::certificate::bundle::certificates(new.authorities.as_bytes()).len(),
            2
        );
        let later = new_authority(at(370), &names(), Some(&new)).expect("a certificate");
        assert_eq!(
            crate::certificate::bundle::certificates(later.authorities.as_bytes()).len(),
            2
        );
    }

    #[test]
    fn without_a_secret_everything_is_made() {
        assert!(matches!(
            decide(at(0), &names(), None),
            Decision::NewAuthority(Reason::Absent)
        ));
    }

    #[test]
    fn a_broken_authority_is_replaced() {
        let good = made(0);
        let other = made(0);
        let cases = [
            (
                "empty",
                Material {
                    authorities: String::new(),
                    ..good.clone()
                },
            ),
            (
                "garbage",
                Material {
                    authorities: "garbage".to_owned(),
                    ..good.clone()
                },
            ),
            (
                "not a certificate",
                Material {
                    authorities: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
                    ..good.clone()
                },
            ),
            (
                "no key",
                Material {
                    authority_key: String::new(),
                    ..good.clone()
                },
            ),
            (
                "other key",
                Material {
                    authority_key: other.authority_key.clone(),
                    ..good.clone()
                },
            ),
            (
                "a leaf as authority",
                Material {
                    authorities: good.leaf.clone(),
                    authority_key: good.leaf_key.clone(),
                    ..good.clone()
                },
            ),
        ];
        for (case, material) in cases {
            let decision = decided(0, &material);
            assert!(
                matches!(decision, Decision::NewAuthority(Reason::Broken(_))),
                "{case}: {decision:?}"
            );
        }
    }

    #[test]
    fn an_authority_outside_of_its_validity_is_replaced() {
        for day in [0, 1000] {
            let decision = decided(day, &made(400));
            assert!(
                matches!(
                    decision,
                    Decision::NewAuthority(Reason::Broken(Fault::Validity(_)))
                ),
                "{decision:?}"
            );
        }
    }

    #[test]
    fn a_broken_leaf_is_signed_again_by_the_same_authority() {
        let good = made(0);
        let other = made(0);
        let elsewhere =
            new_leaf(at(0), &Names::of_service("elsewhere"), &good).expect("a certificate of other names");
        let cases = [
            (
                "garbage",
                Material {
                    leaf: "garbage".to_owned(),
                    ..good.clone()
                },
            ),
            (
                "garbage key",
                Material {
                    leaf_key: "garbage".to_owned(),
                    ..good.clone()
                },
            ),
            (
                "other key",
                Material {
                    leaf_key: other.leaf_key.clone(),
                    ..good.clone()
                },
            ),
            (
                "signed by somebody else",
                Material {
                    leaf: other.leaf.clone(),
                    leaf_key: other.leaf_key.clone(),
                    ..good.clone()
                },
            ),
            ("other names", elsewhere),
        ];
        for (case, material) in cases {
            let decision = decided(0, &material);
            assert!(
                matches!(decision, Decision::RenewLeaf(Reason::Broken(_))),
                "{case}: {decision:?}"
            );
            let renewed = new_leaf(at(0), &names(), &material).expect("a certificate");
            assert!(matches!(decided(0, &renewed), Decision::Keep), "{case}");
        }
        let ended = decided(100, &good);
        assert!(
            matches!(ended, Decision::RenewLeaf(Reason::Broken(Fault::Refused { .. }))),
            "{ended:?}"
        );
    }

    #[test]
    fn the_reason_says_which_entry_is_wrong_and_why() {
        let good = made(0);
        let material = Material {
            leaf_key: made(0).leaf_key,
            ..good
        };
        let Decision::RenewLeaf(reason) = decided(0, &material) else {
            panic!("kept")
        };
        assert!(
            reason.to_string().starts_with("serving certificate: "),
            "{reason}"
        );
    }
}
