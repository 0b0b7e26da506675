//! Policy rules, and the numbers of the tables that they lead to (datapath spec 4.1, 4.2).
//!
//! ```text
//! local table < 39999 (pods here) < 40000 (overlay) < 40001 (mark 0x20) < one rule a subnet < main
//! ```
//! The kernel's list is the truth: rules that stand in this order stay as they are, with their priorities and
//! tables. One that is missing or misplaced is added at the first free priority that keeps the order; the
//! misplaced one goes after that. A rule is ours only if it looks exactly like ours.

mod subnets;

pub(super) use subnets::normal;

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use super::{Phase, Work};
use crate::kernel::change::Change;
use crate::kernel::names::{
    FROM_SUBNET_FIRST, OVERLAY_REPLY, SKIP_FROM_SUBNET, TABLE_LOCAL, is_subnet_table,
};
use crate::kernel::state::{Family, Route, Rule, Way};
use crate::plan::{Plan, Table, TableNumbers};

/// Where in the kernel's list a rule stands: priority, then age.
type Place = (u32, usize);

/// Which table belongs to which subnet, and which tables lost their subnet.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By range, normalised.
    pub(super) of: BTreeMap<IpNetwork, u32>,
    /// To be emptied.
    pub(super) forsaken: BTreeSet<(Family, u32)>,
}

/// Brings the rules of both families in order.
pub(super) fn diff(work: &mut Work<'_>) -> Numbers {
    let mut numbers = Numbers::default();
    for family in Family::ALL {
        if is_used(work.plan, family) || has_own(work, family) {
            Rules::of(family, work).arrange(work, &mut numbers);
        }
    }
    numbers
}

/// Whether a plan needs the rules of a family at all; a machine without IPv6 could not have them.
fn is_used(plan: &Plan, family: Family) -> bool {
    let of_family = |network: &IpNetwork| Family::of(network.ip()) == family;
    plan.tables.iter().any(|(table, content)| match table {
        Table::FromSubnet(range) => of_family(range),
        _ => content.routes.iter().any(|route| of_family(&route.destination)),
    }) || plan
        .pods
        .values()
        .flat_map(|end| &end.addresses)
        .any(|ip| Family::of(*ip) == family)
}

fn has_own(work: &Work<'_>, family: Family) -> bool {
    work.state
        .rules
        .iter()
        .any(|rule| rule.family == family && is_from_subnet(rule, work.plan.numbers))
}

/// The rules of one family, and what of them is spoken for.
struct Rules<'a> {
    family: Family,
    numbers: TableNumbers,
    held: Vec<&'a Rule>,
    by_source: BTreeMap<IpNetwork, Vec<usize>>,
    kept: BTreeSet<usize>,
    priorities: BTreeSet<u32>,
    /// Tables that a rule leads to, that hold routes, or that were given away in this pass.
    taken: BTreeSet<u32>,
    next_table: u32,
    /// Tables that may be subnets', that hold routes and that no rule leads to.
    unled: BTreeMap<u32, Vec<&'a Route>>,
    /// Those of them that hold routes over our tunnel only.
    orphans: Vec<u32>,
    /// Where the last common rule stands, once that is settled.
    after: Option<Place>,
    /// Tables of subnets, once they are settled.
    given: BTreeMap<u32, IpNetwork>,
}

