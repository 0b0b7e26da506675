//! Who holds an address.

use std::collections::BTreeSet;

use hybridnet_ipam::{Owner, State};

/// An object that exists, at one of the addresses that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct NaiveObject {
    pub owner: Owner,
    pub state: State,
    /// It says that it has the address; otherwise it is only named after it.
    pub recorded: bool,
}

#[derive(Clone, Debug, Default)]
pub struct NaiveHolding {
    /// Objects that exist, at most one of a name.
    pub objects: Vec<NaiveObject>,
    pub claim: Option<(usize, Owner)>,
}

impl NaiveHolding {
    pub fn names(&self) -> BTreeSet<Name> {
        let objects = self.objects.iter().map(|object| &object.owner);
        let claim = self.claim.iter().map(|(_, owner)| owner);
        objects.chain(claim).map(name).collect()
    }
}

/// Namespace and name of an object.
pub type Name = (String, String);

pub fn name(owner: &Owner) -> Name {
    (owner.namespace.clone(), owner.instance.clone())
}

pub fn is_same(known: &Owner, gone: &Owner) -> bool {
    let by_uid = !known.instance_uid.is_empty() && !gone.instance_uid.is_empty();
    let same = if by_uid {
        known.instance_uid == gone.instance_uid
    } else {
        known.pod_uid == gone.pod_uid
    };
    same && name(known) == name(gone)
}

pub fn put(objects: &mut Vec<NaiveObject>, new: NaiveObject) {
    match objects
        .iter_mut()
        .find(|known| name(&known.owner) == name(&new.owner))
    {
        Some(known) => *known = new,
        None => objects.push(new),
    }
}
