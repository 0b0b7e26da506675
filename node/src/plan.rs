//! What the kernel of this node must hold: the value between the decision ([`plan`](self)) and the one who
//! makes it true ([`crate::kernel`]). A plan has no numbers that only the kernel knows (link indexes, rule
//! priorities, numbers of free tables): those are found when the plan is compared with a dump.
//!
//! ```text
//! View (API objects, this machine) --plan()--> Plan --kernel::converge()--> dump, diff, apply
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use hybridnet_api::NetworkMode;
use ipnetwork::IpNetwork;

use crate::firewall::Ruleset;
use crate::mac::Mac;

mod compose;
mod networks;
mod overlay;
mod pods;
mod print;
mod sysctls;
#[cfg(test)]
mod tests;
mod underlay;
mod uplink;
mod vtep;

pub use compose::plan;

/// Everything of ours in the kernel. What is ours is recognised by name, table number, or rule selector
/// (datapath spec 4, 5); what is not in these places is never touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The overlay's link. Without one, nothing is wanted of such links and what exists is left alone.
    pub vxlan: Option<Vxlan>,
    /// Numbers of the tables that are not a subnet's.
    pub numbers: TableNumbers,
    /// Routes of our tables. A table that is absent here is left alone, except that of a `FromSubnet` whose
    /// subnet is gone, that is, not among `subnets`: its rule is removed and the table emptied.
    pub tables: BTreeMap<Table, TableRoutes>,
    /// The ranges that this node has a rule for, also those that could not be planned: of these nothing is removed.
    /// All subnets of the cluster, but for those of underlay networks that it does not belong to, or no more and
    /// has no pods of either.
    pub subnets: BTreeSet<IpNetwork>,
    /// Links to underlay networks, by name: also those without pods, for what is left there of former ones.
    pub segments: BTreeMap<String, Segment>,
    /// The addresses that pods of VLANs may have: what the node answers for on links that it shares with others, and
    /// what these were lent, is ours.
    pub pod_ranges: Vec<PodRange>,
    /// How the pods of each range are carried, by the range of their subnets. A range that is absent here cannot
    /// have new pods now; a problem says why.
    pub paths: BTreeMap<IpNetwork, Path>,
    /// Addresses that the node answers ARP and neighbour solicitations for, by link (datapath spec 5.4).
    pub proxy_neighbours: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Host ends of the pods that run here (datapath spec 2.7), by link name. A link that does not exist is
    /// passed over: its pod is not set up yet, or gone.
    pub pods: BTreeMap<String, HostEnd>,
    /// Path under `/proc/sys` without the leading part (`net/ipv4/ip_forward`), and what it must say. Those
    /// named `accept_ra` are written before the others: forwarding would stop advertisements (datapath 3.4).
    pub sysctls: BTreeMap<String, Sysctl>,
    /// Our nftables table.
    pub firewall: Ruleset,
    /// What could not be planned; the rest of the plan holds without it.
    pub problems: Vec<Problem>,
}

/// Numbers of routing tables: flags of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableNumbers {
    /// Host routes of the pods of this node: every packet is looked up there first.
    pub local_direct: u32,
    /// [`Table::ToOverlay`].
    pub to_overlay: u32,
    /// [`Table::OverlayMark`].
    pub overlay_mark: u32,
}

impl Default for TableNumbers {
    fn default() -> Self {
        Self {
            local_direct: 39_999,
            to_overlay: 40_000,
            overlay_mark: 40_001,
        }
    }
}

/// The VXLAN link (RFC 7348; datapath spec 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// `<parent>.vxlan<VNI>`, at most 15 bytes.
    pub name: String,
    /// Name of the link that carries the tunnel.
    pub parent: String,
    /// VXLAN network identifier, 1 to 16777215.
    pub vni: u32,
    /// The parent's MAC.
    pub mac: Mac,
    /// Outer source address.
    pub local: IpAddr,
    /// UDP destination port.
    pub port: u16,
    /// Largest inner packet: the parent's MTU less the outer headers (50 bytes, 70 over IPv6). The kernel gives
    /// it to a new link; pods have the same.
    pub mtu: u32,
    /// Addresses of the node with their prefix lengths, set without a prefix route.
    pub addresses: BTreeSet<IpNetwork>,
    /// The other tunnel ends: each gets a unicast entry and one of the replication MAC (datapath spec 5.2).
    pub peers: BTreeMap<Mac, IpAddr>,
}

