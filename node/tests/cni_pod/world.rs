//! A host and its pods: namespaces that go with the test.

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use hybridnet_node::kernel::Kernel;
use hybridnet_node::kernel::netns::Netns;
use hybridnet_node::pod::ping::{Echo, ping};
use hybridnet_node::pod::{Endpoint, NodeSide, PodNetwork, Pods, Sandbox};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

/// Of the pod `default/web-0`.
pub const LINK: &str = "hybr0d7763386da";
pub const MAC: &str = "00:16:ea:00:00:01";
const UPLINK: &str = "eth0.vxlan4";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A network namespace with `lo` up; deleted when dropped.
pub struct Space(String);

impl Space {
    pub fn new(purpose: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let space = Self(format!("hyt-{}-{number}-{purpose}", std::process::id()));
        run(Command::new("ip").args(["netns", "add", &space.0]));
        space.ip("link set lo up");
        space
    }

    pub fn path(&self) -> PathBuf {
        format!("/run/netns/{}", self.0).into()
    }

    /// `ip` with these words; must succeed.
    pub fn ip(&self, words: &str) -> String {
        run(Command::new("ip")
            .args(["-n", &self.0])
            .args(words.split_whitespace()))
    }

    /// What `ip -json` says.
    pub fn list(&self, words: &str) -> Vec<Value> {
        let text = self.ip(&format!("-json -details {words}"));
        if text.trim().is_empty() {
            vec![]
        } else {
            serde_json::from_str(&text).unwrap()
        }
    }

    pub fn sh(&self, script: &str) -> String {
        run(Command::new("ip").args(["netns", "exec", &self.0, "sh", "-ec", script]))
    }

    pub fn sysctl(&self, path: &str) -> String {
        self.sh(&format!("cat /proc/sys/{path}")).trim().to_owned()
    }

    /// The link of that name, if there is one.
    pub fn link(&self, name: &str) -> Option<Value> {
        self.list("link").into_iter().find(|link| link["ifname"] == name)
    }

    /// Whether this one answers when `from` pings `ip`.
    pub fn answers_to(&self, from: &Self, ip: &str) {
        let asked = inside(from, async { ping(ip.parse().unwrap()).await.unwrap() });
        assert_eq!(asked, Echo::Answered, "{} pings {ip} of {}", from.0, self.0);
    }

    /// Routes of a table, which need not exist.
    pub fn table(&self, family: &str, number: &str) -> Vec<Value> {
        let mut routes = self.list(&format!("{family} route show table all"));
        routes.retain(|route| route["table"] == number);
        routes
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A host with a way to other nodes, and the rule for the table of its pods.
pub fn host() -> Space {
    let host = Space::new("host");
    host.ip("link add eth0 type veth peer name router");
    host.ip("link set router up");
    host.ip("link set eth0 up");
    host.ip("addr add 192.168.0.1/24 dev eth0");
    host.ip("addr add fd00:1::1/64 dev eth0 nodad");
    host.ip("route add default via 192.168.0.254");
    host.ip(&format!(
        "link add {UPLINK} type vxlan id 4 dstport 8472 dev eth0 local 192.168.0.1 nolearning"
    ));
    host.ip(&format!("link set {UPLINK} up"));
    for family in ["-4", "-6"] {
        host.ip(&format!("{family} rule add pref 1 lookup 39999"));
    }
    host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    host
}

/// Runs `work` on threads that live in the namespace of `space`.
pub fn inside<T: Send>(space: &Space, work: impl Future<Output = T> + Send) -> T {
    let namespace = File::open(space.path()).unwrap();
    let inside = move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.unwrap().block_on(work)
    };
    match std::thread::scope(|scope| scope.spawn(inside).join()) {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs `work` as the daemon of `host` would.
pub fn on<T: Send, F: Future<Output = T> + Send>(
    host: &Space,
    work: impl FnOnce(Pods<NodeSide>) -> F + Send,
) -> T {
    inside(host, async {
        let kernel = Kernel::open(Netns::own(), "/proc/sys").await.unwrap();
        work(Pods::new(
            NodeSide {
                kernel,
                local_direct: 39_999,
            },
            "/proc/sys",
            true,
        ))
        .await
    })
}

/// Sets up one pod.
pub fn add(host: &Space, sandbox: &Sandbox, endpoint: &Endpoint) -> Result<(), String> {
    on(host, |pods| async move {
        let outcome = pods.set_up(sandbox, endpoint).await;
        outcome.map(|_| ()).map_err(|error| error.to_string())
    })
}

/// Takes one pod down.
pub fn del(host: &Space, sandbox: &Sandbox) -> Result<(), String> {
    on(host, |pods| async move {
        pods.take_down(sandbox).await.map_err(|error| error.to_string())
    })
}

/// The pod `default/web-0` in a sandbox.
pub fn web(pod: &Space, container_id: &str) -> Sandbox {
    Sandbox {
        namespace: "default".into(),
        name: "web-0".into(),
        container_id: container_id.into(),
        netns: pod.path(),
        host_link: LINK.into(),
    }
}

pub fn endpoint(addresses: &[&str]) -> Endpoint {
    Endpoint {
        mac: MAC.parse().unwrap(),
        mtu: 1450,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        uplink: UPLINK.into(),
    }
}

pub fn dual_stack() -> Endpoint {
    endpoint(&["10.14.0.5/16", "fd00::5/64"])
}

/// Nothing of a pod is on the host.
pub fn is_clean(host: &Space) -> bool {
    host.list("link")
        .iter()
        .all(|link| !link["ifname"].as_str().unwrap().starts_with("hybr"))
        && host.table("-4", "39999").is_empty()
        && host.table("-6", "39999").is_empty()
}
