//! Manager and webhook as plain processes beside an API server: with the chart's rights, without its pods.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::chart;
use crate::cluster::Cluster;
use crate::paths;
use crate::process::Record;
use crate::topology::control_address;
use crate::wait::until;

/// A program that `make programs` builds, beside our own.
fn program(name: &str) -> Result<PathBuf> {
    let path = paths::lab()?.with_file_name(name);
    ensure!(
        path.is_file(),
        "no program {}: `make programs` builds it",
        path.display()
    );
    Ok(path)
}

/// The account of a manager beside the first: the same rights, and a group of this name in the audit log.
pub const SECOND_MANAGER: &str = "hybridnet-second-manager";
/// The chart's templates that manager and webhook need when they run beside it.
const PARTS: [&str; 3] = ["rbac-manager", "rbac-webhook", "admission"];

/// How a program of ours is run, apart from the usual.
#[derive(Debug, Clone, Default)]
pub struct Run {
    account: Option<&'static str>,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Run {
    /// Under another account, which the cluster's keys must have: [`SECOND_MANAGER`].
    #[must_use]
    pub fn account(mut self, account: &'static str) -> Self {
        self.account = Some(account);
        self
    }

    /// One more flag, `--name=value`.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A variable of its environment, in place of the usual one.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running manager.
#[derive(Debug, Clone)]
pub struct Manager {
    /// Its process.
    pub record: Record,
    /// Port of `/metrics` in the control plane's network.
    pub metrics_port: u16,
}

impl Cluster {
    /// Applies the chart's API, rights and admission rules, and starts manager and webhook under their accounts.
    pub async fn start_ours(&self) -> Result<()> {
        self.apply_chart(&PARTS, &[]).await?;
        self.apply(&endpoint()).await?;
        self.start_manager()?;
        self.start_webhook()?;
        self.webhook_answers().await
    }

    /// Applies the chart's API and those of its templates, rendered with these values.
    pub async fn apply_chart(&self, parts: &[&str], values: &[&str]) -> Result<()> {
        let crds = chart::folder().join("crds").display().to_string();
        self.kubectl(["apply", "--server-side", "-f", &crds])
            .await
            .context("custom resources")?;
        let chart = chart::folder().display().to_string();
        let mut words: Vec<String> = [
            "template",
            "hybridnet",
            &chart,
            "--namespace=kube-system",
            "--kube-version=1.34.4",
        ]
        .map(String::from)
        .to_vec();
        words.extend(
            parts
                .iter()
                .map(|part| format!("--show-only=templates/{part}.yaml")),
        );
        words.extend(values.iter().map(|value| format!("--set={value}")));
        let rendered = self.helm(words).await.context("render the chart")?;
        self.apply(&rendered).await.map(drop)
    }

    /// Starts a manager; others may run beside it.
    pub fn start_manager(&self) -> Result<Record> {
        Ok(self.start_manager_as(&Run::default())?.record)
    }

    /// Starts a manager; others may run beside it.
    pub fn start_manager_as(&self, run: &Run) -> Result<Manager> {
        // Ports of a second one would be in the way of the first.
        let [metrics_port, health_port] = self.free_ports()?;
        let mut command = self.ours("hybridnet-manager", run)?;
        command.args([
            format!("--metrics-port={metrics_port}"),
            format!("--health-port={health_port}"),
        ]);
        let record = self.start_in_control("hybridnet-manager", &mut command)?;
        Ok(Manager { record, metrics_port })
    }

    /// Ends every manager as a kubelet does, so that the Lease is given away, and starts one that leads.
    pub async fn restart_manager(&self, run: &Run) -> Result<Manager> {
        self.end_programs("hybridnet-manager").await?;
        let manager = self.start_manager_as(run)?;
        self.leads(&manager).await?;
        Ok(manager)
    }

    /// Waits until a manager leads.
    pub async fn leads(&self, manager: &Manager) -> Result<()> {
        let leading = "leader_election_master_status{name=\"hybridnet-manager-election\"}";
        until("the manager leads", Duration::from_secs(40), async || {
            ensure!(manager.record.alive(), "the manager has ended");
            let found = metric(&self.metrics(manager)?, leading);
            Ok(match found {
                Some(1.0) => Ok(()),
                other => Err(format!("{leading} is {other:?}")),
            })
        })
        .await
    }

    /// What a manager says on `/metrics`.
    pub fn metrics(&self, manager: &Manager) -> Result<String> {
        let port = manager.metrics_port;
        self.in_control(|| get(port, "/metrics"))
    }

