//! Links to underlay networks (datapath spec 6.1), and the addresses that they are lent (6.4).
//!
//! The kernel asks for a neighbour from an address of the link, and some switches drop questions from addresses of
//! other ranges. So a link without an address in a range is lent that of a pod: scope link, without a prefix route,
//! and taken out of the local table, so that the node neither has the address nor speaks from it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use super::{Phase, Removals, Work};
use crate::kernel::change::{Change, LinkChange, NewVlan};
use crate::kernel::state::{Address, Kind, State, Tag};
use crate::plan::{Plan, Segment};

/// Makes the tagged links that are missing, and sets up those that are down.
pub(super) fn links(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    for (name, segment) in &plan.segments {
        let Some(vlan) = &segment.vlan else { continue };
        match state.links.get(name) {
            None => {
                work.fresh.insert(name);
                work.step(
                    Phase::Link,
                    Change::AddVlan(NewVlan {
                        name: name.clone(),
                        parent: vlan.parent.clone(),
                        id: vlan.id,
                    }),
                );
            }
            // One that became another's since the plan was made is left alone.
            Some(link) if !link.up && is_vlan(link.kind.clone(), vlan.id) => work.step(
                Phase::Link,
                Change::SetLink(LinkChange {
                    name: name.clone(),
                    up: true,
                    ..LinkChange::default()
                }),
            ),
            Some(_) => {}
        }
    }
}

fn is_vlan(kind: Kind, wanted: u16) -> bool {
    matches!(kind, Kind::Vlan(Tag { id, .. }) if id == wanted)
}

/// One address for each range that has pods here, none where the link has an address of its own, and nothing of
/// former pods.
pub(super) fn lends(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    for (link, segment) in &plan.segments {
        if !state.links.contains_key(link) && !work.fresh.contains(link.as_str()) {
            continue;
        }
        let (lent, own): (Vec<_>, Vec<_>) = state
            .addresses
            .iter()
            .filter(|held| held.link == *link && held.ip.is_ipv4())
            .partition(|held| is_lent(held, plan, state));
        let kept = keep(segment, &lent, &own);
        let mut goes: Vec<_> = lent.iter().filter(|held| !kept.contains(&held.ip)).collect();
        if work.removals == Removals::Withheld {
            goes.clear();
        }
        for held in &goes {
            take_back(work, held, &own);
        }
        for ip in &kept {
            let is_held = lent.iter().any(|held| held.ip == *ip);
            // The kernel may remove it with another of its range.
            let may_go = goes.iter().any(|held| are_of_one_range(held.ip, *ip));
            let (link, ip) = (link.clone(), *ip);
            if !is_held || may_go {
                work.step(Phase::Address, Change::LendAddress { link, ip });
            } else if is_owned(state, &link, ip.ip()) {
                // The link was set down and up: the kernel made the routes again.
                work.step(Phase::Address, Change::DisownAddress { link, ip });
            }
        }
    }
}

/// Removes what was lent. The kernel would remove an address that was added to the range since as well, and has
/// given it no route, unless it is told that the next address takes over.
fn take_back(work: &mut Work<'_>, held: &Address, own: &[&Address]) {
    let (link, ip) = (held.link.clone(), held.ip);
    if own.iter().any(|own| are_of_one_range(own.ip, ip)) {
        let promote = Change::Sysctl {
            path: format!("net/ipv4/conf/{link}/promote_secondaries"),
            value: "1".into(),
        };
        work.step(Phase::Sysctl, promote);
    }
    work.step(Phase::Address, Change::DeleteAddress { link, ip });
}

fn are_of_one_range(one: IpNetwork, other: IpNetwork) -> bool {
    one.network() == other.network() && one.prefix() == other.prefix()
}

/// What the link shall be lent: in each range what it is lent already, if a pod here has it.
fn keep(segment: &Segment, lent: &[&Address], own: &[&Address]) -> BTreeSet<IpNetwork> {
    let mut kept = BTreeSet::new();
    for (range, pods) in &segment.lends {
        if own.iter().any(|held| range.contains(held.ip.ip())) {
            continue;
        }
        let with_length = |pod: &Ipv4Addr| IpNetwork::new(IpAddr::V4(*pod), range.prefix()).ok();
        let wanted: BTreeSet<_> = pods.iter().filter_map(with_length).collect();
        let held = lent.iter().map(|held| held.ip).find(|ip| wanted.contains(ip));
        kept.extend(held.or_else(|| wanted.first().copied()));
    }
    kept
}

/// Whether an address is one that a link was lent, by us or by the Go project's daemon, which knows one by the
/// absence of its local route. That comes back when the link was down; then the address is still one that only a
/// pod has, with the length of its range.
fn is_lent(held: &Address, plan: &Plan, state: &State) -> bool {
    let is_pods = || {
        plan.pod_ranges
            .iter()
            .any(|pods| pods.range.prefix() == held.ip.prefix() && pods.contains(held.ip.ip()))
    };
    !held.global_scope && held.no_prefix_route && (!is_owned(state, &held.link, held.ip.ip()) || is_pods())
}

fn is_owned(state: &State, link: &str, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => state.owned.contains(&(link.to_owned(), v4)),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests;
