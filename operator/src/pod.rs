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
use std::sync::{Arc, Mutex, PoisonError};

use hybridnet_api::names::{finalizer, reason};
use hybridnet_api::pod::{controller_of, is_stateful, retains};
use hybridnet_api::selection::preferred;
use hybridnet_api::{IpInstance, mac};
use hybridnet_ipam::{Claimant, Families, Family, Request};
use kube::ResourceExt;
use kube::core::SelectorExt;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::context::{Context, WriteError, with_finalizer, without_finalizer};
use crate::ip_instance;
use crate::metrics::AllocateType;
use crate::pod::choose::{Choice, ChoiceError};
use crate::pod::object::Owner;
use crate::pod::step::{Holdings, Instances, Known, Step};
use crate::pod::write::{Fate, Plan};
use crate::queue::Outcome;
use crate::world::State;
use crate::world::pod::Pod;
use crate::world::store::Key;

pub mod choose;
pub mod object;
pub mod retain;
pub mod settings;
pub mod step;
pub mod write;

/// Names that are another's are rare; so many at once mean that the allocator is wrong.
const ATTEMPTS: usize = 8;

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
        if stateful && !holdings.kept.is_empty() {
            return self.take_up_again(pod, &holdings).await;
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
        if !retains(&pod.metadata, &self.context.settings.reading) {
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

    /// Gives the pod what it lacks. Gives the new addresses as a text; nothing when it lacks nothing.
    async fn allocate(
        &self,
        key: &Key,
        pod: &Arc<Pod>,
        bound: &Instances,
    ) -> Result<Option<String>, PodError> {
        let mut network = String::new();
        for _ in 0..ATTEMPTS {
            let open = self.open().remove(key);
            let planned = match open {
                Some(plan) => Some(plan),
                None => self
                    .context
                    .world
                    .with(|state| self.plan(state, key, pod, bound))?,
            };
            let Some(mut plan) = planned else {
                return Ok(None);
            };
            network = plan.network();
            if let Err(error) = plan.write(&self.context).await {
                // Tried again with the same addresses, until it is known what became of them.
                self.open().insert(key.clone(), plan);
                return Err(error.into());
            }
            if let Some(addresses) = self.conclude(plan).await? {
                return Ok(Some(addresses));
            }
        }
        Err(PodError::Taken(network))
    }

    /// Ends an allocation of which everything is known: with its addresses, with the reason why there are
    /// none, or with nothing when others must be tried.
    async fn conclude(&self, plan: Plan) -> Result<Option<String>, PodError> {
        let written = plan.written();
        let whole = written.len() == plan.objects.len();
        let addresses = plan.to_string();
        let keys = plan.written_keys();
        let mut refused = None;
        for planned in plan.objects {
            if let Fate::Refused(error) = planned.fate {
                refused = Some(error);
            }
        }
        self.context.world.settle(plan.reservation, &written);
        if whole {
            return Ok(Some(addresses));
        }
        // All or nothing. What is left is known by its pod, should this not succeed.
        for key in keys {
            let instance = self
                .context
                .world
                .with(|state| state.ip_instances.get(&key).cloned());
            if let Some(instance) = instance {
                ip_instance::delete(&self.context, &instance).await?;
            }
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        warn!(addresses, "an address belongs to another, choosing again");
        Ok(None)
    }

    /// Chooses and holds addresses for what the pod lacks, under the lock of the world.
    fn plan(
        &self,
        state: &mut State,
        key: &Key,
        pod: &Pod,
        bound: &Instances,
    ) -> Result<Option<Plan>, PodError> {
        let choice = choose::choose(state, pod, &self.context.settings.reading)?;
        let Some(request) = request(&choice, pod, bound) else {
            return Ok(None);
        };
        let reservation = match state.addresses.allocate(&request) {
            Ok(reservation) => reservation,
            Err(error) => {
                if is_exhausted(&error) {
                    self.context.metrics.pool_exhausted(&request.network);
                }
                state.wait_for(&request.network, key.clone());
                return Err(error.into());
            }
        };
        let owner = self.owner(pod);
        let mac = bound.first().map(|instance| instance.spec.address.mac.clone());
        let mac = mac.unwrap_or_else(|| new_mac(|mac| state.index.has_mac(mac)));
        let addresses = reservation.addresses().iter();
        let objects = addresses
            .map(|address| object::new(pod, &owner, address, &mac))
            .collect();
        Ok(Some(Plan::new(pod.uid(), reservation, objects)))
    }

    /// Finds out what became of an allocation for a pod that is gone, or not the same any more.
    async fn close_former(&self, key: &Key, uid: Option<&str>) -> Result<(), PodError> {
        let former = {
            let mut open = self.open();
            let is_former = open.get(key).is_some_and(|plan| Some(plan.uid.as_str()) != uid);
            if is_former { open.remove(key) } else { None }
        };
        let Some(mut plan) = former else {
            return Ok(());
        };
        if let Err(error) = plan.find(&self.context).await {
            self.open().insert(key.clone(), plan);
            return Err(error.into());
        }
        let written = plan.written();
        self.context.world.settle(plan.reservation, &written);
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

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Plan>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pod lacks of its choice; nothing when it has it all.
fn request(choice: &Choice, pod: &Pod, bound: &[Arc<IpInstance>]) -> Option<Request> {
    let has = |family: &Family| {
        let mut addresses = bound.iter().filter_map(|instance| instance.spec.ip());
        addresses.any(|ip| Family::of(ip) == *family)
    };
    let wanted = choice.families.families();
    let missing: Vec<Family> = wanted.iter().copied().filter(|family| !has(family)).collect();
    let families = match missing.as_slice() {
        [] => return None,
        [Family::V4] => Families::Ipv4Only,
        [Family::V6] => Families::Ipv6Only,
        _ => Families::DualStack,
    };
    let subnets = if choice.subnets.len() == wanted.len() {
        let pairs = choice.subnets.iter().zip(wanted);
        pairs
            .filter(|(_, family)| missing.contains(family))
            .map(|(subnet, _)| subnet.clone())
            .collect()
    } else {
        choice.subnets.clone()
    };
    let network = bound
        .first()
        .map_or(&choice.network, |instance| &instance.spec.network);
    Some(Request {
        network: network.clone(),
        families,
        subnets,
        claimant: Claimant {
            namespace: pod.namespace().unwrap_or_default(),
            pod: pod.name_any(),
            pod_uid: pod.uid().to_owned(),
        },
    })
}

fn is_exhausted(error: &hybridnet_ipam::Error) -> bool {
    use hybridnet_ipam::Error::{NoAddressAvailable, NoSubnetAvailable};
    matches!(error, NoAddressAvailable { .. } | NoSubnetAvailable { .. })
}

/// A MAC that `is_taken` does not know: two pods of a network must not share one.
fn new_mac(is_taken: impl Fn(&str) -> bool) -> String {
    loop {
        let mac = mac::generate(rand::random());
        if !is_taken(&mac) {
            return mac;
        }
    }
}

/// The addresses of objects, without prefix lengths.
fn listed(instances: &[Arc<IpInstance>]) -> String {
    let addresses = instances.iter().filter_map(|instance| instance.spec.ip());
    let texts: Vec<_> = addresses.map(|ip| ip.to_string()).collect();
    texts.join(", ")
}