/// One of our routing tables. Each family has its own of the same number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Overlay subnets (40000), looked up for every packet.
    ToOverlay,
    /// Replies of overlay pods to nodes (40001), looked up for mark 0x20.
    OverlayMark,
    /// Packets from one subnet; its number is that of its rule, else a free one of 10000 to 39999.
    FromSubnet(IpNetwork),
}

/// The routes of one table, of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRoutes {
    /// What the table holds; anything else in it is removed.
    pub routes: BTreeSet<Route>,
}

/// One route of our tables: scope universe, protocol boot, no metric of our choice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Network address and prefix length; `0.0.0.0/0` and `::/0` are default routes.
    pub destination: IpNetwork,
    /// Where packets go.
    pub target: Target,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Out of a link, the destination is a neighbour. `link_scope`: `RT_SCOPE_LINK`, else universe.
    Link {
        /// Name of the link.
        name: String,
        /// Whether the route has scope link.
        link_scope: bool,
        /// Preferred source address, as the kernel's own route to the range has it; `None` leaves what is there.
        source: Option<IpAddr>,
    },
    /// To a router.
    Gateway {
        /// Its address.
        via: IpAddr,
        /// Name of the link.
        name: String,
    },
    /// Back to the next rule (`RTN_THROW`).
    Throw,
}

/// A link by which this node is on a segment of an underlay network (datapath spec 6.1): the parent link itself for
/// untagged frames, else an 802.1Q link above it. It is never deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// What a tagged link is made with, and set up again; nothing for a link that is not ours to change.
    pub vlan: Option<Vlan>,
    /// Per range, the addresses of its pods here. The link is lent one of them, unless it has an address of its own
    /// in the range: some switches drop questions from addresses of other ranges (datapath spec 6.4).
    pub lends: BTreeMap<IpNetwork, BTreeSet<Ipv4Addr>>,
}

/// An 802.1Q link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Name of the link below.
    pub parent: String,
    /// VLAN identifier, 1 to 4094.
    pub id: u16,
}

/// The addresses of a subnet without those that no pod has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRange {
    /// The subnet's range.
    pub range: IpNetwork,
    /// Parts of it that pods never have: gateways, machines, other people's addresses.
    pub excluded: Vec<IpNetwork>,
}

impl PodRange {
    /// Whether a pod may have the address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.range.contains(ip) && !self.excluded.iter().any(|block| block.contains(ip))
    }
}

/// How the pods of a subnet are carried on this node: what a CNI ADD goes by. Packets from them are looked up in
/// [`Table::FromSubnet`] of the same range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Mode of the network.
    pub mode: NetworkMode,
    /// Link to the other nodes and the world: the VXLAN link, or that of the VLAN. Frames for pods of a VLAN come
    /// in by it, so it is where duplicates are looked for and addresses announced (datapath spec 6.3).
    pub link: String,
    /// Largest packet that the link carries, and so of a pod.
    pub mtu: u32,
    /// Router of a VLAN: a link-layer neighbour on `link`. The overlay needs none.
    pub gateway: Option<IpAddr>,
    /// Links on which the node answers for the pod: `link`, and the VXLAN link if there is an overlay.
    pub answers_on: BTreeSet<String>,
}

impl Plan {
    /// How a pod with this address, and the prefix length of its subnet, is carried.
    #[must_use]
    pub fn path_of(&self, address: IpNetwork) -> Option<&Path> {
        let range = IpNetwork::new(address.network(), address.prefix()).ok()?;
        self.paths.get(&range)
    }
}

/// The host's end of a pod's veth pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEnd {
    /// The pod's addresses: a host route each in table 39999.
    pub addresses: BTreeSet<IpAddr>,
}

/// What a sysctl must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sysctl {
    /// Exactly this.
    Exactly(String),
    /// At least this number: what an administrator raised stays.
    AtLeast(u64),
}

/// Something that a user asked for and that cannot be done on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object or link that it is about: `Subnet a`, `link eth0`.
    pub about: String,
    /// A CamelCase word for conditions.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}
