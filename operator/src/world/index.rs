//! `IPInstance`s by what they are looked up by.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

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
    /// Names of a virtual machine's objects, by its namespace and name.
    macshine: HashMap<Key, BTreeSet<String>>,
    /// The objects that carry a MAC: two for a dual-stack pod.
    macs: HashMap<String, Vec<Arc<IpInstance>>>,
}

impl Index {
    /// Takes in a change.
    pub fn apply(&mut self, change: &Change<IpInstance>) {
        if let Some(old) = &change.old {
            let key = Key::of(old.as_ref());
            if let Some(pod) = pod_of(old) {
                remove(&mut self.by_pod, &pod, &key.name);
            }
            if let Some(machine) = machine_of(old) {
                remove(&mut self.macshine, &machine, &key.name);
            }
            remove(&mut self.by_name, &key.name, &key.namespace);
            self.forget_mac(&old.spec.address.mac, &key);
        }
        if let Some(new) = &change.new {
            let key = Key::of(new.as_ref());
            if let Some(pod) = pod_of(new) {
                self.by_pod.entry(pod).or_default().insert(key.name.clone());
            }
            if let Some(machine) = machine_of(new) {
                self.macshine.entry(machine).or_default().insert(key.name.clone());
            }
            let carriers = self.macs.entry(new.spec.address.mac.clone());
            // Mostly it stays the only one, and there are as many of these as addresses.
            carriers
                .or_insert_with(|| Vec::with_capacity(1))
                .push(new.clone());
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
        found(&self.by_pod, pod)
    }

    /// The objects of a virtual machine, whichever pod runs it.
    pub fn of_machine(&self, machine: &Key) -> impl Iterator<Item = Key> {
        found(&self.macshine, machine)
    }

    /// The objects in a network that carry the MAC.
    pub fn with_mac(&self, network: &str, mac: &str) -> impl Iterator<Item = &Arc<IpInstance>> {
        let carriers = self.macs.get(mac).into_iter().flatten();
        carriers.filter(move |object| object.spec.network == network)
    }

    fn forget_mac(&mut self, mac: &str, key: &Key) {
        if let Some(carriers) = self.macs.get_mut(mac) {
            carriers.retain(|object| Key::of(object.as_ref()) != *key);
            if carriers.is_empty() {
                self.macs.remove(mac);
            }
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

/// Namespace and name of the virtual machine that an object belongs to.
fn machine_of(instance: &IpInstance) -> Option<Key> {
    let name = instance.meta().labels.as_ref()?.get(label::VM)?;
    Some(Key {
        namespace: instance.metadata.namespace.clone().unwrap_or_default(),
        name: name.clone(),
    })
}

/// Objects share the namespace of whom they belong to.
fn found(map: &HashMap<Key, BTreeSet<String>>, of: &Key) -> impl Iterator<Item = Key> {
    let names = map.get(of).into_iter().flatten();
    names.map(move |name| Key {
        namespace: of.namespace.clone(),
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
        assert_eq!(index.with_mac("net", &object.spec.address.mac).count(), 1);
        assert_eq!(index.with_mac("other", &object.spec.address.mac).count(), 0);

        index.apply(&gone);
        assert_eq!(index.of_pod(&pod).count() + index.named("10-0-0-2").count(), 0);
        assert_eq!(index.with_mac("net", &object.spec.address.mac).count(), 0);
        assert!(index.by_name.is_empty() && index.by_pod.is_empty() && index.macs.is_empty());
    }

    #[test]
    fn the_objects_of_a_machine_are_found_without_their_pod() {
        let mut index = Index::default();
        let object = instance("ns", "10.0.0.2").label(label::VM, "vm").shared();
        let machine = machine_of(&object).unwrap();
        let other = Key {
            namespace: "other".to_owned(),
            ..machine.clone()
        };

        index.apply(&Change {
            old: None,
            new: Some(object.clone()),
        });
        assert_eq!(index.of_machine(&machine).count(), 1);
        assert_eq!(index.of_machine(&other).count(), 0);

        index.apply(&Change {
            old: Some(object),
            new: None,
        });
        assert!(index.macshine.is_empty());
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
