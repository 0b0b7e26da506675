//! The controller of pods: gives them addresses and takes them back (control-plane spec 4.3).
//!
//! Woken by its pod, by its addresses when they go, by Networks, Subnets, nodes and namespaces that
//! change when it has failed before, and by an address that becomes free when it waits for one.
//!
//! ```text
//!   step ──► Nothing
//!        ──► Release, Reserve, LeaveMachine ──► let the pod go
//!        ──► MakeOver ──► look again
//!        ──► Provide ──► record ──► plan (choose, want, hold) ──► write ──► settle
//!                                     ▲                             │ the name is another's
//!                                     └─────────────────────────────┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hybridnet_api::IpInstance;
use hybridnet_api::names::{finalizer, reason};
use kube::core::SelectorExt;
use tracing::{debug, info};

use crate::context::{Context, WriteError, with_finalizer, without_finalizer};
use crate::ip_instance;
use crate::pod::error::PodError;
use crate::pod::machine::Parting;
use crate::pod::plan::Account;
use crate::pod::step::{Instances, Known, Step};
use crate::pod::write::Plan;
use crate::queue::Outcome;
use crate::world::pod::Pod;
use crate::world::store::Key;

mod catalogue;
pub mod choose;
pub mod error;
pub mod machine;
pub mod object;
pub mod plan;
mod provide;
pub mod record;
pub mod retain;
pub mod settings;
pub mod step;
pub mod want;
pub mod write;

/// The controller.
#[derive(Debug)]
pub struct Pods {
    context: Context,
    /// Writes of which it is not known what the API server made of them.
    open: Mutex<HashMap<Key, Plan>>,
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
        let mut seen = self.look(&key);
        let provided = seen.as_ref().and_then(|(pod, step)| match step {
            Step::Provide(_) => Some(pod.uid()),
            _ => None,
        });
        if self.close(&key, provided).await? {
            seen = self.look(&key);
        }
        let Some((pod, step)) = seen else {
            return Ok(Outcome::Done);
        };
        match self.take(&key, &pod, step).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => self.failed(&key, &pod, error),
        }
    }

    fn look(&self, key: &Key) -> Option<(Arc<Pod>, Step)> {
        self.context.world.with(|state| {
            let pod = state.pod(key).filter(|pod| self.is_ours(pod))?;
            let known = Known {
                pod: &pod,
                instances: &state.instances_of(key),
                settings: &self.context.settings.reading,
            };
            let step = known.step();
            Some((pod, step))
        })
    }

    /// Whether the pod is selected, or was: what we hold we let go of.
    fn is_ours(&self, pod: &Pod) -> bool {
        let selector = &self.context.settings.selector;
        let held = pod.is_terminating() && pod.has_finalizer();
        held || selector.selects_all() || selector.matches(&pod.metadata.labels.clone().unwrap_or_default())
    }

    async fn take(&self, key: &Key, pod: &Arc<Pod>, step: Step) -> Result<Outcome, PodError> {
        match step {
            Step::Nothing => {}
            Step::LetGo => self.let_go(key, pod).await?,
            Step::Release(instances) => {
                self.release(pod, &instances).await?;
                self.let_go(key, pod).await?;
            }
            Step::Reserve(instances) => self.reserve(key, pod, &instances).await?,
            Step::LeaveMachine(instances) => self.leave_machine(key, pod, &instances).await?,
            Step::MakeOver(instances) => {
                self.make_over(key, pod, &instances).await?;
                return Ok(Outcome::After(Duration::ZERO));
            }
            Step::Provide(holdings) => self.provide(key, pod, &holdings).await?,
        }
        Ok(Outcome::Done)
    }

    fn failed(&self, key: &Key, pod: &Pod, error: PodError) -> Result<Outcome, PodError> {
        if error.is_change() {
            debug!(pod = %key, %error, "looking again");
            return Ok(Outcome::Failed);
        }
        if let PodError::MachineRuns { network, .. } = &error {
            self.context
                .world
                .with(|state| state.wait_for(network, key.clone()));
        }
        let note = error.to_string();
        let announcer = &self.context.announcer;
        announcer.warning(pod, reason::IP_ALLOCATION_FAIL, note);
        if error.is_wait() {
            // The event says it once; here it would be said for each address that comes back to a full pool.
            debug!(pod = %key, %error, "no address");
            return Ok(Outcome::Failed);
        }
        Err(error)
    }

    /// Another pod may have taken up meanwhile what this one is rid of: only what is as it was seen goes.
    async fn release(&self, pod: &Pod, instances: &Instances) -> Result<(), PodError> {
        for instance in instances {
            if !ip_instance::delete_unchanged(&self.context, instance).await? {
                return Err(PodError::Outdated(Key::of(instance.as_ref())));
            }
        }
        let note = format!("released {}", listed(instances));
        let announcer = &self.context.announcer;
        announcer.normal(pod, reason::IP_RELEASE_SUCCEED, note);
        Ok(())
    }

    async fn reserve(&self, key: &Key, pod: &Pod, instances: &Instances) -> Result<(), WriteError> {
        retain::reserve(&self.context, instances).await?;
        let note = format!("reserved {}", listed(instances));
        let announcer = &self.context.announcer;
        announcer.normal(pod, reason::IP_RESERVE_SUCCEED, note);
        self.let_go(key, pod).await
    }

    async fn leave_machine(&self, key: &Key, pod: &Pod, instances: &Instances) -> Result<(), PodError> {
        match machine::parting(&self.context, key, pod, instances).await? {
            Parting::Stays => return Ok(self.reserve(key, pod, instances).await?),
            Parting::NoMachine if pod.is_evicted() || pod.is_completed() => {
                self.release(pod, instances).await?;
            }
            // The garbage collector deletes the addresses with their owner.
            Parting::NoMachine | Parting::Going => {}
        }
        Ok(self.let_go(key, pod).await?)
    }

    async fn make_over(&self, key: &Key, pod: &Pod, instances: &Instances) -> Result<(), WriteError> {
        let owner = Account::Workload.owner(pod);
        if let Some(patch) = with_finalizer(pod, finalizer::IP_ALLOCATED) {
            let api = self.context.in_namespace::<Pod>(&key.namespace);
            self.context.patch(&api, key, &patch).await?;
        }
        info!(pod = %key, owner = owner.reference.name, addresses = listed(instances), "owner changed");
        retain::make_over(&self.context, pod, &owner, instances).await
    }

    async fn let_go(&self, key: &Key, pod: &Pod) -> Result<(), WriteError> {
        let Some(patch) = without_finalizer(pod, finalizer::IP_ALLOCATED) else {
            return Ok(());
        };
        let api = self.context.in_namespace::<Pod>(&key.namespace);
        self.context.patch(&api, key, &patch).await
    }
}

/// The addresses of objects, without prefix lengths.
fn listed(instances: &[Arc<IpInstance>]) -> String {
    let addresses = instances.iter().filter_map(|instance| instance.spec.ip());
    let texts: Vec<_> = addresses.map(|ip| ip.to_string()).collect();
    texts.join(", ")
}
