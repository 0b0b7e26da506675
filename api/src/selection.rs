//! Which network, subnets and addresses a pod wants (control-plane spec 5.1): one answer for the webhook,
//! and for the manager when a pod has slipped by it.
//!
//! Four levels, and the first that says anything wins as a whole: a pod that only asks for a family loses
//! the network of its namespace.
//!
//! ```text
//! addresses that the pod keeps ► the pod's own keys ► its namespace's keys ► defaults
//! ```

mod allowed;
mod error;
mod family;
mod level;
mod retained;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ObjectMeta;

pub use allowed::check as check_allowed;
pub use error::SelectionError;
pub use family::PodFamily;
use level::{Level, Wish};
pub use retained::preferred;

use crate::names::annotation;
use crate::settings::Settings;
use crate::{IpInstance, Network, NetworkType, Subnet, pod};

/// What the API server holds, as far as the choice depends on it.
pub trait Catalogue {
    /// The Network of this name.
    fn network(&self, name: &str) -> Option<Arc<Network>>;
    /// All Networks of this type, by name.
    fn networks_of_type(&self, wanted: NetworkType) -> Vec<Arc<Network>>;
    /// The Subnet of this name.
    fn subnet(&self, name: &str) -> Option<Arc<Subnet>>;
    /// The Namespace of this name.
    fn namespace(&self, name: &str) -> Option<Arc<Namespace>>;
    /// The `IPInstance`s of a namespace that carry this value of [`crate::names::label::POD`].
    fn ip_instances_of_pod(&self, namespace: &str, pod_label: &str) -> Vec<Arc<IpInstance>>;
    /// The `IPInstance`s of a namespace that carry this value of [`crate::names::label::VM`].
    fn ip_instances_of_vm(&self, namespace: &str, vm: &str) -> Vec<Arc<IpInstance>>;
}

/// A pod, as far as the choice depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its namespace: that of an admission request is right when the object has none yet.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Labels, annotations and owners.
    pub metadata: &'a ObjectMeta,
    /// Name of the `KubeVirt` `VirtualMachine` that it runs, if the gate is on and it does.
    pub vm: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// A pod that the API server has stored, and that runs no virtual machine.
    pub fn of(pod: &'a Pod) -> Self {
        Self {
            namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
            name: pod.metadata.name.as_deref().unwrap_or_default(),
            metadata: &pod.metadata,
            vm: None,
        }
    }
}

/// What a pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The network, unless the type alone decides.
    pub network: Option<String>,
    /// Names of subnets: none, one, or one of IPv4 and one of IPv6.
    pub subnets: Vec<String>,
    /// Type of the network.
    pub network_type: NetworkType,
    /// Number and families of the addresses.
    pub family: PodFamily,
    /// The network's node selector.
    pub node_selector: BTreeMap<String, String>,
    /// Whether the pod keeps addresses that it has.
    pub retained: bool,
}

/// Chooses for a pod.
pub fn select(
    subject: &Subject<'_>,
    catalogue: &dyn Catalogue,
    settings: &Settings,
) -> Result<Selection, SelectionError> {
    let wish = wish(subject, catalogue, settings)?;
    let network = match wish.network {
        None => None,
        Some(name) => match catalogue.network(&name) {
            Some(network) => Some((name, network)),
            None => return Err(SelectionError::NoNetwork(name)),
        },
    };
    if !wish.retained {
        let network = network
            .as_ref()
            .map(|(name, network)| (name.as_str(), network.as_ref()));
        allowed::check(subject.namespace, network, &wish.subnets, catalogue)?;
    }
    let network_type = match &network {
        Some((name, network)) => type_of(name, network, wish.network_type.as_deref())?,
        None => match wish.network_type {
            Some(word) => NetworkType::parse_ignoring_case(&word)?,
            None => settings.default_network_type,
        },
    };
    let family = match wish.family {
        Some(word) => PodFamily::parse_ignoring_case(&word).ok_or(SelectionError::Family(word))?,
        None => settings.default_ip_family,
    };
    let node_selector = network
        .as_ref()
        .map(|(_, network)| network.spec.node_selector.clone())
        .unwrap_or_default();
    Ok(Selection {
        network: network.map(|(name, _)| name),
        subnets: wish.subnets,
        network_type,
        family,
        node_selector,
        retained: wish.retained,
    })
}

/// The addresses that the pod keeps when it comes again: those of its name for a stateful pod that retains,
/// else those of its virtual machine. IPv4 first, and none that is being deleted.
pub fn kept(subject: &Subject<'_>, catalogue: &dyn Catalogue, settings: &Settings) -> Vec<Arc<IpInstance>> {
    let stateful = pod::is_stateful(subject.metadata, settings);
    let mut held = if stateful && pod::retains(subject.metadata, settings) {
        catalogue.ip_instances_of_pod(subject.namespace, &pod::name_label(subject.name))
    } else if let Some(vm) = subject.vm.filter(|_| !stateful && settings.gates.vm_ip_retain) {
        catalogue.ip_instances_of_vm(subject.namespace, vm)
    } else {
        Vec::new()
    };
    held.retain(|instance| instance.metadata.deletion_timestamp.is_none());
    held.sort_by_key(|instance| instance.spec.family());
    held
}

/// The network and the subnets that the pod's own keys name, checked against each other; what 5.4 asks of a
/// pod that has been through the mutating webhook, and through others after it.
pub fn named(
    metadata: &ObjectMeta,
    catalogue: &dyn Catalogue,
) -> Result<(Option<String>, Vec<String>), SelectionError> {
    let wish = Wish::of(metadata).settled(Level::Pod, catalogue)?;
    Ok((wish.network, wish.subnets))
}

fn wish(
    subject: &Subject<'_>,
    catalogue: &dyn Catalogue,
    settings: &Settings,
) -> Result<Wish, SelectionError> {
    let kept = kept(subject, catalogue, settings);
    if !kept.is_empty() {
        return retained::wish(subject, &kept, settings);
    }
    let own = Wish::of(subject.metadata);
    if own.says_anything() {
        return own.settled(Level::Pod, catalogue);
    }
    let namespace = catalogue
        .namespace(subject.namespace)
        .ok_or_else(|| SelectionError::NoNamespace(subject.namespace.to_owned()))?;
    Wish::of(&namespace.metadata).settled(Level::Namespace, catalogue)
}

fn type_of(name: &str, network: &Network, asked: Option<&str>) -> Result<NetworkType, SelectionError> {
    let actual = network
        .spec
        .network_type()
        .map_err(|source| SelectionError::UnusableNetwork {
            network: name.to_owned(),
            source,
        })?;
    match asked {
        Some(word) if NetworkType::parse_ignoring_case(word) != Ok(actual) => Err(SelectionError::Type {
            asked: word.to_owned(),
            network: name.to_owned(),
            actual,
            key: annotation::NETWORK_TYPE,
        }),
        _ => Ok(actual),
    }
}

#[cfg(test)]
mod tests;
