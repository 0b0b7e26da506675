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

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hybridnet_api::names::MANAGER_LEASE;
use hybridnet_api::{IpInstance, Network, Subnet};
use hybridnet_service::client::configuration;
use hybridnet_service::{feed, stop};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::client::{Rate, guarded};
use crate::collector::Collector;
use crate::context::{Context, Handle};
use crate::controllers::Controller;
use crate::flags::Flags;
use crate::health::{self, Health};
use crate::lease::{Election, Leadership};
use crate::metrics::Metrics;
use crate::pod::settings::Settings;
use crate::workload::Workloads;
use crate::world::pod::Pod;
use crate::world::{Kind, Namespace, Node, World};
use crate::{controllers, events};

/// Work under way may take this long after the signal; the kubelet gives 30 s in all.
const GRACE: Duration = Duration::from_secs(15);
/// What has been said to users is published for this long, once everything else is finished.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Giving the lease away may take this long: it is a courtesy to the next leader.
const RELEASE: Duration = Duration::from_secs(5);
/// A watch whose connection died silently is noticed some seconds after this.
const WATCH_SECONDS: u32 = 60;
/// What a watch leaves open is mostly settled by its next news. If none come, the kind is listed again.
const DOUBT: Duration = Duration::from_secs(5);
/// A kind that cannot be listed is named this often.
const PATIENCE: Duration = Duration::from_secs(30);
/// Concurrency of controllers that the user says nothing about.
const WORKERS: usize = 16;

/// Runs the manager until it is told to stop or cannot go on.
pub fn run(flags: Flags) -> ExitCode {
    flags.logs.start();
    if flags.feature_gates.multi_cluster {
        warn!("feature gate MultiCluster has no effect in this release");
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
    let client = Handle(client);
    let context = Context {
        workloads: Arc::new(Workloads::new(client.clone())),
        client,
        world: Arc::new(World::new(metrics.clone())),
        announcer,
        metrics,
        settings,
    };
    let (mut watches, mut publishing) = (JoinSet::new(), JoinSet::new());
    publishing.spawn(publisher.run());
    watch_all(&context, &mut watches);
    let work = async {
        work(flags, context, stop, leadership).await;
        say_last_words(&mut publishing, LAST_WORDS).await;
    };
    tokio::select! {
        () = election.hold() => {
            error!("the lease is lost");
            End::LeaseLost
        }
        () = work => End::Told,
    }
}

/// Controllers, from the moment when everything is known until everything is finished.
async fn work(flags: &Flags, context: Context, mut stop: watch::Receiver<bool>, leadership: Leadership) {
    tokio::select! {
        () = known(&context.world) => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let mut controllers = start(flags, &context, &stop);
    let _ = stop.wait_for(|stop| *stop).await;
    info!("stopping");
    let finished = async { while controllers.join_next().await.is_some() {} };
    if timeout(GRACE, finished).await.is_err() && leadership.is_valid() {
        warn!("work under way was left unfinished; the next leader takes it up");
    }
}

/// Waits until every kind has been listed. What the account may not list is an operator's affair, and
/// nothing to stop for.
async fn known(world: &World) {
    let mut started = pin!(world.started());
    while timeout(PATIENCE, &mut started).await.is_err() {
        warn!(missing = ?world.with(|state| state.missing()), "not everything is listed, nothing is allocated");
    }
}

/// Everybody who could say something is done; what was said and waits is published.
async fn say_last_words(publishing: &mut JoinSet<()>, limit: Duration) {
    let published = async { while publishing.join_next().await.is_some() {} };
    if timeout(limit, published).await.is_err() {
        warn!("events were left unpublished: the API server is too slow");
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
    context.metrics.objects.set_listed(&K::kind(&()), false);
    let world = context.world.clone();
    let api = Api::<K>::all(context.client.0.clone());
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    background.spawn(async move {
        loop {
            let following = feed::run(api.clone(), config.clone(), |event| world.feed::<K>(event));
            tokio::select! {
                () = following => {}
                () = doubt::<K>(&world) => info!(url = api.resource_url(), "listing again, to be sure"),
            }
        }
    });
}

/// Waits until the watch has left something open for so long that nothing else will settle it.
async fn doubt<K: Kind>(world: &World) {
    let mut before = false;
    loop {
        sleep(DOUBT).await;
        let now = world.is_in_doubt::<K>();
        if before && now {
            return;
        }
        before = now;
    }
}

/// Starts all of them, and the collector.
pub(crate) fn start(flags: &Flags, context: &Context, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut running = JoinSet::new();
    for controller in controllers::all(context) {
        let workers = flags.controller_concurrency.of(controller.name, WORKERS);
        let (stop, metrics) = (stop.clone(), context.metrics.clone());
        let Controller { queue, reconcile, .. } = controller;
        running.spawn(async move { queue.run(workers, stop, metrics, reconcile).await });
    }
    if !flags.collector_interval.is_zero() {
        let collector = Collector::new(context, flags.collector_grace, Arc::new(Timestamp::now));
        running.spawn(collector.run(flags.collector_interval, stop.clone()));
    }
    running
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_published_before_the_end_and_a_slow_server_does_not_hold_us_up() {
        let (done, finished) = watch::channel(false);
        let mut publishing = JoinSet::new();
        publishing.spawn(async move {
            sleep(Duration::from_secs(1)).await;
            done.send_replace(true);
        });
        say_last_words(&mut publishing, LAST_WORDS).await;
        assert!(*finished.borrow());

        let started = tokio::time::Instant::now();
        publishing.spawn(sleep(Duration::from_hours(1)));
        say_last_words(&mut publishing, LAST_WORDS).await;
        assert_eq!(started.elapsed(), LAST_WORDS);
    }
}
