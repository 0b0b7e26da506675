//! The cluster that is handed over: nodes, networks, and the workloads that hold addresses.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use hybridnet_api::IpInstance;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::until;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::kubelet;

/// A node of the underlay network; there is an overlay everywhere.
pub const NODE: &str = "node-1";
/// What every pod's spec has in common. Its node is not ready and never will be; nobody misses it when it goes.
pub const POD_REST: &str = "terminationGracePeriodSeconds: 0, tolerations: [{operator: Exists}], containers: [{name: \
                            c, image: none}]";

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Two nodes of one underlay network, and one of another. There is room on them as far as the scheduler knows.
pub async fn nodes(cluster: &Cluster) -> Result<()> {
    for (name, network) in [(NODE, "under"), ("node-2", "under"), ("node-3", "added")] {
        let node = format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{network: {network}}}}}\n"
        );
        cluster.apply(&node).await?;
        let room = r#"{"status": {"capacity": {"pods": "200", "cpu": "9", "memory": "9Gi"},
                       "allocatable": {"pods": "200", "cpu": "9", "memory": "9Gi"}}}"#;
        let words = [
            "patch",
            "node",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            room,
        ];
        cluster.kubectl(words).await?;
    }
    Ok(())
}

/// IPv6 for the overlay that the chart has made, and an underlay of both families.
pub async fn networks(cluster: &Cluster) -> Result<()> {
    let network = "apiVersion: networking.alibaba.com/v1\nkind: Network\nmetadata: {name: under}\nspec: {type: Underlay, \
                   netID: 100, nodeSelector: {network: under}}\n";
    let mut objects = vec![network.to_owned()];
    for (name, network, version, range) in [
        ("init-v6", "init", "6", "cidr: 'fd00:61::/120'"),
        (
            "under-v4",
            "under",
            "4",
            "cidr: 10.62.0.0/26, gateway: 10.62.0.1, reservedIPs: [10.62.0.50, 10.62.0.51]",
        ),
        (
            "under-v6",
            "under",
            "6",
            "cidr: 'fd00:62::/120', gateway: 'fd00:62::1', excludeIPs: ['fd00:62::2']",
        ),
    ] {
        objects.push(format!(
            "apiVersion: networking.alibaba.com/v1\nkind: Subnet\nmetadata: {{name: {name}}}\nspec: {{network: \
             {network}, range: {{version: \"{version}\", {range}}}}}\n"
        ));
    }
    // The original's webhook asks its cache for the network of a Subnet, and the cache may be behind.
    until("networks made", PATIENCE, async || {
        let made = cluster.apply(&objects.join("---\n")).await;
        Ok(made.map(drop).map_err(|error| format!("{error:#}")))
    })
    .await
}

/// A workload whose pods carry a label `app` with its name.
#[derive(Clone, Debug)]
pub struct Workload {
    kind: &'static str,
    name: String,
    replicas: usize,
    annotations: String,
}

impl Workload {
    /// Pods that keep nothing.
    pub fn plain(name: &str, replicas: usize) -> Self {
        Self::of("Deployment", name, replicas)
    }

    /// Pods with addresses that stay.
    pub fn stateful(name: &str, replicas: usize) -> Self {
        Self::of("StatefulSet", name, replicas)
    }

    fn of(kind: &'static str, name: &str, replicas: usize) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            replicas,
            annotations: String::new(),
        }
    }

    /// Its pods ask for something: `("ip-family", "IPv4")`.
    #[must_use]
    pub fn asking(mut self, key: &str, value: &str) -> Self {
        let _ = write!(self.annotations, "networking.alibaba.com/{key}: '{value}', ");
        self
    }

    /// Asks the API server for it, and waits until its pods run.
    pub async fn run(&self, cluster: &Cluster, namespace: &str) -> Result<()> {
        run_all(cluster, namespace, std::slice::from_ref(self)).await
    }

    fn manifest(&self, namespace: &str) -> String {
        let Self {
            kind,
            name,
            replicas,
            annotations,
        } = self;
        let more = match *kind {
            "StatefulSet" => format!("serviceName: {name}, podManagementPolicy: Parallel, "),
            _ => String::new(),
        };
        format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{more}\
             replicas: {replicas}, selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: \
             {{app: {name}}}, annotations: {{{annotations}}}}}, spec: {{{POD_REST}}}}}}}\n"
        )
    }
}

/// Asks the API server for all of them at once, and waits until their pods run.
pub async fn run_all(cluster: &Cluster, namespace: &str, workloads: &[Workload]) -> Result<()> {
    let manifests: Vec<_> = workloads.iter().map(|one| one.manifest(namespace)).collect();
    cluster.apply(&manifests.join("---\n")).await?;
    for one in workloads {
        running(cluster, namespace, &one.name, one.replicas).await?;
    }
    Ok(())
}

