//! Underlay networks of mode VLAN: the links that lead to them, the tables of their subnets, and what their pods
//! need of the node (datapath spec 4.7, 5.4, 6). A subnet that cannot be carried costs a problem, not the others, and
//! what the kernel has of it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::NetworkMode;
use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::networks::{Range, Ranges};
use super::overlay::{everything, link_name};
use super::pods::{Origin, Pods};
use super::uplink;
use super::{Path, PodRange, Problem, Route, Segment, Table, TableRoutes, Target, Vlan};
use crate::view::{Link, LinkKind, Tag, View};

/// The largest VLAN identifier that frames may have.
const MAX_VLAN: u16 = 4094;

/// The part of the plan that is about VLANs.
#[derive(Debug, Default)]
pub(super) struct Underlay {
    pub segments: BTreeMap<String, Segment>,
    pub tables: BTreeMap<Table, TableRoutes>,
    pub paths: BTreeMap<IpNetwork, Path>,
    /// Pods by the link that they are answered for on.
    pub proxies: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Ranges that this node has or may have pods of, by the link of their segment.
    pub here: BTreeMap<String, BTreeSet<IpNetwork>>,
    /// Ranges that this node has nothing to do with.
    pub elsewhere: BTreeSet<IpNetwork>,
    pub pod_ranges: Vec<PodRange>,
}

/// Why a subnet is not carried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("netID is {}: a VLAN subnet or its network needs one, 0 for untagged frames or 1 to {MAX_VLAN}",
        .0.map_or_else(|| "not set".to_owned(), |id| id.to_string()))]
    NetId(Option<i32>),
    #[error("link {link} exists and is not VLAN {id} of {parent}: rename or remove it")]
    LinkTaken { link: String, id: u16, parent: String },
    #[error("VLAN {id} of {parent} is link {link} already: rename it to {wanted}, or remove it")]
    OtherName {
        link: String,
        id: u16,
        parent: String,
        wanted: String,
    },
    #[error("spec.range.gateway {:?} is not an address: a VLAN subnet needs one", .0.as_deref().unwrap_or(""))]
    NoGateway(Option<String>),
    #[error("gateway {gateway} is not inside the vlan subnet cidr {range}: correct spec.range.gateway")]
    GatewayOutside { gateway: IpAddr, range: IpNetwork },
    #[error(
        "exist default route of forward interface {link} has a different gateway {found} than the subnet, {wanted}: \
         this node has addresses of the subnet, and their packets would leave by the subnet's; use one gateway"
    )]
    OtherGateway {
        link: String,
        found: IpAddr,
        wanted: IpAddr,
    },
    #[error(
        "forward interface {link} should have direct route for local subnet {range}, since it has {address}: \
         add the route, or the address with the prefix length of the subnet"
    )]
    NoDirectRoute {
        link: String,
        range: IpNetwork,
        address: IpNetwork,
    },
}

impl Trouble {
    fn reason(&self) -> &'static str {
        match self {
            Self::NetId(_) => "InvalidNetID",
            Self::LinkTaken { .. } | Self::OtherName { .. } => "LinkTaken",
            Self::NoGateway(_) | Self::GatewayOutside { .. } => "InvalidGateway",
            Self::OtherGateway { .. } => "OtherGateway",
            Self::NoDirectRoute { .. } => "NoDirectRoute",
        }
    }
}

