//! The controller of pods: gives them addresses and takes them back (control-plane spec 4.3).
//!
//! Woken by its pod, by its addresses when they go, by Networks, Subnets, nodes and namespaces that
//! change when it has failed before, and by an address that becomes free when it waits for one.
//!
//! ```text
//!   step ──► Nothing
//!        ──► Release, Reserve ──► let the pod go
//!        ──► Provide ──► choose (network, families) ──► reserve ──► write ──► settle
//!                                                          ▲          │ the name is another's
//!                                                          └──────────┘
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hybridnet_api::IpInstance;
use hybridnet_api::names::{annotation as key, finalizer, reason};
use hybridnet_api::pod::{annotation, controller_of, is_stateful, ordinal};
use hybridnet_api::pool::ip_entry;
use hybridnet_api::selection::preferred;
use kube::ResourceExt;
use kube::core::SelectorExt;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::context::{Context, WriteError, with_finalizer, without_finalizer};
use crate::ip_instance;
use crate::metrics::AllocateType;
use crate::pod::allocate::ATTEMPTS;
use crate::pod::choose::ChoiceError;
use crate::pod::object::Owner;
use crate::pod::step::{Holdings, Instances, Known, Step, keeps};
use crate::pod::write::Plan;
use crate::queue::Outcome;
use crate::world::pod::Pod;
use crate::world::store::Key;

mod allocate;
pub mod choose;
pub mod object;
pub mod retain;
pub mod settings;
pub mod step;
pub mod write;

/// The controller.
#[derive(Debug)]
pub struct Pods {
    context: Context,
    /// Allocations of which it is not known what the API server made of them.
    open: Mutex<HashMap<Key, Plan>>,
}

/// Why a pod has no addresses yet.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// It asks for what does not exist or does not go together.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// There is nothing to give.
    #[error(transparent)]
    Addresses(#[from] hybridnet_ipam::Error),
    /// The API server did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Words that this release knows and does not follow yet.
    #[error(
        "annotation {0} asks for particular addresses, which this release gives only to a pod that has them \
         already: remove the annotation"
    )]
    Unsupported(&'static str),
    /// The allocator offers what others have.
    #[error("{ATTEMPTS} addresses in a row belonged to others: look at the IPInstances of network {0}")]
    Taken(String),
}

