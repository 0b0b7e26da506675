//! What the API server says, as far as the manager cares, and who has to know when it changes.
//!
//! ```text
//!   feeds (one watch a kind) ──┐                 ┌─► queues ─► controllers
//!                              ▼                 │                 │
//!                     World { stores, index, addresses }           │
//!                              ▲                                   │
//!                              └──────── answers to our writes ◄───┘
//! ```
//!
//! All of it sits behind one lock that is never held across an await; what happens under it takes
//! microseconds. A change goes first into its store, then into the allocator, then to the queues, so a
//! controller that is woken never sees less than what woke it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hybridnet_api::pod::name_label;
use hybridnet_api::{IpInstance, Network, Subnet};
use hybridnet_ipam::Reservation;
use k8s_openapi::api::core::v1 as core;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::info;

use crate::metrics::Metrics;
use crate::world::addresses::Addresses;
use crate::world::addresses::unrecorded::Unrecorded;
use crate::world::index::Index;
use crate::world::pod::Pod;
use crate::world::store::{Change, Key, Store};
use crate::world::topology::Topology;
use crate::world::wake::{Queues, Wake};

pub mod addresses;
pub mod index;
mod kinds;
pub mod pod;
pub mod store;
pub mod topology;
pub mod wake;

/// A node: its labels say all.
pub type Node = PartialObjectMeta<core::Node>;
/// A namespace: its annotations and labels say all.
pub type Namespace = PartialObjectMeta<core::Namespace>;

/// Everything that is known.
#[derive(Debug, Default)]
pub struct State {
    /// All Networks.
    pub networks: Store<Network>,
    /// All Subnets.
    pub subnets: Store<Subnet>,
    /// All `IPInstance`s.
    pub ip_instances: Store<IpInstance>,
    /// All nodes.
    pub nodes: Store<Node>,
    /// All pods, also those without an address of ours.
    pub pods: Store<Pod>,
    /// All namespaces.
    pub namespaces: Store<Namespace>,
    /// Look-ups of `IPInstance`s.
    pub index: Index,
    /// Who holds which address.
    pub addresses: Addresses,
    /// Pods that found no free address, by network.
    waiting: HashMap<String, BTreeSet<Key>>,
    /// UIDs of pods of which nothing runs any more, whatever they say: their nodes are gone.
    ended: HashSet<String>,
    /// Pods whose namespace holds as many addresses as it may, by namespace.
    crowded: HashMap<String, BTreeSet<Key>>,
    /// Whether the allocator has been built.
    started: bool,
}

/// A kind that is watched.
pub trait Kind:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
    /// Where objects of the kind are kept.
    fn store(state: &mut State) -> &mut Store<Self>;

    /// Takes away what nobody asks for, before the object is kept.
    fn slim(&mut self) {
        self.meta_mut().managed_fields = None;
    }

    /// Keeps look-ups true.
    fn index(_state: &mut State, _change: &Change<Self>) {}

    /// Keeps the allocator true, and says who has to look.
    fn changed(state: &mut State, change: &Change<Self>) -> Vec<Wake>;
}

/// The state, shared by feeds and controllers.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    queues: Queues,
    started: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

