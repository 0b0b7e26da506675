//! A pool that is exactly full: all pods are deleted and created again at once, and each needs an address that
//! another one is just giving back. Against the same with room to spare, in alternating order on one control plane.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::Method;
use hybridnet_api::IpInstance;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::core::PartialObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::board::Board;
use super::load::{at_once, create_bound, delete_pod, ip_instances, pods, send};
use super::scene::{OVERLAY, Scene, overlay_subnet, underlay};
use super::stats::{median, ratio};
use super::table::{Table, time, time_or_none};
use crate::progress::say;

/// How the figure is taken.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Rounds of each pool that count, after one that fills it.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of the full pool's prefix; the ample one has four times as many addresses.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(18..=28))]
    prefix: u8,
    /// Requests of each kind (deletions, creations) under way at a time.
    #[arg(long, default_value_t = 16)]
    workers: usize,
    /// How many times as long as with an ample pool is still good.
    #[arg(long, default_value_t = 1.2)]
    limit: f64,
    /// More flags for the manager.
    #[arg(long, allow_hyphen_values = true)]
    manager: Vec<String>,
}

/// How long a round may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_mins(1);

/// The pause before a refused creation is tried again; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// One pool, and what came of its rounds.
struct Side {
    title: String,
    network: &'static str,
    pods: usize,
    board: Board,
    generation: usize,
    rounds: Vec<Round>,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    /// Until every new pod had its address.
    addressed: Duration,
    /// Until the old ones' addresses were gone as well.
    settled: Duration,
    /// Processor time of the manager.
    spent: Duration,
    /// Creations that the webhook refused because it thought the network full.
    refusals: usize,
}

/// Takes the figure, prints it, and fails when it misses the goal.
pub async fn run(options: &Options) -> Result<()> {
    let mut scene = Scene::start(&["full", "ample", "overlay"]).await?;
    scene.start_manager(&options.manager)?;
    let (full, ample) = (options.prefix, options.prefix - 2);
    let networks = [
        underlay("full", &format!("10.32.0.0/{full}"), "10.32.0.1", 32),
        underlay("ample", &format!("10.64.0.0/{ample}"), "10.64.0.1", 64),
        OVERLAY.to_owned() + &overlay_subnet("overlay", &format!("10.128.0.0/{full}"), None),
    ];
    scene.cluster.apply(&networks.join("---\n")).await?;
    let exactly = scene.usable_addresses("full").await?;
    let client = scene.administrator().await?;
    let mut sides = Vec::new();
    for (title, network, pods) in [
        (format!("full /{full}"), "full", exactly),
        (format!("ample /{ample}"), "ample", exactly),
        (
            format!("full /{full}, overlay"),
            "overlay",
            scene.usable_addresses("overlay").await?,
        ),
    ] {
        let board = scene.board(&client, network).await?;
        sides.push(Side::new(title, network, pods, board));
    }
    // The first pods take no place of others.
    for side in &mut sides {
        side.round(&scene, &client, options.workers).await?;
    }
    for number in 1..=options.rounds {
        for step in 0..sides.len() {
            // Forth and back: whatever grows with time hits all alike.
            let place = if number % 2 == 1 {
                step
            } else {
                sides.len() - 1 - step
            };
            let side = sides.get_mut(place).context("a pool")?;
            let round = side.round(&scene, &client, options.workers).await?;
            say(format!(
                "round {number}, {}: {}",
                side.title,
                time(round.addressed)
            ));
            side.rounds.push(round);
        }
    }
    report(&sides, options)
}

impl Side {
    fn new(title: String, network: &'static str, pods: usize, board: Board) -> Self {
        Self {
            title,
            network,
            pods,
            board,
            generation: 0,
            rounds: Vec::new(),
        }
    }

