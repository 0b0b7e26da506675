//! What is out of place in the world: a pure look at a [`Snapshot`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hybridnet_api::IpInstance;
use hybridnet_api::names::finalizer;
use hybridnet_api::pod::ordinal;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;

use crate::collector::finding::{Finding, Kind, Repair, Subject, Wait};
use crate::collector::snapshot::Snapshot;
use crate::workload::{Workload, WorkloadRef};
use crate::world::addresses::unrecorded::Unrecorded;
use crate::world::pod::Pod;

/// Whom an address depends on.
enum Standing {
    /// On a pod that is there, or on nobody that could be asked.
    Settled,
    /// On a plain pod, which is not there.
    PodGone,
    /// On a workload: no pod has it.
    Idle(WorkloadRef),
}

/// The workloads that decide about addresses which no pod has.
pub fn owners(world: &Snapshot) -> Vec<WorkloadRef> {
    let idle = world
        .instances
        .iter()
        .filter_map(|instance| match standing(world, instance) {
            Standing::Idle(owner) => Some(owner),
            Standing::Settled | Standing::PodGone => None,
        });
    idle.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Everything that is out of place.
pub fn findings(
    world: &Snapshot,
    workloads: &BTreeMap<WorkloadRef, Workload>,
    now: Timestamp,
) -> Vec<Finding> {
    let instances = world
        .instances
        .iter()
        .filter_map(|instance| match standing(world, instance) {
            Standing::Settled => unheld(instance),
            Standing::PodGone => Some(orphaned(world, instance)),
            Standing::Idle(owner) => workloads
                .get(&owner)
                .and_then(|workload| idle(instance, &owner, workload, now))
                .or_else(|| unheld(instance)),
        });
    let pods = world.pods.values().filter_map(|pod| stranded(world, pod));
    let memory = world.unrecorded.iter().filter_map(|lost| unrecorded(world, lost));
    instances.chain(pods).chain(memory).collect()
}

fn standing(world: &Snapshot, instance: &IpInstance) -> Standing {
    let Some(binding) = instance
        .spec
        .binding
        .as_ref()
        .filter(|_| !is_terminating(instance))
    else {
        return Standing::Settled;
    };
    let referred = &binding.referred_object;
    let namespace = instance.metadata.namespace.as_deref().unwrap_or_default();
    if referred.kind == "Pod" {
        // Written by hand, it may lack half of this.
        let name = first_of(&binding.pod_name, &referred.name);
        let uid = first_of(&binding.pod_uid, &referred.uid);
        let there = world.pod(namespace, name).is_some_and(|pod| pod.uid() == uid);
        return if there || uid.is_empty() {
            Standing::Settled
        } else {
            Standing::PodGone
        };
    }
    // A pod of the name that is another one is about to take the address up.
    if referred.kind.is_empty() || world.pod(namespace, &binding.pod_name).is_some() {
        return Standing::Settled;
    }
    WorkloadRef::of_instance(instance).map_or(Standing::Settled, Standing::Idle)
}

/// What an address that no pod has lacks in its workload; nothing when it waits in order.
pub fn idle(
    instance: &Arc<IpInstance>,
    owner: &WorkloadRef,
    workload: &Workload,
    now: Timestamp,
) -> Option<Finding> {
    let case = |kind, repair, wait, note| {
        Some(Finding {
            kind,
            subject: Subject::Instance(instance.clone()),
            repair,
            wait,
            owner: Some(owner.clone()),
            note,
        })
    };
    let binding = instance.spec.binding.clone().unwrap_or_default();
    let ordinal = binding.stateful.as_ref().and_then(|stateful| stateful.index);
    let wanted = workload.wants(ordinal.unwrap_or_else(|| self::ordinal(&binding.pod_name)).into());
    let gone = || {
        let note = format!("deleted: {owner}, which it belongs to, is gone");
        case(Kind::WorkloadGone, Repair::Delete, Wait::Grace, note)
    };
    match workload {
        Workload::Gone => gone(),
        // Made anew under its name, it takes up what its pods need, and only that.
        Workload::Present { .. } if !workload.is(&owner.uid) => match wanted {
            Some(false) => gone(),
            Some(true) | None => None,
        },
        // What one owns that is being deleted goes with it.
        Workload::Present {
            terminating: false, ..
        } if !instance.spec.is_reserved() => {
            let note = format!(
                "kept for the next pod {} of {owner}: the last one, on node {}, is gone",
                binding.pod_name, binding.node_name
            );
            case(Kind::PodGone, Repair::Unbind, Wait::Grace, note)
        }
        Workload::Present {
            terminating: false,
            ttl: Some(ttl),
            ..
        } if wanted != Some(true) => {
            let wait = remaining(instance, *ttl, now)?;
            let note = format!(
                "{} of pod {} given back: it was kept for {ttl:?}, and the workload does not want the pod",
                instance.spec.address.ip, binding.pod_name
            );
            case(Kind::Expired, Repair::Delete, wait, note)
        }
        Workload::Present { .. } | Workload::Unknown { .. } => None,
    }
}

/// The object says since when it is kept; without that its time begins when we first see it.
fn remaining(instance: &IpInstance, ttl: Duration, now: Timestamp) -> Option<Wait> {
    let status = instance.status.as_ref();
    let Some(since) = status.and_then(|status| status.update_timestamp.as_ref()) else {
        return Some(Wait::For(ttl));
    };
    let kept = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
    (kept >= ttl).then_some(Wait::For(Duration::ZERO))
}

fn orphaned(world: &Snapshot, instance: &Arc<IpInstance>) -> Finding {
    let binding = instance.spec.binding.clone().unwrap_or_default();
    let (pod, node) = (
        first_of(&binding.pod_name, &binding.referred_object.name),
        &binding.node_name,
    );
    let node = if node.is_empty() || world.nodes.contains(node) {
        String::new()
    } else {
        format!(", and so is node {node}")
    };
    Finding {
        kind: Kind::PodGone,
        subject: Subject::Instance(instance.clone()),
        repair: Repair::Delete,
        wait: Wait::Grace,
        owner: None,
        note: format!("deleted: pod {pod}, which it belongs to, is gone{node}"),
    }
}

/// Objects that nobody can read an address of, and those of former releases, are left as they are.
fn unheld(instance: &Arc<IpInstance>) -> Option<Finding> {
    let finalizers = instance.metadata.finalizers.as_ref();
    let held = finalizers.is_some_and(|all| all.iter().any(|one| one == finalizer::IP_ALLOCATED));
    let binding = instance.spec.binding.as_ref();
    let modern = binding.is_some_and(|binding| !binding.referred_object.kind.is_empty());
    if held || !modern || is_terminating(instance) || instance.spec.ip().is_none() {
        return None;
    }
    Some(Finding {
        kind: Kind::NoFinalizer,
        subject: Subject::Instance(instance.clone()),
        repair: Repair::Hold,
        wait: Wait::Grace,
        owner: None,
        note: format!("finalizer {} was missing and is added", finalizer::IP_ALLOCATED),
    })
}

/// A pod that is to go and waits for us, while nobody is left to say that its containers have ended.
fn stranded(world: &Snapshot, pod: &Arc<Pod>) -> Option<Finding> {
    let node = &pod.spec.node_name;
    let waits = pod.is_terminating() && pod.has_finalizer() && pod.runs();
    (waits && !node.is_empty() && !world.nodes.contains(node)).then(|| Finding {
        kind: Kind::NodeGone,
        subject: Subject::Pod(pod.clone()),
        repair: Repair::GiveUp,
        wait: Wait::Grace,
        owner: None,
        note: format!("let go with its addresses: its node {node} is gone"),
    })
}

fn unrecorded(world: &Snapshot, lost: &Unrecorded) -> Option<Finding> {
    let pod = world.pods.get(&lost.pod());
    // As long as the pod is there, its controller is at work.
    let at_work = lost.in_flight && pod.is_some_and(|pod| pod.uid() == lost.owner.pod_uid);
    (!at_work).then(|| Finding {
        kind: Kind::Unrecorded,
        subject: Subject::Memory(lost.clone()),
        repair: Repair::Free,
        wait: Wait::Grace,
        owner: None,
        note: format!(
            "address {} was held for pod {} without an IPInstance {}",
            lost.ip,
            lost.pod(),
            lost.object()
        ),
    })
}

fn first_of<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.is_empty() { other } else { one }
}

fn is_terminating(instance: &IpInstance) -> bool {
    instance.meta().deletion_timestamp.is_some()
}

#[cfg(test)]
mod tests;
