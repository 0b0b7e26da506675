//! The forwarding table of the VXLAN link: who sits behind which outer address (datapath spec 5.2).

use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, Work};
use crate::kernel::change::Change;
use crate::kernel::names::{EVERYWHERE, REPLICATION};
use crate::kernel::state::{Forward, Replication};
use crate::mac::Mac;
use crate::plan::Vxlan;

/// A unicast MAC has one destination, which is replaced; replication entries are lists, which grow and
/// shrink. Entries that the kernel learned are not in a dump and age by themselves. Nothing goes when no peer is
/// known: a list that is empty by mistake must not cut the node off, and entries to nobody do no harm.
pub(super) fn diff(work: &mut Work<'_>) {
    let (plan, state) = (work.plan, work.state);
    let Some(tunnel) = &plan.vxlan else { return };
    let wanted = wanted(tunnel, state.replication);
    let held: BTreeSet<&Forward> = state
        .forwards
        .iter()
        .filter(|held| held.link == tunnel.name && work.holds(&held.link))
        .collect();
    let mut destinations: BTreeMap<Mac, usize> = BTreeMap::new();
    for held in &held {
        *destinations.entry(held.mac).or_default() += 1;
    }
    let mut replaced = BTreeSet::new();
    for entry in wanted.iter().filter(|entry| !held.contains(entry)) {
        if is_list(entry.mac) {
            work.step(Phase::Forward, Change::AppendForward(entry.clone()));
        } else {
            replaced.insert(entry.mac);
            work.step(Phase::Forward, Change::ReplaceForward(entry.clone()));
        }
    }
    if tunnel.peers.is_empty() {
        return;
    }
    for entry in held.into_iter().filter(|entry| !wanted.contains(entry)) {
        let taken_over = replaced.contains(&entry.mac) && destinations.get(&entry.mac) == Some(&1);
        if !taken_over {
            work.removal(Phase::Old, Change::DeleteForward(entry.clone()));
        }
    }
}

fn wanted(tunnel: &Vxlan, replication: Replication) -> BTreeSet<Forward> {
    let entry = |mac, to| Forward {
        link: tunnel.name.clone(),
        mac,
        to,
    };
    let mut wanted = BTreeSet::new();
    // A node with our own MAC is a cloned machine: the plan reports it, and we do not send to ourselves.
    for (mac, to) in tunnel.peers.iter().filter(|(mac, _)| **mac != tunnel.mac) {
        wanted.insert(entry(*mac, *to));
        wanted.insert(entry(REPLICATION, *to));
        if replication == Replication::Unsupported {
            wanted.insert(entry(EVERYWHERE, *to));
        }
    }
    wanted
}

/// Groups and the default entry have many destinations.
fn is_list(Mac(octets): Mac) -> bool {
    let [first, ..] = octets;
    first & 1 == 1 || octets == EVERYWHERE.0
}
