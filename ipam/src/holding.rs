//! Who holds an address: the `IPInstance`s that the API is known to have, and at most one claim that is
//! being written.
//!
//! An address is free when it has neither. So a rollback takes the claim away and whatever was there
//! before is what is left, also when the API changed it meanwhile; and of two objects for one address
//! none is given away, because the address has a holder until both are gone.

use std::net::IpAddr;

use crate::directory::ObjectName;
use crate::request::Ticket;

/// Identity of who holds an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Namespace of the `IPInstance`.
    pub namespace: String,
    /// Name of the `IPInstance`.
    pub instance: String,
    /// UID of the `IPInstance`; empty as long as it has not been seen.
    pub instance_uid: String,
    /// Name of the pod; empty when no pod is bound.
    pub pod: String,
    /// UID of the pod, or of the workload that an address is retained for; may be empty.
    pub pod_uid: String,
}

impl Owner {
    /// Namespace and name of the object.
    pub(crate) fn name(&self) -> ObjectName {
        ObjectName {
            namespace: self.namespace.clone(),
            instance: self.instance.clone(),
        }
    }

    /// Whether this is the object's name.
    pub(crate) fn is_named(&self, name: &ObjectName) -> bool {
        self.namespace == name.namespace && self.instance == name.instance
    }

    /// Whether both speak of one object name.
    pub(crate) fn same_name(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.instance == other.instance
    }

    /// Whether both speak of one object. Names come back, UIDs do not: where one side has not seen the
    /// object yet, the pod's UID decides.
    pub(crate) fn same_object(&self, other: &Self) -> bool {
        self.same_name(other)
            && if self.instance_uid.is_empty() || other.instance_uid.is_empty() {
                self.pod_uid == other.pod_uid
            } else {
                self.instance_uid == other.instance_uid
            }
    }
}

/// Whether a pod is bound to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Bound to a node: `spec.binding.nodeName` is set.
    Allocated,
    /// Kept for a pod to come: `spec.binding.nodeName` is empty.
    Reserved,
}

/// An `IPInstance` that the API has. Objects that are being deleted count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `spec.network`.
    pub network: String,
    /// `spec.subnet`.
    pub subnet: String,
    /// The address of `spec.address.ip`; that of the name when there is none to be read.
    pub ip: IpAddr,
    /// Whose it is.
    pub owner: Owner,
    /// Bound or kept.
    pub state: State,
}

/// What became of an adopted record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Its address is taken.
    Held,
    /// Its address is taken, but no loaded subnet of its network has it; once one does, it is not free.
    Outside,
    /// Another object or a reservation has the address too. Nobody gets it until all are gone.
    Conflict(Conflict),
}

/// Several holders of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The network.
    pub network: String,
    /// The address.
    pub ip: IpAddr,
    /// Who claims it, first come first.
    pub owners: Vec<Owner>,
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Nobody holds the address any more.
    Freed,
    /// This holder is gone, others remain.
    StillHeld,
    /// This owner did not hold the address: nothing was changed.
    NotTheOwner,
}

/// One holder of an address, to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Name of the subnet that the holder speaks of.
    pub subnet: String,
    /// Whose it is.
    pub owner: Owner,
    /// How it is held.
    pub standing: Standing,
}

/// How an address is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// By a reservation that is neither committed nor rolled back.
    InFlight,
    /// By a committed reservation whose `IPInstance` has not been seen yet.
    Written,
    /// By an `IPInstance` that was seen, bound or kept.
    Seen(State),
}

/// All holders of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) entries: Vec<Entry>,
    pub(crate) claim: Option<Claim>,
}

/// An `IPInstance` that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) subnet: String,
    pub(crate) owner: Owner,
    pub(crate) state: State,
    /// Whether the object says that it has the address. Otherwise it only bears its name: then nobody can
    /// have the address, for nobody can write an object for it.
    pub(crate) recorded: bool,
}

