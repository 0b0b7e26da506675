//! What kubelets and daemons would say about pods: that they run once they have their addresses, and that they
//! have ended once they are told to. The managers decide by nothing else.

use anyhow::Result;
use hybridnet_api::IpInstance;
use hybridnet_tests::cluster::Cluster;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// Says what is due about the pods of a namespace; the answer is what the others wait for.
pub async fn work(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    let client = cluster.kube().await?;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut waiting = Vec::new();
    for pod in api.list(&ListParams::default()).await?.items {
        let name = pod.name_any();
        if pod.metadata.deletion_timestamp.is_some() {
            if has_running_container(&pod) {
                say(&api, &name, &ended()).await?;
            }
            waiting.push(format!("{name} is on its way out"));
        } else if !runs(&pod) && !start(&client, &api, &pod).await? {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            waiting.push(format!(
                "{name} on {} waits for addresses",
                node.unwrap_or_else(|| "no node".into())
            ));
        }
    }
    Ok(waiting)
}

/// Whether a pod runs, and is not about to go.
pub fn runs(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

fn has_running_container(pod: &Pod) -> bool {
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let mut states = containers
        .into_iter()
        .flatten()
        .filter_map(|one| one.state.as_ref());
    states.any(|state| state.running.is_some())
}

/// Starts a pod as the daemon and the kubelet would: when all its addresses are bound to it.
async fn start(client: &Client, api: &Api<Pod>, pod: &Pod) -> Result<bool> {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let uid = pod.uid().unwrap_or_default();
    let addresses: Api<IpInstance> = Api::namespaced(client.clone(), &namespace);
    let selector = ListParams::default().labels(&format!("networking.alibaba.com/pod-uid={uid}"));
    let mut bound = addresses.list(&selector).await?.items;
    bound.retain(|one| one.metadata.deletion_timestamp.is_none());
    bound.sort_by_key(|one| one.spec.ip());
    let family = pod.annotations().get("networking.alibaba.com/ip-family");
    // The programs run with dual stack as their default.
    let wanted = match family.map(String::as_str) {
        Some("IPv4" | "IPv4Only" | "IPv6" | "IPv6Only") => 1,
        _ => 2,
    };
    if bound.len() < wanted {
        return Ok(false);
    }
    for one in &bound {
        let node = one.spec.binding.as_ref().map(|binding| binding.node_name.clone());
        let status = json!({"status": {"nodeName": node, "podName": name, "podNamespace": namespace,
            "sandboxID": format!("sandbox-of-{uid}"), "updateTimestamp": Time(Timestamp::now())}});
        say(&addresses, &one.name_any(), &status).await?;
    }
    let ips: Vec<String> = bound
        .iter()
        .filter_map(|one| Some(one.spec.ip()?.to_string()))
        .collect();
    say(api, &name, &started(&ips)).await?;
    Ok(true)
}

async fn say<K>(api: &Api<K>, name: &str, status: &Value) -> Result<()>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let patch = Patch::Merge(status);
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

fn started(ips: &[String]) -> Value {
    let now = Time(Timestamp::now());
    let pod_ips: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"status": {
        "phase": "Running", "podIP": ips.first(), "podIPs": pod_ips,
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
        "containerStatuses": [container(&json!({"running": {"startedAt": now}}), true)],
    }})
}

fn ended() -> Value {
    let state = json!({"terminated": {"exitCode": 0}});
    json!({"status": {"phase": "Succeeded", "containerStatuses": [container(&state, false)]}})
}

fn container(state: &Value, ready: bool) -> Value {
    json!({"name": "c", "image": "none", "imageID": "", "ready": ready, "restartCount": 0, "state": state})
}
