//! `hybridnet-webhook`: fills in the network of new pods, and refuses networks, subnets and pods that
//! cannot work (control-plane spec, chapter 5).

pub mod certificate;
pub mod patch;
pub mod review;