    /// Deletes the pods of the round before and creates as many new ones, at once, and checks what the API has.
    async fn round(&mut self, scene: &Scene, client: &Client, workers: usize) -> Result<Round> {
        let (old, new) = (self.generation, self.generation + 1);
        self.generation = new;
        let turn = Turn {
            client: client.clone(),
            network: self.network,
            board: self.board.clone(),
            refusals: Arc::default(),
        };
        let (count, former) = (self.pods, if old > 0 { self.pods } else { 0 });
        let before = scene.moment()?;
        let round = scene.inside.run(turn.take(former, count, old, workers)).await;
        let round = round.with_context(|| format!("round {old} of {}", self.title))?;
        let spent = scene.moment()?.spent_since(&before);
        Ok(Round {
            spent: spent.first().copied().unwrap_or_default(),
            ..round
        })
    }

    fn median(&self, of: fn(&Round) -> Duration) -> Option<Duration> {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }
}

/// What one round works with. Pods are named after their network, which is their namespace too, and their round.
#[derive(Clone)]
struct Turn {
    client: Client,
    network: &'static str,
    board: Board,
    refusals: Arc<AtomicUsize>,
}

impl Turn {
    async fn take(self, former: usize, count: usize, old: usize, workers: usize) -> Result<Round> {
        let start = Instant::now();
        let (ending, coming) = (self.clone(), self.clone());
        let deletions = at_once(former, workers, move |number| ending.clone().delete(old, number));
        let creations = at_once(count, workers, move |number| {
            coming.clone().create(old + 1, number)
        });
        tokio::try_join!(deletions, creations)?;
        let prefix = format!("{}-{}-", self.network, old + 1);
        let ours = |pod: &&String| pod.starts_with(&prefix);
        let addressed = self.board.until("an address for each", PATIENCE, |known| {
            known.addressed.keys().filter(ours).count() == count
        });
        let addressed = addressed.await?;
        let settled = self.board.until("the old addresses gone", PATIENCE, |known| {
            known.present.len() == count && known.present.values().all(|pod| ours(&pod))
        });
        let settled = settled.await?;
        self.verify(count).await?;
        Ok(Round {
            addressed: addressed - start,
            settled: settled - start,
            spent: Duration::ZERO,
            refusals: self.refusals.load(Ordering::Relaxed),
        })
    }

    async fn delete(self, generation: usize, number: usize) -> Result<()> {
        let name = format!("{}-{generation}-{number}", self.network);
        Ok(delete_pod(&self.client, self.network, &name).await?)
    }

    /// Creates a pod and binds it. One that is refused comes again soon, as a controller of pods would bring it.
    async fn create(self, generation: usize, number: usize) -> Result<()> {
        let network = self.network;
        let name = format!("{network}-{generation}-{number}");
        let limit = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match create_bound(&self.client, network, &name, network).await {
                Err(kube::Error::Api(status)) if is_denied(&status.message) && Instant::now() < limit => {
                    self.refusals.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                answer => return answer.with_context(|| format!("pod {name}")),
            }
        }
    }

    /// What the API has at the end: so many pods, each with one address of its own, and no address twice.
    async fn verify(&self, count: usize) -> Result<()> {
        let pods: Objects<PartialObjectMeta<Pod>> = self.list(&pods(self.network)).await?;
        let instances: Objects<IpInstance> = self.list(&ip_instances(self.network)).await?;
        let pods = pods
            .items
            .iter()
            .map(|pod| pod.metadata.uid.clone().unwrap_or_default());
        verify(&pods.collect(), &instances.items, count)
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = send(&self.client, Method::GET, path, None).await?;
        serde_json::from_str(&answer).with_context(|| format!("list {path}"))
    }
}

#[derive(Deserialize)]
struct Objects<T> {
    items: Vec<T>,
}

fn is_denied(message: &str) -> bool {
    message.contains("denied the request")
}

