//! rtnetlink messages as values of [`State`]. What cannot concern a plan is `None`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    VlanProtocol,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

use super::address_family;
use crate::kernel::names::{TABLE_LOCAL, TABLE_MAIN, is_global_unicast};
use crate::kernel::state::{Address, Family, Forward, Kind, Link, Route, Rule, State, Tag, Tunnel, Way};
use crate::mac::Mac;
use crate::view::is_of_container;

/// Names of links by their numbers.
pub(super) type Names = BTreeMap<u32, String>;

/// `NUD_PERMANENT` or `NUD_NOARP`: somebody set it.
const SET: u16 = 0x80 | 0x40;

pub(super) fn link(message: &LinkMessage) -> Option<(String, Link)> {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    if message.header.flags.contains(LinkFlags::Loopback) {
        link.kind = Kind::Loopback;
    }
    let (mut name, mut parent, mut infos) = (None, 0, &[][..]);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(octets) if message.header.link_layer_type == LinkLayerType::Ether => {
                link.mac = mac(octets);
            }
            LinkAttribute::Link(index) => parent = *index,
            LinkAttribute::LinkInfo(of_kind) => infos = of_kind,
            _ => {}
        }
    }
    link.kind = kind(infos, parent).unwrap_or(link.kind);
    Some((name?, link))
}

fn kind(infos: &[LinkInfo], parent: u32) -> Option<Kind> {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })?;
    match kind {
        InfoKind::Veth => Some(Kind::Veth),
        InfoKind::Vlan => infos.iter().find_map(|info| match info {
            LinkInfo::Data(InfoData::Vlan(data)) => vlan(data, parent).map(Kind::Vlan),
            _ => None,
        }),
        InfoKind::Vxlan => infos.iter().find_map(|info| match info {
            LinkInfo::Data(InfoData::Vxlan(data)) => Some(Kind::Vxlan(tunnel(data))),
            _ => None,
        }),
        _ => None,
    }
}

/// A service tag (802.1ad) is another network's.
fn vlan(data: &[InfoVlan], parent: u32) -> Option<Tag> {
    let (mut id, mut customer) = (None, true);
    for info in data {
        match info {
            InfoVlan::Id(tag) => id = Some(*tag),
            InfoVlan::Protocol(protocol) => customer = *protocol == VlanProtocol::Ieee8021Q,
            _ => {}
        }
    }
    id.filter(|_| customer).map(|id| Tag { id, parent })
}

fn tunnel(data: &[InfoVxlan]) -> Tunnel {
    let mut tunnel = Tunnel {
        vni: 0,
        port: 0,
        parent: 0,
        local: None,
        strange: false,
    };
    for info in data {
        match info {
            InfoVxlan::Id(vni) => tunnel.vni = *vni,
            InfoVxlan::Port(port) => tunnel.port = *port,
            InfoVxlan::Link(index) => tunnel.parent = *index,
            InfoVxlan::Local(local) => tunnel.local = Some(IpAddr::V4(*local)),
            InfoVxlan::Local6(local) => tunnel.local = Some(IpAddr::V6(*local)),
            InfoVxlan::Group(group) => tunnel.strange |= !group.is_unspecified(),
            InfoVxlan::Group6(group) => tunnel.strange |= !group.is_unspecified(),
            InfoVxlan::CollectMetadata(on) => tunnel.strange |= on,
            InfoVxlan::Gbp | InfoVxlan::Gpe => tunnel.strange = true,
            _ => {}
        }
    }
    tunnel
}

pub(super) fn address(message: &AddressMessage, names: &Names) -> Option<Address> {
    let (mut own, mut other, mut flags) = (None, None, AddressFlags::empty());
    for attribute in &message.attributes {
        match attribute {
            // With a peer, `Address` is the peer's.
            AddressAttribute::Local(ip) => own = Some(*ip),
            AddressAttribute::Address(ip) => other = Some(*ip),
            AddressAttribute::Flags(set) => flags = *set,
            _ => {}
        }
    }
    let ip = own.or(other)?;
    let mut unusable = AddressFlags::Deprecated | AddressFlags::Tentative | AddressFlags::Dadfailed;
    if ip.is_ipv6() {
        // The same bit says "temporary" there.
        unusable |= AddressFlags::Secondary;
    }
    Some(Address {
        link: names.get(&message.header.index)?.clone(),
        ip: IpNetwork::new(ip, message.header.prefix_len).ok()?,
        global_scope: message.header.scope == AddressScope::Universe,
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
        unfit: flags.intersects(unusable),
    })
}

