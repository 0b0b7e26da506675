//! Rules for Subnets.

mod change;
mod fault;

use kube::ResourceExt;

pub use change::{Surroundings, changes_addresses, update};
pub use fault::SubnetFault;

use super::network::net_id_range;
use super::{allowed, name_fits};
use crate::address::{Interval, ParsedRange, capacity, parse_cidr};
use crate::multicluster::RemoteSubnet;
use crate::{IpInstance, Network, NetworkMode, Subnet};

/// As many addresses as the original lets into one subnet.
pub const MAX_CAPACITY: u128 = 65_536;

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
    allowed::check(subnet.spec.allowed_namespaces())?;
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

/// Whether a new subnet has no address in common with those of other clusters.
pub fn apart_from_remote(subnet: &Subnet, remote: &[RemoteSubnet]) -> Result<(), SubnetFault> {
    let Ok(range) = ParsedRange::parse(&subnet.spec.range) else {
        return Ok(());
    };
    let shared = |remote: &RemoteSubnet| {
        let other = ParsedRange::parse(&remote.spec.range).ok()?;
        Some(SubnetFault::Remote {
            name: subnet.name_any(),
            other: remote.name_any(),
            cluster: remote.spec.cluster_name.clone().unwrap_or_default(),
            at: range.first_shared(&other)?,
        })
    };
    remote.iter().find_map(shared).map_or(Ok(()), Err)
}

/// Whether a subnet may go: `held` are the `IPInstances` of the subnet, also reserved and terminating ones.
pub fn delete(held: &[IpInstance]) -> Result<(), SubnetFault> {
    if held.is_empty() {
        return Ok(());
    }
    Err(SubnetFault::InUse(held.iter().map(holder).collect()))
}

/// An address and the object that holds it, for messages.
fn holder(instance: &IpInstance) -> String {
    let namespace = instance.namespace().unwrap_or_default();
    let bare = instance.spec.address.ip.split('/').next().unwrap_or_default();
    format!("{bare} ({namespace}/{})", instance.name_any())
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
    match config.and_then(|config| config.auto_nat_outgoing) {
        Some(value) if mode != NetworkMode::Vxlan => Err(SubnetFault::AutoNat { value, mode }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
