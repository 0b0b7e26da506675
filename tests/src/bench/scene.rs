//! Where a figure is taken: a real API server and etcd, our webhook, and a manager that can be stopped and started.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::Client;

use super::board::Board;
use super::counters::{self, Counters};
use super::inside::{self, Inside};
use super::usage;
use crate::cluster::Cluster;
use crate::ours::{Manager, Run};
use crate::wait::until;

/// The programs whose processor time is told, in the order of a table's columns.
pub const PROGRAMS: [&str; 4] = ["hybridnet-manager", "hybridnet-webhook", "kube-apiserver", "etcd"];

/// See the module.
pub struct Scene {
    /// It ends with the scene.
    pub cluster: Cluster,
    /// Where the load runs.
    pub inside: Inside,
    manager: Option<Manager>,
}

/// Processor time at one moment: of each of [`PROGRAMS`], then our own.
#[derive(Debug, Clone)]
pub struct Moment {
    at: Instant,
    used: Vec<Duration>,
}

impl Scene {
    /// The control plane with our API, rights and webhook; no manager. For each name a namespace, and a node
    /// `node-NAME` with the label `network: NAME`.
    pub async fn start(names: &[&str]) -> Result<Self> {
        let cluster = Cluster::builder()
            .prefix(format!("hyt-bench-{}", std::process::id()))
            .api_only()
            .start()
            .await?;
        let objects: String = names.iter().map(|name| place(name)).collect();
        cluster.apply(&objects).await?;
        cluster.start_ours().await?;
        // The webhook is what is wanted; each figure starts a manager of its own.
        cluster.end_programs("hybridnet-manager").await?;
        Ok(Self {
            inside: Inside::new(&cluster)?,
            cluster,
            manager: None,
        })
    }

    /// Starts a manager with more flags than the harness gives it, and does not wait for anything.
    pub fn start_manager(&mut self, flags: &[String]) -> Result<&Manager> {
        let run = flags.iter().fold(Run::default(), |run, flag| run.flag(flag));
        Ok(self.manager.insert(self.cluster.start_manager_as(&run)?))
    }

    /// Lets the manager end in order, so that the next one finds the lease free.
    pub async fn stop_manager(&mut self) -> Result<()> {
        self.manager = None;
        self.cluster.end_programs("hybridnet-manager").await
    }

    /// The manager that was started last.
    pub fn manager(&self) -> Result<&Manager> {
        self.manager.as_ref().context("no manager runs")
    }

    /// Waits until the manager has nothing to do.
    pub async fn manager_rests(&self, limit: Duration) -> Result<()> {
        let manager = self.manager()?;
        self.cluster.leads(manager).await?;
        until("the manager rests", limit, async || {
            let waiting = counters::waiting(&self.cluster.metrics(manager)?);
            Ok(match waiting {
                0 => Ok(()),
                _ => Err(format!("{waiting} objects wait")),
            })
        })
        .await
    }

    /// Waits until the manager leads, has nothing to do, and has sent nothing but looks for two seconds.
    pub async fn manager_is_quiet(&self, limit: Duration) -> Result<()> {
        self.manager_rests(limit).await?;
        let manager = self.manager()?;
        let mut last = (Counters::default(), Instant::now());
        until("the manager is quiet", limit, async || {
            let sent = counters::of_manager(&self.cluster.metrics(manager)?);
            if sent != last.0 {
                last = (sent, Instant::now());
            }
            Ok(if last.1.elapsed() > Duration::from_secs(2) {
                Ok(())
            } else {
                Err("it sends requests".to_owned())
            })
        })
        .await
    }

    /// Kubernetes as the administrator; used [`Inside`] only.
    pub async fn administrator(&self) -> Result<Client> {
        self.client(self.cluster.state().kubeconfig()).await
    }

    /// Kubernetes as the manager: with its rights, and in its class of the API server's fairness.
    pub async fn as_manager(&self) -> Result<Client> {
        self.client(self.cluster.state().pki().join("hybridnet-manager.kubeconfig"))
            .await
    }

    async fn client(&self, kubeconfig: PathBuf) -> Result<Client> {
        self.inside
            .run(async move { inside::client(&kubeconfig).await })
            .await
    }

