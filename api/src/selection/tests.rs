mod allowing;
mod asking;
mod keeping;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::ip_instance::Binding;
use crate::{IpInstanceSpec, NetworkSpec, SubnetSpec};

#[derive(Default)]
struct Cluster {
    networks: Vec<Arc<Network>>,
    subnets: Vec<Arc<Subnet>>,
    namespaces: Vec<Arc<Namespace>>,
    held: Vec<(&'static str, Arc<IpInstance>)>,
}

impl Catalogue for Cluster {
    fn network(&self, name: &str) -> Option<Arc<Network>> {
        self.networks
            .iter()
            .find(|network| network.name_any() == name)
            .cloned()
    }
    fn networks_of_type(&self, wanted: NetworkType) -> Vec<Arc<Network>> {
        let is_wanted = |network: &&Arc<Network>| network.spec.network_type() == Ok(wanted);
        self.networks.iter().filter(is_wanted).cloned().collect()
    }
    fn subnet(&self, name: &str) -> Option<Arc<Subnet>> {
        self.subnets
            .iter()
            .find(|subnet| subnet.name_any() == name)
            .cloned()
    }
    fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces
            .iter()
            .find(|namespace| namespace.name_any() == name)
            .cloned()
    }
    fn ip_instances_of_pod(&self, namespace: &str, pod_label: &str) -> Vec<Arc<IpInstance>> {
        self.held(namespace, pod_label)
    }
    fn ip_instances_of_vm(&self, namespace: &str, vm: &str) -> Vec<Arc<IpInstance>> {
        self.held(namespace, &format!("vm {vm}"))
    }
}

impl Cluster {
    fn held(&self, namespace: &str, holder: &str) -> Vec<Arc<IpInstance>> {
        let of_holder = self.held.iter().filter(|(of, _)| *of == holder);
        let held = of_holder.map(|(_, instance)| instance.clone());
        held.filter(|instance| instance.namespace().as_deref() == Some(namespace))
            .collect()
    }

    fn holding(mut self, holder: &'static str, instances: &[IpInstance]) -> Self {
        self.held.extend(
            instances
                .iter()
                .map(|instance| (holder, Arc::new(instance.clone()))),
        );
        self
    }

    fn namespace_with(mut self, annotations: Value) -> Self {
        self.namespaces.clear();
        self.namespaces.push(Arc::new(Namespace {
            metadata: meta("d", annotations),
            ..Namespace::default()
        }));
        self
    }
}

fn meta(name: &str, annotations: Value) -> ObjectMeta {
    serde_json::from_value(json!({"name": name, "namespace": "d", "annotations": annotations})).unwrap()
}

fn cluster() -> Cluster {
    let network = |name: &str, type_: &str, key: &str| {
        let mut spec = NetworkSpec {
            type_: Some(type_.to_owned()),
            ..NetworkSpec::default()
        };
        if !key.is_empty() {
            spec.node_selector = BTreeMap::from([("network".to_owned(), key.to_owned())]);
        }
        Arc::new(Network::new(name, spec))
    };
    let subnet = |name: &str, network: &str, version: &str| {
        let mut spec = SubnetSpec {
            network: network.to_owned(),
            ..SubnetSpec::default()
        };
        spec.range.version = version.to_owned();
        Arc::new(Subnet::new(name, spec))
    };
    let cluster = Cluster {
        networks: vec![
            network("under", "Underlay", "under"),
            network("over", "Overlay", ""),
            network("broken", "nonsense", ""),
        ],
        subnets: vec![
            subnet("u4", "under", "4"),
            subnet("u6", "under", "6"),
            subnet("o4", "over", "4"),
            subnet("o6", "over", "6"),
        ],
        ..Cluster::default()
    };
    cluster.namespace_with(json!({}))
}

fn key(name: &str) -> String {
    format!("networking.alibaba.com/{name}")
}

fn keys(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(name, value)| (key(name), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn stateful(name: &str, annotations: Value) -> ObjectMeta {
    let mut meta = meta(name, annotations);
    meta.owner_references = Some(vec![OwnerReference {
        kind: "StatefulSet".to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    meta
}

fn chosen(metadata: &ObjectMeta, cluster: &Cluster) -> Result<Selection, String> {
    chosen_with(metadata, cluster, &Settings::default(), None)
}

fn chosen_with(
    metadata: &ObjectMeta,
    cluster: &Cluster,
    settings: &Settings,
    vm: Option<&str>,
) -> Result<Selection, String> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let subject = Subject {
        namespace: "d",
        name,
        metadata,
        vm,
    };
    select(&subject, cluster, settings).map_err(|error| error.to_string())
}

fn instance(name: &str, network: &str, version: &str) -> IpInstance {
    let mut spec = IpInstanceSpec {
        network: network.to_owned(),
        ..IpInstanceSpec::default()
    };
    spec.address.version = version.to_owned();
    let mut instance = IpInstance::new(name, spec);
    instance.metadata.namespace = Some("d".to_owned());
    instance
}

fn bound(mut instance: IpInstance) -> IpInstance {
    instance.spec.binding = Some(Binding {
        node_name: "node1".to_owned(),
        ..Binding::default()
    });
    instance
}

fn created(mut instance: IpInstance, second: i64) -> IpInstance {
    instance.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
    instance
}
