//! Networks and subnets that are for some namespaces only.

use super::{Catalogue, SelectionError};
use crate::Network;
use crate::allowance::allows;
use crate::names::annotation::{SPECIFIED_NETWORK, SPECIFIED_SUBNET};

/// Whether the network and the subnets that are named give addresses to the namespace.
pub fn check(
    namespace: &str,
    network: Option<(&str, &Network)>,
    subnets: &[String],
    catalogue: &dyn Catalogue,
) -> Result<(), SelectionError> {
    let refused = |key, kind, name: &str| SelectionError::NotAllowed {
        key,
        kind,
        name: name.to_owned(),
        namespace: namespace.to_owned(),
    };
    if let Some((name, network)) = network
        && !allows(network.spec.allowed_namespaces(), namespace)
    {
        return Err(refused(SPECIFIED_NETWORK, "network", name));
    }
    let is_closed = |name: &&String| {
        let subnet = catalogue.subnet(name);
        subnet.is_some_and(|subnet| !allows(subnet.spec.allowed_namespaces(), namespace))
    };
    match subnets.iter().find(is_closed) {
        Some(name) => Err(refused(SPECIFIED_SUBNET, "subnet", name)),
        None => Ok(()),
    }
}
