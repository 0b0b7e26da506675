//! Why a network cannot be so: the field, what stands there, and what to do.

use std::ops::RangeInclusive;

use crate::network::UnknownWord;
use crate::validation::{NamespaceFault, few};
use crate::{NetworkMode, NetworkType};

/// Why a network cannot be so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// Its name is no label value.
    #[error("metadata.name has {0} characters: use at most 63, for the name becomes a label")]
    Name(usize),
    /// An unknown type or mode.
    #[error("spec.{field}: {0}", field = .0.field)]
    Word(#[from] UnknownWord),
    /// Underlay without nodes.
    #[error("spec.nodeSelector is empty: give the labels of its nodes, which an Underlay network needs")]
    NoSelector,
    /// Not Underlay, with nodes.
    #[error("spec.nodeSelector is set: leave it out, every node is in the {0} network")]
    Selector(NetworkType),
    /// A node would be in two underlay networks.
    #[error(
        "spec.nodeSelector matches node {node:?}, which is in network {other:?}: select other nodes, for a node has one \
         Underlay network"
    )]
    Overlap {
        /// The node.
        node: String,
        /// The network that has it.
        other: String,
    },
    /// There can be only one.
    #[error(
        "spec.type is {type_}, and network {other:?} is that already: use it, for a cluster has at most one"
    )]
    Second {
        /// The type.
        type_: NetworkType,
        /// The network of the type.
        other: String,
    },
    /// No net ID.
    #[error("spec.netID is missing: give {meaning}, which a {0} network needs", meaning = net_id_meaning(*.0))]
    NoNetId(NetworkMode),
    /// A net ID that means nothing.
    #[error("spec.netID is {0}: leave it out, a GlobalBGP network has none")]
    UselessNetId(i32),
    /// A net ID that does not exist.
    #[error("spec.netID is {value}: use {} from {} to {}", net_id_meaning(*.mode), .range.start(), .range.end())]
    NetIdRange {
        /// What stands there.
        value: i32,
        /// Says what it means.
        mode: NetworkMode,
        /// What may stand there.
        range: RangeInclusive<i32>,
    },
    /// A mode of another type.
    #[error("spec.mode is {mode}, which is not for spec.type {type_}: leave it out, or use {}", modes(*.type_))]
    ModeOfOtherType {
        /// The mode.
        mode: NetworkMode,
        /// The type.
        type_: NetworkType,
    },
    /// BGP without routers.
    #[error(
        "spec.config.bgpPeers is empty: give the routers that its nodes peer with, which a BGP network needs"
    )]
    NoPeers,
    /// A router without an address.
    #[error("spec.config.bgpPeers: address {0:?} is not an IP address: write that of the router")]
    PeerAddress(String),
    /// A router without an AS.
    #[error("spec.config.bgpPeers: asn of {address} is {asn}: use a number above 0")]
    PeerAsn {
        /// Of the router.
        address: String,
        /// What stands there.
        asn: i32,
    },
    /// Another value than before.
    #[error("spec.{field} cannot change from {old} to {new}: create another network")]
    Changed {
        /// The field.
        field: &'static str,
        /// Before.
        old: String,
        /// After.
        new: String,
    },
    /// It has subnets.
    #[error("it has subnets: delete {} first", few(.0))]
    HasSubnets(Vec<String>),
    /// Nobody is called so.
    #[error(transparent)]
    Namespace(#[from] NamespaceFault),
    /// Its nodes announce addresses of the `GlobalBGP` network.
    #[error("node {node:?} announces {ip} of network {other:?} by it: move these pods away first")]
    Announces {
        /// A node of the network.
        node: String,
        /// An address on it.
        ip: String,
        /// The `GlobalBGP` network.
        other: String,
    },
}

const fn modes(type_: NetworkType) -> &'static str {
    match type_ {
        NetworkType::Underlay => "VLAN or BGP",
        NetworkType::Overlay => "VXLAN",
        NetworkType::GlobalBgp => "GlobalBGP",
    }
}

const fn net_id_meaning(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Vlan => "a VLAN ID",
        NetworkMode::Vxlan => "a VXLAN network identifier",
        NetworkMode::Bgp => "an AS number",
        NetworkMode::GlobalBgp => "nothing",
    }
}
