//! One cluster, and the handles that tests hold it by.

use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::control::{self, Parts};
use crate::keeper;
use crate::machine::{Machine, finish};
use crate::netns;
use crate::node::{self, Plugin, Spec};
use crate::pki::Pki;
use crate::prepare::{Prepared, prepare};
use crate::process::{Record, spawn, tail};
use crate::progress::{say, step};
use crate::state::{Shape, State};
use crate::topology::{Topology, control_address, node_address};
use crate::wait::until;

/// How a cluster shall be.
#[derive(Debug, Clone)]
pub struct Builder {
    prefix: String,
    nodes: usize,
    plugin: Plugin,
    parts: Parts,
    images: Vec<PathBuf>,
    owned: bool,
}

/// A running cluster. Dropped, it ends, unless it was started to stay.
pub struct Cluster {
    state: State,
    topology: Topology,
    prepared: Prepared,
    nodes: usize,
    line: Option<ChildStdin>,
}

impl Builder {
    /// Its name, `hyt-…`; clusters of different names do not meet.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many nodes; none is a control plane alone.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Who connects the pods.
    #[must_use]
    pub fn plugin(mut self, plugin: Plugin) -> Self {
        self.plugin = plugin;
        self
    }

    /// etcd and the API server only: nothing that schedules or runs pods.
    #[must_use]
    pub fn api_only(mut self) -> Self {
        self.parts = Parts::ApiOnly;
        self.nodes = 0;
        self
    }

    /// One more image archive that every node loads.
    #[must_use]
    pub fn image(mut self, archive: impl Into<PathBuf>) -> Self {
        self.images.push(archive.into());
        self
    }

    /// It stays when we end; `lab down` ends it.
    #[must_use]
    pub fn stay(mut self) -> Self {
        self.owned = false;
        self
    }

    /// Starts it, and waits until the API server answers and every node has registered.
    pub async fn start(self) -> Result<Cluster> {
        let prepared = prepare()?;
        raise_inotify_limit();
        let state = State::of(&self.prefix)?;
        let topology = Topology::new(&self.prefix, self.nodes);
        state.create()?;
        // From here on a failure clears away what was made: the cluster is ended when it is dropped.
        let mut cluster = Cluster {
            state,
            topology,
            prepared,
            nodes: self.nodes,
            line: None,
        };
        match self.bring_up(&mut cluster).await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                let logs = crate::diagnose::keep_logs(&cluster.state, "start");
                cluster.end()?;
                Err(error.context(format!(
                    "start cluster {} (its logs: {})",
                    self.prefix,
                    logs.display()
                )))
            }
        }
    }

    async fn bring_up(&self, cluster: &mut Cluster) -> Result<()> {
        let (state, topology, prepared) = (&cluster.state, &cluster.topology, &cluster.prepared);
        topology.create().context("network of the cluster")?;
        let keeper = keeper::start(state, self.owned)?;
        cluster.line = keeper.line;
        self.keys(state, keeper.port)?;
        control::start_api(state, topology, prepared)?;
        if self.parts == Parts::Whole {
            control::start_controllers(state, topology, prepared)?;
        }
        let server = spawn_outside(state, topology, prepared)?;
        state.remember(&server)?;
        state.save(&Shape {
            nodes: self.nodes,
            port: keeper.port,
        })?;
        // Nodes load their images while the API server comes up.
        for number in 1..=self.nodes {
            Spec::new(state, number, self.plugin, prepared, &self.images).start(state, topology)?;
        }
        if self.plugin == Plugin::Ptp {
            point_to_point_routes(topology, self.nodes)?;
        }
        cluster.api_ready().await?;
        cluster.nodes_registered().await
    }

    fn keys(&self, state: &State, port: u16) -> Result<()> {
        let pki = Pki::create(&state.pki())?;
        let masters = Some("system:masters");
        pki.kubeconfig("admin", "admin", masters, &format!("https://127.0.0.1:{port}"))?;
        let server = format!("https://{}:6443", control_address().v4);
        pki.kubeconfig("controllers", "system:kube-controller-manager", None, &server)?;
        pki.kubeconfig("scheduler", "system:kube-scheduler", None, &server)?;
        pki.kubeconfig("proxy", "system:kube-proxy", None, &server)?;
        for number in 1..=self.nodes {
            let name = node::name(number);
            pki.kubeconfig(
                &name,
                &format!("system:node:{name}"),
                Some("system:nodes"),
                &server,
            )?;
        }
        Ok(())
    }
}

fn spawn_outside(state: &State, topology: &Topology, prepared: &Prepared) -> Result<Record> {
    let mut command = std::process::Command::new(&prepared.peer);
    command.args(["serve", "7080"]);
    let record = netns::within(&topology.outside(), || {
        spawn("outside", &mut command, &state.log("outside"))
    })?;
    state.cgroup().child("outside").add(record.pid.unsigned_abs())?;
    Ok(record)
}

