//! A manager without a webhook, in the fixture of the control-plane spec's section 6: an Underlay network of two of
//! three nodes, an Overlay of both families, default type Underlay, default family IPv4.

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::ours::Run;
use hybridnet_tests::testing::Shared;

use crate::objects::{network, node, subnet, underlay};
use crate::stage::{POD, Stage};

static FIXTURE: Shared = Shared::new();

/// Runs a test on the cluster that all tests of the manager alone share.
pub(crate) fn on_the_fixture(name: &str, test: impl AsyncFnOnce(&Cluster) -> Result<()>) {
    FIXTURE.run(name, start, test);
}

/// How the manager runs here, apart from what a test wants.
pub(crate) fn manager() -> Run {
    Run::default()
        .variable("DEFAULT_NETWORK_TYPE", "Underlay")
        .variable("DEFAULT_IP_FAMILY", "IPv4")
}

async fn start() -> Result<Cluster> {
    let prefix = format!("hyt-fixture-{}", std::process::id());
    let cluster = Cluster::builder()
        .prefix(prefix)
        .api_only()
        .audited()
        .start()
        .await?;
    match fill(&cluster).await {
        Ok(()) => Ok(cluster),
        Err(error) => {
            let logs = hybridnet_tests::diagnose::keep_logs(cluster.state(), "start");
            Err(error.context(format!("logs: {}", logs.display())))
        }
    }
}

async fn fill(cluster: &Cluster) -> Result<()> {
    cluster
        .apply_chart(&["rbac-manager"], &["vmIPRetain=true"])
        .await?;
    let stage = Stage::new(cluster, "fixture").await?;
    stage
        .create(node("node1").labelled("network", "underlay-network"))
        .await?;
    stage
        .create(node("node2").labelled("network", "underlay-network"))
        .await?;
    stage.create(node("node3")).await?;
    stage.create(underlay("underlay-network", 100)).await?;
    stage
        .create(network("overlay-network", "Overlay").with("spec.netID", 100))
        .await?;
    let four = subnet("underlay-subnet", "underlay-network", "192.168.56.0/24");
    stage
        .create(four.with("spec.range.gateway", "192.168.56.1"))
        .await?;
    // The webhook would refuse their netIDs; a manager has to live with them.
    let four = subnet("overlay-ipv4-subnet", "overlay-network", "100.10.0.0/24");
    stage.create(four.with("spec.netID", 44)).await?;
    let six = subnet("overlay-ipv6-subnet", "overlay-network", "fe80::/120");
    stage.create(six.with("spec.netID", 66)).await?;
    cluster.restart_manager(&manager()).await?;
    stage.fence("node1").await?;
    stage.remove(POD, "fence").await
}
