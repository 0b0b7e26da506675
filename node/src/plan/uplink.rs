//! Which link of this machine leads to the others (datapath spec 3.2), and which addresses are the host's.

use std::net::IpAddr;

use kube::ResourceExt;

use crate::kernel::names::is_global_unicast;
use crate::view::{Address, Link, View};

/// Why there is no such link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoUplink {
    #[error("none of the links of --{flag}={} exists: name one that does", .names.join(","))]
    Preferred { flag: &'static str, names: Vec<String> },
    #[error("both ipv4 and ipv6 default gateway not found: name a link by --{flag}")]
    DefaultRoute { flag: &'static str },
}

/// The first preferred link that exists, else that of the default route. While there is none (a router that
/// restarts, a lease that is renewed) the link that has the published address stays.
pub(super) fn choose<'a>(
    view: &'a View,
    flag: &'static str,
    wanted: &[String],
) -> Result<&'a Link, NoUplink> {
    if !wanted.is_empty() {
        let found = wanted.iter().find_map(|name| view.machine.link(name));
        return found.ok_or_else(|| NoUplink::Preferred {
            flag,
            names: wanted.to_vec(),
        });
    }
    let routes = &view.machine.default_routes;
    let best = |ipv6| {
        routes
            .iter()
            .filter(|route| route.ipv6 == ipv6)
            .min_by_key(|route| route.metric)
    };
    let published = published(view);
    let by_route = best(false).or_else(|| best(true)).map(|route| &route.link);
    let by_address = || {
        Some(
            &host_addresses(view)
                .find(|address| Some(address.ip.ip()) == published)?
                .link,
        )
    };
    by_route
        .or_else(by_address)
        .and_then(|name| view.machine.link(name))
        .ok_or(NoUplink::DefaultRoute { flag })
}

/// Global addresses of the host's links, in the kernel's order. Those of the tunnel are copies, and what a link
/// was lent of a pod's has the scope of the link.
pub(super) fn host_addresses(view: &View) -> impl Iterator<Item = &Address> {
    let is_host = |name: &str| {
        view.machine
            .link(name)
            .is_some_and(|link| !link.is_of_container() && !link.is_overlay())
    };
    view.machine
        .addresses
        .iter()
        .filter(|address| address.global_scope && (address.ip.is_ipv4() || view.machine.ipv6_usable))
        .filter(move |address| is_global_unicast(address.ip.ip()) && is_host(&address.link))
}

/// What the others know as the end of our tunnel.
pub(super) fn published(view: &View) -> Option<IpAddr> {
    let own = view.node_infos.iter().find(|info| info.name_any() == view.node)?;
    own.spec.vtep_info.as_ref()?.ip.parse().ok()
}
