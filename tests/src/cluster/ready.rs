//! Waiting until the parts of a cluster are ready.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::Cluster;
use crate::process::tail;
use crate::wait::until;

impl Cluster {
    pub(super) async fn api_ready(&self) -> Result<()> {
        until("API server ready", Duration::from_secs(90), async || {
            if self.state.processes("kube-apiserver").is_empty() {
                bail!("it ended: {}", tail(&self.state.log("kube-apiserver"), 3));
            }
            let request = http_get("/readyz")?;
            Ok(self
                .kube()
                .await?
                .request_text(request)
                .await
                .map(drop)
                .map_err(|error| error.to_string()))
        })
        .await
    }

    pub(super) async fn nodes_registered(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.kube().await?);
        until("nodes registered", Duration::from_secs(90), async || {
            let found = nodes.list_metadata(&ListParams::default()).await?.items.len();
            Ok(if found >= self.nodes {
                Ok(())
            } else {
                Err(format!("{found} of {}", self.nodes))
            })
        })
        .await
    }

    /// Without it every pod is refused; it comes moments after the controllers.
    pub(super) async fn default_account(&self) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.kube().await?, "default");
        until(
            "the default service account",
            Duration::from_mins(1),
            async || {
                let found = accounts.get_metadata_opt("default").await?;
                Ok(found.map(drop).ok_or_else(|| "not there".to_owned()))
            },
        )
        .await
    }

    /// Waits until every node is Ready, which needs a network plugin.
    pub async fn nodes_ready(&self, limit: Duration) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.kube().await?);
        until("nodes ready", limit, async || {
            let list = nodes.list(&ListParams::default()).await?.items;
            let waiting: Vec<_> = list.iter().filter_map(not_ready).collect();
            Ok(if waiting.is_empty() && list.len() >= self.nodes {
                Ok(())
            } else {
                Err(waiting.join("; "))
            })
        })
        .await
    }

    /// Waits until so many pods of a selector are Ready and no other is left; answers with them.
    pub async fn pods_ready(
        &self,
        namespace: &str,
        selector: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.kube().await?, namespace);
        let what = format!("{count} pods {selector} in {namespace} ready");
        let outcome = until(&what, limit, async || {
            let list = pods.list(&ListParams::default().labels(selector)).await?.items;
            let waiting: Vec<_> = list.iter().filter(|pod| !pod_ready(pod)).map(pod_state).collect();
            Ok(if waiting.is_empty() && list.len() == count {
                Ok(list)
            } else {
                Err(format!(
                    "{} there, of which not ready: {}",
                    list.len(),
                    waiting.join("; ")
                ))
            })
        })
        .await;
        match outcome {
            Ok(list) => Ok(list),
            Err(error) => Err(error.context(format!("warnings: {}", self.warnings(namespace).await))),
        }
    }

    /// The latest warnings among a namespace's events, for a message.
    pub async fn warnings(&self, namespace: &str) -> String {
        let columns = "-o=custom-columns=:.involvedObject.kind,:.involvedObject.name,:.reason,:.message";
        let filter = "--field-selector=type=Warning";
        let listed = self
            .kubectl([
                "get",
                "events",
                "-n",
                namespace,
                filter,
                columns,
                "--sort-by=.lastTimestamp",
            ])
            .await;
        let text = listed.unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines
            .get(lines.len().saturating_sub(6)..)
            .unwrap_or_default()
            .join(" | ")
    }
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    http::Request::get(path).body(Vec::new()).context("request")
}

fn not_ready(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    match ready {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => Some(format!(
            "{}: {}",
            node.name_any(),
            condition.message.clone().unwrap_or_default()
        )),
        None => Some(format!("{}: says nothing yet", node.name_any())),
    }
}

/// Whether a pod is Ready and not about to go.
pub fn pod_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

fn pod_state(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let waiting = status
        .container_statuses
        .into_iter()
        .flatten()
        .find_map(|c| c.state?.waiting?.reason);
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .unwrap_or_else(|| "no node".into());
    format!(
        "{} on {node}: {} {}",
        pod.name_any(),
        status.phase.unwrap_or_default(),
        waiting.unwrap_or_default()
    )
}
