//! The webhook's certificates: an authority and a serving certificate made in the cluster, kept in a
//! Secret that all replicas share, renewed long before they end, and picked up without a restart.
//!
//! ```text
//! Secret ──► decide ──► issue ──► Secret        (keeper, every replica, optimistic writes)
//!    └────► bundle ──► caBundle of the two webhook configurations
//!    └────► Serving ◄── every TLS handshake
//! ```

pub mod bundle;
pub mod configuration;
pub mod decide;
pub mod issue;
pub mod keeper;
pub mod secret;
pub mod serving;
pub mod watch;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The service that the API server calls; webhooks of other services are none of our business.
pub const SERVICE: &str = "hybridnet-webhook";

/// Everything that the Secret holds, as PEM text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// The authority that signs; behind it older ones of ours that have not ended yet.
    pub authorities: String,
    /// Key of the first authority.
    pub authority_key: String,
    /// The serving certificate.
    pub leaf: String,
    /// Key of the serving certificate.
    pub leaf_key: String,
}

// Keys must not end up in a log by way of `{:?}`.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

/// The names that the serving certificate must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// DNS names of the service.
    pub dns: Vec<String>,
    /// Addresses for who calls from the same machine.
    pub addresses: Vec<IpAddr>,
}

impl Names {
    /// The names of the service in `namespace`, as the original has them (control-plane 5.0).
    pub fn of_service(namespace: &str) -> Self {
        Self {
            dns: vec![
                SERVICE.to_owned(),
                format!("{SERVICE}.{namespace}.svc"),
                format!("{SERVICE}.{namespace}.svc.cluster.local"),
            ],
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        }
    }
}