pub(super) fn forward(message: &NeighbourMessage, names: &Names, state: &State) -> Option<Forward> {
    let link = names.get(&message.header.ifindex)?;
    state.tunnel(link)?;
    if u16::from(message.header.state) & SET == 0 {
        return None;
    }
    let (mut address, mut to) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(octets) => address = mac(octets),
            NeighbourAttribute::Destination(destination) => to = ip(destination),
            _ => {}
        }
    }
    Some(Forward {
        link: link.clone(),
        mac: address?,
        to: to?,
    })
}

pub(super) fn proxy(message: &NeighbourMessage, names: &Names) -> Option<(String, IpAddr)> {
    if !message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let link = names.get(&message.header.ifindex)?;
    Some((link.clone(), destination(message)?))
}

/// The address that a neighbour message is about.
pub(in crate::kernel) fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(address) => ip(address),
        _ => None,
    })
}

pub(super) fn route(message: &RouteMessage, names: &Names, family: Family) -> Option<Route> {
    let header = &message.header;
    // A kernel without IPv6 answers with what it has.
    if header.address_family != address_family(family) || header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let table = table_of(message);
    if table == TABLE_LOCAL {
        return None;
    }
    let unspecified = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let (mut destination, mut metric, mut source) = (unspecified, 0, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = route_ip(address)?,
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::PrefSource(address) => source = route_ip(address),
            _ => {}
        }
    }
    let (destination, way) = (
        IpNetwork::new(destination, header.destination_prefix_length).ok()?,
        way(message, names, family),
    );
    if table == TABLE_MAIN && !may_matter(destination, &way) {
        return None;
    }
    Some(Route {
        table,
        destination,
        way,
        metric,
        source,
        advertised: header.protocol == RouteProtocol::Ra,
    })
}

/// Of the main table: ways out, and ways to the neighbours of a link other than those that each link has.
fn may_matter(destination: IpNetwork, way: &Way) -> bool {
    let direct = matches!(way, Way::Link { gateway: None, .. });
    destination.prefix() == 0 || direct && is_global_unicast(destination.ip())
}

/// The link and the address of a route that makes an address the machine's own. Those of containers' links are
/// nobody's concern; proxies for Services have thousands.
pub(super) fn owned(message: &RouteMessage, names: &Names) -> Option<(String, Ipv4Addr)> {
    let header = &message.header;
    if table_of(message) != TABLE_LOCAL
        || header.kind != RouteType::Local
        || header.address_family != address_family(Family::V4)
        || header.destination_prefix_length != Family::V4.bits()
    {
        return None;
    }
    let (mut link, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => link = names.get(index).filter(|name| !is_of_container(name)),
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => address = Some(*v4),
            _ => {}
        }
    }
    Some((link?.clone(), address?))
}

/// The table of a route; numbers above 255 do not fit into the header.
pub(in crate::kernel) fn table_of(message: &RouteMessage) -> u32 {
    let table = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or(u32::from(message.header.table))
}

