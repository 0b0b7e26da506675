//! One cluster, and the handles that tests hold it by.

mod builder;
mod faults;
mod ready;
mod tools;

use std::process::{ChildStdin, Command};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub use self::builder::Builder;
pub use self::faults::Running;
pub use self::ready::pod_ready;
use crate::machine::Machine;
use crate::prepare::{Prepared, prepare};
use crate::process::{Record, spawn};
use crate::progress::{say, step};
use crate::state::{Shape, State};
use crate::topology::Topology;
use crate::{control, netns, node};

/// A running cluster. Dropped, it ends; one that was started to stay, or attached to, goes on.
pub struct Cluster {
    state: State,
    topology: Topology,
    prepared: Prepared,
    nodes: usize,
    line: Option<ChildStdin>,
}

impl Cluster {
    /// The way to a new one: three nodes, no network plugin, ended with its handle.
    pub fn builder() -> Builder {
        Builder::default()
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
    pub fn start_in_control(&self, name: &str, command: &mut Command) -> Result<Record> {
        control::start_in_control(&self.state, &self.topology.control(), name, command)
    }

    /// Starts a program on a node, with that node's files and network; it ends with the cluster.
    pub fn start_on_node(&self, number: usize, name: &str, program: &Command) -> Result<Record> {
        let node = self.node(number);
        let name = format!("{}.{name}", node.name());
        let mut command = node.entering();
        command.arg(program.get_program()).args(program.get_args());
        for (variable, value) in program.get_envs() {
            command.env(variable, value.unwrap_or_default());
        }
        let record = spawn(&name, &mut command, &self.state.log(&name))?;
        self.state.remember(&record)?;
        let group = self.state.cgroup().child(node.name()).child("system");
        group.add(record.pid.unsigned_abs())?;
        Ok(record)
    }

    /// Does something in the control plane's network, where our programs listen.
    pub fn in_control<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        netns::within(&self.topology.control(), work)
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