/// An `IPInstance` that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) ticket: Ticket,
    pub(crate) subnet: String,
    pub(crate) owner: Owner,
}

impl Holding {
    /// Takes in an object that exists; gives the claim that it fulfils.
    pub(crate) fn adopt(&mut self, entry: Entry) -> Option<Claim> {
        let fulfils = |claim: &mut Claim| {
            claim.owner.same_name(&entry.owner) && claim.owner.pod_uid == entry.owner.pod_uid
        };
        let claim = self.claim.take_if(fulfils);
        self.put(entry);
        claim
    }

    /// Turns the claim of this reservation into an object that exists.
    pub(crate) fn commit(&mut self, ticket: Ticket) {
        if let Some(claim) = self.claim.take_if(|claim| claim.ticket == ticket) {
            self.put(Entry {
                subnet: claim.subnet,
                owner: claim.owner,
                state: State::Allocated,
                recorded: true,
            });
        }
    }

    /// Takes back the claim of this reservation.
    pub(crate) fn rollback(&mut self, ticket: Ticket) {
        self.claim.take_if(|claim| claim.ticket == ticket);
    }

    /// Forgets the object of this owner. A claim stays: only its reservation knows how the write ended.
    pub(crate) fn release(&mut self, owner: &Owner) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.owner.same_object(owner));
        self.entries.len() < before
    }

    /// Forgets the object of this name, which was seen elsewhere. One that was never seen stays: it may be
    /// younger than what was seen.
    pub(crate) fn forsake(&mut self, name: &ObjectName) {
        self.entries
            .retain(|entry| !entry.owner.is_named(name) || entry.owner.instance_uid.is_empty());
    }

    /// Whether the object of this name exists here or is being written.
    pub(crate) fn has(&self, name: &ObjectName) -> bool {
        let entries = self.entries.iter().map(|entry| &entry.owner);
        let claim = self.claim.iter().map(|claim| &claim.owner);
        entries.chain(claim).any(|owner| owner.is_named(name))
    }

    /// The objects that exist or are being written, each once.
    pub(crate) fn names(&self) -> Vec<ObjectName> {
        let entries = self.entries.iter().map(|entry| &entry.owner);
        let claim = self.claim.iter().map(|claim| &claim.owner);
        let mut names: Vec<_> = entries.chain(claim).map(Owner::name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether an object that exists says that it has the address, of this subnet.
    pub(crate) fn is_recorded_in(&self, subnet: &str) -> bool {
        let mut all = self.entries.iter();
        all.any(|entry| entry.recorded && entry.subnet == subnet)
    }

    pub(crate) fn is_free(&self) -> bool {
        self.entries.is_empty() && self.claim.is_none()
    }

    /// The holders, when they are not one and the same object.
    pub(crate) fn rivals(&self) -> Option<Vec<Owner>> {
        let claim = self.claim.iter().map(|claim| &claim.owner);
        let mut owners: Vec<Owner> = Vec::new();
        for owner in self.entries.iter().map(|entry| &entry.owner).chain(claim) {
            if !owners.iter().any(|known| known.same_name(owner)) {
                owners.push(owner.clone());
            }
        }
        (owners.len() > 1).then_some(owners)
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = Held> + '_ {
        let entries = self.entries.iter().map(|entry| Held {
            subnet: entry.subnet.clone(),
            owner: entry.owner.clone(),
            standing: if entry.owner.instance_uid.is_empty() {
                Standing::Written
            } else {
                Standing::Seen(entry.state)
            },
        });
        let claim = self.claim.iter().map(|claim| Held {
            subnet: claim.subnet.clone(),
            owner: claim.owner.clone(),
            standing: Standing::InFlight,
        });
        entries.chain(claim)
    }

    fn put(&mut self, entry: Entry) {
        match self
            .entries
            .iter_mut()
            .find(|known| known.owner.same_name(&entry.owner))
        {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }
}
