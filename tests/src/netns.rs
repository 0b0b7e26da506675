//! Network namespaces by name, as `ip netns` keeps them, and work inside one.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

/// The file that stands for a namespace.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Runs `work` on a thread that has entered the namespace and ends with it. What `work` starts is inside, too.
pub fn within<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(path(name)).with_context(|| format!("namespace {name}"))?;
    let entered = || {
        setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter namespace {name}"))?;
        work()
    };
    thread::scope(|scope| scope.spawn(entered).join()).map_err(|_| anyhow!("panic in namespace {name}"))?
}

/// Moves the calling thread, for good: one of a program that has no other yet, or one that was made for it.
pub fn enter(name: &str) -> Result<()> {
    let file = File::open(path(name)).with_context(|| format!("namespace {name}"))?;
    setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter namespace {name}"))
}

/// Lines for `ip -batch`, in a namespace or in our own.
pub fn ip(namespace: Option<&str>, lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(name) = namespace {
        command.args(["-n", name]);
    }
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run ip")?;
    child
        .stdin
        .take()
        .context("input of ip")?
        .write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let place = namespace.unwrap_or("the machine's namespace");
        bail!(
            "ip in {place}: {}in\n{lines}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Sets kernel parameters of one namespace: `("net/ipv4/ip_forward", "1")`.
pub fn sysctl(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    within(name, || {
        settings.iter().try_for_each(|(key, value)| {
            fs::write(format!("/proc/sys/{key}"), value).with_context(|| format!("set {key} to {value}"))
        })
    })
}

/// The names of all namespaces that begin so.
pub fn list(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

/// Removes a namespace; one that is not there is no error.
pub fn remove(name: &str) -> Result<()> {
    if path(name).exists() {
        ip(None, &format!("netns del {name}\n"))
    } else {
        Ok(())
    }
}

/// The address of one machine in both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.v4, self.v6)
    }
}
