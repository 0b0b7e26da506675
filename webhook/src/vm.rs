//! The `KubeVirt` virtual machine of a pod, behind the gate `VMIPRetain`: read live, for a cluster without
//! `KubeVirt` has nothing to watch.

use hybridnet_api::object_name::is_object_name;
use hybridnet_api::settings::Settings;
use hybridnet_service::errors::chain;
use hybridnet_service::kubevirt::{self, instance_of, machine_of};
use kube::Client;
use kube::api::ObjectMeta;

use crate::review::Refusal;

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
    let name = &instance.name;
    let unreadable = |why: &str| {
        Refusal::errored(format!(
            "virtual machine instance {name:?} of namespace {namespace:?}: {why}: without it nobody knows whose addresses \
             the pod keeps"
        ))
    };
    if !is_object_name(name) {
        return Err(unreadable("no object can be called so"));
    }
    let found = kubevirt::instance(client, namespace, name).await;
    let found = found.map_err(|error| unreadable(&chain(&error)))?;
    let found = found.ok_or_else(|| unreadable("not found"))?;
    Ok(machine_of(&found).map(|owner| owner.name.clone()))
}

#[cfg(test)]
mod tests {
    use hybridnet_service::kubevirt::{INSTANCE, MACHINE};
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
    }

    #[tokio::test]
    async fn an_instance_that_cannot_be_read_is_named() {
        for name in ["gone", "../i", "i/status"] {
            let error = found(true, &owned_by(INSTANCE, name)).await.expect_err(name);
            let said = error.message.contains(&format!("{name:?} of namespace \"d\""));
            assert!(error.code == 500 && said, "{error}");
        }
    }
}
