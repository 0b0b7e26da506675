//! Random plans on random kernels: the steps lead to the plan, a second comparison finds nothing, and what is
//! not ours is as it was.

mod loans;

use std::collections::{BTreeMap, BTreeSet};

use loans::{add_segment, check_loans, held_loans};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::model::take_all;
use super::tests::{VX, from, ip, lookup, mac, machine, net, over, route};
use super::*;
use crate::kernel::names::is_global_unicast;
use crate::kernel::state::{
    Address, Family, Forward, Kind, Link, Replication, Route, Rule, State, Tunnel, Way,
};
use crate::plan::{HostEnd, Plan, Table, TableRoutes, Target, Vxlan};

const RANGES: [&str; 5] = [
    "10.0.0.0/24",
    "10.1.0.0/16",
    "100.64.0.0/16",
    "fd00::/64",
    "fd01::/64",
];
const DESTINATIONS: [&str; 6] = [
    "0.0.0.0/0",
    "10.0.0.0/24",
    "10.1.0.1/32",
    "::/0",
    "fd00::/64",
    "fd01::7/128",
];
const LINKS: [&str; 4] = [VX, "eth0", "eth1", "eth1.vxlan9"];
const TABLES: [u32; 8] = [254, 9_000, 10_000, 10_001, 10_002, 39_999, 40_000, 40_001];
const NODES: [&str; 4] = ["192.168.0.1/24", "192.168.0.2/24", "192.168.0.3/32", "fd02::1/64"];
const PODS: [&str; 3] = ["10.0.0.5", "10.1.0.6", "fd00::5"];

fn some<T: Clone + std::fmt::Debug + 'static>(of: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    subsequence(of.to_vec(), 0..=of.len())
}

fn wanted_routes() -> impl Strategy<Value = TableRoutes> {
    let target = prop_oneof![
        Just(Target::Link {
            name: VX.into(),
            link_scope: false,
            source: None
        }),
        Just(Target::Link {
            name: "eth1".into(),
            link_scope: true,
            source: None
        }),
        Just(Target::Throw),
    ];
    let routes = some(&DESTINATIONS).prop_flat_map(move |destinations| {
        let count = destinations.len();
        (
            Just(destinations),
            proptest::collection::vec(target.clone(), count),
        )
    });
    routes.prop_map(|(destinations, targets)| TableRoutes {
        routes: destinations
            .into_iter()
            .zip(targets)
            .map(|(destination, target)| crate::plan::Route {
                destination: net(destination),
                target,
            })
            .collect(),
    })
}

fn tunnel() -> impl Strategy<Value = Vxlan> {
    let identity = (
        4..6u32,
        select(vec![8472, 4789]),
        1..3u8,
        select(vec!["192.168.0.1", "192.168.0.2", "fd02::1"]),
    );
    let peers = some(&[
        (1, "192.168.0.1"),
        (2, "192.168.0.2"),
        (3, "192.168.0.3"),
        (4, "192.168.0.3"),
    ]);
    (identity, some(&NODES), peers).prop_map(|((vni, port, own, local), addresses, peers)| Vxlan {
        name: VX.into(),
        parent: "eth0".into(),
        vni,
        mac: mac(own),
        local: ip(local),
        port,
        mtu: 1450,
        addresses: addresses.into_iter().map(net).collect(),
        peers: peers.into_iter().map(|(last, to)| (mac(last), ip(to))).collect(),
    })
}

fn plans() -> impl Strategy<Value = Plan> {
    let tables = (
        some(&RANGES),
        proptest::collection::vec(wanted_routes(), 7),
        some(&RANGES),
        any::<bool>(),
    );
    let hosts = (some(&PODS), some(&PODS));
    (tunnel(), tables, hosts).prop_map(
        |(tunnel, (planned, mut routes, existing, common), (proxied, pods))| {
            let mut plan = Plan {
                vxlan: Some(tunnel),
                ..Plan::default()
            };
            plan.subnets = existing
                .into_iter()
                .chain(planned.iter().copied())
                .map(net)
                .collect();
            for range in planned {
                plan.tables
                    .insert(Table::FromSubnet(net(range)), routes.pop().unwrap());
            }
            if common {
                plan.tables.insert(Table::ToOverlay, routes.pop().unwrap());
                plan.tables.insert(Table::OverlayMark, routes.pop().unwrap());
            }
            plan.proxy_neighbours
                .insert(VX.into(), proxied.into_iter().map(ip).collect());
            let addresses: BTreeSet<_> = pods.into_iter().map(ip).collect();
            add_segment(&mut plan, &addresses);
            plan.pods.insert("hybr0".into(), HostEnd { addresses });
            plan
        },
    )
}

