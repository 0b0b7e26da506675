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
mod tests;
