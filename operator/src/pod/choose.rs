//! Which network, families and subnets a pod gets on its node (control-plane spec 4.3.2).

use std::sync::Arc;

use hybridnet_api::names::{annotation, label};
use hybridnet_api::pod::{annotation as value_of, annotation_or_label, label as label_of};
use hybridnet_api::selection::{Catalogue, PodFamily, SelectionError, Subject, select};
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, Network, NetworkType, Subnet};
use hybridnet_ipam::Families;
use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt;

use crate::world::State;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// What a pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Name of the network.
    pub network: String,
    /// One address of each.
    pub families: Families,
    /// Names of subnets, IPv4 first; mostly none.
    pub subnets: Vec<String>,
}

/// Why there is nothing to choose.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The words of the pod or its namespace.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A word that the webhook would not have let pass.
    #[error("annotation {key} {value:?} is not understood: use {expected}")]
    Word {
        /// The annotation.
        key: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
    /// A name that nobody has.
    #[error("network {0} does not exist: create it, or name another one")]
    NoNetwork(String),
    /// The type is not there.
    #[error("there is no network of type {0}: create one, or ask for another type")]
    NoNetworkOfType(NetworkType),
    /// The node is not there, or not known yet.
    #[error("node {0} is not known")]
    NoNode(String),
    /// The node has no underlay.
    #[error("node {0} belongs to no underlay network: label it as a network's nodeSelector says")]
    NoUnderlay(String),
    /// The node has no BGP.
    #[error("node {0} belongs to no BGP network: pods of the global BGP network cannot run there")]
    NoBgp(String),
    /// The scheduler was not told, because the webhook was away.
    #[error(
        "network {specified} is asked for, but pods on node {node} get their addresses from network \
         {found}: delete the pod, so that it is scheduled with the webhook's help"
    )]
    OtherNetwork {
        /// What the pod asks for.
        specified: String,
        /// Where it runs.
        node: String,
        /// What there is.
        found: String,
    },
}

/// What the pod gets. The words of a pod that the webhook has seen are taken as they are.
pub fn choose(state: &State, pod: &Pod, settings: &Settings) -> Result<Choice, ChoiceError> {
    if value_of(&pod.metadata, annotation::HANDLED_BY_WEBHOOK) == Some("true") {
        return of_handled(state, pod, settings);
    }
    let subject = Subject {
        namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
        name: pod.metadata.name.as_deref().unwrap_or_default(),
        metadata: &pod.metadata,
        vm: None,
    };
    let wish = select(&subject, state, settings)?;
    let network = by_type(state, pod, wish.network_type, false)?;
    if let Some(specified) = wish.network.filter(|specified| *specified != network) {
        return Err(ChoiceError::OtherNetwork {
            specified,
            node: pod.spec.node_name.clone(),
            found: network,
        });
    }
    Ok(Choice {
        network,
        families: families(wish.family),
        subnets: wish.subnets,
    })
}

fn of_handled(state: &State, pod: &Pod, settings: &Settings) -> Result<Choice, ChoiceError> {
    let meta = &pod.metadata;
    let family = match value_of(meta, annotation::IP_FAMILY) {
        None => settings.default_ip_family,
        Some(word) => PodFamily::parse_ignoring_case(word).ok_or_else(|| ChoiceError::Word {
            key: annotation::IP_FAMILY,
            value: word.to_owned(),
            expected: PodFamily::WORDS,
        })?,
    };
    let subnets = annotation_or_label(meta, annotation::SPECIFIED_SUBNET).unwrap_or_default();
    let subnets = subnets.split('/').filter(|name| !name.is_empty());
    let network = match annotation_or_label(meta, annotation::SPECIFIED_NETWORK) {
        Some(name) if state.networks.get(&Key::cluster(name)).is_none() => {
            return Err(ChoiceError::NoNetwork(name.to_owned()));
        }
        Some(name) => name.to_owned(),
        None => {
            let type_ = match annotation_or_label(meta, annotation::NETWORK_TYPE) {
                None => settings.default_network_type,
                Some(word) => NetworkType::parse_ignoring_case(word).map_err(|error| ChoiceError::Word {
                    key: annotation::NETWORK_TYPE,
                    value: error.value,
                    expected: error.expected,
                })?,
            };
            by_type(state, pod, type_, true)?
        }
    };
    Ok(Choice {
        network,
        families: families(family),
        subnets: subnets.map(str::to_owned).collect(),
    })
}

/// The network of a type on the pod's node. A pod that the scheduler placed by its labels (`placed`) may
/// be on a node whose labels have changed since.
fn by_type(state: &State, pod: &Pod, type_: NetworkType, placed: bool) -> Result<String, ChoiceError> {
    let node_name = &pod.spec.node_name;
    let node = state.nodes.get(&Key::cluster(node_name));
    let node = || node.ok_or_else(|| ChoiceError::NoNode(node_name.clone()));
    let topology = state.topology();
    let unique = || topology.unique(type_).ok_or(ChoiceError::NoNetworkOfType(type_));
    let network = match type_ {
        NetworkType::Underlay => {
            let found = topology.underlay_of(node()?);
            found.ok_or_else(|| ChoiceError::NoUnderlay(node_name.clone()))?
        }
        NetworkType::Overlay => unique()?,
        NetworkType::GlobalBgp => {
            let network = unique()?;
            if !placed && !topology.attachment(node()?).bgp {
                return Err(ChoiceError::NoBgp(node_name.clone()));
            }
            network
        }
    };
    Ok(network.name_any())
}

const fn families(family: PodFamily) -> Families {
    match family {
        PodFamily::Ipv4Only => Families::Ipv4Only,
        PodFamily::Ipv6Only => Families::Ipv6Only,
        PodFamily::DualStack => Families::DualStack,
    }
}

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
        let is_its = |instance: &&Arc<IpInstance>| {
            instance.metadata.namespace.as_deref() == Some(namespace)
                && label_of(&instance.metadata, label::VM) == Some(vm)
        };
        self.ip_instances.iter().filter(is_its).cloned().collect()
    }
}
