//! `hybridnet-webhook`: fills in the network of new pods, and refuses networks, subnets and pods that
//! cannot work (control-plane spec, chapter 5).

pub mod admission;
pub mod caches;
pub mod certificate;
mod clip;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod flags;
mod fresh;
pub mod held;
mod live;
pub mod metrics;
mod namespaces;
mod network;
pub mod patch;
mod pod;
pub mod readiness;
pub mod recent;
mod remote_cluster;
mod remote_subnet;
pub mod review;
pub mod run;
pub mod server;
mod subnet;
mod vm;
