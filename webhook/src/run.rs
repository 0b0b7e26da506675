//! One process from start to end: caches, certificate, servers, and an orderly way out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web;
use futures::future;
use hybridnet_service::client::{ConfigurationError, configuration};
use hybridnet_service::ports::Listen;
use hybridnet_service::stop;
use kube::Client;
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
    /// Nobody says where the API server is.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// No client from the configuration.
    #[error("client")]
    Client(#[source] Box<kube::Error>),
    /// rustls refused its own defaults.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
    /// A port could not be had.
    #[error(transparent)]
    Listen(io::Error),
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
    let mut stop = stop::on_signal().map_err(RunError::Signal)?;
    let config = configuration(flags.kubeconfig.as_deref()).await?;
    let client = Client::try_from(config).map_err(|error| RunError::Client(Box::new(error)))?;
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
        _ = stop.wait_for(|stop| *stop) => {}
    }
    leave(&state, &handles).await;
    Ok(())
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
    let https = Listen::on_port(flags.port).bind().map_err(RunError::Listen)?;
    let admission = https.map(|listener| server::admission(state.clone(), listener, tls));
    let servers: Vec<_> = [
        admission.transpose(),
        server::health(state.clone(), &Listen::on_port(flags.health_port)),
        server::metrics(state.clone(), &flags.metrics_bind_address),
    ]
    .into_iter()
    .filter_map(Result::transpose)
    .collect::<Result<_, _>>()
    .map_err(RunError::Listen)?;
    let handles = servers.iter().map(Server::handle).collect();
    for server in servers {
        parts.spawn(async move {
            server.await.map_err(RunError::Serve)?;
            Err(RunError::Ended("a server"))
        });
    }
    Ok(handles)
}

async fn leave(state: &State, handles: &[ServerHandle]) {
    info!("leaving");
    state.readiness.leave();
    sleep(FAREWELL).await;
    future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
    info!("all requests answered");
}
