//! Rules for Networks.

mod fault;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kube::ResourceExt;

pub use fault::NetworkFault;

use super::{allowed, name_fits, shown};
use crate::address::parse_ip;
use crate::names::label;
use crate::network::BgpPeer;
use crate::{IpInstance, Network, NetworkMode, NetworkType, Subnet, pod};

/// VLAN IDs; 0 is the untagged parent link.
pub const VLAN_IDS: RangeInclusive<i32> = 0..=4094;
/// VXLAN network identifiers.
pub const VXLAN_IDS: RangeInclusive<i32> = 1..=16_777_215;
/// AS numbers that fit the field.
pub const AS_NUMBERS: RangeInclusive<i32> = 1..=i32::MAX;

/// A node's name and labels.
pub type NodeLabels = (String, BTreeMap<String, String>);

/// What is beside a network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// All Networks; the one that is judged is passed over.
    pub networks: &'a [Network],
    /// All nodes.
    pub nodes: &'a [NodeLabels],
}

/// What must not be left behind by a network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dependants<'a> {
    /// All Subnets, or at least the network's.
    pub subnets: &'a [Subnet],
    /// Addresses of the network that [`global_bgp_beside`] names; none when it names none.
    pub announced: &'a [IpInstance],
}

/// Whether a new network may come in.
pub fn create(network: &Network, beside: &Surroundings<'_>) -> Result<(), NetworkFault> {
    name_fits(&network.name_any()).map_err(NetworkFault::Name)?;
    let spec = &network.spec;
    let type_ = spec.network_type()?;
    nodes(network, type_)?;
    match type_ {
        NetworkType::Underlay => no_overlap(network, beside)?,
        NetworkType::Overlay | NetworkType::GlobalBgp => alone(network, type_, beside)?,
    }
    match (type_, spec.net_id) {
        (NetworkType::Overlay, None) => return Err(NetworkFault::NoNetId(NetworkMode::Vxlan)),
        (NetworkType::GlobalBgp, Some(id)) => return Err(NetworkFault::UselessNetId(id)),
        _ => {}
    }
    let mode = spec.network_mode()?;
    if !fits(type_, mode) {
        return Err(NetworkFault::ModeOfOtherType { mode, type_ });
    }
    if mode == NetworkMode::Bgp {
        spec.net_id.ok_or(NetworkFault::NoNetId(mode))?;
        peers(network)?.iter().try_for_each(peer_asn)?;
    }
    allowed::check(spec.allowed_namespaces())?;
    net_id_range(mode, spec.net_id)
}

/// Whether a network may change. What was stored before a rule existed may stay, and may be deleted.
pub fn update(old: &Network, new: &Network, beside: &Surroundings<'_>) -> Result<(), NetworkFault> {
    if old.spec == new.spec || new.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let type_ = new.spec.network_type()?;
    if old.spec.network_type() != Ok(type_) {
        return Err(changed("type", old.spec.type_.as_ref(), new.spec.type_.as_ref()));
    }
    nodes(new, type_)?;
    let mode = new.spec.network_mode()?;
    if old.spec.network_mode() != Ok(mode) {
        return Err(changed("mode", old.spec.mode.as_ref(), new.spec.mode.as_ref()));
    }
    if mode == NetworkMode::Bgp {
        let peers_before = peers(old).unwrap_or_default();
        let peers = peers(new)?;
        if peers_before != peers {
            peers.iter().try_for_each(peer_asn)?;
        }
    }
    if old.spec.net_id != new.spec.net_id {
        return Err(changed("netID", old.spec.net_id, new.spec.net_id));
    }
    if old.spec.allowed_namespaces() != new.spec.allowed_namespaces() {
        allowed::check(new.spec.allowed_namespaces())?;
    }
    if type_ == NetworkType::Underlay && old.spec.node_selector != new.spec.node_selector {
        no_overlap(new, beside)?;
    }
    Ok(())
}

/// Whether a network may go.
pub fn delete(network: &Network, dependants: &Dependants<'_>) -> Result<(), NetworkFault> {
    let name = network.name_any();
    let subnets: Vec<_> = dependants
        .subnets
        .iter()
        .filter(|subnet| subnet.spec.network == name)
        .map(ResourceExt::name_any)
        .collect();
    if !subnets.is_empty() {
        return Err(NetworkFault::HasSubnets(subnets));
    }
    for node in node_list(network) {
        let is_here = |instance: &&IpInstance| {
            let there = instance.labels().get(label::NODE);
            there.is_some_and(|there| *there == pod::name_label(node))
        };
        if let Some(instance) = dependants.announced.iter().find(is_here) {
            return Err(NetworkFault::Announces {
                node: node.clone(),
                ip: instance.spec.address.ip.clone(),
                other: instance.spec.network.clone(),
            });
        }
    }
    Ok(())
}