impl World {
    /// Knows nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            state: Mutex::default(),
            queues: Queues::new(),
            started: watch::Sender::new(false),
            metrics,
        }
    }

    /// Takes in one event of a watch. With the last list that completes, the allocator is built and
    /// everything is looked at once.
    pub fn feed<K: Kind>(&self, mut event: Event<K>) {
        if let Event::Apply(object) | Event::InitApply(object) = &mut event {
            object.slim();
        }
        let listed = matches!(event, Event::InitDone);
        let mut state = self.lock();
        let changes = K::store(&mut state).apply(event);
        if listed {
            self.metrics.objects.set_listed(&K::kind(&()), true);
        }
        let mut wakes = taken_in(&mut state, &changes);
        if !state.started && state.missing().is_empty() {
            wakes = state.start();
            self.started.send_replace(true);
            info!(addresses = state.ip_instances.iter().count(), "the API is known");
        }
        self.conclude(state, wakes);
    }

    /// Takes in the answer to a write of ours.
    pub fn learn<K: Kind>(&self, mut object: K) {
        object.slim();
        let mut state = self.lock();
        let change = K::store(&mut state).learn(object);
        let wakes = taken_in(&mut state, change.as_slice());
        self.conclude(state, wakes);
    }

    /// Whether the watch of a kind leaves open if an object is still there.
    pub fn is_in_doubt<K: Kind>(&self) -> bool {
        K::store(&mut self.lock()).is_in_doubt()
    }

    /// Looks at or changes the state. What `f` does must be short: everybody else waits.
    pub fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.lock())
    }

    /// Ends a reservation for a pod of the namespace: `written` of its addresses have an object; objects of
    /// the name of one in `taken` belong to others. What is left is free again, and whoever waits for an
    /// address is woken.
    pub fn settle(
        &self,
        namespace: &str,
        reservation: Reservation,
        mut written: Vec<IpAddr>,
        taken: &[&IpInstance],
    ) {
        let mut state = self.lock();
        for wanted in taken {
            // In the same network the other object holds the address by itself.
            let key = Key::of(*wanted);
            let other = state.ip_instances.get(&key);
            if other.is_some_and(|other| other.spec.network != wanted.spec.network) {
                written.extend(wanted.spec.ip());
                state.addresses.block(key, wanted);
            }
        }
        let addresses = reservation.addresses().iter();
        let returned: Vec<_> = addresses
            .filter(|address| !written.contains(&address.ip))
            .map(|address| (address.network.clone(), address.subnet.clone()))
            .collect();
        state.addresses.settle(reservation, &written);
        let mut wakes = vec![];
        for (network, subnet) in returned {
            wakes.extend(state.waited_for(&network));
            wakes.extend(state.crowded_in(namespace));
            // What was held may have been counted meanwhile.
            wakes.extend([Wake::Network(network), Wake::Subnet(subnet)]);
        }
        self.conclude(state, wakes);
    }

    /// The API is known not to have the object of an address that memory holds. Says whether that freed it.
    pub fn forget(&self, lost: &Unrecorded) -> bool {
        let mut state = self.lock();
        let mut wakes = vec![];
        let freed = state.addresses.forget(lost);
        if freed {
            wakes.extend(state.waited_for(&lost.network));
            wakes.extend(state.crowded_in(&lost.owner.namespace));
            wakes.push(Wake::Network(lost.network.clone()));
            wakes.push(Wake::Subnet(lost.subnet.clone()));
        }
        self.conclude(state, wakes);
        freed
    }

    /// Waits until everything has been listed.
    pub async fn started(&self) {
        // The sender lives as long as `self`.
        let _ = self.started.subscribe().wait_for(|started| *started).await;
    }

    /// One queue a controller.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    fn conclude(&self, state: MutexGuard<'_, State>, wakes: Vec<Wake>) {
        self.metrics.set_addresses_set_aside(state.addresses.set_aside());
        self.metrics
            .set_subnets_conflicting(state.addresses.conflicting_subnets());
        drop(state);
        for wake in wakes {
            self.queues.wake(wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn taken_in<K: Kind>(state: &mut State, changes: &[Change<K>]) -> Vec<Wake> {
    let mut wakes = vec![];
    for change in changes {
        K::index(state, change);
        if state.started {
            wakes.extend(K::changed(state, change));
        }
    }
    wakes
}

impl State {
    /// Which nodes carry which networks.
    pub fn topology(&self) -> Topology<'_> {
        Topology::new(self.networks.iter())
    }

    /// A pod as it counts.
    pub fn pod(&self, key: &Key) -> Option<Arc<Pod>> {
        let pod = self.pods.get(key)?;
        if self.ended.contains(pod.uid()) {
            return Some(Arc::new(pod.without_containers()));
        }
        Some(pod.clone())
    }

    /// Nothing of the pod counts as running from now on.
    pub fn give_up(&mut self, pod: &Pod) {
        self.ended.insert(pod.uid().to_owned());
    }

    /// The objects of a pod; `pod` carries the pod's name.
    pub fn instances_of(&self, pod: &Key) -> Vec<Arc<IpInstance>> {
        self.labelled(&Key {
            namespace: pod.namespace.clone(),
            name: name_label(&pod.name),
        })
    }

    /// The objects of a pod; `label` carries the label form of the pod's name.
    pub fn labelled(&self, label: &Key) -> Vec<Arc<IpInstance>> {
        let objects = self.index.of_pod(label);
        objects
            .filter_map(|key| self.ip_instances.get(&key).cloned())
            .collect()
    }

    /// Whether there is an object that carries the pod's name.
    fn has_addresses(&self, pod: &Key) -> bool {
        let label = Key {
            namespace: pod.namespace.clone(),
            name: name_label(&pod.name),
        };
        self.index.of_pod(&label).next().is_some()
    }

    /// The objects of a virtual machine, whichever pod runs it.
    pub fn instances_of_machine(&self, machine: &Key) -> Vec<Arc<IpInstance>> {
        let objects = self.index.of_machine(machine);
        objects
            .filter_map(|key| self.ip_instances.get(&key).cloned())
            .collect()
    }

    /// Remembers that a pod waits for an address of the network.
    pub fn wait_for(&mut self, network: &str, pod: Key) {
        self.waiting.entry(network.to_owned()).or_default().insert(pod);
    }

    /// The pods that wait for an address of the network; they no longer do.
    fn waited_for(&mut self, network: &str) -> impl Iterator<Item = Wake> + use<> {
        let pods = self.waiting.remove(network).unwrap_or_default();
        pods.into_iter().map(Wake::Pod)
    }

    /// Remembers that a pod waits until its namespace may have more addresses.
    pub fn wait_for_room(&mut self, pod: Key) {
        self.crowded.entry(pod.namespace.clone()).or_default().insert(pod);
    }

    /// The pods of the namespace that wait for room; they no longer do.
    fn crowded_in(&mut self, namespace: &str) -> impl Iterator<Item = Wake> + use<> {
        let pods = self.crowded.remove(namespace).unwrap_or_default();
        pods.into_iter().map(Wake::Pod)
    }

    /// Kinds that have not been listed yet: nothing is done before.
    pub fn missing(&self) -> Vec<&'static str> {
        let kinds = [
            ("Network", self.networks.is_synced()),
            ("Subnet", self.subnets.is_synced()),
            ("IPInstance", self.ip_instances.is_synced()),
            ("Node", self.nodes.is_synced()),
            ("Pod", self.pods.is_synced()),
            ("Namespace", self.namespaces.is_synced()),
        ];
        let missing = kinds.into_iter().filter(|(_, synced)| !synced);
        missing.map(|(kind, _)| kind).collect()
    }

    /// Builds the allocator; from now on changes are passed on as they come.
    fn start(&mut self) -> Vec<Wake> {
        for instance in self.ip_instances.iter() {
            self.addresses.adopt(instance);
        }
        self.addresses.refresh_all(&self.networks, &self.subnets);
        self.started = true;
        let keys = |wake: fn(Key) -> Wake| move |key: &Key| wake(key.clone());
        let names = |wake: fn(String) -> Wake| move |key: &Key| wake(key.name.clone());
        let (networks, subnets) = (self.networks.keys(), self.subnets.keys());
        // In a large cluster it takes seconds to look at all pods: those that may wait for an address come first.
        let (with, without): (Vec<_>, Vec<_>) = self.pods.keys().partition(|pod| self.has_addresses(pod));
        networks
            .map(names(Wake::Network))
            .chain(subnets.map(names(Wake::Subnet)))
            .chain(self.nodes.keys().map(names(Wake::Node)))
            .chain(without.into_iter().chain(with).map(keys(Wake::Pod)))
            .chain(self.ip_instances.keys().map(keys(Wake::IpInstance)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
