//! From the command line to the end of the process.
//!
//! ```text
//!   start ─► stand by ─► lead: list everything ─► controllers ─► stop: finish work, give the lease away
//!               │             │                        │
//!               └── SIGTERM ──┴────────────────────────┴── lease lost: exit 1, nothing more is written
//! ```
//!
//! A standby watches nothing but the Lease: it costs the API server two requests in four seconds, and
//! when it takes over it lists anyway.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hybridnet_api::names::MANAGER_LEASE;
use hybridnet_api::{IpInstance, Network, Subnet};
use hybridnet_service::client::configuration;
use hybridnet_service::{feed, stop};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::client::{Rate, guarded};
use crate::context::{Context, Handle};
use crate::flags::Flags;
use crate::health::{self, Health};
use crate::lease::{Election, Leadership};
use crate::metrics::Metrics;
use crate::network::Networks;
use crate::pod::Pods;
use crate::pod::settings::Settings;
use crate::queue::{Outcome, Queue};
use crate::subnet::Subnets;
use crate::world::pod::Pod;
use crate::world::store::Key;
use crate::world::{Kind, Namespace, Node, World};
use crate::{events, ip_instance, node};

/// Work under way may take this long after the signal; the kubelet gives 30 s in all.
const GRACE: Duration = Duration::from_secs(15);
/// Giving the lease away may take this long: it is a courtesy to the next leader.
const RELEASE: Duration = Duration::from_secs(5);
/// A watch whose connection died silently is noticed some seconds after this.
const WATCH_SECONDS: u32 = 60;
/// Concurrency of controllers that the user says nothing about.
const WORKERS: usize = 16;

