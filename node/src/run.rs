//! The daemon as a whole: opens everything, starts the parts, and ends when it is told to or a part ends.
//!
//! ```text
//! watches ──> caches ──> reconcile ──> kernel, firewall          (passes; woken by caches and kernel)
//!    └──────> index ───> responder ──> neighbours                (one remote pod at a time)
//!               converged ──> publish ──> NodeInfo
//!                        └──> CNI server <── plugin
//! ```
//! Nothing that is in the kernel is taken away at the end: pods must not notice (datapath spec 3.3).

mod announce;
mod machinery;
pub mod node_object;
pub mod publish;
pub mod reconcile;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use futures::StreamExt;
use hybridnet_service::client::{ConfigurationError, configuration};
use hybridnet_service::stop;
use kube::Client;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::firewall;
use crate::flags::{FlagError, Flags};
use crate::health::{self, Health};
use crate::index::Directory;
use crate::kernel::Kernel;
use crate::kernel::netns::Netns;
use crate::metrics::Metrics;
use crate::node_info::{NodeFacts, Publisher};
use crate::pod::{NodeSide, Pods};
use crate::server::{self, ApiCluster, CniMetrics, CniServer, Options};
use crate::view::Settings;
use crate::watch::Caches;
use reconcile::{Converged, Reconciler};

/// A subscription that breaks at once is not tried again in a circle.
const RESUBSCRIBE: Duration = Duration::from_secs(1);

/// New addresses are gathered for this long.
const GATHER: Duration = Duration::from_millis(50);

