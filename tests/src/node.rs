//! A node from outside: what it is told to run, and how it is started.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::netns;
use crate::paths;
use crate::prepare::Prepared;
use crate::process::{Record, spawn};
use crate::state::State;
use crate::topology::{Topology, node_address};

/// Who connects the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Plugin {
    /// Nobody yet: nodes stay `NotReady` until a chart is installed.
    None,
    /// The plugins ptp and host-local, with routes that we set: the least that a cluster can do.
    Ptp,
}

/// Everything that the node's own process needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The cluster.
    pub prefix: String,
    /// The node's name, `node-1`.
    pub name: String,
    /// Counted from 1.
    pub number: usize,
    /// Its addresses, as the kubelet's flag wants them.
    pub addresses: String,
    /// Folder with `kubelet` and `kube-proxy`.
    pub kubernetes: PathBuf,
    /// The test program.
    pub peer: PathBuf,
    /// Archives to load.
    pub images: Vec<PathBuf>,
    /// Who connects the pods.
    pub plugin: Plugin,
}

impl Spec {
    /// Of one node of a cluster.
    pub fn new(
        state: &State,
        number: usize,
        plugin: Plugin,
        prepared: &Prepared,
        images: &[PathBuf],
    ) -> Self {
        Self {
            prefix: state.prefix().to_owned(),
            name: name(number),
            number,
            addresses: node_address(number).to_string(),
            kubernetes: prepared.kubernetes.clone(),
            peer: prepared.peer.clone(),
            images: prepared.images.iter().chain(images).cloned().collect(),
            plugin,
        }
    }

    /// Starts the node's process; it goes on by itself. See [`crate::node_init`].
    pub fn start(&self, state: &State, topology: &Topology) -> Result<Record> {
        let folder = state.path(&self.name);
        fs::create_dir_all(&folder).with_context(|| format!("folder {}", folder.display()))?;
        let file = folder.join("spec.json");
        fs::write(&file, serde_json::to_vec(self)?).context("describe the node")?;
        let mut command = Command::new(paths::lab()?);
        command.arg("node").arg(&file);
        let log = state.log(&self.name);
        let record = netns::within(&topology.node(self.number), || {
            spawn(&self.name, &mut command, &log)
        })?;
        state.remember(&record)?;
        Ok(record)
    }
}

/// A node's name, counted from 1.
pub fn name(number: usize) -> String {
    format!("node-{number}")
}
