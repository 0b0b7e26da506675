//! A node from inside: its own mounts and host name, containerd, kubelet and kube-proxy.
//!
//! Runs as `lab node SPEC`, already in the node's network namespace, before it has any other thread. It stays as
//! the parent of the node's daemons; the namespaces live as long as anything in them does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::wait;
use serde_json::json;

use crate::node::{Plugin, Spec};
use crate::prepare::images::SANDBOX;
use crate::process::{Record, run as run_program, spawn, tail};
use crate::progress::step;
use crate::state::State;
use crate::wait::until_blocking;

/// Where the runtime listens, in the node's own `/run`.
const RUNTIME: &str = "/run/containerd/containerd.sock";

/// Becomes a node.
pub fn run(file: &Path) -> Result<()> {
    let spec: Spec =
        serde_json::from_slice(&fs::read(file)?).with_context(|| format!("read {}", file.display()))?;
    let state = State::of(&spec.prefix)?;
    let node = Inside {
        disk: state.path(&spec.name),
        spec,
        state,
    };
    let group = node.state.cgroup().child(&node.spec.name);
    group.create()?;
    group.child("system").add(std::process::id())?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).context("own mounts and host name")?;
    fs::write("/proc/sys/kernel/hostname", &node.spec.name).context("host name")?;
    node.mounts()?;
    node.plugins()?;
    node.start_all()?;
    // Children that end are collected; the daemons are ended from outside.
    loop {
        let _ = wait();
        std::thread::sleep(Duration::from_millis(100));
    }
}

struct Inside {
    spec: Spec,
    state: State,
    disk: PathBuf,
}