/// Why the daemon did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The command line.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// Nobody says where the API server is.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// No client from the configuration.
    #[error("client of the API server")]
    Client(#[source] Box<kube::Error>),
    /// Sockets to the kernel.
    #[error("netlink: {0}")]
    Netlink(#[source] io::Error),
    /// Ports of probes and metrics, or the plugin's socket.
    #[error(transparent)]
    Listen(io::Error),
    /// Signals cannot be heard.
    #[error("signals: {0}")]
    Signals(#[source] io::Error),
    /// A part that should run for ever.
    #[error("{0} ended")]
    Ended(&'static str),
}

/// Runs the daemon until SIGTERM or SIGINT.
pub async fn run(flags: Flags) -> Result<(), RunError> {
    let settings = flags.settings()?;
    for flag in flags.without_effect() {
        warn!(flag, "has no effect in this release");
    }
    let daemon = Daemon::open(&flags).await?;
    daemon.run(&flags, settings).await
}

/// What is opened once and shared by the parts.
struct Daemon {
    client: Client,
    kernel: Kernel,
    metrics: Arc<Metrics>,
    facts: watch::Sender<Option<NodeFacts>>,
    converged: watch::Sender<Option<Converged>>,
    pulse: watch::Sender<Instant>,
    waiting_for: watch::Sender<Option<&'static str>>,
    stop: watch::Sender<bool>,
}

impl Daemon {
    async fn open(flags: &Flags) -> Result<Self, RunError> {
        Ok(Self {
            client: client(flags).await?,
            kernel: Kernel::open(Netns::own(), &flags.proc_sys)
                .await
                .map_err(RunError::Netlink)?,
            metrics: Arc::default(),
            facts: watch::Sender::new(None),
            converged: watch::Sender::new(None),
            pulse: watch::Sender::new(Instant::now()),
            waiting_for: watch::Sender::new(Some("the API server")),
            stop: watch::Sender::new(false),
        })
    }

    async fn run(self, flags: &Flags, settings: Settings) -> Result<(), RunError> {
        let mut told_to_end = stop::on_signal().map_err(RunError::Signals)?;
        let (caches, feeds) = Caches::new(&self.client, &flags.node);
        let mut parts = Parts::default();
        for server in self.ports(flags).map_err(RunError::Listen)? {
            parts.start("a port of probes or metrics", server);
        }
        let cni = self.cni(flags, &caches, settings.tables.local_direct)?;
        let handle = cni.handle();
        parts.start("the CNI server", cni);
        parts.start("the watches", feeds);
        parts.start("the reconciler", self.reconcile(flags, settings, &caches));
        self.start_around(flags, &caches, &mut parts);
        info!(node = flags.node, socket = %flags.bind_socket.display(), "daemon started");

        tokio::select! {
            what = parts.ended() => return Err(RunError::Ended(what)),
            _ = told_to_end.wait_for(|stop| *stop) => {}
        }
        info!("ending: requests that are in the kernel are finished, the kernel stays as it is");
        self.stop.send_replace(true);
        // Bounded by the server itself.
        handle.stop(true).await;
        Ok(())
    }

    /// What surrounds the passes.
    fn start_around(&self, flags: &Flags, caches: &Caches, parts: &mut Parts) {
        let (node, facts) = (flags.node.clone(), self.facts.clone());
        let (client, converged) = (self.client.clone(), self.converged.subscribe());
        let node_infos = caches.node_infos.clone();
        parts.start("reading the Node", async move {
            node_object::follow(client, &node, facts, converged, node_infos).await;
        });
        let publisher = Publisher::new(self.client.clone());
        let (facts, converged) = (self.facts.subscribe(), self.converged.subscribe());
        parts.start(
            "publishing the NodeInfo",
            publish::follow(publisher, caches.clone(), facts, converged),
        );
        let (facts, converged) = (self.facts.subscribe(), self.converged.subscribe());
        parts.start(
            "announcing problems",
            announce::follow(self.client.clone(), facts, converged),
        );
        let purge = flags.vxlan_expired_neigh_caches_clear_interval;
        let (kernel, directory) = (self.kernel.clone(), caches.directory.clone());
        parts.start(
            "the responder",
            respond(kernel, directory, self.metrics.clone(), purge),
        );
        let (kernel, directory) = (self.kernel.clone(), caches.directory.clone());
        parts.start("correcting neighbours", correct(kernel, directory));
        parts.start("the upgrade", upgrade(self.converged.subscribe()));
        let (converged, waiting_for) = (self.converged.subscribe(), self.waiting_for.clone());
        parts.start(
            "the watch over readiness",
            become_ready(caches.clone(), converged, waiting_for),
        );
    }

    fn reconcile(
        &self,
        flags: &Flags,
        settings: Settings,
        caches: &Caches,
    ) -> impl Future<Output = ()> + Send + use<> {
        let reconciler = Reconciler {
            machinery: self.kernel.clone(),
            caches: caches.clone(),
            facts: self.facts.subscribe(),
            settings,
            node: flags.node.clone(),
            converged: self.converged.clone(),
            pulse: self.pulse.clone(),
            metrics: self.metrics.clone(),
        };
        let (kernel, stopped) = (self.kernel.clone(), self.stop.subscribe());
        async move {
            let kicks = Arc::new(Notify::new());
            // These end with the reconciler.
            tokio::select! {
                () = reconciler.run(kicks.clone(), stopped) => {}
                () = hear_kernel(kernel.clone(), kicks.clone()) => {}
                () = miss_answers(kernel, kicks.clone()) => {}
                () = hear_filters(kicks.clone()) => {}
            }
        }
    }

    fn ports(&self, flags: &Flags) -> io::Result<Vec<Server>> {
        let health = Health {
            pulse: self.pulse.subscribe(),
            waiting_for: self.waiting_for.subscribe(),
            metrics: self.metrics.clone(),
        };
        health::serve(health, &flags.health_probe_addr, &flags.metrics_addr)
    }

    fn cni(&self, flags: &Flags, caches: &Caches, local_direct: u32) -> Result<Server, RunError> {
        let options = Options {
            annotate_for_felix: flags.patch_calico_pod_ips_annotation,
            update_status: flags.update_ipinstance_status,
            add_limit: server::ADD_LIMIT,
        };
        let cluster = ApiCluster {
            client: self.client.clone(),
            caches: caches.clone(),
            converged: self.converged.subscribe(),
            node: flags.node.clone(),
            settings: flags.pod_settings()?,
        };
        let host = NodeSide {
            kernel: self.kernel.clone(),
            local_direct,
        };
        let pods = Pods::new(host, &flags.proc_sys, flags.check_pod_connectivity_from_host);
        let server = CniServer::new(cluster, pods, options, CniMetrics::registered(&self.metrics));
        server::start(&flags.bind_socket, server).map_err(RunError::Listen)
    }
}

/// Parts that run for ever. When one ends, by a panic too, so does the daemon; a new one finds everything.
#[derive(Default)]
struct Parts(JoinSet<&'static str>);

impl Parts {
    fn start(&mut self, name: &'static str, part: impl Future<Output: Send> + Send + 'static) {
        self.0.spawn(async move {
            part.await;
            name
        });
    }

    async fn ended(&mut self) -> &'static str {
        match self.0.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(_)) => "a part, by a panic,",
            None => "everything",
        }
    }
}

async fn client(flags: &Flags) -> Result<Client, RunError> {
    let mut config = configuration(flags.kubeconfig.as_deref()).await?;
    // Longer than a watch lasts; a connection that died silently is noticed by it.
    config.read_timeout = Some(Duration::from_secs(150));
    Client::try_from(config).map_err(|error| RunError::Client(Box::new(error)))
}

/// Answers the kernel's questions for neighbours on the tunnel.
async fn respond(kernel: Kernel, directory: Directory, metrics: Arc<Metrics>, purge: Duration) {
    let lookup = |ip| {
        let found = directory.lookup(ip);
        let counter = if found.is_some() {
            &metrics.neighbours_answered
        } else {
            &metrics.neighbours_unknown
        };
        counter.inc();
        found
    };
    loop {
        match kernel.responder().await {
            Ok(responder) => responder.run(&lookup, purge).await,
            Err(error) => warn!(%error, "neighbours on the tunnel are not answered for, trying again"),
        }
        sleep(RESUBSCRIBE).await;
    }
}

/// An address that is given to another pod soon after its last one went is remembered behind the wrong node:
/// without this, seconds of packets would go there (datapath spec 5.3).
async fn correct(kernel: Kernel, directory: Directory) {
    loop {
        let moved = directory.arrivals().await;
        if let Err(error) = kernel.neighbours_moved(&moved).await {
            warn!(%error, "neighbours on the tunnel may be out of date for some seconds");
        }
        // Pods seldom come alone.
        sleep(GATHER).await;
    }
}

/// Kicks the reconciler when others change links, addresses, routes, rules or entries.
async fn hear_kernel(kernel: Kernel, kicks: Arc<Notify>) {
    loop {
        match kernel.events(Duration::ZERO).await {
            Ok(mut events) => {
                // What happened while nobody listened.
                kicks.notify_one();
                while events.next().await.is_some() {
                    kicks.notify_one();
                }
            }
            Err(error) => warn!(%error, "changes of the kernel are not heard, trying again"),
        }
        sleep(RESUBSCRIBE).await;
    }
}

/// Kicks the reconciler when this node answers for less than before.
async fn miss_answers(kernel: Kernel, kicks: Arc<Notify>) {
    loop {
        match kernel.answers().await {
            Ok(mut answers) => loop {
                answers.missed().await;
                kicks.notify_one();
            },
            Err(error) => warn!(%error, "what this node answers for is not watched, trying again"),
        }
        sleep(RESUBSCRIBE).await;
    }
}

/// Kicks the reconciler when others change our packet filters.
async fn hear_filters(kicks: Arc<Notify>) {
    loop {
        match firewall::events() {
            Ok(mut events) => {
                kicks.notify_one();
                while events.next().await.is_some() {
                    kicks.notify_one();
                }
            }
            Err(error) => warn!(%error, "changes of packet filters are not heard, trying again"),
        }
        sleep(RESUBSCRIBE).await;
    }
}

/// Takes away the packet filters of the Go daemon, once ours do their work.
async fn upgrade(mut converged: watch::Receiver<Option<Converged>>) {
    let complete = |now: &Option<Converged>| now.as_ref().is_some_and(|now| now.failures.is_empty());
    // An error means that the reconciler is gone, and with it the process.
    if converged.wait_for(complete).await.is_ok() {
        match tokio::task::spawn_blocking(firewall::legacy::remove).await {
            Ok(Ok(removed)) => {
                if removed.chains.len() + removed.sets.len() > 0 {
                    info!(chains = ?removed.chains, ipsets = ?removed.sets, "filters of the former daemon removed");
                }
                if let Some(advice) = removed.advice() {
                    warn!("{advice}");
                }
            }
            Ok(Err(error)) => warn!(%error, "filters of the former daemon may be left"),
            Err(error) => warn!(%error, "filters of the former daemon may be left"),
        }
    }
    std::future::pending::<()>().await;
}

/// Says what pods wait for, until they need not any more.
async fn become_ready(
    caches: Caches,
    mut converged: watch::Receiver<Option<Converged>>,
    waiting_for: watch::Sender<Option<&'static str>>,
) {
    caches.synced().await;
    waiting_for.send_replace(Some("the first pass over the kernel"));
    // An error means that the reconciler is gone, and with it the process.
    if converged.wait_for(Option::is_some).await.is_ok() {
        waiting_for.send_replace(None);
        info!("ready: the kernel holds what the API asks");
    }
    std::future::pending::<()>().await;
}
