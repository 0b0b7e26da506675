//! Real pods on a real cluster of three nodes, installed by our chart. All tests share the cluster, one at a time,
//! and leave it as they found it.

mod bad_input;
mod faults;
mod life;
mod matrix;
mod upgrade;

use anyhow::Result;
use hybridnet_tests::chart;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::testing::Shared;

static SHARED: Shared = Shared::new();

/// Runs a test on the cluster that all share.
fn on_the_cluster(name: &str, test: impl AsyncFnOnce(&Cluster) -> Result<()>) {
    SHARED.run(name, start, test);
}

async fn start() -> Result<Cluster> {
    let cluster = Cluster::builder()
        .prefix(format!("hyt-cluster-{}", std::process::id()))
        .nodes(3)
        .image(chart::image()?)
        .start()
        .await?;
    match cluster.install(&chart::dual_stack()).await {
        Ok(()) => Ok(cluster),
        Err(error) => {
            let folder = hybridnet_tests::diagnose::gather(&cluster, "install").await;
            Err(error.context(format!("what the cluster knew: {}", folder.display())))
        }
    }
}
