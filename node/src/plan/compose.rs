//! From a view to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::NodeInfo;
use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::networks::{self, Carrier, Ranges};
use super::overlay::{self, Overlay};
use super::pods::{self, Pods};
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
    let firewall = ruleset(view, &ranges, overlay.as_ref(), &pods);
    problems.sort_by(|a, b| (&a.about, &a.message).cmp(&(&b.about, &b.message)));
    Plan {
        numbers: view.settings.tables,
        tables: match link.as_deref() {
            Some(link) => overlay::tables(link, &ranges, view.machine.ipv6_usable),
            None if networks::none_is_overlay(view) => overlay::no_tables(),
            None => BTreeMap::new(),
        },
        paths: overlay
            .as_ref()
            .and_then(|overlay| overlay.vxlan.as_ref())
            .map(|vxlan| overlay::paths(vxlan, &ranges, view.machine.ipv6_usable))
            .unwrap_or_default(),
        subnets: ranges.known,
        proxy_neighbours: link
            .iter()
            .map(|link| (link.clone(), pods.addresses.clone()))
            .collect(),
        sysctls: sysctls::of(view, link.as_deref()),
        pods: pods.host_ends,
        vxlan: overlay.and_then(|overlay| overlay.vxlan),
        firewall,
        problems,
    }
}

fn ruleset(view: &View, ranges: &Ranges, overlay: Option<&Overlay>, pods: &Pods) -> Ruleset {
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
        // No link of this release brings packets in from an underlay network.
        ..Ruleset::default()
    }
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
