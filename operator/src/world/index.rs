//! `IPInstance`s by what they are looked up by.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use hybridnet_api::IpInstance;
use hybridnet_api::names::label;
use kube::Resource;

use crate::world::store::{Change, Key};

/// The look-ups.
#[derive(Debug, Default)]
pub struct Index {
    /// Namespaces that hold an object of a name: of an address.
    by_name: HashMap<String, BTreeSet<String>>,
    /// Names of a pod's objects, by its namespace and the label form of its name.
    by_pod: HashMap<Key, BTreeSet<String>>,
    /// How many objects carry a MAC.
    macs: HashMap<String, usize>,
}

impl Index {
    /// Takes in a change.
    pub fn apply(&mut self, change: &Change<IpInstance>) {
        if let Some(old) = &change.old {
            let key = Key::of(old.as_ref());
            if let Some(pod) = pod_of(old) {
                remove(&mut self.by_pod, &pod, &key.name);
            }
            remove(&mut self.by_name, &key.name, &key.namespace);
            self.forget_mac(&old.spec.address.mac);
        }
        if let Some(new) = &change.new {
            let key = Key::of(new.as_ref());
            if let Some(pod) = pod_of(new) {
                self.by_pod.entry(pod).or_default().insert(key.name.clone());
            }
            *self.macs.entry(new.spec.address.mac.clone()).or_default() += 1;
            self.by_name.entry(key.name).or_default().insert(key.namespace);
        }
    }

    /// All objects of a name, whatever their namespace.
    pub fn named(&self, name: &str) -> impl Iterator<Item = Key> {
        let namespaces = self.by_name.get(name).into_iter().flatten();
        namespaces.map(move |namespace| Key {
            namespace: namespace.clone(),
            name: name.to_owned(),
        })
    }

    /// The objects of a pod; `pod` carries the label form of the name.
    pub fn of_pod(&self, pod: &Key) -> impl Iterator<Item = Key> {
        let names = self.by_pod.get(pod).into_iter().flatten();
        names.map(move |name| Key {
            namespace: pod.namespace.clone(),
            name: name.clone(),
        })
    }

    /// Whether any object carries the MAC.
    pub fn has_mac(&self, mac: &str) -> bool {
        self.macs.contains_key(mac)
    }

    fn forget_mac(&mut self, mac: &str) {
        let Some(count) = self.macs.get_mut(mac) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.macs.remove(mac);
        }
    }
}

/// Namespace and name label of the pod that an object belongs to.
pub fn pod_of(instance: &IpInstance) -> Option<Key> {
    let name = instance.meta().labels.as_ref()?.get(label::POD)?;
    Some(Key {
        namespace: instance.metadata.namespace.clone().unwrap_or_default(),
        name: name.clone(),
    })
}

fn remove<K: Hash + Eq>(map: &mut HashMap<K, BTreeSet<String>>, key: &K, value: &str) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fixtures::instance;

    #[test]
    fn what_is_gone_is_no_longer_found() {
        let mut index = Index::default();
        let object = Arc::new(instance("ns", "10.0.0.2").pod("p").build());
        let pod = pod_of(&object).unwrap();
        let there = Change {
            old: None,
            new: Some(object.clone()),
        };
        let gone = Change {
            old: Some(object.clone()),
            new: None,
        };

        index.apply(&there);
        assert_eq!(index.of_pod(&pod).count(), 1);
        assert_eq!(
            index.named("10-0-0-2").next().map(|key| key.namespace),
            Some("ns".to_owned())
        );
        assert!(index.has_mac(&object.spec.address.mac));

        index.apply(&gone);
        assert_eq!(index.of_pod(&pod).count() + index.named("10-0-0-2").count(), 0);
        assert!(!index.has_mac(&object.spec.address.mac));
        assert!(index.by_name.is_empty() && index.by_pod.is_empty() && index.macs.is_empty());
    }

    #[test]
    fn an_object_that_changes_hands_is_found_under_its_new_pod_only() {
        let mut index = Index::default();
        let old = Arc::new(instance("ns", "10.0.0.2").pod("p").build());
        let new = Arc::new(instance("ns", "10.0.0.2").pod("q").build());
        index.apply(&Change {
            old: None,
            new: Some(old.clone()),
        });

        index.apply(&Change {
            old: Some(old.clone()),
            new: Some(new.clone()),
        });

        let found = [&old, &new].map(|object| index.of_pod(&pod_of(object).unwrap()).count());
        assert_eq!(found, [0, 1]);
    }
}
