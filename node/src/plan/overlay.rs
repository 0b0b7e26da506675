//! The overlay: its link, the other tunnel ends, and the tables that lead into it (datapath spec 4.5 to 4.7, 5).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::NetworkMode;
use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::networks::{Carrier, OverlayNetwork, Range, Ranges};
use super::vtep::{self, Vtep};
use super::{Path, Problem, Route, Table, TableRoutes, Target, Vxlan};
use crate::mac::Mac;
use crate::view::{LinkKind, View};

/// Names of links have at most so many bytes.
const LONGEST_NAME: usize = 15;

/// The overlay as far as this node can have it.
pub(super) struct Overlay {
    /// Name of the link; also of one that exists and cannot be planned at the moment.
    pub link: Option<String>,
    pub vxlan: Option<Vxlan>,
}

pub(super) fn of(view: &View, network: &OverlayNetwork, problems: &mut Vec<Problem>) -> Overlay {
    match vtep::choose(view) {
        Ok(vtep) => {
            let vxlan = vxlan(view, network, vtep, problems);
            Overlay {
                link: Some(vxlan.name.clone()),
                vxlan: Some(vxlan),
            }
        }
        Err(error) => {
            problems.push(error.problem(&view.node));
            Overlay {
                link: existing(view, network.vni),
                vxlan: None,
            }
        }
    }
}

/// Routes through the tunnel go on when, say, the default route is gone for a moment.
fn existing(view: &View, vni: u32) -> Option<String> {
    let ending = format!(".vxlan{vni}");
    let is_it = |name: &str| name.ends_with(&ending);
    let link = view
        .machine
        .links
        .iter()
        .find(|link| link.kind == LinkKind::Vxlan && is_it(&link.name))?;
    Some(link.name.clone())
}

fn vxlan(view: &View, network: &OverlayNetwork, vtep: Vtep, problems: &mut Vec<Problem>) -> Vxlan {
    Vxlan {
        name: link_name(&vtep.parent, &format!(".vxlan{}", network.vni)),
        peers: peers(view, &vtep, problems),
        parent: vtep.parent,
        vni: network.vni,
        mac: vtep.mac,
        local: vtep.ip,
        port: view.settings.vxlan_port,
        mtu: vtep.mtu,
        addresses: vtep.addresses.into_values().collect(),
    }
}

/// The name of a link above `parent`; of a long one the beginning, since the ending says what the link is.
pub(super) fn link_name(parent: &str, ending: &str) -> String {
    let mut room = LONGEST_NAME.saturating_sub(ending.len()).min(parent.len());
    while !parent.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{ending}", parent.get(..room).unwrap_or_default())
}

/// The other tunnel ends. Two nodes with one MAC (cloned machines) cannot both be reached: the first by name is.
fn peers(view: &View, own: &Vtep, problems: &mut Vec<Problem>) -> BTreeMap<Mac, IpAddr> {
    let mut infos: Vec<_> = view
        .node_infos
        .iter()
        .filter(|info| info.name_any() != view.node)
        .collect();
    infos.sort_by_key(|info| info.name_any());
    let mut peers = BTreeMap::new();
    let mut names = BTreeMap::from([(own.mac, view.node.clone())]);
    for info in infos {
        let name = info.name_any();
        let mut problem = |reason, message| {
            problems.push(Problem {
                about: format!("NodeInfo {name}"),
                reason,
                message,
            });
        };
        // A node that has not found its tunnel end yet publishes nothing, or half.
        let Some(published) = &info.spec.vtep_info else {
            continue;
        };
        let (Ok(mac), Ok(ip)) = (published.mac.parse::<Mac>(), published.ip.parse::<IpAddr>()) else {
            continue;
        };
        if let Some(other) = names.get(&mac) {
            problem(
                "DuplicateMAC",
                format!("its MAC {mac} is that of {other} too: give one of them another"),
            );
        } else if ip.is_ipv4() != own.ip.is_ipv4() {
            let message = format!(
                "its tunnel address {ip} is of another family than ours, {}",
                own.ip
            );
            problem(
                "OtherFamily",
                format!("{message}: set --vtep-address-cidrs to one family on all nodes"),
            );
        } else {
            names.insert(mac, name.clone());
            peers.insert(mac, ip);
        }
    }
    peers
}

