//! A cluster changes its manager, there and back: nothing that holds an address is written, no pod hears of it,
//! and both count alike.

use std::net::IpAddr;

use anyhow::{Context, Result};
use hybridnet_api::names::{annotation, finalizer, label};
use hybridnet_tests::cluster::Cluster;

use crate::in_a_namespace;
use crate::moves::{self, Release};
use crate::scene::{self, Workload, addresses};
use crate::snapshot::Snapshot;

/// Pods of every sort that the original can have: plain, stateful, pre-assigned, of either network and family.
async fn every_sort(cluster: &Cluster, namespace: &str, pool: &str) -> Result<()> {
    let under = |set: Workload| set.asking("specified-network", "under");
    let all = [
        Workload::plain("plain", 3),
        Workload::plain("six", 1).asking("ip-family", "IPv6"),
        under(Workload::plain("wired", 2)),
        Workload::stateful("kept", 2),
        under(Workload::stateful("wired-kept", 2)).asking("ip-family", "IPv4"),
        under(Workload::stateful("given", 1)).asking("ip-pool", pool),
        Workload::stateful("stopped", 2),
        Workload::stateful("smaller", 3),
    ];
    scene::run_all(cluster, namespace, &all).await?;
    scene::scale(cluster, namespace, "stopped", 0).await?;
    scene::scale(cluster, namespace, "smaller", 1).await
}

/// Nothing has been written since, nobody was told anything, and all counts are the same.
async fn same(cluster: &Cluster, namespace: &str, before: &Snapshot, leader: &str) -> Result<()> {
    let after = Snapshot::take(cluster, namespace).await?;
    assert_eq!(after.versions, before.versions, "objects written: {leader}");
    assert_eq!(after.events, before.events, "events of pods: {leader}");
    assert_eq!(after.counters, before.counters, "counters: {leader}");
    assert_eq!(after.nodes, before.nodes, "labels of nodes: {leader}");
    Ok(())
}

/// Scenario 140: a cluster of the original changes managers.
#[test]
fn a_cluster_of_the_original_is_taken_over_without_a_write_and_goes_back_without_one() {
    in_a_namespace("taken-over", async |cluster, namespace| {
        moves::in_charge(cluster, Release::Original).await?;
        every_sort(cluster, namespace, "10.62.0.50/fd00:62::32").await?;
        let before = Snapshot::take(cluster, namespace).await?;
        assert!(before.versions.len() > 30, "{before:?}");

        moves::chart(cluster, Release::Ours).await?;
        // Helm leaves the custom resources as they were until somebody applies ours.
        moves::crds(cluster, Release::Original).await?;
        moves::manager(cluster, Release::Ours).await?;
        same(
            cluster,
            namespace,
            &before,
            "ours, with the original's custom resources",
        )
        .await?;
        moves::crds(cluster, Release::Ours).await?;
        moves::in_charge(cluster, Release::Ours).await?;
        same(cluster, namespace, &before, "ours, wholly").await?;
        moves::in_charge(cluster, Release::Original).await?;
        same(cluster, namespace, &before, "the original again").await
    });
}

/// Scenario 141: objects of this release go to the original.
#[test]
fn what_this_release_has_written_is_taken_over_by_the_original_without_a_write() {
    in_a_namespace("given-back", async |cluster, namespace| {
        moves::in_charge(cluster, Release::Ours).await?;
        every_sort(cluster, namespace, "10.62.0.51/fd00:62::33").await?;
        let before = Snapshot::take(cluster, namespace).await?;
        form_is_the_originals(cluster, namespace).await?;

        moves::in_charge(cluster, Release::Original).await?;
        same(cluster, namespace, &before, "the original").await?;
        scene::recreate(cluster, namespace, "kept").await?;
        scene::recreate(cluster, namespace, "given").await?;

        let after = Snapshot::take(cluster, namespace).await?;
        assert_eq!(
            after.counters, before.counters,
            "stateful pods have taken up what was theirs"
        );
        Ok(())
    });
}

