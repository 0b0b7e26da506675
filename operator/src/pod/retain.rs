//! Addresses that outlive their pod: kept when it ends, and made over to the workload that has taken the pod
//! in (control-plane spec 3.9, `IPReserve`).
//!
//! The object stays the holder of its address throughout, so the allocator has no part in this.

use std::sync::Arc;

use hybridnet_api::IpInstance;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::context::{Context, WriteError};
use crate::pod::object::{self, Owner, unbound};
use crate::pod::step::Instances;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// Unbinds objects from their pods. The status goes first: as long as the object is bound, a failure is
/// noticed and tried again.
pub async fn reserve(context: &Context, instances: &Instances) -> Result<(), WriteError> {
    for instance in instances {
        let key = Key::of(instance.as_ref());
        let api = context.in_namespace::<IpInstance>(&key.namespace);
        let status = cleared(Timestamp::now());
        context.patch_status_of(&api, instance.as_ref(), status).await?;
        let newest = context.world.with(|state| state.ip_instances.get(&key).cloned());
        let same = |newest: &Arc<IpInstance>| newest.spec.binding == instance.spec.binding;
        let Some(newest) = newest.filter(same) else {
            continue;
        };
        if let Some(patch) = object::change(&newest, &unbound(&newest)) {
            context.patch(&api, &key, &patch).await?;
        }
    }
    Ok(())
}

/// Makes objects over to the owner that their pod has now.
pub async fn make_over(
    context: &Context,
    pod: &Pod,
    owner: &Owner,
    instances: &Instances,
) -> Result<(), WriteError> {
    for instance in instances {
        let key = Key::of(instance.as_ref());
        let api = context.in_namespace::<IpInstance>(&key.namespace);
        if let Some(patch) = object::change(instance, &object::bound(instance, pod, owner)) {
            context.patch(&api, &key, &patch).await?;
        }
    }
    Ok(())
}

/// What nobody uses since now. The time is written even if nothing else was there: from it runs how long the
/// address is kept.
fn cleared(now: Timestamp) -> Value {
    json!({"podName": null, "podNamespace": null, "nodeName": null, "sandboxID": null,
        "updateTimestamp": Time(now)})
}

#[cfg(test)]
mod tests {
    use hybridnet_api::IpInstanceStatus;

    use super::*;

    #[test]
    fn a_status_loses_all_but_the_time() {
        let mut status = serde_json::to_value(IpInstanceStatus {
            node_name: "n".to_owned(),
            pod_name: "p".to_owned(),
            pod_namespace: "ns".to_owned(),
            sandbox_id: "abc".to_owned(),
            update_timestamp: None,
        })
        .unwrap();
        let now = Timestamp::from_second(7).unwrap();

        json_patch::merge(&mut status, &cleared(now));

        let left: IpInstanceStatus = serde_json::from_value(status).unwrap();
        let expected = IpInstanceStatus {
            update_timestamp: Some(Time(now)),
            ..IpInstanceStatus::default()
        };
        assert_eq!(left, expected);
    }
}
