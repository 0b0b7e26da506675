//! The machine as decisions see it.

use ipnetwork::IpNetwork;

use super::names::TABLE_MAIN;
use super::state::{self, Family, Kind, State, Way};
use crate::view::{DefaultRoute, DirectRoute, Link, LinkKind, Machine};

/// Reads when this says that IPv6 was switched off; without IPv6 it does not exist.
pub(super) const IPV6_SWITCH: &str = "net/ipv6/conf/all/disable_ipv6";

/// The machine of a dump; lists are in the kernel's order.
pub(super) fn machine(state: &State) -> Machine {
    let mut links: Vec<_> = state.links.iter().map(|(name, held)| link(name, held)).collect();
    links.sort_by_key(|link| link.index);
    Machine {
        links,
        addresses: state.addresses.clone(),
        default_routes: state.routes.iter().filter_map(default_route).collect(),
        direct_routes: state.routes.iter().filter_map(direct_route).collect(),
        ipv6_usable: state
            .sysctls
            .get(IPV6_SWITCH)
            .is_some_and(|disabled| disabled.trim() != "1"),
    }
}

fn link(name: &str, held: &state::Link) -> Link {
    Link {
        index: held.index,
        name: name.to_owned(),
        mac: held.mac,
        mtu: held.mtu,
        up: held.up,
        kind: match held.kind {
            Kind::Loopback => LinkKind::Loopback,
            Kind::Veth => LinkKind::Veth,
            Kind::Vlan(tag) => LinkKind::Vlan(tag),
            Kind::Vxlan(_) => LinkKind::Vxlan,
            Kind::Other => LinkKind::Other,
        },
    }
}

fn default_route(held: &state::Route) -> Option<DefaultRoute> {
    let is_default = |destination: IpNetwork| destination.prefix() == 0;
    if held.table != TABLE_MAIN || !is_default(held.destination) {
        return None;
    }
    let (link, gateway) = match &held.way {
        Way::Link { name, gateway, .. } => (name.clone(), *gateway),
        Way::Several(hops) => hops.first().cloned()?,
        Way::Throw | Way::Other => return None,
    };
    Some(DefaultRoute {
        link,
        ipv6: held.family() == Family::V6,
        gateway,
        source: held.source,
        from_advertisement: held.advertised,
        metric: held.metric,
    })
}

fn direct_route(held: &state::Route) -> Option<DirectRoute> {
    match &held.way {
        Way::Link {
            name, gateway: None, ..
        } if held.table == TABLE_MAIN && held.destination.prefix() > 0 => Some(DirectRoute {
            link: name.clone(),
            destination: held.destination,
            source: held.source,
        }),
        _ => None,
    }
}
