//! What the kernel holds, as far as it concerns a plan: a value that a dump fills and that
//! [`diff`](super::diff) reads. Links are named, not numbered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use crate::mac::Mac;
pub use crate::view::{Address, Tag};

/// The part of this network namespace that plans are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// All links, by name.
    pub links: BTreeMap<String, Link>,
    /// All addresses, in the kernel's order.
    pub addresses: Vec<Address>,
    /// Permanent forwarding entries of VXLAN links.
    pub forwards: BTreeSet<Forward>,
    /// Proxy neighbours (`NTF_PROXY`): link and address.
    pub proxies: BTreeSet<(String, IpAddr)>,
    /// Routes of the tables that may be ours, and of the main table default routes and those to neighbours; in the
    /// kernel's order.
    pub routes: Vec<Route>,
    /// IPv4 addresses that the local table makes this machine's own, by the link and the address.
    pub owned: BTreeSet<(String, Ipv4Addr)>,
    /// Policy rules in the order in which the kernel asks them, each family for itself.
    pub rules: Vec<Rule>,
    /// Those that were asked for and exist.
    pub sysctls: BTreeMap<String, String>,
    /// What becomes of broadcasts on the overlay.
    pub replication: Replication,
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its link-layer address, if that is an EUI-48.
    pub mac: Option<Mac>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether it is set up (`IFF_UP`).
    pub up: bool,
    /// What it is.
    pub kind: Kind,
}

/// Kinds of links that decisions tell apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Loopback.
    Loopback,
    /// One end of a pair.
    Veth,
    /// 802.1Q.
    Vlan(Tag),
    /// A tunnel.
    Vxlan(Tunnel),
    /// Anything else.
    #[default]
    Other,
}

/// Properties of a VXLAN link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// VXLAN network identifier.
    pub vni: u32,
    /// UDP port.
    pub port: u16,
    /// Number of the link below, 0 for none.
    pub parent: u32,
    /// Outer source address.
    pub local: Option<IpAddr>,
    /// Something is set that we never set: a group or remote, group policies, metadata mode.
    pub strange: bool,
}

/// A permanent entry of a VXLAN link's forwarding table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forward {
    /// Name of the VXLAN link.
    pub link: String,
    /// Inner destination.
    pub mac: Mac,
    /// Outer destination.
    pub to: IpAddr,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Number of the table.
    pub table: u32,
    /// Network address and prefix length.
    pub destination: IpNetwork,
    /// Where it leads.
    pub way: Way,
    /// Lower is better.
    pub metric: u32,
    /// Preferred source.
    pub source: Option<IpAddr>,
    /// Whether a router advertised it.
    pub advertised: bool,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of one link.
    Link {
        /// Name of the link.
        name: String,
        /// Router, if not straight to the destination.
        gateway: Option<IpAddr>,
        /// Scope link; always false in IPv6, where the kernel knows no scopes.
        link_scope: bool,
    },
    /// Back to the next rule.
    Throw,
    /// Several next hops; those whose links have names, in the kernel's order.
    Several(Vec<(String, Option<IpAddr>)>),
    /// Anything that no plan contains.
    Other,
}

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Address family.
    pub family: Family,
    /// The kernel asks in this order; equals in the order of their making.
    pub priority: u32,
    /// Table that is looked up.
    pub table: u32,
    /// Packets from there only.
    pub source: Option<IpNetwork>,
    /// Wanted mark.
    pub mark: u32,
    /// Bits of the mark that matter.
    pub mask: u32,
    /// Whether there is nothing more to it: it looks a table up, and has no other selector.
    pub plain: bool,
}

/// Whether the overlay's broadcasts go to the MAC that the Go project's nodes replicate (datapath spec 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    /// The filter that rewrites them is in place.
    Filtered,
    /// It is missing, and may be installed.
    #[default]
    Missing,
    /// This kernel cannot have it: the default forwarding entry carries them as they are.
    Unsupported,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl Route {
    /// Family of the destination.
    pub fn family(&self) -> Family {
        Family::of(self.destination.ip())
    }
}

impl State {
    /// What the tunnel of that name is, if there is one.
    pub fn tunnel(&self, name: &str) -> Option<(&Link, &Tunnel)> {
        let link = self.links.get(name)?;
        match &link.kind {
            Kind::Vxlan(tunnel) => Some((link, tunnel)),
            _ => None,
        }
    }

    /// Routes of one table and family.
    pub fn table(&self, family: Family, table: u32) -> impl Iterator<Item = &Route> {
        self.routes
            .iter()
            .filter(move |route| route.table == table && route.family() == family)
    }
}
