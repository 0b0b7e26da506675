//! What an ADD asks of the cluster: the API server for the pod, the caches for its addresses, the latest plan
//! for the node's part of its network.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hybridnet_api::names::{annotation, label};
use hybridnet_api::selection::PodFamily;
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, IpInstanceStatus, pod};
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::family::{self, Fetched, NoFamily};
use super::readiness::{self, NotReady, Prepared};
use crate::pod::Sandbox;
use crate::run::reconcile::Converged;
use crate::watch::{Caches, WaitError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that died silently is given up after this.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Attempts at a status, with pauses that double: some ten seconds.
const STATUS_ATTEMPTS: u32 = 7;

/// A pod as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its UID.
    pub uid: String,
    /// The addresses that it must have.
    pub family: PodFamily,
}

/// A pod that nothing can be told of.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What the pod asks for.
    #[error(transparent)]
    Family(#[from] NoFamily),
}

/// A request to the API server that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It refused, or could not be reached.
    #[error(transparent)]
    Refused(#[from] Box<kube::Error>),
    /// It said nothing.
    #[error("the API server did not answer in time; check that this node reaches it")]
    Silent,
}

/// The cluster as an ADD sees it; [`ApiCluster`], unless a test has another.
pub trait Cluster: Send + Sync + 'static {
    /// Reads the pod. Trouble that can pass is waited out until `deadline`.
    fn pod(
        &self,
        namespace: &str,
        name: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<PodFacts, PodError>> + Send;

    /// Waits until the pod has that many addresses on this node.
    fn addresses(
        &self,
        sandbox: &Sandbox,
        uid: &str,
        expected: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Arc<IpInstance>>, WaitError>> + Send;

    /// Waits until this node can carry pods of that network with those addresses.
    fn ready(
        &self,
        network: &str,
        addresses: &[IpNetwork],
        deadline: Instant,
    ) -> impl Future<Output = Result<Prepared, NotReady>> + Send;

    /// Writes the pod's addresses where felix looks for them.
    fn annotate(
        &self,
        sandbox: &Sandbox,
        uid: &str,
        addresses: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Writes into the status of the pod's `IPInstance`s where they are in use.
    fn report(&self, sandbox: &Sandbox, uid: &str) -> impl Future<Output = ()> + Send;
}

/// The real one.
#[derive(Clone)]
pub struct ApiCluster {
    /// For the pod, its annotation, and the status of its addresses.
    pub client: Client,
    /// Copies of the rest.
    pub caches: Caches,
    /// What is in the kernel.
    pub converged: watch::Receiver<Option<Converged>>,
    /// Name of this node.
    pub node: String,
    /// How pods are read.
    pub settings: Settings,
}

impl Cluster for ApiCluster {
    async fn pod(&self, namespace: &str, name: &str, deadline: Instant) -> Result<PodFacts, PodError> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let meta = patiently(deadline, || pods.get_metadata(name)).await?.metadata;
        let family = if family::was_mutated(&meta) {
            family::written(&meta, &self.settings)?
        } else {
            self.fetch(namespace, &meta, deadline)
                .await?
                .choose(&meta, &self.settings)?
        };
        Ok(PodFacts {
            uid: meta.uid.unwrap_or_default(),
            family,
        })
    }

    async fn addresses(
        &self,
        sandbox: &Sandbox,
        uid: &str,
        expected: usize,
        deadline: Instant,
    ) -> Result<Vec<Arc<IpInstance>>, WaitError> {
        self.caches
            .own
            .wait_for(&sandbox.namespace, &sandbox.name, uid, expected, deadline)
            .await
    }

    async fn ready(
        &self,
        network: &str,
        addresses: &[IpNetwork],
        deadline: Instant,
    ) -> Result<Prepared, NotReady> {
        readiness::wait(
            &self.caches.networks,
            network,
            &self.converged,
            addresses,
            deadline,
        )
        .await
    }

    async fn annotate(
        &self,
        sandbox: &Sandbox,
        uid: &str,
        addresses: &str,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &sandbox.namespace);
        // The UID keeps a successor of the same name from being told of an address that it does not have.
        let patch = json!({"metadata": {"uid": uid, "annotations": {annotation::CALICO_POD_IPS: addresses}}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        patiently(deadline, || pods.patch_metadata(&sandbox.name, &params, &patch)).await?;
        Ok(())
    }

    async fn report(&self, sandbox: &Sandbox, uid: &str) {
        let instances = self.caches.own.of_pod(&sandbox.namespace, uid);
        let each = instances
            .iter()
            .map(|instance| self.report_one(sandbox, uid, instance.name_any()));
        futures::future::join_all(each).await;
    }
}

impl ApiCluster {
    /// The webhook was away: the manager chose by more than the pod, and so do we.
    async fn fetch(
        &self,
        namespace: &str,
        meta: &ObjectMeta,
        deadline: Instant,
    ) -> Result<Fetched<'_>, ApiError> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let found = patiently(deadline, || namespaces.get_metadata(namespace)).await?;
        let mut instances = Vec::new();
        if family::keeps_addresses(meta, &self.settings) {
            let api = Api::<IpInstance>::namespaced(self.client.clone(), namespace);
            let of_pod = pod::name_label(meta.name.as_deref().unwrap_or_default());
            let selector = ListParams::default().labels(&format!("{}={of_pod}", label::POD));
            let listed = patiently(deadline, || api.list(&selector)).await?;
            instances = listed.items.into_iter().map(Arc::new).collect();
        }
        let namespace = Arc::new(Namespace {
            metadata: found.metadata,
            ..Namespace::default()
        });
        Ok(Fetched {
            caches: &self.caches,
            namespace,
            instances,
        })
    }

    /// Each attempt is about the object as it is known by then, and only if nobody wrote it since: an address
    /// that was taken away meanwhile, or reserved for a successor, must not be said to be in use here.
    async fn report_one(&self, sandbox: &Sandbox, uid: &str, name: String) {
        let api = Api::<IpInstance>::namespaced(self.client.clone(), &sandbox.namespace);
        for attempt in 0..STATUS_ATTEMPTS {
            let instances = self.caches.own.of_pod(&sandbox.namespace, uid);
            let Some(instance) = instances.iter().find(|instance| instance.name_any() == name) else {
                return;
            };
            let status = self.status(sandbox);
            if instance.status.as_ref().is_some_and(|old| is_same(old, &status)) {
                return;
            }
            let version = &instance.metadata.resource_version;
            let patch = json!({"metadata": {"resourceVersion": version}, "status": status});
            match api
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await
            {
                Ok(_) => return,
                Err(error) if is_code(&error, 404) => return,
                Err(error) => debug!(instance = name, %error, "status not written yet"),
            }
            sleep(FIRST_PAUSE * 2_u32.pow(attempt)).await;
        }
        warn!(
            namespace = sandbox.namespace,
            instance = name,
            "status not written, given up"
        );
    }

    fn status(&self, sandbox: &Sandbox) -> IpInstanceStatus {
        IpInstanceStatus {
            node_name: self.node.clone(),
            pod_name: sandbox.name.clone(),
            pod_namespace: sandbox.namespace.clone(),
            sandbox_id: sandbox.container_id.clone(),
            update_timestamp: Some(Time(Timestamp::now())),
        }
    }
}

fn is_same(old: &IpInstanceStatus, new: &IpInstanceStatus) -> bool {
    let timeless = |status: &IpInstanceStatus| IpInstanceStatus {
        update_timestamp: None,
        ..status.clone()
    };
    timeless(old) == timeless(new)
}

/// Repeats `attempt` over trouble that can pass: a server that restarts, a connection that broke.
async fn patiently<T, F>(deadline: Instant, attempt: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = kube::Result<T>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let until = deadline.min(Instant::now() + ATTEMPT);
        let error = match timeout_at(until, attempt()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if is_final(&error) => return Err(Box::new(error).into()),
            Ok(Err(error)) => Box::new(error).into(),
            Err(_) => ApiError::Silent,
        };
        if Instant::now() + pause >= deadline {
            return Err(error);
        }
        debug!(%error, "asking the API server again");
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// What the server says about the request itself stays so.
fn is_final(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => (400..500).contains(&status.code) && !matches!(status.code, 408 | 429),
        kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => true,
        _ => false,
    }
}

fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests;