impl<'a> Rules<'a> {
    fn of(family: Family, work: &Work<'a>) -> Self {
        let held: Vec<_> = work
            .state
            .rules
            .iter()
            .filter(|rule| rule.family == family)
            .collect();
        let referenced = held.iter().map(|rule| rule.table);
        let filled = work
            .state
            .routes
            .iter()
            .filter(|route| route.family() == family)
            .map(|route| route.table);
        let mut by_source: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, rule) in held.iter().enumerate() {
            if let Some(source) = rule.source {
                by_source.entry(source).or_default().push(at);
            }
        }
        let TableNumbers {
            local_direct,
            to_overlay,
            overlay_mark,
        } = work.plan.numbers;
        let unled = unled(family, work, &held);
        Self {
            family,
            numbers: work.plan.numbers,
            kept: BTreeSet::new(),
            priorities: held.iter().map(|rule| rule.priority).collect(),
            taken: referenced
                .chain(filled)
                .chain([local_direct, to_overlay, overlay_mark])
                .collect(),
            next_table: FROM_SUBNET_FIRST,
            orphans: orphans(work, &unled),
            unled,
            held,
            by_source,
            after: None,
            given: BTreeMap::new(),
        }
    }

    fn arrange(mut self, work: &mut Work<'a>, numbers: &mut Numbers) {
        self.arrange_common(work);
        self.arrange_subnets(work);
        self.remove_leftovers(work, numbers);
        numbers
            .of
            .extend(self.given.into_iter().map(|(table, range)| (range, table)));
    }

    /// The three rules that every packet meets.
    fn arrange_common(&mut self, work: &mut Work<'a>) {
        let common = [
            (self.numbers.local_direct, 0),
            (self.numbers.to_overlay, 0),
            (self.numbers.overlay_mark, OVERLAY_REPLY),
        ];
        self.after = self.places(|rule| rule.table == TABLE_LOCAL).max();
        for (step, (table, mark)) in common.iter().enumerate() {
            let exact = |rule: &Rule| is_common(rule, *table, *mark);
            let later = |rule: &Rule| {
                common
                    .iter()
                    .skip(step + 1)
                    .any(|(table, mark)| is_common(rule, *table, *mark))
                    || is_from_subnet(rule, self.numbers) && !subnets::is_left_alone(rule, work.plan)
            };
            let is_behind = |place: &Place| Some(*place) > self.after;
            let found = self.places(exact).find(is_behind);
            let next = self.places(later).filter(is_behind).min();
            let free = self.free_priority(self.after);
            // If it stands behind its successors, moving it is less than moving all of them.
            let fits_between = next.is_none_or(|(priority, _)| free < priority);
            let in_order = found.is_some_and(|place| next.is_none_or(|next| place < next));
            self.after = match found {
                Some(place) if in_order || !fits_between => {
                    self.kept.insert(place.1);
                    Some(place)
                }
                _ => {
                    self.add(
                        work,
                        Rule {
                            priority: free,
                            ..common_rule(self.family, *table, *mark)
                        },
                    );
                    Some((free, usize::MAX))
                }
            };
        }
    }

    /// Whatever is exactly ours and has no place any more: duplicates, the misplaced, rules of subnets that
    /// are gone. A table that no rule leads to any more is emptied first, so that a crash in between leaves a
    /// rule to find it by.
    fn remove_leftovers(&self, work: &mut Work<'a>, numbers: &mut Numbers) {
        let leftover = |index: &usize| !self.kept.contains(index) && self.is_own(*index, work.plan);
        let gone: BTreeSet<usize> = (0..self.held.len()).filter(leftover).collect();
        let still_used = |table: u32| {
            self.given.contains_key(&table)
                || self
                    .held
                    .iter()
                    .enumerate()
                    .any(|(at, rule)| rule.table == table && !gone.contains(&at))
        };
        for rule in gone.iter().filter_map(|at| self.held.get(*at)) {
            if !self.is_unambiguous(rule) {
                continue;
            }
            if rule.source.is_some() && !still_used(rule.table) {
                numbers.forsaken.insert((self.family, rule.table));
            }
            work.removal(Phase::OldRule, Change::DeleteRule((*rule).clone()));
        }
    }

    fn is_own(&self, index: usize, plan: &Plan) -> bool {
        let Some(rule) = self.held.get(index) else {
            return false;
        };
        let common = is_common(rule, self.numbers.local_direct, 0)
            || is_common(rule, self.numbers.to_overlay, 0)
            || is_common(rule, self.numbers.overlay_mark, OVERLAY_REPLY);
        common
            || is_from_subnet(rule, self.numbers) && !subnets::is_left_alone(rule, plan)
            || subnets::is_converted(rule, &self.given) && !subnets::is_left_alone(rule, plan)
    }

    /// The kernel deletes the first rule that has all that a request names; marks of zero are not named. A
    /// foreign rule that would be hit instead is worth more than a leftover of ours.
    fn is_unambiguous(&self, rule: &Rule) -> bool {
        let named = |wanted: u32, held: u32| wanted == 0 || wanted == held;
        let hit = self.held.iter().find(|held| {
            held.priority == rule.priority
                && held.table == rule.table
                && (rule.source.is_none() || held.source == rule.source)
                && named(rule.mark, held.mark)
                && named(rule.mask, held.mask)
        });
        hit.is_some_and(|hit| *hit == rule)
    }

    fn places(&self, which: impl Fn(&Rule) -> bool) -> impl Iterator<Item = Place> {
        self.held
            .iter()
            .enumerate()
            .filter(move |(_, rule)| which(rule))
            .map(|(at, rule)| (rule.priority, at))
    }

    /// The first priority behind a place that no rule has.
    fn free_priority(&self, after: Option<Place>) -> u32 {
        let first = after.map_or(0, |(priority, _)| priority).saturating_add(1);
        (first..u32::MAX)
            .find(|priority| !self.priorities.contains(priority))
            .unwrap_or(u32::MAX)
    }

    /// A table that lost its rule, else the lowest that nothing leads to and that holds nothing; `None` when
    /// all are taken.
    fn free_table(&mut self) -> Option<u32> {
        if let Some(orphan) = self.orphans.pop() {
            return Some(orphan);
        }
        while is_subnet_table(self.next_table) {
            let table = self.next_table;
            self.next_table += 1;
            if self.taken.insert(table) {
                return Some(table);
            }
        }
        None
    }

    fn add(&mut self, work: &mut Work<'a>, rule: Rule) {
        self.priorities.insert(rule.priority);
        self.taken.insert(rule.table);
        work.step(Phase::Rule, Change::AddRule(rule));
    }
}

