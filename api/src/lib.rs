//! The words of Hybridnet: what users write, what is on the wire, and the pure arithmetic and choices
//! that every program shares. No I/O, no async, no clock, no client.
//!
//! The feature `crd` (default) brings the Kubernetes types; without it only what the CNI plugin needs
//! is left: [`cni`].

pub mod cni;

#[cfg(feature = "crd")]
pub mod address;
#[cfg(feature = "crd")]
pub mod allowance;
#[cfg(feature = "crd")]
pub mod duration;
#[cfg(feature = "crd")]
pub mod feature_gates;
#[cfg(feature = "crd")]
pub mod generated;
#[cfg(feature = "crd")]
pub mod ip_instance;
#[cfg(feature = "crd")]
pub mod mac;
#[cfg(feature = "crd")]
pub mod multicluster;
#[cfg(feature = "crd")]
pub mod names;
#[cfg(feature = "crd")]
pub mod network;
#[cfg(feature = "crd")]
pub mod node_info;
#[cfg(feature = "crd")]
mod nullable;
#[cfg(feature = "crd")]
pub mod object_name;
#[cfg(feature = "crd")]
pub mod pod;
#[cfg(feature = "crd")]
pub mod pool;
#[cfg(feature = "crd")]
pub mod selection;
#[cfg(feature = "crd")]
pub mod settings;
#[cfg(feature = "crd")]
pub mod subnet;
#[cfg(feature = "crd")]
pub mod validation;

#[cfg(feature = "crd")]
pub use ip_instance::{IpInstance, IpInstanceSpec, IpInstanceStatus};
#[cfg(feature = "crd")]
pub use multicluster::{RemoteCluster, RemoteEndpointSlice, RemoteSubnet, RemoteVtep};
#[cfg(feature = "crd")]
pub use network::{Network, NetworkMode, NetworkSpec, NetworkStatus, NetworkType};
#[cfg(feature = "crd")]
pub use node_info::{NodeInfo, NodeInfoSpec, NodeInfoStatus};
#[cfg(feature = "crd")]
pub use subnet::{Subnet, SubnetSpec, SubnetStatus};
