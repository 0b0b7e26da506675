//! Addresses of stateful pods that outlive the pod: kept when it ends, bound to its successor
//! (control-plane spec 3.9, `IPReserve` and `ReCouple`).
//!
//! The object stays the holder of its address throughout, so the allocator has no part in this.

use std::sync::Arc;

use hybridnet_api::names::label;
use hybridnet_api::{IpInstance, IpInstanceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::context::{Context, WriteError};
use crate::pod::object::{Owner, binding, bound_labels};
use crate::pod::step::Instances;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// Unbinds objects from their pod. The status goes first: as long as the object is bound, a failure is
/// noticed and tried again.
pub async fn reserve(context: &Context, instances: &Instances) -> Result<(), WriteError> {
    for instance in instances {
        let key = Key::of(instance.as_ref());
        let api = context.in_namespace::<IpInstance>(&key.namespace);
        if let Some(status) = cleared(instance, Timestamp::now()) {
            context.patch_status(&api, &key, status).await?;
        }
        let newest = context.world.with(|state| state.ip_instances.get(&key).cloned());
        let newest = newest.as_ref().unwrap_or(instance);
        context.patch(&api, &key, &unbound(newest)).await?;
    }
    Ok(())
}

/// Binds objects that were kept to a pod, as they are: address, MAC and gateway stay.
pub async fn bind(context: &Context, pod: &Pod, owner: &Owner, kept: &Instances) -> Result<(), WriteError> {
    for instance in kept {
        let key = Key::of(instance.as_ref());
        let api = context.in_namespace::<IpInstance>(&key.namespace);
        context.patch(&api, &key, &bound(instance, pod, owner)).await?;
    }
    Ok(())
}

/// An empty status; nothing when it is that already.
fn cleared(instance: &IpInstance, now: Timestamp) -> Option<Value> {
    let status = instance.status.clone().unwrap_or_default();
    let empty = IpInstanceStatus {
        update_timestamp: status.update_timestamp.clone(),
        ..IpInstanceStatus::default()
    };
    (status != empty).then(|| {
        json!({"podName": null, "podNamespace": null, "nodeName": null, "sandboxID": null,
            "updateTimestamp": Time(now)})
    })
}

fn unbound(instance: &IpInstance) -> Value {
    json!({
        "metadata": {
            "resourceVersion": instance.resource_version(),
            "labels": {label::NODE: null, label::POD_UID: null},
        },
        "spec": {"binding": {"nodeName": "", "podUID": null}},
    })
}

fn bound(instance: &Arc<IpInstance>, pod: &Pod, owner: &Owner) -> Value {
    json!({
        "metadata": {
            // An object that is being deleted meanwhile is not bound.
            "resourceVersion": instance.resource_version(),
            "labels": bound_labels(pod),
            "ownerReferences": [owner.reference],
        },
        "spec": {"binding": binding(pod, owner)},
    })
}

#[cfg(test)]
mod tests {
    use hybridnet_api::pod::controller_of;

    use super::*;
    use crate::fixtures::{instance, pod};

    fn patched(object: &IpInstance, patch: &Value) -> IpInstance {
        let mut value = serde_json::to_value(object).unwrap();
        json_patch::merge(&mut value, patch);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_kept_address_keeps_its_pods_name_and_loses_its_node() {
        let object = instance("ns", "10.0.0.2").pod("web-0").build();

        let kept = patched(&object, &unbound(&object));

        assert!(kept.spec.is_reserved());
        assert_eq!(kept.spec.address, object.spec.address);
        let binding = kept.spec.binding.unwrap();
        assert_eq!(
            (binding.pod_name.as_str(), binding.pod_uid.as_str()),
            ("web-0", "")
        );
        let labels = kept.metadata.labels.unwrap();
        assert!(labels.contains_key(label::POD));
        assert!(!labels.contains_key(label::NODE) && !labels.contains_key(label::POD_UID));
    }

    #[test]
    fn a_successor_gets_the_same_object_and_address() {
        let object = instance("ns", "10.0.0.2").pod("web-0").build();
        let kept = Arc::new(patched(&object, &unbound(&object)));
        let successor = pod("web-0")
            .uid("second")
            .on("other")
            .controlled_by("StatefulSet", "web")
            .build();
        let owner = Owner::workload(&successor, controller_of(&successor.metadata).unwrap());

        let again = patched(&kept, &bound(&kept, &successor, &owner));

        assert_eq!(again.spec.address, object.spec.address);
        let labels = again.metadata.labels.clone().unwrap();
        assert_eq!(labels.get(label::POD_UID).map(String::as_str), Some("second"));
        assert_eq!(labels.get(label::NODE).map(String::as_str), Some("other"));
        assert_eq!(again.spec.binding.unwrap().node_name, "other");
    }

    #[test]
    fn a_status_that_is_empty_is_not_written_again() {
        let fresh = instance("ns", "10.0.0.2").pod("web-0").build();
        let mut used = fresh.clone();
        used.status = Some(IpInstanceStatus {
            sandbox_id: "abc".to_owned(),
            ..IpInstanceStatus::default()
        });

        assert_eq!(cleared(&fresh, Timestamp::now()), None);
        assert!(cleared(&used, Timestamp::now()).is_some());
    }
}
