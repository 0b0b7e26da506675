//! Kinds of others that the tests need: a workload of no known group, and `KubeVirt`'s machines.

use anyhow::Result;
use serde_json::{Value, json};

use crate::objects::{Object, object};
use crate::stage::{Kind, Stage};

pub(crate) const STATEFUL_THING: Kind = Kind("example.com/v1", "StatefulThing");
pub(crate) const MACHINE: Kind = Kind("kubevirt.io/v1", "VirtualMachine");
pub(crate) const MACHINE_INSTANCE: Kind = Kind("kubevirt.io/v1", "VirtualMachineInstance");
const DEFINITION: Kind = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition");

/// Makes the API serve a kind, and lets our manager read it as an administrator has to; twice is as good as once.
pub(crate) async fn serve(stage: &Stage, kind: Kind) -> Result<()> {
    let (group, version) = kind.0.split_once('/').unwrap_or_default();
    let singular = kind.1.to_lowercase();
    let plural = format!("{singular}s");
    let name = format!("{plural}.{group}");
    if stage.get(DEFINITION, &name).await?.is_some() {
        return Ok(());
    }
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = object(DEFINITION.0, DEFINITION.1, &name)
        .with("spec.group", group)
        .with("spec.scope", "Namespaced")
        .with("spec.names", json!({"kind": kind.1, "plural": plural, "singular": singular}))
        .with(
            "spec.versions",
            json!([{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": anything}}]),
        );
    stage.create(definition).await?;
    let established = |found: &Value| {
        let conditions = found["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions
            .iter()
            .any(|one| one["type"] == "Established" && one["status"] == "True")
    };
    stage.is(DEFINITION, &name, "established", established).await?;
    stage
        .until("the kind is served", async || {
            Ok(stage
                .get(kind, "nobody")
                .await
                .map(drop)
                .map_err(|error| format!("{error:#}")))
        })
        .await
}

/// Lets our manager read a kind that the chart knows nothing of.
pub(crate) async fn allow(stage: &Stage, kind: Kind) -> Result<()> {
    const RIGHTS: &str = "rbac.authorization.k8s.io";
    let group = kind.0.split('/').next().unwrap_or_default();
    let role = format!("read-{}", kind.1.to_lowercase());
    let rules = json!([{"apiGroups": [group], "resources": [format!("{}s", kind.1.to_lowercase())], "verbs": ["get"]}]);
    let version = format!("{RIGHTS}/v1");
    stage
        .create(object(&version, "ClusterRole", &role).with("rules", rules))
        .await?;
    let binding = object(&version, "ClusterRoleBinding", &role)
        .with(
            "roleRef",
            json!({"apiGroup": RIGHTS, "kind": "ClusterRole", "name": role}),
        )
        .with(
            "subjects",
            json!([{"kind": "ServiceAccount", "name": "hybridnet-manager", "namespace": "kube-system"}]),
        );
    stage.create(binding).await.map(drop)
}

/// A workload of the made-up kind.
pub(crate) fn stateful_thing(name: &str) -> Object {
    object(STATEFUL_THING.0, STATEFUL_THING.1, name).with("spec", json!({"anything": "goes"}))
}
