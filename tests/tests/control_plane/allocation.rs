//! A bound pod has addresses, a deleted one gives them back.

use std::collections::BTreeSet;

use crate::{addresses_of, bound_pod, on_the_control_plane, overlay};

#[test]
fn a_bound_pod_gets_an_address_of_each_family_and_its_end_gives_them_back() {
    on_the_control_plane("allocation", async |cluster| {
        // Two IPv4 addresses: the third pod must wait for the first to go.
        let subnets = overlay(cluster, "tiny", "10.1.0.0/30", "fd00:1::/126").await?;

        cluster.apply(&bound_pod("first", &subnets)).await?;
        let first = addresses_of(cluster, "first", 2).await?;
        cluster.apply(&bound_pod("second", &subnets)).await?;
        let second = addresses_of(cluster, "second", 2).await?;
        cluster.apply(&bound_pod("third", &subnets)).await?;
        cluster
            .kubectl(["delete", "pod", "first", "--wait=false"])
            .await?;
        let third = addresses_of(cluster, "third", 2).await?;

        assert!(
            first.iter().all(|address| !second.contains(address)),
            "{first:?} and {second:?}"
        );
        assert_eq!(third[0], first[0], "what the first gave back");
        addresses_of(cluster, "first", 0).await?;
        cluster
            .kubectl(["delete", "pod", "second", "third"])
            .await
            .map(drop)
    });
}

#[test]
fn fifty_pods_at_once_get_fifty_addresses() {
    on_the_control_plane("fifty", async |cluster| {
        let subnets = overlay(cluster, "fifty", "10.2.0.0/24", "fd00:2::/112").await?;
        let names: Vec<String> = (0..50).map(|number| format!("fifty-{number}")).collect();
        let pods: Vec<String> = names.iter().map(|name| bound_pod(name, &subnets)).collect();

        cluster.apply(&pods.join("---\n")).await?;
        let mut all = BTreeSet::new();
        for name in &names {
            all.extend(addresses_of(cluster, name, 2).await?);
        }

        assert_eq!(all.len(), 100, "no address twice");
        cluster.kubectl(["delete", "pods", "--all"]).await?;
        for name in &names {
            addresses_of(cluster, name, 0).await?;
        }
        Ok(())
    });
}
