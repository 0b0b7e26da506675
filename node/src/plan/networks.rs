//! What the networks and subnets of the cluster mean here: one range for each distinct CIDR, carried by the
//! overlay or by the fabric below (datapath spec 4.7, 4.8).

use std::collections::{BTreeMap, BTreeSet};

use hybridnet_api::address;
use hybridnet_api::{Network, NetworkMode, Subnet};
use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::Problem;
use crate::view::View;

/// Who carries packets to the addresses of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Overlay,
    Underlay,
}

/// All subnets with one CIDR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub mode: NetworkMode,
    /// The subnet that says what the range is.
    pub subnet: String,
    /// What the subnet, else its network, says of the VLAN.
    pub net_id: Option<i32>,
    pub gateway: Option<String>,
    /// Whether this node belongs to the network.
    pub attached: bool,
    /// Overlay only: what leaves the known ranges is masqueraded.
    pub auto_nat: bool,
    /// Parts that no pod has: their packets take the way of any other.
    pub excluded: Vec<IpNetwork>,
}

/// The one overlay network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OverlayNetwork {
    pub vni: u32,
}

/// Ranges by CIDR; `known` holds those too that could not be made sense of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    pub usable: BTreeMap<IpNetwork, Range>,
    pub known: BTreeSet<IpNetwork>,
}

impl Range {
    pub fn carrier(&self) -> Carrier {
        match self.mode {
            NetworkMode::Vxlan => Carrier::Overlay,
            NetworkMode::Vlan | NetworkMode::Bgp | NetworkMode::GlobalBgp => Carrier::Underlay,
        }
    }
}

/// What a subnet has from its network.
struct Parent {
    mode: NetworkMode,
    net_id: Option<i32>,
    attached: bool,
}

impl Ranges {
    pub fn carried_by(&self, carrier: Carrier) -> impl Iterator<Item = (IpNetwork, &Range)> {
        self.usable
            .iter()
            .filter(move |(_, range)| range.carrier() == carrier)
            .map(|(cidr, range)| (*cidr, range))
    }
}

/// The largest VXLAN network identifier.
const MAX_VNI: i32 = (1 << 24) - 1;

/// The overlay network, if there is a usable one. Of several the first by name counts.
pub(super) fn overlay(view: &View, problems: &mut Vec<Problem>) -> Option<OverlayNetwork> {
    let mut overlays: Vec<_> = view
        .networks
        .iter()
        .filter(|network| is_mode(network, NetworkMode::Vxlan))
        .collect();
    overlays.sort_by_key(|network| network.name_any());
    let (first, others) = overlays.split_first()?;
    problems.extend(others.iter().map(|network| Problem {
        about: about("Network", &network.name_any()),
        reason: "SecondOverlay",
        message: format!(
            "the overlay is {}, and there can be only one: delete this network",
            first.name_any()
        ),
    }));
    let id = first.spec.net_id.unwrap_or_default();
    if !(1..=MAX_VNI).contains(&id) {
        problems.push(Problem {
            about: about("Network", &first.name_any()),
            reason: "InvalidNetID",
            message: format!("spec.netID is {id}: an overlay needs a VXLAN identifier from 1 to {MAX_VNI}"),
        });
        return None;
    }
    u32::try_from(id).ok().map(|vni| OverlayNetwork { vni })
}

/// Whether the cluster has networks and certainly no overlay: what led into the one of the past must not catch
/// the packets of a network that may have its ranges now.
pub(super) fn none_is_overlay(view: &View) -> bool {
    let is_other = |network: &Network| {
        network
            .spec
            .network_mode()
            .is_ok_and(|mode| mode != NetworkMode::Vxlan)
    };
    !view.networks.is_empty() && view.networks.iter().all(|network| is_other(network))
}

/// Networks of this node whose modes are not served yet.
pub(super) fn not_served(view: &View) -> Vec<Problem> {
    let problem = |network: &Network| {
        let message = match network.spec.network_mode() {
            Ok(NetworkMode::Vxlan) => return None,
            Ok(mode) => format!(
                "mode {mode} is not in this release: what an older daemon set up stays, new pods do not start; \
                 use an Overlay network for them"
            ),
            Err(unknown) => unknown.to_string(),
        };
        Some(Problem {
            about: about("Network", &network.name_any()),
            reason: "NotInThisRelease",
            message,
        })
    };
    view.networks
        .iter()
        .map(AsRef::as_ref)
        .filter(|network| is_attached(view, network))
        .filter_map(problem)
        .collect()
}

