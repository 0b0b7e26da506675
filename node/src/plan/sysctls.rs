//! What the kernel must be told besides (datapath spec 3.4, 5.1). What only the first network namespace has
//! is passed over by the kernel part, elsewhere it is not ours to set.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use super::Sysctl;
use super::underlay::Underlay;
use crate::view::{LinkKind, View};

/// All of them, by path.
#[derive(Debug, Default)]
pub(super) struct Sysctls(BTreeMap<String, Sysctl>);

pub(super) fn of(view: &View, overlay_link: Option<&str>, underlay: &Underlay) -> BTreeMap<String, Sysctl> {
    let mut sysctls = Sysctls::default();
    sysctls.forwarding(view);
    sysctls.thresholds(view);
    if let Some(link) = overlay_link {
        sysctls.overlay(view, link);
    }
    for (link, ranges) in &underlay.here {
        sysctls.segment(link, ranges);
    }
    sysctls.0
}

impl Sysctls {
    fn forwarding(&mut self, view: &View) {
        self.set("net/ipv4/ip_forward".into(), 1);
        self.set("net/ipv4/conf/all/arp_filter".into(), 0);
        // Pods' packets come and go by different links.
        for name in ["all", "default"].into_iter().chain(host_links(view)) {
            self.set(format!("net/ipv4/conf/{name}/rp_filter"), 0);
        }
        if !view.machine.ipv6_usable {
            return;
        }
        self.set("net/ipv6/conf/all/forwarding".into(), 1);
        // A router ignores advertisements unless told otherwise: the node would lose its own default route.
        for route in view
            .machine
            .default_routes
            .iter()
            .filter(|route| route.ipv6 && route.from_advertisement)
        {
            self.set(format!("net/ipv6/conf/{}/accept_ra", route.link), 2);
        }
    }

    fn thresholds(&mut self, view: &View) {
        let settings = &view.settings;
        for family in families(view) {
            for (number, threshold) in (1..).zip(settings.neighbour_thresholds) {
                self.raise(format!("net/{family}/neigh/default/gc_thresh{number}"), threshold);
            }
        }
        if view.machine.ipv6_usable {
            self.raise("net/ipv6/route/max_size".into(), settings.ipv6_route_max_size);
            self.raise("net/ipv6/route/gc_thresh".into(), settings.ipv6_route_gc_thresh);
        }
    }

    fn overlay(&mut self, view: &View, link: &str) {
        let reachable = view.settings.base_reachable_time.as_millis();
        self.set(format!("net/ipv4/conf/{link}/rp_filter"), 0);
        for family in families(view) {
            // The first question for a neighbour comes to us.
            self.set(format!("net/{family}/neigh/{link}/app_solicit"), 1);
            self.set(
                format!("net/{family}/neigh/{link}/base_reachable_time_ms"),
                reachable,
            );
        }
        if view.machine.ipv6_usable {
            self.set(format!("net/ipv6/conf/{link}/accept_ra"), 0);
            self.set(format!("net/ipv6/conf/{link}/proxy_ndp"), 1);
        }
    }

    /// The kernel answers for the neighbours it is told to only where it forwards (datapath spec 6.2).
    fn segment(&mut self, link: &str, ranges: &BTreeSet<IpNetwork>) {
        self.set(format!("net/ipv4/conf/{link}/rp_filter"), 0);
        if ranges.iter().any(IpNetwork::is_ipv4) {
            self.set(format!("net/ipv4/conf/{link}/forwarding"), 1);
        }
        if ranges.iter().any(IpNetwork::is_ipv6) {
            self.set(format!("net/ipv6/conf/{link}/forwarding"), 1);
            self.set(format!("net/ipv6/conf/{link}/proxy_ndp"), 1);
        }
    }

    fn set(&mut self, path: String, value: impl ToString) {
        self.0.insert(path, Sysctl::Exactly(value.to_string()));
    }

    fn raise(&mut self, path: String, least: u64) {
        self.0.insert(path, Sysctl::AtLeast(least));
    }
}

fn families(view: &View) -> impl Iterator<Item = &'static str> + use<> {
    let ipv6 = view.machine.ipv6_usable;
    ["ipv4", "ipv6"]
        .into_iter()
        .filter(move |family| ipv6 || *family == "ipv4")
}

/// Links of the host that packets of pods may use.
fn host_links(view: &View) -> impl Iterator<Item = &str> {
    view.machine
        .links
        .iter()
        .filter(|link| !link.is_of_container() && link.kind != LinkKind::Loopback)
        .map(|link| link.name.as_str())
}
