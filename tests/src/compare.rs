//! Figures: how fast forty pods start beside the plain plugins, in one run, and what our programs weigh.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench::stats::{median, ratio};
use crate::chart;
use crate::cluster::Cluster;
use crate::node::Plugin;
use crate::progress::{say, seconds};
use crate::workload::Workload;

const PODS: usize = 40;
const NODES: usize = 2;

/// The times of one cluster's rounds.
struct Side {
    name: &'static str,
    cluster: Cluster,
    times: Vec<Duration>,
}

/// Runs the rounds, alternating, and prints the figures. An error when ours needs more than `limit` times as long,
/// or when a sandbox could not be made.
pub async fn run(rounds: usize, limit: f64) -> Result<()> {
    let image = chart::image()?;
    let builder = |name: &str| Cluster::builder().prefix(name).nodes(NODES);
    let plain = builder("hyt-plain").plugin(Plugin::Ptp).start().await?;
    plain.nodes_ready(Duration::from_mins(1)).await?;
    let ours = builder("hyt-ours").image(&image).start().await?;
    ours.install(&chart::dual_stack()).await?;
    let mut sides = [
        Side {
            name: "ptp + host-local",
            cluster: plain,
            times: Vec::new(),
        },
        Side {
            name: "hybridnet",
            cluster: ours,
            times: Vec::new(),
        },
    ];
    for round in 0..=rounds {
        for side in &mut sides {
            let took = side.round().await?;
            say(format!("round {round}, {}: {}", side.name, seconds(took)));
            // The first round loads programs from disk; it counts for nobody.
            if round > 0 {
                side.times.push(took);
            }
        }
    }
    let [plain, ours] = &sides;
    let ratio = ratio(ours.median(), plain.median());
    println!("{PODS} pods on {NODES} nodes, apply to rollout complete, median of {rounds} rounds:");
    for side in &sides {
        println!(
            "  {:18} {:>7}  failed sandboxes {}",
            side.name,
            seconds(side.median()),
            side.failed_sandboxes().await?
        );
    }
    println!("  ratio {ratio:.2}");
    weights(&ours.cluster, &image).await?;
    if ratio > limit {
        bail!("ours needs {ratio:.2} times as long as the plain plugins, the goal is {limit}");
    }
    match ours.failed_sandboxes().await? {
        0 => Ok(()),
        failed => bail!(
            "{failed} sandboxes could not be made: {}",
            ours.cluster.warnings("default").await
        ),
    }
}

impl Side {
    async fn round(&self) -> Result<Duration> {
        let pods = Workload::new("forty", PODS);
        let start = Instant::now();
        pods.apply(&self.cluster).await?;
        self.cluster
            .kubectl(["rollout", "status", "deployment/forty", "--timeout=55s"])
            .await?;
        let took = start.elapsed();
        pods.delete(&self.cluster, Duration::from_mins(2)).await?;
        Ok(took)
    }

    fn median(&self) -> Duration {
        median(&self.times).unwrap_or_default()
    }

    async fn failed_sandboxes(&self) -> Result<usize> {
        let filter = "--field-selector=reason=FailedCreatePodSandBox";
        let events = self
            .cluster
            .kubectl(["get", "events", "-n=default", filter, "-o=name"])
            .await?;
        Ok(events.lines().count())
    }
}

/// Memory of our programs, time of the plugin, size of the image.
async fn weights(cluster: &Cluster, image: &Path) -> Result<()> {
    for component in ["daemon", "manager", "webhook"] {
        let mut sizes = Vec::new();
        for running in cluster.component(component).await? {
            sizes.push(Cluster::resident(running.process)?);
        }
        let shown: Vec<String> = sizes.iter().map(|bytes| megabytes(*bytes)).collect();
        println!("resident memory of {component}: {}", shown.join(", "));
    }
    let plugins = cluster.state().path("node-1/bin");
    for name in ["hybridnet", "ptp"] {
        println!(
            "start of the plugin {name}: {:.2} ms",
            start_time(&plugins.join(name))?.as_secs_f64() * 1000.0
        );
    }
    println!(
        "image: {}",
        megabytes(image.metadata().context("the image")?.len())
    );
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

/// The median of fifty calls that ask for the version only.
fn start_time(plugin: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..50 {
        let mut command = Command::new(plugin);
        command
            .env("CNI_COMMAND", "VERSION")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let start = Instant::now();
        command
            .status()
            .with_context(|| format!("run {}", plugin.display()))?;
        times.push(start.elapsed());
    }
    median(&times).context("no calls")
}
