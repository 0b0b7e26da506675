//! How fast pods get their addresses, what that costs, and who is the limit: with pods that come as fast as a client
//! can create them, with pods that wait already, and beside a plain client that writes the same objects.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::Method;
use hybridnet_api::mac;
use hybridnet_api::names::{IP_INSTANCE_MODEL, finalizer, label};
use kube::Client;
use serde_json::{Value, json};

use super::board::Board;
use super::load::{at_once, create_bound, delete_pod, ip_instances, send};
use super::requests::Requests;
use super::scene::{Moment, OVERLAY, PROGRAMS, Scene, overlay_subnet};
use super::stats::{each, percentile, rate};
use super::table::{Table, time_or_none};
use crate::progress::say;

/// How the figure is taken.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// How many pods.
    #[arg(long, default_value_t = 2000)]
    pods: usize,
    /// Requests of the client under way at a time.
    #[arg(long, default_value_t = 32)]
    workers: usize,
    /// How many requests a pod may cost in its life, without events.
    #[arg(long, default_value_t = 3.0)]
    limit: f64,
}

/// How long a phase may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_mins(3);
/// Where the pods are, and the name of their node's label.
const PLACE: &str = "bench";
/// Where the plain client writes.
const REFERENCE: &str = "reference";
/// What the manager works with when it is not told otherwise.
const WORKERS: usize = 16;

/// Managers that are measured: a name, and their flags. The second one has the limit that is the Go project's default.
const MANAGERS: [(&str, &[&str]); 3] = [
    ("as it comes", &[]),
    ("300 requests a second", &["--kube-client-qps=300"]),
    ("64 workers", &["--controller-concurrency=Pod=64,IPInstance=64"]),
];

/// What one phase showed.
struct Phase {
    what: String,
    rate: f64,
    latencies: Vec<Duration>,
    cores: Vec<f64>,
    /// Processor time of the manager.
    spent: Duration,
}

/// Takes the figures, prints them, and fails when they miss the goals.
pub async fn run(options: &Options) -> Result<()> {
    let mut scene = Scene::start(&[PLACE, REFERENCE]).await?;
    let network = OVERLAY.to_owned() + &overlay_subnet("overlay", "10.60.0.0/16", None);
    scene.cluster.apply(&network).await?;
    let bench = Bench {
        client: scene.administrator().await?,
        plain: scene.as_manager().await?,
        pods: options.pods,
        workers: options.workers,
    };
    let mut phases = vec![bench.reference(&scene, WORKERS, 0).await?];
    let mut requests = None;
    for (name, flags) in MANAGERS {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        scene.start_manager(&flags)?;
        // It takes away what the plain client has left: nobody needs it.
        scene.manager_is_quiet(PATIENCE).await?;
        let (phase, counted) = bench.life(&scene, name).await?;
        phases.push(phase);
        requests.get_or_insert(counted);
        scene.stop_manager().await?;
        phases.push(bench.backlog(&mut scene, name, &flags).await?);
        scene.stop_manager().await?;
    }
    phases.push(bench.reference(&scene, WORKERS, 0).await?);
    phases.push(bench.reference(&scene, 64, options.pods).await?);
    report(&phases, &requests.context("no manager was measured")?, options)
}

/// The client's side.
struct Bench {
    client: Client,
    /// With the manager's rights.
    plain: Client,
    pods: usize,
    workers: usize,
}

impl Bench {
    /// A plain client that writes what the manager would write, as many requests at a time as that one has workers.
    async fn reference(&self, scene: &Scene, workers: usize, first: usize) -> Result<Phase> {
        let client = self.plain.clone();
        let path = ip_instances(REFERENCE);
        let before = scene.moment()?;
        let start = Instant::now();
        let write = at_once(self.pods, workers, move |number| {
            let (client, path) = (client.clone(), path.clone());
            async move {
                let written = send(&client, Method::POST, &path, Some(&object(first + number))).await;
                written.map(drop).context("write an IPInstance")
            }
        });
        scene.inside.run(write).await?;
        let took = start.elapsed();
        let what = format!("plain client, {workers} at a time");
        Phase::of(&what, rate(self.pods, took), &before, scene)
    }

    /// Pods created and bound while the manager works, then deleted again.
    async fn life(&self, scene: &Scene, manager: &str) -> Result<(Phase, Requests)> {
        let board = scene.board(&self.client, PLACE).await?;
        let requests = Requests::so_far(scene, &self.client).await?;
        let (before, start) = (scene.moment()?, Instant::now());
        self.create(scene).await?;
        let last = self.all_addressed(&board).await?;
        let mut phase = Phase::of(
            &format!("{manager}: pods as they come"),
            rate(self.pods, last - start),
            &before,
            scene,
        )?;
        phase.latencies = board.look().latencies();
        self.delete(scene, &board).await?;
        scene.manager_is_quiet(PATIENCE).await?;
        let requests = Requests::so_far(scene, &self.client).await?.since(&requests);
        Ok((phase, requests))
    }

