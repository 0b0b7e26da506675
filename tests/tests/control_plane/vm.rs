//! `KubeVirt`'s virtual machines behind the gate `VMIPRetain`: their kinds are there, `KubeVirt` is not.

use anyhow::Result;
use serde_json::{Value, json};

use crate::crds::{self, MACHINE, MACHINE_INSTANCE};
use crate::fixture::{manager, on_the_fixture};
use crate::objects::{Object, object, pod};
use crate::stage::{IP_INSTANCE, POD, Stage, mac, name, uid};

struct Machine {
    machine: Value,
    instance: Value,
}

/// A machine and its running instance.
async fn machine(stage: &Stage, name: &str) -> Result<Machine> {
    let machine = stage
        .create(object(MACHINE.0, MACHINE.1, name).with("spec.running", true))
        .await?;
    let instance = stage
        .create(object(MACHINE_INSTANCE.0, MACHINE_INSTANCE.1, name).of(&machine))
        .await?;
    Ok(Machine { machine, instance })
}

fn launcher(name: &str, of: &Machine) -> Object {
    let pod = pod(name).on("node1").of(&of.instance);
    pod.says("network-type", "Overlay").says("ip-family", "DualStack")
}

async fn of_machine(stage: &Stage, name: &str) -> Result<Vec<Value>> {
    stage.labelled(&format!("networking.alibaba.com/vm={name}")).await
}

/// Waits until the machine's addresses are bound to no pod.
async fn unbound(stage: &Stage, vm: &str) -> Result<Vec<Value>> {
    stage
        .until("the machine's addresses are kept", async || {
            let held = of_machine(stage, vm).await?;
            let free = held.iter().all(|one| {
                let binding = &one["spec"]["binding"];
                ["nodeName", "podUID", "podName"]
                    .iter()
                    .all(|field| crate::stage::text(&binding[field]).is_empty())
            });
            Ok(if held.len() == 2 && free {
                Ok(held)
            } else {
                Err(format!("{held:?}"))
            })
        })
        .await
}

/// Scenario 91: from pod to pod.
/// Scenario 92: the machine goes.
/// Scenario 93: the gate is switched off meanwhile.
#[test]
fn a_machine_keeps_its_addresses_from_pod_to_pod_until_it_goes() {
    on_the_fixture("vm", async |cluster| {
        let stage = Stage::new(cluster, "vm").await?;
        for kind in [MACHINE, MACHINE_INSTANCE] {
            crds::serve(&stage, kind).await?;
        }
        cluster
            .restart_manager(&manager().flag("--feature-gates=VMIPRetain=true"))
            .await?;
        let first = machine(&stage, "box").await?;

        let before = stage.start(launcher("virt-launcher-box-a", &first), 2).await?;
        for one in &before {
            assert_eq!(one["metadata"]["labels"]["networking.alibaba.com/vm"], "box");
            let owner = &one["metadata"]["ownerReferences"][0];
            assert_eq!(
                (&owner["kind"], &owner["uid"]),
                (&json!("VirtualMachine"), &json!(uid(&first.machine)))
            );
            assert_eq!(owner["blockOwnerDeletion"], false);
        }
        stage.remove(POD, "virt-launcher-box-a").await?;
        let kept = unbound(&stage, "box").await?;
        assert!(
            kept.iter()
                .all(|one| one["metadata"]["labels"]["networking.alibaba.com/pod"].is_null()),
            "{kept:?}"
        );

        let after = stage.start(launcher("virt-launcher-box-b", &first), 2).await?;
        let same = before
            .iter()
            .zip(&after)
            .all(|(one, two)| uid(one) == uid(two) && mac(one) == mac(two));
        assert!(same, "{before:?} and {after:?}");

        // The machine goes with its pod: nothing is kept, and the garbage collector takes the addresses.
        stage.delete(MACHINE, "box").await?;
        stage.delete(MACHINE_INSTANCE, "box").await?;
        stage.remove(POD, "virt-launcher-box-b").await?;
        for one in of_machine(&stage, "box").await? {
            let pod = &one["spec"]["binding"]["podName"];
            assert_eq!(pod, "virt-launcher-box-b", "nothing is kept: {one}");
        }
        for one in &after {
            stage.remove(IP_INSTANCE, name(one)).await?;
        }

        let second = machine(&stage, "late").await?;
        let late = stage.start(launcher("virt-launcher-late", &second), 2).await?;
        cluster.end_programs("hybridnet-manager").await?;
        stage.delete(POD, "virt-launcher-late").await?;
        cluster.restart_manager(&manager()).await?;
        stage.gone(POD, "virt-launcher-late").await?;
        for one in &late {
            stage.remove(IP_INSTANCE, name(one)).await?;
        }
        Ok(())
    });
}