fn held_tunnel() -> impl Strategy<Value = Tunnel> {
    (
        4..6u32,
        select(vec![8472, 4789]),
        2..4u32,
        select(vec!["192.168.0.1", "fd02::1"]),
        any::<bool>(),
    )
        .prop_map(|(vni, port, parent, local, strange)| Tunnel {
            vni,
            port,
            parent,
            local: Some(ip(local)),
            strange,
        })
}

fn held_rules() -> impl Strategy<Value = Vec<Rule>> {
    let subnet = (
        select(RANGES.to_vec()),
        0..9u32,
        select(TABLES.to_vec()),
        select(vec![0x4040, 0x4040, 0, 0xff]),
    )
        .prop_map(|(range, priority, table, mask)| Rule {
            mask,
            ..from(range, priority, table)
        });
    let common = (
        select(Family::ALL.to_vec()),
        0..9u32,
        select(TABLES.to_vec()),
        select(vec![0, 0, 0x20]),
    )
        .prop_map(|(family, priority, table, mark)| Rule {
            mark,
            mask: mark,
            ..lookup(family, priority, table)
        });
    let any_rule = (prop_oneof![subnet, common], prop::bool::weighted(0.85))
        .prop_map(|(rule, plain)| Rule { plain, ..rule });
    proptest::collection::vec(any_rule, 0..10)
}

fn held_routes() -> impl Strategy<Value = Vec<Route>> {
    let way = prop_oneof![
        4 => select(LINKS.to_vec()).prop_map(over),
        1 => Just(Way::Throw),
        1 => Just(Way::Other),
        1 => Just(Way::Link { name: "eth1".into(), gateway: Some(ip("10.9.9.9")), link_scope: false }),
    ];
    let one = (
        select(TABLES.to_vec()),
        select(DESTINATIONS.to_vec()),
        way,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(table, destination, way, odd)| {
            let plain = route(table, destination, way);
            Route {
                metric: plain.metric + u32::from(odd),
                ..plain
            }
        });
    proptest::collection::vec(one, 0..14)
}

fn states() -> impl Strategy<Value = State> {
    let links = (
        proptest::option::of(held_tunnel()),
        proptest::option::of(held_tunnel()),
        any::<bool>(),
    );
    let on_links = (
        proptest::collection::vec(
            (select(LINKS.to_vec()), select(NODES.to_vec()), any::<bool>()),
            0..5,
        ),
        proptest::collection::vec((0..5u8, select(vec!["192.168.0.2", "192.168.0.3"])), 0..5),
        proptest::collection::vec((select(LINKS.to_vec()), select(PODS.to_vec())), 0..5),
    );
    let replication = select(vec![
        Replication::Filtered,
        Replication::Missing,
        Replication::Unsupported,
    ]);
    (
        links,
        on_links,
        held_loans(),
        held_routes(),
        held_rules(),
        replication,
    )
        .prop_map(|(links, on_links, loans, routes, rules, replication)| {
            let mut state = machine();
            add_links(&mut state, links);
            let (addresses, forwards, proxies) = on_links;
            for (link, text, no_prefix_route) in addresses {
                let address = Address {
                    link: link.into(),
                    ip: net(text),
                    global_scope: true,
                    no_prefix_route,
                    unfit: false,
                };
                if state.links.contains_key(link)
                    && !state
                        .addresses
                        .iter()
                        .any(|held| held.link == link && held.ip == address.ip)
                {
                    state.addresses.push(address);
                }
            }
            for (last, to) in forwards {
                let mac = if last == 0 {
                    crate::kernel::names::REPLICATION
                } else {
                    mac(last)
                };
                if state.links.contains_key(VX) {
                    state.forwards.insert(Forward {
                        link: VX.into(),
                        mac,
                        to: ip(to),
                    });
                }
            }
            let proxies = proxies
                .into_iter()
                .filter(|(link, _)| state.links.contains_key(*link));
            state.proxies = proxies.map(|(link, text)| (link.to_owned(), ip(text))).collect();
            add_routes(&mut state, routes);
            add_rules(&mut state, rules);
            state.replication = replication;
            state.addresses.extend(loans.0);
            state.owned = loans.1;
            state
        })
}

