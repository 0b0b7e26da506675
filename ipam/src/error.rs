//! Why a subnet is refused and why a pod gets no address, each with the way out.

use std::net::IpAddr;

use hybridnet_api::address::{Family, RangeError};
use hybridnet_api::names::annotation::ADDRESS_LIMIT;
use hybridnet_api::selection::PodFamily as Families;

/// A Subnet that is left out of its network until it is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subnet {subnet}: {fault}")]
pub struct SubnetError {
    /// Name of the Subnet.
    pub subnet: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a Subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No name.
    #[error("metadata.name must not be empty")]
    NoName,
    /// The name was there before in the same list.
    #[error("metadata.name is there twice")]
    Duplicate,
    /// The subnet was given with a network that is not its own.
    #[error("spec.network {given:?} is not {network}, the network it was loaded for")]
    OtherNetwork {
        /// What the subnet says.
        given: String,
        /// The network that was loaded.
        network: String,
    },
    /// The range makes no sense.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Shares addresses with a subnet that came first.
    #[error(
        "spec.range.cidr {cidr} shares {shared} with subnet {other}: change start, end or excludeIPs of one of them"
    )]
    Overlap {
        /// The subnet that came first.
        other: String,
        /// The lowest address that both have.
        shared: IpAddr,
        /// The CIDR of this one.
        cidr: String,
    },
}

/// Why a pod gets no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The question is incomplete.
    #[error("addresses asked for without {field}: give one")]
    Missing {
        /// What is missing.
        field: &'static str,
    },
    /// No such network.
    #[error("network {network} not found: create it, or name another one")]
    NetworkNotFound {
        /// The network asked for.
        network: String,
    },
    /// Subnets and families do not go together.
    #[error(
        "network {network}: {given} subnets specified for {families}: {}",
        match families { Families::DualStack => "name none, or one of IPv4 and one of IPv6 (v4/v6)", _ => "name one or none" }
    )]
    WrongNumberOfSubnets {
        /// The network asked for.
        network: String,
        /// The families asked for.
        families: Families,
        /// How many subnets were named.
        given: usize,
    },
    /// No such subnet of that family.
    #[error(
        "network {network}: no {family} subnet {subnet}: name one of its {family} subnets, or change the pod's ip-family"
    )]
    SubnetNotFound {
        /// The network asked for.
        network: String,
        /// The family asked for.
        family: Family,
        /// The subnet asked for.
        subnet: String,
    },
    /// Everything is full, private, or for others, or there is nothing.
    #[error(
        "network {network}: no {family} subnet with a free address that is not private{}: add an {family} subnet, or \
         delete pods",
        match for_others { Some(namespace) => format!(" and allows namespace {namespace}"), None => String::new() }
    )]
    NoSubnetAvailable {
        /// The network asked for.
        network: String,
        /// The family asked for.
        family: Family,
        /// The namespace of the pod, when there is room in subnets that are for other namespaces.
        for_others: Option<String>,
    },
    /// The named subnet is full.
    #[error(
        "network {network}: no free {family} address in subnet {subnet}: name another subnet, or delete pods"
    )]
    NoAddressAvailable {
        /// The network asked for.
        network: String,
        /// The family asked for.
        family: Family,
        /// The subnet asked for.
        subnet: String,
    },
    /// Addresses and families do not go together.
    #[error(
        "network {network}: {given} addresses to assign for {families}: {}",
        match families { Families::DualStack => "give two, IPv4 first", _ => "give one" }
    )]
    WrongNumberOfAddresses {
        /// The network asked for.
        network: String,
        /// The families asked for.
        families: Families,
        /// How many addresses were given.
        given: usize,
    },
    /// An address of the other family.
    #[error(
        "network {network}: {ip} to assign is not an {family} address, as {families} wants it here: give one, IPv4 before IPv6"
    )]
    WrongFamily {
        /// The network asked for.
        network: String,
        /// The families asked for.
        families: Families,
        /// The family wanted at this place.
        family: Family,
        /// What was given.
        ip: IpAddr,
    },
    /// No subnet has this address.
    #[error(
        "network {network}: no {family} subnet contains {ip}: give an address of one of its subnets that is neither gateway nor excluded"
    )]
    NoSubnetContains {
        /// The network asked for.
        network: String,
        /// Family of the address.
        family: Family,
        /// The address asked for.
        ip: IpAddr,
    },
    /// The named subnet has not this address.
    #[error(
        "network {network}: {ip} is not usable in subnet {subnet}: it is outside the range, excluded, or the gateway; give another one"
    )]
    NotInSubnet {
        /// The network asked for.
        network: String,
        /// The subnet asked for.
        subnet: String,
        /// The address asked for.
        ip: IpAddr,
    },
    /// Somebody else has it.
    #[error(
        "network {network}: {ip} of subnet {subnet} is {holder}: give another address, or wait until it is free"
    )]
    NotAvailable {
        /// The network asked for.
        network: String,
        /// Subnet of the address.
        subnet: String,
        /// The address asked for.
        ip: IpAddr,
        /// Who has it, and how.
        holder: String,
    },
    /// The namespace has as many as it may have.
    #[error(
        "namespace {namespace} may hold {limit} addresses, has {held} and asks for {asked} more: raise its annotation \
         {ADDRESS_LIMIT}, or delete pods or retained IPInstances"
    )]
    NamespaceLimit {
        /// The namespace of the pod.
        namespace: String,
        /// How many it may hold.
        limit: u64,
        /// How many it holds, also retained ones and those that are being written.
        held: u64,
        /// How many it asks for in addition.
        asked: u64,
    },
    /// The network or the named subnet is for other namespaces.
    #[error(
        "network {network}: {} allows no new addresses to namespace {namespace}: add it to spec.config.allowedNamespaces \
         there, or name another one",
        match subnet { Some(subnet) => format!("subnet {subnet}"), None => "it".to_owned() }
    )]
    NamespaceNotAllowed {
        /// The network asked for.
        network: String,
        /// The subnet asked for; absent when the network itself is for others.
        subnet: Option<String>,
        /// The namespace of the pod.
        namespace: String,
    },
}
