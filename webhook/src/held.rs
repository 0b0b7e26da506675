//! The addresses that pods and virtual machines hold, by holder: an index fed by the watch of `IPInstances`. A
//! cluster has as many of them as pods, so of each object only what the choice of a network reads is kept.

mod tally;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hybridnet_api::ip_instance::{Address, Binding};
use hybridnet_api::names::label;
use hybridnet_api::{IpInstance, IpInstanceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

use tally::Tally;

/// Addresses by namespace and label.
#[derive(Debug, Default)]
pub struct Held {
    index: Index,
    // Filled between `Init` and `InitDone`, so that a new list takes the old one's place at once.
    next: Option<Index>,
}

#[derive(Debug)]
struct Index {
    pods: By,
    vms: By,
    tally: Tally,
}

// The objects that carry one label, by namespace and the label's value.
#[derive(Debug)]
struct By {
    label: &'static str,
    held: HashMap<Key, BTreeMap<Box<str>, Compact>>,
    holder_of: HashMap<Key, Box<str>>,
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
        self.index.pods.of(namespace, pod)
    }

    /// The same for the label of a virtual machine.
    pub fn of_vm(&self, namespace: &str, vm: &str) -> Vec<Arc<IpInstance>> {
        self.index.vms.of(namespace, vm)
    }

    /// How many there are in the namespace, whoever holds them; those that are being deleted do not count.
    pub fn in_namespace(&self, namespace: &str) -> u64 {
        self.index.tally.of(namespace)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            pods: By::new(label::POD),
            vms: By::new(label::VM),
            tally: Tally::default(),
        }
    }
}

impl Index {
    fn put(&mut self, instance: &IpInstance) {
        self.pods.put(instance);
        self.vms.put(instance);
        self.tally.put(instance);
    }

    fn forget(&mut self, instance: &IpInstance) {
        self.pods.forget(instance);
        self.vms.forget(instance);
        self.tally.forget(instance);
    }
}

impl By {
    fn new(label: &'static str) -> Self {
        Self {
            label,
            held: HashMap::new(),
            holder_of: HashMap::new(),
        }
    }

    fn of(&self, namespace: &str, holder: &str) -> Vec<Arc<IpInstance>> {
        let held = self.held.get(&(namespace.into(), holder.into()));
        let held = held.into_iter().flatten();
        held.map(|(name, compact)| Arc::new(compact.expand(namespace, name, (self.label, holder))))
            .collect()
    }

    fn put(&mut self, instance: &IpInstance) {
        self.forget(instance);
        let Some(holder) = instance.labels().get(self.label) else {
            return;
        };
        let (namespace, name) = identity(instance);
        self.holder_of
            .insert((namespace.clone(), name.clone()), holder.as_str().into());
        let held = self.held.entry((namespace, holder.as_str().into())).or_default();
        held.insert(name, Compact::of(instance));
    }

    fn forget(&mut self, instance: &IpInstance) {
        let (namespace, name) = identity(instance);
        let Some(holder) = self.holder_of.remove(&(namespace.clone(), name.clone())) else {
            return;
        };
        let key = (namespace, holder);
        if let Some(held) = self.held.get_mut(&key) {
            held.remove(&name);
            if held.is_empty() {
                self.held.remove(&key);
            }
        }
    }
}

fn identity(instance: &IpInstance) -> Key {
    (
        instance.namespace().unwrap_or_default().into(),
        instance.name_any().into(),
    )
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

    fn expand(&self, namespace: &str, name: &str, (key, holder): (&str, &str)) -> IpInstance {
        IpInstance {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some(BTreeMap::from([(key.to_owned(), holder.to_owned())])),
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
        assert!(held.index.pods.held.is_empty() && held.index.pods.holder_of.is_empty());
    }

    #[test]
    fn a_virtual_machine_finds_what_carries_its_label() {
        let mut reserved = instance("1", None);
        reserved.metadata.labels = Some(BTreeMap::from([(label::VM.to_owned(), "mine".to_owned())]));
        let held = listed(&[reserved.clone(), instance("2", Some("mine"))]);
        let found = held.of_vm("d", "mine");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name_any(), found[0].labels()),
            (reserved.name_any(), reserved.labels())
        );
    }

    #[test]
    fn addresses_of_nobody_count_too() {
        let mut held = listed(&[instance("1", Some("a")), instance("2", None)]);
        assert_eq!((held.in_namespace("d"), held.in_namespace("e")), (2, 0));
        held.apply(Event::Delete(instance("2", None)));
        assert_eq!(held.in_namespace("d"), 1);
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
