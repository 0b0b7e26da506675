//! Pods of `KubeVirt` machines, behind the gate `VMIPRetain` (control-plane spec 4.3.4): their addresses belong
//! to the machine, and outlive pod and instance.

use std::sync::Arc;

use hybridnet_api::IpInstance;
use hybridnet_api::names::label;
use hybridnet_api::pod::label as label_of;
use hybridnet_service::kubevirt::{self, INSTANCE, MACHINE, instance_of, machine_of};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use crate::context::{Context, WriteError};
use crate::pod::error::PodError;
use crate::pod::step::Instances;
use crate::world::State;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// The machine that a pod runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// As its instance, or an address of it, refers to it.
    pub owner: OwnerReference,
}

/// What is to become of the addresses of a pod that has run a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The pod ran no machine: they are its own.
    NoMachine,
    /// They go with the machine, which is going or gone.
    Going,
    /// The machine keeps them.
    Stays,
}

impl Machine {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// The machine that owns the addresses.
    fn of_instances(instances: &Instances) -> Option<Self> {
        instances
            .iter()
            .find_map(|instance| machine_of(&instance.metadata))
            .map(|owner| Self { owner: owner.clone() })
    }
}

/// The machine that a pod runs; nothing when it runs none. A pod that has addresses is known by them.
pub async fn of_pod(
    context: &Context,
    key: &Key,
    pod: &Pod,
    bound: &Instances,
) -> Result<Option<Machine>, PodError> {
    let gate = context.settings.reading.gates.vm_ip_retain;
    let Some(instance) = instance_of(&pod.metadata).filter(|_| gate) else {
        return Ok(None);
    };
    if let Some(known) = Machine::of_instances(bound) {
        return Ok(Some(known));
    }
    let found = read_instance(context, key, &instance.name).await?;
    let found = found.ok_or_else(|| PodError::NoInstance(instance.name.clone()))?;
    Ok(machine_of(&found).map(|owner| Machine { owner: owner.clone() }))
}

/// What is to become of the addresses of a pod that has ended.
pub async fn parting(
    context: &Context,
    key: &Key,
    pod: &Pod,
    bound: &Instances,
) -> Result<Parting, WriteError> {
    let found = match instance_of(&pod.metadata) {
        Some(instance) => read_instance(context, key, &instance.name).await?,
        None => None,
    };
    let name = match found {
        Some(instance) => machine_of(&instance).map(|owner| owner.name.clone()),
        // The instance may be gone before its pod is.
        None => name_of(bound),
    };
    let Some(name) = name else {
        return Ok(Parting::NoMachine);
    };
    let machine = kubevirt::machine(&context.client.0, &key.namespace, &name).await;
    let machine = machine.map_err(|source| unread(MACHINE, key, &name, source))?;
    let stays = machine.is_some_and(|machine| machine.deletion_timestamp.is_none());
    Ok(if stays { Parting::Stays } else { Parting::Going })
}

/// The pod that has an address of the machine now, if it is another one and still there.
pub fn in_use(
    state: &State,
    machine: &Machine,
    namespace: &str,
    kept: &[Arc<IpInstance>],
) -> Option<PodError> {
    kept.iter().find_map(|instance| {
        let binding = instance.spec.binding.as_ref()?;
        let pod = state.pod(&Key {
            namespace: namespace.to_owned(),
            name: binding.pod_name.clone(),
        })?;
        (pod.uid() == binding.pod_uid).then(|| PodError::MachineRuns {
            machine: machine.name().to_owned(),
            ip: instance.spec.address.ip.clone(),
            pod: binding.pod_name.clone(),
            node: binding.node_name.clone(),
            network: instance.spec.network.clone(),
        })
    })
}

async fn read_instance(context: &Context, key: &Key, name: &str) -> Result<Option<ObjectMeta>, WriteError> {
    let found = kubevirt::instance(&context.client.0, &key.namespace, name).await;
    found.map_err(|source| unread(INSTANCE, key, name, source))
}

fn unread(kind: &str, key: &Key, name: &str, source: kube::Error) -> WriteError {
    WriteError {
        verb: "get",
        object: format!("{kind} {}/{name}", key.namespace),
        source,
    }
}

fn name_of(bound: &Instances) -> Option<String> {
    let owner = Machine::of_instances(bound).map(|machine| machine.owner.name);
    owner.or_else(|| {
        let mut labels = bound
            .iter()
            .filter_map(|instance| label_of(&instance.metadata, label::VM));
        labels.next().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::instance;

    #[test]
    fn the_machine_of_addresses_is_their_owner_else_their_label() {
        let labelled = instance("ns", "10.0.0.2").label(label::VM, "labelled").build();
        let mut owned = labelled.clone();
        owned.metadata.owner_references = serde_json::from_value(
            json!([{"apiVersion": "kubevirt.io/v1", "kind": MACHINE, "name": "owner", "uid": "u",
            "controller": true}]),
        )
        .unwrap();

        assert_eq!(name_of(&vec![Arc::new(labelled)]).as_deref(), Some("labelled"));
        assert_eq!(name_of(&vec![Arc::new(owned)]).as_deref(), Some("owner"));
        assert_eq!(name_of(&vec![instance("ns", "10.0.0.2").pod("p").shared()]), None);
    }
}
