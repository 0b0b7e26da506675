//! Links to underlay networks, on a kernel that is a value.

use super::*;
use crate::kernel::diff::tests::{ip, lookup, machine, net, over, overlay, route, settle};
use crate::kernel::diff::{Removals, diff};
use crate::kernel::state::Family;
use crate::plan::{PodRange, Route, Table, TableRoutes, Target, Vlan};

const RANGE: &str = "10.0.0.0/24";

/// One subnet on `link`, with pods.
fn vlan(link: &str, pods: &[&str]) -> Plan {
    let mut plan = overlay();
    let tagged = link.strip_prefix("eth0.").map(|id| Vlan {
        parent: "eth0".into(),
        id: id.parse().unwrap(),
    });
    let segment = Segment {
        vlan: tagged,
        lends: if pods.is_empty() {
            [].into()
        } else {
            let pods = pods.iter().map(|pod| pod.parse().unwrap()).collect();
            [(net(RANGE), pods)].into()
        },
    };
    plan.segments.insert("eth0".into(), Segment::default());
    plan.segments.insert(link.into(), segment);
    plan.pod_ranges.push(PodRange {
        range: net(RANGE),
        excluded: vec![net("10.0.0.0/29")],
    });
    let pods = pods.iter().map(|pod| ip(pod)).collect();
    plan.proxy_neighbours.insert(link.into(), pods);
    let direct = Route {
        destination: net(RANGE),
        target: Target::Link {
            name: link.into(),
            link_scope: true,
            source: None,
        },
    };
    let default = Route {
        destination: net("0.0.0.0/0"),
        target: Target::Gateway {
            via: ip("10.0.0.1"),
            name: link.into(),
        },
    };
    let routes = [direct, default].into();
    plan.tables
        .insert(Table::FromSubnet(net(RANGE)), TableRoutes { routes });
    plan.subnets.insert(net(RANGE));
    plan
}

fn address(link: &str, text: &str, lent: bool) -> Address {
    Address {
        link: link.into(),
        ip: net(text),
        global_scope: !lent,
        no_prefix_route: lent,
        unfit: false,
    }
}

fn steps(plan: &Plan, state: &State) -> Vec<String> {
    let steps = diff(plan, state, Removals::Allowed);
    steps.iter().map(ToString::to_string).collect()
}

fn on(state: &State, link: &str) -> Vec<String> {
    let held = state.addresses.iter().filter(|held| held.link == link);
    held.map(|held| held.ip.to_string()).collect()
}

#[test]
fn a_tagged_link_is_made_before_what_needs_it_and_never_deleted() {
    let plan = vlan("eth0.7", &["10.0.0.9"]);

    let taken = steps(&plan, &machine());

    let at = |text: &str| taken.iter().position(|step| step.contains(text)).unwrap();
    let made = at("add link eth0.7 vlan 7 dev eth0");
    assert!(made < at("lend address 10.0.0.9/24 to eth0.7"));
    assert!(made < at("proxy neighbour 10.0.0.9 on eth0.7"));
    assert!(at("0.0.0.0/0 in table 10000 via 10.0.0.1") < at("from 10.0.0.0/24 fwmark 0x0/0x4040"));

    let state = settle(&plan, &machine());
    let mut without = overlay();
    without.segments = [
        ("eth0".to_owned(), Segment::default()),
        ("eth0.7".to_owned(), Segment::default()),
    ]
    .into();
    without.pod_ranges = plan.pod_ranges;
    let after = settle(&without, &state);
    assert!(after.links.contains_key("eth0.7"));
    assert!(!after.rules.iter().any(|rule| rule.source == Some(net(RANGE))));
}

#[test]
fn a_tagged_link_that_is_down_is_set_up_and_the_parent_is_not() {
    let plan = vlan("eth0.7", &[]);
    let mut state = settle(&plan, &machine());
    state.links.get_mut("eth0.7").unwrap().up = false;
    state.links.get_mut("eth0").unwrap().up = false;

    assert_eq!(steps(&plan, &state), ["set link eth0.7 up"]);
}

/// Datapath scenario 58: the last pod of a VLAN left.
#[test]
fn what_was_answered_for_goes_with_the_last_pod_and_what_others_answer_for_stays() {
    let mut state = settle(&vlan("eth0", &["10.0.0.9"]), &machine());
    let entry = |link: &str, text: &str| (link.to_owned(), ip(text));
    // A gateway that somebody stands in for, an address of no subnet, and another link.
    let foreign = [
        entry("eth0", "10.0.0.1"),
        entry("eth0", "192.168.9.9"),
        entry("eth1", "10.0.0.9"),
    ];
    state.proxies.extend(foreign.clone());
    let mut gone = vlan("eth0", &[]);
    gone.proxy_neighbours.remove("eth0");

    let after = settle(&gone, &state);

    assert_eq!(after.proxies, foreign.into());
    assert_eq!(on(&after, "eth0"), [] as [&str; 0]);
}

/// Datapath scenario 55: no address of the host in the range.
#[test]
fn a_link_without_an_address_in_the_range_is_lent_one() {
    let mut state = machine();
    state.addresses.push(address("eth0", "192.168.0.1/24", false));

    let after = settle(&vlan("eth0", &["10.0.0.9", "10.0.0.12"]), &state);

    assert_eq!(on(&after, "eth0"), ["192.168.0.1/24", "10.0.0.9/24"]);
}