/// The `GlobalBGP` network whose addresses the nodes of this BGP network announce: its addresses are what
/// [`delete`] must know.
pub fn global_bgp_beside(network: &Network, networks: &[Network]) -> Option<String> {
    if network.spec.network_mode() != Ok(NetworkMode::Bgp) {
        return None;
    }
    let is_global = |other: &&Network| other.spec.network_type() == Ok(NetworkType::GlobalBgp);
    networks.iter().find(is_global).map(ResourceExt::name_any)
}

fn nodes(network: &Network, type_: NetworkType) -> Result<(), NetworkFault> {
    match (type_, network.spec.node_selector.is_empty()) {
        (NetworkType::Underlay, true) => Err(NetworkFault::NoSelector),
        (NetworkType::Overlay | NetworkType::GlobalBgp, false) => Err(NetworkFault::Selector(type_)),
        _ => Ok(()),
    }
}

// The status of a network that was made a moment ago lists no nodes yet, so its selector counts too.
fn no_overlap(network: &Network, beside: &Surroundings<'_>) -> Result<(), NetworkFault> {
    let is_underlay = |other: &&Network| other.spec.network_type() == Ok(NetworkType::Underlay);
    let others: Vec<_> = others(network, beside).filter(is_underlay).collect();
    for (node, labels) in beside.nodes {
        if !selects(network, labels) {
            continue;
        }
        let has_it = |other: &&&Network| selects(other, labels) || node_list(other).contains(node);
        if let Some(other) = others.iter().find(has_it) {
            return Err(NetworkFault::Overlap {
                node: node.clone(),
                other: other.name_any(),
            });
        }
    }
    Ok(())
}

fn selects(network: &Network, labels: &BTreeMap<String, String>) -> bool {
    let selector = &network.spec.node_selector;
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn node_list(network: &Network) -> &[String] {
    network
        .status
        .as_ref()
        .map_or(&[], |status| status.node_list.as_slice())
}

fn alone(network: &Network, type_: NetworkType, beside: &Surroundings<'_>) -> Result<(), NetworkFault> {
    match others(network, beside).find(|other| other.spec.network_type() == Ok(type_)) {
        Some(other) => Err(NetworkFault::Second {
            type_,
            other: other.name_any(),
        }),
        None => Ok(()),
    }
}

fn others<'a>(network: &Network, beside: &Surroundings<'a>) -> impl Iterator<Item = &'a Network> {
    let name = network.name_any();
    beside
        .networks
        .iter()
        .filter(move |other| other.name_any() != name)
}

const fn fits(type_: NetworkType, mode: NetworkMode) -> bool {
    matches!(
        (type_, mode),
        (NetworkType::Underlay, NetworkMode::Vlan | NetworkMode::Bgp)
            | (NetworkType::Overlay, NetworkMode::Vxlan)
            | (NetworkType::GlobalBgp, NetworkMode::GlobalBgp)
    )
}

fn peers(network: &Network) -> Result<&[BgpPeer], NetworkFault> {
    let config = network.spec.config.as_ref();
    let peers = config.map_or(&[][..], |config| &config.bgp_peers);
    if peers.is_empty() {
        return Err(NetworkFault::NoPeers);
    }
    match peers.iter().find(|peer| parse_ip(&peer.address).is_none()) {
        Some(peer) => Err(NetworkFault::PeerAddress(peer.address.clone())),
        None => Ok(peers),
    }
}

fn peer_asn(peer: &BgpPeer) -> Result<(), NetworkFault> {
    if AS_NUMBERS.contains(&peer.asn) {
        return Ok(());
    }
    Err(NetworkFault::PeerAsn {
        address: peer.address.clone(),
        asn: peer.asn,
    })
}

/// Whether a net ID exists in the mode. Absent is another rule's matter.
pub(super) fn net_id_range(mode: NetworkMode, id: Option<i32>) -> Result<(), NetworkFault> {
    let range = match mode {
        NetworkMode::Vlan => VLAN_IDS,
        NetworkMode::Vxlan => VXLAN_IDS,
        NetworkMode::Bgp => AS_NUMBERS,
        NetworkMode::GlobalBgp => return Ok(()),
    };
    match id {
        Some(value) if !range.contains(&value) => Err(NetworkFault::NetIdRange { value, mode, range }),
        _ => Ok(()),
    }
}

fn changed(field: &'static str, old: Option<impl ToString>, new: Option<impl ToString>) -> NetworkFault {
    NetworkFault::Changed {
        field,
        old: shown(old),
        new: shown(new),
    }
}

#[cfg(test)]
mod tests;
