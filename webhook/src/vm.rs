//! The `KubeVirt` virtual machine of a pod, behind the gate `VMIPRetain`: read live, for a cluster without
//! `KubeVirt` has nothing to watch.

use hybridnet_api::pod::controller_of;
use hybridnet_api::settings::Settings;
use hybridnet_service::errors::chain;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};

use crate::review::Refusal;

const INSTANCE: &str = "VirtualMachineInstance";
const MACHINE: &str = "VirtualMachine";
const GROUP: &str = "kubevirt.io";

/// Name of the virtual machine whose addresses the pod has; nothing when it runs none.
pub async fn of_pod(
    client: &Client,
    namespace: &str,
    pod: &ObjectMeta,
    settings: &Settings,
) -> Result<Option<String>, Refusal> {
    let Some(instance) = instance_of(pod).filter(|_| settings.gates.vm_ip_retain) else {
        return Ok(None);
    };
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(GROUP, "v1", INSTANCE),
        "virtualmachineinstances",
    );
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    let found = api.get(&instance.name).await.map_err(|error| {
        Refusal::errored(format!(
            "virtual machine instance {:?}: {}",
            instance.name,
            chain(&error)
        ))
    })?;
    let owner = controller_of(&found.metadata).filter(|owner| is_of(owner, MACHINE));
    Ok(owner.map(|owner| owner.name.clone()))
}

fn instance_of(pod: &ObjectMeta) -> Option<&OwnerReference> {
    controller_of(pod).filter(|owner| is_of(owner, INSTANCE))
}

fn is_of(owner: &OwnerReference, kind: &str) -> bool {
    let group = owner.api_version.split('/').next();
    owner.kind == kind && group == Some(GROUP)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::Objects;

    fn owned_by(kind: &str, name: &str) -> Value {
        json!({"name": "x", "namespace": "d", "ownerReferences": [
            {"apiVersion": "kubevirt.io/v1", "kind": kind, "name": name, "uid": "u", "controller": true}]})
    }

    async fn found(gate: bool, owner: &Value) -> Result<Option<String>, Refusal> {
        let path = "/apis/kubevirt.io/v1/namespaces/d/virtualmachineinstances/i";
        let instance =
            json!({"apiVersion": "kubevirt.io/v1", "kind": INSTANCE, "metadata": owned_by(MACHINE, "m")});
        let fake = Objects::default().with(path, instance);
        let mut settings = Settings::default();
        settings.gates.vm_ip_retain = gate;
        let pod = serde_json::from_value(owner.clone()).expect("metadata");
        of_pod(&fake.client(), "d", &pod, &settings).await
    }

    #[tokio::test]
    async fn the_machine_is_found_through_its_instance() {
        assert_eq!(
            found(true, &owned_by(INSTANCE, "i")).await,
            Ok(Some("m".to_owned()))
        );
        assert_eq!(found(false, &owned_by(INSTANCE, "i")).await, Ok(None));
        assert_eq!(found(true, &owned_by("ReplicaSet", "i")).await, Ok(None));
        let gone = found(true, &owned_by(INSTANCE, "gone"))
            .await
            .expect_err("no such instance");
        assert!(gone.code == 500 && gone.message.contains("\"gone\""), "{gone}");
    }
}