    /// Requests so far: as the API server counts them, and as the manager does.
    pub async fn requests(&self, client: &Client) -> Result<(Counters, Counters)> {
        let client = client.clone();
        let server = self
            .inside
            .run(async move { counters::of_server(&client).await })
            .await?;
        let page = self.cluster.metrics(self.manager()?)?;
        Ok((server, counters::of_manager(&page)))
    }

    /// Processor time now.
    pub fn moment(&self) -> Result<Moment> {
        let mut used = Vec::new();
        for program in PROGRAMS {
            let running = self.cluster.state().processes(program).pop();
            used.push(running.map_or(Ok(Duration::ZERO), |record| usage::processor_time(record.pid))?);
        }
        let own = i32::try_from(std::process::id()).context("own process id")?;
        used.push(usage::processor_time(own)?);
        Ok(Moment {
            at: Instant::now(),
            used,
        })
    }

    /// Follows the pods and addresses of a namespace from now on.
    pub async fn board(&self, client: &Client, namespace: &str) -> Result<Board> {
        let (client, namespace) = (client.clone(), namespace.to_owned());
        self.inside
            .run(async move { Board::watch(&client, &namespace).await })
            .await
    }

    /// How many addresses a Subnet has to give, as the manager counts them.
    pub async fn usable_addresses(&self, subnet: &str) -> Result<usize> {
        let path = "-o=jsonpath={.status.total}";
        let count = until("the subnet's numbers", Duration::from_secs(30), async || {
            let text = self.cluster.kubectl(["get", "subnet", subnet, path]).await?;
            Ok(text
                .trim()
                .parse::<usize>()
                .map_err(|_| format!("total {text:?}")))
        })
        .await?;
        ensure!(count > 0, "subnet {subnet} has no addresses");
        Ok(count)
    }
}

impl Moment {
    /// How many cores each of [`PROGRAMS`] and we ourselves used since then, on average.
    pub fn cores_since(&self, before: &Self) -> Vec<f64> {
        let elapsed = self.at.saturating_duration_since(before.at).as_secs_f64();
        self.spent_since(before)
            .iter()
            .map(|spent| spent.as_secs_f64() / elapsed)
            .collect()
    }

    /// Processor time of each since then.
    pub fn spent_since(&self, before: &Self) -> Vec<Duration> {
        let pairs = self.used.iter().zip(&before.used);
        pairs
            .map(|(after, before)| after.saturating_sub(*before))
            .collect()
    }

    /// When it was.
    pub fn at(&self) -> Instant {
        self.at
    }
}

fn place(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: default, namespace: {name}}}\n---\n\
         apiVersion: v1\nkind: Node\nmetadata: {{name: node-{name}, labels: {{network: {name}}}}}\n"
    )
}

/// An underlay network of the nodes with the label `network` of its name, and one Subnet of it.
pub fn underlay(name: &str, cidr: &str, gateway: &str, net_id: u16) -> String {
    format!(
        "apiVersion: networking.alibaba.com/v1\nkind: Network\nmetadata: {{name: {name}}}\n\
         spec: {{type: Underlay, netID: {net_id}, nodeSelector: {{network: {name}}}}}\n---\n\
         apiVersion: networking.alibaba.com/v1\nkind: Subnet\nmetadata: {{name: {name}}}\n\
         spec: {{network: {name}, range: {{version: \"4\", cidr: {cidr}, gateway: {gateway}}}}}\n"
    )
}

/// The overlay network.
pub const OVERLAY: &str = "apiVersion: networking.alibaba.com/v1\nkind: Network\nmetadata: {name: overlay}\n\
                           spec: {type: Overlay, netID: 4}\n";

/// A Subnet of the overlay network, from its first address or from `start`.
pub fn overlay_subnet(name: &str, cidr: &str, start: Option<&str>) -> String {
    let start = start.map(|start| format!(", start: {start}")).unwrap_or_default();
    format!(
        "---\napiVersion: networking.alibaba.com/v1\nkind: Subnet\nmetadata: {{name: {name}}}\n\
         spec: {{network: overlay, range: {{version: \"4\", cidr: {cidr}{start}}}}}\n"
    )
}