/// Runs the manager until it is told to stop or cannot go on.
pub fn run(flags: Flags) -> ExitCode {
    flags.logs.start();
    let gates = flags.feature_gates;
    if gates.multi_cluster || gates.vm_ip_retain {
        warn!(?gates, "feature gates without effect in this release");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no threads");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(manage(flags)) {
        Ok(End::Told) => ExitCode::SUCCESS,
        Ok(End::LeaseLost) => ExitCode::FAILURE,
        Err(error) => {
            error!(error = format!("{error:#}"), "cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By a signal, in order.
    Told,
    /// Another one leads.
    LeaseLost,
}

async fn manage(flags: Flags) -> anyhow::Result<End> {
    let settings = Arc::new(Settings::new(&flags)?);
    let mut stop = stop::on_signal()?;
    let client = Client::try_from(configuration(flags.kubeconfig.as_deref()).await?)?;
    let metrics = Arc::new(Metrics::default());
    let leases = leases(&client, &flags.namespace);
    let mut election = Election::new(leases.clone(), MANAGER_LEASE, identity());
    let ready = watch::Sender::new(false);
    let health = Health {
        pulse: election.pulse(),
        ready: ready.subscribe(),
        metrics: metrics.clone(),
    };
    if let Some(server) = health::serve(health, &[flags.metrics_port, flags.health_port])? {
        tokio::spawn(server);
    }
    tokio::spawn(ready_when_answered(leases, ready));
    metrics.set_leading(MANAGER_LEASE, false);

    tokio::select! {
        () = election.win() => {}
        _ = stop.wait_for(|stop| *stop) => return Ok(End::Told),
    }
    metrics.set_leading(MANAGER_LEASE, true);
    let rate = Rate::new(flags.kube_client_qps, flags.kube_client_burst);
    let client = guarded(client, election.leadership(), rate, metrics.clone());
    let end = lead(&flags, &mut election, client, settings, metrics.clone(), stop).await;
    metrics.set_leading(MANAGER_LEASE, false);
    if end == End::Told {
        match timeout(RELEASE, election.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "lease not released"),
            Err(_) => warn!("lease not released: no answer in time"),
        }
    }
    Ok(end)
}

/// Everything that only the leader does.
async fn lead(
    flags: &Flags,
    election: &mut Election,
    client: Client,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
) -> End {
    let leadership = election.leadership();
    let (announcer, publisher) = events::channel(client.clone(), metrics.clone());
    let context = Context {
        client: Handle(client),
        world: Arc::new(World::new(metrics.clone())),
        announcer,
        metrics,
        settings,
    };
    let mut background = JoinSet::new();
    background.spawn(publisher.run());
    watch_all(&context, &mut background);
    let work = work(flags, &context, stop, leadership);
    tokio::select! {
        () = election.hold() => {
            error!("the lease is lost");
            End::LeaseLost
        }
        () = work => End::Told,
    }
}

/// Controllers, from the moment when everything is known until everything is finished.
async fn work(flags: &Flags, context: &Context, mut stop: watch::Receiver<bool>, leadership: Leadership) {
    tokio::select! {
        () = context.world.started() => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let mut controllers = controllers(flags, context, &stop);
    let _ = stop.wait_for(|stop| *stop).await;
    info!("stopping");
    let finished = async { while controllers.join_next().await.is_some() {} };
    if timeout(GRACE, finished).await.is_err() && leadership.is_valid() {
        warn!("work under way was left unfinished; the next leader takes it up");
    }
}

fn watch_all(context: &Context, background: &mut JoinSet<()>) {
    watch_kind::<Network>(context, background);
    watch_kind::<Subnet>(context, background);
    watch_kind::<IpInstance>(context, background);
    watch_kind::<Node>(context, background);
    watch_kind::<Namespace>(context, background);
    watch_kind::<Pod>(context, background);
}

fn watch_kind<K: Kind>(context: &Context, background: &mut JoinSet<()>) {
    let world = context.world.clone();
    let sink = move |event| world.feed::<K>(event);
    let api = Api::<K>::all(context.client.0.clone());
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    background.spawn(feed::run(api, config, sink));
}

pub(crate) fn controllers(flags: &Flags, context: &Context, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let (pods, networks, subnets) = (
        Arc::new(Pods::new(context)),
        Arc::new(Networks::new(context)),
        Arc::new(Subnets::new(context)),
    );
    let queues = context.world.queues();
    let mut controllers = Controllers {
        flags,
        metrics: &context.metrics,
        stop,
        running: JoinSet::new(),
    };
    controllers.start("Pod", &queues.pods, move |key| pods.clone().reconcile(key));
    controllers.start("NetworkStatus", &queues.networks, move |key| {
        networks.clone().reconcile(key)
    });
    controllers.start("SubnetStatus", &queues.subnets, move |key| {
        subnets.clone().reconcile(key)
    });
    let shared = context.clone();
    controllers.start("IPInstance", &queues.ip_instances, move |key| {
        ip_instance::reconcile(shared.clone(), key)
    });
    let shared = context.clone();
    controllers.start("Node", &queues.nodes, move |key| {
        node::reconcile(shared.clone(), key)
    });
    controllers.running
}

/// Controllers that are being started.
struct Controllers<'a> {
    flags: &'a Flags,
    metrics: &'a Arc<Metrics>,
    stop: &'a watch::Receiver<bool>,
    running: JoinSet<()>,
}

impl Controllers<'_> {
    /// `name` is the key of `--controller-concurrency`.
    fn start<F, Fut, E>(&mut self, name: &str, queue: &Queue<Key>, reconcile: F)
    where
        F: Fn(Key) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Outcome, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let workers = self.flags.controller_concurrency.of(name, WORKERS);
        let (queue, stop, metrics) = (queue.clone(), self.stop.clone(), self.metrics.clone());
        self.running
            .spawn(async move { queue.run(workers, stop, metrics, reconcile).await });
    }
}

fn leases(client: &Client, namespace: &str) -> Api<Lease> {
    if namespace.is_empty() {
        Api::default_namespaced(client.clone())
    } else {
        Api::namespaced(client.clone(), namespace)
    }
}

/// New for each process, and readable for people.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{:032x}", host.trim(), rand::random::<u128>())
}

/// Ready means: the API server has been reached. Whether we lead does not matter.
async fn ready_when_answered(leases: Api<Lease>, ready: watch::Sender<bool>) {
    while let Err(error) = leases.get_opt(MANAGER_LEASE).await {
        warn!(%error, "API server not reached");
        sleep(Duration::from_secs(1)).await;
    }
    ready.send_replace(true);
}
