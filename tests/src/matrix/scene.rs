//! The pods and the Service that the matrix is about: two pods on the first node, one on each other.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt};

use super::{Place, Source, Target};
use crate::cluster::Cluster;
use crate::netns::Addresses;
use crate::node;
use crate::prepare::images::PEER;
use crate::topology::{node_address, outside_host};

const LABEL: &str = "matrix=yes";
const NODE_PORT: u16 = 30080;
/// Where nodes and the host outside answer.
const MACHINE_PORT: u16 = 7080;
/// Where pods answer.
const POD_PORT: u16 = 8080;

/// What is on the stage, with its addresses.
pub struct Scene {
    pods: Vec<Actor>,
    service: Vec<IpAddr>,
    nodes: usize,
}

struct Actor {
    name: String,
    node: usize,
    addresses: Vec<IpAddr>,
}

/// The manifests: a pod a node, a second one on the first, a Service in front of all.
pub fn manifests(nodes: usize) -> String {
    let second = std::iter::once(("pod-1b".to_owned(), 1));
    let pods = (1..=nodes)
        .map(|number| (format!("pod-{number}"), number))
        .chain(second);
    let pods = pods.map(|(name, number)| pod(&name, number));
    pods.chain([service()]).collect::<Vec<_>>().join("---\n")
}

fn pod(name: &str, node: usize) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{matrix: \"yes\"}}}}
spec:
  nodeSelector: {{kubernetes.io/hostname: {}}}
  terminationGracePeriodSeconds: 0
  containers: [{{name: peer, image: \"{PEER}\"}}]
",
        node::name(node)
    )
}

fn service() -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: matrix}}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {{matrix: \"yes\"}}
  ports:
  - {{name: tcp, protocol: TCP, port: 80, targetPort: {POD_PORT}, nodePort: {NODE_PORT}}}
  - {{name: udp, protocol: UDP, port: 80, targetPort: {POD_PORT}, nodePort: {NODE_PORT}}}
"
    )
}

impl Scene {
    /// Makes the pods and the Service, and waits until they are ready.
    pub async fn set(cluster: &Cluster, limit: Duration) -> Result<Self> {
        cluster.apply(&manifests(cluster.size())).await?;
        let pods = cluster
            .pods_ready("default", LABEL, cluster.size() + 1, limit)
            .await?;
        let services: Api<Service> = Api::namespaced(cluster.kube().await?, "default");
        let service = services
            .get("matrix")
            .await?
            .spec
            .and_then(|spec| spec.cluster_ips)
            .unwrap_or_default();
        let service = parsed(service.iter().map(String::as_str))?;
        ensure!(
            service.len() == 2,
            "Service matrix has the addresses {service:?}, not one of each family"
        );
        let pods = pods.iter().map(actor).collect::<Result<_>>()?;
        Ok(Self {
            pods,
            service,
            nodes: cluster.size(),
        })
    }

    /// Takes them away, and waits until they are gone.
    pub async fn clear(cluster: &Cluster) -> Result<()> {
        let words = [
            "delete",
            "pods,services",
            "-l",
            LABEL,
            "--ignore-not-found",
            "--wait=true",
        ];
        cluster.kubectl(words).await?;
        cluster
            .kubectl(["delete", "service", "matrix", "--ignore-not-found"])
            .await
            .map(drop)
    }

    /// Everybody who asks, with all whom he asks.
    pub(super) fn sources(&self, cluster: &Cluster) -> Vec<Source> {
        let pods = self.pods.iter().map(|pod| Source {
            name: format!("{} (node-{})", pod.name, pod.node),
            place: Place::Pod(pod.name.clone()),
            targets: self.asked_by_pod(pod),
        });
        let nodes = (1..=self.nodes).map(|number| Source {
            name: node::name(number),
            place: Place::Machine(cluster.node(number)),
            targets: self
                .pods
                .iter()
                .flat_map(|pod| pod.targets(None))
                .chain(self.service_targets())
                .collect(),
        });
        let outside = Source {
            name: "outside".to_owned(),
            place: Place::Machine(cluster.outside()),
            targets: (1..=self.nodes)
                .flat_map(|number| {
                    both(
                        &format!("NodePort {number}"),
                        node_address(number),
                        NODE_PORT,
                        [None; 2],
                    )
                })
                .collect(),
        };
        pods.chain(nodes).chain([outside]).collect()
    }

    fn asked_by_pod(&self, asking: &Actor) -> Vec<Target> {
        let others = self.pods.iter().filter(|pod| pod.name != asking.name);
        // Pods see each other's own addresses; the world outside sees the node's.
        let pods = others.flat_map(|pod| pod.targets(Some(asking)));
        let nodes = (1..=self.nodes)
            .flat_map(|number| both(&node::name(number), node_address(number), MACHINE_PORT, [None; 2]));
        let node = node_address(asking.node);
        let seen = [Some(IpAddr::V4(node.v4)), Some(IpAddr::V6(node.v6))];
        let outside = both("outside", outside_host(), MACHINE_PORT, seen);
        pods.chain(nodes)
            .chain(self.service_targets())
            .chain(outside)
            .collect()
    }

    fn service_targets(&self) -> Vec<Target> {
        let targets = self.service.iter().map(|address| Target {
            name: "Service".to_owned(),
            address: *address,
            port: 80,
            sees: None,
        });
        targets.collect()
    }
}

impl Actor {
    /// One a family; `asking` is the pod whose own address must be seen.
    fn targets(&self, asking: Option<&Actor>) -> Vec<Target> {
        let targets = self.addresses.iter().map(|address| Target {
            name: self.name.clone(),
            address: *address,
            port: POD_PORT,
            sees: asking.and_then(|pod| {
                pod.addresses
                    .iter()
                    .find(|own| own.is_ipv4() == address.is_ipv4())
                    .copied()
            }),
        });
        targets.collect()
    }
}

fn both(name: &str, addresses: Addresses, port: u16, sees: [Option<IpAddr>; 2]) -> Vec<Target> {
    let pairs = [IpAddr::V4(addresses.v4), IpAddr::V6(addresses.v6)]
        .into_iter()
        .zip(sees);
    pairs
        .map(|(address, sees)| Target {
            name: name.to_owned(),
            address,
            port,
            sees,
        })
        .collect()
}

fn actor(pod: &Pod) -> Result<Actor> {
    let name = pod.name_any();
    let spec = pod.spec.as_ref().context("a pod without a spec")?;
    let node = spec
        .node_name
        .as_deref()
        .and_then(|node| node.rsplit('-').next()?.parse().ok());
    let node = node.with_context(|| format!("pod {name} is on node {:?}", spec.node_name))?;
    let listed = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ips.clone())
        .unwrap_or_default();
    let addresses = parsed(listed.iter().map(|address| address.ip.as_str()))?;
    ensure!(
        addresses.len() == 2,
        "pod {name} has the addresses {addresses:?}, not one of each family"
    );
    Ok(Actor {
        name,
        node,
        addresses,
    })
}

fn parsed<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<IpAddr>> {
    texts
        .map(|text| text.parse().with_context(|| format!("address {text}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pods_share_the_first_node_and_every_other_has_one() {
        let text = manifests(3);

        assert_eq!(text.matches("kind: Pod").count(), 4);
        assert_eq!(text.matches("kubernetes.io/hostname: node-1}").count(), 2);
        assert_eq!(text.matches("kubernetes.io/hostname: node-3}").count(), 1);
    }
}
