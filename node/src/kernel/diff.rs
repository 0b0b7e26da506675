//! Compares what a plan wants with what the kernel holds. Pure: the same two values give the same steps, and
//! a kernel that took them all gives none.
//!
//! Steps are in an order in which traffic never misses what it needs: what is new comes before what is old
//! goes, a table is filled before a rule leads to it, and a link is deleted when nothing uses it any more.
//! What a plan does not speak of is not ours and no step touches it.

mod forwards;
mod pods;
mod proxies;
mod routes;
mod rules;
mod segments;
mod sysctls;
mod tunnel;

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::change::Change;
use super::state::State;
use crate::plan::Plan;

pub(super) use pods::{route as host_end_route, sysctls as host_end_sysctls};

/// May what no plan wants any more be removed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removals {
    /// The plan was made from caches that know everything.
    Allowed,
    /// The plan may lack what a cache has not heard of yet: only add and correct (datapath spec 10.3).
    Withheld,
}

/// The steps from `state` to `plan`, in order.
#[must_use]
pub fn diff(plan: &Plan, state: &State, removals: Removals) -> Vec<Change> {
    let mut work = Work {
        plan,
        state,
        removals,
        fresh: BTreeSet::new(),
        gone: BTreeSet::new(),
        steps: vec![],
    };
    tunnel::link(&mut work);
    segments::links(&mut work);
    tunnel::addresses(&mut work);
    segments::lends(&mut work);
    forwards::diff(&mut work);
    proxies::diff(&mut work);
    pods::diff(&mut work);
    sysctls::diff(&mut work);
    let numbers = rules::diff(&mut work);
    routes::diff(&mut work, &numbers);
    work.steps.sort_by_key(|(phase, _)| *phase);
    work.steps.into_iter().map(|(_, change)| change).collect()
}

/// When a step is due. Within a phase, steps keep the order in which they were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Advertisements,
    Sysctl,
    InTheWay,
    Link,
    LinkSysctl,
    Filter,
    Address,
    Forward,
    Proxy,
    Pod,
    Route,
    Rule,
    OldRoute,
    OldRule,
    Old,
    Restore,
    OldLink,
}

/// One comparison under way.
struct Work<'a> {
    plan: &'a Plan,
    state: &'a State,
    removals: Removals,
    /// Names of the links that this pass makes: the kernel holds nothing on them yet.
    fresh: BTreeSet<&'a str>,
    /// Links that are deleted before anything else happens, and all that is on them.
    gone: BTreeSet<&'a str>,
    steps: Vec<(Phase, Change)>,
}

impl Work<'_> {
    fn step(&mut self, phase: Phase, change: Change) {
        self.steps.push((phase, change));
    }

    /// A step that takes something away, if that is allowed.
    fn removal(&mut self, phase: Phase, change: Change) {
        if self.removals == Removals::Allowed {
            self.step(phase, change);
        }
    }

    /// Whether what the dump says of a link will still hold when steps on it are taken.
    fn holds(&self, link: &str) -> bool {
        !self.fresh.contains(link) && !self.gone.contains(link)
    }
}
