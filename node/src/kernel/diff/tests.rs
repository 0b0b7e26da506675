//! Cases of the specification, one after the other.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::model::take_all;
use super::*;
use crate::kernel::change::LinkChange;
use crate::kernel::names::{EVERYWHERE, HOST_END, REPLICATION};
use crate::kernel::state::{Address, Family, Forward, Kind, Link, Replication, Route, Rule, Tunnel, Way};
use crate::mac::Mac;
use crate::plan::{HostEnd, Plan, Sysctl, Table, TableRoutes, Target, Vxlan};

pub(super) const VX: &str = "eth0.vxlan4";

pub(super) fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

pub(super) fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn machine() -> State {
    let mut state = State::default();
    for (index, name, kind) in [
        (1, "lo", Kind::Loopback),
        (2, "eth0", Kind::Other),
        (3, "eth1", Kind::Other),
    ] {
        let link = Link {
            index,
            mac: Some(mac(100)),
            mtu: 1500,
            up: true,
            kind,
        };
        state.links.insert(name.into(), link);
    }
    for family in Family::ALL {
        state.rules.push(lookup(family, 0, 255));
        state.rules.push(lookup(family, 32_766, 254));
    }
    state.rules.sort_by_key(|rule| rule.family);
    state
}

pub(super) fn lookup(family: Family, priority: u32, table: u32) -> Rule {
    Rule {
        family,
        priority,
        table,
        source: None,
        mark: 0,
        mask: 0,
        plain: true,
    }
}

pub(super) fn from(range: &str, priority: u32, table: u32) -> Rule {
    let source = net(range);
    Rule {
        source: Some(source),
        mask: 0x4040,
        ..lookup(Family::of(source.ip()), priority, table)
    }
}

pub(super) fn over(link: &str) -> Way {
    Way::Link {
        name: link.into(),
        gateway: None,
        link_scope: false,
    }
}

pub(super) fn route(table: u32, destination: &str, way: Way) -> Route {
    let destination = net(destination);
    let metric = if destination.is_ipv6() { 1024 } else { 0 };
    Route {
        table,
        destination,
        way,
        metric,
        source: None,
        advertised: false,
    }
}

fn tunnel() -> Vxlan {
    Vxlan {
        name: VX.into(),
        parent: "eth0".into(),
        vni: 4,
        mac: mac(1),
        local: ip("192.168.0.1"),
        port: 8472,
        mtu: 1450,
        addresses: [net("192.168.0.1/24")].into(),
        peers: [(mac(2), ip("192.168.0.2"))].into(),
    }
}

fn over_tunnel(destination: &str) -> crate::plan::Route {
    let target = Target::Link {
        name: VX.into(),
        link_scope: false,
        source: None,
    };
    crate::plan::Route {
        destination: net(destination),
        target,
    }
}

/// One overlay subnet with NAT, as in row 25 of the specification's table.
pub(super) fn overlay() -> Plan {
    let mut plan = Plan {
        vxlan: Some(tunnel()),
        ..Plan::default()
    };
    plan.tables.insert(
        Table::ToOverlay,
        TableRoutes {
            routes: [over_tunnel("100.64.0.0/16")].into(),
        },
    );
    plan.tables.insert(
        Table::OverlayMark,
        TableRoutes {
            routes: [over_tunnel("0.0.0.0/0")].into(),
        },
    );
    add_subnet(&mut plan, "100.64.0.0/16", &[]);
    plan
}

fn add_subnet(plan: &mut Plan, range: &str, destinations: &[&str]) {
    let routes = destinations
        .iter()
        .map(|destination| over_tunnel(destination))
        .collect();
    plan.tables
        .insert(Table::FromSubnet(net(range)), TableRoutes { routes });
    plan.subnets.insert(net(range));
}

fn converged(plan: &Plan) -> State {
    let state = machine();
    take_all(&state, &diff(plan, &state, Removals::Allowed))
}

fn v4(state: &State) -> Vec<Rule> {
    state
        .rules
        .iter()
        .filter(|rule| rule.family == Family::V4)
        .cloned()
        .collect()
}

