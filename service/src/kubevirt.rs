//! Virtual machines of `KubeVirt`, read live: a cluster without it has nothing to watch, and which machine a
//! pod runs is asked seldom.
//!
//! A pod of a machine is controlled by a `VirtualMachineInstance`, and that by the `VirtualMachine`, which
//! outlives both.

use hybridnet_api::object_name::is_object_name;
use hybridnet_api::pod::controller_of;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};

const GROUP: &str = "kubevirt.io";

/// Kind of what a pod runs.
pub const INSTANCE: &str = "VirtualMachineInstance";
/// Kind of what is there whether it runs or not.
pub const MACHINE: &str = "VirtualMachine";

/// The instance that a pod runs.
pub fn instance_of(pod: &ObjectMeta) -> Option<&OwnerReference> {
    controller_of(pod).filter(|owner| is_of(owner, INSTANCE))
}

/// The machine that an object belongs to: an instance, or an address.
pub fn machine_of(object: &ObjectMeta) -> Option<&OwnerReference> {
    controller_of(object).filter(|owner| is_of(owner, MACHINE))
}

/// What is said about an instance; nothing when there is none, be it that there is no `KubeVirt`.
pub async fn instance(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<ObjectMeta>> {
    read(client, namespace, name, (INSTANCE, "virtualmachineinstances")).await
}

/// What is said about a machine; nothing when there is none, be it that there is no `KubeVirt`.
pub async fn machine(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<ObjectMeta>> {
    read(client, namespace, name, (MACHINE, "virtualmachines")).await
}

async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
    (kind, plural): (&str, &str),
) -> kube::Result<Option<ObjectMeta>> {
    // Nobody checks what an owner reference says, and here it becomes a part of a path.
    if !is_object_name(name) {
        return Ok(None);
    }
    let kind = GroupVersionKind::gvk(GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    let found = api.get_opt(name).await?;
    Ok(found.map(|object| object.metadata))
}

fn is_of(owner: &OwnerReference, kind: &str) -> bool {
    owner.kind == kind && owner.api_version.split('/').next() == Some(GROUP)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Answer, FakeApi};

    fn owned_by(api_version: &str, kind: &str) -> ObjectMeta {
        serde_json::from_value(json!({"name": "x", "namespace": "d", "ownerReferences": [
            {"apiVersion": api_version, "kind": kind, "name": "owner", "uid": "u", "controller": true}]}))
        .unwrap()
    }

    #[test]
    fn only_kinds_of_kubevirt_count_whatever_their_version() {
        let instance = owned_by("kubevirt.io/v1alpha3", INSTANCE);
        let machine = owned_by("kubevirt.io/v1", MACHINE);
        let namesake = owned_by("example.com/v1", MACHINE);

        assert_eq!(
            instance_of(&instance).map(|owner| owner.name.as_str()),
            Some("owner")
        );
        assert_eq!(
            machine_of(&machine).map(|owner| owner.name.as_str()),
            Some("owner")
        );
        assert_eq!((instance_of(&machine), machine_of(&instance)), (None, None));
        assert_eq!(machine_of(&namesake), None);
    }

    #[tokio::test]
    async fn what_is_not_there_is_nothing_and_a_refusal_is_an_error() {
        let api = FakeApi::new(|seen| match seen.path.as_str() {
            "/apis/kubevirt.io/v1/namespaces/d/virtualmachines/there" => Answer::ok(json!({
                "apiVersion": "kubevirt.io/v1", "kind": MACHINE, "metadata": {"name": "there"}})),
            "/apis/kubevirt.io/v1/namespaces/d/virtualmachineinstances/secret" => {
                Answer::status(403, "Forbidden")
            }
            _ => Answer::not_found(),
        });
        let client = api.client();

        let there = machine(&client, "d", "there").await.unwrap();
        let gone = instance(&client, "d", "gone").await.unwrap();
        let secret = instance(&client, "d", "secret").await;

        assert_eq!(there.and_then(|found| found.name).as_deref(), Some("there"));
        assert_eq!(gone, None);
        assert!(secret.is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_a_name_is_not_asked_for() {
        let api = FakeApi::new(|_| Answer::status(500, "InternalError"));

        for name in ["", "..", "../pods", "a/status", "a?watch", "A"] {
            assert_eq!(machine(&api.client(), "d", name).await.unwrap(), None, "{name}");
        }

        assert_eq!(api.requests(), Vec::<String>::new());
    }
}
