//! What the plugin does in a pod's namespace by itself, in namespaces made for it. Needs root and `ip`:
//! `cargo test -p hybridnet-cni --features root-tests`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const MAC: &str = "00:16:ea:00:00:01";

/// A host and a pod: two namespaces and a veth pair between them, removed with the value.
struct Pair {
    host: String,
    pod: String,
}

impl Pair {
    fn new(test: &str) -> Self {
        let pair = Self {
            host: format!("hyt-{}-{test}-h", std::process::id()),
            pod: format!("hyt-{}-{test}-p", std::process::id()),
        };
        ip(&format!("netns add {}", pair.host));
        ip(&format!("netns add {}", pair.pod));
        let (host, pod) = (&pair.host, &pair.pod);
        ip(&format!(
            "-n {host} link add hybr0000test address ee:ee:ee:ee:ee:ee type veth peer name eth0 \
             address {MAC} netns {pod}"
        ));
        ip(&format!("-n {host} link set hybr0000test up"));
        ip(&format!("-n {pod} link set eth0 up"));
        ip(&format!("-n {pod} addr add 10.0.0.5/24 dev eth0"));
        ip(&format!("-n {pod} addr add fd00::5/64 dev eth0 nodad"));
        pair
    }

    fn netns(&self) -> String {
        format!("/run/netns/{}", self.pod)
    }

    /// The plugin, started in the host's namespace.
    fn plugin(&self, verb: &str, config: &Value) -> Output {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.host, env!("CARGO_BIN_EXE_hybridnet")])
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", "c1")
            .env("CNI_IFNAME", "eth0")
            .env("CNI_NETNS", self.netns())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(config.to_string().as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    fn check(&self) -> (bool, String) {
        let result = json!({
            "interfaces": [
                {"name": "hybr0000test", "mac": "ee:ee:ee:ee:ee:ee"},
                {"name": "eth0", "mac": MAC, "sandbox": self.netns()},
                {"name": "bwp0", "mac": "02:00:00:00:00:01"}],
            "ips": [{"interface": 1, "address": "10.0.0.5/24"}, {"interface": 1, "address": "FD00::0:5/64"}]});
        let mut config = config("1.0.0");
        config
            .as_object_mut()
            .unwrap()
            .insert("prevResult".into(), result);
        let output = self.plugin("CHECK", &config);
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    fn has_link(&self) -> bool {
        Command::new("ip")
            .args(["-n", &self.pod, "link", "show", "eth0"])
            .output()
            .unwrap()
            .status
            .success()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in [&self.host, &self.pod] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn config(version: &str) -> Value {
    json!({"cniVersion": version, "name": "hybridnet", "server_socket": "/run/hyt-nowhere.sock"})
}

#[test]
fn del_without_a_daemon_removes_the_pods_link_and_does_so_twice() {
    let pair = Pair::new("del");

    for _ in 0..2 {
        let output = pair.plugin("DEL", &config("0.3.1"));

        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(!pair.has_link());
    }
}

#[test]
fn check_succeeds_while_everything_is_as_added() {
    let pair = Pair::new("check");

    assert_eq!(pair.check(), (true, String::new()));
}

#[test]
fn check_finds_what_was_changed() {
    let changes = [
        (
            "addr",
            "addr del 10.0.0.5/24 dev eth0",
            "address 10.0.0.5 is missing",
        ),
        (
            "addr6",
            "addr del fd00::5/64 dev eth0",
            "address FD00::0:5 is missing",
        ),
        ("down", "link set eth0 down", "link eth0 in the pod is down"),
        (
            "mac",
            "link set eth0 address 02:00:00:00:00:01",
            "has the MAC 02:00:00:00:00:01",
        ),
        (
            "gone",
            "link del eth0",
            "link hybr0000test in the host's namespace is gone",
        ),
    ];
    for (test, change, expected) in changes {
        let pair = Pair::new(test);
        ip(&format!("-n {} {change}", pair.pod));

        let (success, text) = pair.check();

        assert!(
            !success && text.contains(expected) && text.contains("\"code\":100"),
            "{change}: {text}"
        );
    }
}

#[test]
fn check_says_that_a_container_is_unknown_when_its_namespace_is_gone() {
    let pair = Pair::new("lost");
    ip(&format!("netns del {}", pair.pod));

    let mut config = config("1.0.0");
    config
        .as_object_mut()
        .unwrap()
        .insert("prevResult".into(), json!({}));
    let output = pair.plugin("CHECK", &config);

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"code\":3"), "{text}");
}
