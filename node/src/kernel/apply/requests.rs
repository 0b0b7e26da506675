//! One function a request. What shall go and is gone, or shall come and is there, is a success.

use std::io;
use std::net::IpAddr;

use futures::TryStreamExt;
use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, InfoVxlan};
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Error, Handle, LinkMessageBuilder, LinkUnspec, LinkVlan, LinkVxlan};

use crate::kernel::change::{LinkChange, NewTunnel, NewVlan};
use crate::kernel::dump::address_family;
use crate::kernel::names::TABLE_LOCAL;
use crate::kernel::state::{Family, Forward, Route, Rule, Way};
use crate::kernel::wire::{absent_is_fine, io_error, present_is_fine, request};
use crate::mac::Mac;

/// Number of a link, if it exists.
pub(super) async fn index(handle: &Handle, name: &str) -> io::Result<Option<u32>> {
    match handle.link().get().match_name(name).execute().try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
        Err(error) => Err(io_error(error)),
    }
}

pub(super) async fn add_tunnel(handle: &Handle, new: &NewTunnel, parent: u32) -> io::Result<()> {
    let link = LinkVxlan::new(&new.name, new.vni)
        .dev(parent)
        .port(new.port)
        // What the nodes of the Go project have, explicit where they are (datapath spec 5.1).
        .learning(true)
        .udp_zero_csum6_tx(false)
        .udp_zero_csum6_rx(false)
        .address(new.mac.0.to_vec())
        .mtu(new.mtu)
        .up();
    let link = match new.local {
        IpAddr::V4(local) => link.local(local),
        IpAddr::V6(local) => link.local6(local),
    };
    handle.link().add(link.build()).execute().await.map_err(io_error)
}

pub(super) async fn add_vlan(handle: &Handle, new: &NewVlan, parent: u32) -> io::Result<()> {
    let link = LinkVlan::new(&new.name, parent, new.id).up();
    handle.link().add(link.build()).execute().await.map_err(io_error)
}

pub(super) async fn delete_link(handle: &Handle, index: u32) -> io::Result<()> {
    absent_is_fine(handle.link().del(index).execute().await.map_err(io_error))
}

pub(super) async fn set_link(handle: &Handle, index: u32, change: &LinkChange) -> io::Result<()> {
    let mut link = LinkUnspec::new_with_index(index);
    if let Some(Mac(octets)) = change.mac {
        link = link.address(octets.to_vec());
    }
    if let Some(mtu) = change.mtu {
        link = link.mtu(mtu);
    }
    if change.up {
        link = link.up();
    }
    handle.link().set(link.build()).execute().await.map_err(io_error)
}

pub(super) async fn set_local(handle: &Handle, index: u32, vni: u32, local: IpAddr) -> io::Result<()> {
    let link = LinkMessageBuilder::<LinkVxlan>::new_with_info_kind(InfoKind::Vxlan).index(index);
    let local = match local {
        IpAddr::V4(local) => InfoVxlan::Local(local),
        IpAddr::V6(local) => InfoVxlan::Local6(local),
    };
    let link = link
        .append_info_data(InfoVxlan::Id(vni))
        .append_info_data(local)
        .build();
    handle.link().change(link).execute().await.map_err(io_error)
}

pub(super) async fn add_address(handle: &Handle, index: u32, ip: IpNetwork) -> io::Result<()> {
    address(handle, index, ip, AddressScope::Universe).await
}

/// Adds an address that is none of the node's.
pub(super) async fn lend_address(handle: &Handle, index: u32, ip: IpNetwork) -> io::Result<()> {
    address(handle, index, ip, AddressScope::Link).await
}

/// Removes what the kernel put into the local table for an IPv4 address: itself, and its range's broadcast address.
pub(super) async fn disown_address(handle: &Handle, index: u32, ip: IpNetwork) -> io::Result<()> {
    for destination in [ip.ip(), ip.broadcast()] {
        let mut message = RouteMessage::default();
        message.header.address_family = address_family(Family::of(destination));
        message.header.destination_prefix_length = Family::of(destination).bits();
        message.header.kind = RouteType::Unspec;
        message.header.protocol = RouteProtocol::Unspec;
        message.header.scope = RouteScope::NoWhere;
        message.attributes = vec![
            RouteAttribute::Table(TABLE_LOCAL),
            RouteAttribute::Destination(destination.into()),
            // That of another address of the range is not ours.
            RouteAttribute::PrefSource(ip.ip().into()),
            RouteAttribute::Oif(index),
        ];
        absent_is_fine(request(handle, RouteNetlinkMessage::DelRoute(message), 0).await)?;
    }
    Ok(())
}

async fn address(handle: &Handle, index: u32, ip: IpNetwork, scope: AddressScope) -> io::Result<()> {
    let mut flags = AddressFlags::Noprefixroute;
    if ip.is_ipv6() {
        // The machine has it on another link: there is nobody to detect.
        flags |= AddressFlags::Nodad;
    }
    let mut add = handle.address().add(index, ip.ip(), ip.prefix()).replace();
    add.message_mut().header.scope = scope;
    let attributes = &mut add.message_mut().attributes;
    attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    attributes.push(AddressAttribute::Flags(flags));
    add.execute().await.map_err(io_error)
}

pub(super) async fn delete_address(handle: &Handle, index: u32, ip: IpNetwork) -> io::Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = address_family(Family::of(ip.ip()));
    message.header.prefix_len = ip.prefix();
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(ip.ip()),
        AddressAttribute::Address(ip.ip()),
    ];
    absent_is_fine(handle.address().del(message).execute().await.map_err(io_error))
}

