//! Reads what the kernel holds into a [`State`].

pub(super) mod parse;

use std::collections::BTreeMap;
use std::io;

use futures::TryStreamExt;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourMessage};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use parse::Names;
use rtnetlink::Handle;

use super::state::{Family, Link, State};
use super::wire;

/// What of the kernel could not be read.
#[derive(Debug, thiserror::Error)]
#[error("list of {what}: {source}")]
pub struct DumpError {
    /// `links`, `routes`, …
    what: &'static str,
    source: io::Error,
}

impl DumpError {
    pub(super) fn new(what: &'static str, source: io::Error) -> Self {
        Self { what, source }
    }
}

/// Everything that comes by netlink: all but sysctls and the replication filter.
pub(super) async fn netlink(handle: &Handle) -> Result<State, DumpError> {
    // Links first: the others name them.
    let mut state = State {
        links: links_of(handle).await?,
        ..State::default()
    };
    let names: Names = state
        .links
        .iter()
        .map(|(name, link)| (link.index, name.clone()))
        .collect();
    for message in list(
        handle,
        "addresses",
        RouteNetlinkMessage::GetAddress(AddressMessage::default()),
    )
    .await?
    {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            state.addresses.extend(parse::address(&message, &names));
        }
    }
    for message in list(
        handle,
        "forwarding entries",
        neighbours(AddressFamily::Bridge, false),
    )
    .await?
    {
        if let RouteNetlinkMessage::NewNeighbour(message) = message {
            state.forwards.extend(parse::forward(&message, &names, &state));
        }
    }
    for message in list(
        handle,
        "proxy neighbours",
        neighbours(AddressFamily::Unspec, true),
    )
    .await?
    {
        if let RouteNetlinkMessage::NewNeighbour(message) = message {
            state.proxies.extend(parse::proxy(&message, &names));
        }
    }
    for family in Family::ALL {
        for message in list(handle, "routes", routes(family)).await? {
            if let RouteNetlinkMessage::NewRoute(message) = message {
                state.owned.extend(parse::owned(&message, &names));
                state.routes.extend(parse::route(&message, &names, family));
            }
        }
        for message in list(handle, "policy rules", rules(family)).await? {
            if let RouteNetlinkMessage::NewRule(message) = message {
                state.rules.extend(parse::rule(&message, family));
            }
        }
    }
    Ok(state)
}

/// All links, by name.
pub(super) async fn links_of(handle: &Handle) -> Result<BTreeMap<String, Link>, DumpError> {
    let mut found = BTreeMap::new();
    for message in list(handle, "links", links()).await? {
        if let RouteNetlinkMessage::NewLink(message) = message {
            found.extend(parse::link(&message));
        }
    }
    Ok(found)
}

/// One link by its number, if it exists and can be read.
pub(super) async fn link(handle: &Handle, index: u32) -> Option<(String, Link)> {
    let message = handle.link().get().match_index(index).execute().try_next().await;
    parse::link(&message.ok()??)
}

async fn list(
    handle: &Handle,
    what: &'static str,
    request: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, DumpError> {
    wire::dump(handle, request)
        .await
        .map_err(|source| DumpError::new(what, source))
}

fn links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

pub(super) fn neighbours(family: AddressFamily, proxies: bool) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    if proxies {
        message.header.flags = NeighbourFlags::Proxy;
    }
    RouteNetlinkMessage::GetNeighbour(message)
}

fn routes(family: Family) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    RouteNetlinkMessage::GetRoute(message)
}

fn rules(family: Family) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    RouteNetlinkMessage::GetRule(message)
}

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
