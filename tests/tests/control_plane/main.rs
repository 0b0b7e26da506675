//! Manager and webhook against a real API server and etcd: no kubelet, no scheduler, pods bound by hand.
//!
//! ```text
//! on_the_control_plane  manager and webhook, defaults Overlay and DualStack: rules_*, and what needs both
//! on_the_fixture        a manager alone, in the fixture of the control-plane spec's section 6
//! stage, objects        a namespace of a test's own, and what users, kubelets and controllers do in it
//! ```
//! The tests of each share one control plane, one at a time, each with networks and namespaces of its own.

#![expect(
    clippy::indexing_slicing,
    reason = "a field that JSON lacks is null, and a test may fail by a panic"
)]

mod allocation;
mod bad_objects;
mod crds;
mod faults;
mod fixture;
mod namespaces;
mod objects;
mod overlaps;
mod plain;
mod pools;
mod restarts;
mod retention;
mod rules_held;
mod rules_networks;
mod rules_pods;
mod rules_subnets;
mod stage;
mod stateful;
mod status;
mod two_managers;
mod vm;

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

const VALIDATION: &str = "validatingwebhookconfiguration/hybridnet-validating-webhook";

/// Does something while nobody judges Networks and Subnets. The API server may go on asking for a moment after the
/// configuration is gone.
async fn past_the_validating_webhook(
    cluster: &Cluster,
    work: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let saved = cluster.kubectl(["get", VALIDATION, "-o", "json"]).await?;
    cluster.kubectl(["delete", VALIDATION]).await?;
    let outcome = work().await;
    let mut restored: serde_json::Value = serde_json::from_str(&saved)?;
    restored["metadata"] = serde_json::json!({
        "name": "hybridnet-validating-webhook", "annotations": restored["metadata"]["annotations"]});
    cluster.apply(&restored.to_string()).await?;
    cluster.webhook_answers().await?;
    outcome
}