impl Pods {
    /// For this manager.
    pub fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            open: Mutex::default(),
        }
    }

    /// Looks at one pod.
    pub async fn reconcile(self: Arc<Self>, key: Key) -> Result<Outcome, PodError> {
        let seen = self.context.world.with(|state| {
            let pod = state.pods.get(&key)?.clone();
            let step = self.known_step(&pod, &state.instances_of(&key));
            Some((pod, step))
        });
        let seen = seen.filter(|(pod, _)| self.is_ours(pod));
        self.close_former(&key, seen.as_ref().map(|(pod, _)| pod.uid()))
            .await?;
        let Some((pod, step)) = seen else {
            return Ok(Outcome::Done);
        };
        let Err(error) = self.take(&key, &pod, step).await else {
            return Ok(Outcome::Done);
        };
        if matches!(&error, PodError::Write(error) if error.is_conflict()) {
            // Somebody changed the object meanwhile. That is no failure of the pod's.
            debug!(pod = %key, %error, "looking again");
            return Ok(Outcome::Failed);
        }
        let note = error.to_string();
        self.context
            .announcer
            .warning(pod.as_ref(), reason::IP_ALLOCATION_FAIL, note);
        match error {
            // Nothing is broken: an address that becomes free wakes the pod.
            PodError::Addresses(error) => {
                info!(pod = %key, %error, "no address");
                Ok(Outcome::Failed)
            }
            error => Err(error),
        }
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        let selector = &self.context.settings.selector;
        selector.selects_all() || selector.matches(&pod.metadata.labels.clone().unwrap_or_default())
    }

    fn known_step(&self, pod: &Pod, instances: &[Arc<IpInstance>]) -> Step {
        let settings = &self.context.settings.reading;
        Known {
            pod,
            instances,
            settings,
        }
        .step()
    }

    async fn take(&self, key: &Key, pod: &Arc<Pod>, step: Step) -> Result<(), PodError> {
        match step {
            Step::Nothing => Ok(()),
            Step::LetGo => Ok(self.let_go(key, pod).await?),
            Step::Release(instances) => {
                self.release(pod, &instances).await?;
                Ok(self.let_go(key, pod).await?)
            }
            Step::Reserve(instances) => {
                retain::reserve(&self.context, &instances).await?;
                let note = format!("reserved {}", listed(&instances));
                self.context
                    .announcer
                    .normal(pod.as_ref(), reason::IP_RESERVE_SUCCEED, note);
                Ok(self.let_go(key, pod).await?)
            }
            Step::Provide(holdings) => self.provide(key, pod, holdings).await,
        }
    }

    async fn release(&self, pod: &Arc<Pod>, instances: &Instances) -> Result<(), WriteError> {
        for instance in instances {
            ip_instance::delete(&self.context, instance).await?;
        }
        let note = format!("released {}", listed(instances));
        self.context
            .announcer
            .normal(pod.as_ref(), reason::IP_RELEASE_SUCCEED, note);
        Ok(())
    }

    async fn let_go(&self, key: &Key, pod: &Pod) -> Result<(), WriteError> {
        let Some(patch) = without_finalizer(pod, finalizer::IP_ALLOCATED) else {
            return Ok(());
        };
        let api = self.context.in_namespace::<Pod>(&key.namespace);
        self.context.patch(&api, key, &patch).await
    }

    async fn provide(&self, key: &Key, pod: &Arc<Pod>, holdings: Holdings) -> Result<(), PodError> {
        let started = Instant::now();
        let stateful = self.stateful(pod);
        if let Some(patch) = with_finalizer(pod.as_ref(), finalizer::IP_ALLOCATED).filter(|_| stateful) {
            let api = self.context.in_namespace::<Pod>(&key.namespace);
            self.context.patch(&api, key, &patch).await?;
        }
        if stateful {
            if let Some(key) = unsupported(pod, &holdings) {
                return Err(PodError::Unsupported(key));
            }
            if !holdings.kept.is_empty() {
                return self.take_up_again(pod, &holdings).await;
            }
        }
        let provided = self.allocate(key, pod, &holdings.bound).await;
        if !matches!(provided, Ok(None)) {
            let success = provided.is_ok();
            self.context
                .metrics
                .allocation(AllocateType::Normal, success, started.elapsed());
        }
        if let Some(plan) = provided? {
            let note = format!("allocated {plan}");
            info!(pod = %key, node = pod.spec.node_name, addresses = plan, "addresses given");
            self.context
                .announcer
                .normal(pod.as_ref(), reason::IP_ALLOCATION_SUCCEED, note);
        }
        Ok(())
    }

    /// The addresses that a predecessor had: the same objects, bound to this pod. What is more than one of
    /// a family is a left-over.
    async fn take_up_again(&self, pod: &Arc<Pod>, holdings: &Holdings) -> Result<(), PodError> {
        let started = Instant::now();
        if !keeps(pod, &self.context.settings.reading) {
            // They go first; once they are gone, the pod is looked at again and gets new ones.
            return Ok(self.release(pod, &holdings.kept).await?);
        }
        let all: Vec<_> = holdings.bound.iter().chain(&holdings.kept).cloned().collect();
        let wanted = preferred(&all);
        let (kept, left): (Vec<_>, Vec<_>) = holdings
            .kept
            .iter()
            .cloned()
            .partition(|one| wanted.contains(one));
        let bound = retain::bind(&self.context, pod, &self.owner(pod), &kept).await;
        let took = started.elapsed();
        self.context
            .metrics
            .allocation(AllocateType::Stateful, bound.is_ok(), took);
        bound?;
        if !left.is_empty() {
            self.release(pod, &left).await?;
        }
        let note = format!("kept {}", listed(&wanted));
        self.context
            .announcer
            .normal(pod.as_ref(), reason::IP_ALLOCATION_SUCCEED, note);
        Ok(())
    }

    fn owner(&self, pod: &Pod) -> Owner {
        match controller_of(&pod.metadata) {
            Some(controller) if self.stateful(pod) => Owner::workload(pod, controller),
            _ => Owner::pod(pod),
        }
    }

    fn stateful(&self, pod: &Pod) -> bool {
        is_stateful(&pod.metadata, &self.context.settings.reading)
    }
}

/// The addresses of objects, without prefix lengths.
fn listed(instances: &[Arc<IpInstance>]) -> String {
    let addresses = instances.iter().filter_map(|instance| instance.spec.ip());
    let texts: Vec<_> = addresses.map(|ip| ip.to_string()).collect();
    texts.join(", ")
}

/// The annotation that asks for an address or a MAC which the pod does not have.
fn unsupported(pod: &Pod, holdings: &Holdings) -> Option<&'static str> {
    let all = || holdings.bound.iter().chain(&holdings.kept);
    if let Some(pool) = annotation(&pod.metadata, key::IP_POOL) {
        let wanted = ip_entry(pool, ordinal(&pod.name_any())).unwrap_or_default();
        let has = |ip: &IpAddr| all().any(|instance| instance.spec.ip() == Some(*ip));
        return (wanted.is_empty() || !wanted.iter().all(has)).then_some(key::IP_POOL);
    }
    let asks_for_mac = annotation(&pod.metadata, key::MAC_POOL).is_some();
    (asks_for_mac && all().next().is_none()).then_some(key::MAC_POOL)
}
