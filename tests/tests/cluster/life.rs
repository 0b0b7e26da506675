//! Pods come and go: without a daemon for a while, and a hundred at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::until;
use hybridnet_tests::workload::{Workload, addresses};

use crate::on_the_cluster;

/// What pods leave in a kernel: links, routes, rules, neighbours, forwarding entries, and elements of nftables.
/// Counters, ages and the neighbours that ARP learns on the nodes' own link change by themselves.
const TRACES: &str = "ip -o link | sed 's/^[0-9]*: //; s/@.*//; s/:.*//' | sed 's/^/link /'; \
    ip route show table all type unicast; ip -6 route show table all type unicast | sed 's/ expires.*//'; \
    ip rule; ip -6 rule; bridge fdb | grep -v ' self permanent$'; \
    ip neigh show nud permanent; ip -6 neigh show nud permanent; ip neigh show proxy; ip -6 neigh show proxy; \
    nft list ruleset | sed -n '/table .* hybridnet/,/^}/p' | sed 's/counter packets [0-9]* bytes [0-9]*//'";

fn plugin_runs(cluster: &Cluster) -> bool {
    let command = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let processes = cluster.state().cgroup().processes();
    processes
        .into_iter()
        .any(|pid| command(pid).trim() == "hybridnet")
}

async fn traces(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for number in 1..=cluster.size() {
        let text = cluster.node(number).exec(["sh", "-c", TRACES]).await?;
        found.extend(text.lines().map(|line| format!("node-{number}: {}", line.trim())));
    }
    let addresses = cluster
        .kubectl(["get", "ipinstances", "-A", "-o", "name"])
        .await?;
    found.extend(addresses.lines().map(String::from));
    Ok(found)
}

#[test]
fn a_hundred_pods_come_and_go_without_a_trace() {
    on_the_cluster("hundred", async |cluster| {
        let pods = Workload::new("hundred", 100);
        // A pod goes from the API before its node has taken its network down.
        until(
            "earlier tests' pods gone from the kernels",
            Duration::from_mins(1),
            async || {
                let left: Vec<_> = traces(cluster)
                    .await?
                    .into_iter()
                    .filter(|trace| trace.contains("link hybr"))
                    .collect();
                Ok(if left.is_empty() {
                    Ok(())
                } else {
                    Err(left.join("\n"))
                })
            },
        )
        .await?;
        let before = traces(cluster).await?;

        pods.apply(cluster).await?;
        let ready = pods.ready(cluster, Duration::from_mins(4)).await?;
        let during = traces(cluster).await?;
        pods.delete(cluster, Duration::from_mins(3)).await?;

        assert_eq!(
            addresses(&ready)?.len(),
            200,
            "one address of each family for each pod"
        );
        assert!(
            during.len() >= before.len() + 500,
            "{} traces, {} before",
            during.len(),
            before.len()
        );
        until("the same traces as before", Duration::from_mins(1), async || {
            let after = traces(cluster).await?;
            let left: Vec<_> = after.symmetric_difference(&before).take(10).cloned().collect();
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(left.join("\n"))
            })
        })
        .await
    });
}

/// Sends the daemons to nodes that do not exist (`"yes"`), or lets them come back (`null`).
async fn exile_daemons(cluster: &Cluster, value: &str) -> Result<()> {
    let patch =
        format!(r#"{{"spec":{{"template":{{"spec":{{"nodeSelector":{{"lab/nowhere":{value}}}}}}}}}}}"#);
    let words = [
        "patch",
        "daemonset",
        "hybridnet-daemon",
        "--namespace=kube-system",
        "--patch",
        &patch,
    ];
    cluster.kubectl(words).await.map(drop)
}

/// Makes pods that get as far as they can without a daemon. The answer is whether any of them got ready.
async fn started_without_daemons(cluster: &Cluster, pods: &Workload) -> Result<bool> {
    until("no daemon", Duration::from_mins(1), async || {
        let running = cluster.component("daemon").await?;
        Ok(if running.is_empty() {
            Ok(())
        } else {
            Err(format!("{running:?}"))
        })
    })
    .await?;
    pods.apply(cluster).await?;
    // Their turn has come when the runtime has asked for a network and our plugin waits.
    until(
        "a plugin that waits for its daemon",
        Duration::from_mins(1),
        async || {
            let waits = plugin_runs(cluster);
            Ok(if waits {
                Ok(())
            } else {
                Err(cluster.warnings("default").await)
            })
        },
    )
    .await?;
    Ok(pods.ready(cluster, Duration::ZERO).await.is_ok())
}

#[test]
fn a_pod_made_while_the_daemons_are_down_starts_as_soon_as_they_are_back() {
    on_the_cluster("without-daemon", async |cluster| {
        let pods = Workload::new("patient", 3);
        exile_daemons(cluster, "\"yes\"").await?;
        let early = started_without_daemons(cluster, &pods).await;
        // Whatever came of it, the tests after this one need the daemons.
        exile_daemons(cluster, "null").await?;
        let early = early?;
        let late = pods.ready(cluster, Duration::from_mins(2)).await?;

        assert!(!early, "no pod can be ready without a daemon");
        assert_eq!(addresses(&late)?.len(), 6);
        cluster.settled().await?;
        pods.delete(cluster, Duration::from_mins(1)).await
    });
}
