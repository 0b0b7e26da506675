//! Why a subnet cannot be so: the field, what stands there, and what to do.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::MAX_CAPACITY;
use crate::NetworkMode;
use crate::address::RangeError;
use crate::network::UnknownWord;
use crate::validation::network::NetworkFault;
use crate::validation::{NamespaceFault, few};

/// Why a subnet cannot be so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetFault {
    /// Its name is no label value.
    #[error("metadata.name has {0} characters: use at most 63, for the name becomes a label")]
    Name(usize),
    /// It belongs nowhere.
    #[error("spec.network is empty: name the Network that it belongs to")]
    NetworkEmpty,
    /// It belongs to nothing.
    #[error("spec.network {0:?} does not exist: create that Network first")]
    NoNetwork(String),
    /// It belongs to a network that cannot work.
    #[error("network {network:?} cannot be used: {source}")]
    UnusableNetwork {
        /// Its name.
        network: String,
        /// What is wrong.
        source: UnknownWord,
    },
    /// VLAN without a tag.
    #[error("spec.netID is missing: give the VLAN ID here or in network {0:?}")]
    NoNetId(String),
    /// VLAN with two tags.
    #[error("spec.netID is {own}, but network {network:?} has {inherited}: leave it out")]
    OtherNetId {
        /// Of the subnet.
        own: i32,
        /// Of the network.
        inherited: i32,
        /// Its name.
        network: String,
    },
    /// A tag where there is none.
    #[error("spec.netID is {own}: leave it out, only subnets of VLAN networks have one, and this is {mode}")]
    UselessNetId {
        /// Of the subnet.
        own: i32,
        /// Of the network.
        mode: NetworkMode,
    },
    /// A tag that does not exist.
    #[error(transparent)]
    NetId(NetworkFault),
    /// Only overlays masquerade.
    #[error(
        "spec.config.autoNatOutgoing is {value}: leave it out, only VXLAN networks masquerade, and this is {mode}"
    )]
    AutoNat {
        /// What stands there.
        value: bool,
        /// Of the network.
        mode: NetworkMode,
    },
    /// Nobody is called so.
    #[error(transparent)]
    Namespace(#[from] NamespaceFault),
    /// VLAN without a router.
    #[error("spec.range.gateway is missing: give the fabric's router, which pods of a VLAN network need")]
    NoGateway,
    /// The addresses make no sense.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Too many addresses.
    #[error(
        "spec.range has {0} addresses, and {MAX_CAPACITY} is the most: set spec.range.start and spec.range.end, \
         or use several subnets of one CIDR"
    )]
    TooLarge(u128),
    /// CIDRs that overlap without being the same.
    #[error(
        "spec.range.cidr {cidr} of subnet {name:?} overlaps {other_cidr} of subnet {other:?}: use the same CIDR, or \
         one that lies apart"
    )]
    OverlappingCidr {
        /// The one that is judged.
        name: String,
        /// Its CIDR.
        cidr: IpNetwork,
        /// The one that is there.
        other: String,
        /// Its CIDR.
        other_cidr: IpNetwork,
    },
    /// One CIDR in two networks.
    #[error(
        "spec.range.cidr {cidr} of subnet {name:?} is taken by subnet {other:?} of network {network:?}: only subnets of \
         one network share a CIDR"
    )]
    CidrOfOtherNetwork {
        /// The one that is judged.
        name: String,
        /// The CIDR of both.
        cidr: IpNetwork,
        /// The one that is there.
        other: String,
        /// Its network.
        network: String,
    },
    /// Addresses in common.
    #[error(
        "subnet {name:?} and subnet {other:?} both have {at}: set spec.range.start and spec.range.end so that they \
         lie apart, or exclude what they share"
    )]
    Overlap {
        /// The one that is judged.
        name: String,
        /// The one that is there.
        other: String,
        /// The lowest address that both have.
        at: IpAddr,
    },
    /// Addresses in common with another cluster.
    #[error(
        "subnet {name:?} and remote subnet {other:?} of cluster {cluster:?} both have {at}: set spec.range.start and \
         spec.range.end so that they lie apart, or exclude what they share"
    )]
    Remote {
        /// The one that is judged.
        name: String,
        /// The one that is there.
        other: String,
        /// The cluster that it is in.
        cluster: String,
        /// The lowest address that both have.
        at: IpAddr,
    },
    /// Another value than before.
    #[error(
        "spec.{field} cannot change from {old} to {new}, for addresses in use rest on it: create another subnet"
    )]
    Changed {
        /// The field.
        field: &'static str,
        /// Before.
        old: String,
        /// After.
        new: String,
    },
    /// Addresses in use would be outside.
    #[error(
        "spec.range would leave out {} in use: {}; keep them in it, or delete their pods or IPInstances first",
        counted(.0.len()), few(.0)
    )]
    LeftOut(Vec<String>),
    /// Addresses in use.
    #[error("it has {} in use: {}; delete their pods or IPInstances first", counted(.0.len()), few(.0))]
    InUse(Vec<String>),
}

fn counted(number: usize) -> String {
    if number == 1 {
        "an address".to_owned()
    } else {
        format!("{number} addresses")
    }
}
