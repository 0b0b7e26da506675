//! `hybridnet-daemon`: programs the kernel of one node, and serves the CNI plugin.
//!
//! ```text
//! API server --watch--> View --plan--> Plan --kernel, firewall--> the kernel of this node
//! CNI plugin --server--> pod (veth, namespace of the pod)
//! ```

pub mod firewall;
pub mod flags;
pub mod health;
pub mod index;
pub mod install;
pub mod kernel;
pub mod mac;
pub mod metrics;
pub mod neighbour_check;
pub mod newcomers;
pub mod node_info;
pub mod plan;
pub mod pod;
pub mod run;
pub mod server;
#[cfg(test)]
mod testing;
pub mod view;
pub mod watch;
