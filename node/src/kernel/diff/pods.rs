//! Host ends of pods: what the CNI ADD set up and somebody may have disturbed since (datapath spec 2.7, 4.4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Phase, Work, routes, sysctls};
use crate::kernel::change::{Change, LinkChange};
use crate::kernel::names::{GATEWAY_V6, HOST_END, METRIC_V6};
use crate::kernel::state::{Family, Kind, Route, Way};
use crate::plan::{HostEnd, Sysctl};

/// Repairs links that exist. Nothing is taken away: the kernel removes a pod's routes with its link.
pub(super) fn diff(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    let mut seen = BTreeSet::new();
    for (name, end) in &plan.pods {
        let Some(link) = state.links.get(name).filter(|link| link.kind == Kind::Veth) else {
            continue;
        };
        let change = LinkChange {
            name: name.clone(),
            mac: (link.mac != Some(HOST_END)).then_some(HOST_END),
            mtu: None,
            up: !link.up,
        };
        if !change.is_empty() {
            work.step(Phase::Pod, Change::SetLink(change));
        }
        sysctls::compare(work, Phase::Pod, &sysctls(name, end));
        let gateway = IpAddr::from(GATEWAY_V6);
        if has(end, Family::V6) && !state.proxies.contains(&(name.clone(), gateway)) {
            work.step(
                Phase::Pod,
                Change::AddProxy {
                    link: name.clone(),
                    ip: gateway,
                },
            );
        }
        for ip in end.addresses.iter().filter(|ip| seen.insert(**ip)) {
            let wanted = route(plan.numbers.local_direct, name, *ip);
            if !state
                .table(wanted.family(), wanted.table)
                .any(|held| routes::same(&wanted, held))
            {
                work.step(Phase::Pod, Change::ReplaceRoute(wanted));
            }
        }
    }
}

/// What the sysctls of a host end must say: answer for the gateway, forward, and believe no advertisement
/// of a pod.
pub(in crate::kernel) fn sysctls(name: &str, end: &HostEnd) -> BTreeMap<String, Sysctl> {
    let mut wanted = BTreeMap::new();
    let mut set = |path: String, value: &str| {
        wanted.insert(path, Sysctl::Exactly(value.to_owned()));
    };
    if has(end, Family::V4) {
        set(format!("net/ipv4/conf/{name}/rp_filter"), "0");
        set(format!("net/ipv4/conf/{name}/proxy_arp"), "1");
        set(format!("net/ipv4/conf/{name}/route_localnet"), "1");
        set(format!("net/ipv4/conf/{name}/forwarding"), "1");
        set(format!("net/ipv4/neigh/{name}/proxy_delay"), "0");
    }
    if has(end, Family::V6) {
        // The gateway is the link's own address: unusable until it is known to be unique, which it is.
        set(format!("net/ipv6/conf/{name}/accept_dad"), "0");
        set(format!("net/ipv6/conf/{name}/accept_ra"), "0");
        set(format!("net/ipv6/conf/{name}/forwarding"), "1");
        set(format!("net/ipv6/conf/{name}/proxy_ndp"), "1");
        set(format!("net/ipv6/neigh/{name}/proxy_delay"), "0");
    }
    wanted
}

/// The way to a pod of this node.
pub(in crate::kernel) fn route(table: u32, link: &str, ip: IpAddr) -> Route {
    Route {
        table,
        destination: IpNetwork::from(ip),
        way: Way::Link {
            name: link.to_owned(),
            gateway: None,
            link_scope: false,
        },
        metric: if ip.is_ipv6() { METRIC_V6 } else { 0 },
        source: None,
        advertised: false,
    }
}

fn has(end: &HostEnd, family: Family) -> bool {
    end.addresses.iter().any(|ip| Family::of(*ip) == family)
}
