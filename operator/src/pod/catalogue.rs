//! What the choice of a network is made from, as the manager knows it.

use std::sync::Arc;

use hybridnet_api::selection::Catalogue;
use hybridnet_api::{IpInstance, Network, NetworkType, Subnet};
use k8s_openapi::api::core::v1 as core;

use crate::world::State;
use crate::world::store::Key;

impl Catalogue for State {
    fn network(&self, name: &str) -> Option<Arc<Network>> {
        self.networks.get(&Key::cluster(name)).cloned()
    }

    fn networks_of_type(&self, type_: NetworkType) -> Vec<Arc<Network>> {
        self.topology().of_type(type_).cloned().collect()
    }

    fn subnet(&self, name: &str) -> Option<Arc<Subnet>> {
        self.subnets.get(&Key::cluster(name)).cloned()
    }

    fn namespace(&self, name: &str) -> Option<Arc<core::Namespace>> {
        let metadata = self.namespaces.get(&Key::cluster(name))?.metadata.clone();
        Some(Arc::new(core::Namespace {
            metadata,
            ..core::Namespace::default()
        }))
    }

    fn ip_instances_of_pod(&self, namespace: &str, pod_label: &str) -> Vec<Arc<IpInstance>> {
        self.labelled(&Key {
            namespace: namespace.to_owned(),
            name: pod_label.to_owned(),
        })
    }

    fn ip_instances_of_vm(&self, namespace: &str, vm: &str) -> Vec<Arc<IpInstance>> {
        self.instances_of_machine(&Key {
            namespace: namespace.to_owned(),
            name: vm.to_owned(),
        })
    }
}
