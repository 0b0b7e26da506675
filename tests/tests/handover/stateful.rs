//! Addresses that stay, stay across the change: a stateful workload goes on where it was, both ways.

use std::collections::BTreeMap;

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;

use crate::in_a_namespace;
use crate::moves::{self, Release};
use crate::scene::{Workload, addresses, scale};

/// Address, MAC and UID of each object that the pods have.
async fn held(cluster: &Cluster, namespace: &str, count: usize) -> Result<BTreeMap<String, Vec<String>>> {
    let mut all = BTreeMap::new();
    for ordinal in 0..count {
        let pod = format!("web-{ordinal}");
        let found = addresses(cluster, namespace, &pod, 2).await?;
        let texts = found.into_iter().map(|one| {
            let uid = one.metadata.uid.unwrap_or_default();
            format!("{} {} {uid}", one.spec.address.ip, one.spec.address.mac)
        });
        all.insert(pod, texts.collect());
    }
    Ok(all)
}

/// Scenario 140: stateful pods that come back after the change.
/// Scenario 141: stateful pods that come back after the way back.
#[test]
fn a_stateful_workload_that_was_scaled_down_under_one_manager_is_scaled_up_under_the_other() {
    in_a_namespace("continued", async |cluster, namespace| {
        moves::in_charge(cluster, Release::Original).await?;
        Workload::stateful("web", 4).run(cluster, namespace).await?;
        let first = held(cluster, namespace, 4).await?;
        scale(cluster, namespace, "web", 1).await?;

        moves::in_charge(cluster, Release::Ours).await?;
        scale(cluster, namespace, "web", 3).await?;
        assert_eq!(held(cluster, namespace, 4).await?, first, "taken up by ours");
        scale(cluster, namespace, "web", 0).await?;

        moves::in_charge(cluster, Release::Original).await?;
        scale(cluster, namespace, "web", 4).await?;
        assert_eq!(
            held(cluster, namespace, 4).await?,
            first,
            "taken up by the original"
        );
        scale(cluster, namespace, "web", 2).await?;

        moves::in_charge(cluster, Release::Ours).await?;
        scale(cluster, namespace, "web", 4).await?;
        assert_eq!(held(cluster, namespace, 4).await?, first, "and by ours again");
        Ok(())
    });
}