fn add_links(state: &mut State, (own, other, up): (Option<Tunnel>, Option<Tunnel>, bool)) {
    let own = own.map(|tunnel| (VX, 7, tunnel));
    let other = other.map(|tunnel| ("eth1.vxlan9", 8, tunnel));
    for (name, index, tunnel) in own.into_iter().chain(other) {
        let link = Link {
            index,
            mac: Some(mac(1)),
            mtu: 1450,
            up,
            kind: Kind::Vxlan(tunnel),
        };
        state.links.insert(name.into(), link);
    }
    let foreign = Tunnel {
        vni: 1,
        port: 8472,
        parent: 2,
        local: None,
        strange: false,
    };
    state.links.insert(
        "flannel.1".into(),
        Link {
            index: 9,
            kind: Kind::Vxlan(foreign),
            ..Link::default()
        },
    );
    state.links.insert(
        "hybr0".into(),
        Link {
            index: 10,
            up,
            kind: Kind::Veth,
            ..Link::default()
        },
    );
}

/// What a kernel could hold: one route for each destination and metric, over links that are up.
fn add_routes(state: &mut State, routes: Vec<Route>) {
    let mut seen = BTreeSet::new();
    for route in routes {
        let possible = match &route.way {
            Way::Link { name, .. } => state.links.get(name).is_some_and(|link| link.up),
            _ => true,
        };
        if possible && seen.insert((route.table, route.destination, route.metric)) {
            state.routes.push(route);
        }
    }
}

fn add_rules(state: &mut State, rules: Vec<Rule>) {
    for rule in rules {
        // One that another would shadow in a deletion has a test of its own.
        let key = |rule: &Rule| (rule.family, rule.priority, rule.table);
        if !state.rules.iter().any(|held| key(held) == key(&rule)) {
            state.rules.push(rule);
        }
    }
    state.rules.sort_by_key(|rule| (rule.family, rule.priority));
}

/// Rules that are not exactly ours, by another definition than the one under test.
fn foreign_rules(plan: &Plan, state: &State) -> Vec<Rule> {
    let ours = |rule: &Rule| {
        let known = rule.source.is_some_and(|range| plan.subnets.contains(&range));
        let subnet_table = (10_000..39_999).contains(&rule.table);
        rule.plain
            && match (rule.source, rule.mark, rule.mask, rule.table) {
                (None, 0, 0, 39_999 | 40_000) | (None, 0x20, 0x20, 40_001) => true,
                (Some(_), 0, 0x4040, _) => subnet_table,
                (Some(_), 0, 0, _) => subnet_table && known,
                _ => false,
            }
    };
    state.rules.iter().filter(|rule| !ours(rule)).cloned().collect()
}

fn common_and_subnet_rules(state: &State, family: Family) -> Vec<&Rule> {
    let ours = |rule: &&Rule| rule.family == family && rule.plain && (10_000..=40_001).contains(&rule.table);
    state.rules.iter().filter(ours).collect()
}

/// The rules of planned subnets, in the only order that works, each with a table of its own.
fn check_rules(plan: &Plan, after: &State) -> Result<BTreeMap<Table, (Family, u32)>, TestCaseError> {
    let mut numbers = BTreeMap::new();
    for family in Family::ALL {
        let rules = common_and_subnet_rules(after, family);
        let local = after
            .rules
            .iter()
            .rposition(|rule| rule.family == family && rule.table == 255);
        let mut used = BTreeSet::new();
        for table in plan.tables.keys() {
            let Table::FromSubnet(range) = table else { continue };
            if Family::of(range.ip()) != family {
                continue;
            }
            let own: Vec<_> = rules
                .iter()
                .filter(|rule| {
                    rule.source == Some(*range)
                        && rule.mask == 0x4040
                        && rule.mark == 0
                        && rule.table < 39_999
                })
                .collect();
            prop_assert_eq!(own.len(), 1, "one rule for {}: {:?}", range, rules);
            prop_assert!(used.insert(own[0].table), "a table of its own");
            let place = |wanted: &Rule| after.rules.iter().position(|rule| rule == wanted);
            let common = |table, mark| {
                let of = |rule: &Rule| {
                    rule.family == family
                        && rule.plain
                        && rule.source.is_none()
                        && rule.table == table
                        && rule.mark == mark
                        && rule.mask == mark
                };
                after.rules.iter().rposition(of)
            };
            let order = [
                local,
                common(39_999, 0),
                common(40_000, 0),
                common(40_001, 0x20),
                place(own[0]),
            ];
            prop_assert!(
                order.is_sorted() && order.iter().all(Option::is_some),
                "order {:?} of {:?}",
                order,
                after.rules
            );
            numbers.insert(table.clone(), (family, own[0].table));
        }
    }
    Ok(numbers)
}

