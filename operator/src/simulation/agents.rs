//! The rest of the cluster, one step at a time: the controller of `StatefulSet`s, the kubelet with its
//! network daemon, and the garbage collector.

use std::collections::{BTreeMap, BTreeSet};

use hybridnet_api::names::{annotation, label};
use serde_json::{Value, json};

use super::chance::Chance;
use super::cluster::{self, has_ended};
use super::model::families_of;
use super::resource::{Resource, controller_of, ip_of, key_of, label_of, owners_of, text, uid_of};
use super::server::{Server, finalizers, is_marked};
use crate::world::store::Key;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// The running pods by UID, and what they run with.
pub type Sandboxes = BTreeMap<String, Sandbox>;

/// A pod that runs, as its node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The pod.
    pub pod: Key,
    /// Its addresses.
    pub addresses: BTreeSet<String>,
}

/// Something that one of the agents can do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Make a pod of a set.
    CreatePod(Key, u64),
    /// Delete an object.
    Delete(Resource, Key),
    /// Make a pod without controller one of the set's.
    Adopt(Key, Key),
    /// Start a pod with these addresses.
    Start(Key, BTreeSet<String>),
    /// End what runs of a pod.
    End(Key),
    /// Say that nothing runs of a pod any more, so that its object can go.
    Confirm(Key),
    /// Take away the references to an owner that leaves its dependents behind.
    Abandon(Resource, Key, String),
    /// Take away a finalizer of the garbage collector.
    Unhold(Key),
}

/// Everything that can be done now.
pub fn deeds(server: &Server, sandboxes: &Sandboxes) -> Vec<Deed> {
    let mut deeds = vec![];
    let pods: Vec<_> = server.list(Resource::Pod).collect();
    for set in server.list(Resource::StatefulSet) {
        of_set(server, set, &mut deeds);
    }
    for pod in &pods {
        of_kubelet(server, sandboxes, pod, &mut deeds);
    }
    of_garbage_collector(server, &mut deeds);
    deeds
}

fn of_set(server: &Server, set: &Value, deeds: &mut Vec<Deed>) {
    let key = key_of(set);
    if is_marked(set) {
        return;
    }
    let replicas = set["spec"]["replicas"].as_u64().unwrap_or(0);
    for ordinal in 0..replicas {
        let pod = Key {
            name: format!("{}-{ordinal}", key.name),
            ..key.clone()
        };
        match server.get(Resource::Pod, &pod) {
            None => deeds.push(Deed::CreatePod(key.clone(), ordinal)),
            Some(found) if is_marked(found) => {}
            Some(found) if controller_of(found).is_empty() => deeds.push(Deed::Adopt(key.clone(), pod)),
            Some(found) if has_ended(found) && controller_of(found) == uid_of(set) => {
                deeds.push(Deed::Delete(Resource::Pod, pod));
            }
            Some(_) => {}
        }
    }
    for ordinal in replicas..4 {
        let pod = Key {
            name: format!("{}-{ordinal}", key.name),
            ..key.clone()
        };
        let found = server.get(Resource::Pod, &pod);
        if found.is_some_and(|found| !is_marked(found) && controller_of(found) == uid_of(set)) {
            deeds.push(Deed::Delete(Resource::Pod, pod));
        }
    }
}

fn of_kubelet(server: &Server, sandboxes: &Sandboxes, pod: &Value, deeds: &mut Vec<Deed>) {
    let (key, runs) = (key_of(pod), sandboxes.contains_key(uid_of(pod)));
    if is_marked(pod) {
        let graceful = pod["metadata"]["deletionGracePeriodSeconds"] != 0;
        if runs {
            deeds.push(Deed::End(key));
        } else if graceful {
            deeds.push(Deed::Confirm(key));
        }
        return;
    }
    if runs || has_ended(pod) {
        return;
    }
    let bound = server
        .list(Resource::IpInstance)
        .filter(|instance| is_bound(instance, pod))
        .filter(|instance| !is_marked(instance));
    let addresses: BTreeSet<_> = bound.map(|instance| ip_of(instance).to_owned()).collect();
    let has = |v6: bool| addresses.iter().any(|ip| ip.contains(':') == v6);
    if families_of(pod).iter().all(|v6| has(*v6)) {
        deeds.push(Deed::Start(key, addresses));
    }
}

/// Whether the daemon takes an object for the pod's.
pub fn is_bound(instance: &Value, pod: &Value) -> bool {
    label_of(instance, label::POD_UID) == uid_of(pod)
        && text(instance, "/metadata/namespace") == text(pod, "/metadata/namespace")
        && label_of(instance, label::NODE) == text(pod, "/spec/nodeName")
}

