//! `hybridnet-webhook`: fills in the network of new pods, and refuses networks, subnets and pods that
//! cannot work (control-plane spec, chapter 5).

pub mod certificate;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod held;
pub mod logs;
pub mod metrics;
pub mod patch;
pub mod readiness;
pub mod recent;
pub mod review;
