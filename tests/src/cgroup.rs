//! One control group a cluster: whatever the cluster starts is in it, so nothing can hide from its end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A group, by its path below every hierarchy: `/hyt-demo/node-1`.
#[derive(Debug, Clone)]
pub struct Cgroup(String);

impl Cgroup {
    /// The group of this path, which begins with a slash.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// Its path below every hierarchy.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// A group below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    /// Makes it, and puts a process in. One hierarchy is enough to find the process again.
    pub fn add(&self, pid: u32) -> Result<()> {
        let folder = tracking()?.join(self.0.trim_start_matches('/'));
        fs::create_dir_all(&folder).with_context(|| format!("control group {}", folder.display()))?;
        fs::write(folder.join("cgroup.procs"), pid.to_string())
            .with_context(|| format!("process {pid} into control group {}", folder.display()))
    }

    /// Makes it in every hierarchy: a kubelet wants its root to be there before it begins.
    pub fn create(&self) -> Result<()> {
        hierarchies().iter().try_for_each(|root| {
            let folder = root.join(self.0.trim_start_matches('/'));
            fs::create_dir_all(&folder).with_context(|| format!("control group {}", folder.display()))
        })
    }

    /// Every process in it and below it, in any hierarchy.
    pub fn processes(&self) -> Vec<i32> {
        let mut found: Vec<i32> = self
            .folders()
            .iter()
            .flat_map(|folder| processes_below(folder))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The first process of a container whose group is somewhere below this one.
    pub fn container(&self, id: &str) -> Option<i32> {
        let folder = tracking().ok()?.join(self.0.trim_start_matches('/'));
        let group = find(&folder, id)?;
        // Its first process got the lowest number unless the numbers began anew; a container of ours has one.
        processes_below(&group).into_iter().min()
    }

    /// Ends every process in it, and removes it. Nothing there is success.
    pub fn end(&self) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            let left = self.processes();
            for pid in &left {
                // One that ended in between is what we want.
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(*pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
            let removed = self.folders().iter().try_for_each(|folder| remove_tree(folder));
            match removed {
                Ok(()) if left.is_empty() => return Ok(()),
                Err(error) if Instant::now() > limit => {
                    return Err(error)
                        .with_context(|| format!("control group {} with processes {left:?}", self.0));
                }
                Ok(()) if Instant::now() > limit => bail!("processes {left:?} of {} do not end", self.0),
                _ => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let below = self.0.trim_start_matches('/');
        hierarchies()
            .into_iter()
            .map(|root| root.join(below))
            .filter(|folder| folder.is_dir())
            .collect()
    }
}

/// Where control groups are mounted: one place with version 2, one a controller with version 1.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    parse_mounts(&mounts)
}

fn parse_mounts(mounts: &str) -> Vec<PathBuf> {
    let cgroups = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(place))
    });
    let mut found: Vec<_> = cgroups.collect();
    found.sort();
    found.dedup();
    found
}

/// The hierarchy that our own processes are tracked in.
fn tracking() -> Result<PathBuf> {
    let all = hierarchies();
    let pids = all.iter().find(|root| root.ends_with("pids"));
    pids.or_else(|| all.first())
        .cloned()
        .context("no control groups are mounted: the cluster needs /sys/fs/cgroup")
}

fn processes_below(folder: &Path) -> Vec<i32> {
    let own = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let below = children(folder)
        .into_iter()
        .flat_map(|child| processes_below(&child));
    own.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
        .chain(below)
        .collect()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    children(folder).into_iter().find_map(|child| {
        if child.file_name().is_some_and(|own| own == name) {
            Some(child)
        } else {
            find(&child, name)
        }
    })
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for child in children(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found_once() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
                      cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

        let found = parse_mounts(mounts);

        assert_eq!(
            found,
            [
                PathBuf::from("/sys/fs/cgroup/pids"),
                PathBuf::from("/sys/fs/cgroup/unified")
            ]
        );
    }

    #[test]
    fn children_have_paths_below_their_parent() {
        assert_eq!(
            Cgroup::new("/hyt-x").child("node-1").child("system").path(),
            "/hyt-x/node-1/system"
        );
    }
}
