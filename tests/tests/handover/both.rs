//! During the roll-over managers of both implementations run: only the holder of the Lease writes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use hybridnet_api::names::MANAGER_LEASE;
use hybridnet_tests::audit::{Mark, Request};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::until;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use crate::in_a_namespace;
use crate::moves::{self, Release};
use crate::scene::{Workload, recreate};

async fn holder(cluster: &Cluster) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(cluster.kube().await?, "kube-system");
    let lease = leases.get_opt(MANAGER_LEASE).await?;
    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
    Ok(holder.unwrap_or_default())
}

/// Waits until somebody else holds the Lease.
async fn passed_on(cluster: &Cluster, from: &str) -> Result<()> {
    until(
        "another holder of the Lease",
        Duration::from_secs(40),
        async || {
            let now = holder(cluster).await?;
            Ok(if now.is_empty() || now == from {
                Err(format!("held by {now:?}"))
            } else {
                Ok(())
            })
        },
    )
    .await
}

fn changes(cluster: &Cluster, since: Mark, by: Release) -> Result<Vec<Request>> {
    let mut all = cluster.audited(since)?;
    all.retain(|request| request.account == by.account() && request.is_change());
    Ok(all)
}

/// Pods come, change and go while both run; only `leader` writes.
async fn busy(cluster: &Cluster, namespace: &str, app: &str, leader: Release, other: Release) -> Result<()> {
    let since = cluster.audit_mark()?;
    Workload::plain(app, 4).run(cluster, namespace).await?;
    let kept = format!("{app}-kept");
    Workload::stateful(&kept, 2).run(cluster, namespace).await?;
    recreate(cluster, namespace, &kept).await?;
    recreate(cluster, namespace, app).await?;
    let written = changes(cluster, since, leader)?;
    assert!(
        written.len() >= 10,
        "{leader:?} leads and has written {written:?}"
    );
    assert_eq!(changes(cluster, since, other)?, [], "{other:?} does not lead");
    let states = cluster.state().processes(other.manager());
    assert!(!states.is_empty(), "{other:?} stands by");
    Ok(())
}

/// Scenario 146: two managers of different implementations.
#[test]
fn while_managers_of_both_run_only_the_holder_of_the_lease_writes() {
    in_a_namespace("both", async |cluster, namespace| {
        moves::in_charge(cluster, Release::Original).await?;
        moves::chart(cluster, Release::Ours).await?;
        let first = holder(cluster).await?;
        Release::Ours.start_manager(cluster)?;
        busy(cluster, namespace, "one", Release::Original, Release::Ours).await?;

        // It ends without a word, so its Lease must run out first.
        let old = cluster.state().processes(Release::Original.manager());
        old.last().context("the original's manager")?.end()?;
        passed_on(cluster, &first).await?;
        Release::Original.start_manager(cluster)?;
        moves::somebody_leads(cluster).await?;
        busy(cluster, namespace, "two", Release::Ours, Release::Original).await?;

        // Ours gives its Lease away when it is told to end.
        let second = holder(cluster).await?;
        cluster.end_programs(Release::Ours.manager()).await?;
        passed_on(cluster, &second).await?;
        moves::somebody_leads(cluster).await?;
        Release::Ours.start_manager(cluster)?;
        busy(cluster, namespace, "three", Release::Original, Release::Ours).await?;
        nobody_shares(cluster, namespace).await
    });
}

async fn nobody_shares(cluster: &Cluster, namespace: &str) -> Result<()> {
    let path = "-o=jsonpath={range .items[*].status.podIPs[*]}{.ip}{\"\\n\"}{end}";
    let listed = cluster.kubectl(["get", "pods", "-n", namespace, path]).await?;
    let all: Vec<_> = listed.lines().filter(|line| !line.is_empty()).collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(
        (all.len(), distinct.len()),
        (36, 36),
        "18 pods, two addresses each: {all:?}"
    );
    Ok(())
}
