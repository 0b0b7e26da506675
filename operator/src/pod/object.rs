//! The `IPInstance` that records an address of a pod (control-plane spec 3.9).

use std::collections::BTreeMap;

use hybridnet_api::ip_instance::{Address, Binding, ReferredObject, Stateful};
use hybridnet_api::names::{IP_INSTANCE_MODEL, finalizer, label};
use hybridnet_api::{IpInstance, IpInstanceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use crate::world::pod::Pod;

/// Whom the addresses of a pod belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// With it the addresses live and die.
    pub reference: OwnerReference,
    /// The pod's place in a stateful workload.
    pub ordinal: Option<i32>,
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
        }
    }

    /// The stateful workload that controls the pod.
    pub fn workload(pod: &Pod, controller: &OwnerReference) -> Self {
        Self {
            reference: controller.clone(),
            ordinal: Some(hybridnet_api::pod::ordinal(&pod.name_any())),
        }
    }
}

/// The object of a new address.
pub fn new(pod: &Pod, owner: &Owner, address: &hybridnet_ipam::Address, mac: &str) -> IpInstance {
    let mut labels = bound_labels(pod);
    labels.extend(
        [
            (label::VERSION, IP_INSTANCE_MODEL),
            (label::NETWORK, &address.network),
            (label::SUBNET, &address.subnet),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let metadata = ObjectMeta {
        name: Some(address.instance.clone()),
        namespace: pod.namespace(),
        labels: Some(labels),
        finalizers: Some(vec![finalizer::IP_ALLOCATED.to_owned()]),
        owner_references: Some(vec![owner.reference.clone()]),
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
        binding: Some(binding(pod, owner)),
    };
    IpInstance {
        metadata,
        spec,
        status: None,
    }
}

/// What ties an address to a pod, in the specification.
pub fn binding(pod: &Pod, owner: &Owner) -> Binding {
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
pub fn bound_labels(pod: &Pod) -> BTreeMap<String, String> {
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