/// Names, labels, finalizers and binding as the original writes them.
async fn form_is_the_originals(cluster: &Cluster, namespace: &str) -> Result<()> {
    for (pod, owner, ordinal) in [
        ("kept-1", "StatefulSet", Some(1)),
        ("smaller-2", "StatefulSet", Some(2)),
    ] {
        for one in addresses(cluster, namespace, pod, 2).await? {
            let ip = one.spec.ip().context("an address")?;
            let name = one.metadata.name.clone().unwrap_or_default();
            assert_eq!(name, object_name(ip));
            assert_eq!(
                one.metadata.finalizers.clone().unwrap_or_default(),
                [finalizer::IP_ALLOCATED]
            );
            let labels = one.metadata.labels.clone().unwrap_or_default();
            assert_eq!(labels.get(label::VERSION).map(String::as_str), Some("v1.2"));
            assert_eq!(labels.get(label::POD).map(String::as_str), Some(pod));
            let bound = labels.contains_key(label::POD_UID) && labels.contains_key(label::NODE);
            assert_eq!(bound, pod == "kept-1", "{pod}: {labels:?}");
            let binding = one.spec.binding.clone().context("a binding")?;
            assert_eq!(
                (binding.pod_name.as_str(), binding.referred_object.kind.as_str()),
                (pod, owner)
            );
            assert_eq!(binding.stateful.and_then(|stateful| stateful.index), ordinal);
        }
    }
    Ok(())
}

/// Dashes for dots; of IPv6 all eight groups, without leading zeros.
fn object_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.octets().map(|octet| octet.to_string()).join("-"),
        IpAddr::V6(ip) => ip.segments().map(|group| format!("{group:x}")).join("-"),
    }
}

/// Scenario 145: a finalizer of other builds goes with its object.
#[test]
fn a_network_with_the_finalizer_that_builds_after_the_last_release_set_can_be_deleted() {
    in_a_namespace("marked", async |cluster, _| {
        moves::in_charge(cluster, Release::Original).await?;
        // The release does not set it, so it is set by hand.
        let marks = format!("finalizers: [{}]", finalizer::METRICS_REGISTERED);
        let head = "apiVersion: networking.alibaba.com/v1\nkind:";
        let network = format!(
            "{head} Network\nmetadata: {{name: marked, {marks}}}\nspec: {{type: Underlay, netID: 7, nodeSelector: \
             {{network: marked}}}}\n"
        );
        let subnet = format!(
            "{head} Subnet\nmetadata: {{name: marked, {marks}}}\nspec: {{network: marked, range: {{version: \"4\", cidr: \
             10.66.0.0/24, gateway: 10.66.0.1}}}}\n"
        );
        cluster.apply(&network).await?;
        cluster.apply(&subnet).await?;

        moves::in_charge(cluster, Release::Ours).await?;
        // kubectl waits until they are gone.
        cluster
            .kubectl(["delete", "subnet", "marked", "--timeout=30s"])
            .await?;
        cluster
            .kubectl(["delete", "network", "marked", "--timeout=30s"])
            .await?;
        Ok(())
    });
}

/// The keys that only this project knows mean nothing to the original, whatever they are on.
#[test]
fn the_original_passes_over_annotations_that_only_this_release_knows() {
    in_a_namespace("annotated", async |cluster, namespace| {
        moves::in_charge(cluster, Release::Ours).await?;
        let limit = format!("{}=2", annotation::ADDRESS_LIMIT);
        cluster
            .kubectl(["annotate", "namespace", namespace, &limit])
            .await?;
        Workload::stateful("one", 1).run(cluster, namespace).await?;
        let ttl = format!("{}=1h", annotation::RETAINED_IP_TTL);
        cluster
            .kubectl(["annotate", "statefulset", "one", "-n", namespace, &ttl])
            .await?;
        let refused = cluster
            .apply_dry(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: third, namespace: {namespace}}}\nspec: {{{}}}\n",
                scene::POD_REST
            ))
            .await;
        assert!(refused.is_err(), "the third address is too many: {refused:?}");
        let before = Snapshot::take(cluster, namespace).await?;

        moves::in_charge(cluster, Release::Original).await?;
        same(cluster, namespace, &before, "the original").await?;
        scene::scale(cluster, namespace, "one", 2).await?;

        // More than the limit, and nothing is taken away for it.
        let beyond = Snapshot::take(cluster, namespace).await?;
        moves::in_charge(cluster, Release::Ours).await?;
        same(cluster, namespace, &beyond, "ours again").await
    });
}