/// Datapath scenario 57: an address of the host in the range.
#[test]
fn a_link_with_an_address_in_the_range_is_lent_none() {
    for own in ["10.0.0.2/24", "10.0.0.200/16", "10.0.0.200/32"] {
        let mut state = machine();
        state.addresses.push(address("eth0", own, false));

        let after = settle(&vlan("eth0", &["10.0.0.9"]), &state);

        assert_eq!(on(&after, "eth0"), [own]);
    }
}

#[test]
fn an_address_that_the_host_gets_later_outlives_what_was_lent() {
    let plan = vlan("eth0", &["10.0.0.9"]);
    let mut state = settle(&plan, &machine());
    state.addresses.push(address("eth0", "10.0.0.2/24", false));

    assert_eq!(
        steps(&plan, &state),
        [
            "sysctl net/ipv4/conf/eth0/promote_secondaries = 1",
            "delete address 10.0.0.9/24 on eth0"
        ]
    );
    assert_eq!(on(&settle(&plan, &state), "eth0"), ["10.0.0.2/24"]);
}

#[test]
fn what_is_lent_stays_while_its_pod_does_and_goes_over_to_another() {
    let two = vlan("eth0", &["10.0.0.9", "10.0.0.12"]);
    let mut state = settle(&vlan("eth0", &["10.0.0.12"]), &machine());
    assert_eq!(on(&settle(&two, &state), "eth0"), ["10.0.0.12/24"]);

    state = settle(&vlan("eth0", &["10.0.0.9"]), &state);
    assert_eq!(on(&state, "eth0"), ["10.0.0.9/24"]);
}

#[test]
fn of_two_that_were_lent_the_one_that_stays_survives_the_other() {
    let plan = vlan("eth0", &["10.0.0.12"]);
    let mut state = machine();
    state.addresses = ["10.0.0.9/24", "10.0.0.12/24"]
        .map(|text| address("eth0", text, true))
        .into();

    assert_eq!(on(&settle(&plan, &state), "eth0"), ["10.0.0.12/24"]);
}

/// Datapath scenario 56: the enhancement is off, or the last pod gone.
#[test]
fn without_pods_or_with_lending_switched_off_nothing_is_lent() {
    let lent = settle(&vlan("eth0", &["10.0.0.9"]), &machine());
    let mut off = vlan("eth0", &["10.0.0.9"]);
    off.segments.get_mut("eth0").unwrap().lends.clear();

    for plan in [vlan("eth0", &[]), off] {
        assert_eq!(on(&settle(&plan, &lent), "eth0"), [] as [&str; 0]);
    }
}

#[test]
fn what_the_kernel_makes_own_again_is_disowned_again() {
    let plan = vlan("eth0", &["10.0.0.9"]);
    let mut state = settle(&plan, &machine());
    state.owned.insert(("eth0".into(), [10, 0, 0, 9].into()));

    assert_eq!(
        steps(&plan, &state),
        ["take address 10.0.0.9/24 of eth0 out of the local table"]
    );
    settle(&plan, &state);

    // And when the pod is gone meanwhile, it goes.
    assert_eq!(on(&settle(&vlan("eth0", &[]), &state), "eth0"), [] as [&str; 0]);
}

#[test]
fn addresses_of_others_are_not_taken_for_lent_ones() {
    let owned = |text: &str| ("eth0".to_owned(), text.parse().unwrap());
    let mut state = machine();
    let held = |text: &str, global_scope, no_prefix_route| Address {
        global_scope,
        no_prefix_route,
        ..address("eth0", text, false)
    };
    state.addresses = vec![
        // Excluded from pods; of another length; with a prefix route; with global scope.
        held("10.0.0.2/24", false, true),
        held("10.0.0.9/25", false, true),
        held("10.0.0.10/24", false, false),
        held("10.0.0.11/24", true, true),
    ];
    state.owned = ["10.0.0.2", "10.0.0.9", "10.0.0.10", "10.0.0.11"]
        .map(owned)
        .into();

    let after = settle(&vlan("eth0", &[]), &state);

    assert_eq!(on(&after, "eth0"), on(&state, "eth0"));
    assert_eq!(after.owned, state.owned);
}

#[test]
fn a_subnet_whose_rule_was_flushed_finds_its_table_again() {
    let plan = vlan("eth0", &[]);
    let mut state = settle(&plan, &machine());
    let table = |state: &State| {
        let rule = state.rules.iter().find(|rule| rule.source == Some(net(RANGE)));
        rule.map(|rule| rule.table)
    };
    let before = table(&state);
    state.rules.retain(|rule| [254, 255].contains(&rule.table));

    let after = settle(&plan, &state);

    assert_eq!(table(&after), before);
    let common = lookup(Family::V4, 1, 39_999);
    assert!(after.rules.contains(&common) && before.is_some());
}

#[test]
fn a_table_that_holds_something_else_too_is_somebody_elses() {
    let plan = vlan("eth0", &[]);
    let mut state = settle(&plan, &machine());
    let rule = |state: &State| {
        let rule = state.rules.iter().find(|rule| rule.source == Some(net(RANGE)));
        rule.map(|rule| rule.table).unwrap()
    };
    let before = rule(&state);
    let foreign = route(before, "10.77.0.0/16", over("eth1"));
    state.routes.push(foreign.clone());
    state.rules.retain(|rule| [254, 255].contains(&rule.table));

    let after = settle(&plan, &state);

    assert_ne!(rule(&after), before);
    assert!(after.routes.contains(&foreign));
}
