//! A small model of the kernel, for tests: what a step does to a state, its refusals and its side effects
//! included.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::kernel::change::{Change, NewTunnel, NewVlan};
use crate::kernel::state::{Address, Forward, Kind, Link, Replication, Route, Rule, State, Tag, Tunnel, Way};

pub(super) fn take_all(state: &State, changes: &[Change]) -> State {
    let mut state = state.clone();
    for change in changes {
        take(&mut state, change);
    }
    state
}

fn take(state: &mut State, change: &Change) {
    match change {
        Change::Sysctl { path, value } => {
            state.sysctls.insert(path.clone(), value.clone());
        }
        Change::AddTunnel(new) => add_tunnel(state, new),
        Change::AddVlan(new) => add_vlan(state, new),
        Change::DeleteLink { name } => delete_link(state, name),
        Change::SetLink(change) => {
            if let Some(link) = state.links.get_mut(&change.name) {
                link.mac = change.mac.or(link.mac);
                link.mtu = change.mtu.unwrap_or(link.mtu);
                link.up |= change.up;
            }
        }
        Change::SetLocal { name, local, .. } => {
            if let Some(Link {
                kind: Kind::Vxlan(tunnel),
                ..
            }) = state.links.get_mut(name)
            {
                tunnel.local = Some(*local);
            }
        }
        Change::InstallFilter { link } => {
            if state.links.contains_key(link) {
                state.replication = Replication::Filtered;
            }
        }
        Change::AddAddress { .. } | Change::DeleteAddress { .. } => addresses(state, change),
        Change::LendAddress { link, ip } => {
            lend(state, link, *ip);
            disown(state, link, *ip);
        }
        Change::DisownAddress { link, ip } => disown(state, link, *ip),
        Change::ReplaceForward(entry) => replace_forward(state, entry),
        Change::AppendForward(entry) => {
            state.forwards.insert(entry.clone());
        }
        Change::DeleteForward(entry) => {
            state.forwards.remove(entry);
        }
        Change::AddProxy { link, ip } => {
            if state.links.contains_key(link) {
                state.proxies.insert((link.clone(), *ip));
            }
        }
        Change::DeleteProxy { link, ip } => {
            state.proxies.remove(&(link.clone(), *ip));
        }
        Change::ReplaceRoute(route) => replace_route(state, route),
        Change::DeleteRoute(route) => {
            if let Some(at) = state.routes.iter().position(|held| is_hit(held, route)) {
                state.routes.remove(at);
            }
        }
        Change::AddRule(rule) => add_rule(state, rule),
        Change::DeleteRule(rule) => delete_rule(state, rule),
    }
}

fn add_tunnel(state: &mut State, new: &NewTunnel) {
    let Some(parent) = state.links.get(&new.parent).map(|link| link.index) else {
        return;
    };
    let clash = state.links.values().any(|link| match &link.kind {
        Kind::Vxlan(tunnel) => tunnel.vni == new.vni && tunnel.port == new.port,
        _ => false,
    });
    if clash || state.links.contains_key(&new.name) {
        return;
    }
    let index = state.links.values().map(|link| link.index).max().unwrap_or(0) + 1;
    let kind = Kind::Vxlan(Tunnel {
        vni: new.vni,
        port: new.port,
        parent,
        local: Some(new.local),
        strange: false,
    });
    state.links.insert(
        new.name.clone(),
        Link {
            index,
            mac: Some(new.mac),
            mtu: new.mtu,
            up: true,
            kind,
        },
    );
}

fn add_vlan(state: &mut State, new: &NewVlan) {
    let Some(parent) = state.links.get(&new.parent).cloned() else {
        return;
    };
    let kind = Kind::Vlan(Tag {
        id: new.id,
        parent: parent.index,
    });
    if state.links.contains_key(&new.name) || state.links.values().any(|link| link.kind == kind) {
        return;
    }
    let index = state.links.values().map(|link| link.index).max().unwrap_or(0) + 1;
    let link = Link {
        index,
        up: true,
        kind,
        ..parent
    };
    state.links.insert(new.name.clone(), link);
}

fn delete_link(state: &mut State, name: &str) {
    state.links.remove(name);
    state.addresses.retain(|address| address.link != name);
    state.forwards.retain(|entry| entry.link != name);
    state.proxies.retain(|(link, _)| link != name);
    state
        .routes
        .retain(|route| !matches!(&route.way, Way::Link { name: link, .. } if link == name));
    state
        .sysctls
        .retain(|path, _| !path.split('/').any(|part| part == name));
}

