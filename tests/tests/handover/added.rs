//! Fields that only this release knows: the original leaves them where they are and does not follow them; when ours
//! is back, it lives with what the original has done meanwhile.

use std::time::Duration;

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::until;
use serde_json::{Value, json};

use crate::in_a_namespace;
use crate::moves::{self, Release};
use crate::scene::{Workload, ips, recreate, scale};
use crate::snapshot::Snapshot;

/// An underlay with five usable addresses, `.4` to `.8`, of which `.6` to `.8` are excluded as a range.
async fn narrow(cluster: &Cluster, namespace: &str) -> Result<()> {
    let head = "apiVersion: networking.alibaba.com/v1\nkind:";
    cluster
        .apply(&format!(
            "{head} Network\nmetadata: {{name: added}}\nspec: {{type: Underlay, netID: 200, nodeSelector: {{network: \
             added}}, config: {{allowedNamespaces: [{namespace}]}}}}\n"
        ))
        .await?;
    cluster
        .apply(&format!(
            "{head} Subnet\nmetadata: {{name: added-v4}}\nspec: {{network: added, config: {{allowedNamespaces: \
             [{namespace}]}}, range: {{version: \"4\", cidr: 10.63.0.0/28, gateway: 10.63.0.1, end: 10.63.0.8, \
             reservedIPRanges: [10.63.0.2-10.63.0.3], excludeIPRanges: [10.63.0.6-10.63.0.8]}}}}\n"
        ))
        .await
        .map(drop)
}

async fn subnet(cluster: &Cluster) -> Result<Value> {
    let text = cluster
        .kubectl(["get", "subnet", "added-v4", "-o", "json"])
        .await?;
    Ok(serde_json::from_str(&text)?)
}

/// Waits until the Subnet counts so many usable addresses.
async fn total(cluster: &Cluster, wanted: i64) -> Result<()> {
    until(
        &format!("a total of {wanted}"),
        Duration::from_secs(30),
        async || {
            let subnet = subnet(cluster).await?;
            let total = subnet.pointer("/status/total").cloned().unwrap_or_default();
            Ok(if total == json!(wanted) {
                Ok(())
            } else {
                Err(total.to_string())
            })
        },
    )
    .await
}

/// Scenario 141: fields of this release under the original.
#[test]
fn the_original_leaves_our_fields_alone_and_ours_lives_with_what_it_did_without_them() {
    in_a_namespace("fields", async |cluster, namespace| {
        moves::in_charge(cluster, Release::Ours).await?;
        narrow(cluster, namespace).await?;
        total(cluster, 2).await?;
        Workload::stateful("few", 2)
            .asking("specified-network", "added")
            .asking("ip-family", "IPv4")
            .run(cluster, namespace)
            .await?;
        let before = Snapshot::take(cluster, namespace)
            .await?
            .without_counting("added");
        let ours = subnet(cluster).await?;
        assert!(
            ours["status"]["conditions"]
                .as_array()
                .is_some_and(|all| all.len() >= 2),
            "{ours}"
        );

        moves::in_charge(cluster, Release::Original).await?;
        let after = Snapshot::take(cluster, namespace)
            .await?
            .without_counting("added");
        assert_eq!(after.versions, before.versions);
        assert_eq!(after.events, before.events);
        assert_eq!(after.counters, before.counters);
        // It counts what it knows: .2 to .8.
        total(cluster, 7).await?;
        let theirs = subnet(cluster).await?;
        assert_eq!(
            theirs["spec"], ours["spec"],
            "what the original does not know it does not touch"
        );
        assert_eq!(theirs["status"]["conditions"], ours["status"]["conditions"]);
        scale(cluster, namespace, "few", 3).await?;
        let outside = ips(cluster, namespace, "few-2", 1).await?;
        assert_eq!(
            outside,
            ["10.63.0.6".parse::<std::net::IpAddr>()?],
            "the next in its order"
        );

        moves::in_charge(cluster, Release::Ours).await?;
        total(cluster, 2).await?;
        assert_eq!(
            ips(cluster, namespace, "few-2", 1).await?,
            outside,
            "in use, so it stays"
        );
        recreate(cluster, namespace, "few").await?;
        assert_eq!(
            ips(cluster, namespace, "few-2", 1).await?,
            outside,
            "and stays its pod's own"
        );
        refused_to_others(cluster).await?;
        clear(cluster, namespace).await
    });
}

async fn refused_to_others(cluster: &Cluster) -> Result<()> {
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: stranger, namespace: default, annotations: \
         {{networking.alibaba.com/specified-network: added}}}}\nspec: {{{}}}\n",
        crate::scene::POD_REST
    );
    let refusal = cluster.apply_dry(&pod).await.expect_err("another namespace");
    let text = format!("{refusal:#}");
    assert!(text.contains("added") && text.contains("default"), "{text}");
    Ok(())
}

async fn clear(cluster: &Cluster, namespace: &str) -> Result<()> {
    crate::scene::vacate(cluster, namespace).await?;
    cluster
        .kubectl(["delete", "subnet", "added-v4", "--timeout=30s"])
        .await?;
    cluster
        .kubectl(["delete", "network", "added", "--timeout=30s"])
        .await
        .map(drop)
}
