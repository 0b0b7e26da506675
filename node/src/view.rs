//! What a plan is made from: the API objects that concern this node, and this machine as it is. A value
//! without clients or sockets: `watch` fills in the objects, `kernel` the machine, `run` puts them together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hybridnet_api::{IpInstance, Network, NodeInfo, Subnet};
use ipnetwork::IpNetwork;

use crate::mac::Mac;
use crate::plan::TableNumbers;

/// Everything that a decision may depend on.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Name of this node.
    pub node: String,
    /// What the administrator chose for the daemon.
    pub settings: Settings,
    /// This machine.
    pub machine: Machine,
    /// `Node.status.addresses` of this node, those that are IP addresses, `InternalIP` first.
    pub node_addresses: Vec<IpAddr>,
    /// All networks of the cluster.
    pub networks: Vec<Arc<Network>>,
    /// All subnets of the cluster.
    pub subnets: Vec<Arc<Subnet>>,
    /// What the daemons of all nodes published, this one's own included.
    pub node_infos: Vec<Arc<NodeInfo>>,
    /// The addresses that are labelled with this node.
    pub own: Vec<Arc<IpInstance>>,
}

/// Flags of the daemon that change what it plans (datapath spec 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names of links for the tunnel, the first that exists wins; empty: the link of the default route.
    pub prefer_vxlan: Vec<String>,
    /// Names of links for underlay networks, the first that exists wins; empty: the link of the default route.
    pub prefer_vlan: Vec<String>,
    /// Whether links of underlay networks that have no address in a subnet are lent one of a pod's, for switches
    /// that drop questions from other addresses (datapath spec 6.4).
    pub lend_addresses: bool,
    /// Ranges that the tunnel's outer address may be from.
    pub vtep_cidrs: Vec<IpNetwork>,
    /// Ranges whose addresses on this machine are published as the node's, besides those of the Node object.
    pub extra_local_cidrs: Vec<IpNetwork>,
    /// Numbers of our tables.
    pub tables: TableNumbers,
    /// UDP port of the tunnel.
    pub vxlan_port: u16,
    /// How long a neighbour on the tunnel is taken to be reachable without a sign of life.
    pub base_reachable_time: Duration,
    /// `gc_thresh1` to `gc_thresh3` of the neighbour tables.
    pub neighbour_thresholds: [u64; 3],
    /// `net.ipv6.route.max_size`.
    pub ipv6_route_max_size: u64,
    /// `net.ipv6.route.gc_thresh`.
    pub ipv6_route_gc_thresh: u64,
}

/// This machine, seen from the network namespace of the daemon. Lists are in the kernel's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// All links.
    pub links: Vec<Link>,
    /// All addresses.
    pub addresses: Vec<Address>,
    /// Default routes of the table `main`, of both families.
    pub default_routes: Vec<DefaultRoute>,
    /// Routes of the table `main` to neighbours: what the kernel made for addresses, and the like.
    pub direct_routes: Vec<DirectRoute>,
    /// Whether the kernel has IPv6 and nobody switched it off (datapath spec 3.4).
    pub ipv6_usable: bool,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MAC; links without a link layer have none.
    pub mac: Option<Mac>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether an administrator set it up (`IFF_UP`).
    pub up: bool,
    /// What it is.
    pub kind: LinkKind,
}

/// Kinds of links, as far as decisions tell them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a pair.
    Veth,
    /// A tunnel (RFC 7348).
    Vxlan,
    /// An 802.1Q link.
    Vlan(Tag),
    /// The loopback link.
    Loopback,
    /// Anything else.
    #[default]
    Other,
}

/// What an 802.1Q link puts on its frames, and by which link they leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// VLAN identifier.
    pub id: u16,
    /// Number of the link below.
    pub parent: u32,
}

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name of the link.
    pub link: String,
    /// The address with the length of its prefix; host bits are kept.
    pub ip: IpNetwork,
    /// Whether its scope is global (`RT_SCOPE_UNIVERSE`), not link or host.
    pub global_scope: bool,
    /// `IFA_F_NOPREFIXROUTE`: it was added without a route for its prefix.
    pub no_prefix_route: bool,
    /// Not for new connections: deprecated, tentative, found to be a duplicate, or temporary (RFC 8981).
    pub unfit: bool,
}

/// A way out of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// Name of the link; of several next hops the first one's.
    pub link: String,
    /// Whether it is `::/0`.
    pub ipv6: bool,
    /// The router, unless the link leads everywhere.
    pub gateway: Option<IpAddr>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Whether the kernel learned it from a router advertisement (`RTPROT_RA`).
    pub from_advertisement: bool,
    /// Lower is better.
    pub metric: u32,
}

/// A way to neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectRoute {
    /// Name of the link.
    pub link: String,
    /// Who is there.
    pub destination: IpNetwork,
    /// Preferred source address.
    pub source: Option<IpAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefer_vxlan: vec![],
            prefer_vlan: vec![],
            lend_addresses: true,
            vtep_cidrs: everything(),
            extra_local_cidrs: vec![],
            tables: TableNumbers::default(),
            vxlan_port: 8472,
            base_reachable_time: Duration::from_secs(5),
            neighbour_thresholds: [1024, 2048, 4096],
            ipv6_route_max_size: 524_288,
            ipv6_route_gc_thresh: 65_536,
        }
    }
}

/// `0.0.0.0/0` and `::/0`.
fn everything() -> Vec<IpNetwork> {
    ["0.0.0.0/0", "::/0"]
        .iter()
        .filter_map(|all| all.parse().ok())
        .collect()
}

impl Machine {
    /// The link of that name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

impl Link {
    /// Whether the link belongs to a container: a pod's veth or something of another runtime. All others are
    /// the host's own (datapath spec 2.7).
    pub fn is_of_container(&self) -> bool {
        is_of_container(&self.name)
    }

    /// Whether the link is an overlay tunnel of ours, by its name (datapath spec 5.1).
    pub fn is_overlay(&self) -> bool {
        self.kind == LinkKind::Vxlan && self.name.contains(".vxlan")
    }
}

/// As [`Link::is_of_container`], by the name alone.
pub(crate) fn is_of_container(name: &str) -> bool {
    const BEGINNINGS: [&str; 5] = ["h_", "hybr", "veth", "docker", "kube-"];
    name.ends_with("_h") || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}