fn of_garbage_collector(server: &Server, deeds: &mut Vec<Deed>) {
    let owners = [Resource::Pod, Resource::StatefulSet];
    let owners: BTreeMap<&str, &Value> = owners
        .into_iter()
        .flat_map(|resource| server.list(resource))
        .map(|owner| (uid_of(owner), owner.as_ref()))
        .collect();
    let holds = |owner: &Value, how: &str| is_marked(owner) && finalizers(owner).any(|one| one == how);
    let mut awaited = BTreeSet::new();
    for resource in [Resource::Pod, Resource::IpInstance] {
        for object in server.list(resource) {
            let uids: Vec<&str> = owners_of(object).collect();
            let present: Vec<&str> = uids
                .iter()
                .copied()
                .filter(|uid| owners.contains_key(uid))
                .collect();
            for uid in &present {
                if holds(owners[uid], ORPHAN) {
                    deeds.push(Deed::Abandon(resource, key_of(object), (*uid).to_owned()));
                }
                awaited.insert(*uid);
            }
            let waits_for_us = present.iter().all(|uid| holds(owners[uid], FOREGROUND));
            if !uids.is_empty() && waits_for_us && !is_marked(object) {
                deeds.push(Deed::Delete(resource, key_of(object)));
            }
        }
    }
    for set in server.list(Resource::StatefulSet) {
        let held = holds(set, ORPHAN) || holds(set, FOREGROUND);
        if held && !awaited.contains(uid_of(set)) {
            deeds.push(Deed::Unhold(key_of(set)));
        }
    }
}

/// Does it.
pub fn act(deed: &Deed, server: &mut Server, sandboxes: &mut Sandboxes, chance: &mut Chance) {
    match deed {
        Deed::CreatePod(set, ordinal) => {
            let Some(set) = server.get(Resource::StatefulSet, set).cloned() else {
                return;
            };
            let key = key_of(&set);
            let annotations = &set["spec"]["template"]["metadata"]["annotations"];
            let name = format!("{}-{ordinal}", key.name);
            let node = if annotations[annotation::NETWORK_TYPE] == "Overlay" {
                chance.pick(&cluster::NODES).copied().unwrap_or_default()
            } else {
                cluster::NODES[0]
            };
            let mut pod = cluster::pod(&key.namespace, &name, node, annotations);
            pod["metadata"]["ownerReferences"] = json!([cluster::controller(&set)]);
            cluster::add(server, Resource::Pod, pod);
        }
        Deed::Delete(resource, key) => {
            server.delete(*resource, key);
        }
        Deed::Adopt(set, pod) => {
            let Some(owner) = server
                .get(Resource::StatefulSet, set)
                .map(|set| cluster::controller(set))
            else {
                return;
            };
            server.change(Resource::Pod, pod, |pod| {
                pod["metadata"]["ownerReferences"] = json!([owner]);
            });
        }
        Deed::Start(key, addresses) => start(server, sandboxes, key, addresses),
        Deed::End(key) => {
            end(server, sandboxes, key, |_| {});
        }
        Deed::Confirm(key) => {
            server.change(Resource::Pod, key, |pod| {
                pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            });
        }
        Deed::Abandon(resource, key, owner) => {
            server.change(*resource, key, |object| {
                if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                    owners.retain(|reference| text(reference, "/uid") != owner);
                }
            });
        }
        Deed::Unhold(key) => {
            server.change(Resource::StatefulSet, key, |set| {
                set["metadata"]["finalizers"] = json!([]);
            });
        }
    }
}

fn start(server: &mut Server, sandboxes: &mut Sandboxes, key: &Key, addresses: &BTreeSet<String>) {
    let Some(pod) = server.get(Resource::Pod, key).cloned() else {
        return;
    };
    let bound = server
        .list(Resource::IpInstance)
        .filter(|instance| is_bound(instance, &pod));
    let bound: Vec<Key> = bound.map(|instance| key_of(instance)).collect();
    for instance in bound {
        server.change(Resource::IpInstance, &instance, |object| {
            object["status"] = json!({"podName": key.name, "podNamespace": key.namespace,
                "nodeName": text(&pod, "/spec/nodeName"), "sandboxID": format!("sandbox-{}", uid_of(&pod))});
        });
    }
    server.change(Resource::Pod, key, |pod| {
        pod["status"] = json!({"phase": "Running", "podIP": addresses.first(),
            "containerStatuses": [{"name": "main", "state": {"running": {}}}]});
    });
    let sandbox = Sandbox {
        pod: key.clone(),
        addresses: addresses.clone(),
    };
    sandboxes.insert(uid_of(&pod).to_owned(), sandbox);
}

/// Ends what runs of a pod, and says so in its status with what `more` adds.
pub fn end(server: &mut Server, sandboxes: &mut Sandboxes, key: &Key, more: impl FnOnce(&mut Value)) {
    let Some(pod) = server.get(Resource::Pod, key) else {
        return;
    };
    sandboxes.remove(uid_of(pod));
    server.change(Resource::Pod, key, |pod| {
        pod["status"]["containerStatuses"] =
            json!([{"name": "main", "state": {"terminated": {"exitCode": 0}}}]);
        more(pod);
    });
}

/// Marks a set for deletion in a way that the garbage collector has to work off.
pub fn delete_with(server: &mut Server, set: &Key, how: &str) {
    server.change(Resource::StatefulSet, set, |set| {
        set["metadata"]["finalizers"] = json!([how]);
    });
    server.delete(Resource::StatefulSet, set);
}
