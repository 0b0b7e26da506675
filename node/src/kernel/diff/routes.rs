//! Routes of our tables (datapath spec 4.5 to 4.7).

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use super::rules::{Numbers, normal};
use super::{Phase, Work};
use crate::kernel::change::Change;
use crate::kernel::names::METRIC_V6;
use crate::kernel::state::{Family, Route, Way};
use crate::plan::{self, Table, Target};

/// Tables of the plan hold exactly their routes; tables of subnets that are gone hold none.
pub(super) fn diff(work: &mut Work<'_>, numbers: &Numbers) {
    let plan = work.plan;
    for (table, content) in &plan.tables {
        for family in Family::ALL {
            let number = match table {
                Table::ToOverlay => Some(plan.numbers.to_overlay),
                Table::OverlayMark => Some(plan.numbers.overlay_mark),
                Table::FromSubnet(range) if Family::of(range.ip()) == family => {
                    normal(range).and_then(|range| numbers.of.get(&range).copied())
                }
                Table::FromSubnet(_) => None,
            };
            if let Some(number) = number {
                one_table(work, family, number, &content.routes);
            }
        }
    }
    for (family, table) in &numbers.forsaken {
        for route in held(work, *family, *table) {
            work.removal(Phase::OldRoute, Change::DeleteRoute(route.clone()));
        }
    }
}

fn one_table<'a>(
    work: &mut Work<'_>,
    family: Family,
    number: u32,
    routes: impl IntoIterator<Item = &'a plan::Route>,
) {
    let held = held(work, family, number);
    let mut wanted: BTreeMap<IpNetwork, Route> = BTreeMap::new();
    for route in routes {
        if Family::of(route.destination.ip()) == family
            && let Some(route) = planned(number, route)
        {
            wanted.entry(route.destination).or_insert(route);
        }
    }
    let mut missing: Vec<&Route> = wanted
        .values()
        .filter(|wanted| !held.iter().any(|held| same(wanted, held)))
        .collect();
    // A router must be reachable when the route over it is added.
    missing.sort_by_key(|route| matches!(&route.way, Way::Link { gateway: Some(_), .. }));
    for route in &missing {
        work.step(Phase::Route, Change::ReplaceRoute((*route).clone()));
    }
    for leftover in leftovers(&held, &wanted, &missing) {
        work.removal(Phase::OldRoute, Change::DeleteRoute(leftover.clone()));
    }
}

/// Held routes that neither are wanted nor go by being replaced.
fn leftovers<'a>(
    held: &[&'a Route],
    wanted: &BTreeMap<IpNetwork, Route>,
    missing: &[&Route],
) -> Vec<&'a Route> {
    let mut replaced: Vec<IpNetwork> = vec![];
    let mut leftovers = vec![];
    for route in held {
        let heir = wanted.get(&route.destination);
        let equal_metric = heir.is_some_and(|heir| heir.metric == route.metric);
        if heir.is_some_and(|heir| same(heir, route)) {
            continue;
        }
        let is_missing = missing
            .iter()
            .any(|missing| missing.destination == route.destination);
        if is_missing && equal_metric && !replaced.contains(&route.destination) {
            replaced.push(route.destination);
            continue;
        }
        // A request without a next hop could hit the wanted route as well.
        let precise = matches!(route.way, Way::Link { .. });
        if precise || !equal_metric {
            leftovers.push(*route);
        }
    }
    leftovers
}

/// What a table holds, without what goes with its link before.
fn held<'a>(work: &Work<'a>, family: Family, table: u32) -> Vec<&'a Route> {
    let state = work.state;
    state
        .table(family, table)
        .filter(|route| match &route.way {
            Way::Link { name, .. } => work.holds(name),
            _ => true,
        })
        .collect()
}

/// What the table of a subnet shall hold, if it has this number.
pub(super) fn wanted(plan: &plan::Plan, range: IpNetwork, number: u32) -> Vec<Route> {
    let content = plan.tables.iter().find(|(table, _)| match table {
        Table::FromSubnet(of) => normal(of) == Some(range),
        _ => false,
    });
    let routes = content.into_iter().flat_map(|(_, content)| &content.routes);
    routes.filter_map(|route| planned(number, route)).collect()
}

/// A planned route as the kernel will show it.
fn planned(table: u32, route: &plan::Route) -> Option<Route> {
    let family = Family::of(route.destination.ip());
    let way = match &route.target {
        Target::Link { name, link_scope, .. } => Way::Link {
            name: name.clone(),
            gateway: None,
            link_scope: *link_scope && family == Family::V4,
        },
        Target::Gateway { via, name } => Way::Link {
            name: name.clone(),
            gateway: Some(*via),
            link_scope: false,
        },
        Target::Throw => Way::Throw,
    };
    Some(Route {
        table,
        destination: normal(&route.destination)?,
        way,
        metric: if family == Family::V6 { METRIC_V6 } else { 0 },
        source: match &route.target {
            Target::Link { source, .. } => *source,
            _ => None,
        },
        advertised: false,
    })
}

/// A preferred source that is not wanted is left as it is found.
pub(super) fn same(wanted: &Route, held: &Route) -> bool {
    wanted.destination == held.destination
        && wanted.way == held.way
        && wanted.metric == held.metric
        && wanted.source.is_none_or(|source| held.source == Some(source))
}
