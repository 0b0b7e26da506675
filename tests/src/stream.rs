//! A stream of blocks between two pods, which must not notice what is done meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;

use crate::cluster::Cluster;
use crate::workload::Workload;

/// What a stream told at its end: `blocks N longest-wait-ms M`.
pub fn blocks(report: &str) -> Result<u64> {
    let words: Vec<&str> = report.split_whitespace().collect();
    let at = words
        .iter()
        .position(|word| *word == "blocks")
        .with_context(|| format!("report {report:?}"))?;
    words
        .get(at + 1)
        .context("a number")?
        .parse()
        .context("a number of blocks")
}

/// Two pods on different nodes, and the command that keeps a stream between them.
pub async fn stream(cluster: &Cluster, name: &str, seconds: &str) -> Result<(Workload, Vec<String>)> {
    let pods = Workload::new(name, 2);
    let spread = pods.manifest().replace(
        "      terminationGracePeriodSeconds",
        &format!(
            "      topologySpreadConstraints: [{{maxSkew: 1, topologyKey: kubernetes.io/hostname, \
             whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: {name}}}}}}}]\n      \
             terminationGracePeriodSeconds"
        ),
    );
    cluster.apply(&spread).await?;
    let ready = pods.ready(cluster, Duration::from_mins(1)).await?;
    let [from, to] = ready.as_slice() else {
        bail!("two pods, not {}", ready.len())
    };
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    ensure!(node(from) != node(to), "both on {:?}", node(from));
    let words = between(from, to, seconds)?;
    Ok((pods, words))
}

/// The command that keeps a stream between two pods.
pub fn between(from: &Pod, to: &Pod, seconds: &str) -> Result<Vec<String>> {
    let from = from.metadata.name.clone().context("name")?;
    let to = to
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.clone())
        .context("address")?;
    let words = [
        "exec",
        from.as_str(),
        "--",
        "peer",
        "stream",
        &format!("{to}:8081"),
        seconds,
    ]
    .map(String::from);
    Ok(words.to_vec())
}