/// Another number of pods; waits until they run and the others are gone.
pub async fn scale(cluster: &Cluster, namespace: &str, set: &str, replicas: usize) -> Result<()> {
    let (name, number) = (format!("statefulset/{set}"), format!("--replicas={replicas}"));
    cluster
        .kubectl(["scale", &name, "-n", namespace, &number])
        .await?;
    running(cluster, namespace, set, replicas).await
}

/// Changes or removes (`null`) what the pods of a stateful workload ask for; they are made anew.
pub async fn ask(cluster: &Cluster, namespace: &str, set: &str, key: &str, value: &str) -> Result<()> {
    let patch = format!(
        r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"networking.alibaba.com/{key}":{value}}}}}}}}}}}"#
    );
    let name = format!("statefulset/{set}");
    let before = uids(cluster, namespace, set).await?;
    cluster
        .kubectl(["patch", &name, "-n", namespace, "--type=merge", "-p", &patch])
        .await?;
    renewed(cluster, namespace, set, &before).await
}

/// Deletes the pods of a workload, and waits until as many others run.
pub async fn recreate(cluster: &Cluster, namespace: &str, app: &str) -> Result<()> {
    let before = uids(cluster, namespace, app).await?;
    let selector = format!("-l=app={app}");
    cluster
        .kubectl(["delete", "pods", "-n", namespace, &selector, "--wait=false"])
        .await?;
    renewed(cluster, namespace, app, &before).await
}

async fn renewed(cluster: &Cluster, namespace: &str, app: &str, before: &[String]) -> Result<()> {
    until(&format!("new pods of {app}"), PATIENCE, async || {
        kubelet::work(cluster, namespace).await?;
        let now = uids(cluster, namespace, app).await?;
        Ok(
            if now.len() == before.len() && now.iter().all(|uid| !before.contains(uid)) {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            },
        )
    })
    .await?;
    running(cluster, namespace, app, before.len()).await
}

async fn uids(cluster: &Cluster, namespace: &str, app: &str) -> Result<Vec<String>> {
    let found = pods(cluster, namespace, app).await?;
    Ok(found.into_iter().filter_map(|pod| pod.metadata.uid).collect())
}

async fn pods(cluster: &Cluster, namespace: &str, app: &str) -> Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(cluster.kube().await?, namespace);
    let selector = ListParams::default().labels(&format!("app={app}"));
    Ok(api.list(&selector).await?.items)
}

/// Waits until so many pods of a workload run, and no other is left.
pub async fn running(cluster: &Cluster, namespace: &str, app: &str, count: usize) -> Result<()> {
    let outcome = until(&format!("{count} pods of {app} run"), PATIENCE, async || {
        let missing = kubelet::work(cluster, namespace).await?;
        let found = pods(cluster, namespace, app).await?;
        let up = found.iter().filter(|pod| kubelet::runs(pod)).count();
        Ok(if found.len() == count && up == count {
            Ok(())
        } else {
            Err(format!("{up} of {} run; {}", found.len(), missing.join("; ")))
        })
    })
    .await;
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(format!("warnings: {}", cluster.warnings(namespace).await))),
    }
}

/// The objects of a pod's addresses, IPv4 first, once there are so many.
pub async fn addresses(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    count: usize,
) -> Result<Vec<IpInstance>> {
    let api: Api<IpInstance> = Api::namespaced(cluster.kube().await?, namespace);
    let labels = ListParams::default().labels(&format!("networking.alibaba.com/pod={pod}"));
    until(&format!("{count} addresses of {pod}"), PATIENCE, async || {
        let mut found = api.list(&labels).await?.items;
        found.sort_by_key(|one| one.spec.ip());
        let texts: Vec<_> = found.iter().map(|one| one.spec.address.ip.clone()).collect();
        Ok(if found.len() == count {
            Ok(found)
        } else {
            Err(format!("{texts:?}"))
        })
    })
    .await
}

/// Those of [`addresses`], as addresses.
pub async fn ips(cluster: &Cluster, namespace: &str, pod: &str, count: usize) -> Result<Vec<IpAddr>> {
    let found = addresses(cluster, namespace, pod, count).await?;
    Ok(found.iter().filter_map(|one| one.spec.ip()).collect())
}

/// Ends every workload of a namespace, and waits until it holds no address.
pub async fn vacate(cluster: &Cluster, namespace: &str) -> Result<()> {
    let kinds = "deployments,statefulsets,pods";
    cluster
        .kubectl(["delete", kinds, "-n", namespace, "--all", "--wait=false"])
        .await?;
    let api: Api<IpInstance> = Api::namespaced(cluster.kube().await?, namespace);
    until(&format!("no address left in {namespace}"), PATIENCE, async || {
        let missing = kubelet::work(cluster, namespace).await?;
        let left = api.list(&ListParams::default()).await?.items.len();
        Ok(if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} left; {}", missing.join("; ")))
        })
    })
    .await
}
