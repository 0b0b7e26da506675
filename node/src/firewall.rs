//! Filtering, marking and address translation: our one nftables table, as a value. The names of sets and
//! their meaning are those of the Go project's ipsets and chains (datapath spec 8.2, 8.3).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// What the rules depend on. The rules themselves are fixed (`firewall/rules.rs`): only sets and these
/// switches change with the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Name of the VXLAN link; without an overlay network the overlay's rules are absent.
    pub vxlan: Option<String>,
    /// Overlay subnets (`HYBR-OVERLAY-NET`).
    pub overlay: BTreeSet<IpNetwork>,
    /// Underlay subnets; with `overlay` and `nodes` they are all that we route (`HYBR-ALL`).
    pub underlay: BTreeSet<IpNetwork>,
    /// Addresses of all nodes (`HYBR-NODE-IP`).
    pub nodes: BTreeSet<IpAddr>,
    /// Addresses of this node, a part of `nodes`.
    pub own: BTreeSet<IpAddr>,
    /// Pods that run here (`HYBR-LOCAL-POD-IP`).
    pub local_pods: BTreeSet<IpAddr>,
    /// Underlay subnets of this node by the link that their packets come in by (`HYBR-LOCAL-UNDERLAY-NET`):
    /// what comes for a pod that is not here is dropped, or it would go round for ever.
    pub local_underlay: BTreeMap<String, BTreeSet<IpNetwork>>,
}
