//! Sysctls: only what differs is written, and what this kernel lacks is passed over.

use std::collections::BTreeMap;

use super::{Phase, Work};
use crate::kernel::change::Change;
use crate::plan::Sysctl;

/// Settings of the machine, and those of our links once they exist.
pub(super) fn diff(work: &mut Work<'_>) {
    let plan = work.plan;
    let (of_fresh, others): (Vec<_>, Vec<_>) = plan
        .sysctls
        .iter()
        .partition(|(path, _)| path.split('/').any(|part| work.fresh.contains(part)));
    for (path, wanted) in of_fresh {
        work.step(
            Phase::LinkSysctl,
            Change::Sysctl {
                path: path.clone(),
                value: text(wanted),
            },
        );
    }
    for (path, wanted) in others {
        // Forwarding makes the kernel forget advertised routes, unless it was told to accept them (3.4).
        let phase = if path.ends_with("/accept_ra") {
            Phase::Advertisements
        } else {
            Phase::Sysctl
        };
        one(work, phase, path, wanted);
    }
}

/// Compares some settings.
pub(super) fn compare(work: &mut Work<'_>, phase: Phase, wanted: &BTreeMap<String, Sysctl>) {
    for (path, wanted) in wanted {
        one(work, phase, path, wanted);
    }
}

fn one(work: &mut Work<'_>, phase: Phase, path: &str, wanted: &Sysctl) {
    let Some(held) = work.state.sysctls.get(path) else {
        return;
    };
    if !satisfied(held, wanted) {
        work.step(
            phase,
            Change::Sysctl {
                path: path.to_owned(),
                value: text(wanted),
            },
        );
    }
}

fn satisfied(held: &str, wanted: &Sysctl) -> bool {
    match wanted {
        Sysctl::Exactly(value) => held.split_whitespace().eq(value.split_whitespace()),
        Sysctl::AtLeast(least) => held.trim().parse::<u64>().is_ok_and(|held| held >= *least),
    }
}

fn text(wanted: &Sysctl) -> String {
    match wanted {
        Sysctl::Exactly(value) => value.clone(),
        Sysctl::AtLeast(least) => least.to_string(),
    }
}