/// All ranges. A subnet that cannot be used costs a problem, not the others.
pub(super) fn ranges(view: &View, problems: &mut Vec<Problem>) -> Ranges {
    let parent = |network: &Network| {
        Some(Parent {
            mode: network.spec.network_mode().ok()?,
            net_id: network.spec.net_id,
            attached: is_attached(view, network),
        })
    };
    let parents: BTreeMap<_, _> = view
        .networks
        .iter()
        .filter_map(|network| Some((network.name_any(), parent(network)?)))
        .collect();
    let mut by_cidr = BTreeMap::<IpNetwork, Vec<&Subnet>>::new();
    for subnet in &view.subnets {
        match cidr(subnet) {
            Ok(cidr) => by_cidr.entry(cidr).or_default().push(subnet),
            Err(message) => problems.push(invalid(subnet, message)),
        }
    }
    let mut ranges = Ranges {
        known: by_cidr.keys().copied().collect(),
        ..Ranges::default()
    };
    for (cidr, mut subnets) in by_cidr {
        subnets.sort_by_key(|subnet| subnet.name_any());
        if let Some(range) = range(cidr, &subnets, &parents, problems) {
            ranges.usable.insert(cidr, range);
        }
    }
    ranges
}

/// The subnets of one CIDR, sorted by name: the first says what they are.
fn range(
    cidr: IpNetwork,
    subnets: &[&Subnet],
    parents: &BTreeMap<String, Parent>,
    problems: &mut Vec<Problem>,
) -> Option<Range> {
    let net_id = |subnet: &Subnet, parent: &Parent| subnet.spec.net_id.or(parent.net_id);
    let mut merged = Vec::<(&Subnet, &Parent)>::new();
    for subnet in subnets {
        let Some(parent) = parents.get(&subnet.spec.network) else {
            let network = &subnet.spec.network;
            problems.push(invalid(
                subnet,
                format!("network {network:?} does not exist, or its mode is unknown"),
            ));
            continue;
        };
        match merged.first() {
            Some((first, of)) if of.mode != parent.mode => {
                let message = format!(
                    "{cidr} is {}'s already, in a network of another mode",
                    first.name_any()
                );
                problems.push(invalid(subnet, message));
            }
            Some((first, of))
                if of.mode == NetworkMode::Vlan && net_id(first, of) != net_id(subnet, parent) =>
            {
                let message = format!("netID differs from {}'s, which shares {cidr}", first.name_any());
                problems.push(invalid(subnet, message));
            }
            Some((first, _)) if first.spec.auto_nat_outgoing() != subnet.spec.auto_nat_outgoing() => {
                let message = format!(
                    "autoNatOutgoing differs from {}'s, which shares {cidr}",
                    first.name_any()
                );
                problems.push(invalid(subnet, message));
                merged.push((subnet, parent));
            }
            _ => merged.push((subnet, parent)),
        }
    }
    let (first, parent) = merged.first()?;
    // Without its blocks a range still works, but for the addresses that no pod has.
    let excluded = address::excluded_blocks(merged.iter().map(|(subnet, _)| &subnet.spec.range))
        .inspect_err(|error| problems.push(invalid(first, error.to_string())))
        .unwrap_or_default();
    Some(Range {
        mode: parent.mode,
        subnet: first.name_any(),
        net_id: net_id(first, parent),
        gateway: first.spec.range.gateway.clone().filter(|text| !text.is_empty()),
        attached: merged.iter().any(|(_, parent)| parent.attached),
        auto_nat: first.spec.auto_nat_outgoing(),
        excluded,
    })
}

fn is_attached(view: &View, network: &Network) -> bool {
    let status = network.status.as_ref();
    status.is_some_and(|status| status.node_list.contains(&view.node))
}

fn cidr(subnet: &Subnet) -> Result<IpNetwork, String> {
    let text = &subnet.spec.range.cidr;
    let cidr = address::parse_cidr(text).ok_or_else(|| format!("spec.range.cidr {text:?} is not a CIDR"))?;
    if cidr.ip() == cidr.network() {
        return Ok(cidr);
    }
    let proper = format!("{}/{}", cidr.network(), cidr.prefix());
    Err(format!(
        "spec.range.cidr {text:?} has bits behind its prefix: write {proper}"
    ))
}

fn is_mode(network: &Network, mode: NetworkMode) -> bool {
    network.spec.network_mode() == Ok(mode)
}

fn invalid(subnet: &Subnet, message: String) -> Problem {
    Problem {
        about: about("Subnet", &subnet.name_any()),
        reason: "InvalidSubnet",
        message,
    }
}

fn about(kind: &str, name: &str) -> String {
    format!("{kind} {name}")
}
