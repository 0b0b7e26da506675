//! What a pod asks for by name must be there for its namespace, and within the namespace's limit. What the pod
//! keeps is its own, whatever the lists say by now.

use hybridnet_api::Network;
use hybridnet_api::allowance::{address_limit, allows};
use hybridnet_api::selection::{Catalogue, check_allowed};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;

use super::doubt::Doubt;
use super::fault::PodFault;
use super::seeker::Seeker;
use crate::fresh::Fresh;

/// Whether the namespace may use what the pod names, and the network that it comes into without naming it.
pub fn places(seeker: &Seeker<'_>, network: &Network, catalogue: &dyn Catalogue) -> Result<(), PodFault> {
    if !seeker.kept.is_empty() {
        return Ok(());
    }
    let (namespace, name) = (seeker.subject.namespace, network.name_any());
    if seeker.network.is_some() {
        let network = Some((name.as_str(), network));
        return Ok(check_allowed(namespace, network, &seeker.subnets, catalogue)?);
    }
    if allows(network.spec.allowed_namespaces(), namespace) {
        return Ok(());
    }
    Err(PodFault::TypeNotAllowed {
        type_: seeker.network_type,
        network: name,
        namespace: seeker.namespace(),
    })
}

/// Whether the namespace may hold as many addresses as the pod needs. The caches may lag, and the manager counts
/// exactly: this only tells early.
pub fn number(
    seeker: &Seeker<'_>,
    namespace: Option<&Namespace>,
    catalogue: &Fresh<'_>,
) -> Result<Option<Doubt>, PodFault> {
    let Some(namespace) = namespace.filter(|_| seeker.kept.is_empty()) else {
        return Ok(None);
    };
    let limit = match address_limit(&namespace.metadata) {
        Ok(None) => return Ok(None),
        Ok(Some(limit)) => limit,
        Err(error) => {
            return Ok(Some(Doubt::Limit {
                namespace: seeker.namespace(),
                value: error.value,
            }));
        }
    };
    // What the pod has and will give up makes room for what it gets.
    let own = seeker.held(catalogue).len();
    let asked = seeker.family.families().len().saturating_sub(own) as u64;
    let held = catalogue.addresses_in(seeker.subject.namespace);
    if asked == 0 || held.saturating_add(asked) <= limit {
        return Ok(None);
    }
    Err(PodFault::Limit {
        namespace: seeker.namespace(),
        held,
        limit,
        asked,
    })
}
