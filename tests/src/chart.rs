//! Our chart on a cluster: the image it runs from, installing, upgrading, rolling back.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::paths;
use crate::process::run;
use crate::progress::{say, step};

/// The ranges of the first network in tests and demo.
pub const PODS_V4: &str = "10.42.0.0/16";
/// The same for IPv6.
pub const PODS_V6: &str = "fd00:10:42::/112";

/// An archive of our image: the one that `HYBRIDNET_IMAGE` names, or built from this checkout.
pub fn image() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("HYBRIDNET_IMAGE") {
        return Ok(PathBuf::from(given));
    }
    let archive = target().join("hybridnet.tar");
    if !archive.exists() {
        say("building the image (several minutes the first time)");
    }
    step("image built", || {
        run(Command::new(paths::repository().join("images/build.sh")).arg(&archive))
    })
    .context("build the image")?;
    Ok(archive)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::repository().join("target"), PathBuf::from)
}

/// The chart's folder.
pub fn folder() -> PathBuf {
    paths::repository().join("charts/hybridnet")
}

/// Values that give every pod an address of both families.
pub fn dual_stack() -> Vec<String> {
    vec![
        format!("init.cidr={PODS_V4}"),
        format!("init.cidrV6={PODS_V6}"),
        "defaultIPFamily=DualStack".to_owned(),
    ]
}

impl Cluster {
    /// `helm install`, and waits until all of it is ready and the nodes are too.
    pub async fn install(&self, values: &[String]) -> Result<()> {
        self.helm(arguments("install", values))
            .await
            .context("install the chart")?;
        self.settled().await
    }

    /// `helm upgrade` with other values, and waits until all of it is ready.
    pub async fn upgrade(&self, values: &[String]) -> Result<()> {
        self.helm(arguments("upgrade", values))
            .await
            .context("upgrade the chart")?;
        self.settled().await
    }

    /// `helm rollback` to the revision before, and waits until all of it is ready.
    pub async fn rollback(&self) -> Result<()> {
        let words = ["rollback", "hybridnet", "--namespace=kube-system"];
        self.helm(words).await.context("roll the chart back")?;
        self.settled().await
    }

    /// Waits until every component has all its pods in their latest form, and every node is ready.
    pub async fn settled(&self) -> Result<()> {
        for component in [
            "daemonset/hybridnet-daemon",
            "deployment/hybridnet-manager",
            "deployment/hybridnet-webhook",
        ] {
            // Shorter than the limit of one kubectl, so that its own message is seen.
            let rollout = [
                "rollout",
                "status",
                component,
                "--namespace=kube-system",
                "--timeout=55s",
            ];
            let mut outcome = self.kubectl(rollout).await;
            if outcome.is_err() {
                outcome = self.kubectl(rollout).await;
            }
            if let Err(error) = outcome {
                let pods = self
                    .kubectl(["get", "pods", "--namespace=kube-system", "-o=wide"])
                    .await;
                let warnings = self.warnings("kube-system").await;
                let pods = pods.unwrap_or_default();
                return Err(error.context(format!(
                    "{component} does not get ready; pods:\n{pods}warnings: {warnings}"
                )));
            }
        }
        self.nodes_ready(Duration::from_mins(1)).await
    }

    /// Loads an image archive into every node's runtime.
    pub async fn load_image(&self, archive: &Path) -> Result<()> {
        let import = ["ctr", "--namespace=k8s.io", "images", "import"].map(std::ffi::OsStr::new);
        for number in 1..=self.size() {
            let words = import.into_iter().chain([archive.as_os_str()]);
            self.node(number)
                .exec(words)
                .await
                .with_context(|| format!("load {}", archive.display()))?;
        }
        Ok(())
    }
}

fn arguments(action: &str, values: &[String]) -> Vec<String> {
    let chart = folder().display().to_string();
    let mut words: Vec<String> = [action, "hybridnet", &chart, "--namespace=kube-system"]
        .map(String::from)
        .to_vec();
    words.extend(
        values
            .iter()
            .flat_map(|value| ["--set".to_owned(), value.clone()]),
    );
    words
}
