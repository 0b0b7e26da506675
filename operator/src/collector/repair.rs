//! Puts in order what was found out of place, if it is so: everything is read again right before, and an
//! object is deleted by its UID and version, so that one which a pod has taken up meanwhile stays.

use std::sync::Arc;

use hybridnet_api::names::{finalizer, reason};
use hybridnet_api::object_name::is_object_name;
use hybridnet_api::{IpInstance, Subnet};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use tracing::info;

use crate::collector::finding::{Finding, Kind, Repair, Subject};
use crate::collector::look::idle;
use crate::context::{Context, WriteError, with_finalizer};
use crate::ip_instance;
use crate::pod::retain;
use crate::world::addresses::unrecorded::Unrecorded;
use crate::world::pod::Pod;
use crate::world::store::Key;
use crate::world::wake::Wake;
use crate::world::{Kind as Watched, Node};

/// Says whether anything was done; not when the live objects say otherwise.
pub async fn repair(context: &Context, finding: &Finding, now: Timestamp) -> Result<bool, WriteError> {
    match &finding.subject {
        Subject::Instance(seen) => {
            let Some(live) = live(context, finding, seen, now).await? else {
                return Ok(false);
            };
            let done = put_in_order(context, finding, live.clone()).await?;
            if done {
                tell(context, finding, &live);
            }
            Ok(done)
        }
        Subject::Pod(pod) => give_up(context, finding, pod).await,
        Subject::Memory(lost) => free(context, finding, lost).await,
    }
}

async fn put_in_order(
    context: &Context,
    finding: &Finding,
    live: Arc<IpInstance>,
) -> Result<bool, WriteError> {
    let key = Key::of(live.as_ref());
    info!(object = %key, kind = finding.kind.as_str(), note = finding.note, "repairing");
    match finding.repair {
        Repair::Delete => ip_instance::delete_unchanged(context, &live).await,
        Repair::Unbind => retain::reserve(context, &vec![live]).await.map(|()| true),
        Repair::Hold => {
            let Some(patch) = with_finalizer(live.as_ref(), finalizer::IP_ALLOCATED) else {
                return Ok(false);
            };
            let api = context.in_namespace::<IpInstance>(&key.namespace);
            context.patch_if_there(&api, &key, &patch).await
        }
        Repair::GiveUp | Repair::Free => Ok(false),
    }
}

fn tell(context: &Context, finding: &Finding, instance: &IpInstance) {
    match (&finding.owner, finding.kind) {
        (Some(owner), Kind::Expired) => {
            let note = finding.note.clone();
            context
                .announcer
                .normal_about(owner.object_reference(), reason::ADDRESS_EXPIRED, note);
        }
        _ => context
            .announcer
            .warning(instance, reason::ADDRESS_LEAK, finding.note.clone()),
    }
}

/// The object as the API has it, if the finding is still true of it.
async fn live(
    context: &Context,
    finding: &Finding,
    seen: &IpInstance,
    now: Timestamp,
) -> Result<Option<Arc<IpInstance>>, WriteError> {
    let key = Key::of(seen);
    let Some(found) = get(context.in_namespace::<IpInstance>(&key.namespace), &key).await? else {
        return Ok(None);
    };
    let binding = |instance: &IpInstance| instance.spec.binding.clone().unwrap_or_default();
    let same = found.metadata.uid == seen.metadata.uid
        && found.metadata.deletion_timestamp.is_none()
        && binding(&found) == binding(seen);
    if !same || finding.repair != Repair::Hold && is_lived_in(context, &found).await? {
        return Ok(None);
    }
    let found = Arc::new(found);
    let Some(owner) = &finding.owner else {
        return Ok(Some(found));
    };
    let workload = context.workloads.resolve_now(owner).await;
    let again = idle(&found, owner, &workload, now);
    Ok(again
        .filter(|again| again.kind == finding.kind && again.repair == finding.repair)
        .map(|_| found))
}

/// Whether a pod has the address, or is about to take it up.
async fn is_lived_in(context: &Context, instance: &IpInstance) -> Result<bool, WriteError> {
    let binding = instance.spec.binding.clone().unwrap_or_default();
    let referred = &binding.referred_object;
    let plain = referred.kind == "Pod";
    let (name, uid) = if plain && binding.pod_name.is_empty() {
        (&referred.name, &referred.uid)
    } else if plain && binding.pod_uid.is_empty() {
        (&binding.pod_name, &referred.uid)
    } else {
        (&binding.pod_name, &binding.pod_uid)
    };
    if name.is_empty() {
        return Ok(false);
    }
    let key = Key {
        namespace: instance.metadata.namespace.clone().unwrap_or_default(),
        name: name.clone(),
    };
    let pod = get(context.in_namespace::<Pod>(&key.namespace), &key).await?;
    // A plain pod of the name that is another one has nothing of this one's.
    Ok(pod.is_some_and(|pod| !plain || pod.uid() == uid))
}

/// From now on nothing of the pod counts as running, and its controller ends it in order.
async fn give_up(context: &Context, finding: &Finding, seen: &Pod) -> Result<bool, WriteError> {
    let node = Key::cluster(&seen.spec.node_name);
    if get(context.all::<Node>(), &node).await?.is_some() {
        return Ok(false);
    }
    let key = Key::of(seen);
    let pod = get(context.in_namespace::<Pod>(&key.namespace), &key).await?;
    let Some(pod) = pod.filter(|pod| pod.uid() == seen.uid() && pod.is_terminating()) else {
        return Ok(false);
    };
    info!(pod = %key, node = node.name, "nothing of the pod runs any more");
    context
        .announcer
        .warning(&pod, reason::ADDRESS_LEAK, finding.note.clone());
    context.world.with(|state| state.give_up(&pod));
    context.world.queues().wake(Wake::Pod(key));
    Ok(true)
}

async fn free(context: &Context, finding: &Finding, lost: &Unrecorded) -> Result<bool, WriteError> {
    if lost.in_flight {
        // Its pod's controller finds out what became of the write.
        context.world.queues().wake(Wake::Pod(lost.pod()));
        return Ok(true);
    }
    let key = lost.object();
    let object = get(context.in_namespace::<IpInstance>(&key.namespace), &key).await?;
    if let Some(object) = object {
        context.world.learn(object);
        return Ok(false);
    }
    let freed = context.world.forget(lost);
    if freed {
        info!(ip = %lost.ip, network = lost.network, "address freed that had no object");
        let subnet = context
            .world
            .with(|state| state.subnets.get(&Key::cluster(&lost.subnet)).cloned());
        if let Some(subnet) = subnet {
            let note = finding.note.clone();
            context
                .announcer
                .warning::<Subnet>(&subnet, reason::ADDRESS_LEAK, note);
        }
    }
    Ok(freed)
}

/// One object as the API has it.
async fn get<K: Watched>(api: Api<K>, key: &Key) -> Result<Option<K>, WriteError> {
    // Names of pods and nodes come out of objects that anybody may have written.
    if !is_object_name(&key.name) {
        return Ok(None);
    }
    api.get_opt(&key.name)
        .await
        .map_err(|error| WriteError::new::<K>("get", key, error))
}
