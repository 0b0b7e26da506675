//! One rule a subnet: `from RANGE fwmark 0/0x4040 lookup N`.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use super::{Rules, is_from_subnet, leads_to_subnet};
use crate::kernel::diff::{Work, routes};
use crate::kernel::names::{SKIP_FROM_SUBNET, VXLAN_INFIX};
use crate::kernel::state::{Family, Route, Rule, State, Way};
use crate::plan::{Plan, Table};

/// How a subnet comes to its rule.
enum Claim {
    /// Its rule stands where it should.
    Keep(usize, u32),
    /// It has a table, but the rule must be added again: at this priority, or behind the common rules.
    Again(u32, Option<u32>),
    /// It has nothing yet, and shall have.
    New,
    /// It has nothing, and nothing is known of what it shall have.
    None,
}

impl<'a> Rules<'a> {
    /// Finds or makes the rule of each subnet. Subnets that could not be planned keep what they have, if that
    /// is theirs alone.
    pub(super) fn arrange_subnets(&mut self, work: &mut Work<'a>) {
        let planned = self.ranges(work.plan.tables.keys().filter_map(|table| match table {
            Table::FromSubnet(range) => Some(range),
            _ => None,
        }));
        let unplanned = self
            .ranges(work.plan.subnets.iter())
            .difference(&planned)
            .copied()
            .collect();
        for (ranges, is_planned) in [(planned, true), (unplanned, false)] {
            let owners = self.owners(&ranges);
            for range in ranges {
                let claim = self.claim(range, &owners, work.state, is_planned);
                self.settle(work, range, claim);
            }
        }
    }

    fn settle(&mut self, work: &mut Work<'a>, range: IpNetwork, claim: Claim) {
        let (table, priority) = match claim {
            Claim::Keep(at, table) => {
                self.kept.insert(at);
                self.given.insert(table, range);
                return;
            }
            Claim::Again(table, priority) => (Some(table), priority),
            Claim::New => {
                let table = self.table_of_before(work, range).or_else(|| self.free_table());
                (table, None)
            }
            Claim::None => (None, None),
        };
        let Some(table) = table else { return };
        self.given.insert(table, range);
        let priority = priority.unwrap_or_else(|| self.free_priority(self.after));
        self.add(work, subnet_rule(self.family, priority, range, table));
    }

    /// The table that the subnet had until somebody flushed the rules: no rule leads to it, and it holds routes of
    /// this subnet and nothing else. Without this each time would leave tables behind.
    fn table_of_before(&mut self, work: &Work<'a>, range: IpNetwork) -> Option<u32> {
        let found = self.unled.iter().find(|(table, held)| {
            let wanted = routes::wanted(work.plan, range, **table);
            let is_wanted = |held: &&Route| wanted.iter().any(|wanted| routes::same(wanted, held));
            !self.given.contains_key(table) && held.iter().all(is_wanted)
        });
        let table = found.map(|(table, _)| *table)?;
        self.unled.remove(&table);
        self.orphans.retain(|orphan| *orphan != table);
        Some(table)
    }

    fn ranges<'r>(&self, all: impl Iterator<Item = &'r IpNetwork>) -> BTreeSet<IpNetwork> {
        all.filter(|range| Family::of(range.ip()) == self.family)
            .filter_map(normal)
            .collect()
    }

    /// Which subnet a table belongs to, unless it was given away: the one whose rule is asked first. Two
    /// rules with one table would be wrong as soon as the subnets want different routes.
    fn owners(&self, ranges: &BTreeSet<IpNetwork>) -> BTreeMap<u32, IpNetwork> {
        let mut owners = BTreeMap::new();
        for rule in self.held.iter().filter(|rule| is_from_subnet(rule, self.numbers)) {
            let free = |range: &IpNetwork| ranges.contains(range) && !self.given.contains_key(&rule.table);
            if let Some(range) = rule.source.filter(free) {
                owners.entry(rule.table).or_insert(range);
            }
        }
        owners
    }

    fn claim(
        &self,
        range: IpNetwork,
        owners: &BTreeMap<u32, IpNetwork>,
        state: &State,
        is_planned: bool,
    ) -> Claim {
        let of_range = || {
            let places = self.by_source.get(&range).into_iter().flatten();
            places.filter_map(|at| Some((*at, *self.held.get(*at)?)))
        };
        let own = |rule: &Rule| is_from_subnet(rule, self.numbers) && owners.get(&rule.table) == Some(&range);
        let in_order = |at: usize, rule: &Rule| Some((rule.priority, at)) > self.after;
        let mut candidates = of_range().filter(|(_, rule)| own(rule));
        if let Some((at, rule)) = candidates.clone().find(|(at, rule)| in_order(*at, rule)) {
            return Claim::Keep(at, rule.table);
        }
        if let Some((_, rule)) = candidates.next() {
            return Claim::Again(rule.table, None);
        }
        if !is_planned {
            return Claim::None;
        }
        // Before 0.7.0 there was no mask: the rule gets a twin with one, and then goes (spec 4.1).
        let legacy = |rule: &Rule| {
            leads_to_subnet(rule, self.numbers)
                && rule.mark == 0
                && rule.mask == 0
                && !owners.contains_key(&rule.table)
                && !self.given.contains_key(&rule.table)
                && looks_ours(state, self.family, rule.table)
        };
        match of_range().find(|(_, rule)| legacy(rule)) {
            Some((at, rule)) => Claim::Again(rule.table, in_order(at, rule).then_some(rule.priority)),
            None => Claim::New,
        }
    }
}

/// The range of a subnet that exists but could not be planned: nothing of it is removed.
pub(super) fn is_left_alone(rule: &Rule, plan: &Plan) -> bool {
    let planned = |range: &IpNetwork| {
        plan.tables
            .keys()
            .any(|table| matches!(table, Table::FromSubnet(of) if normal(of).as_ref() == Some(range)))
    };
    let exists = |range: &IpNetwork| plan.subnets.iter().any(|of| normal(of).as_ref() == Some(range));
    rule.source
        .is_some_and(|range| exists(&range) && !planned(&range))
}

/// A rule without a mask whose table went to a rule with one.
pub(super) fn is_converted(rule: &Rule, given: &BTreeMap<u32, IpNetwork>) -> bool {
    let heir = given.get(&rule.table);
    rule.plain && rule.mark == 0 && rule.mask == 0 && heir.is_some() && heir == rule.source.as_ref()
}

/// What the tables of the old releases look like: one route, or a default route and one more, or routes over
/// the overlay's link.
fn looks_ours(state: &State, family: Family, table: u32) -> bool {
    let routes: Vec<&Route> = state
        .table(family, table)
        .filter(|route| route.way != Way::Throw)
        .collect();
    let Some(first) = routes.first() else { return false };
    let over_tunnel = matches!(&first.way, Way::Link { name, .. } if name.contains(VXLAN_INFIX));
    let default_of_two = routes.len() == 2 && first.destination.prefix() == 0;
    routes.len() == 1 || default_of_two || over_tunnel
}

/// Host bits are of no meaning in a selector, and the kernel does not keep them.
pub(in super::super) fn normal(range: &IpNetwork) -> Option<IpNetwork> {
    IpNetwork::new(range.network(), range.prefix()).ok()
}

fn subnet_rule(family: Family, priority: u32, range: IpNetwork, table: u32) -> Rule {
    Rule {
        family,
        priority,
        table,
        source: Some(range),
        mark: 0,
        mask: SKIP_FROM_SUBNET,
        plain: true,
    }
}
