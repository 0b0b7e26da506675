//! `hybridnet-daemon`: programs the kernel of one node, and serves the CNI plugin.

pub mod firewall;
pub mod mac;
pub mod plan;
