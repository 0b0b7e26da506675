//! What every long-running program of ours does alike: [`logs`] and their flags, the [`client`] of the API
//! server, the [`feed`] of a kind, the machines of [`kubevirt`], plain HTTP [`ports`] for probes and metrics,
//! and the end on a signal ([`stop`]). Behind the feature `testing`, a make-believe API server.

pub mod client;
pub mod errors;
pub mod feed;
pub mod kubevirt;
pub mod logs;
pub mod ports;
pub mod stop;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
