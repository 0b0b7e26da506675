//! The latest known state of all objects of one kind.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use hybridnet_api::{IpInstance, Network, NodeInfo, Subnet};
use kube::Resource;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Namespace (empty for cluster-wide kinds) and name.
pub type Key = (String, String);

/// A kind that is watched.
pub trait Watched:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
    /// Whether nothing that this node cares about differs. Addresses in use are counted in the status of
    /// subnets: nodes must not wake for each pod of the cluster.
    fn is_same(&self, other: &Self) -> bool;
}

/// A copy of all objects of a kind. Clones share it.
#[derive(Debug)]
pub struct Cache<K>(Arc<watch::Sender<Store<K>>>);

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Store::default())))
    }
}

impl<K: Watched> Cache<K> {
    /// Takes in one event of the watch; wakes those who wait if it matters, and says so.
    pub fn apply(&self, event: Event<K>) -> bool {
        self.0.send_if_modified(|store| store.apply(event))
    }

    /// The object of that namespace (empty for cluster-wide kinds) and name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.0
            .borrow()
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.0.borrow().objects.values().cloned().collect()
    }

    /// Whether one full list has been seen.
    pub fn is_synced(&self) -> bool {
        self.0.borrow().synced
    }

    /// Waits for one full list.
    pub async fn synced(&self) {
        // We hold the sender ourselves, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|store| store.synced).await;
    }

    /// For waiting: each change that matters is seen.
    pub fn subscribe(&self) -> watch::Receiver<Store<K>> {
        self.0.subscribe()
    }
}

/// What a [`Cache`] holds.
#[derive(Debug)]
pub struct Store<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Objects of a list under way.
    listed: BTreeMap<Key, Arc<K>>,
    synced: bool,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listed: BTreeMap::new(),
            synced: false,
        }
    }
}

impl<K> Store<K> {
    /// The objects of one namespace, by name.
    pub fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<K>> {
        let from = (namespace.to_owned(), String::new());
        self.objects
            .range(from..)
            .take_while(move |((of, _), _)| of == namespace)
            .map(|(_, object)| object)
    }
}

impl<K: Watched> Store<K> {
    /// Takes in one event and says whether it matters.
    fn apply(&mut self, event: Event<K>) -> bool {
        match event {
            Event::Init => {
                self.listed.clear();
                false
            }
            Event::InitApply(object) => {
                let (key, object) = entry(object);
                self.listed.insert(key, object);
                false
            }
            Event::InitDone => {
                let old = std::mem::replace(&mut self.objects, std::mem::take(&mut self.listed));
                let first = !std::mem::replace(&mut self.synced, true);
                first || !same(&old, &self.objects)
            }
            Event::Apply(object) => {
                let (key, object) = entry(object);
                let old = self.objects.insert(key, object.clone());
                old.is_none_or(|old| !old.is_same(&object))
            }
            Event::Delete(object) => self.objects.remove(&key(&object)).is_some(),
        }
    }
}

fn same<K: Watched>(old: &BTreeMap<Key, Arc<K>>, new: &BTreeMap<Key, Arc<K>>) -> bool {
    old.len() == new.len()
        && old
            .iter()
            .zip(new)
            .all(|((a, old), (b, new))| a == b && old.is_same(new))
}

fn key(object: &impl Resource) -> Key {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn entry<K: Resource>(mut object: K) -> (Key, Arc<K>) {
    // Half of an object's size, and of no use to us.
    object.meta_mut().managed_fields = None;
    (key(&object), Arc::new(object))
}

/// Whether both are the same object, in the same state of life.
fn same_life(a: &impl Resource, b: &impl Resource) -> bool {
    a.meta().uid == b.meta().uid && a.meta().deletion_timestamp == b.meta().deletion_timestamp
}

impl Watched for Network {
    fn is_same(&self, other: &Self) -> bool {
        fn nodes(network: &Network) -> &[String] {
            network.status.as_ref().map_or(&[], |status| &status.node_list)
        }
        same_life(self, other) && self.spec == other.spec && nodes(self) == nodes(other)
    }
}

impl Watched for Subnet {
    fn is_same(&self, other: &Self) -> bool {
        same_life(self, other) && self.spec == other.spec
    }
}

impl Watched for NodeInfo {
    fn is_same(&self, other: &Self) -> bool {
        same_life(self, other)
            && self.spec == other.spec
            && self.metadata.owner_references == other.metadata.owner_references
    }
}

impl Watched for IpInstance {
    fn is_same(&self, other: &Self) -> bool {
        same_life(self, other) && self.spec == other.spec && self.metadata.labels == other.metadata.labels
    }
}

#[cfg(test)]
mod tests {
    use hybridnet_api::{SubnetSpec, SubnetStatus};

    use super::*;

    fn subnet(name: &str, cidr: &str, used: i32) -> Subnet {
        let mut subnet = Subnet::new(name, SubnetSpec::default());
        subnet.spec.range.cidr = cidr.into();
        subnet.status = Some(SubnetStatus {
            used,
            ..SubnetStatus::default()
        });
        subnet
    }

    fn names(cache: &Cache<Subnet>) -> Vec<String> {
        cache
            .all()
            .iter()
            .filter_map(|subnet| subnet.metadata.name.clone())
            .collect()
    }

    #[test]
    fn a_list_takes_effect_at_its_end_and_forgets_what_it_does_not_show() {
        let cache = Cache::default();
        assert!(cache.apply(Event::Apply(subnet("old", "10.0.0.0/24", 0))));

        assert!(!cache.apply(Event::Init));
        assert!(!cache.apply(Event::InitApply(subnet("new", "10.0.0.0/24", 0))));
        assert_eq!(names(&cache), ["old"]);
        assert!(!cache.is_synced());
        assert!(cache.apply(Event::InitDone));

        assert_eq!(names(&cache), ["new"]);
        assert!(cache.is_synced());
    }

    #[test]
    fn counting_addresses_wakes_nobody_but_is_remembered() {
        let cache = Cache::default();
        cache.apply(Event::Apply(subnet("a", "10.0.0.0/24", 0)));

        assert!(!cache.apply(Event::Apply(subnet("a", "10.0.0.0/24", 1))));
        assert_eq!(cache.get("", "a").unwrap().status.as_ref().unwrap().used, 1);

        assert!(cache.apply(Event::Apply(subnet("a", "10.0.1.0/24", 1))));
        assert!(cache.apply(Event::Delete(subnet("a", "10.0.1.0/24", 1))));
        assert!(!cache.apply(Event::Delete(subnet("a", "10.0.1.0/24", 1))));
    }

    #[test]
    fn a_second_list_that_says_the_same_wakes_nobody() {
        let cache = Cache::default();
        let list = || {
            [
                Event::Init,
                Event::InitApply(subnet("a", "10.0.0.0/24", 0)),
                Event::InitDone,
            ]
        };

        assert_eq!(list().map(|event| cache.apply(event)), [false, false, true]);
        assert_eq!(list().map(|event| cache.apply(event)), [false, false, false]);
    }
}