    /// Pods that wait already when the manager starts: nobody else asks the API server for anything then.
    async fn backlog(&self, scene: &mut Scene, manager: &str, flags: &[String]) -> Result<Phase> {
        self.create(scene).await?;
        let board = scene.board(&self.client, PLACE).await?;
        scene.start_manager(flags)?;
        let first = board.until("the first address", PATIENCE, |known| !known.addressed.is_empty());
        first.await?;
        let before = scene.moment()?;
        self.all_addressed(&board).await?;
        let span = board.look().span();
        let what = format!("{manager}: pods that wait");
        let phase = Phase::of(&what, rate(self.pods, span), &before, scene)?;
        self.delete(scene, &board).await?;
        Ok(phase)
    }

    async fn all_addressed(&self, board: &Board) -> Result<Instant> {
        let count = self.pods;
        let all = board.until("an address for each pod", PATIENCE, |known| {
            known.addressed.len() >= count
        });
        all.await
    }

    async fn create(&self, scene: &Scene) -> Result<()> {
        let client = self.client.clone();
        let create = at_once(self.pods, self.workers, move |number| {
            let client = client.clone();
            async move { Ok(create_bound(&client, PLACE, &format!("pod-{number}"), "overlay").await?) }
        });
        scene.inside.run(create).await
    }

    async fn delete(&self, scene: &Scene, board: &Board) -> Result<()> {
        let client = self.client.clone();
        let delete = at_once(self.pods, self.workers, move |number| {
            let client = client.clone();
            async move { Ok(delete_pod(&client, PLACE, &format!("pod-{number}")).await?) }
        });
        scene.inside.run(delete).await?;
        let gone = board.until("all addresses gone", PATIENCE, |known| known.present.is_empty());
        gone.await.map(drop)
    }
}

impl Phase {
    fn of(what: &str, rate: f64, before: &Moment, scene: &Scene) -> Result<Self> {
        let after = scene.moment()?;
        let phase = Self {
            what: what.to_owned(),
            rate,
            latencies: Vec::new(),
            cores: after.cores_since(before),
            spent: after.spent_since(before).first().copied().unwrap_or_default(),
        };
        say(format!("{what}: {rate:.0}/s"));
        Ok(phase)
    }
}

/// The object that the manager would write for a pod of this number.
fn object(number: usize) -> Value {
    let [.., a, b, c] = number.to_be_bytes();
    // The manager gives from the other end.
    let third = b | 0x80;
    let (pod, uid) = (
        format!("pod-{number}"),
        format!("{number:08x}-0000-4000-8000-000000000000"),
    );
    json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "IPInstance",
        "metadata": {
            "name": format!("10-60-{third}-{c}"),
            "finalizers": [finalizer::IP_ALLOCATED],
            "labels": {
                label::VERSION: IP_INSTANCE_MODEL, label::NETWORK: "overlay", label::SUBNET: "overlay",
                label::NODE: "node-bench", label::POD: pod, label::POD_UID: uid,
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid,
                "controller": true, "blockOwnerDeletion": false}],
        },
        "spec": {
            "network": "overlay", "subnet": "overlay",
            "address": {"version": "4", "ip": format!("10.60.{third}.{c}/16"), "netID": 4,
                "mac": mac::generate([a, b, c])},
            "binding": {"referredObject": {"kind": "Pod", "name": pod, "uid": uid},
                "nodeName": "node-bench", "podUID": uid, "podName": pod},
        },
    })
}

fn report(phases: &[Phase], requests: &Requests, options: &Options) -> Result<()> {
    let mut table = Table::new([
        "who writes",
        "addresses/s",
        "bound to address, p50",
        "p99",
        "manager ms/pod",
        "manager",
        "webhook",
        "API server",
        "etcd",
        "client",
    ]);
    for phase in phases {
        let [manager, webhook, server, etcd, client] = phase.cores.as_slice() else {
            bail!("{} programs and ours", PROGRAMS.len());
        };
        let of = |rank| time_or_none(percentile(&phase.latencies, rank));
        let cores = |cores: &f64| format!("{cores:.2}");
        table.row([
            phase.what.clone(),
            format!("{:.0}", phase.rate),
            of(0.5),
            of(0.99),
            format!("{:.2}", milliseconds(phase.spent, options.pods)),
            cores(manager),
            cores(webhook),
            cores(server),
            cores(etcd),
            cores(client),
        ]);
    }
    println!(
        "{} pods; the last five columns are cores in use.\n\n{table}",
        options.pods
    );
    print!("{}", requests.table(options.pods));
    let life = requests.of_life(options.pods);
    let busiest = phases
        .iter()
        .filter_map(|phase| phase.cores.first().copied())
        .fold(0.0, f64::max);
    ensure!(
        life <= options.limit,
        "a pod costs {life:.2} requests in its life, the goal is {}",
        options.limit
    );
    ensure!(
        busiest < 1.0,
        "the manager used {busiest:.2} cores, the goal is under one"
    );
    Ok(())
}

/// Each one's share of a time.
fn milliseconds(time: Duration, count: usize) -> f64 {
    each(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), count) / 1000.0
}
