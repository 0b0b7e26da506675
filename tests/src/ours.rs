//! Manager and webhook as plain processes beside an API server: with the chart's rights, without its pods.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

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

impl Cluster {
    /// Applies the chart's API, rights and admission rules, and starts manager and webhook under their accounts.
    pub async fn start_ours(&self) -> Result<()> {
        let crds = chart::folder().join("crds").display().to_string();
        self.kubectl(["apply", "--server-side", "-f", &crds])
            .await
            .context("custom resources")?;
        self.apply(&self.chart_parts().await?).await?;
        self.apply(&endpoint()).await?;
        self.start_manager()?;
        self.start_webhook()?;
        self.webhook_answers().await
    }

    async fn chart_parts(&self) -> Result<String> {
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
        for part in ["rbac-manager", "rbac-webhook", "admission"] {
            words.push(format!("--show-only=templates/{part}.yaml"));
        }
        self.helm(words).await.context("render the chart")
    }

    /// Starts a manager; others may run beside it.
    pub fn start_manager(&self) -> Result<Record> {
        // Ports of a second one would be in the way of the first.
        let running = self.state().processes("hybridnet-manager").len();
        let mut command = self.ours("hybridnet-manager")?;
        command.args([
            format!("--metrics-port={}", 9800 + running),
            format!("--health-port={}", 9850 + running),
        ]);
        self.start_in_control("hybridnet-manager", &mut command)
    }

    /// Starts the webhook, where the Service of the chart points to.
    pub fn start_webhook(&self) -> Result<Record> {
        let mut command = self.ours("hybridnet-webhook")?;
        command.arg("--port=9898");
        self.start_in_control("hybridnet-webhook", &mut command)
    }

    fn ours(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(program(name)?);
        command.arg(format!(
            "--kubeconfig={}",
            self.state().pki().join(format!("{name}.kubeconfig")).display()
        ));
        command
            .env("NAMESPACE", "kube-system")
            .env("DEFAULT_NETWORK_TYPE", "Overlay");
        command
            .env("DEFAULT_IP_FAMILY", "DualStack")
            .env("HOSTNAME", name);
        Ok(command)
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

/// The Service that the webhook configurations name, with us behind it instead of pods.
fn endpoint() -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: hybridnet-webhook, namespace: kube-system}}
spec: {{ports: [{{name: webhook-port, port: 443, targetPort: 9898}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: hybridnet-webhook, namespace: kube-system, labels: {{kubernetes.io/service-name: hybridnet-webhook}}}}
addressType: IPv4
ports: [{{name: webhook-port, port: 9898, protocol: TCP}}]
endpoints: [{{addresses: [\"{}\"], conditions: {{ready: true}}}}]
",
        control_address().v4
    )
}
