//! The whole way on real nodes: pods that the Go project's daemons have connected go on under ours, and under those
//! again after a rollback. A cluster of its own, whose kubelets run the pods; the Go project's programs run beside
//! their chart, because there is no image of them.
//!
//! The Go project's tunnel needs the kernel's queueing discipline `prio`, which not every kernel has: with it pods are
//! asked to reach each other within their nodes only, with ours everywhere.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use hybridnet_tests::chart;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::ours::webhook_endpoint;
use hybridnet_tests::stream::{between, blocks};
use hybridnet_tests::testing::Shared;
use hybridnet_tests::topology::outside_host;
use hybridnet_tests::wait::until;
use hybridnet_tests::workload::{Workload, addresses};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::moves::{self, Release};
use crate::scene::PATIENCE;

static SHARED: Shared = Shared::new();
const NODES: usize = 2;
const EITHER_MANAGER: &str = "hyt-either-manager";

async fn start() -> Result<Cluster> {
    moves::original()?;
    let cluster = Cluster::builder()
        .prefix(format!("hyt-whole-{}", std::process::id()))
        .nodes(NODES)
        .image(chart::image()?)
        .start()
        .await?;
    match set_up(&cluster).await {
        Ok(()) => Ok(cluster),
        Err(error) => {
            let logs = hybridnet_tests::diagnose::gather(&cluster, "start").await;
            Err(error.context(format!("what the cluster knew: {}", logs.display())))
        }
    }
}

async fn set_up(cluster: &Cluster) -> Result<()> {
    moves::install_original(cluster).await?;
    start_originals(cluster).await?;
    let subnet = "apiVersion: networking.alibaba.com/v1\nkind: Subnet\nmetadata: {name: init-v6}\nspec: {network: init, \
                  range: {version: \"6\", cidr: 'fd00:61::/120'}}\n";
    cluster.apply(subnet).await?;
    cluster.nodes_ready(PATIENCE).await
}

async fn start_originals(cluster: &Cluster) -> Result<()> {
    cluster.apply(&webhook_endpoint()).await?;
    moves::webhook(cluster, Some(Release::Original)).await?;
    Release::Original.start_manager(cluster)?;
    for number in 1..=NODES {
        moves::original()?.start_daemon(cluster, number).await?;
    }
    Ok(())
}

/// To our chart: managers and daemons end before ours come, as in a roll; Helm's changes are still judged by the
/// webhook that was there.
async fn go_over(cluster: &Cluster) -> Result<()> {
    for release in [Release::Original, Release::Ours] {
        cluster.end_programs(release.manager()).await?;
    }
    for number in 1..=NODES {
        moves::original()?.stop_daemon(cluster, number)?;
    }
    moves::crds(cluster, Release::Ours).await?;
    cluster
        .upgrade(&chart::dual_stack())
        .await
        .context("to our chart")?;
    let slice = [
        "delete",
        "endpointslice",
        "hybridnet-webhook",
        "-n",
        "kube-system",
    ];
    cluster.kubectl(slice).await?;
    moves::webhook(cluster, None).await
}

/// And back.
async fn go_back(cluster: &Cluster) -> Result<()> {
    let words = ["rollback", "hybridnet", "--namespace=kube-system"];
    cluster.helm(words).await.context("roll back")?;
    // Node by node, and the first does not get ready here: there is no image of the original's daemon.
    let daemons = [
        "delete",
        "pods",
        "-n",
        "kube-system",
        "-l=component=daemon",
        "--wait=false",
    ];
    cluster.kubectl(daemons).await?;
    daemons_gone(cluster).await?;
    start_originals(cluster).await
}