    /// Starts the webhook, where the Service of the chart points to.
    pub fn start_webhook(&self) -> Result<Record> {
        self.start_webhook_as(&Run::default())
    }

    /// Ends the webhook and starts another. It does not get the time to say farewell to the API server: nobody else
    /// answers in its place here.
    pub async fn restart_webhook(&self, run: &Run) -> Result<()> {
        for record in self.state().processes("hybridnet-webhook") {
            record.end()?;
        }
        self.start_webhook_as(run)?;
        self.webhook_answers().await
    }

    fn start_webhook_as(&self, run: &Run) -> Result<Record> {
        let mut command = self.ours("hybridnet-webhook", run)?;
        command.arg("--port=9898");
        self.start_in_control("hybridnet-webhook", &mut command)
    }

    /// Ends programs of ours by the signal that a kubelet sends.
    pub async fn end_programs(&self, name: &str) -> Result<()> {
        for record in self.state().processes(name) {
            // One that was stopped by a test takes the signal only when it goes on.
            record.signal(Signal::SIGTERM)?;
            record.signal(Signal::SIGCONT)?;
        }
        until(&format!("{name} ended"), Duration::from_secs(25), async || {
            let left = self.state().processes(name);
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        })
        .await
    }

    fn ours(&self, name: &str, run: &Run) -> Result<Command> {
        let mut command = Command::new(program(name)?);
        let account = run.account.unwrap_or(name);
        command.arg(format!(
            "--kubeconfig={}",
            self.state().pki().join(format!("{account}.kubeconfig")).display()
        ));
        defaults(&mut command);
        command.env("HOSTNAME", name);
        command.args(&run.flags).envs(run.variables.iter().cloned());
        Ok(command)
    }

    fn free_ports(&self) -> Result<[u16; 2]> {
        self.in_control(|| {
            // Both are held until both are known.
            let held = [TcpListener::bind("0.0.0.0:0")?, TcpListener::bind("0.0.0.0:0")?];
            Ok([held[0].local_addr()?.port(), held[1].local_addr()?.port()])
        })
    }

    /// Waits until the webhook refuses what it must refuse.
    pub async fn webhook_answers(&self) -> Result<()> {
        let wrong = "apiVersion: networking.alibaba.com/v1\nkind: Subnet\nmetadata: {name: nowhere}\nspec: {network: \
                     nowhere, range: {version: \"4\", cidr: 10.250.0.0/24}}\n";
        until("the webhook answers", Duration::from_mins(1), async || {
            let answer = self.apply(wrong).await.map_err(|error| format!("{error:#}"));
            Ok(match answer {
                Err(text) if text.contains("denied the request") => Ok(()),
                Err(text) => Err(text),
                Ok(text) => Err(format!("accepted: {text}")),
            })
        })
        .await
    }
}

/// A request without a client's library: the process that asks has moved into another network.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.contains(" 200 "), "{path}: {answer}");
    Ok(answer)
}

/// The value of one series, written as it stands in the text: `name{label="value"}`.
pub fn metric(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(series));
    lines.find_map(|rest| rest.strip_prefix(' ')?.trim().parse().ok())
}

/// What both implementations are told by their environment.
pub(crate) fn defaults(command: &mut Command) {
    command
        .env("NAMESPACE", "kube-system")
        .env("DEFAULT_NETWORK_TYPE", "Overlay")
        .env("DEFAULT_IP_FAMILY", "DualStack");
}

/// The Service that the webhook configurations name, with us behind it instead of pods.
fn endpoint() -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: hybridnet-webhook, namespace: kube-system}}
spec: {{ports: [{{name: webhook-port, port: 443, targetPort: 9898}}]}}
---
{}",
        webhook_endpoint()
    )
}

/// What leads from that Service to a process in the control plane's network.
pub fn webhook_endpoint() -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: hybridnet-webhook, namespace: kube-system, labels: {{kubernetes.io/service-name: hybridnet-webhook}}}}
addressType: IPv4
ports: [{{name: webhook-port, port: 9898, protocol: TCP}}]
endpoints: [{{addresses: [\"{}\"], conditions: {{ready: true}}}}]
",
        control_address().v4
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let text = "used{a=\"b\"} 7\nused{a=\"bc\"} 8\nused_total 9\n";

        assert_eq!(metric(text, "used{a=\"b\"}"), Some(7.0));
        assert_eq!(metric(text, "used_total"), Some(9.0));
        assert_eq!(metric(text, "used"), None);
    }
}
