//! What the collector looks at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hybridnet_api::IpInstance;

use crate::world::World;
use crate::world::addresses::unrecorded::Unrecorded;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// The world within some milliseconds. Objects are shared with it, so a cluster of a hundred thousand pods costs
/// no more than that, and little memory.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All addresses.
    pub instances: Vec<Arc<IpInstance>>,
    /// All pods.
    pub pods: HashMap<Key, Arc<Pod>>,
    /// Names of all nodes.
    pub nodes: HashSet<String>,
    /// What memory holds and the API does not.
    pub unrecorded: Vec<Unrecorded>,
}

impl Snapshot {
    /// Of now.
    pub fn of(world: &World) -> Self {
        // One after the other, so that nobody waits long. Pods come last: one that came between has no address
        // in what was taken first.
        let unrecorded = world.with(|state| state.addresses.unrecorded());
        let instances = world.with(|state| state.ip_instances.iter().cloned().collect());
        let nodes = world.with(|state| state.nodes.keys().map(|key| key.name.clone()).collect());
        let pods: Vec<_> = world.with(|state| state.pods.iter().cloned().collect());
        Self {
            instances,
            pods: pods.into_iter().map(|pod| (Key::of(pod.as_ref()), pod)).collect(),
            nodes,
            unrecorded,
        }
    }

    /// The pod of a name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        self.pods.get(&Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}
