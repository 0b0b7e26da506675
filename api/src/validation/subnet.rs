//! Rules for Subnets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::name_fits;
use super::network::{NetworkFault, net_id_range};
use crate::address::{Interval, ParsedRange, RangeError, capacity, parse_cidr, parse_ip};
use crate::network::UnknownWord;
use crate::subnet::AddressRange;
use crate::{IpInstance, Network, NetworkMode, Subnet};

/// As many addresses as the original lets into one subnet.
pub const MAX_CAPACITY: u128 = 65_536;
/// Addresses named in a message; the rest is counted.
const NAMED: usize = 10;

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
    /// A tag that does not exist, or where there is none.
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
        "spec.config.autoNatOutgoing is set: leave it out, only VXLAN networks masquerade, and this is {0}"
    )]
    AutoNat(NetworkMode),
    /// VLAN without a router.
    #[error("spec.range.gateway is missing: pods of a VLAN network need the fabric's router")]
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
        "{cidr} of subnet {name:?} overlaps {other_cidr} of subnet {other:?}: use the same CIDR, or one that lies apart"
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
        "{cidr} of subnet {name:?} is taken by subnet {other:?} of network {network:?}: only subnets of one network share a CIDR"
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
    /// Another value than before.
    #[error("spec.{0} cannot change while addresses may be in use: create another subnet")]
    Changed(&'static str),
    /// Addresses in use.
    #[error("{} in use: {}", counted(.0.len()), listed(.0))]
    InUse(Vec<String>),
}

/// Whether a new subnet may come in beside `others`. `network` is its parent, if it exists.
pub fn create(subnet: &Subnet, network: Option<&Network>, others: &[Subnet]) -> Result<(), SubnetFault> {
    check(subnet, network)?;
    let name = subnet.name_any();
    let mut others = others.iter().filter(|other| other.name_any() != name);
    others
        .find_map(|other| conflict(subnet, other))
        .map_or(Ok(()), Err)
}

/// What [`create`] asks of the subnet and its network alone.
pub fn check(subnet: &Subnet, network: Option<&Network>) -> Result<(), SubnetFault> {
    name_fits(&subnet.name_any()).map_err(SubnetFault::Name)?;
    let mode = mode_of(subnet, network)?;
    net_id(subnet, network, mode)?;
    let gateway = subnet.spec.range.gateway.as_deref().unwrap_or_default();
    if mode == NetworkMode::Vlan && gateway.is_empty() {
        return Err(SubnetFault::NoGateway);
    }
    let range = ParsedRange::parse(&subnet.spec.range)?;
    let capacity = capacity(&subnet.spec.range);
    if capacity > MAX_CAPACITY {
        return Err(SubnetFault::TooLarge(capacity));
    }
    range.check_usable()?;
    Ok(())
}

/// Why the two cannot be side by side; the message names both. Ranges that cannot be read are in nobody's
/// way.
pub fn conflict(subnet: &Subnet, other: &Subnet) -> Option<SubnetFault> {
    let (name, other_name) = (subnet.name_any(), other.name_any());
    let cidr = parse_cidr(&subnet.spec.range.cidr)?;
    let other_cidr = parse_cidr(&other.spec.range.cidr)?;
    if cidr.is_ipv4() != other_cidr.is_ipv4() {
        return None;
    }
    Interval::of(cidr).intersection(Interval::of(other_cidr))?;
    if Interval::of(cidr) != Interval::of(other_cidr) {
        return Some(SubnetFault::OverlappingCidr {
            name,
            cidr,
            other: other_name,
            other_cidr,
        });
    }
    if subnet.spec.network != other.spec.network {
        return Some(SubnetFault::CidrOfOtherNetwork {
            name,
            cidr,
            other: other_name,
            network: other.spec.network.clone(),
        });
    }
    let range = ParsedRange::parse(&subnet.spec.range).ok()?;
    let other_range = ParsedRange::parse(&other.spec.range).ok()?;
    let at = range.first_shared(&other_range)?;
    Some(SubnetFault::Overlap {
        name,
        other: other_name,
        at,
    })
}

/// What is beside a subnet that changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// Its Network, if it exists.
    pub network: Option<&'a Network>,
    /// All Subnets; the one that is judged is passed over. Only read when [`changes_addresses`].
    pub others: &'a [Subnet],
    /// The `IPInstance`s of the subnet, also reserved and terminating ones. Only read when
    /// [`changes_addresses`].
    pub held: &'a [IpInstance],
}

/// Whether an update changes which addresses pods can have: only then must other subnets and the addresses
/// in use be known.
pub fn changes_addresses(old: &Subnet, new: &Subnet) -> bool {
    let (old, new) = (&old.spec.range, &new.spec.range);
    (&old.start, &old.end, &old.exclude_ips, &old.exclude_ip_ranges)
        != (&new.start, &new.end, &new.exclude_ips, &new.exclude_ip_ranges)
}

