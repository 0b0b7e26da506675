//! The certificate that handshakes are answered with; it changes under the running server.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Material;
use super::decide::{Fault, Life, certified, life};

/// What is served now, or nothing before the first certificate.
#[derive(Debug, Default)]
pub struct Serving(RwLock<Option<Arc<Served>>>);

#[derive(Debug)]
struct Served {
    key: Arc<CertifiedKey>,
    life: Life,
    material: Material,
}

impl Serving {
    /// Answers handshakes with this certificate from now on.
    pub fn install(&self, material: &Material) -> Result<(), Fault> {
        let part = "serving certificate";
        let key = certified(part, &material.leaf, &material.leaf_key)?;
        let life = key.cert.first().and_then(life).ok_or(Fault::Unreadable(part))?;
        let served = Served {
            key: Arc::new(key),
            life,
            material: material.clone(),
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(served));
        Ok(())
    }

    /// Whether clients can be answered at `now`.
    pub fn is_ready(&self, now: UnixTime) -> bool {
        self.current().is_some_and(|served| served.life.contains(now))
    }

    /// What was installed last.
    pub fn material(&self) -> Option<Material> {
        self.current().map(|served| served.material.clone())
    }

    /// End of the served certificate in seconds after 1970.
    pub fn expiry(&self) -> Option<u64> {
        self.current().map(|served| served.life.end)
    }

    fn current(&self) -> Option<Arc<Served>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current().map(|served| served.key.clone())
    }
}

/// TLS 1.2 and 1.3 with the suites of ring (no CBC, no 3DES), answering with what `serving` holds.
pub fn server_config(serving: Arc<Serving>) -> Result<ServerConfig, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(serving);
    Ok(config)
}