/// Routes of tables that no rule leads to.
fn unled<'a>(family: Family, work: &Work<'a>, held: &[&Rule]) -> BTreeMap<u32, Vec<&'a Route>> {
    let TableNumbers {
        local_direct,
        to_overlay,
        overlay_mark,
    } = work.plan.numbers;
    let led = held.iter().map(|rule| rule.table);
    let led: BTreeSet<u32> = led.chain([local_direct, to_overlay, overlay_mark]).collect();
    let mut tables: BTreeMap<u32, Vec<&Route>> = BTreeMap::new();
    for route in work.state.routes.iter().filter(|route| route.family() == family) {
        if is_subnet_table(route.table) && !led.contains(&route.table) {
            tables.entry(route.table).or_default().push(route);
        }
    }
    tables
}

/// Those that hold routes over our tunnel only, highest first. Somebody flushed the rules: without this each time
/// would leave tables behind.
fn orphans(work: &Work<'_>, unled: &BTreeMap<u32, Vec<&Route>>) -> Vec<u32> {
    let Some(tunnel) = &work.plan.vxlan else {
        return vec![];
    };
    let is_ours = |route: &&Route| {
        let over_tunnel = matches!(&route.way, Way::Link { name, .. } if *name == tunnel.name);
        over_tunnel || route.way == Way::Throw
    };
    let ours = unled
        .iter()
        .rev()
        .filter(|(_, routes)| routes.iter().all(is_ours));
    ours.map(|(table, _)| *table).collect()
}

fn common_rule(family: Family, table: u32, mark: u32) -> Rule {
    Rule {
        family,
        priority: 0,
        table,
        source: None,
        mark,
        mask: mark,
        plain: true,
    }
}

fn is_common(rule: &Rule, table: u32, mark: u32) -> bool {
    rule.plain && rule.table == table && rule.source.is_none() && rule.mark == mark && rule.mask == mark
}

/// Exactly what we write for a subnet, whichever it is.
fn is_from_subnet(rule: &Rule, numbers: TableNumbers) -> bool {
    leads_to_subnet(rule, numbers) && rule.mark == 0 && rule.mask == SKIP_FROM_SUBNET
}

fn leads_to_subnet(rule: &Rule, numbers: TableNumbers) -> bool {
    let common = [numbers.local_direct, numbers.to_overlay, numbers.overlay_mark];
    rule.plain && rule.source.is_some() && is_subnet_table(rule.table) && !common.contains(&rule.table)
}
