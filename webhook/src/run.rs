//! One process from start to end: caches, certificate, servers, and an orderly way out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web;
use futures::future;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::info;

use crate::admission::Admission;
use crate::caches::{Caches, WatchEnded};
use crate::certificate::keeper::Keeper;
use crate::certificate::serving::{Serving, server_config};
use crate::certificate::watch;
use crate::flags::{FlagError, Flags};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::server::{self, State};

/// Between saying that we go and hanging up: API servers hear of it through the endpoints of the Service.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A default is no known word.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// The file of `--kubeconfig` or `KUBECONFIG`.
    #[error("client configuration")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// Neither in a cluster nor with a file.
    #[error("client configuration: give --kubeconfig outside of a cluster")]
    Infer(#[source] Box<kube::config::InferConfigError>),
    /// No client from the configuration.
    #[error("client")]
    Client(#[source] Box<kube::Error>),
    /// rustls refused its own defaults.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
    /// A port could not be bound.
    #[error("listening on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// A signal handler could not be set.
    #[error("signals")]
    Signal(#[source] io::Error),
    /// A part that never ends has ended.
    #[error("{0} ended")]
    Ended(&'static str),
    /// A server broke.
    #[error("server")]
    Serve(#[source] io::Error),
    /// A watch ended.
    #[error(transparent)]
    Watch(#[from] WatchEnded),
}

/// Runs until a signal asks to end, or something breaks.
pub async fn run(flags: Flags) -> Result<(), RunError> {
    let client = client(&flags).await?;
    let (caches, feeds) = Caches::start(&client);
    let caches = Arc::new(caches);
    let serving = Arc::new(Serving::default());
    let state = web::Data::new(State {
        admission: Admission::new(client.clone(), caches.clone(), flags.settings()?),
        metrics: Metrics::default(),
        readiness: Readiness::default(),
        serving: serving.clone(),
    });

    let mut parts = JoinSet::new();
    parts.spawn(async move {
        feeds.await;
        Err(RunError::Ended("watches"))
    });
    parts.spawn(fill(caches, state.clone()));
    let keeper = Keeper::new(client.clone(), &flags.namespace, serving);
    let namespace = flags.namespace.clone();
    parts.spawn(async move {
        watch::run(&keeper, client, &namespace).await;
        Err(RunError::Ended("certificate keeper"))
    });
    let handles = serve(&flags, &state, &mut parts)?;

    tokio::select! {
        Some(ended) = parts.join_next() => return ended.unwrap_or(Err(RunError::Ended("a task"))),
        asked = asked_to_end() => asked?,
    }
    leave(&state, &handles).await;
    Ok(())
}

async fn client(flags: &Flags) -> Result<Client, RunError> {
    let config = match &flags.kubeconfig {
        None => Config::infer()
            .await
            .map_err(|error| RunError::Infer(Box::new(error)))?,
        Some(path) => {
            let failed = |error| RunError::Kubeconfig(Box::new(error));
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(failed)?
        }
    };
    Client::try_from(config).map_err(|error| RunError::Client(Box::new(error)))
}

async fn fill(caches: Arc<Caches>, state: web::Data<State>) -> Result<(), RunError> {
    caches.filled().await?;
    state.readiness.caches_filled();
    info!("caches filled");
    future::pending().await
}

fn serve(
    flags: &Flags,
    state: &web::Data<State>,
    parts: &mut JoinSet<Result<(), RunError>>,
) -> Result<Vec<ServerHandle>, RunError> {
    let tls = server_config(state.serving.clone())?;
    let mut servers = vec![on_all_addresses(flags.port, |address| {
        server::admission(state.clone(), address, tls.clone())
    })?];
    if flags.health_port != 0 {
        servers.push(on_all_addresses(flags.health_port, |address| {
            server::health(state.clone(), address)
        })?);
    }
    if let Some(address) = flags.metrics_address() {
        let bound = server::metrics(state.clone(), address);
        servers.push(bound.map_err(|source| RunError::Bind { address, source })?);
    }
    let handles = servers.iter().map(Server::handle).collect();
    for server in servers {
        parts.spawn(async move {
            server.await.map_err(RunError::Serve)?;
            Err(RunError::Ended("a server"))
        });
    }
    Ok(handles)
}

// The unspecified IPv6 address takes IPv4 in as well, but a kernel may be without IPv6.
fn on_all_addresses(port: u16, bind: impl Fn(SocketAddr) -> io::Result<Server>) -> Result<Server, RunError> {
    let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    bind(both)
        .or_else(|_| bind(address))
        .map_err(|source| RunError::Bind { address, source })
}

async fn asked_to_end() -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn leave(state: &State, handles: &[ServerHandle]) {
    info!("leaving");
    state.readiness.leave();
    sleep(FAREWELL).await;
    future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
    info!("all requests answered");
}
