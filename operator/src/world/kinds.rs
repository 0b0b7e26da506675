//! Who is woken by which change: one table a kind (control-plane spec 4.2).

use std::collections::BTreeSet;
use std::sync::Arc;

use hybridnet_api::{IpInstance, IpInstanceSpec, Network, Subnet};
use kube::{Resource, ResourceExt};

use crate::world::pod::Pod;
use crate::world::store::{Change, Key, Store};
use crate::world::topology::Topology;
use crate::world::wake::Wake;
use crate::world::{Kind, Namespace, Node, State};

impl Kind for Network {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.networks
    }

    fn changed(state: &mut State, change: &Change<Self>) -> Vec<Wake> {
        let Some(name) = change.latest().map(|network| network.name_any()) else {
            return vec![];
        };
        let spec = |side: &Option<Arc<Self>>| side.as_ref().map(|network| network.spec.clone());
        if spec(&change.old) == spec(&change.new) {
            return vec![Wake::Network(name)];
        }
        let changed = state.addresses.refresh(&state.networks, &state.subnets, &name);
        // Node lists of other networks depend on this one: BGP on GlobalBGP, the second on the first.
        let mut wakes = vec![Wake::FailedPods, Wake::Network(name.clone())];
        wakes.extend(state.networks.keys().map(|key| Wake::Network(key.name.clone())));
        wakes.extend(state.nodes.keys().map(|key| Wake::Node(key.name.clone())));
        wakes.extend(changed.into_iter().map(Wake::Subnet));
        if change.old.is_none() || change.new.is_none() {
            wakes.extend(addresses_in(state, |spec| spec.network == name));
        }
        wakes
    }
}

impl Kind for Subnet {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.subnets
    }

    fn changed(state: &mut State, change: &Change<Self>) -> Vec<Wake> {
        let sides = || [&change.old, &change.new].into_iter().flatten();
        let mut wakes: Vec<_> = sides().map(|subnet| Wake::Subnet(subnet.name_any())).collect();
        let leaving = |side: &Option<Arc<Self>>| side.as_ref().map(|subnet| is_terminating(subnet.as_ref()));
        let spec = |side: &Option<Arc<Self>>| side.as_ref().map(|subnet| subnet.spec.clone());
        if spec(&change.old) == spec(&change.new) && leaving(&change.old) == leaving(&change.new) {
            return wakes;
        }
        wakes.push(Wake::FailedPods);
        for network in sides().map(|subnet| &subnet.spec.network) {
            let changed = state.addresses.refresh(&state.networks, &state.subnets, network);
            wakes.extend(changed.into_iter().map(Wake::Subnet));
            wakes.push(Wake::Network(network.clone()));
        }
        let place = |side: &Option<Arc<Self>>| {
            let spec = side.as_ref().map(|subnet| &subnet.spec);
            spec.map(|spec| (spec.network.clone(), spec.range.cidr.clone()))
        };
        if let Some(name) = change.latest().map(|subnet| subnet.name_any())
            && place(&change.old) != place(&change.new)
        {
            wakes.extend(addresses_in(state, |spec| spec.subnet == name));
        }
        wakes
    }
}

impl Kind for IpInstance {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.ip_instances
    }

    fn index(state: &mut State, change: &Change<Self>) {
        state.index.apply(change);
    }

    fn changed(state: &mut State, change: &Change<Self>) -> Vec<Wake> {
        // By hand, somebody may make it speak of another address.
        let record = |side: &Option<Arc<Self>>| {
            let object = side.as_ref()?;
            let spec = &object.spec;
            let words = [&spec.network, &spec.subnet, &spec.address.ip].map(Clone::clone);
            Some((object.metadata.uid.clone(), words))
        };
        let same = record(&change.old) == record(&change.new);
        let mut wakes = vec![];
        if let Some(old) = change.old.as_ref().filter(|_| !same) {
            state.addresses.release(old);
            wakes.extend(counted(state, old));
            wakes.extend(pod_of(old));
            wakes.extend(state.waited_for(&old.spec.network));
            wakes.extend(state.crowded_in(&old.namespace().unwrap_or_default()));
            // Of several objects for one address, the others are looked at again.
            wakes.extend(state.index.named(&old.name_any()).map(Wake::IpInstance));
        }
        if let Some(new) = &change.new {
            state.addresses.adopt(new);
            wakes.push(Wake::IpInstance(Key::of(new.as_ref())));
            if !same {
                wakes.extend(counted(state, new));
                wakes.extend(state.index.named(&new.name_any()).map(Wake::IpInstance));
            }
            let bound = |side: &Self| !side.spec.is_reserved();
            if change.old.as_deref().is_some_and(bound) && !bound(new) {
                // A pod that is to have just this address can have it now.
                wakes.extend(state.waited_for(&new.spec.network));
            }
        }
        wakes
    }
}

