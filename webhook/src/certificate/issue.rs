//! Makes authorities and serving certificates: ECDSA P-256, valid from an hour ago so that a node whose
//! clock is late accepts them.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::UnixTime;
use time::OffsetDateTime;

use super::{Material, Names, bundle};

/// Life of an authority.
pub const AUTHORITY_LIFE: Duration = Duration::from_hours(365 * 24);
/// Life of a serving certificate: short enough to end before the authority that is due, at two thirds.
pub const LEAF_LIFE: Duration = Duration::from_hours(90 * 24);
const CLOCK_SKEW: Duration = Duration::from_hours(1);

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The clock stands at a time that no certificate can carry.
    #[error("certificate from {0} s after 1970: not a date, set the clock")]
    Clock(u64),
    /// rcgen refused.
    #[error("certificate for {subject}")]
    Generate {
        /// What the certificate was for.
        subject: &'static str,
        /// What rcgen says.
        source: rcgen::Error,
    },
}

/// A new authority with a new serving certificate; the authorities of `old` that still live stay behind it.
pub fn new_authority(now: UnixTime, names: &Names, old: Option<&Material>) -> Result<Material, IssueError> {
    let subject = "the authority";
    let failed = |source| IssueError::Generate { subject, source };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = params(now, AUTHORITY_LIFE, "hybridnet-webhook-ca")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    let before = old.map_or("", |old| old.authorities.as_str());
    let fresh = Material {
        authorities: bundle::merged(before.as_bytes(), &certificate, now),
        authority_key: key.serialize_pem(),
        ..Material::default()
    };
    new_leaf(now, names, &fresh)
}

/// The same authority with a new serving certificate.
pub fn new_leaf(now: UnixTime, names: &Names, old: &Material) -> Result<Material, IssueError> {
    let subject = "the webhook's service";
    let failed = |source| IssueError::Generate { subject, source };
    let authority_key = KeyPair::from_pem(&old.authority_key).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(&old.authorities, authority_key).map_err(failed)?;
    let mut params = params(now, LEAF_LIFE, super::SERVICE)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    for name in &names.dns {
        params
            .subject_alt_names
            .push(SanType::DnsName(name.as_str().try_into().map_err(failed)?));
    }
    params
        .subject_alt_names
        .extend(names.addresses.iter().copied().map(SanType::IpAddress));
    let key = KeyPair::generate().map_err(failed)?;
    let leaf = params.signed_by(&key, &issuer).map_err(failed)?.pem();
    Ok(Material {
        leaf,
        leaf_key: key.serialize_pem(),
        ..old.clone()
    })
}

fn params(now: UnixTime, life: Duration, common_name: &str) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date(now.as_secs().saturating_sub(CLOCK_SKEW.as_secs()))?;
    params.not_after = date(now.as_secs().saturating_add(life.as_secs()))?;
    Ok(params)
}

fn date(seconds: u64) -> Result<OffsetDateTime, IssueError> {
    let signed = i64::try_from(seconds).map_err(|_| IssueError::Clock(seconds))?;
    OffsetDateTime::from_unix_timestamp(signed).map_err(|_| IssueError::Clock(seconds))
}
