//! Which link carries the tunnel, from which address, and which addresses of this machine are the node's
//! (datapath spec 3.2, 3.5).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::Problem;
use super::uplink::{self, NoUplink};
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
    #[error(transparent)]
    Uplink(#[from] NoUplink),
    #[error("link {0} has no MAC: name an Ethernet link by --prefer-vxlan-interfaces")]
    Mac(String),
    #[error("no address of link {link} is in --vtep-address-cidrs={}: add one, or name another link", join(.cidrs))]
    Address { link: String, cidrs: Vec<IpNetwork> },
}

impl Missing {
    pub fn problem(&self, node: &str) -> Problem {
        let reason = match self {
            Self::Uplink(_) | Self::Mac(_) => "NoTunnelLink",
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
    let parent = uplink::choose(view, "prefer-vxlan-interfaces", &view.settings.prefer_vxlan)?;
    let mac = parent.mac.ok_or_else(|| Missing::Mac(parent.name.clone()))?;
    let ip = outer(view, parent, uplink::published(view)).ok_or_else(|| Missing::Address {
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
    for address in uplink::host_addresses(view).filter(|address| is_ours(address.ip.ip())) {
        found.entry(address.ip.ip()).or_insert(address.ip);
    }
    found
}
