//! Why a pod is refused (control-plane 5.4): each text names the field, what stands there, and what would do.

use std::net::IpAddr;

use hybridnet_api::NetworkType;
use hybridnet_api::address::Family;
use hybridnet_api::names::annotation::{
    ADDRESS_LIMIT, IP_POOL, IP_RETAIN, MAC_POOL, NETWORK_TYPE, SPECIFIED_NETWORK, SPECIFIED_SUBNET,
};
use hybridnet_api::pool::PoolError;
use hybridnet_api::selection::{PodFamily, SelectionError};

/// Why a pod cannot come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodFault {
    /// Its own words make no sense.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Its addresses are in another network than it asks for.
    #[error(
        "it keeps {address} of network {kept:?}, but {SPECIFIED_NETWORK} is {asked:?}: name the former, or set \
         {IP_RETAIN} to \"false\" for new addresses"
    )]
    KeptInNetwork {
        /// One of its addresses.
        address: String,
        /// The network of the address.
        kept: String,
        /// The network that it asks for.
        asked: String,
    },
    /// Its addresses are in another subnet than it asks for.
    #[error(
        "it keeps {address} of subnet {kept:?}, but {SPECIFIED_SUBNET} is {asked:?}: name the former, or set \
         {IP_RETAIN} to \"false\" for new addresses"
    )]
    KeptInSubnet {
        /// One of its addresses.
        address: String,
        /// The subnet of the address.
        kept: String,
        /// The subnets that it asks for.
        asked: String,
    },
    /// Addresses of nowhere.
    #[error("{IP_POOL} is set without a network: name the network of its addresses in {SPECIFIED_NETWORK}")]
    PoolWithoutNetwork,
    /// Not a list of addresses.
    #[error("{IP_POOL}: {0}")]
    IpPool(PoolError),
    /// Not a list of MACs.
    #[error("{MAC_POOL}: {0}")]
    MacPool(PoolError),
    /// Nobody has made one.
    #[error("there is no {0} network: create one, or ask for another type in {NETWORK_TYPE}")]
    NoNetworkOfType(NetworkType),
    /// Nothing is free.
    #[error(
        "{type_} network {network:?} has no {family} addresses left for {pods} pods of namespace {namespace:?}: add a \
         Subnet to it, or delete pods"
    )]
    Full {
        /// Type of the network.
        type_: NetworkType,
        /// The network.
        network: String,
        /// What is missing.
        family: Family,
        /// What the pod asks for.
        pods: PodFamily,
        /// Of the pod.
        namespace: String,
    },
    /// There are addresses, but none for this pod.
    #[error(
        "network {network:?} has no {family} Subnet for namespace {namespace:?}, for {passed_over:?} is private or has other \
         allowedNamespaces: add a Subnet, or name a private one in {SPECIFIED_SUBNET}"
    )]
    NothingOpen {
        /// The network.
        network: String,
        /// What is missing.
        family: Family,
        /// Of the pod.
        namespace: String,
        /// A Subnet that is passed over.
        passed_over: String,
    },
    /// The only network of the type is for others.
    #[error(
        "{type_} network {network:?} gives no addresses to namespace {namespace:?}: ask for another type in \
         {NETWORK_TYPE}, or add the namespace to its spec.config.allowedNamespaces"
    )]
    TypeNotAllowed {
        /// Type of the network.
        type_: NetworkType,
        /// The network.
        network: String,
        /// Of the pod.
        namespace: String,
    },
    /// The address that it names is for others.
    #[error(
        "{IP_POOL}: {ip} in section {section} is of subnet {subnet:?}, which gives no addresses to namespace \
         {namespace:?}: use an address of another one, or add the namespace to its spec.config.allowedNamespaces"
    )]
    PoolNotAllowed {
        /// The address.
        ip: IpAddr,
        /// The pod's own, counted from 0.
        section: usize,
        /// The subnet of the address.
        subnet: String,
        /// Of the pod.
        namespace: String,
    },
    /// The namespace has as many as it may have.
    #[error(
        "namespace {namespace:?} holds {held} addresses, and its {ADDRESS_LIMIT} is {limit}: this pod needs {asked} more; \
         delete pods or retained IPInstances there, or raise the limit"
    )]
    Limit {
        /// Of the pod.
        namespace: String,
        /// How many it has.
        held: u64,
        /// How many it may have.
        limit: u64,
        /// How many the pod needs.
        asked: u64,
    },
}