pub(super) fn of(
    view: &View,
    ranges: &Ranges,
    pods: &Pods,
    vxlan: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Underlay {
    let vlans: Vec<_> = ranges
        .usable
        .iter()
        .filter(|(_, range)| range.mode == NetworkMode::Vlan)
        .collect();
    let occupied: BTreeSet<_> = pods.origins.values().filter_map(|origin| origin.range).collect();
    let is_here = |range: &IpNetwork, of: &Range| of.attached || occupied.contains(range);
    let mut underlay = Underlay {
        elsewhere: vlans
            .iter()
            .filter(|(range, of)| !is_here(range, of))
            .map(|(range, _)| **range)
            .collect(),
        ..Underlay::default()
    };
    if vlans.is_empty() {
        return underlay;
    }
    let parent = match uplink::choose(view, "prefer-vlan-interfaces", &view.settings.prefer_vlan) {
        Ok(parent) => parent,
        Err(error) => {
            if vlans.len() > underlay.elsewhere.len() {
                problems.push(Problem {
                    about: format!("Node {}", view.node),
                    reason: "NoUnderlayLink",
                    message: error.to_string(),
                });
            }
            return underlay;
        }
    };
    let site = Site { view, parent, vxlan };
    underlay.segments = site.existing();
    for (range, of) in &vlans {
        underlay.pod_ranges.push(PodRange {
            range: **range,
            excluded: of.excluded.clone(),
        });
        let usable = range.is_ipv4() || view.machine.ipv6_usable;
        if is_here(range, of)
            && usable
            && let Err(trouble) = underlay.add(&site, **range, of)
        {
            problems.push(Problem {
                // An ADD looks for the range of its address.
                about: format!("Subnet {} ({range})", of.subnet),
                reason: trouble.reason(),
                message: trouble.to_string(),
            });
        }
    }
    for (ip, origin) in &pods.origins {
        underlay.lodge(&site, ranges, *ip, origin);
    }
    underlay
}

impl Underlay {
    /// A subnet of this node: its segment, its table, and the way of new pods.
    fn add(&mut self, site: &Site<'_>, range: IpNetwork, of: &Range) -> Result<(), Trouble> {
        let (link, vlan) = site.segment(of.net_id)?;
        let segment = self.segments.entry(link.clone()).or_default();
        segment.vlan = segment.vlan.take().or(vlan);
        self.here.entry(link.clone()).or_default().insert(range);
        let gateway = gateway(range, of)?;
        let source = site.source(&link, range, gateway)?;
        let direct = Route {
            destination: range,
            target: Target::Link {
                name: link.clone(),
                link_scope: true,
                source,
            },
        };
        let default = Route {
            destination: everything(range),
            target: Target::Gateway {
                via: gateway,
                name: link.clone(),
            },
        };
        self.tables
            .insert(Table::FromSubnet(range), [direct, default].into_iter().collect());
        // A node that left the network keeps the pods that it has.
        if of.attached {
            self.paths.insert(range, site.path(link, gateway));
        }
        Ok(())
    }

    /// A pod of this node, if it is of a VLAN.
    fn lodge(&mut self, site: &Site<'_>, ranges: &Ranges, ip: IpAddr, origin: &Origin) {
        let known = origin.range.and_then(|range| ranges.usable.get(&range));
        let is_vlan = known.map_or_else(
            || site.mode(&origin.network) == Some(NetworkMode::Vlan),
            |range| range.mode == NetworkMode::Vlan,
        );
        let net_id = known.map_or(origin.net_id, |range| range.net_id);
        // Trouble with the link has been told of with its subnet.
        let Ok((link, _)) = site.segment(net_id) else {
            return;
        };
        if !is_vlan {
            return;
        }
        let segment = self.segments.entry(link.clone()).or_default();
        if let (IpAddr::V4(v4), Some(range), true) = (ip, origin.range, site.view.settings.lend_addresses) {
            segment.lends.entry(range).or_default().insert(v4);
        }
        self.proxies.entry(link).or_default().insert(ip);
    }
}

fn gateway(range: IpNetwork, of: &Range) -> Result<IpAddr, Trouble> {
    let gateway = of.gateway.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
    let gateway = gateway.ok_or_else(|| Trouble::NoGateway(of.gateway.clone()))?;
    if range.contains(gateway) {
        Ok(gateway)
    } else {
        Err(Trouble::GatewayOutside { gateway, range })
    }
}

/// This machine, as underlay networks see it.
struct Site<'a> {
    view: &'a View,
    /// The link that all segments are reached by.
    parent: &'a Link,
    /// Name of the tunnel's link.
    vxlan: Option<&'a str>,
}

