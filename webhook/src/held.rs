//! The addresses that pods hold, by pod: an index fed by the watch of `IPInstances`. A cluster has as many
//! of them as pods, so of each object only what the choice of a network reads is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hybridnet_api::ip_instance::{Address, Binding};
use hybridnet_api::names::label;
use hybridnet_api::{IpInstance, IpInstanceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

/// Addresses by (namespace, pod label).
#[derive(Debug, Default)]
pub struct Held {
    index: Index,
    // Filled between `Init` and `InitDone`, so that a new list takes the old one's place at once.
    next: Option<Index>,
}

#[derive(Debug, Default)]
struct Index {
    pods: HashMap<Key, BTreeMap<Box<str>, Compact>>,
    pod_of: HashMap<Key, Box<str>>,
}

type Key = (Box<str>, Box<str>);

#[derive(Debug)]
struct Compact {
    network: Box<str>,
    subnet: Box<str>,
    version: Box<str>,
    ip: Box<str>,
    node: Box<str>,
    created: Option<Time>,
    deleted: Option<Time>,
}

impl Held {
    /// Follows the watch.
    pub fn apply(&mut self, event: Event<IpInstance>) {
        match event {
            Event::Init => self.next = Some(Index::default()),
            Event::InitApply(instance) => self.next.get_or_insert_default().put(&instance),
            Event::InitDone => self.index = self.next.take().unwrap_or_default(),
            Event::Apply(instance) => self.index.put(&instance),
            Event::Delete(instance) => self.index.forget(&instance),
        }
    }

    /// What carries the pod's label in the namespace, by name; only the fields that are kept are filled.
    pub fn of_pod(&self, namespace: &str, pod: &str) -> Vec<Arc<IpInstance>> {
        let held = self.index.pods.get(&(namespace.into(), pod.into()));
        let held = held.into_iter().flatten();
        held.map(|(name, compact)| Arc::new(compact.expand(namespace, name, pod)))
            .collect()
    }
}

impl Index {
    fn put(&mut self, instance: &IpInstance) {
        self.forget(instance);
        let Some(pod) = instance.labels().get(label::POD) else {
            return;
        };
        let namespace: Box<str> = instance.namespace().unwrap_or_default().into();
        let name: Box<str> = instance.name_any().into();
        self.pod_of
            .insert((namespace.clone(), name.clone()), pod.as_str().into());
        self.pods
            .entry((namespace, pod.as_str().into()))
            .or_default()
            .insert(name, Compact::of(instance));
    }

    fn forget(&mut self, instance: &IpInstance) {
        let namespace: Box<str> = instance.namespace().unwrap_or_default().into();
        let name: Box<str> = instance.name_any().into();
        let Some(pod) = self.pod_of.remove(&(namespace.clone(), name.clone())) else {
            return;
        };
        let key = (namespace, pod);
        if let Some(held) = self.pods.get_mut(&key) {
            held.remove(&name);
            if held.is_empty() {
                self.pods.remove(&key);
            }
        }
    }
}

impl Compact {
    fn of(instance: &IpInstance) -> Self {
        let spec = &instance.spec;
        let node = spec.binding.as_ref().map_or("", |binding| &binding.node_name);
        Self {
            network: spec.network.as_str().into(),
            subnet: spec.subnet.as_str().into(),
            version: spec.address.version.as_str().into(),
            ip: spec.address.ip.as_str().into(),
            node: node.into(),
            created: instance.metadata.creation_timestamp.clone(),
            deleted: instance.metadata.deletion_timestamp.clone(),
        }
    }

    fn expand(&self, namespace: &str, name: &str, pod: &str) -> IpInstance {
        IpInstance {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some(BTreeMap::from([(label::POD.to_owned(), pod.to_owned())])),
                creation_timestamp: self.created.clone(),
                deletion_timestamp: self.deleted.clone(),
                ..ObjectMeta::default()
            },
            spec: IpInstanceSpec {
                network: self.network.to_string(),
                subnet: self.subnet.to_string(),
                address: Address {
                    version: self.version.to_string(),
                    ip: self.ip.to_string(),
                    ..Address::default()
                },
                binding: Some(Binding {
                    node_name: self.node.to_string(),
                    ..Binding::default()
                }),
            },
            status: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str, pod: Option<&str>) -> IpInstance {
        let mut instance = IpInstance::new(
            name,
            IpInstanceSpec {
                network: "n".to_owned(),
                subnet: "s".to_owned(),
                ..IpInstanceSpec::default()
            },
        );
        instance.metadata.namespace = Some("d".to_owned());
        instance.metadata.labels = pod.map(|pod| BTreeMap::from([(label::POD.to_owned(), pod.to_owned())]));
        instance
    }

    fn names(held: &Held, pod: &str) -> Vec<String> {
        held.of_pod("d", pod)
            .iter()
            .map(|instance| instance.name_any())
            .collect()
    }

    fn listed(instances: &[IpInstance]) -> Held {
        let mut held = Held::default();
        relist(&mut held, instances);
        held
    }

    fn relist(held: &mut Held, instances: &[IpInstance]) {
        held.apply(Event::Init);
        for instance in instances {
            held.apply(Event::InitApply(instance.clone()));
        }
        held.apply(Event::InitDone);
    }

    #[test]
    fn a_pod_finds_its_own_addresses_only() {
        let held = listed(&[
            instance("2", Some("a")),
            instance("1", Some("a")),
            instance("3", Some("b")),
        ]);
        assert_eq!(names(&held, "a"), ["1", "2"]);
        assert_eq!(names(&held, "c"), [""; 0]);
        assert!(held.of_pod("elsewhere", "a").is_empty());
    }

    #[test]
    fn what_the_choice_of_a_network_reads_survives() {
        let mut given = instance("1", Some("a"));
        given.spec.address = Address {
            version: "4".into(),
            ip: "10.0.0.1/24".into(),
            ..Address::default()
        };
        given.spec.binding = Some(Binding {
            node_name: "node1".into(),
            ..Binding::default()
        });
        let held = listed(std::slice::from_ref(&given));
        assert_eq!(held.of_pod("d", "a"), [Arc::new(given)]);
    }

    #[test]
    fn an_address_moves_with_its_label_and_goes_with_it() {
        let mut held = listed(&[instance("1", Some("a"))]);
        held.apply(Event::Apply(instance("1", Some("b"))));
        assert_eq!((names(&held, "a").len(), names(&held, "b").len()), (0, 1));
        held.apply(Event::Apply(instance("1", None)));
        assert!(names(&held, "b").is_empty());
        assert!(held.index.pods.is_empty() && held.index.pod_of.is_empty());
    }

    #[test]
    fn a_new_list_takes_the_old_ones_place_at_its_end() {
        let mut held = listed(&[instance("1", Some("a"))]);
        held.apply(Event::Init);
        held.apply(Event::InitApply(instance("2", Some("a"))));
        assert_eq!(names(&held, "a"), ["1"]);
        held.apply(Event::InitDone);
        assert_eq!(names(&held, "a"), ["2"]);
        held.apply(Event::Delete(instance("2", Some("a"))));
        assert!(names(&held, "a").is_empty());
    }
}
