//! From the Go project to this one and back: its manager and webhook and ours on one API server, with the real
//! controllers and scheduler and with Helm moving between the two charts. Nodes are objects that nobody speaks
//! for; what kubelets and daemons would say about pods, [`kubelet`] says.
//!
//! All tests share the control plane, one at a time, each in a namespace of its own.

mod added;
mod both;
mod daemons;
mod kubelet;
mod leftovers;
mod machines;
mod managers;
mod moves;
mod scene;
mod snapshot;
mod stateful;
mod webhooks;

use anyhow::{Context, Result};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::testing::Shared;

static SHARED: Shared = Shared::new();

/// Runs a test in a namespace of its name, which is empty again afterwards.
fn in_a_namespace(name: &str, test: impl AsyncFnOnce(&Cluster, &str) -> Result<()>) {
    SHARED.run(name, start, async |cluster| {
        cluster.kubectl(["create", "namespace", name]).await?;
        test(cluster, name).await?;
        scene::vacate(cluster, name).await
    });
}

/// The control plane with the Go project's chart, manager and webhook, as if it had always been so.
async fn start() -> Result<Cluster> {
    // Before the cluster: it may take minutes the first time.
    moves::original()?;
    let cluster = Cluster::builder()
        .prefix(format!("hyt-handover-{}", std::process::id()))
        .nodes(0)
        .audited()
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
    scene::nodes(cluster).await.context("nodes")?;
    moves::install_original(cluster).await?;
    moves::webhook(cluster, Some(moves::Release::Original)).await?;
    scene::networks(cluster).await.context("networks")
}