/// So many pods that get ready; the answer is they.
async fn pods(cluster: &Cluster, name: &str) -> Result<Vec<Pod>> {
    let workload = Workload::new(name, 4);
    workload.apply(cluster).await?;
    let ready = workload.ready(cluster, PATIENCE).await?;
    assert_eq!(addresses(&ready)?.len(), 8, "{name}: two addresses each");
    Ok(ready)
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Each of `from` reaches each of `to`, in both families, and who is outside.
async fn reach(cluster: &Cluster, from: &[Pod], to: &[Pod]) -> Result<()> {
    let mut targets: Vec<String> = addresses(to)?
        .keys()
        .map(|ip| format!("tcp://{}", SocketAddr::new(*ip, 8080)))
        .collect();
    targets.push(format!("tcp://{}:7080", outside_host().v4));
    for pod in from {
        let name = pod.name_any();
        let words = ["exec", &name, "--", "peer", "probe"].map(String::from);
        // A neighbour that was asked for before it could answer is asked again.
        until(
            &format!("{name} reaches all"),
            Duration::from_secs(15),
            async || {
                let asked = cluster.kubectl(words.iter().chain(&targets)).await;
                Ok(asked.map(drop).map_err(|error| format!("{error:#}")))
            },
        )
        .await?;
    }
    Ok(())
}

/// The same within each node.
async fn reach_nearby(cluster: &Cluster, from: &[Pod], to: &[Pod]) -> Result<()> {
    for pod in from {
        let near: Vec<Pod> = to
            .iter()
            .filter(|other| node(other) == node(pod))
            .cloned()
            .collect();
        reach(cluster, std::slice::from_ref(pod), &near).await?;
    }
    Ok(())
}

/// Keeps a stream between two of the pods on one node.
fn nearby(pods: &[Pod], seconds: &str) -> Result<Vec<String>> {
    let mut pairs = pods
        .iter()
        .enumerate()
        .flat_map(|(at, one)| pods.iter().skip(at + 1).map(move |two| (one, two)));
    let (from, to) = pairs
        .find(|(one, two)| node(one) == node(two))
        .context("two pods on one node")?;
    between(from, to, seconds)
}

/// Who they are, where, and with which addresses.
fn identity(pods: &[Pod]) -> Result<Vec<String>> {
    let mut all: Vec<String> = addresses(pods)?
        .into_iter()
        .map(|(ip, pod)| format!("{pod} {ip}"))
        .collect();
    all.extend(pods.iter().filter_map(ResourceExt::uid));
    all.sort();
    Ok(all)
}

/// The old daemon finds what our manager has written.
async fn old_daemons_and_our_manager(cluster: &Cluster) -> Result<Vec<Pod>> {
    // The account of our chart is not there yet.
    let user = "--user=system:serviceaccount:kube-system:hybridnet-manager";
    let role = "--clusterrole=system:hybridnet";
    cluster
        .kubectl(["create", "clusterrolebinding", EITHER_MANAGER, role, user])
        .await?;
    cluster.end_programs(Release::Original.manager()).await?;
    cluster
        .kubectl([
            "delete",
            "lease",
            "hybridnet-manager-election",
            "-n",
            "kube-system",
        ])
        .await?;
    Release::Ours.start_manager(cluster)?;
    let mixed = pods(cluster, "mixed").await?;
    cluster
        .kubectl(["delete", "clusterrolebinding", EITHER_MANAGER])
        .await?;
    Ok(mixed)
}

/// Does something while a stream between two pods goes on.
async fn under_traffic(
    cluster: &Cluster,
    pods: &[Pod],
    what: impl Future<Output = Result<()>>,
) -> Result<()> {
    let words = nearby(pods, "40")?;
    let (report, done) = tokio::join!(cluster.kubectl(&words), what);
    done?;
    let report = report.context("the stream")?;
    println!("{report}");
    assert!(blocks(&report)? > 2000, "{report}");
    Ok(())
}

/// Scenario 142: the old daemon and the new manager.
#[test]
fn pods_of_the_original_daemons_go_on_under_ours_and_after_the_way_back() {
    SHARED.run("whole", start, async |cluster| {
        let before = pods(cluster, "before").await?;
        let mixed = old_daemons_and_our_manager(cluster).await?;
        reach_nearby(cluster, &mixed, &before).await?;
        let known = identity(&before)?;

        under_traffic(cluster, &before, go_over(cluster)).await?;
        let after = pods(cluster, "after").await?;
        reach(cluster, &after, &before).await?;
        reach(cluster, &before, &after).await?;
        let now = Workload::new("before", 4).ready(cluster, PATIENCE).await?;
        assert_eq!(identity(&now)?, known, "nobody was restarted or renumbered");
        Workload::new("mixed", 4).delete(cluster, PATIENCE).await?;

        under_traffic(cluster, &before, go_back(cluster)).await?;
        let again = pods(cluster, "again").await?;
        reach_nearby(cluster, &again, &after).await?;
        reach_nearby(cluster, &before, &again).await?;
        for name in ["before", "after", "again"] {
            Workload::new(name, 4).delete(cluster, PATIENCE).await?;
        }
        Ok(())
    });
}

/// Waits until no container of ours is left; those of the original's chart have no image to start from.
async fn daemons_gone(cluster: &Cluster) -> Result<()> {
    until("our daemons gone", Duration::from_mins(1), async || {
        let running = cluster.component("daemon").await?;
        Ok(if running.is_empty() {
            Ok(())
        } else {
            Err(format!("{running:?}"))
        })
    })
    .await
}