/// An error names what is wrong: `pods` are the UIDs of all that are there.
fn verify(pods: &BTreeSet<String>, instances: &[IpInstance], count: usize) -> Result<()> {
    ensure!(pods.len() == count, "{} pods instead of {count}", pods.len());
    let mut holders: BTreeMap<IpAddr, &str> = BTreeMap::new();
    let mut served = BTreeSet::new();
    for instance in instances {
        let name = instance.metadata.name.as_deref().unwrap_or_default();
        let ip = instance.spec.ip().with_context(|| format!("address of {name}"))?;
        if let Some(other) = holders.insert(ip, name) {
            bail!("IPInstances {other} and {name} both have {ip}");
        }
        let binding = instance.spec.binding.as_ref();
        let uid = binding.map(|binding| binding.pod_uid.clone()).unwrap_or_default();
        ensure!(pods.contains(&uid), "{name} is for pod {uid}, which is not there");
        ensure!(served.insert(uid.clone()), "pod {uid} has two addresses");
    }
    ensure!(
        served.len() == count,
        "{} of {count} pods have an address",
        served.len()
    );
    Ok(())
}

fn report(sides: &[Side], options: &Options) -> Result<()> {
    let [full, ample, _] = sides else {
        bail!("three pools are compared");
    };
    let reference = ample.median(|round| round.addressed).context("no rounds")?;
    let mut table = Table::new([
        "pool",
        "pods",
        "rounds until every pod had its address",
        "median",
        "ratio",
        "median until the old addresses were gone",
        "manager, processor time",
        "refused by the webhook and tried again",
    ]);
    for side in sides {
        let rounds: Vec<String> = side.rounds.iter().map(|round| time(round.addressed)).collect();
        let addressed = side.median(|round| round.addressed);
        let refusals: usize = side.rounds.iter().map(|round| round.refusals).sum();
        table.row([
            side.title.clone(),
            side.pods.to_string(),
            rounds.join(", "),
            time_or_none(addressed),
            format!("{:.2}", ratio(addressed.unwrap_or_default(), reference)),
            time_or_none(side.median(|round| round.settled)),
            time_or_none(side.median(|round| round.spent)),
            refusals.to_string(),
        ]);
    }
    println!("{table}");
    println!("Every pod had an address of its own after each of the rounds, and no address was given twice.");
    let ratio = ratio(
        full.median(|round| round.addressed).context("no rounds")?,
        reference,
    );
    ensure!(
        ratio <= options.limit,
        "a full pool takes {ratio:.2} times as long as an ample one, the goal is {}",
        options.limit
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instance(name: &str, ip: &str, pod: &str) -> IpInstance {
        serde_json::from_value(
            json!({"metadata": {"name": name}, "spec": {"network": "n", "subnet": "s",
            "address": {"version": "4", "ip": ip, "mac": "m"}, "binding": {"nodeName": "n", "podUID": pod}}}),
        )
        .unwrap()
    }

    fn uids(uids: &[&str]) -> BTreeSet<String> {
        uids.iter().map(|uid| (*uid).to_owned()).collect()
    }

    #[test]
    fn an_address_a_pod_is_well() {
        let instances = [
            instance("a", "10.0.0.1/24", "1"),
            instance("b", "10.0.0.2/24", "2"),
        ];

        verify(&uids(&["1", "2"]), &instances, 2).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (a, b) = (
            instance("a", "10.0.0.1/24", "1"),
            instance("b", "10.0.0.2/24", "2"),
        );
        let (same, again) = (
            instance("c", "10.0.0.1/16", "2"),
            instance("d", "10.0.0.4/24", "1"),
        );
        let cases = [
            (vec![a.clone(), same], "IPInstances a and c both have 10.0.0.1"),
            (vec![a.clone()], "1 of 2 pods have an address"),
            (vec![a.clone(), again], "pod 1 has two addresses"),
            (
                vec![b, instance("e", "10.0.0.5", "3")],
                "e is for pod 3, which is not there",
            ),
        ];
        for (instances, expected) in cases {
            let error = verify(&uids(&["1", "2"]), &instances, 2).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = verify(&uids(&["1"]), &[a], 2).unwrap_err();
        assert_eq!(error.to_string(), "1 pods instead of 2");
    }
}
