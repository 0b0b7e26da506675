//! The `IPInstance` that records an address of a pod (control-plane spec 3.9).

use std::collections::BTreeMap;

use hybridnet_api::ip_instance::{Address, Binding, ReferredObject, Stateful};
use hybridnet_api::names::{IP_INSTANCE_MODEL, finalizer, label};
use hybridnet_api::{IpInstance, IpInstanceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::Value;

use crate::patch::difference;
use crate::world::pod::Pod;

/// Whom the addresses of a pod belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// With it the addresses live and die.
    pub reference: OwnerReference,
    /// The pod's place in a stateful workload.
    pub ordinal: Option<i32>,
    /// Name of the virtual machine, if it is one.
    pub machine: Option<String>,
}

impl Owner {
    /// The pod itself.
    pub fn pod(pod: &Pod) -> Self {
        let reference = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod.name_any(),
            uid: pod.uid().to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        };
        Self {
            reference,
            ordinal: None,
            machine: None,
        }
    }

    /// The stateful workload that controls the pod.
    pub fn workload(pod: &Pod, controller: &OwnerReference) -> Self {
        Self {
            reference: controller.clone(),
            ordinal: Some(hybridnet_api::pod::ordinal(&pod.name_any())),
            machine: None,
        }
    }

    /// The virtual machine that the pod runs; `reference` is the one of its instance.
    pub fn machine(reference: &OwnerReference) -> Self {
        Self {
            reference: OwnerReference {
                block_owner_deletion: Some(false),
                ..reference.clone()
            },
            ordinal: None,
            machine: Some(reference.name.clone()),
        }
    }
}

/// The object of a new address.
pub fn new(pod: &Pod, owner: &Owner, address: &hybridnet_ipam::Address, mac: &str) -> IpInstance {
    let metadata = ObjectMeta {
        name: Some(address.instance.clone()),
        namespace: pod.namespace(),
        ..ObjectMeta::default()
    };
    let spec = IpInstanceSpec {
        network: address.network.clone(),
        subnet: address.subnet.clone(),
        address: Address {
            version: if address.ip.is_ipv4() { "4" } else { "6" }.to_owned(),
            ip: format!("{}/{}", address.ip, address.prefix_len),
            gateway: address.gateway.map(|gateway| gateway.to_string()),
            net_id: address.net_id,
            mac: mac.to_owned(),
        },
        binding: None,
    };
    let free = IpInstance {
        metadata,
        spec,
        status: None,
    };
    bound(&free, pod, owner)
}

