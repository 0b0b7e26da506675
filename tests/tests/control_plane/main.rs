//! Manager and webhook against a real API server and etcd: no kubelet, no scheduler, pods bound by hand.
//! All tests share the control plane, one at a time, each with networks of its own.

mod allocation;
mod overlaps;
mod restarts;

use std::time::Duration;

use anyhow::{Context, Result};
use hybridnet_api::IpInstance;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::testing::Shared;
use hybridnet_tests::wait::until;
use kube::Api;
use kube::api::ListParams;

static SHARED: Shared = Shared::new();

/// Runs a test on the control plane that all share.
fn on_the_control_plane(name: &str, test: impl AsyncFnOnce(&Cluster) -> Result<()>) {
    SHARED.run(name, start, test);
}

async fn start() -> Result<Cluster> {
    let cluster = Cluster::builder()
        .prefix(format!("hyt-control-{}", std::process::id()))
        .api_only()
        .start()
        .await?;
    // What a controller manager would have made, and a node that no kubelet speaks for.
    cluster
        .apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: default}\n")
        .await?;
    cluster
        .apply("apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\n")
        .await?;
    match cluster.start_ours().await {
        Ok(()) => Ok(cluster),
        Err(error) => {
            let logs = hybridnet_tests::diagnose::keep_logs(cluster.state(), "start");
            Err(error.context(format!("logs: {}", logs.display())))
        }
    }
}

/// An overlay network. Only one can be in a cluster, so the first test makes it.
const OVERLAY: &str = "apiVersion: networking.alibaba.com/v1\nkind: Network\nmetadata: {name: overlay}\nspec: {type: \
                       Overlay, netID: 4}\n";

fn subnet(name: &str, version: &str, cidr: &str) -> String {
    format!(
        "apiVersion: networking.alibaba.com/v1\nkind: Subnet\nmetadata: {{name: {name}}}\nspec: {{network: overlay, \
         range: {{version: \"{version}\", cidr: '{cidr}'}}}}\n"
    )
}

/// A pod that the scheduler has placed already.
fn bound_pod(name: &str, subnets: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, annotations: {{networking.alibaba.com/specified-subnet: \
         '{subnets}'}}}}\nspec: {{nodeName: node-1, terminationGracePeriodSeconds: 0, containers: [{{name: c, image: \
         none}}]}}\n"
    )
}

/// Waits until a pod has so many addresses; answers with them, sorted.
async fn addresses_of(cluster: &Cluster, pod: &str, count: usize) -> Result<Vec<String>> {
    let api: Api<IpInstance> = Api::namespaced(cluster.kube().await?, "default");
    let labels = ListParams::default().labels(&format!("networking.alibaba.com/pod={pod}"));
    until(
        &format!("{count} addresses of {pod}"),
        Duration::from_secs(30),
        async || {
            let found = api.list(&labels).await?.items;
            let mut addresses: Vec<_> = found.iter().map(|one| one.spec.address.ip.clone()).collect();
            addresses.sort();
            Ok(if addresses.len() == count {
                Ok(addresses)
            } else {
                Err(format!("{addresses:?}"))
            })
        },
    )
    .await
}

/// Makes the overlay network and a Subnet of each family, named after the test, beside others that are never full:
/// pods of a full network are refused at once, of a full Subnet they wait.
async fn overlay(cluster: &Cluster, name: &str, v4: &str, v6: &str) -> Result<String> {
    cluster.apply(OVERLAY).await.context("network")?;
    cluster.apply(&subnet("spare-v4", "4", "10.250.0.0/24")).await?;
    cluster.apply(&subnet("spare-v6", "6", "fd00:250::/120")).await?;
    let (four, six) = (format!("{name}-v4"), format!("{name}-v6"));
    cluster.apply(&subnet(&four, "4", v4)).await?;
    cluster.apply(&subnet(&six, "6", v6)).await?;
    // The webhook counts what the manager has written into the network's status.
    until(
        "the network's addresses counted",
        Duration::from_secs(30),
        async || {
            let probe = cluster.apply_dry(&bound_pod("probe", "spare-v4/spare-v6")).await;
            Ok(probe.map(drop).map_err(|error| format!("{error:#}")))
        },
    )
    .await?;
    Ok(format!("{four}/{six}"))
}
