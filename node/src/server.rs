//! The CNI server: the plugin's requests on a unix socket (datapath spec 2.3). It decides what a pod gets from
//! what the caches say, and has [`crate::pod`] make it.
//!
//! ```text
//! plugin --POST--> add: pod (API) -> addresses (watch) -> ready (plan in place) -> set_up (kernel) -> answer
//!                  del: take_down (kernel) -> answer
//! ```

mod add;
mod answer;
mod cluster;
mod endpoint;
mod family;
mod metrics;
mod readiness;
mod refusal;
mod socket;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hybridnet_api::cni::PodRequest;
use hybridnet_api::pod::host_link_name;
use tracing::{info, warn};

pub use answer::serve;
pub use cluster::{ApiCluster, ApiError, Cluster, PodError, PodFacts};
pub use endpoint::BadInstances;
pub use family::NoFamily;
pub use metrics::CniMetrics;
pub use readiness::{NotReady, Prepared};
pub use refusal::Refusal;
pub use socket::bind;

use crate::pod::{Busy, PodNetwork, Sandbox};

/// How long an ADD waits for an address and for the node to be ready, together. The kubelet's limit for a
/// request to the runtime is two minutes by default (it doubles it for sandboxes, but others do not); less
/// five seconds for the set-up and five for the answer to be told.
pub const ADD_LIMIT: Duration = Duration::from_secs(110);

/// Flags that concern requests.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `--patch-calico-pod-ips-annotation`.
    pub annotate_for_felix: bool,
    /// `--update-ipinstance-status`.
    pub update_status: bool,
    /// See [`ADD_LIMIT`].
    pub add_limit: Duration,
}

/// Everything that requests need. `C` knows the cluster, `N` makes networks.
#[derive(Debug)]
pub struct CniServer<C, N> {
    cluster: C,
    network: N,
    options: Options,
    metrics: CniMetrics,
    busy: Busy,
}

impl<C: Cluster, N: PodNetwork> CniServer<C, N> {
    /// A server that serves nobody yet; see [`serve`].
    pub fn new(cluster: C, network: N, options: Options, metrics: CniMetrics) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            network,
            options,
            metrics,
            busy: Busy::default(),
        })
    }

    /// Takes a pod's network down. Needs no API server; what is gone is taken down already.
    async fn del(&self, request: &PodRequest) -> Result<(), Refusal> {
        let sandbox = sandbox(request);
        let _turn = self.busy.turn(turn_of(&sandbox)).await;
        let outcome = self.network.take_down(&sandbox).await;
        self.metrics.count("del", outcome.is_ok());
        let PodRequest {
            pod_namespace: namespace,
            pod_name: pod,
            container_id: sandbox,
            ..
        } = request;
        match outcome {
            Ok(()) => {
                info!(namespace, pod, sandbox, "pod taken down");
                Ok(())
            }
            Err(source) => {
                warn!(namespace, pod, sandbox, error = %source, "pod not taken down");
                Err(Refusal::TakeDown {
                    namespace: namespace.clone(),
                    pod: pod.clone(),
                    source,
                })
            }
        }
    }
}

fn sandbox(request: &PodRequest) -> Sandbox {
    let (namespace, name) = (request.pod_namespace.clone(), request.pod_name.clone());
    Sandbox {
        host_link: if name.is_empty() {
            String::new()
        } else {
            host_link_name(&namespace, &name)
        },
        namespace,
        name,
        container_id: request.container_id.clone(),
        netns: request.net_ns.clone().into(),
    }
}

/// Sandboxes of one pod share the name of the link; a DEL without a pod's name concerns a namespace only.
fn turn_of(sandbox: &Sandbox) -> &str {
    if sandbox.host_link.is_empty() {
        sandbox.netns.to_str().unwrap_or_default()
    } else {
        &sandbox.host_link
    }
}

/// Listens on `path` and serves until the returned server is stopped.
pub fn start<C: Cluster, N: PodNetwork>(
    path: &Path,
    server: Arc<CniServer<C, N>>,
) -> io::Result<actix_web::dev::Server> {
    let listener: UnixListener = bind(path)?;
    info!(socket = %path.display(), "CNI server listens");
    serve(listener, server)
}
