//! What is on disk about a cluster: enough for anybody to find it, use it and end it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::process::{Record, write_whole};
use crate::topology::Topology;
use crate::{netns, paths};

/// Every name of ours begins so.
pub const PREFIX: &str = "hyt-";

/// A cluster's folder.
#[derive(Debug, Clone)]
pub struct State {
    prefix: String,
    folder: PathBuf,
}

/// What a cluster was started as.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shape {
    /// How many nodes.
    pub nodes: usize,
    /// Where the API server answers on this machine's loopback.
    pub port: u16,
}

impl State {
    /// The folder of a cluster of this name, there or not.
    pub fn of(prefix: &str) -> Result<Self> {
        let plain = prefix
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        ensure!(
            prefix.starts_with(PREFIX) && plain,
            "cluster {prefix}: a name is {PREFIX} and lower-case letters, digits, dashes"
        );
        Ok(Self {
            prefix: prefix.to_owned(),
            folder: paths::clusters().join(prefix),
        })
    }

    /// All that have a folder.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir(paths::clusters()).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        folders
            .filter_map(|entry| Self::of(entry.file_name().to_str()?).ok())
            .collect()
    }

    /// The name, and what every namespace of it begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A place in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// A process's log.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// Keys, certificates, kubeconfigs.
    pub fn pki(&self) -> PathBuf {
        self.folder.join("pki")
    }

    /// The administrator's kubeconfig, which works from anywhere on this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.pki().join("admin.kubeconfig")
    }

    /// Where all its processes are.
    pub fn cgroup(&self) -> Cgroup {
        Cgroup::new(format!("/{}", self.prefix))
    }

    /// Makes the folder; fails when there is one.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(paths::clusters())
            .with_context(|| format!("folder {}", paths::clusters().display()))?;
        fs::create_dir(&self.folder).with_context(|| {
            format!(
                "cluster {} is already there ({}): `lab down` ends it",
                self.prefix,
                self.folder.display()
            )
        })?;
        fs::create_dir(self.folder.join("logs")).context("folder for logs")
    }

    /// Whether there is such a cluster, or what is left of one.
    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// Remembers what it was started as.
    pub fn save(&self, shape: &Shape) -> Result<()> {
        write_whole(&self.path("cluster.json"), serde_json::to_vec(shape)?).context("record of the cluster")
    }

    /// What it was started as; fails when it never came up.
    pub fn shape(&self) -> Result<Shape> {
        let path = self.path("cluster.json");
        let text = fs::read(&path)
            .with_context(|| format!("no running cluster {}: `lab up` starts one", self.prefix))?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
    }

    /// Remembers a process. One line, appended whole, so several may write.
    pub fn remember(&self, record: &Record) -> Result<()> {
        let path = self.path("processes");
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .context("record of processes")?;
        file.write_all(format!("{}\n", serde_json::to_string(record)?).as_bytes())
            .context("record of processes")
    }

    /// The processes of this name that still run, the latest last.
    pub fn processes(&self, name: &str) -> Vec<Record> {
        let text = fs::read_to_string(self.path("processes")).unwrap_or_default();
        let records = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Record>(line).ok());
        records
            .filter(|record| record.name == name && record.alive())
            .collect()
    }

    /// Ends the cluster whatever state it is in, and removes every trace. Twice is as good as once.
    pub fn end(&self) -> Result<()> {
        let _alone = lock()?;
        for keeper in self
            .processes("keeper")
            .iter()
            .filter(|keeper| keeper.pid != own_id())
        {
            keeper.end()?;
        }
        // Everything at once: what is in there is thrown away, so nobody needs to shut down in order.
        self.cgroup().end()?;
        for name in self.namespaces() {
            netns::remove(&name)?;
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }

    /// Namespaces that bear this cluster's name; one whose name merely begins alike is another's.
    fn namespaces(&self) -> Vec<String> {
        let candidates = netns::list(&format!("{}-", self.prefix));
        let nodes = candidates.len();
        let own = Topology::new(&self.prefix, nodes.max(100)).namespaces();
        candidates.into_iter().filter(|name| own.contains(name)).collect()
    }

    /// Traces of this cluster on the machine; empty after [`State::end`].
    pub fn traces(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .namespaces()
            .into_iter()
            .map(|name| format!("namespace {name}"))
            .collect();
        found.extend(
            self.cgroup()
                .processes()
                .into_iter()
                .map(|pid| format!("process {pid}")),
        );
        found.extend(
            self.processes("keeper")
                .into_iter()
                .map(|keeper| format!("keeper {}", keeper.pid)),
        );
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = format!("/{}", self.prefix);
        found.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&own))
                .map(|line| format!("mount {line}")),
        );
        if self.exists() {
            found.push(format!("folder {}", self.folder.display()));
        }
        found
    }
}

fn lock() -> Result<Flock<File>> {
    fs::create_dir_all(paths::clusters())?;
    let file = File::create(paths::clusters().join(".lock")).context("lock of the clusters")?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .context("lock of the clusters")
}

fn own_id() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_name_is_ours_and_plain() {
        for bad in ["demo", "hyt-../x", "hyt-a b", "hyt-A", ""] {
            assert!(State::of(bad).is_err(), "{bad}");
        }
        assert_eq!(State::of("hyt-demo").unwrap().cgroup().path(), "/hyt-demo");
    }
}
