//! Addresses that this node answers neighbour queries for (datapath spec 5.4).

use std::collections::BTreeSet;

use super::{Phase, Work};
use crate::kernel::change::Change;

/// Links that the plan names, and the VXLAN link, hold exactly what the plan says. Entries of other links
/// belong to pods or to somebody else.
pub(super) fn diff(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    for (link, addresses) in &plan.proxy_neighbours {
        if work.fresh != Some(link) && !state.links.contains_key(link) {
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
    let mut swept: BTreeSet<&str> = plan.proxy_neighbours.keys().map(String::as_str).collect();
    swept.extend(plan.vxlan.iter().map(|tunnel| tunnel.name.as_str()));
    for (link, ip) in &state.proxies {
        let wanted = plan
            .proxy_neighbours
            .get(link)
            .is_some_and(|addresses| addresses.contains(ip));
        if swept.contains(link.as_str()) && work.holds(link) && !wanted {
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
