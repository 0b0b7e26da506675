//! How a cluster is started.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Cluster;
use crate::audit;
use crate::control::{self, Parts};
use crate::keeper;
use crate::netns;
use crate::node::{self, Plugin, Spec};
use crate::ours;
use crate::pki::Pki;
use crate::prepare::{Prepared, prepare};
use crate::process::{Record, spawn};
use crate::progress::say;
use crate::state::{Shape, State};
use crate::topology::{Topology, control_address, node_address};

/// How a cluster shall be.
#[derive(Debug, Clone)]
pub struct Builder {
    prefix: String,
    nodes: usize,
    plugin: Plugin,
    parts: Parts,
    images: Vec<PathBuf>,
    owned: bool,
    audited: bool,
}

impl Default for Builder {
    /// Three nodes, no network plugin, a name of this process, ended with its handle.
    fn default() -> Self {
        Self {
            prefix: format!("{}{}", crate::state::PREFIX, std::process::id()),
            nodes: 3,
            plugin: Plugin::None,
            parts: Parts::Whole,
            images: Vec::new(),
            owned: true,
            audited: false,
        }
    }
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

    /// The API server keeps a log of what our manager asks of it: see [`crate::audit`].
    #[must_use]
    pub fn audited(mut self) -> Self {
        self.audited = true;
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
        let more = if self.audited {
            audit::flags(state)?.to_vec()
        } else {
            Vec::new()
        };
        control::start_api(state, topology, prepared, &more)?;
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
        if self.parts == Parts::Whole {
            cluster.default_account().await?;
        }
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
        // For our own programs when they run without pods: the accounts of the chart, with no more rights than those.
        for (file, name, group) in [
            ("hybridnet-manager", "hybridnet-manager", None),
            (
                ours::SECOND_MANAGER,
                "hybridnet-manager",
                Some(ours::SECOND_MANAGER),
            ),
            ("hybridnet-webhook", "hybridnet-webhook", None),
            // The one account of the Go project's chart.
            ("hybridnet", "hybridnet", None),
        ] {
            let user = format!("system:serviceaccount:kube-system:{name}");
            pki.kubeconfig(file, &user, group, &server)?;
        }
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
        let mut lines = String::new();
        for there in (1..=nodes).filter(|there| *there != here) {
            let via = node_address(there);
            let _ = writeln!(lines, "route add 10.244.{there}.0/24 via {}", via.v4);
            let _ = writeln!(lines, "route add fd00:10:244:{there}::/64 via {}", via.v6);
        }
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