fn way(message: &RouteMessage, names: &Names, family: Family) -> Way {
    match message.header.kind {
        RouteType::Throw => return Way::Throw,
        RouteType::Unicast => {}
        _ => return Way::Other,
    }
    let hops = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    if let Some(hops) = hops {
        let known = hops.iter().filter_map(|hop| {
            let name = names.get(&hop.interface_index)?.clone();
            Some((name, gateway(&hop.attributes)))
        });
        return Way::Several(known.collect());
    }
    let index = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    match index.and_then(|index| names.get(&index)) {
        Some(name) => Way::Link {
            name: name.clone(),
            gateway: gateway(&message.attributes),
            link_scope: family == Family::V4 && message.header.scope != RouteScope::Universe,
        },
        None => Way::Other,
    }
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => route_ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

pub(super) fn rule(message: &RuleMessage, family: Family) -> Option<Rule> {
    let header = &message.header;
    if header.family != address_family(family) {
        return None;
    }
    let mut rule = Rule {
        family,
        priority: 0,
        table: u32::from(header.table),
        source: None,
        mark: 0,
        mask: 0,
        plain: header.action == RuleAction::ToTable
            && header.dst_len == 0
            && header.tos == 0
            && !header.flags.contains(RuleFlags::Invert),
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Source(ip) => rule.source = IpNetwork::new(*ip, header.src_len).ok(),
            RuleAttribute::FwMark(mark) => rule.mark = *mark,
            RuleAttribute::FwMask(mask) => rule.mask = *mask,
            other => rule.plain &= selects_nothing(other),
        }
    }
    Some(rule)
}

/// Attributes that the kernel shows although they change nothing.
fn selects_nothing(attribute: &RuleAttribute) -> bool {
    use netlink_packet_core::Nla;
    match attribute {
        RuleAttribute::Protocol(_)
        | RuleAttribute::SuppressPrefixLen(u32::MAX)
        | RuleAttribute::SuppressIfGroup(u32::MAX)
        | RuleAttribute::L3MDev(false) => true,
        // What is newer than this program, if it is not zero, may select.
        RuleAttribute::Other(unknown) => {
            let mut value = vec![0; unknown.value_len()];
            unknown.emit_value(&mut value);
            value.iter().all(|byte| *byte == 0)
        }
        _ => false,
    }
}

fn mac(octets: &[u8]) -> Option<Mac> {
    octets.try_into().ok().map(Mac)
}

fn ip(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        NeighbourAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        // Forwarding entries are of a family without addresses: the length tells.
        NeighbourAddress::Other(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(octets.as_slice()).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(octets.as_slice()).ok().map(IpAddr::from),
            _ => None,
        },
        _ => None,
    }
}

fn route_ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;

    use super::*;

    fn subnet_rule() -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = address_family(Family::V4);
        message.header.src_len = 24;
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::SuppressPrefixLen(u32::MAX),
            RuleAttribute::Source([10, 0, 0, 0].into()),
            RuleAttribute::Table(10_000),
            RuleAttribute::Priority(4),
            RuleAttribute::FwMark(0),
            RuleAttribute::FwMask(0x4040),
            RuleAttribute::Protocol(RouteProtocol::Boot),
        ];
        message
    }

    #[test]
    fn a_rule_of_a_subnet_is_read_as_it_was_written() {
        let expected = Rule {
            family: Family::V4,
            priority: 4,
            table: 10_000,
            source: "10.0.0.0/24".parse().ok(),
            mark: 0,
            mask: 0x4040,
            plain: true,
        };

        assert_eq!(rule(&subnet_rule(), Family::V4), Some(expected));
        assert_eq!(rule(&subnet_rule(), Family::V6), None);
    }

    #[test]
    fn whatever_selects_more_makes_a_rule_somebody_elses() {
        let zero = RuleAttribute::Other(DefaultNla::new(99, vec![0; 4]));
        let unknown = RuleAttribute::Other(DefaultNla::new(99, vec![0, 0, 0, 7]));
        let cases = [
            (RuleAttribute::Iifname("eth0".into()), false),
            (RuleAttribute::Oifname("eth0".into()), false),
            (RuleAttribute::L3MDev(true), false),
            (RuleAttribute::SuppressPrefixLen(0), false),
            (zero, true),
            (unknown, false),
        ];
        for (attribute, expected) in cases {
            let mut message = subnet_rule();
            message.attributes.push(attribute.clone());

            assert_eq!(
                rule(&message, Family::V4).map(|rule| rule.plain),
                Some(expected),
                "{attribute:?}"
            );
        }
        let mut inverted = subnet_rule();
        inverted.header.flags = RuleFlags::Invert;
        assert_eq!(rule(&inverted, Family::V4).map(|rule| rule.plain), Some(false));
    }
}
