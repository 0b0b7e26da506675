//! Programs that end without a word: the next one knows what it must know.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use hybridnet_tests::cluster::Cluster;

use crate::{addresses_of, bound_pod, on_the_control_plane, overlay};

async fn pods(cluster: &Cluster, prefix: &str, count: usize, subnets: &str) -> Result<BTreeSet<String>> {
    let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
    let yaml: Vec<String> = names.iter().map(|name| bound_pod(name, subnets)).collect();
    cluster.apply(&yaml.join("---\n")).await?;
    let mut found = BTreeSet::new();
    for name in &names {
        found.extend(addresses_of(cluster, name, 2).await?);
    }
    Ok(found)
}

#[test]
fn a_manager_that_follows_a_killed_one_gives_no_address_twice() {
    on_the_control_plane("manager", async |cluster| {
        let subnets = overlay(cluster, "follow", "10.40.0.0/26", "fd00:40::/112").await?;
        let before = pods(cluster, "before", 20, &subnets).await?;

        cluster
            .state()
            .processes("hybridnet-manager")
            .pop()
            .context("a manager")?
            .end()?;
        cluster.start_manager()?;
        let after = pods(cluster, "after", 20, &subnets).await?;

        assert_eq!((before.len(), after.len()), (40, 40));
        assert!(
            before.is_disjoint(&after),
            "{:?}",
            before.intersection(&after).collect::<Vec<_>>()
        );
        cluster.kubectl(["delete", "pods", "--all"]).await.map(drop)
    });
}

#[test]
fn a_webhook_that_follows_a_killed_one_serves_under_the_certificate_of_the_first() {
    on_the_control_plane("webhook", async |cluster| {
        let bundle = "-o=jsonpath={.webhooks[0].clientConfig.caBundle}";
        let read = [
            "get",
            "validatingwebhookconfiguration",
            "hybridnet-validating-webhook",
            bundle,
        ];
        let before = cluster.kubectl(read).await?;

        cluster
            .state()
            .processes("hybridnet-webhook")
            .pop()
            .context("a webhook")?
            .end()?;
        cluster.start_webhook()?;
        cluster.webhook_answers().await?;

        assert!(!before.is_empty());
        assert_eq!(cluster.kubectl(read).await?, before);
        Ok(())
    });
}
