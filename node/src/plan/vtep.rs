//! Which link carries the tunnel, from which address, and which addresses of this machine are the node's
//! (datapath spec 3.2, 3.5).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::Problem;
use crate::kernel::names::is_global_unicast;
use crate::mac::Mac;
use crate::view::{Address, Link, View};

/// This node's end of the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vtep {
    /// Name of the link that carries it.
    pub parent: String,
    pub mac: Mac,
    /// What fits into the tunnel.
    pub mtu: u32,
    pub ip: IpAddr,
    /// The node's addresses with the lengths of their prefixes.
    pub addresses: BTreeMap<IpAddr, IpNetwork>,
}

/// What this node lacks for a tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    #[error("none of the links of --prefer-vxlan-interfaces={} exists: name one that does", .0.join(","))]
    Preferred(Vec<String>),
    #[error("both ipv4 and ipv6 default gateway not found: name a link by --prefer-vxlan-interfaces")]
    DefaultRoute,
    #[error("link {0} has no MAC: name an Ethernet link by --prefer-vxlan-interfaces")]
    Mac(String),
    #[error("no address of link {link} is in --vtep-address-cidrs={}: add one, or name another link", join(.cidrs))]
    Address { link: String, cidrs: Vec<IpNetwork> },
}

impl Missing {
    pub fn problem(&self, node: &str) -> Problem {
        let reason = match self {
            Self::Preferred(_) | Self::DefaultRoute | Self::Mac(_) => "NoTunnelLink",
            Self::Address { .. } => "NoTunnelAddress",
        };
        Problem {
            about: format!("Node {node}"),
            reason,
            message: self.to_string(),
        }
    }
}

fn join(cidrs: &[IpNetwork]) -> String {
    cidrs
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// Bytes that the outer headers take: Ethernet, IP, UDP and VXLAN.
fn overhead(outer: IpAddr) -> u32 {
    if outer.is_ipv4() { 50 } else { 70 }
}

pub(super) fn choose(view: &View) -> Result<Vtep, Missing> {
    let published = published(view);
    let parent = parent(view, published)?;
    let mac = parent.mac.ok_or_else(|| Missing::Mac(parent.name.clone()))?;
    let ip = outer(view, parent, published).ok_or_else(|| Missing::Address {
        link: parent.name.clone(),
        cidrs: view.settings.vtep_cidrs.clone(),
    })?;
    Ok(Vtep {
        parent: parent.name.clone(),
        mac,
        mtu: parent.mtu.saturating_sub(overhead(ip)),
        ip,
        addresses: node_addresses(view, ip),
    })
}

/// The first preferred link that exists, else that of the default route. While there is none (a router that
/// restarts, a lease that is renewed) the link that has the published address stays.
fn parent(view: &View, published: Option<IpAddr>) -> Result<&Link, Missing> {
    let wanted = &view.settings.prefer_vxlan;
    if !wanted.is_empty() {
        let found = wanted.iter().find_map(|name| view.machine.link(name));
        return found.ok_or_else(|| Missing::Preferred(wanted.clone()));
    }
    let routes = &view.machine.default_routes;
    let best = |ipv6| {
        routes
            .iter()
            .filter(|route| route.ipv6 == ipv6)
            .min_by_key(|route| route.metric)
    };
    let by_route = best(false).or_else(|| best(true)).map(|route| &route.link);
    let by_address = || Some(&fit(view).find(|address| Some(address.ip.ip()) == published)?.link);
    by_route
        .or_else(by_address)
        .and_then(|name| view.machine.link(name))
        .ok_or(Missing::DefaultRoute)
}

/// The outer address. What is published stays as long as the link has it: a virtual address that comes before
/// the first one must not move the tunnel of the whole cluster.
fn outer(view: &View, parent: &Link, published: Option<IpAddr>) -> Option<IpAddr> {
    let allowed = |ip: &IpAddr| view.settings.vtep_cidrs.iter().any(|cidr| cidr.contains(*ip));
    let candidates: Vec<_> = view
        .machine
        .addresses
        .iter()
        .filter(|address| address.link == parent.name && address.global_scope)
        .filter(|address| {
            is_global_unicast(address.ip.ip()) && (view.machine.ipv6_usable || address.ip.is_ipv4())
        })
        .filter(|address| allowed(&address.ip.ip()))
        .collect();
    let rank = |address: &&&Address| {
        let ip = address.ip.ip();
        let of_node = view.node_addresses.iter().position(|known| *known == ip);
        let stays = published == Some(ip);
        (
            Reverse(stays),
            address.unfit,
            of_node.unwrap_or(usize::MAX),
            ip.is_ipv6(),
        )
    };
    // The minimum is the first of equals: the kernel's order decides last.
    candidates.iter().min_by_key(rank).map(|address| address.ip.ip())
}

/// The tunnel's own address, those of the Node object and those of the extra ranges, on any link of the host.
fn node_addresses(view: &View, outer: IpAddr) -> BTreeMap<IpAddr, IpNetwork> {
    let is_ours = |ip: IpAddr| {
        ip == outer
            || view.node_addresses.contains(&ip)
            || view
                .settings
                .extra_local_cidrs
                .iter()
                .any(|cidr| cidr.contains(ip))
    };
    let mut found = BTreeMap::new();
    for address in fit(view).filter(|address| is_ours(address.ip.ip())) {
        found.entry(address.ip.ip()).or_insert(address.ip);
    }
    found
}

/// Global addresses of the host's links, in the kernel's order. Those of the tunnel are copies.
fn fit(view: &View) -> impl Iterator<Item = &Address> {
    let is_host = |name: &str| {
        view.machine
            .link(name)
            .is_some_and(|link| !link.is_of_container() && !link.is_overlay())
    };
    view.machine
        .addresses
        .iter()
        .filter(|address| address.ip.is_ipv4() || view.machine.ipv6_usable)
        .filter(move |address| is_global_unicast(address.ip.ip()) && is_host(&address.link))
}

/// What the others know as the end of our tunnel.
fn published(view: &View) -> Option<IpAddr> {
    let own = view.node_infos.iter().find(|info| info.name_any() == view.node)?;
    own.spec.vtep_info.as_ref()?.ip.parse().ok()
}