/// Whether a subnet may change. What was stored before a rule existed may stay, and may be deleted.
pub fn update(old: &Subnet, new: &Subnet, beside: &Surroundings<'_>) -> Result<(), SubnetFault> {
    let network = beside.network;
    if old.spec == new.spec || new.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    if old.spec.network != new.spec.network {
        return Err(SubnetFault::Changed("network"));
    }
    let mode = mode_of(new, network)?;
    if mode == NetworkMode::Vlan && old.spec.net_id != new.spec.net_id {
        return Err(SubnetFault::Changed("netID"));
    }
    only_where_it_means_something(new, mode)?;
    readable(&old.spec.range, &new.spec.range)?;
    unchanged(&old.spec.range, &new.spec.range).map_err(SubnetFault::Changed)
}

/// Whether a subnet may go: `held` are the `IPInstances` of the subnet, also reserved and terminating ones.
pub fn delete(held: &[IpInstance]) -> Result<(), SubnetFault> {
    if held.is_empty() {
        return Ok(());
    }
    let holders = held.iter().map(|instance| {
        let namespace = instance.namespace().unwrap_or_default();
        let bare = instance.spec.address.ip.split('/').next().unwrap_or_default();
        format!("{bare} ({namespace}/{})", instance.name_any())
    });
    Err(SubnetFault::InUse(holders.collect()))
}

fn mode_of(subnet: &Subnet, network: Option<&Network>) -> Result<NetworkMode, SubnetFault> {
    let name = &subnet.spec.network;
    if name.is_empty() {
        return Err(SubnetFault::NetworkEmpty);
    }
    let network = network.ok_or_else(|| SubnetFault::NoNetwork(name.clone()))?;
    network
        .spec
        .network_mode()
        .map_err(|source| SubnetFault::UnusableNetwork {
            network: name.clone(),
            source,
        })
}

fn net_id(subnet: &Subnet, network: Option<&Network>, mode: NetworkMode) -> Result<(), SubnetFault> {
    let inherited = network.and_then(|network| network.spec.net_id);
    match (mode, subnet.spec.net_id, inherited) {
        (NetworkMode::Vlan, None, None) => return Err(SubnetFault::NoNetId(subnet.spec.network.clone())),
        (NetworkMode::Vlan, Some(own), Some(inherited)) if own != inherited => {
            return Err(SubnetFault::OtherNetId {
                own,
                inherited,
                network: subnet.spec.network.clone(),
            });
        }
        (NetworkMode::Vlan, own, _) => net_id_range(mode, own).map_err(SubnetFault::NetId)?,
        _ => {}
    }
    only_where_it_means_something(subnet, mode)
}

fn only_where_it_means_something(subnet: &Subnet, mode: NetworkMode) -> Result<(), SubnetFault> {
    if let Some(own) = subnet.spec.net_id.filter(|_| mode != NetworkMode::Vlan) {
        return Err(SubnetFault::UselessNetId { own, mode });
    }
    let config = subnet.spec.config.as_ref();
    let auto_nat = config.and_then(|config| config.auto_nat_outgoing);
    if auto_nat.is_some() && mode != NetworkMode::Vxlan {
        return Err(SubnetFault::AutoNat(mode));
    }
    Ok(())
}

// A stored range whose version is not that of its CIDR came in by a gap of the original: it may stay.
fn readable(old: &AddressRange, new: &AddressRange) -> Result<(), SubnetFault> {
    match ParsedRange::parse(new) {
        Ok(_) => Ok(()),
        Err(RangeError::CidrFamily { .. }) if (&old.version, &old.cidr) == (&new.version, &new.cidr) => {
            Ok(())
        }
        Err(_) if old == new => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn unchanged(old: &AddressRange, new: &AddressRange) -> Result<(), &'static str> {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    if optional(&old.start) != optional(&new.start) {
        return Err("range.start");
    }
    if optional(&old.end) != optional(&new.end) {
        return Err("range.end");
    }
    if optional(&old.gateway) != optional(&new.gateway) {
        return Err("range.gateway");
    }
    if old.cidr != new.cidr {
        return Err("range.cidr");
    }
    if old.version != new.version {
        return Err("range.version");
    }
    let set = |texts: &[String]| -> BTreeSet<String> {
        let canonical = |text: &String| parse_ip(text).map_or_else(|| text.clone(), |ip| ip.to_string());
        texts.iter().map(canonical).collect()
    };
    if set(&old.exclude_ips) != set(&new.exclude_ips) {
        return Err("range.excludeIPs");
    }
    Ok(())
}

fn counted(number: usize) -> String {
    if number == 1 {
        "an address is".to_owned()
    } else {
        format!("{number} addresses are")
    }
}

fn listed(holders: &[String]) -> String {
    let named: Vec<_> = holders.iter().take(NAMED).map(String::as_str).collect();
    let more = holders.len().saturating_sub(NAMED);
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!(
        "{}{rest}; delete their pods or IPInstances first",
        named.join(", ")
    )
}

#[cfg(test)]
#[path = "subnet_tests.rs"]
mod tests;
