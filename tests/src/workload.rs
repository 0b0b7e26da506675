//! Pods by the dozen: a Deployment of the test image, and what the API says about its addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::cluster::Cluster;
use crate::prepare::images::PEER;

/// A Deployment named like its label `app`.
#[derive(Debug, Clone)]
pub struct Workload {
    name: String,
    replicas: usize,
    selector: BTreeMap<String, String>,
}

impl Workload {
    /// So many pods.
    pub fn new(name: &str, replicas: usize) -> Self {
        Self {
            name: name.to_owned(),
            replicas,
            selector: BTreeMap::new(),
        }
    }

    /// Only on nodes with this label.
    #[must_use]
    pub fn on(mut self, label: &str, value: &str) -> Self {
        self.selector.insert(label.to_owned(), value.to_owned());
        self
    }

    /// Its manifest. The pods end at once when they are told to: nobody misses them.
    pub fn manifest(&self) -> String {
        let Self {
            name,
            replicas,
            selector,
        } = self;
        let selector = serde_json::to_string(selector).unwrap_or_default();
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      nodeSelector: {selector}
      terminationGracePeriodSeconds: 0
      containers: [{{name: peer, image: \"{PEER}\"}}]
"
        )
    }

    /// Asks the API server for it.
    pub async fn apply(&self, cluster: &Cluster) -> Result<()> {
        cluster.apply(&self.manifest()).await.map(drop)
    }

    /// Waits until all of it is ready.
    pub async fn ready(&self, cluster: &Cluster, limit: Duration) -> Result<Vec<Pod>> {
        cluster
            .pods_ready("default", &format!("app={}", self.name), self.replicas, limit)
            .await
    }

    /// Deletes it, and waits until the last pod is gone.
    pub async fn delete(&self, cluster: &Cluster, limit: Duration) -> Result<()> {
        cluster
            .kubectl([
                "delete",
                "deployment",
                &self.name,
                "--ignore-not-found",
                "--wait=false",
            ])
            .await?;
        cluster
            .pods_ready("default", &format!("app={}", self.name), 0, limit)
            .await
            .map(drop)
    }
}

/// The addresses of pods; an error names a pod without one and two pods with the same.
pub fn addresses(pods: &[Pod]) -> Result<BTreeMap<IpAddr, String>> {
    let mut owners = BTreeMap::new();
    for pod in pods {
        let listed = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ips.clone())
            .unwrap_or_default();
        if listed.is_empty() {
            bail!("pod {} has no address", pod.name_any());
        }
        for address in listed {
            if let Some(other) = owners.insert(address.ip.parse()?, pod.name_any()) {
                bail!("pods {other} and {} both have {}", pod.name_any(), address.ip);
            }
        }
    }
    Ok(owners)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodIP, PodStatus};

    use super::*;

    fn pod(name: &str, addresses: &[&str]) -> Pod {
        let pod_ips = addresses
            .iter()
            .map(|ip| PodIP { ip: (*ip).to_owned() })
            .collect();
        let mut pod = Pod {
            status: Some(PodStatus {
                pod_ips: Some(pod_ips),
                ..Default::default()
            }),
            ..Default::default()
        };
        pod.metadata.name = Some(name.to_owned());
        pod
    }

    #[test]
    fn an_address_of_two_pods_is_told_with_both_names() {
        let error = addresses(&[
            pod("a", &["10.0.0.1", "fd00::1"]),
            pod("b", &["10.0.0.2", "fd00::1"]),
        ])
        .unwrap_err();

        assert_eq!(error.to_string(), "pods a and b both have fd00::1");
    }

    #[test]
    fn a_pod_without_an_address_is_an_error() {
        assert_eq!(
            addresses(&[pod("a", &[])]).unwrap_err().to_string(),
            "pod a has no address"
        );
    }
}
