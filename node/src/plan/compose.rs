//! From a view to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::NodeInfo;
use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::networks::{self, Carrier, Ranges};
use super::overlay::{self, Overlay};
use super::pods::{self, Pods};
use super::underlay::{self, Underlay};
use super::{Plan, sysctls};
use crate::firewall::Ruleset;
use crate::mac::Mac;
use crate::view::View;

/// Decides everything. The same view, with its lists in any order but that of the kernel's, gives the same plan.
#[must_use]
pub fn plan(view: &View) -> Plan {
    let mut problems = networks::not_served(view);
    let ranges = networks::ranges(view, &mut problems);
    let overlay =
        networks::overlay(view, &mut problems).map(|network| overlay::of(view, &network, &mut problems));
    let pods = pods::of(view, &mut problems);
    let link = overlay.as_ref().and_then(|overlay| overlay.link.clone());
    let underlay = underlay::of(view, &ranges, &pods, link.as_deref(), &mut problems);
    let firewall = ruleset(view, &ranges, overlay.as_ref(), &underlay, &pods);
    let mut tables = match link.as_deref() {
        Some(link) => overlay::tables(link, &ranges, view.machine.ipv6_usable),
        None if networks::none_is_overlay(view) => overlay::no_tables(),
        None => BTreeMap::new(),
    };
    let mut paths = overlay
        .as_ref()
        .and_then(|overlay| overlay.vxlan.as_ref())
        .map(|vxlan| overlay::paths(vxlan, &ranges, view.machine.ipv6_usable))
        .unwrap_or_default();
    let mut proxy_neighbours: BTreeMap<_, _> = link
        .iter()
        .map(|link| (link.clone(), pods.addresses.clone()))
        .collect();
    let sysctls = sysctls::of(view, link.as_deref(), &underlay);
    let subnets = ranges.known.difference(&underlay.elsewhere).copied().collect();
    tables.extend(underlay.tables);
    paths.extend(underlay.paths);
    proxy_neighbours.extend(underlay.proxies);
    problems.sort_by(|a, b| (&a.about, &a.message).cmp(&(&b.about, &b.message)));
    Plan {
        numbers: view.settings.tables,
        tables,
        paths,
        subnets,
        segments: underlay.segments,
        pod_ranges: underlay.pod_ranges,
        proxy_neighbours,
        sysctls,
        pods: pods.host_ends,
        vxlan: overlay.and_then(|overlay| overlay.vxlan),
        firewall,
        problems,
    }
}

fn ruleset(
    view: &View,
    ranges: &Ranges,
    overlay: Option<&Overlay>,
    underlay: &Underlay,
    pods: &Pods,
) -> Ruleset {
    let vxlan = overlay.and_then(|overlay| overlay.vxlan.as_ref());
    let planned = vxlan.map(|vxlan| vxlan.addresses.iter().map(IpNetwork::ip).collect());
    let own: BTreeSet<IpAddr> = planned.unwrap_or_else(|| {
        // What others reach us by as long as we cannot say better.
        view.node_infos
            .iter()
            .filter(|info| info.name_any() == view.node)
            .flat_map(|info| local_ips(info))
            .collect()
    });
    let others = view.node_infos.iter().filter(|info| info.name_any() != view.node);
    Ruleset {
        vxlan: overlay.and_then(|overlay| overlay.link.clone()),
        overlay: ranges
            .carried_by(Carrier::Overlay)
            .map(|(cidr, _)| cidr)
            .collect(),
        underlay: ranges
            .carried_by(Carrier::Underlay)
            .map(|(cidr, _)| cidr)
            .collect(),
        nodes: others
            .flat_map(|info| local_ips(info))
            .chain(own.iter().copied())
            .collect(),
        own,
        local_pods: pods.addresses.clone(),
        local_underlay: guards(underlay),
    }
}

/// What comes in by any of our segments for any of our underlay ranges is for a pod that is here, or goes round.
fn guards(underlay: &Underlay) -> BTreeMap<String, BTreeSet<IpNetwork>> {
    let all: BTreeSet<_> = underlay.here.values().flatten().copied().collect();
    let links = underlay.here.keys();
    links.map(|link| (link.clone(), all.clone())).collect()
}

/// The addresses of a node whose tunnel end is complete (datapath spec 8.2, `HYBR-NODE-IP`).
fn local_ips(info: &NodeInfo) -> impl Iterator<Item = IpAddr> + '_ {
    info.spec
        .vtep_info
        .iter()
        .filter(|vtep| vtep.ip.parse::<IpAddr>().is_ok() && vtep.mac.parse::<Mac>().is_ok())
        .flat_map(|vtep| &vtep.local_ips)
        .filter_map(|ip| ip.parse().ok())
}
