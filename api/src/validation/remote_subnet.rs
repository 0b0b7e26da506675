//! Rules for `RemoteSubnet`s: an address of another cluster must be nobody's here, and no third cluster's.

use std::net::IpAddr;

use kube::ResourceExt;

use crate::Subnet;
use crate::address::{ParsedRange, RangeError};
use crate::multicluster::RemoteSubnet;
use crate::subnet::AddressRange;

/// Why a remote subnet cannot be so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteSubnetFault {
    /// The addresses make no sense.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Addresses in common with this cluster.
    #[error(
        "remote subnet {name:?} and subnet {other:?} of this cluster both have {at}: change spec.range in one of the \
         clusters so that they lie apart"
    )]
    Local {
        /// The one that is judged.
        name: String,
        /// The one that is there.
        other: String,
        /// The lowest address that both have.
        at: IpAddr,
    },
    /// Addresses in common with another cluster.
    #[error(
        "remote subnet {name:?} and remote subnet {other:?} of cluster {cluster:?} both have {at}: change spec.range in \
         one of the clusters so that they lie apart"
    )]
    Remote {
        /// The one that is judged.
        name: String,
        /// The one that is there.
        other: String,
        /// The cluster that it is in.
        cluster: String,
        /// The lowest address that both have.
        at: IpAddr,
    },
}

/// Whether a new remote subnet may come in, or one that [`changes_addresses`]. `remote` are all of them; the one that is judged is passed over.
pub fn create(
    subnet: &RemoteSubnet,
    local: &[Subnet],
    remote: &[RemoteSubnet],
) -> Result<(), RemoteSubnetFault> {
    let name = subnet.name_any();
    let range = ParsedRange::parse(&subnet.spec.range)?;
    // Ranges that cannot be read are in nobody's way.
    let shared = |other: &AddressRange| range.first_shared(&ParsedRange::parse(other).ok()?);
    for other in local {
        if let Some(at) = shared(&other.spec.range) {
            let other = other.name_any();
            return Err(RemoteSubnetFault::Local { name, other, at });
        }
    }
    for other in remote.iter().filter(|other| other.name_any() != name) {
        if let Some(at) = shared(&other.spec.range) {
            return Err(RemoteSubnetFault::Remote {
                name,
                other: other.name_any(),
                cluster: other.spec.cluster_name.clone().unwrap_or_default(),
                at,
            });
        }
    }
    Ok(())
}

/// Whether an update must be judged at all. What is there already may keep its labels, and go.
pub fn changes_addresses(old: &RemoteSubnet, new: &RemoteSubnet) -> bool {
    old.spec.range != new.spec.range && new.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn remote(name: &str, range: &Value) -> RemoteSubnet {
        serde_json::from_value(json!({
            "apiVersion": "multicluster.alibaba.com/v1", "kind": "RemoteSubnet", "metadata": {"name": name},
            "spec": {"range": range, "networkType": "Overlay", "clusterName": "east"},
        }))
        .unwrap()
    }

    fn local(name: &str, range: &Value) -> Subnet {
        serde_json::from_value(json!({
            "apiVersion": "networking.alibaba.com/v1", "kind": "Subnet", "metadata": {"name": name},
            "spec": {"range": range, "network": "n"},
        }))
        .unwrap()
    }

    fn part(start: &str, end: &str) -> Value {
        json!({"version": "4", "cidr": "10.0.0.0/24", "start": start, "end": end})
    }

    /// Scenario 138: an address of both clusters.
    #[test]
    fn addresses_of_this_cluster_or_a_third_one_are_refused_with_both_names() {
        let new = remote("east.s", &part("10.0.0.50", "10.0.0.60"));
        let beside = local("here", &part("10.0.0.60", "10.0.0.70"));
        let third = remote("west.s", &part("10.0.0.10", "10.0.0.50"));
        let text = create(&new, &[beside], &[]).unwrap_err().to_string();
        assert!(
            text.contains("\"east.s\"") && text.contains("\"here\" of this cluster both have 10.0.0.60"),
            "{text}"
        );
        let text = create(&new, &[], &[third]).unwrap_err().to_string();
        assert!(
            text.contains("\"east.s\"")
                && text.contains("\"west.s\" of cluster \"east\" both have 10.0.0.50"),
            "{text}"
        );
    }

    #[test]
    fn two_clusters_may_split_a_cidr_and_one_is_not_in_its_own_way() {
        let new = remote("east.s", &part("10.0.0.50", "10.0.0.60"));
        let beside = local("here", &part("10.0.0.1", "10.0.0.49"));
        assert_eq!(create(&new, &[beside], std::slice::from_ref(&new)), Ok(()));
        let unreadable = local("bad", &json!({"version": "4", "cidr": "x"}));
        assert_eq!(create(&new, &[unreadable], &[]), Ok(()));
        let text = create(&remote("bad", &json!({"version": "4", "cidr": "x"})), &[], &[]);
        assert!(text.unwrap_err().to_string().contains("spec.range.cidr \"x\""));
    }

    #[test]
    fn only_a_range_that_changes_is_judged() {
        let (old, new) = (
            remote("east.s", &part("10.0.0.50", "10.0.0.60")),
            remote("east.s", &part("10.0.0.50", "10.0.0.99")),
        );
        assert!(changes_addresses(&old, &new));
        let mut labelled = old.clone();
        labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        labelled.spec.network_type = Some("Underlay".to_owned());
        assert!(!changes_addresses(&old, &labelled));
        let mut terminating = new;
        terminating.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
        assert!(!changes_addresses(&old, &terminating));
    }
}
