//! A link of a VLAN, and what it is lent.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use super::*;
use crate::plan::{PodRange, Segment};

/// Some of the pods are of a VLAN that comes by `eth1`.
pub(super) fn add_segment(plan: &mut Plan, pods: &BTreeSet<IpAddr>) {
    let range = net("10.0.0.0/24");
    plan.pod_ranges.push(PodRange {
        range,
        excluded: vec![net("10.0.0.0/30")],
    });
    let here: BTreeSet<_> = pods.iter().filter(|ip| range.contains(**ip)).copied().collect();
    let v4 = here.iter().filter_map(|ip| match ip {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    let v4: BTreeSet<_> = v4.collect();
    let lends = if v4.is_empty() {
        [].into()
    } else {
        [(range, v4)].into()
    };
    plan.segments.insert("eth1".into(), Segment { vlan: None, lends });
    plan.proxy_neighbours.insert("eth1".into(), here);
}

/// Addresses of `eth1` in the range of the VLAN: lent ones, some of which the kernel made the machine's own, and
/// one of an administrator.
pub(super) fn held_loans() -> impl Strategy<Value = (Vec<Address>, BTreeSet<(String, Ipv4Addr)>)> {
    let lent = some(&["10.0.0.5/24", "10.0.0.6/24", "10.0.0.9/24"]);
    let own = proptest::option::weighted(0.3, select(vec!["10.0.0.7/25", "10.0.0.2/16"]));
    (lent, own, some(&["10.0.0.5", "10.0.0.6"])).prop_map(|(lent, own, owned)| {
        let address = |text: &str, global_scope: bool| Address {
            link: "eth1".into(),
            ip: net(text),
            global_scope,
            no_prefix_route: !global_scope,
            unfit: false,
        };
        let is_held = |text: &&str| lent.contains(&format!("{text}/24").as_str());
        let owned = owned
            .iter()
            .filter(|text| is_held(text))
            .map(|text| ("eth1".to_owned(), text.parse().unwrap()))
            .collect();
        let lent = lent.iter().map(|text| address(text, false));
        (lent.chain(own.map(|text| address(text, true))).collect(), owned)
    })
}

pub(super) fn check_loans(plan: &Plan, before: &State, after: &State) -> Result<(), TestCaseError> {
    let range = net("10.0.0.0/24");
    let on = |state: &State, lent: bool| {
        let held = state.addresses.iter();
        let held = held.filter(|held| held.link == "eth1" && held.global_scope != lent);
        held.map(|held| held.ip).collect::<Vec<_>>()
    };
    let own = on(before, false);
    prop_assert_eq!(&own, &on(after, false));
    let lent = on(after, true);
    let pods = plan.segments["eth1"].lends.get(&range);
    let has_own = own.iter().any(|ip| range.contains(ip.ip()));
    match pods.filter(|_| !has_own) {
        None => prop_assert_eq!(lent, vec![]),
        Some(pods) => {
            prop_assert_eq!(lent.len(), 1);
            prop_assert!(pods.iter().any(|pod| IpAddr::V4(*pod) == lent[0].ip()));
            let owned = |ip: &IpNetwork| after.owned.iter().any(|(_, v4)| IpAddr::V4(*v4) == ip.ip());
            prop_assert!(!lent.iter().any(owned));
        }
    }
    let proxied = |state: &State, of_pods: bool| {
        let here = state.proxies.iter().filter(|(link, _)| link == "eth1");
        let here = here.map(|(_, ip)| *ip);
        let ours = here.filter(|ip| plan.pod_ranges[0].contains(*ip) == of_pods);
        ours.collect::<BTreeSet<_>>()
    };
    prop_assert_eq!(&proxied(after, true), &plan.proxy_neighbours["eth1"]);
    prop_assert_eq!(proxied(before, false), proxied(after, false));
    Ok(())
}