pub(super) async fn replace_forward(handle: &Handle, index: u32, entry: &Forward) -> io::Result<()> {
    let add = RouteNetlinkMessage::NewNeighbour(forward(handle, index, entry));
    request(handle, add, NLM_F_CREATE | NLM_F_REPLACE).await
}

pub(super) async fn append_forward(handle: &Handle, index: u32, entry: &Forward) -> io::Result<()> {
    let add = RouteNetlinkMessage::NewNeighbour(forward(handle, index, entry));
    present_is_fine(request(handle, add, NLM_F_CREATE | NLM_F_APPEND).await)
}

pub(super) async fn delete_forward(handle: &Handle, index: u32, entry: &Forward) -> io::Result<()> {
    let delete = RouteNetlinkMessage::DelNeighbour(forward(handle, index, entry));
    absent_is_fine(request(handle, delete, 0).await)
}

fn forward(handle: &Handle, index: u32, entry: &Forward) -> NeighbourMessage {
    let mut add = handle
        .neighbours()
        .add_bridge(index, &entry.mac.0)
        .destination(entry.to)
        .flags(NeighbourFlags::Own);
    add.message_mut().clone()
}

pub(super) async fn add_proxy(handle: &Handle, index: u32, ip: IpAddr) -> io::Result<()> {
    let add = RouteNetlinkMessage::NewNeighbour(proxy(handle, index, ip));
    request(handle, add, NLM_F_CREATE | NLM_F_REPLACE).await
}

pub(super) async fn delete_proxy(handle: &Handle, index: u32, ip: IpAddr) -> io::Result<()> {
    let delete = RouteNetlinkMessage::DelNeighbour(proxy(handle, index, ip));
    absent_is_fine(request(handle, delete, 0).await)
}

fn proxy(handle: &Handle, index: u32, ip: IpAddr) -> NeighbourMessage {
    let mut add = handle
        .neighbours()
        .add(index, ip)
        .flags(NeighbourFlags::Proxy)
        .state(NeighbourState::None);
    add.message_mut().clone()
}

pub(super) async fn replace_route(handle: &Handle, route: &Route, link: Option<u32>) -> io::Result<()> {
    let mut message = route_message(route, link);
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = match route.way {
        Way::Link { link_scope: true, .. } => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    let add = RouteNetlinkMessage::NewRoute(message);
    request(handle, add, NLM_F_CREATE | NLM_F_REPLACE).await
}

pub(super) async fn delete_route(handle: &Handle, route: &Route, link: Option<u32>) -> io::Result<()> {
    let mut message = route_message(route, link);
    // Any protocol and scope.
    message.header.protocol = RouteProtocol::Unspec;
    message.header.scope = RouteScope::NoWhere;
    absent_is_fine(request(handle, RouteNetlinkMessage::DelRoute(message), 0).await)
}

fn route_message(route: &Route, link: Option<u32>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(route.family());
    message.header.destination_prefix_length = route.destination.prefix();
    message.header.kind = match route.way {
        Way::Link { .. } => RouteType::Unicast,
        Way::Throw => RouteType::Throw,
        Way::Several(_) | Way::Other => RouteType::Unspec,
    };
    message.attributes = vec![RouteAttribute::Table(route.table)];
    if route.destination.prefix() > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(route.destination.network().into()));
    }
    if route.metric > 0 {
        message.attributes.push(RouteAttribute::Priority(route.metric));
    }
    if let Way::Link {
        gateway: Some(via), ..
    } = &route.way
    {
        message.attributes.push(RouteAttribute::Gateway((*via).into()));
    }
    message.attributes.extend(
        route
            .source
            .map(|source| RouteAttribute::PrefSource(source.into())),
    );
    message.attributes.extend(link.map(RouteAttribute::Oif));
    message
}

pub(super) async fn add_rule(handle: &Handle, rule: &Rule) -> io::Result<()> {
    // Never `replace`: the kernel would add a second one.
    let mut message = rule_message(rule);
    message
        .attributes
        .push(RuleAttribute::Protocol(RouteProtocol::Boot));
    let add = RouteNetlinkMessage::NewRule(message);
    present_is_fine(request(handle, add, NLM_F_CREATE | NLM_F_EXCL).await)
}

pub(super) async fn delete_rule(handle: &Handle, rule: &Rule) -> io::Result<()> {
    let delete = RouteNetlinkMessage::DelRule(rule_message(rule));
    absent_is_fine(request(handle, delete, 0).await)
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(rule.family);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Table(rule.table),
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::FwMark(rule.mark),
        RuleAttribute::FwMask(rule.mask),
    ];
    if let Some(source) = rule.source {
        message.header.src_len = source.prefix();
        message.attributes.push(RuleAttribute::Source(source.network()));
    }
    message
}

/// Sets a neighbour, if `flags` allow it, to what an answer on the wire would have made of it.
pub(in crate::kernel) async fn set_neighbour(
    handle: &Handle,
    index: u32,
    ip: IpAddr,
    mac: Mac,
    flags: u16,
) -> io::Result<()> {
    let mut add = handle
        .neighbours()
        .add(index, ip)
        .state(NeighbourState::Reachable)
        .kind(RouteType::Unicast)
        .link_layer_address(&mac.0);
    let message = RouteNetlinkMessage::NewNeighbour(add.message_mut().clone());
    request(handle, message, NLM_F_REPLACE | flags).await
}

/// Forgets a neighbour.
pub(in crate::kernel) async fn delete_neighbour(
    handle: &Handle,
    message: NeighbourMessage,
) -> io::Result<()> {
    debug_assert_ne!(message.header.family, AddressFamily::Bridge);
    absent_is_fine(request(handle, RouteNetlinkMessage::DelNeighbour(message), 0).await)
}