pub(super) fn settle(plan: &Plan, state: &State) -> State {
    let settled = take_all(state, &diff(plan, state, Removals::Allowed));
    assert_eq!(
        diff(plan, &settled, Removals::Allowed),
        [],
        "a second pass finds nothing to do"
    );
    settled
}

/// Datapath scenario 25: the rules and tables of a fresh node.
#[test]
fn a_fresh_node_gets_the_rules_and_routes_of_the_specification() {
    let state = converged(&overlay());

    let marked = Rule {
        mark: 0x20,
        mask: 0x20,
        ..lookup(Family::V4, 3, 40_001)
    };
    let expected = [
        lookup(Family::V4, 0, 255),
        lookup(Family::V4, 1, 39_999),
        lookup(Family::V4, 2, 40_000),
        marked,
        from("100.64.0.0/16", 4, 10_000),
        lookup(Family::V4, 32_766, 254),
    ];
    assert_eq!(v4(&state), expected);
    assert_eq!(
        state.routes,
        [
            route(40_000, "100.64.0.0/16", over(VX)),
            route(40_001, "0.0.0.0/0", over(VX))
        ]
    );
    assert!(
        !state
            .rules
            .iter()
            .any(|rule| rule.family == Family::V6 && rule.table > 255)
    );
}

#[test]
fn a_converged_node_needs_nothing() {
    let plan = overlay();

    assert_eq!(diff(&plan, &converged(&plan), Removals::Allowed), []);
}