fn addresses(state: &mut State, change: &Change) {
    match change {
        Change::AddAddress { link, ip } if state.links.contains_key(link) => {
            let held = state.addresses.iter_mut().find(|held| {
                held.link == *link && (held.ip == *ip || ip.is_ipv6() && held.ip.ip() == ip.ip())
            });
            match held {
                Some(held) => held.no_prefix_route |= ip.is_ipv6(),
                None => state.addresses.push(Address {
                    link: link.clone(),
                    ip: *ip,
                    global_scope: true,
                    no_prefix_route: true,
                    unfit: false,
                }),
            }
        }
        Change::DeleteAddress { link, ip } => {
            let same_prefix = |held: &Address| {
                held.link == *link && held.ip.network() == ip.network() && held.ip.prefix() == ip.prefix()
            };
            let is_primary = state
                .addresses
                .iter()
                .find(|held| same_prefix(held))
                .map(|held| held.ip)
                == Some(*ip);
            let promotes = format!("net/ipv4/conf/{link}/promote_secondaries");
            let promotes = state.sysctls.get(&promotes).is_some_and(|value| value == "1");
            if ip.is_ipv4() && is_primary && !promotes {
                state.addresses.retain(|held| !same_prefix(held));
            } else {
                state
                    .addresses
                    .retain(|held| !(held.link == *link && held.ip == *ip));
            }
            let held = &state.addresses;
            state.owned.retain(|(link, v4)| {
                held.iter()
                    .any(|held| held.link == *link && held.ip.ip() == IpAddr::V4(*v4))
            });
        }
        _ => {}
    }
}

fn lend(state: &mut State, link: &str, ip: IpNetwork) {
    let is_it = |held: &Address| held.link == link && held.ip == ip;
    if state.links.contains_key(link) && !state.addresses.iter().any(is_it) {
        state.addresses.push(Address {
            link: link.to_owned(),
            ip,
            global_scope: false,
            no_prefix_route: true,
            unfit: false,
        });
    }
}

fn disown(state: &mut State, link: &str, ip: IpNetwork) {
    state
        .owned
        .retain(|(on, v4)| on != link || IpAddr::V4(*v4) != ip.ip());
}

fn replace_forward(state: &mut State, entry: &Forward) {
    let of_mac = |held: &&Forward| held.link == entry.link && held.mac == entry.mac;
    if state.forwards.contains(entry) {
        return;
    }
    if let Some(first) = state.forwards.iter().find(of_mac).cloned() {
        state.forwards.remove(&first);
    }
    state.forwards.insert(entry.clone());
}

fn replace_route(state: &mut State, route: &Route) {
    if let Way::Link { name, .. } = &route.way
        && !state.links.get(name).is_some_and(|link| link.up)
    {
        return;
    }
    let key = |held: &Route| (held.table, held.destination, held.metric);
    match state.routes.iter_mut().find(|held| key(held) == key(route)) {
        Some(held) => *held = route.clone(),
        None => state.routes.push(route.clone()),
    }
}

fn is_hit(held: &Route, named: &Route) -> bool {
    let way = match &named.way {
        Way::Link { name, gateway, .. } => {
            matches!(&held.way, Way::Link { name: link, gateway: via, .. } if link == name && via == gateway)
        }
        _ => true,
    };
    held.table == named.table
        && held.destination == named.destination
        && (named.metric == 0 || held.metric == named.metric)
        && way
}

fn add_rule(state: &mut State, rule: &Rule) {
    if !state.rules.contains(rule) {
        let behind = |held: &Rule| held.family == rule.family && held.priority > rule.priority;
        let at = state.rules.iter().position(behind).unwrap_or(state.rules.len());
        state.rules.insert(at, rule.clone());
    }
}

fn delete_rule(state: &mut State, rule: &Rule) {
    let hit = |held: &Rule| {
        held.family == rule.family
            && held.priority == rule.priority
            && held.table == rule.table
            && (rule.source.is_none() || rule.source == held.source)
            && (rule.mark == 0 || rule.mark == held.mark)
            && (rule.mask == 0 || rule.mask == held.mask)
    };
    if let Some(at) = state.rules.iter().position(hit) {
        state.rules.remove(at);
    }
}
