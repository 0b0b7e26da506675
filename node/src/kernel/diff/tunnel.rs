//! The VXLAN link (datapath spec 5.1) and its addresses.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;

use super::{Phase, Removals, Work};
use crate::kernel::change::{Change, LinkChange, NewTunnel};
use crate::kernel::names::{VXLAN_INFIX, is_global_unicast};
use crate::kernel::state::{Address, Kind, Link, Replication, State, Tunnel};
use crate::plan::Vxlan;

/// What is to be done with the link that has the wanted name.
enum Verdict {
    Keep,
    Replace,
    Make,
}

/// Makes the link, or corrects it in place. It is made anew only if the kernel offers no other way: all that
/// is on it goes with it.
pub(super) fn link(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    let Some(wanted) = &plan.vxlan else { return };
    match verdict(wanted, state, work.removals) {
        Verdict::Keep => correct(work, wanted),
        Verdict::Replace => {
            delete(work, Phase::InTheWay, &wanted.name);
            make(work, wanted);
        }
        Verdict::Make => make(work, wanted),
    }
    filter(work, wanted);
    retire_others(work, wanted);
}

fn verdict(wanted: &Vxlan, state: &State, removals: Removals) -> Verdict {
    let Some(link) = state.links.get(&wanted.name) else {
        return Verdict::Make;
    };
    match &link.kind {
        Kind::Vxlan(tunnel) if fits(wanted, tunnel, state) => Verdict::Keep,
        // With half-known networks a wrong link is better than none.
        Kind::Vxlan(_) if removals == Removals::Withheld => Verdict::Keep,
        Kind::Vxlan(_) => Verdict::Replace,
        // Somebody else's: making ours will fail and say so.
        _ => Verdict::Make,
    }
}

/// Whether the kernel can turn this link into the wanted one.
fn fits(wanted: &Vxlan, tunnel: &Tunnel, state: &State) -> bool {
    let parent = state.links.get(&wanted.parent).map(|link| link.index);
    let same_family = tunnel
        .local
        .is_none_or(|local| local.is_ipv4() == wanted.local.is_ipv4());
    tunnel.vni == wanted.vni
        && tunnel.port == wanted.port
        // A parent that is away may come back.
        && parent.is_none_or(|parent| parent == tunnel.parent)
        && same_family
        && !tunnel.strange
}

fn make<'a>(work: &mut Work<'a>, wanted: &'a Vxlan) {
    // The kernel refuses a second link with the same identifier and port.
    let state = work.state;
    for (name, _) in ours(state).filter(|(name, tunnel)| *name != wanted.name && clashes(wanted, tunnel)) {
        if work.removals == Removals::Allowed {
            delete(work, Phase::InTheWay, name);
        }
    }
    work.fresh.insert(&wanted.name);
    work.step(
        Phase::Link,
        Change::AddTunnel(NewTunnel {
            name: wanted.name.clone(),
            parent: wanted.parent.clone(),
            vni: wanted.vni,
            port: wanted.port,
            mac: wanted.mac,
            local: wanted.local,
            mtu: wanted.mtu,
        }),
    );
}

fn correct(work: &mut Work<'_>, wanted: &Vxlan) {
    let Some((link, tunnel)) = work.state.tunnel(&wanted.name) else {
        return;
    };
    if tunnel.local != Some(wanted.local) {
        work.step(
            Phase::Link,
            Change::SetLocal {
                name: wanted.name.clone(),
                vni: tunnel.vni,
                local: wanted.local,
            },
        );
    }
    let change = LinkChange {
        name: wanted.name.clone(),
        mac: (link.mac != Some(wanted.mac)).then_some(wanted.mac),
        mtu: (link.mtu != wanted.mtu).then_some(wanted.mtu),
        up: !link.up,
    };
    if !change.is_empty() {
        work.step(Phase::Link, Change::SetLink(change));
    }
}

fn filter(work: &mut Work<'_>, wanted: &Vxlan) {
    let missing = work.state.replication == Replication::Missing || !work.holds(&wanted.name);
    if missing && work.state.replication != Replication::Unsupported {
        work.step(
            Phase::Filter,
            Change::InstallFilter {
                link: wanted.name.clone(),
            },
        );
    }
}

/// Links of an overlay that is no longer: another identifier, or another parent.
fn retire_others(work: &mut Work<'_>, wanted: &Vxlan) {
    let state = work.state;
    for (name, _) in ours(state) {
        if name != wanted.name && !work.gone.contains(name) {
            work.removal(
                Phase::OldLink,
                Change::DeleteLink {
                    name: name.to_owned(),
                },
            );
        }
    }
}

fn delete<'a>(work: &mut Work<'a>, phase: Phase, name: &'a str) {
    work.gone.insert(name);
    work.step(
        phase,
        Change::DeleteLink {
            name: name.to_owned(),
        },
    );
}

/// Tunnels that are recognised as overlays by their names.
fn ours(state: &State) -> impl Iterator<Item = (&str, &Tunnel)> {
    state.links.iter().filter_map(|(name, link)| match link {
        Link {
            kind: Kind::Vxlan(tunnel),
            ..
        } if name.contains(VXLAN_INFIX) => Some((name.as_str(), tunnel)),
        _ => None,
    })
}

fn clashes(wanted: &Vxlan, tunnel: &Tunnel) -> bool {
    tunnel.vni == wanted.vni && tunnel.port == wanted.port
}

/// The node's addresses on the link, so that other nodes reach them through the tunnel. What is there and
/// is not of link scope is ours.
pub(super) fn addresses(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    let Some(wanted) = &plan.vxlan else { return };
    let held: Vec<_> = state
        .addresses
        .iter()
        .filter(|held| held.link == wanted.name && work.holds(&held.link) && is_global_unicast(held.ip.ip()))
        .collect();
    let delete = |ip| Change::DeleteAddress {
        link: wanted.name.clone(),
        ip,
    };
    let add = |ip| Change::AddAddress {
        link: wanted.name.clone(),
        ip,
    };
    let mut removed = BTreeSet::new();
    for ip in &wanted.addresses {
        if held.iter().any(|held| held.ip == *ip && held.no_prefix_route) {
            continue;
        }
        // The flag cannot be added later, and IPv6 has an address once, whatever its prefix length.
        let in_the_way = |held: &&&Address| held.ip == *ip || (ip.is_ipv6() && held.ip.ip() == ip.ip());
        for held in held.iter().filter(in_the_way) {
            removed.insert(held.ip);
            work.step(Phase::Address, delete(held.ip));
        }
        work.step(Phase::Address, add(*ip));
    }
    for held in held {
        let surplus = !wanted.addresses.contains(&held.ip) && work.removals == Removals::Allowed;
        if surplus && removed.insert(held.ip) {
            work.step(Phase::Old, delete(held.ip));
        }
    }
    // An IPv4 address may take others of its prefix with it (`promote_secondaries` is off by default): say
    // again which ones stay.
    let shares_prefix = |ip: &IpNetwork, removed: &IpNetwork| {
        ip.is_ipv4() && ip != removed && ip.network() == removed.network() && ip.prefix() == removed.prefix()
    };
    for ip in &wanted.addresses {
        if removed.iter().any(|removed| shares_prefix(ip, removed)) {
            work.step(Phase::Restore, add(*ip));
        }
    }
}