impl Site<'_> {
    /// The parent, and the tagged links above it that have the names which we would give them.
    fn existing(&self) -> BTreeMap<String, Segment> {
        let is_ours = |link: &&Link| match link.kind {
            LinkKind::Vlan(Tag { id, parent }) => {
                parent == self.parent.index && link.name == self.name_of(id)
            }
            _ => false,
        };
        self.view
            .machine
            .links
            .iter()
            .filter(is_ours)
            .chain([self.parent])
            .map(|link| (link.name.clone(), Segment::default()))
            .collect()
    }

    fn name_of(&self, id: u16) -> String {
        link_name(&self.parent.name, &format!(".{id}"))
    }

    /// Name of the link to a segment, and what it is made with if that is tagged.
    fn segment(&self, net_id: Option<i32>) -> Result<(String, Option<Vlan>), Trouble> {
        let id = net_id.and_then(|id| u16::try_from(id).ok());
        let id = id.filter(|id| *id <= MAX_VLAN).ok_or(Trouble::NetId(net_id))?;
        if id == 0 {
            return Ok((self.parent.name.clone(), None));
        }
        let wanted = self.name_of(id);
        let parent = self.parent.name.clone();
        let tag = LinkKind::Vlan(Tag {
            id,
            parent: self.parent.index,
        });
        match self.view.machine.link(&wanted) {
            Some(link) if link.kind == tag => {}
            Some(_) => {
                return Err(Trouble::LinkTaken {
                    link: wanted,
                    id,
                    parent,
                });
            }
            // The kernel has one link for each identifier.
            None => {
                let other = self.view.machine.links.iter().find(|link| link.kind == tag);
                if let Some(link) = other.map(|link| link.name.clone()) {
                    return Err(Trouble::OtherName {
                        link,
                        id,
                        parent,
                        wanted,
                    });
                }
            }
        }
        Ok((wanted, Some(Vlan { parent, id })))
    }

    /// When this node itself has addresses in the range, its own packets from them are looked up in the subnet's
    /// table: that must lead them where the main table does. The source is that of the kernel's route.
    fn source(&self, link: &str, range: IpNetwork, gateway: IpAddr) -> Result<Option<IpAddr>, Trouble> {
        let machine = &self.view.machine;
        let own = machine.addresses.iter().find(|address| {
            address.link == link && !address.no_prefix_route && range.contains(address.ip.ip())
        });
        let Some(own) = own else { return Ok(None) };
        let default = machine
            .default_routes
            .iter()
            .filter(|route| route.ipv6 == range.is_ipv6())
            .min_by_key(|route| route.metric)
            .filter(|route| route.link == link);
        let found = default.and_then(|route| route.gateway);
        // A router is advertised by its link-local address, which says nothing of its others.
        let comparable = |ip: &IpAddr| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if let Some(found) = found.filter(comparable).filter(|found| *found != gateway) {
            return Err(Trouble::OtherGateway {
                link: link.to_owned(),
                found,
                wanted: gateway,
            });
        }
        let direct = machine
            .direct_routes
            .iter()
            .find(|route| route.link == link && route.destination == range);
        match direct {
            Some(route) => Ok(route.source),
            None => Err(Trouble::NoDirectRoute {
                link: link.to_owned(),
                range,
                address: own.ip,
            }),
        }
    }

    fn path(&self, link: String, gateway: IpAddr) -> Path {
        let existing = self.view.machine.link(&link);
        Path {
            mode: NetworkMode::Vlan,
            // A tagged link that is yet to be made takes over the parent's.
            mtu: existing.unwrap_or(self.parent).mtu,
            gateway: Some(gateway),
            answers_on: self
                .vxlan
                .map(ToOwned::to_owned)
                .into_iter()
                .chain([link.clone()])
                .collect(),
            link,
        }
    }

    fn mode(&self, network: &str) -> Option<NetworkMode> {
        let found = self.view.networks.iter().find(|of| of.name_any() == network)?;
        found.spec.network_mode().ok()
    }
}

#[cfg(test)]
mod tests;
