//! What a changed `ip-pool` leaves behind in the original: a second address of the same family, kept for the same
//! pod. Its own webhook and manager then refuse the pod; ours tidies up.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::until;

use crate::in_a_namespace;
use crate::moves::{self, Release};
use crate::scene::{Workload, addresses, ask, ips, recreate};

/// A workload of one pod whose pool was changed from the first address to the second under the original.
async fn left_over(cluster: &Cluster, namespace: &str, set: &str, first: &str, second: &str) -> Result<()> {
    Workload::stateful(set, 1)
        .asking("specified-network", "under")
        .asking("ip-family", "IPv4")
        .asking("ip-pool", first)
        .run(cluster, namespace)
        .await?;
    let pod = format!("{set}-0");
    let made = addresses(cluster, namespace, &pod, 1).await?;
    let made = made
        .first()
        .and_then(|one| one.metadata.creation_timestamp.clone());
    let made = SystemTime::from(made.context("a time of creation")?.0);
    // Times of creation are whole seconds, and which address is the younger must be seen.
    until("another second", Duration::from_secs(5), async || {
        let passed = made.elapsed().unwrap_or_default();
        Ok(if passed > Duration::from_secs(2) {
            Ok(())
        } else {
            Err(format!("{passed:?}"))
        })
    })
    .await?;
    ask(cluster, namespace, set, "ip-pool", &format!("\"{second}\"")).await?;
    let both = addresses(cluster, namespace, &pod, 2).await?;
    let bound: Vec<_> = both
        .iter()
        .map(|one| (one.spec.address.ip.as_str(), !one.spec.is_reserved()))
        .collect();
    let (first, second) = (format!("{first}/26"), format!("{second}/26"));
    assert_eq!(
        bound,
        [(first.as_str(), false), (second.as_str(), true)],
        "what the original leaves"
    );
    Ok(())
}

/// Scenario 144: a left-over of a changed pool.
#[test]
fn a_pod_with_a_left_over_of_the_original_comes_again_with_exactly_one_address() {
    in_a_namespace("left-over", async |cluster, namespace| {
        moves::in_charge(cluster, Release::Original).await?;
        left_over(cluster, namespace, "with", "10.62.0.30", "10.62.0.31").await?;
        left_over(cluster, namespace, "without", "10.62.0.32", "10.62.0.33").await?;

        moves::in_charge(cluster, Release::Ours).await?;
        assert_eq!(
            ips(cluster, namespace, "with-0", 2).await?.len(),
            2,
            "not before the pod comes again"
        );
        recreate(cluster, namespace, "with").await?;
        ask(cluster, namespace, "without", "ip-pool", "null").await?;

        for (pod, kept) in [("with-0", "10.62.0.31"), ("without-0", "10.62.0.33")] {
            let left = addresses(cluster, namespace, pod, 1).await?;
            let left = left.first().context("an address")?;
            assert_eq!(
                left.spec.ip().map(|ip| ip.to_string()).as_deref(),
                Some(kept),
                "{pod}"
            );
            assert!(!left.spec.is_reserved(), "{pod}");
        }
        Ok(())
    });
}
