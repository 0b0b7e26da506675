//! The manager of a large cluster: how soon it gives the first address once it leads, and what it weighs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use kube::Client;

use super::counters;
use super::crowd::{PLACE, Size, gather, networks};
use super::load::{at_once, create_bound};
use super::scene::{Moment, Scene};
use super::stats::{percentile, rate};
use super::table::{Table, megabytes, time, time_or_none};
use super::usage;
use crate::progress::{say, seconds};
use crate::wait::until;

/// How the figure is taken.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// How many pods, each with an `IPInstance`.
    #[arg(long, default_value_t = 150_000)]
    pods: usize,
    /// How many nodes.
    #[arg(long, default_value_t = 5000)]
    nodes: usize,
    /// How many pods come once all is quiet.
    #[arg(long, default_value_t = 500)]
    more: usize,
    /// For how many seconds the idle manager is watched: long enough for one look of its collector.
    #[arg(long, default_value_t = 65)]
    idle: u64,
    /// More flags for the manager.
    #[arg(long, allow_hyphen_values = true)]
    manager: Vec<String>,
}

/// How long a phase may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_mins(4);
/// Requests of the client under way at a time.
const WORKERS: usize = 32;
/// The pod that has no address when the manager starts.
const WAITING: &str = "waiting";
/// A manager that uses less than this share of a core has settled.
const QUIET: f64 = 0.03;

/// Takes the figures and prints them.
pub async fn run(options: &Options) -> Result<()> {
    let size = Size {
        pods: options.pods,
        nodes: options.nodes,
    };
    let mut scene = Scene::start(&[PLACE]).await?;
    scene.cluster.apply(&networks(size)).await?;
    scene.start_manager(&[])?;
    scene.manager_rests(PATIENCE).await?;
    let client = scene.administrator().await?;
    let start = Instant::now();
    gather(&mut scene, &client, size).await?;
    say(format!(
        "{} pods on {} nodes are there after {}",
        size.pods,
        size.nodes,
        seconds(start.elapsed())
    ));

    let mut table = Table::new(["with as many objects", "figure"]);
    let mut line = |what: &str, figure: String| {
        say(format!("{what}: {figure}"));
        table.row([what.to_owned(), figure]);
    };
    line("IPInstances and pods", size.pods.to_string());
    line("nodes", size.nodes.to_string());
    starts(&mut scene, &client, options, &mut line).await?;
    rests(&scene, options, &mut line).await?;
    gives(&scene, &client, options, &mut line).await?;
    println!("{table}");
    Ok(())
}

/// From the start of the process until it has looked at everything.
async fn starts(
    scene: &mut Scene,
    client: &Client,
    options: &Options,
    line: &mut impl FnMut(&str, String),
) -> Result<()> {
    let (pod, board) = (client.clone(), scene.board(client, PLACE).await?);
    scene
        .inside
        .run(async move { Ok(create_bound(&pod, PLACE, WAITING, "overlay").await?) })
        .await?;
    let (lease, watched) = (client.clone(), board.clone());
    scene
        .inside
        .run(async move { watched.watch_lease(&lease).await })
        .await?;
    let began = Instant::now();
    scene.start_manager(&options.manager)?;
    let first = board
        .until("the first address", PATIENCE, |known| {
            known.addressed.contains_key(WAITING)
        })
        .await?;
    let led = board.look().led.context("the lease was not seen")?;
    line("start of the process to lease", time(led - began));
    line("lease to first allocation", time(first - led));
    let settled = settled(scene).await?;
    let used = manager_time(scene)?;
    line(
        "lease to everything looked at once (within 2 s)",
        time(settled - led),
    );
    line("processor time until then", time(used));
    let page = scene.cluster.metrics(scene.manager()?)?;
    let sent: Vec<String> = counters::of_manager(&page)
        .iter()
        .map(|(verb, count)| format!("{count} {verb}"))
        .collect();
    line("requests until then", sent.join(", "));
    Ok(())
}

async fn rests(scene: &Scene, options: &Options, line: &mut impl FnMut(&str, String)) -> Result<()> {
    let memory = usage::memory(scene.manager()?.record.pid)?;
    line("resident memory", megabytes(memory.resident));
    line("resident memory at most", megabytes(memory.peak));
    let before = scene.moment()?;
    tokio::time::sleep(Duration::from_secs(options.idle)).await;
    let cores = cores_since(scene, &before)?;
    line(
        &format!("processor at idle, over {} s", options.idle),
        format!("{:.2} % of a core", cores * 100.0),
    );
    let webhook = scene
        .cluster
        .state()
        .processes("hybridnet-webhook")
        .pop()
        .context("the webhook")?;
    line(
        "resident memory of the webhook",
        megabytes(usage::memory(webhook.pid)?.resident),
    );
    Ok(())
}

/// More pods, beside all that are there.
async fn gives(
    scene: &Scene,
    client: &Client,
    options: &Options,
    line: &mut impl FnMut(&str, String),
) -> Result<()> {
    let (count, board) = (options.more, scene.board(client, PLACE).await?);
    let (before, start) = (scene.moment()?, Instant::now());
    let client = client.clone();
    let create = at_once(count, WORKERS, move |number| {
        let client = client.clone();
        async move { Ok(create_bound(&client, PLACE, &format!("more-{number}"), "overlay").await?) }
    });
    scene.inside.run(create).await?;
    let last = board.until("an address for each pod", PATIENCE, |known| {
        known.addressed.len() >= count
    });
    let took = last.await? - start;
    let cores = cores_since(scene, &before)?;
    let latencies = board.look().latencies();
    line(
        &format!("{count} more pods"),
        format!("{:.0} pods/s, manager {cores:.2} cores", rate(count, took)),
    );
    let [half, most] = [0.5, 0.99].map(|rank| time_or_none(percentile(&latencies, rank)));
    line(
        "their way from bound to address",
        format!("p50 {half}, p99 {most}"),
    );
    Ok(())
}

/// Waits until the manager uses next to nothing; the answer is since when.
async fn settled(scene: &Scene) -> Result<Instant> {
    let mut before = scene.moment()?;
    until("the manager has settled", PATIENCE, async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = scene.moment()?;
        let cores = now.cores_since(&before).first().copied().unwrap_or_default();
        let since = before.at();
        before = now;
        Ok(if cores < QUIET {
            Ok(since)
        } else {
            Err(format!("{cores:.2} cores"))
        })
    })
    .await
}

fn manager_time(scene: &Scene) -> Result<Duration> {
    usage::processor_time(scene.manager()?.record.pid)
}

fn cores_since(scene: &Scene, before: &Moment) -> Result<f64> {
    let cores = scene.moment()?.cores_since(before);
    Ok(cores.first().copied().unwrap_or_default())
}
