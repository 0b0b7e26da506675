//! Why no network can be chosen for a pod.

use crate::NetworkType;
use crate::names::annotation::{IP_FAMILY, NETWORK_TYPE, SPECIFIED_NETWORK, SPECIFIED_SUBNET};
use crate::network::UnknownWord;

use super::PodFamily;
use super::level::Level;

/// Why no network can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The pod's namespace is not known.
    #[error("namespace {0:?} not found: create it before its pods")]
    NoNamespace(String),
    /// No such network.
    #[error("network {0:?} not found: create it, or name another one in {SPECIFIED_NETWORK}")]
    NoNetwork(String),
    /// No such subnet.
    #[error("{SPECIFIED_SUBNET} of the {level}: subnet {name:?} not found: create it, or name another one")]
    NoSubnet {
        /// Where it is named.
        level: Level,
        /// The name.
        name: String,
    },
    /// Three or more names.
    #[error(
        "{SPECIFIED_SUBNET} of the {level}: {text:?} names more than two subnets: use one, or v4subnet/v6subnet"
    )]
    TooManySubnets {
        /// Where they are named.
        level: Level,
        /// The whole text.
        text: String,
    },
    /// Two names in the wrong order, or of one family.
    #[error(
        "{SPECIFIED_SUBNET} of the {level}: subnet {name:?} has version {actual:?}, and {expected:?} must stand \
         there: write an IPv4 subnet, a slash, and an IPv6 subnet"
    )]
    SubnetVersion {
        /// Where it is named.
        level: Level,
        /// The name.
        name: String,
        /// What it has.
        actual: String,
        /// What it should have.
        expected: &'static str,
    },
    /// The subnets of two networks.
    #[error(
        "{SPECIFIED_SUBNET} of the {level}: {first:?} is in network {first_network:?} and {second:?} in {second_network:?}: name subnets of one network"
    )]
    TwoNetworks {
        /// Where they are named.
        level: Level,
        /// The IPv4 subnet.
        first: String,
        /// Its network.
        first_network: String,
        /// The IPv6 subnet.
        second: String,
        /// Its network.
        second_network: String,
    },
    /// A subnet of another network than the one that is named.
    #[error(
        "{SPECIFIED_NETWORK} of the {level} is {network:?}, but subnet {subnet:?} of {SPECIFIED_SUBNET} is in \
         {actual:?}: name one of the two, or a subnet of that network"
    )]
    OtherNetwork {
        /// Where they are named.
        level: Level,
        /// The network that is named.
        network: String,
        /// The subnet that is named.
        subnet: String,
        /// The network of the subnet.
        actual: String,
    },
    /// Another type than the network's.
    #[error(
        "{key} asks for {asked:?}, but network {network:?} is {actual}: leave the type out, or name a network of that type"
    )]
    Type {
        /// The key.
        key: &'static str,
        /// The word.
        asked: String,
        /// The network.
        network: String,
        /// Its type.
        actual: NetworkType,
    },
    /// Not a type.
    #[error("{NETWORK_TYPE}: {0}")]
    UnknownType(#[from] UnknownWord),
    /// The network object itself is wrong.
    #[error("network {network:?} cannot be used: {source}")]
    UnusableNetwork {
        /// Its name.
        network: String,
        /// What is wrong.
        source: UnknownWord,
    },
    /// Not a family.
    #[error("{IP_FAMILY} {0:?} is not known: use one of {words}", words = PodFamily::WORDS)]
    Family(String),
    /// The pod has addresses in two networks.
    #[error(
        "the pod keeps {first} of network {first_network:?} and {second} of network {second_network:?}: delete one of these IPInstances"
    )]
    TornApart {
        /// An `IPInstance`.
        first: String,
        /// Its network.
        first_network: String,
        /// Another one.
        second: String,
        /// Its network.
        second_network: String,
    },
    /// The network or subnet is for other namespaces.
    #[error(
        "{key}: {kind} {name:?} gives no addresses to namespace {namespace:?}: name another one, or add the namespace to \
         its spec.config.allowedNamespaces"
    )]
    NotAllowed {
        /// The key.
        key: &'static str,
        /// `network` or `subnet`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The namespace of the pod.
        namespace: String,
    },
}