impl Inside {
    fn mounts(&self) -> Result<()> {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("private mounts")?;
        // A sysfs of our network namespace shows our links; the control groups go with it.
        let aside = self.folder("cgroup")?;
        let recursive = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some("/sys/fs/cgroup"), &aside, none, recursive, none).context("control groups aside")?;
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).context("sysfs")?;
        mount(Some(&aside), "/sys/fs/cgroup", none, recursive, none).context("control groups back")?;
        umount2(&aside, MntFlags::MNT_DETACH).context("control groups aside")?;
        for (place, own) in [
            ("/var/lib/kubelet", "kubelet"),
            ("/var/lib/containerd", "containerd"),
            ("/var/lib/cni", "cni"),
            ("/etc/cni/net.d", "net.d"),
            ("/opt/cni/bin", "bin"),
            ("/var/log/pods", "pods"),
            ("/var/log/containers", "containers"),
        ] {
            fs::create_dir_all(place).with_context(|| format!("folder {place}"))?;
            mount(Some(&self.folder(own)?), place, none, MsFlags::MS_BIND, none)
                .with_context(|| format!("mount {place}"))?;
        }
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).context("mount /run")?;
        fs::set_permissions("/run", fs::Permissions::from_mode(0o755))?;
        for folder in ["/run/netns", "/run/containerd", "/run/lock"] {
            fs::create_dir_all(folder)?;
        }
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none).context("shared mounts")
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.disk.join(name);
        fs::create_dir_all(&path).with_context(|| format!("folder {}", path.display()))?;
        Ok(path)
    }

    /// The plugins that a distribution's package brings, and for `ptp` its configuration.
    fn plugins(&self) -> Result<()> {
        for name in ["loopback", "bandwidth", "portmap", "ptp", "host-local"] {
            let plugin = Path::new("/usr/lib/cni").join(name);
            // Copies: a link would lead nowhere inside a container that mounts the folder.
            fs::copy(&plugin, Path::new("/opt/cni/bin").join(name))
                .with_context(|| format!("plugin {}", plugin.display()))?;
        }
        if self.spec.plugin == Plugin::Ptp {
            let text = serde_json::to_vec_pretty(&point_to_point(self.spec.number))?;
            fs::write("/etc/cni/net.d/10-ptp.conflist", text).context("configuration of ptp")?;
        }
        Ok(())
    }

    fn start_all(&self) -> Result<()> {
        let config = self.disk.join("containerd.toml");
        fs::write(&config, containerd_config())?;
        self.start(
            "containerd",
            Command::new("containerd").arg("--config").arg(&config),
        )?;
        let mut proxy = Command::new(self.spec.kubernetes.join("kube-proxy"));
        self.start("kube-proxy", self.proxy(&mut proxy))?;
        // Answers from the node itself, for whoever asks whether it can be reached.
        self.start("peer", Command::new(&self.spec.peer).args(["serve", "7080"]))?;
        until_blocking("containerd", Duration::from_secs(30), || {
            run_program(Command::new("ctr").arg("version")).map_err(|error| error.to_string())
        })
        .with_context(|| tail(&self.log("containerd"), 5))?;
        step("images loaded", || {
            self.spec.images.iter().try_for_each(|image| load(image))
        })?;
        let config = self.disk.join("kubelet.json");
        fs::write(&config, serde_json::to_vec_pretty(&self.kubelet_config())?)?;
        let mut kubelet = Command::new(self.spec.kubernetes.join("kubelet"));
        kubelet.arg(format!("--config={}", config.display()));
        kubelet.arg(format!(
            "--kubeconfig={}",
            self.pki(&format!("{}.kubeconfig", self.spec.name))
        ));
        kubelet.arg(format!("--hostname-override={}", self.spec.name));
        kubelet.arg(format!("--node-ip={}", self.spec.addresses));
        self.start("kubelet", &mut kubelet)?;
        Ok(())
    }

    fn proxy<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.arg(format!("--kubeconfig={}", self.pki("proxy.kubeconfig")));
        command.arg(format!("--hostname-override={}", self.spec.name));
        // The sysctls behind these are not in a network namespace.
        command.args(["--proxy-mode=iptables", "--conntrack-max-per-core=0"]);
        command.args([
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ])
    }

    fn kubelet_config(&self) -> serde_json::Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false}, "webhook": {"enabled": false},
                "x509": {"clientCAFile": self.pki("ca.crt")}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            // Pods become neighbours of our own group, so that the end of the cluster finds them.
            "cgroupRoot": self.state.cgroup().child(&self.spec.name).path(),
            "cgroupsPerQOS": true, "enforceNodeAllocatable": [],
            "failSwapOn": false, "failCgroupV1": false,
            "containerRuntimeEndpoint": format!("unix://{RUNTIME}"),
            // Nobody answers there: no test resolves names. Without it every pod earns a warning.
            "clusterDNS": ["10.96.0.10"], "clusterDomain": "cluster.local", "resolvConf": "",
            "serializeImagePulls": false, "maxPods": 250,
            "imageGCHighThresholdPercent": 100,
            // Tests kill the same container several times; nobody learns from waiting longer each time.
            "featureGates": {"KubeletCrashLoopBackOffMax": true},
            "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
            // All nodes share one disk, and the machine's owner minds it.
            "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
                             "imagefs.inodesFree": "1%", "memory.available": "50Mi"},
        })
    }

    fn pki(&self, file: &str) -> String {
        self.state.pki().join(file).display().to_string()
    }

    fn log(&self, program: &str) -> PathBuf {
        self.state.log(&format!("{}.{program}", self.spec.name))
    }

    fn start(&self, program: &str, command: &mut Command) -> Result<Record> {
        let record = spawn(
            &format!("{}.{program}", self.spec.name),
            command,
            &self.log(program),
        )?;
        self.state.remember(&record)?;
        Ok(record)
    }
}

/// Loads an archive into the runtime of the node that we are in.
pub fn load(image: &Path) -> Result<()> {
    run_program(
        Command::new("ctr")
            .args(["--namespace=k8s.io", "images", "import"])
            .arg(image),
    )
    .map(drop)
}

/// Pods of node 3 have addresses of `10.244.3.0/24` and `fd00:10:244:3::/64`.
fn point_to_point(number: usize) -> serde_json::Value {
    let ranges = [
        [json!({"subnet": format!("10.244.{number}.0/24")})],
        [json!({"subnet": format!("fd00:10:244:{number}::/64")})],
    ];
    json!({
        "cniVersion": "0.3.1", "name": "ptp",
        "plugins": [{
            "type": "ptp", "ipMasq": false,
            "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}],
    })
}

fn containerd_config() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{RUNTIME}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"#
    )
}
