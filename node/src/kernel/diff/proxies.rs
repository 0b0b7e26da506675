//! Addresses that this node answers neighbour queries for (datapath spec 5.4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Phase, Work};
use crate::kernel::change::Change;

/// The VXLAN link holds exactly what the plan says. On links to underlay networks, with or without pods, entries for
/// addresses that only pods have are ours, and those of other addresses and other links somebody else's.
pub(super) fn diff(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    for (link, addresses) in &plan.proxy_neighbours {
        if !work.fresh.contains(link.as_str()) && !state.links.contains_key(link) {
            continue;
        }
        for ip in addresses {
            if !(work.holds(link) && state.proxies.contains(&(link.clone(), *ip))) {
                work.step(
                    Phase::Proxy,
                    Change::AddProxy {
                        link: link.clone(),
                        ip: *ip,
                    },
                );
            }
        }
    }
    let mut whole: BTreeSet<&str> = plan.proxy_neighbours.keys().map(String::as_str).collect();
    whole.extend(plan.vxlan.iter().map(|tunnel| tunnel.name.as_str()));
    let is_ours = |link: &str, ip: IpAddr| {
        if plan.segments.contains_key(link) {
            plan.pod_ranges.iter().any(|pods| pods.contains(ip))
        } else {
            whole.contains(link)
        }
    };
    for (link, ip) in &state.proxies {
        let wanted = plan
            .proxy_neighbours
            .get(link)
            .is_some_and(|addresses| addresses.contains(ip));
        if is_ours(link, *ip) && work.holds(link) && !wanted {
            work.removal(
                Phase::Old,
                Change::DeleteProxy {
                    link: link.clone(),
                    ip: *ip,
                },
            );
        }
    }
}
