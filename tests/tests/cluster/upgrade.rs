//! `helm upgrade` and `helm rollback` under traffic and while pods start.

use std::time::Duration;

use anyhow::Result;
use hybridnet_tests::chart;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::stream::{blocks, stream};
use hybridnet_tests::workload::{Workload, addresses};

use crate::on_the_cluster;

const NEXT: &str = "next";

/// The same programs under another tag: for Kubernetes a new image, so every pod of ours is replaced.
async fn tag_next(cluster: &Cluster) -> Result<()> {
    let retag = "name=$(ctr -n k8s.io images ls -q | grep '/hybridnet:v' | head -1); \
                 ctr -n k8s.io images tag --force $name ${name%:*}:next";
    for number in 1..=cluster.size() {
        cluster.node(number).exec(["sh", "-c", retag]).await?;
    }
    Ok(())
}

/// Pods come without a pause; each batch must get ready.
async fn pods_keep_coming(cluster: &Cluster, batches: usize) -> Result<()> {
    for batch in 0..batches {
        let pods = Workload::new(&format!("batch-{batch}"), 6);
        pods.apply(cluster).await?;
        let ready = pods.ready(cluster, Duration::from_mins(2)).await?;
        assert_eq!(addresses(&ready)?.len(), 12);
        pods.delete(cluster, Duration::from_mins(1)).await?;
    }
    Ok(())
}

#[test]
fn an_upgrade_and_its_rollback_lose_nothing_and_refuse_nothing() {
    on_the_cluster("upgrade", async |cluster| {
        tag_next(cluster).await?;
        let (pods, words) = stream(cluster, "upgraded", "55").await?;
        let mut values = chart::dual_stack();
        values.extend([
            format!("images.hybridnet.tag={NEXT}"),
            "logLevel=debug".to_owned(),
        ]);
        let there_and_back = async {
            cluster.upgrade(&values).await?;
            cluster.rollback().await
        };

        let (report, moved, created) = tokio::join!(
            cluster.kubectl(&words),
            there_and_back,
            pods_keep_coming(cluster, 4)
        );

        moved?;
        created?;
        let report = report?;
        println!("{report}");
        assert!(blocks(&report)? > 2000, "{report}");
        let history = cluster
            .helm(["history", "hybridnet", "--namespace=kube-system"])
            .await?;
        assert!(history.contains("Rollback to 1"), "{history}");
        pods.delete(cluster, Duration::from_mins(1)).await
    });
}