/// Pods of the overlay leave by the tunnel.
pub(super) fn paths(vxlan: &Vxlan, ranges: &Ranges, ipv6: bool) -> BTreeMap<IpNetwork, Path> {
    let path = || Path {
        mode: NetworkMode::Vxlan,
        link: vxlan.name.clone(),
        mtu: vxlan.mtu,
        gateway: None,
        answers_on: [vxlan.name.clone()].into(),
    };
    ranges
        .carried_by(Carrier::Overlay)
        .filter(|(cidr, _)| ipv6 || cidr.is_ipv4())
        .map(|(cidr, _)| (cidr, path()))
        .collect()
}

/// All tables of the overlay, for the families that this machine has.
pub(super) fn tables(link: &str, ranges: &Ranges, ipv6: bool) -> BTreeMap<Table, TableRoutes> {
    let here = |cidr: IpNetwork| ipv6 || cidr.is_ipv4();
    let overlay: Vec<_> = ranges
        .carried_by(Carrier::Overlay)
        .filter(|(cidr, _)| here(*cidr))
        .collect();
    let underlay: Vec<_> = ranges
        .carried_by(Carrier::Underlay)
        .filter(|(cidr, _)| here(*cidr))
        .collect();
    let mut tables = BTreeMap::from([
        (Table::ToOverlay, ranges_by(link, &overlay)),
        (
            Table::OverlayMark,
            overlay.iter().map(|(cidr, _)| default_by(link, *cidr)).collect(),
        ),
    ]);
    for (cidr, range) in &overlay {
        let routes = if range.auto_nat {
            let same_family: Vec<_> = underlay
                .iter()
                .filter(|(other, _)| other.is_ipv4() == cidr.is_ipv4())
                .copied()
                .collect();
            ranges_by(link, &same_family)
        } else {
            [default_by(link, *cidr)].into_iter().collect()
        };
        tables.insert(Table::FromSubnet(*cidr), routes);
    }
    tables
}

/// What is left of them without an overlay: nothing leads into it. The rest goes with its subnets, or is asked
/// only for marks that nobody sets.
pub(super) fn no_tables() -> BTreeMap<Table, TableRoutes> {
    BTreeMap::from([(Table::ToOverlay, TableRoutes::default())])
}

/// Each range by the link, and around its excluded parts.
fn ranges_by(link: &str, ranges: &[(IpNetwork, &Range)]) -> TableRoutes {
    let by_link = ranges.iter().map(|(cidr, _)| route(*cidr, by(link)));
    let blocks: BTreeSet<_> = ranges
        .iter()
        .flat_map(|(_, range)| &range.excluded)
        .copied()
        .collect();
    // A block that is a whole range of another subnet, or of this one: that route counts, one table has one.
    let taken: BTreeSet<_> = ranges.iter().map(|(cidr, _)| *cidr).collect();
    let around = blocks
        .difference(&taken)
        .map(|block| route(*block, Target::Throw));
    by_link.chain(around).collect()
}

/// `0.0.0.0/0` or `::/0`, as the family of `cidr` has it.
fn default_by(link: &str, cidr: IpNetwork) -> Route {
    route(everything(cidr), by(link))
}

/// All addresses of a family.
pub(super) fn everything(of: IpNetwork) -> IpNetwork {
    let unspecified: IpAddr = if of.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    IpNetwork::new(unspecified, 0).expect("0 is a prefix length of both families")
}

fn by(link: &str) -> Target {
    Target::Link {
        name: link.to_owned(),
        link_scope: false,
        source: None,
    }
}

fn route(destination: IpNetwork, target: Target) -> Route {
    Route { destination, target }
}

impl FromIterator<Route> for TableRoutes {
    fn from_iter<T: IntoIterator<Item = Route>>(routes: T) -> Self {
        Self {
            routes: routes.into_iter().collect(),
        }
    }
}
