//! Filtering, marking and address translation: our one nftables table, as a value. The names of sets and
//! their meaning are those of the Go project's ipsets and chains (datapath spec 8.2, 8.3).
//!
//! ```text
//! Ruleset --rules--> Table --wire--> one transaction --> nftables
//!                      |                                    |
//!                      +--diff <-- shape, elements <--dump--+        events: someone else changed it
//! ```
//!
//! The table is ours whole: what others put into it goes. Tables of others are not read and not written.
//! Nothing happens in a socket's time: each call opens its own, in the network namespace of its thread.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

mod attributes;
mod diff;
mod dump;
mod events;
mod expressions;
#[cfg(test)]
mod fixtures;
pub mod legacy;
mod print;
mod ranges;
mod rules;
mod socket;
pub mod table;
mod wire;

pub use events::{Events, events};
pub use socket::Error;

use socket::{Change, Socket};
use table::{Element, Family, SetKind, SetName, Table};

use crate::newcomers::{Held, Newcomers};

/// How often a list that others disturb is begun again.
const ATTEMPTS: usize = 10;

/// What the rules depend on. The rules themselves are fixed (`firewall/rules.rs`): only sets and these
/// switches change with the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Name of the VXLAN link; without an overlay network the overlay's rules are absent.
    pub vxlan: Option<String>,
    /// Overlay subnets (`HYBR-OVERLAY-NET`).
    pub overlay: BTreeSet<IpNetwork>,
    /// Underlay subnets; with `overlay` and `nodes` they are all that we route (`HYBR-ALL`).
    pub underlay: BTreeSet<IpNetwork>,
    /// Addresses of all nodes (`HYBR-NODE-IP`).
    pub nodes: BTreeSet<IpAddr>,
    /// Addresses of this node, a part of `nodes`.
    pub own: BTreeSet<IpAddr>,
    /// Pods that run here (`HYBR-LOCAL-POD-IP`).
    pub local_pods: BTreeSet<IpAddr>,
    /// Underlay subnets of this node by the link that their packets come in by (`HYBR-LOCAL-UNDERLAY-NET`):
    /// what comes for a pod that is not here is dropped, or it would go round for ever.
    pub local_underlay: BTreeMap<String, BTreeSet<IpNetwork>>,
}

/// What [`converge`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was as it should be; nothing was written.
    Unchanged,
    /// Elements of sets came and went.
    Elements {
        /// How many came.
        added: usize,
        /// How many went.
        removed: usize,
    },
    /// The table was written anew.
    Replaced {
        /// What was wrong with the one that was there.
        because: String,
    },
}

/// Makes the kernel hold this ruleset, in one transaction and with as few writes as can be. Blocking, in the
/// network namespace of this thread. Known flows survive all of it: conntrack keeps them, not the rules.
pub fn converge(ruleset: &Ruleset) -> Result<Outcome, Error> {
    write(ruleset, None)
}

/// As [`converge`], while pods come that the ruleset does not know: they stay. Not for a thread that runs tasks.
pub fn converge_beside(ruleset: &Ruleset, newcomers: &Newcomers) -> Result<Outcome, Error> {
    write(ruleset, Some(newcomers))
}

fn write(ruleset: &Ruleset, newcomers: Option<&Newcomers>) -> Result<Outcome, Error> {
    let mut socket = Socket::open()?;
    let mut ruleset = ruleset.clone();
    let there = read(&mut socket, &Table::from(&ruleset))?;
    // Nobody comes between this and the transaction, which is short; the reading was not.
    let held = newcomers.map(Newcomers::hold_blocking);
    ruleset.local_pods.extend(held.iter().flat_map(Held::addresses));
    let table = Table::from(&ruleset);
    let because = match there {
        There::Other(because) => because,
        There::Sets(sets) => {
            let diff::Elements {
                changes,
                added,
                removed,
            } = compare(&sets, &table);
            if changes.is_empty() {
                return Ok(Outcome::Unchanged);
            }
            match socket.commit(&changes) {
                Ok(()) => return Ok(Outcome::Elements { added, removed }),
                // Someone changed them since they were read.
                Err(Error::Refused { change, source }) => format!("{change}: {source}"),
                Err(error) => return Err(error),
            }
        }
    };
    socket.commit(&wire::replace(&table))?;
    Ok(Outcome::Replaced { because })
}

/// As [`converge_beside`], on a thread for what blocks.
pub async fn converge_aside(ruleset: Ruleset, newcomers: Newcomers) -> Result<Outcome, Error> {
    tokio::task::spawn_blocking(move || converge_beside(&ruleset, &newcomers)).await?
}

/// Lets packets to a pod of this node through, at a cost that does not grow with the number of pods. The next
/// [`converge`] takes it out again unless its ruleset knows the pod, or it is a newcomer. Doing it twice is no error.
pub fn add_local_pod(address: IpAddr) -> Result<(), Error> {
    commit_pod(address, true)
}

/// Forgets a pod of this node; one that is not known is no error.
pub fn remove_local_pod(address: IpAddr) -> Result<(), Error> {
    match commit_pod(address, false) {
        Err(Error::NotLoaded) => Ok(()),
        done => done,
    }
}

fn commit_pod(address: IpAddr, comes: bool) -> Result<(), Error> {
    let set = SetName {
        purpose: rules::LOCAL_PODS,
        family: Family::of(address),
    };
    let element = Element::from(address);
    let changes: Vec<Change> = if comes {
        wire::add_elements(set, SetKind::Addresses, [&element])
    } else {
        wire::remove_elements(set, SetKind::Addresses, [&element])
    };
    match Socket::open()?.commit(&changes) {
        Err(Error::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {
            Err(Error::NotLoaded)
        }
        done => done,
    }
}

/// What the kernel holds.
enum There {
    /// Not our table, or not as it should be.
    Other(String),
    /// Our table, with these elements of its sets, in the order of the sets.
    Sets(Vec<BTreeSet<Element>>),
}

fn read(socket: &mut Socket, table: &Table) -> Result<There, Error> {
    for _ in 0..ATTEMPTS {
        match read_once(socket, table) {
            Err(Error::Busy) => {}
            // Someone deleted the set since the sets were listed.
            Err(Error::List { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {}
            done => return done,
        }
    }
    Err(Error::Busy)
}

fn read_once(socket: &mut Socket, table: &Table) -> Result<There, Error> {
    let there = dump::shape(socket)?;
    if let Some(because) = diff::difference(there.as_ref(), &dump::Shape::from(table)) {
        return Ok(There::Other(because));
    }
    let mut sets = vec![];
    for set in &table.sets {
        match dump::elements(socket, set)? {
            Some(elements) => sets.push(elements),
            None => return Ok(There::Other(format!("set {} held something else", set.name))),
        }
    }
    Ok(There::Sets(sets))
}

fn compare(there: &[BTreeSet<Element>], table: &Table) -> diff::Elements {
    let mut elements = diff::Elements::default();
    for (there, set) in there.iter().zip(&table.sets) {
        elements.collect(there, set);
    }
    elements
}
