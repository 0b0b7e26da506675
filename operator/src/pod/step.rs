//! What is to be done about a pod, from what is known about it (control-plane spec 4.3.1).

use std::sync::Arc;

use hybridnet_api::names::annotation;
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, pod};
use hybridnet_service::kubevirt::{MACHINE, instance_of};
use kube::Resource;

use crate::world::pod::Pod;

/// The `IPInstance`s of a pod.
pub type Instances = Vec<Arc<IpInstance>>;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Until something changes.
    Nothing,
    /// Delete the objects: the pod will not run again. Then let the pod go.
    Release(Instances),
    /// Keep the objects for a successor. Then let the pod go.
    Reserve(Instances),
    /// Keep the objects for the next pod of the virtual machine, if that is still there. Then let the pod go.
    LeaveMachine(Instances),
    /// Take our finalizer away.
    LetGo,
    /// Make the objects over to the workload that controls the pod now.
    MakeOver(Instances),
    /// Give the pod what it lacks.
    Provide(Holdings),
}

/// What a pod that needs addresses has already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// Bound to this very pod.
    pub bound: Instances,
    /// Kept for it by its predecessor.
    pub kept: Instances,
}

/// What the step follows from.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// All objects that carry its name.
    pub instances: &'a [Arc<IpInstance>],
    /// How pods are read.
    pub settings: &'a Settings,
}

/// Whom the addresses of a pod outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Nobody: they end with the pod.
    Plain,
    /// The pods of a stateful workload.
    Stateful,
    /// The pods of a virtual machine.
    Machine,
    /// The pod, which was one of the two above when it got them.
    Former,
}

impl Known<'_> {
    /// The next thing to do.
    pub fn step(&self) -> Step {
        let pod = self.pod;
        if pod.spec.host_network {
            return Step::Nothing;
        }
        if is_leaving(pod) {
            return self.leaving();
        }
        let holdings = self.holdings();
        let strays = self.strays(&holdings.bound);
        if !strays.is_empty() {
            return Step::MakeOver(strays);
        }
        if pod.spec.node_name.is_empty() || is_set_up(pod, &holdings.bound) {
            return Step::Nothing;
        }
        Step::Provide(holdings)
    }

    fn leaving(&self) -> Step {
        let (pod, bound) = (self.pod, self.holdings().bound);
        let class = self.class(&bound);
        // A pod that is only on its way out keeps its addresses until it is gone: its containers may run.
        let ended = pod.is_evicted() || pod.is_completed();
        match class {
            Class::Plain if ended && !bound.is_empty() => Step::Release(bound),
            _ if pod.runs() => Step::Nothing,
            Class::Plain => self.let_go(),
            _ if bound.is_empty() => self.let_go(),
            Class::Stateful if !keeps(pod, self.settings) => Step::Release(bound),
            // Of a former one too: whoever takes a flag away by mistake must not lose addresses by it.
            Class::Stateful | Class::Former => Step::Reserve(bound),
            Class::Machine => Step::LeaveMachine(bound),
        }
    }

    fn let_go(&self) -> Step {
        if self.pod.has_finalizer() {
            Step::LetGo
        } else {
            Step::Nothing
        }
    }

    /// An orphan is known by the owner of its addresses.
    fn class(&self, bound: &Instances) -> Class {
        let meta = &self.pod.metadata;
        let kinds = &self.settings.stateful_workload_kinds;
        let machines = self.settings.gates.vm_ip_retain;
        let owners = || bound.iter().map(|instance| owner_kind(instance));
        let is_stateful = |kind: &str| kinds.iter().any(|one| one == kind);
        if pod::controller_of(meta).is_some() {
            if pod::is_stateful(meta, self.settings) {
                return Class::Stateful;
            }
            // An instance of no machine leaves the addresses to its pods.
            let own = bound.iter().all(|instance| is_of_plain_pod(instance));
            if machines && instance_of(meta).is_some() && !own {
                return Class::Machine;
            }
        } else if owners().any(is_stateful) {
            return Class::Stateful;
        } else if machines && owners().any(|kind| kind == MACHINE) {
            return Class::Machine;
        }
        if owners().all(|kind| matches!(kind, "Pod" | "")) {
            Class::Plain
        } else {
            Class::Former
        }
    }

    /// What the pod of a stateful workload has and another owner holds: the workload that was deleted
    /// without its pods, or the pod itself, from before it was taken in.
    fn strays(&self, bound: &Instances) -> Instances {
        let meta = &self.pod.metadata;
        let Some(controller) = pod::controller_of(meta).filter(|_| pod::is_stateful(meta, self.settings))
        else {
            return vec![];
        };
        let is_its = |instance: &Arc<IpInstance>| {
            let owner = pod::controller_of(instance.meta());
            let binding = instance.spec.binding.as_ref();
            // Old objects do not say the UID in their binding.
            let referred = binding.map(|binding| binding.referred_object.uid.as_str());
            owner.is_some_and(|owner| owner.uid == controller.uid)
                && referred.is_some_and(|uid| uid.is_empty() || uid == controller.uid)
        };
        bound
            .iter()
            .filter(|instance| !is_its(instance))
            .cloned()
            .collect()
    }

    fn holdings(&self) -> Holdings {
        Holdings::of(self.pod, self.instances)
    }
}

impl Holdings {
    /// Of these objects, those that are not being deleted.
    pub fn of(pod: &Pod, instances: &[Arc<IpInstance>]) -> Self {
        let live = instances
            .iter()
            .filter(|instance| instance.meta().deletion_timestamp.is_none());
        let (bound, kept) = live.cloned().partition(|instance| is_bound_to(instance, pod));
        Self { bound, kept }
    }
}

/// Whether a stateful pod's addresses are kept for its successor. A pool says so whatever `ip-retain` says.
pub fn keeps(of: &Pod, settings: &Settings) -> bool {
    pod::annotation(&of.metadata, annotation::IP_POOL).is_some() || pod::retains(&of.metadata, settings)
}

/// Whether the address is bound to this very pod.
pub fn is_bound_to(instance: &IpInstance, pod: &Pod) -> bool {
    let binding = instance.spec.binding.as_ref();
    binding.is_some_and(|binding| !binding.pod_uid.is_empty() && binding.pod_uid == pod.uid())
}

/// Whether the pod will not need addresses for long.
pub fn is_leaving(pod: &Pod) -> bool {
    pod.is_terminating() || pod.is_evicted() || pod.is_completed()
}

/// Whether the address ends with the pod that it was made for.
pub fn is_of_plain_pod(instance: &IpInstance) -> bool {
    owner_kind(instance) == "Pod"
}

/// Kind of the owner of an address. The garbage collector takes the reference from what it orphans.
fn owner_kind(instance: &IpInstance) -> &str {
    let owner = pod::controller_of(instance.meta()).map(|owner| owner.kind.as_str());
    let binding = instance.spec.binding.as_ref();
    owner
        .or_else(|| binding.map(|binding| binding.referred_object.kind.as_str()))
        .unwrap_or_default()
}

/// Whether the pod's network has been made: what it lacks now it would not get.
fn is_set_up(pod: &Pod, bound: &[Arc<IpInstance>]) -> bool {
    let seen = |instance: &Arc<IpInstance>| {
        let status = instance.status.as_ref();
        status.is_some_and(|status| !status.sandbox_id.is_empty())
    };
    !bound.is_empty() && (!pod.status.pod_ip.is_empty() || bound.iter().any(seen))
}

#[cfg(test)]
mod tests;