fn check_routes(
    plan: &Plan,
    after: &State,
    numbers: &BTreeMap<Table, (Family, u32)>,
) -> Result<(), TestCaseError> {
    for (table, content) in &plan.tables {
        let places = match table {
            Table::ToOverlay => vec![(Family::V4, 40_000), (Family::V6, 40_000)],
            Table::OverlayMark => vec![(Family::V4, 40_001), (Family::V6, 40_001)],
            Table::FromSubnet(_) => vec![numbers[table]],
        };
        for (family, number) in places {
            let mut held: Vec<_> = after
                .table(family, number)
                .map(|route| route.destination)
                .collect();
            held.sort();
            let wanted: Vec<_> = content
                .routes
                .iter()
                .map(|route| route.destination)
                .filter(|destination| Family::of(destination.ip()) == family)
                .collect();
            prop_assert_eq!(held, wanted, "table {}", number);
        }
    }
    Ok(())
}

fn check_tunnel(plan: &Plan, after: &State) -> Result<(), TestCaseError> {
    let wanted = plan.vxlan.as_ref().unwrap();
    let (link, tunnel) = after.tunnel(VX).unwrap();
    prop_assert_eq!((link.mac, link.up), (Some(wanted.mac), true));
    prop_assert_eq!(
        (tunnel.vni, tunnel.port, tunnel.parent, tunnel.local),
        (wanted.vni, wanted.port, 2, Some(wanted.local))
    );
    let held: BTreeSet<_> = after
        .addresses
        .iter()
        .filter(|held| held.link == VX && is_global_unicast(held.ip.ip()))
        .map(|held| held.ip)
        .collect();
    prop_assert_eq!(&held, &wanted.addresses);
    let lists = if after.replication == Replication::Unsupported {
        2
    } else {
        1
    };
    let peers: BTreeMap<_, _> = wanted
        .peers
        .iter()
        .filter(|(mac, _)| **mac != wanted.mac)
        .collect();
    let ends: BTreeSet<_> = peers.values().collect();
    // Without any peer nothing goes, whatever there was.
    if !wanted.peers.is_empty() {
        prop_assert_eq!(after.forwards.len(), peers.len() + lists * ends.len());
    }
    let proxied: BTreeSet<_> = after
        .proxies
        .iter()
        .filter(|(link, _)| link == VX)
        .map(|(_, ip)| *ip)
        .collect();
    prop_assert_eq!(&proxied, plan.proxy_neighbours.get(VX).unwrap());
    prop_assert!(
        !after.links.contains_key("eth1.vxlan9"),
        "overlays of the past are gone"
    );
    Ok(())
}

fn check_foreign(plan: &Plan, before: &State, after: &State) -> Result<(), TestCaseError> {
    prop_assert_eq!(foreign_rules(plan, before), foreign_rules(plan, after));
    for name in ["lo", "eth0", "eth1", "flannel.1"] {
        prop_assert_eq!(before.links.get(name), after.links.get(name));
        if name == "eth1" {
            continue;
        }
        let on = |state: &State| {
            state
                .addresses
                .iter()
                .filter(|held| held.link == name)
                .cloned()
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(on(before), on(after));
        let proxies = |state: &State| {
            state
                .proxies
                .iter()
                .filter(|(link, _)| link == name)
                .cloned()
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(proxies(before), proxies(after));
    }
    let kept_tables = |state: &State| {
        let foreign = |route: &&Route| {
            route.table < 10_000 && !matches!(&route.way, Way::Link { name, .. } if name.contains(".vxlan"))
        };
        state.routes.iter().filter(foreign).cloned().collect::<Vec<_>>()
    };
    prop_assert_eq!(kept_tables(before), kept_tables(after));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1000), ..ProptestConfig::default() })]

    #[test]
    fn steps_lead_to_the_plan_and_leave_the_rest_alone(plan in plans(), before in states()) {
        let after = take_all(&before, &diff(&plan, &before, Removals::Allowed));

        prop_assert_eq!(diff(&plan, &after, Removals::Allowed), vec![], "a second pass; after {:#?}", after);
        check_tunnel(&plan, &after)?;
        let numbers = check_rules(&plan, &after)?;
        check_routes(&plan, &after, &numbers)?;
        check_loans(&plan, &before, &after)?;
        check_foreign(&plan, &before, &after)?;
    }

    #[test]
    fn withheld_removals_take_nothing_away(plan in plans(), before in states()) {
        let changes = diff(&plan, &before, Removals::Withheld);
        let after = take_all(&before, &changes);

        let removes = |change: &Change| matches!(
            change,
            Change::DeleteLink { .. } | Change::DeleteForward(_) | Change::DeleteProxy { .. }
                | Change::DeleteRoute(_) | Change::DeleteRule(_)
        );
        prop_assert!(!changes.iter().any(removes), "{:?}", changes);
        let gone = before.rules.iter().find(|rule| !after.rules.contains(rule));
        prop_assert_eq!(gone, None);
    }
}