#[test]
fn a_new_peer_costs_two_forwarding_entries_and_nothing_else() {
    let mut plan = overlay();
    let state = converged(&plan);
    plan.vxlan
        .as_mut()
        .unwrap()
        .peers
        .insert(mac(3), ip("192.168.0.3"));

    let changes = diff(&plan, &state, Removals::Allowed);

    let entry = |mac| Forward {
        link: VX.into(),
        mac,
        to: ip("192.168.0.3"),
    };
    let expected = [
        Change::ReplaceForward(entry(mac(3))),
        Change::AppendForward(entry(REPLICATION)),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn a_peer_that_changes_its_address_is_replaced_before_the_old_one_goes() {
    let mut plan = overlay();
    let state = converged(&plan);
    plan.vxlan.as_mut().unwrap().peers = [(mac(2), ip("192.168.0.22"))].into();

    let changes = diff(&plan, &state, Removals::Allowed);

    let entry = |mac, to| Forward {
        link: VX.into(),
        mac,
        to: ip(to),
    };
    let expected = [
        Change::ReplaceForward(entry(mac(2), "192.168.0.22")),
        Change::AppendForward(entry(REPLICATION, "192.168.0.22")),
        Change::DeleteForward(entry(REPLICATION, "192.168.0.2")),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn default_entries_of_old_releases_go_where_the_filter_works_and_come_where_it_cannot() {
    let plan = overlay();
    let everywhere = Forward {
        link: VX.into(),
        mac: EVERYWHERE,
        to: ip("192.168.0.2"),
    };
    let mut filtered = converged(&plan);
    filtered.forwards.insert(everywhere.clone());
    let mut unsupported = converged(&plan);
    unsupported.replication = Replication::Unsupported;

    assert_eq!(
        diff(&plan, &filtered, Removals::Allowed),
        [Change::DeleteForward(everywhere.clone())]
    );
    assert_eq!(
        diff(&plan, &unsupported, Removals::Allowed),
        [Change::AppendForward(everywhere)]
    );
}

#[test]
fn a_node_with_our_own_mac_is_not_sent_to() {
    let mut plan = overlay();
    plan.vxlan
        .as_mut()
        .unwrap()
        .peers
        .insert(mac(1), ip("192.168.0.9"));

    assert!(
        !converged(&plan)
            .forwards
            .iter()
            .any(|entry| entry.to == ip("192.168.0.9"))
    );
}

#[test]
fn while_caches_fill_nothing_is_removed() {
    let mut plan = overlay();
    let state = converged(&plan);
    plan.tables.clear();
    plan.subnets.clear();
    plan.vxlan.as_mut().unwrap().peers.clear();
    plan.vxlan.as_mut().unwrap().addresses.clear();

    assert_eq!(diff(&plan, &state, Removals::Withheld), []);
    assert!(!diff(&plan, &state, Removals::Allowed).is_empty());
}

#[test]
fn an_empty_list_of_peers_removes_none_of_them() {
    let mut plan = overlay();
    let state = converged(&plan);
    plan.vxlan.as_mut().unwrap().peers.clear();

    assert_eq!(diff(&plan, &state, Removals::Allowed), []);
}

#[test]
fn mac_and_local_address_change_in_place() {
    let mut plan = overlay();
    let state = converged(&plan);
    let tunnel = plan.vxlan.as_mut().unwrap();
    tunnel.mac = mac(7);
    tunnel.local = ip("192.168.0.7");

    let changes = diff(&plan, &state, Removals::Allowed);

    let expected = [
        Change::SetLocal {
            name: VX.into(),
            vni: 4,
            local: ip("192.168.0.7"),
        },
        Change::SetLink(LinkChange {
            name: VX.into(),
            mac: Some(mac(7)),
            ..LinkChange::default()
        }),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn another_port_needs_another_link_with_all_that_was_on_it() {
    let mut plan = overlay();
    let state = converged(&plan);
    plan.vxlan.as_mut().unwrap().port = 4789;

    let after = settle(&plan, &state);

    assert_eq!(after.tunnel(VX).unwrap().1.port, 4789);
    assert_eq!(after.forwards, state.forwards);
    assert_eq!(after.routes, state.routes);
    assert_eq!(after.addresses, state.addresses);
}

#[test]
fn the_link_of_another_identifier_goes_when_the_new_one_works() {
    let mut plan = overlay();
    let state = converged(&plan);
    let tunnel = plan.vxlan.as_mut().unwrap();
    tunnel.name = "eth0.vxlan5".into();
    tunnel.vni = 5;
    for content in plan.tables.values_mut() {
        content.routes = std::mem::take(&mut content.routes)
            .into_iter()
            .map(|route| crate::plan::Route {
                target: Target::Link {
                    name: "eth0.vxlan5".into(),
                    link_scope: false,
                    source: None,
                },
                ..route
            })
            .collect();
    }

    let changes = diff(&plan, &state, Removals::Allowed);

    assert!(matches!(changes.first(), Some(Change::AddTunnel(_))));
    assert_eq!(changes.last(), Some(&Change::DeleteLink { name: VX.into() }));
    assert!(settle(&plan, &state).tunnel("eth0.vxlan5").is_some());
}

#[test]
fn the_link_of_another_parent_is_in_the_way_and_goes_first() {
    let mut plan = overlay();
    let mut state = converged(&plan);
    let old = state.links.remove(VX).unwrap();
    state.links.insert(
        "eth1.vxlan4".into(),
        Link {
            kind: old.kind,
            ..old
        },
    );
    plan.tables.clear();

    let changes = diff(&plan, &state, Removals::Allowed);

    assert_eq!(
        changes.first(),
        Some(&Change::DeleteLink {
            name: "eth1.vxlan4".into()
        })
    );
    assert!(matches!(changes.get(1), Some(Change::AddTunnel(_))));
}

#[test]
fn tunnels_of_others_stay() {
    let mut state = machine();
    let foreign = Tunnel {
        vni: 1,
        port: 8472,
        parent: 2,
        local: None,
        strange: false,
    };
    let flannel = Link {
        index: 9,
        kind: Kind::Vxlan(foreign),
        ..Link::default()
    };
    state.links.insert("flannel.1".into(), flannel.clone());

    assert_eq!(settle(&overlay(), &state).links.get("flannel.1"), Some(&flannel));
}

/// Datapath scenario 38: the local rule was moved.
#[test]
fn rules_follow_a_local_rule_that_was_moved() {
    let mut state = machine();
    for rule in &mut state.rules {
        if rule.table == 255 {
            rule.priority = 100;
        }
    }

    let after = settle(&overlay(), &state);

    let priorities: Vec<_> = v4(&after).iter().map(|rule| rule.priority).collect();
    assert_eq!(priorities, [100, 101, 102, 103, 104, 32_766]);
}

#[test]
fn a_lost_first_rule_comes_back_at_its_place() {
    let plan = overlay();
    let mut state = converged(&plan);
    state.rules.retain(|rule| rule.table != 39_999);

    let changes = diff(&plan, &state, Removals::Allowed);

    assert_eq!(changes, [Change::AddRule(lookup(Family::V4, 1, 39_999))]);
}

#[test]
fn when_somebody_took_its_place_the_others_move_behind_it_and_none_is_missing_meanwhile() {
    let plan = overlay();
    let mut state = converged(&plan);
    let intruder = Rule {
        plain: false,
        ..lookup(Family::V4, 1, 77)
    };
    for rule in &mut state.rules {
        if rule.table == 39_999 {
            *rule = intruder.clone();
        }
    }

    let changes = diff(&plan, &state, Removals::Allowed);
    let after = settle(&plan, &state);

    let tables: Vec<_> = v4(&after).iter().map(|rule| rule.table).collect();
    assert_eq!(tables, [255, 77, 39_999, 40_000, 40_001, 10_000, 254]);
    let first_removal = changes
        .iter()
        .position(|change| matches!(change, Change::DeleteRule(_)))
        .unwrap();
    assert!(
        changes
            .iter()
            .skip(first_removal)
            .all(|change| matches!(change, Change::DeleteRule(_)))
    );
}

#[test]
fn a_rule_behind_its_successors_is_moved_and_they_are_not() {
    let plan = overlay();
    let mut state = converged(&plan);
    let at = state.rules.iter().position(|rule| rule.table == 39_999).unwrap();
    let mut misplaced = state.rules.remove(at);
    misplaced.priority = 9;
    state.rules.insert(at + 3, misplaced.clone());

    let changes = diff(&plan, &state, Removals::Allowed);

    let expected = [
        Change::AddRule(lookup(Family::V4, 1, 39_999)),
        Change::DeleteRule(misplaced),
    ];
    assert_eq!(changes, expected);
}

/// Datapath scenario 42: a foreign rule for a pod range.
#[test]
fn a_foreign_rule_for_a_pod_range_is_neither_used_nor_touched() {
    let mut state = machine();
    let to_main = Rule {
        source: Some(net("100.64.0.0/16")),
        ..lookup(Family::V4, 1, 254)
    };
    let to_number = Rule {
        source: Some(net("100.64.0.0/16")),
        plain: false,
        mask: 0x4040,
        ..lookup(Family::V4, 2, 10_000)
    };
    state.rules.insert(1, to_main.clone());
    state.rules.insert(2, to_number.clone());
    state.routes.push(route(254, "0.0.0.0/0", over("eth0")));

    let after = settle(&overlay(), &state);

    assert!(after.rules.contains(&to_main) && after.rules.contains(&to_number));
    assert!(after.routes.contains(&route(254, "0.0.0.0/0", over("eth0"))));
    assert!(
        after.rules.contains(&from("100.64.0.0/16", 6, 10_001)),
        "10000 is somebody's: {:?}",
        v4(&after)
    );
}

#[test]
fn a_leftover_stays_when_its_deletion_would_hit_a_foreign_rule() {
    let mut state = converged(&overlay());
    let foreign = Rule {
        plain: false,
        ..lookup(Family::V4, 7, 39_999)
    };
    state.rules.insert(5, foreign.clone());
    state.rules.insert(6, lookup(Family::V4, 7, 39_999));

    assert_eq!(diff(&overlay(), &state, Removals::Allowed), []);
}

#[test]
fn two_subnets_with_empty_tables_get_two_tables() {
    let mut plan = overlay();
    add_subnet(&mut plan, "100.65.0.0/16", &[]);

    let after = settle(&plan, &machine());

    assert!(after.rules.contains(&from("100.64.0.0/16", 4, 10_000)));
    assert!(after.rules.contains(&from("100.65.0.0/16", 5, 10_001)));
}

#[test]
fn flushed_rules_find_their_tables_again() {
    let mut plan = overlay();
    add_subnet(&mut plan, "100.65.0.0/16", &["0.0.0.0/0"]);
    add_subnet(&mut plan, "100.66.0.0/16", &["0.0.0.0/0"]);
    let before = settle(&plan, &machine());
    let mut state = before.clone();
    state.rules = machine().rules;

    let after = settle(&plan, &state);

    assert_eq!(after.routes.len(), before.routes.len(), "no table is left behind");
}

#[test]
fn two_rules_with_one_table_are_parted_without_a_gap() {
    let mut plan = overlay();
    add_subnet(&mut plan, "100.65.0.0/16", &["0.0.0.0/0"]);
    let mut state = settle(&overlay(), &machine());
    let second = from("100.65.0.0/16", 5, 10_000);
    state.rules.insert(5, second.clone());

    let changes = diff(&plan, &state, Removals::Allowed);

    let expected = [
        Change::ReplaceRoute(route(10_001, "0.0.0.0/0", over(VX))),
        Change::AddRule(from("100.65.0.0/16", 6, 10_001)),
        Change::DeleteRule(second),
    ];
    assert_eq!(changes, expected);
    settle(&plan, &state);
}

/// Datapath scenario 39: rule and table of a deleted subnet.
#[test]
fn the_rule_and_table_of_a_deleted_subnet_go() {
    let mut plan = overlay();
    add_subnet(&mut plan, "100.65.0.0/16", &["0.0.0.0/0"]);
    let state = settle(&plan, &machine());

    let changes = diff(&overlay(), &state, Removals::Allowed);

    let expected = [
        Change::DeleteRoute(route(10_001, "0.0.0.0/0", over(VX))),
        Change::DeleteRule(from("100.65.0.0/16", 5, 10_001)),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn a_subnet_that_exists_but_could_not_be_planned_keeps_its_rule_and_table() {
    let mut plan = overlay();
    add_subnet(&mut plan, "100.65.0.0/16", &["0.0.0.0/0"]);
    let state = settle(&plan, &machine());
    plan.tables.remove(&Table::FromSubnet(net("100.65.0.0/16")));

    assert_eq!(diff(&plan, &state, Removals::Allowed), []);
}

#[test]
fn a_rule_without_a_mask_gets_a_twin_before_it_goes() {
    let mut plan = overlay();
    add_subnet(&mut plan, "100.64.0.0/16", &["0.0.0.0/0"]);
    let mut state = settle(&plan, &machine());
    let at = state.rules.iter().position(|rule| rule.mask == 0x4040).unwrap();
    let old = Rule {
        mask: 0,
        ..from("100.64.0.0/16", 4, 10_000)
    };
    *state.rules.get_mut(at).unwrap() = old.clone();

    let changes = diff(&plan, &state, Removals::Allowed);

    assert_eq!(
        changes,
        [
            Change::AddRule(from("100.64.0.0/16", 4, 10_000)),
            Change::DeleteRule(old)
        ]
    );
    settle(&plan, &state);
}

#[test]
fn a_rule_without_a_mask_and_without_a_subnet_is_somebody_elses() {
    let mut state = machine();
    let foreign = Rule {
        mask: 0,
        ..from("172.20.0.0/16", 7, 12_345)
    };
    state.rules.insert(1, foreign.clone());
    state.routes.push(route(12_345, "0.0.0.0/0", over("eth1")));

    let after = settle(&overlay(), &state);

    assert!(after.rules.contains(&foreign));
    assert!(after.routes.contains(&route(12_345, "0.0.0.0/0", over("eth1"))));
}

/// Datapath scenario 41: a foreign route in one of our tables.
#[test]
fn a_route_over_the_wrong_link_is_replaced_and_a_foreign_one_removed() {
    let plan = overlay();
    let mut state = converged(&plan);
    state.routes.clear();
    state.routes.push(route(40_000, "100.64.0.0/16", over("eth1")));
    state.routes.push(route(40_000, "10.9.0.0/16", over("eth1")));
    state.routes.push(route(40_001, "0.0.0.0/0", over(VX)));

    let changes = diff(&plan, &state, Removals::Allowed);

    let expected = [
        Change::ReplaceRoute(route(40_000, "100.64.0.0/16", over(VX))),
        Change::DeleteRoute(route(40_000, "10.9.0.0/16", over("eth1"))),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn routers_are_added_after_the_routes_to_them() {
    let mut plan = overlay();
    let direct = crate::plan::Route {
        destination: net("10.0.0.0/24"),
        target: Target::Link {
            name: "eth1".into(),
            link_scope: true,
            source: None,
        },
    };
    let default = crate::plan::Route {
        destination: net("0.0.0.0/0"),
        target: Target::Gateway {
            via: ip("10.0.0.1"),
            name: "eth1".into(),
        },
    };
    plan.tables.insert(
        Table::FromSubnet(net("10.0.0.0/24")),
        TableRoutes {
            routes: [direct, default].into(),
        },
    );

    let changes = diff(&plan, &machine(), Removals::Allowed);

    let at = |text: &str| {
        changes
            .iter()
            .position(|change| change.to_string().contains(text))
            .unwrap()
    };
    assert!(at("10.0.0.0/24 in table 10000 dev eth1") < at("0.0.0.0/0 in table 10000 via 10.0.0.1"));
}

#[test]
fn addresses_keep_their_prefix_length_and_lose_their_prefix_route() {
    let plan = overlay();
    let mut state = converged(&plan);
    state.addresses = vec![
        Address {
            no_prefix_route: false,
            ..address("192.168.0.1/24")
        },
        address("192.168.7.7/32"),
        address("fe80::1/64"),
    ];

    let after = settle(&plan, &state);

    assert_eq!(
        after.addresses,
        [address("fe80::1/64"), address("192.168.0.1/24")]
    );
}

#[test]
fn an_address_that_goes_does_not_take_its_neighbours_with_it() {
    let mut plan = overlay();
    plan.vxlan.as_mut().unwrap().addresses = [net("192.168.0.1/24"), net("192.168.0.9/24")].into();
    let state = settle(&plan, &machine());
    plan.vxlan
        .as_mut()
        .unwrap()
        .addresses
        .remove(&net("192.168.0.1/24"));

    assert_eq!(settle(&plan, &state).addresses, [address("192.168.0.9/24")]);
}

fn address(text: &str) -> Address {
    let ip = net(text);
    Address {
        link: VX.into(),
        ip,
        global_scope: true,
        no_prefix_route: true,
        unfit: false,
    }
}

#[test]
fn proxy_neighbours_of_named_links_are_exact_and_those_of_others_stay() {
    let mut plan = overlay();
    plan.proxy_neighbours.insert(VX.into(), [ip("100.64.0.5")].into());
    plan.proxy_neighbours
        .insert("missing.7".into(), [ip("100.64.0.5")].into());
    let mut state = settle(&plan, &machine());
    let entry = |link: &str, text: &str| (link.to_owned(), ip(text));
    state.proxies = [
        entry(VX, "100.64.0.6"),
        entry("hybr1", "fe80::1"),
        entry("eth1", "10.0.0.1"),
    ]
    .into();

    let after = settle(&plan, &state);

    let expected = [
        entry(VX, "100.64.0.5"),
        entry("hybr1", "fe80::1"),
        entry("eth1", "10.0.0.1"),
    ];
    assert_eq!(after.proxies, expected.into());
}

#[test]
fn host_ends_are_repaired_and_routes_of_unknown_pods_stay() {
    let mut plan = overlay();
    let end = HostEnd {
        addresses: [ip("100.64.0.5"), ip("fd00::5")].into(),
    };
    plan.pods.insert("hybr1".into(), end);
    plan.pods.insert(
        "hybr-absent".into(),
        HostEnd {
            addresses: [ip("100.64.0.6")].into(),
        },
    );
    let mut state = machine();
    let veth = Link {
        index: 9,
        mac: Some(mac(9)),
        mtu: 1450,
        up: false,
        kind: Kind::Veth,
    };
    state.links.insert("hybr1".into(), veth);
    state
        .sysctls
        .insert("net/ipv4/conf/hybr1/proxy_arp".into(), "0\n".into());
    state
        .routes
        .push(route(39_999, "100.64.0.77/32", over("hybr-other")));

    let after = settle(&plan, &state);

    let link = after.links.get("hybr1").unwrap();
    assert_eq!((link.mac, link.up), (Some(HOST_END), true));
    assert_eq!(
        after
            .sysctls
            .get("net/ipv4/conf/hybr1/proxy_arp")
            .map(String::as_str),
        Some("1")
    );
    assert!(
        after
            .proxies
            .contains(&("hybr1".into(), ip("fe80::ecee:eeff:feee:eeee")))
    );
    for expected in ["100.64.0.5/32", "fd00::5/128"] {
        assert!(
            after.routes.contains(&route(39_999, expected, over("hybr1"))),
            "{expected}"
        );
    }
    assert!(
        after
            .routes
            .contains(&route(39_999, "100.64.0.77/32", over("hybr-other")))
    );
    assert!(
        !after
            .routes
            .iter()
            .any(|route| route.destination == net("100.64.0.6/32"))
    );
}

#[test]
fn sysctls_are_written_when_they_differ_and_never_lowered() {
    let mut plan = overlay();
    let mut set = |path: &str, wanted| plan.sysctls.insert(path.to_owned(), wanted);
    set("net/ipv4/ip_forward", Sysctl::Exactly("1".into()));
    set("net/ipv4/neigh/default/gc_thresh1", Sysctl::AtLeast(1024));
    set("net/ipv4/neigh/default/gc_thresh2", Sysctl::AtLeast(2048));
    set("net/ipv6/conf/eth0/accept_ra", Sysctl::Exactly("2".into()));
    set("net/ipv6/conf/all/forwarding", Sysctl::Exactly("1".into()));
    set("net/ipv6/absent", Sysctl::Exactly("1".into()));
    set(
        &format!("net/ipv4/neigh/{VX}/app_solicit"),
        Sysctl::Exactly("1".into()),
    );
    let mut state = converged(&overlay());
    for (path, value) in [
        ("net/ipv4/ip_forward", "1\n"),
        ("net/ipv4/neigh/default/gc_thresh1", "128"),
        ("net/ipv4/neigh/default/gc_thresh2", "9999"),
        ("net/ipv6/conf/eth0/accept_ra", "1"),
        ("net/ipv6/conf/all/forwarding", "0"),
        ("net/ipv4/neigh/eth0.vxlan4/app_solicit", "0"),
    ] {
        state.sysctls.insert(path.into(), value.into());
    }

    let changes: Vec<_> = diff(&plan, &state, Removals::Allowed)
        .iter()
        .map(ToString::to_string)
        .collect();

    let expected = [
        "sysctl net/ipv6/conf/eth0/accept_ra = 2",
        "sysctl net/ipv4/neigh/default/gc_thresh1 = 1024",
        "sysctl net/ipv4/neigh/eth0.vxlan4/app_solicit = 1",
        "sysctl net/ipv6/conf/all/forwarding = 1",
    ];
    assert_eq!(changes, expected);
}

#[test]
fn the_settings_of_a_new_link_are_written_after_it_is_made() {
    let mut plan = overlay();
    let path = format!("net/ipv4/neigh/{VX}/app_solicit");
    plan.sysctls.insert(path.clone(), Sysctl::Exactly("1".into()));

    let changes = diff(&plan, &machine(), Removals::Allowed);

    let at = |wanted: fn(&Change) -> bool| changes.iter().position(wanted).unwrap();
    assert!(
        at(|change| matches!(change, Change::AddTunnel(_)))
            < at(|change| matches!(change, Change::Sysctl { .. }))
    );
}

#[test]
fn without_an_overlay_its_link_is_left_alone() {
    let state = converged(&overlay());

    let without = Plan {
        subnets: [net("100.64.0.0/16")].into(),
        ..Plan::default()
    };

    assert_eq!(diff(&without, &state, Removals::Allowed), []);
}
