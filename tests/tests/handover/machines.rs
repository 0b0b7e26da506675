//! `KubeVirt`'s machines behind the gate `VMIPRetain`, which both managers run with: a machine's addresses go from pod
//! to pod, whoever leads. The kinds are there, `KubeVirt` is not.

use anyhow::{Context, Result};
use hybridnet_api::IpInstance;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::until;
use kube::Api;
use kube::api::ListParams;

use crate::moves::{self, Release};
use crate::scene::{NODE, PATIENCE, POD_REST, running};
use crate::snapshot::Snapshot;
use crate::{in_a_namespace, kubelet};

const GROUP: &str = "kubevirt.io";

async fn kinds(cluster: &Cluster) -> Result<()> {
    for (kind, plural) in [
        ("VirtualMachine", "virtualmachines"),
        ("VirtualMachineInstance", "virtualmachineinstances"),
    ] {
        let singular = kind.to_lowercase();
        cluster
            .apply(&format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: \
                 {plural}.{GROUP}}}\nspec: {{group: {GROUP}, scope: Namespaced, names: {{kind: {kind}, plural: {plural}, \
                 singular: {singular}, listKind: {kind}List}}, versions: [{{name: v1, served: true, storage: true, \
                 schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]}}\n"
            ))
            .await?;
        let name = format!("crd/{plural}.{GROUP}");
        cluster
            .kubectl(["wait", &name, "--for=condition=Established", "--timeout=30s"])
            .await?;
    }
    Ok(())
}

async fn uid(cluster: &Cluster, namespace: &str, kind: &str, name: &str) -> Result<String> {
    let words = ["get", kind, name, "-n", namespace, "-o=jsonpath={.metadata.uid}"];
    cluster.kubectl(words).await
}

/// A machine and its instance.
async fn machine(cluster: &Cluster, namespace: &str, name: &str) -> Result<()> {
    let head = format!("apiVersion: {GROUP}/v1\nkind: VirtualMachine");
    let machine =
        format!("{head}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{running: true}}\n");
    cluster.apply(&machine).await?;
    let owner = uid(cluster, namespace, "virtualmachine", name).await?;
    cluster
        .apply(&format!(
            "{head}Instance\nmetadata: {{name: {name}, namespace: {namespace}, ownerReferences: [{{apiVersion: {GROUP}/v1, \
             kind: VirtualMachine, name: {name}, uid: {owner}, controller: true}}]}}\nspec: {{}}\n"
        ))
        .await
        .map(drop)
}

/// Starts a machine's pod.
async fn start(cluster: &Cluster, namespace: &str, name: &str, pod: &str) -> Result<()> {
    let owner = uid(cluster, namespace, "virtualmachineinstance", name).await?;
    cluster
        .apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: {namespace}, labels: {{app: {name}, \
             webhook.hybridnet.io/ignore: \"true\"}}, ownerReferences: [{{apiVersion: {GROUP}/v1, kind: \
             VirtualMachineInstance, name: {name}, uid: {owner}, controller: true}}]}}\nspec: {{nodeName: {NODE}, \
             {POD_REST}}}\n"
        ))
        .await?;
    running(cluster, namespace, name, 1).await
}

/// Stops a machine: its pod goes, and its addresses are bound to nobody.
async fn stop(cluster: &Cluster, namespace: &str, name: &str) -> Result<()> {
    let selector = format!("-l=app={name}");
    cluster
        .kubectl(["delete", "pods", "-n", namespace, &selector, "--wait=false"])
        .await?;
    running(cluster, namespace, name, 0).await?;
    until("addresses of a stopped machine", PATIENCE, async || {
        kubelet::work(cluster, namespace).await?;
        let held = held(cluster, namespace, name).await?;
        let free = held.iter().all(|one| {
            let binding = one.spec.binding.clone().unwrap_or_default();
            binding.node_name.is_empty() && binding.pod_name.is_empty() && binding.pod_uid.is_empty()
        });
        Ok(if free { Ok(()) } else { Err(format!("{held:?}")) })
    })
    .await
}

async fn held(cluster: &Cluster, namespace: &str, name: &str) -> Result<Vec<IpInstance>> {
    let api: Api<IpInstance> = Api::namespaced(cluster.kube().await?, namespace);
    let label = format!("networking.alibaba.com/vm={name}");
    Ok(api.list(&ListParams::default().labels(&label)).await?.items)
}

/// Address, MAC and UID.
async fn identity(cluster: &Cluster, namespace: &str, name: &str) -> Result<Vec<String>> {
    let held = held(cluster, namespace, name).await?;
    assert_eq!(held.len(), 2, "{name}: {held:?}");
    let of = |one: IpInstance| {
        Some(format!(
            "{} {} {}",
            one.spec.address.ip, one.spec.address.mac, one.metadata.uid?
        ))
    };
    held.into_iter()
        .map(of)
        .collect::<Option<_>>()
        .context("objects with UIDs")
}

/// Scenario 140: virtual machines, running and stopped.
/// Scenario 141: and back.
#[test]
fn machines_keep_their_addresses_from_one_manager_to_the_other_and_back() {
    in_a_namespace("machines", async |cluster, namespace| {
        kinds(cluster).await?;
        moves::in_charge(cluster, Release::Original).await?;
        for name in ["up", "down"] {
            machine(cluster, namespace, name).await?;
            start(cluster, namespace, name, &format!("launcher-{name}-a")).await?;
        }
        let (up, down) = (
            identity(cluster, namespace, "up").await?,
            identity(cluster, namespace, "down").await?,
        );
        stop(cluster, namespace, "down").await?;
        let before = Snapshot::take(cluster, namespace).await?;

        moves::in_charge(cluster, Release::Ours).await?;
        assert_eq!(
            Snapshot::take(cluster, namespace).await?.versions,
            before.versions
        );
        start(cluster, namespace, "down", "launcher-down-b").await?;
        assert_eq!(identity(cluster, namespace, "down").await?, down);
        stop(cluster, namespace, "up").await?;
        let before = Snapshot::take(cluster, namespace).await?;

        moves::in_charge(cluster, Release::Original).await?;
        assert_eq!(
            Snapshot::take(cluster, namespace).await?.versions,
            before.versions
        );
        start(cluster, namespace, "up", "launcher-up-b").await?;
        assert_eq!(identity(cluster, namespace, "up").await?, up);
        for kind in ["virtualmachines", "virtualmachineinstances"] {
            cluster
                .kubectl(["delete", kind, "-n", namespace, "--all", "--wait=false"])
                .await?;
        }
        Ok(())
    });
}