/// The object bound to a pod: its address stays as it is, and so do finalizers and labels of others.
pub fn bound(object: &IpInstance, pod: &Pod, owner: &Owner) -> IpInstance {
    let mut bound = object.clone();
    let labels = bound.metadata.labels.get_or_insert_default();
    labels.remove(label::VM);
    labels.extend(
        [
            (label::VERSION, IP_INSTANCE_MODEL),
            (label::NETWORK, &object.spec.network),
            (label::SUBNET, &object.spec.subnet),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    labels.extend(bound_labels(pod));
    if let Some(machine) = &owner.machine {
        labels.insert(label::VM.to_owned(), machine.clone());
    }
    let finalizers = bound.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|one| one == finalizer::IP_ALLOCATED) {
        finalizers.push(finalizer::IP_ALLOCATED.to_owned());
    }
    bound.metadata.owner_references = Some(vec![owner.reference.clone()]);
    bound.spec.binding = Some(binding(pod, owner));
    bound
}

/// The object bound to no pod. It is kept for a pod of the same name, or for any that runs its machine.
pub fn unbound(object: &IpInstance) -> IpInstance {
    let mut unbound = object.clone();
    let labels = unbound.metadata.labels.get_or_insert_default();
    labels.remove(label::NODE);
    labels.remove(label::POD_UID);
    let binding = unbound.spec.binding.get_or_insert_default();
    binding.node_name.clear();
    binding.pod_uid.clear();
    if labels.contains_key(label::VM) {
        labels.remove(label::POD);
        binding.pod_name.clear();
    }
    unbound
}

/// What turns an object as it was seen into another, as a patch that is refused when it has changed
/// meanwhile: one that is being deleted by then is not bound any more. Nothing when they are equal.
pub fn change(from: &IpInstance, to: &IpInstance) -> Option<Value> {
    if from == to {
        return None;
    }
    let mut seen = from.clone();
    seen.metadata.resource_version = None;
    difference(Some(&seen), to)
}

/// What ties an address to a pod, in the specification.
fn binding(pod: &Pod, owner: &Owner) -> Binding {
    Binding {
        referred_object: ReferredObject {
            kind: owner.reference.kind.clone(),
            name: owner.reference.name.clone(),
            uid: owner.reference.uid.clone(),
        },
        node_name: pod.spec.node_name.clone(),
        pod_uid: pod.uid().to_owned(),
        pod_name: pod.name_any(),
        stateful: owner.ordinal.map(|index| Stateful { index: Some(index) }),
    }
}

/// What ties an address to a pod, in the labels: the daemon finds it by them.
fn bound_labels(pod: &Pod) -> BTreeMap<String, String> {
    [
        (label::NODE, hybridnet_api::pod::name_label(&pod.spec.node_name)),
        (label::POD, hybridnet_api::pod::name_label(&pod.name_any())),
        (label::POD_UID, pod.uid().to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use hybridnet_api::pod::controller_of;
    use serde_json::{json, to_value};

    use super::*;
    use crate::fixtures;

    fn address(ip: &str) -> hybridnet_ipam::Address {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        hybridnet_ipam::Address {
            ip,
            prefix_len: 24,
            gateway: Some("10.0.0.1".parse().unwrap()),
            net_id: Some(4),
            subnet: "s".to_owned(),
            network: "net".to_owned(),
            instance: "10-0-0-2".to_owned(),
        }
    }

    #[test]
    fn the_object_of_a_plain_pod_is_the_one_that_the_original_writes() {
        let pod = fixtures::pod("web").on("n").build();

        let object = new(&pod, &Owner::pod(&pod), &address("10.0.0.2"), "02:12:34:00:00:07");

        assert_eq!(
            to_value(&object).unwrap(),
            json!({
                "apiVersion": "networking.alibaba.com/v1",
                "kind": "IPInstance",
                "metadata": {
                    "name": "10-0-0-2",
                    "namespace": "ns",
                    "finalizers": ["networking.alibaba.com/ip-allocated"],
                    "labels": {
                        "networking.alibaba.com/version": "v1.2",
                        "networking.alibaba.com/network": "net",
                        "networking.alibaba.com/subnet": "s",
                        "networking.alibaba.com/node": "n",
                        "networking.alibaba.com/pod": "web",
                        "networking.alibaba.com/pod-uid": "uid-web",
                    },
                    "ownerReferences": [{
                        "apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web",
                        "controller": true, "blockOwnerDeletion": false,
                    }],
                },
                "spec": {
                    "network": "net",
                    "subnet": "s",
                    "address": {
                        "version": "4", "ip": "10.0.0.2/24", "gateway": "10.0.0.1", "netID": 4,
                        "mac": "02:12:34:00:00:07",
                    },
                    "binding": {
                        "referredObject": {"kind": "Pod", "name": "web", "uid": "uid-web"},
                        "nodeName": "n", "podUID": "uid-web", "podName": "web",
                    },
                },
            })
        );
    }

    fn patched(object: &IpInstance, patch: &Value) -> IpInstance {
        let mut value = to_value(object).unwrap();
        json_patch::merge(&mut value, patch);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_kept_address_keeps_its_pods_name_and_loses_its_node() {
        let object = fixtures::instance("ns", "10.0.0.2").pod("web-0").build();

        let kept = unbound(&object);

        assert!(kept.spec.is_reserved());
        assert_eq!(kept.spec.address, object.spec.address);
        let binding = kept.spec.binding.clone().unwrap();
        assert_eq!(
            (binding.pod_name.as_str(), binding.pod_uid.as_str()),
            ("web-0", "")
        );
        let labels = kept.metadata.labels.clone().unwrap();
        assert!(labels.contains_key(label::POD));
        assert!(!labels.contains_key(label::NODE) && !labels.contains_key(label::POD_UID));
        assert_eq!(patched(&object, &change(&object, &kept).unwrap()), kept);
        assert_eq!(change(&kept, &kept), None);
    }

    #[test]
    fn an_address_of_a_machine_forgets_its_pod() {
        let pod = fixtures::pod("virt-launcher-x").on("n").build();
        let reference = serde_json::from_value(
            json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "vm", "uid": "u",
            "controller": true, "blockOwnerDeletion": true}),
        );
        let owner = Owner::machine(&reference.unwrap());
        let object = new(&pod, &owner, &address("10.0.0.2"), "02:12:34:00:00:07");

        let kept = unbound(&object);

        let labels = kept.metadata.labels.clone().unwrap();
        assert_eq!(labels.get(label::VM).map(String::as_str), Some("vm"));
        assert!(!labels.contains_key(label::POD));
        let binding = kept.spec.binding.clone().unwrap();
        assert_eq!((binding.pod_name.as_str(), binding.stateful), ("", None));
        assert_eq!(binding.referred_object.kind, "VirtualMachine");
        let owners = kept.metadata.owner_references.clone().unwrap();
        assert_eq!(owners[0].block_owner_deletion, Some(false));
    }

    #[test]
    fn a_successor_gets_the_same_address_and_what_others_added_stays() {
        let object = fixtures::instance("ns", "10.0.0.2")
            .pod("web-0")
            .version(7)
            .finalizer("theirs")
            .label("theirs", "yes")
            .build();
        let mut kept = unbound(&object);
        let labels = kept.metadata.labels.get_or_insert_default();
        labels.insert(label::VM.to_owned(), "of a machine".to_owned());
        let successor = fixtures::pod("web-0")
            .uid("second")
            .on("other")
            .controlled_by("StatefulSet", "web")
            .build();
        let owner = Owner::workload(&successor, controller_of(&successor.metadata).unwrap());

        let again = bound(&kept, &successor, &owner);

        assert_eq!(again.spec.address, object.spec.address);
        assert_eq!(again.metadata.finalizers, object.metadata.finalizers);
        let labels = again.metadata.labels.clone().unwrap();
        let of = |key: &str| labels.get(key).map(String::as_str);
        assert_eq!(
            [label::POD_UID, label::NODE, "theirs", label::VM].map(of),
            [Some("second"), Some("other"), Some("yes"), None]
        );
        assert_eq!(again.spec.binding.clone().unwrap().node_name, "other");
        let patch = change(&kept, &again).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], json!("7"));
        assert_eq!(patched(&kept, &patch), again);
    }

    #[test]
    fn addresses_of_a_stateful_pod_belong_to_its_workload() {
        let pod = fixtures::pod("web-4")
            .on("n")
            .controlled_by("StatefulSet", "web")
            .build();
        let owner = Owner::workload(&pod, controller_of(&pod.metadata).unwrap());

        let object = new(&pod, &owner, &address("10.0.0.2"), "02:12:34:00:00:07");

        let owners = object.metadata.owner_references.unwrap();
        assert_eq!(Some(&owners[0]), controller_of(&pod.metadata));
        let binding = object.spec.binding.unwrap();
        assert_eq!(binding.referred_object.kind, "StatefulSet");
        assert_eq!(binding.stateful.unwrap().index, Some(4));
    }
}
