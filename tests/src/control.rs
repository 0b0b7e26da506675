//! The control plane: etcd, API server, controllers and scheduler, in a namespace of their own.

use std::process::Command;

use anyhow::Result;

use crate::prepare::Prepared;
use crate::process::{Record, spawn};
use crate::state::State;
use crate::topology::{SERVICES, Topology, control_address};
use crate::{netns, paths};

/// Which parts to run: a test of manager and webhook needs no scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// etcd and the API server.
    ApiOnly,
    /// All of them.
    Whole,
}

/// Starts one program in the control plane's namespace and in the cluster's control group.
pub fn start_in_control(state: &State, namespace: &str, name: &str, command: &mut Command) -> Result<Record> {
    let log = state.log(name);
    let record = netns::within(namespace, || spawn(name, command, &log))?;
    state.remember(&record)?;
    state.cgroup().child("control").add(record.pid.unsigned_abs())?;
    Ok(record)
}

/// Starts etcd and the API server, the latter with more flags than the usual ones.
pub fn start_api(state: &State, topology: &Topology, prepared: &Prepared, more: &[String]) -> Result<()> {
    let namespace = topology.control();
    let mut etcd = Command::new(&prepared.etcd);
    // A cluster that is thrown away need not survive a power cut.
    etcd.args(["--unsafe-no-fsync", "--log-level=warn", "--data-dir"])
        .arg(state.path("etcd"));
    etcd.args([
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
    ]);
    etcd.args(["--listen-peer-urls=http://127.0.0.1:2380"]);
    start_in_control(state, &namespace, "etcd", &mut etcd)?;
    start_api_server(state, topology, prepared, more).map(drop)
}

/// Starts the API server alone: etcd runs already.
pub fn start_api_server(
    state: &State,
    topology: &Topology,
    prepared: &Prepared,
    more: &[String],
) -> Result<Record> {
    let mut server = api_server(state, prepared);
    start_in_control(state, &topology.control(), "kube-apiserver", server.args(more))
}

fn api_server(state: &State, prepared: &Prepared) -> Command {
    let pki = state.pki();
    let mut command = Command::new(prepared.kubernetes.join("kube-apiserver"));
    for (flag, file) in [
        ("tls-cert-file", "api.crt"),
        ("tls-private-key-file", "api.key"),
        ("client-ca-file", "ca.crt"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
        ("kubelet-client-certificate", "kubelet-client.crt"),
        ("kubelet-client-key", "kubelet-client.key"),
    ] {
        command.arg(format!("--{flag}={}", pki.join(file).display()));
    }
    command.args([
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=::",
        "--secure-port=6443",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        // No kube-proxy runs here: webhooks are called at their pods' addresses.
        "--enable-aggregator-routing=true",
        "--kubelet-preferred-address-types=InternalIP",
    ]);
    command.arg(format!("--advertise-address={}", control_address().v4));
    command.arg(format!("--service-cluster-ip-range={SERVICES}"));
    command
}

/// Starts controllers and scheduler; the API server need not be ready yet.
pub fn start_controllers(state: &State, topology: &Topology, prepared: &Prepared) -> Result<()> {
    let namespace = topology.control();
    let pki = state.pki();
    let config = |user: &str| pki.join(format!("{user}.kubeconfig")).display().to_string();
    let mut controllers = Command::new(prepared.kubernetes.join("kube-controller-manager"));
    controllers.args(["--leader-elect=false", "--use-service-account-credentials=true"]);
    controllers.args(["--controllers=*,-node-ipam-controller,-node-route-controller"]);
    controllers.arg(format!("--kubeconfig={}", config("controllers")));
    controllers.arg(format!(
        "--service-account-private-key-file={}",
        pki.join("sa.key").display()
    ));
    controllers.arg(format!("--root-ca-file={}", pki.join("ca.crt").display()));
    start_in_control(state, &namespace, "kube-controller-manager", &mut controllers)?;
    let mut scheduler = Command::new(prepared.kubernetes.join("kube-scheduler"));
    scheduler
        .arg("--leader-elect=false")
        .arg(format!("--kubeconfig={}", config("scheduler")));
    start_in_control(state, &namespace, "kube-scheduler", &mut scheduler)?;
    Ok(())
}

/// Starts the process that opens the API server's port on this machine, and ends the cluster when its input closes.
pub fn keeper(state: &State) -> Result<Command> {
    let mut command = Command::new(paths::lab()?);
    command.args(["keep", state.prefix()]);
    Ok(command)
}