fn point_to_point_routes(topology: &Topology, nodes: usize) -> Result<()> {
    for here in 1..=nodes {
        let lines: String = (1..=nodes)
            .filter(|there| *there != here)
            .map(|there| {
                let via = node_address(there);
                format!(
                    "route add 10.244.{there}.0/24 via {}\nroute add fd00:10:244:{there}::/64 via {}\n",
                    via.v4, via.v6
                )
            })
            .collect();
        netns::ip(Some(&topology.node(here)), &lines)?;
    }
    Ok(())
}

/// Kubelets and runtimes of several nodes share one user's limit, and 128 is too few.
fn raise_inotify_limit() {
    let path = "/proc/sys/fs/inotify/max_user_instances";
    let current = std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    if current.is_some_and(|current| current < 1024)
        && let Err(error) = std::fs::write(path, "1024")
    {
        say(format!(
            "{path} stays low ({error}): kubelets may fail with 'too many open files'"
        ));
    }
}

impl Cluster {
    /// The way to a new one: three nodes, no network plugin, ended with its handle.
    pub fn builder() -> Builder {
        Builder {
            prefix: format!("{}{}", crate::state::PREFIX, std::process::id()),
            nodes: 3,
            plugin: Plugin::None,
            parts: Parts::Whole,
            images: Vec::new(),
            owned: true,
        }
    }

    /// A handle to one that was started to stay.
    pub fn attach(prefix: &str) -> Result<Self> {
        let state = State::of(prefix)?;
        let Shape { nodes, .. } = state.shape()?;
        let topology = Topology::new(prefix, nodes);
        let cluster = Self {
            state,
            topology,
            prepared: prepare()?,
            nodes,
            line: None,
        };
        Ok(cluster)
    }

    /// Ends it now and says what went wrong; dropping does the same silently.
    pub fn end(mut self) -> Result<()> {
        self.line = None;
        step("cluster ended", || self.state.end())
    }

    /// Leaves it running when the handle goes; only for one that was started to stay.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    /// What is on disk about it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What it runs from.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        self.nodes
    }

    /// A node, counted from 1.
    pub fn node(&self, number: usize) -> Machine {
        let name = node::name(number);
        let process = self.state.processes(&name).last().map_or(-1, |record| record.pid);
        Machine::node(&name, &self.topology.node(number), process)
    }

    /// The host outside, behind the router.
    pub fn outside(&self) -> Machine {
        Machine::outside(&self.topology.outside())
    }

    /// The control plane's machine.
    pub fn control(&self) -> Machine {
        Machine::outside(&self.topology.control())
    }

    /// Starts a program of ours in the control plane's network; it ends with the cluster.
    pub fn start_in_control(&self, name: &str, command: &mut std::process::Command) -> Result<Record> {
        control::start_in_control(&self.state, &self.topology.control(), name, command)
    }

    /// A daemon of a node: `containerd`, `kubelet`, `kube-proxy`.
    pub fn daemon(&self, node: usize, program: &str) -> Result<Record> {
        let name = format!("{}.{program}", node::name(node));
        self.state
            .processes(&name)
            .pop()
            .with_context(|| format!("{name} does not run"))
    }

    /// A client for the runtime that calls; each runtime needs its own.
    pub async fn kube(&self) -> Result<Client> {
        let kubeconfig =
            Kubeconfig::read_from(self.state.kubeconfig()).context("the administrator's kubeconfig")?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Client::try_from(config).context("client of the API server")
    }

    /// Runs kubectl as the administrator; the answer is what it printed.
    pub async fn kubectl<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let shown = format!(
            "kubectl {}",
            words.join(std::ffi::OsStr::new(" ")).to_string_lossy()
        );
        let (status, out, err) = finish(self.tool(&self.kubectl_path()).args(&words), &shown).await?;
        if !status.success() {
            bail!("{shown}: {}", err.trim());
        }
        Ok(out)
    }

    /// Runs helm as the administrator.
    pub async fn helm<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let output = self
            .tool(&self.prepared.helm)
            .args(words)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(300), output)
            .await
            .context("helm: no end")??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            bail!("helm: {}{}", text(&output.stdout), text(&output.stderr));
        }
        Ok(text(&output.stdout))
    }

    /// `kubectl apply`.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        let mut command = self.tool(&self.kubectl_path());
        command
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("run kubectl")?;
        child
            .stdin
            .take()
            .context("input of kubectl")?
            .write_all(yaml.as_bytes())
            .await?;
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!(
                "kubectl apply: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The kubectl that was built with this cluster.
    pub fn kubectl_path(&self) -> PathBuf {
        self.prepared.kubernetes.join("kubectl")
    }

    fn tool(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.state.kubeconfig());
        // Helm keeps nothing of this cluster in the user's home.
        command
            .env("HELM_CACHE_HOME", self.state.path("helm"))
            .env("HELM_CONFIG_HOME", self.state.path("helm"));
        command.env("HELM_DATA_HOME", self.state.path("helm"));
        command
    }

    async fn api_ready(&self) -> Result<()> {
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

    async fn nodes_registered(&self) -> Result<()> {
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

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.line.take().is_some()
            && let Err(error) = self.state.end()
        {
            say(format!("{error:#}"));
        }
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
