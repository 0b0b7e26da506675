//! Objects for tests, made by fluent constructors.

use std::sync::Arc;

use hybridnet_api::ip_instance::{Address, Binding, ReferredObject, Stateful};
use hybridnet_api::names::{IP_INSTANCE_MODEL, finalizer, label};
use hybridnet_api::{IpInstance, IpInstanceSpec, Network, NetworkSpec, Subnet, SubnetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;

use crate::world::Node;
use crate::world::pod::{Container, ContainerStatus, Pod, Running};

/// An object under construction.
#[derive(Clone)]
pub(crate) struct Made<K>(K);

impl<K: kube::Resource> Made<K> {
    pub fn version(mut self, version: u64) -> Self {
        self.0.meta_mut().resource_version = Some(version.to_string());
        self
    }

    pub fn uid(mut self, uid: &str) -> Self {
        self.0.meta_mut().uid = Some(uid.to_owned());
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        let labels = self.0.meta_mut().labels.get_or_insert_default();
        labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        let annotations = self.0.meta_mut().annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn finalizer(mut self, name: &str) -> Self {
        let finalizers = self.0.meta_mut().finalizers.get_or_insert_default();
        finalizers.push(name.to_owned());
        self
    }

    pub fn created(mut self, second: i64) -> Self {
        self.0.meta_mut().creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        self
    }

    pub fn terminating(mut self) -> Self {
        self.0.meta_mut().deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        self
    }

    pub fn build(self) -> K {
        self.0
    }

    pub fn shared(self) -> Arc<K> {
        Arc::new(self.0)
    }
}

fn named(namespace: Option<&str>, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        uid: Some(format!("uid-{name}")),
        resource_version: Some("1".to_owned()),
        ..ObjectMeta::default()
    }
}

pub(crate) fn node(name: &str) -> Made<Node> {
    Made(Node {
        metadata: named(None, name),
        ..Node::default()
    })
}

pub(crate) fn network(name: &str) -> Made<Network> {
    Made(Network {
        metadata: named(None, name),
        spec: NetworkSpec::default(),
        status: None,
    })
}

/// The overlay network of the chart.
pub(crate) fn overlay(name: &str) -> Made<Network> {
    network(name).type_("Overlay").net_id(4)
}

impl Made<Network> {
    pub fn type_(mut self, type_: &str) -> Self {
        self.0.spec.type_ = Some(type_.to_owned());
        self
    }

    pub fn mode(mut self, mode: &str) -> Self {
        self.0.spec.mode = Some(mode.to_owned());
        self
    }

    pub fn net_id(mut self, id: i32) -> Self {
        self.0.spec.net_id = Some(id);
        self
    }

    pub fn selector(mut self, key: &str, value: &str) -> Self {
        self.0.spec.node_selector.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// A subnet of the network `network`; its family follows from the CIDR.
pub(crate) fn subnet(name: &str, network: &str, cidr: &str) -> Made<Subnet> {
    let mut spec = SubnetSpec {
        network: network.to_owned(),
        ..SubnetSpec::default()
    };
    spec.range.cidr = cidr.to_owned();
    spec.range.version = if cidr.contains(':') { "6" } else { "4" }.to_owned();
    Made(Subnet {
        metadata: named(None, name),
        spec,
        status: None,
    })
}

impl Made<Subnet> {
    pub fn gateway(mut self, gateway: &str) -> Self {
        self.0.spec.range.gateway = Some(gateway.to_owned());
        self
    }

    pub fn range(mut self, start: &str, end: &str) -> Self {
        self.0.spec.range.start = Some(start.to_owned());
        self.0.spec.range.end = Some(end.to_owned());
        self
    }

    pub fn net_id(mut self, id: i32) -> Self {
        self.0.spec.net_id = Some(id);
        self
    }

    pub fn private(mut self) -> Self {
        self.0.spec.config.get_or_insert_default().private = Some(true);
        self
    }
}

/// A plain pod in namespace `ns`, on no node.
pub(crate) fn pod(name: &str) -> Made<Pod> {
    let mut pod = Pod {
        metadata: named(Some("ns"), name),
        ..Pod::default()
    };
    pod.spec.containers = vec![Container {
        name: "main".to_owned(),
    }];
    Made(pod)
}

impl Made<Pod> {
    pub fn on(mut self, node: &str) -> Self {
        self.0.spec.node_name = node.to_owned();
        self
    }

    pub fn host_network(mut self) -> Self {
        self.0.spec.host_network = true;
        self
    }

    pub fn phase(mut self, phase: &str, reason: &str) -> Self {
        self.0.status.phase = phase.to_owned();
        self.0.status.reason = reason.to_owned();
        self
    }

    pub fn container(mut self, running: bool) -> Self {
        let mut status = ContainerStatus {
            name: "main".to_owned(),
            ..ContainerStatus::default()
        };
        status.state.running = running.then_some(Running {});
        self.0.status.container_statuses.push(status);
        self
    }

    pub fn with_address(mut self, ip: &str) -> Self {
        self.0.status.pod_ip = ip.to_owned();
        self
    }

    pub fn controlled_by(mut self, kind: &str, name: &str) -> Self {
        let api_version = match kind {
            "VirtualMachine" | "VirtualMachineInstance" => "kubevirt.io/v1",
            _ => "apps/v1",
        };
        self.0.metadata.owner_references = Some(vec![OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]);
        self
    }
}

/// An address in subnet `s` of network `net`, bound to nobody, with our finalizer.
pub(crate) fn instance(namespace: &str, ip: &str) -> Made<IpInstance> {
    let (version, length) = if ip.contains(':') { ("6", 64) } else { ("4", 24) };
    let name = ip.replace(['.', ':'], "-");
    let mut metadata = named(Some(namespace), &name);
    metadata.uid = Some(format!("uid-{namespace}-{name}"));
    let spec = IpInstanceSpec {
        network: "net".to_owned(),
        subnet: "s".to_owned(),
        address: Address {
            version: version.to_owned(),
            ip: format!("{ip}/{length}"),
            mac: "02:12:34:00:00:01".to_owned(),
            ..Address::default()
        },
        binding: None,
    };
    let object = IpInstance {
        metadata,
        spec,
        status: None,
    };
    Made(object)
        .finalizer(finalizer::IP_ALLOCATED)
        .label(label::VERSION, IP_INSTANCE_MODEL)
        .label(label::NETWORK, "net")
        .label(label::SUBNET, "s")
}

impl Made<IpInstance> {
    pub fn in_subnet(mut self, subnet: &str, network: &str) -> Self {
        self.0.spec.subnet = subnet.to_owned();
        self.0.spec.network = network.to_owned();
        self.label(label::SUBNET, subnet).label(label::NETWORK, network)
    }

    /// Bound to the plain pod `name` (UID `uid-NAME`) on node `n`.
    pub fn pod(mut self, name: &str) -> Self {
        let uid = format!("uid-{name}");
        self.0.spec.binding = Some(Binding {
            referred_object: ReferredObject {
                kind: "Pod".to_owned(),
                name: name.to_owned(),
                uid: uid.clone(),
            },
            node_name: "n".to_owned(),
            pod_uid: uid.clone(),
            pod_name: name.to_owned(),
            stateful: None,
        });
        self.0.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: name.to_owned(),
            uid: uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        }]);
        self.label(label::POD, name)
            .label(label::POD_UID, &uid)
            .label(label::NODE, "n")
    }

    /// Of the workload that controls the pod, at this place in it.
    pub fn owned_like(mut self, pod: &Pod, ordinal: i32) -> Self {
        self.0.metadata.owner_references = pod.metadata.owner_references.clone();
        let owner = pod.metadata.owner_references.iter().flatten().next();
        if let (Some(binding), Some(owner)) = (&mut self.0.spec.binding, owner) {
            binding.referred_object = ReferredObject {
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            };
            binding.stateful = Some(Stateful { index: Some(ordinal) });
        }
        self
    }
}