impl Kind for Node {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.nodes
    }

    fn slim(&mut self) {
        self.metadata.managed_fields = None;
        self.metadata.annotations = None;
    }

    fn changed(state: &mut State, change: &Change<Self>) -> Vec<Wake> {
        let present = |side: &Option<Arc<Self>>| side.clone().filter(|node| !is_terminating(node.as_ref()));
        let (old, new) = (present(&change.old), present(&change.new));
        let labels = |side: &Option<Arc<Self>>| side.as_ref().map(|node| node.metadata.labels.clone());
        if labels(&old) == labels(&new) {
            return vec![];
        }
        let topology = Topology::new(state.networks.iter());
        let carries = |network: &Network, side: &Option<Arc<Self>>| {
            side.as_ref().is_some_and(|node| topology.carries(network, node))
        };
        let carrying = state.networks.iter().map(|network| {
            let (before, after) = (carries(network, &old), carries(network, &new));
            (network, before != after, before || after)
        });
        let carrying: Vec<_> = carrying.collect();
        // One that comes or goes may stand in the way of those that stay.
        let changed = carrying.iter().any(|(_, changed, _)| *changed);
        let concerned = carrying.iter().filter(|(_, _, concerned)| changed && *concerned);
        let mut wakes: Vec<_> = concerned
            .map(|(network, ..)| Wake::Network(network.name_any()))
            .collect();
        wakes.extend(change.latest().map(|node| Wake::Node(node.name_any())));
        wakes.push(Wake::FailedPods);
        wakes
    }
}

impl Kind for Pod {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.pods
    }

    fn slim(&mut self) {
        self.metadata.managed_fields = None;
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.retain(|key, _| key.starts_with(hybridnet_api::names::GROUP));
        }
    }

    fn changed(state: &mut State, change: &Change<Self>) -> Vec<Wake> {
        let Some(pod) = change.latest() else {
            return vec![];
        };
        if pod.spec.host_network {
            return vec![];
        }
        let key = Key::of(pod.as_ref());
        let mut wakes = vec![];
        let uid = |side: &Option<Arc<Self>>| side.as_ref().map(|pod| pod.uid().to_owned());
        let ended = change.old.is_some() && uid(&change.old) != uid(&change.new);
        if let Some(old) = change.old.as_ref().filter(|_| ended) {
            state.ended.remove(old.uid());
        }
        if ended || is_terminating(pod.as_ref()) || pod.has_ended() {
            let instances = state.instances_of(&key);
            wakes.extend(
                instances
                    .iter()
                    .map(|object| Wake::IpInstance(Key::of(object.as_ref()))),
            );
        }
        wakes.push(Wake::Pod(key));
        wakes
    }
}

impl Kind for Namespace {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.namespaces
    }

    fn changed(_: &mut State, change: &Change<Self>) -> Vec<Wake> {
        let words = |side: &Option<Arc<Self>>| {
            let meta = side.as_ref().map(|namespace| &namespace.metadata);
            meta.map(|meta| (meta.annotations.clone(), meta.labels.clone()))
        };
        if change.new.is_some() && words(&change.old) != words(&change.new) {
            return vec![Wake::FailedPods];
        }
        vec![]
    }
}

/// Addresses whose place has come or gone: whether they stand in one is looked at again.
fn addresses_in(state: &State, is_there: impl Fn(&IpInstanceSpec) -> bool) -> Vec<Wake> {
    let there = state
        .ip_instances
        .iter()
        .filter(|instance| is_there(&instance.spec));
    there
        .map(|instance| Wake::IpInstance(Key::of(instance.as_ref())))
        .collect()
}

/// Whose numbers an address counts in.
fn counted(state: &State, instance: &IpInstance) -> Vec<Wake> {
    let spec = &instance.spec;
    let place = spec
        .ip()
        .and_then(|ip| state.addresses.subnet_of(&spec.network, ip));
    let subnets: BTreeSet<&str> = place.into_iter().chain([spec.subnet.as_str()]).collect();
    let subnets = subnets.into_iter().map(|name| Wake::Subnet(name.to_owned()));
    subnets.chain([Wake::Network(spec.network.clone())]).collect()
}

/// The pod that was bound to an address.
fn pod_of(instance: &IpInstance) -> Option<Wake> {
    let binding = instance.spec.binding.as_ref()?;
    let key = Key {
        namespace: instance.namespace()?,
        name: binding.pod_name.clone(),
    };
    (!key.name.is_empty()).then_some(Wake::Pod(key))
}

fn is_terminating(object: &impl Resource) -> bool {
    object.meta().deletion_timestamp.is_some()
}
