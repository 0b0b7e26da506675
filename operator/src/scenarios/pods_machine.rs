//! Addresses of `KubeVirt` machines, behind the gate `VMIPRetain` (control-plane spec 4.3.4).

use serde_json::json;

use super::asking::*;
use super::*;

const GATE: &[&str] = &["--feature-gates=VMIPRetain=true"];
const KUBEVIRT: &str = "/apis/kubevirt.io/v1/namespaces/ns";

/// A machine `vm` whose instance is `vm` too.
fn machine(server: &Server) {
    server.serve(
        &format!("{KUBEVIRT}/virtualmachines/vm"),
        json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
            "metadata": {"name": "vm", "namespace": "ns", "uid": "uid-vm"}}),
    );
    start_machine(server);
}

fn start_machine(server: &Server) {
    server.serve(
        &format!("{KUBEVIRT}/virtualmachineinstances/vm"),
        json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
            "metadata": {"name": "vm", "namespace": "ns", "uid": "uid-instance", "ownerReferences": [
                {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "vm", "uid": "uid-vm",
                 "controller": true, "blockOwnerDeletion": true}]}}),
    );
}

fn stop_machine(server: &Server) {
    server.withdraw(&format!("{KUBEVIRT}/virtualmachineinstances/vm"));
}

fn launcher(name: &str) -> Asking {
    asking(name)
        .overlay("DualStack")
        .of("VirtualMachineInstance", "vm")
}

async fn at_rest_with(server: &Arc<Server>, flags: &[&str]) -> Cluster {
    let cluster = Cluster::start(server.clone(), flags);
    cluster.rest().await;
    cluster
}

/// Scenario 91: a machine is stopped and started again.
#[tokio::test(start_paused = true)]
async fn a_machine_keeps_its_addresses_from_pod_to_pod() {
    let server = server();
    machine(&server);
    let cluster = at_rest_with(&server, GATE).await;
    launcher("virt-launcher-vm-a").put(&server);
    bound(&cluster, 2).await;
    let before = identities(&server);
    let first = object(&server, "10-0-0-1");
    assert_eq!(
        first["metadata"]["ownerReferences"],
        json!([{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "vm", "uid": "uid-vm",
            "controller": true, "blockOwnerDeletion": false}])
    );

    // The instance is gone before its pod.
    stop_machine(&server);
    delete(&server, "virt-launcher-vm-a");
    cluster.rest().await;

    assert_eq!(server.get(&format!("{PODS}/virt-launcher-vm-a")), None);
    let kept = object(&server, "10-0-0-1");
    let binding = &kept["spec"]["binding"];
    assert_eq!(
        (
            &binding["nodeName"],
            binding.get("podName"),
            binding.get("podUID")
        ),
        (&json!(""), None, None)
    );
    let labels = kept["metadata"]["labels"].as_object().unwrap();
    assert_eq!(labels["networking.alibaba.com/vm"], json!("vm"));
    assert!(!labels.contains_key("networking.alibaba.com/pod"));

    start_machine(&server);
    launcher("virt-launcher-vm-b").on("m").put(&server);
    bound(&cluster, 2).await;

    assert_eq!(identities(&server), before);
    let binding = object(&server, "10-0-0-1")["spec"]["binding"].clone();
    assert_eq!(
        (&binding["podName"], &binding["nodeName"]),
        (&json!("virt-launcher-vm-b"), &json!("m"))
    );
    assert_eq!(events_of(&cluster, "IPReserveSucceed").len(), 1);
}

/// Scenario 92: the machine is going, or gone.
#[tokio::test(start_paused = true)]
async fn addresses_go_with_their_machine() {
    for deleted in [true, false] {
        let server = server();
        machine(&server);
        let cluster = at_rest_with(&server, GATE).await;
        launcher("virt-launcher-vm-a").put(&server);
        bound(&cluster, 2).await;
        let before = object(&server, "10-0-0-1");
        let path = format!("{KUBEVIRT}/virtualmachines/vm");
        if deleted {
            server.withdraw(&path);
        } else {
            let mut going = server.get(&path).unwrap();
            going["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            server.serve(&path, going);
        }

        delete(&server, "virt-launcher-vm-a");
        cluster.rest().await;

        assert_eq!(server.get(&format!("{PODS}/virt-launcher-vm-a")), None);
        assert_eq!(object(&server, "10-0-0-1"), before);
        assert_eq!(events_of(&cluster, "IPReserveSucceed"), Vec::<String>::new());
    }
}

/// Scenario 93: the gate is off when the pod ends.
#[tokio::test(start_paused = true)]
async fn a_machines_pod_can_go_when_the_gate_is_off_by_then() {
    let server = server();
    machine(&server);
    let with_gate = at_rest_with(&server, GATE).await;
    launcher("virt-launcher-vm-a").put(&server);
    bound(&with_gate, 2).await;
    drop(with_gate);
    let without = at_rest_with(&server, &[]).await;

    delete(&server, "virt-launcher-vm-a");
    without.rest().await;

    assert_eq!(server.get(&format!("{PODS}/virt-launcher-vm-a")), None);
    assert_eq!(instances(&server).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_gate_a_machines_pod_is_a_plain_one() {
    let server = server();
    let cluster = at_rest_with(&server, &[]).await;

    launcher("virt-launcher-vm-a").put(&server);
    bound(&cluster, 2).await;

    let object = object(&server, "10-0-0-1");
    assert_eq!(object["spec"]["binding"]["referredObject"]["kind"], json!("Pod"));
    assert!(
        !cluster
            .api
            .requests()
            .iter()
            .any(|request| request.contains("kubevirt"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_no_machine_has_addresses_of_its_pods() {
    let server = server();
    server.serve(
        &format!("{KUBEVIRT}/virtualmachineinstances/vm"),
        json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
            "metadata": {"name": "vm", "namespace": "ns", "uid": "uid-instance"}}),
    );
    let cluster = at_rest_with(&server, GATE).await;

    launcher("virt-launcher-vm-a").put(&server);
    bound(&cluster, 2).await;

    let pod = server.get(&format!("{PODS}/virt-launcher-vm-a")).unwrap();
    assert_eq!(pod["metadata"].get("finalizers"), None);
    let object = object(&server, "10-0-0-1");
    assert_eq!(object["spec"]["binding"]["referredObject"]["kind"], json!("Pod"));
}

#[tokio::test(start_paused = true)]
async fn the_target_of_a_migration_gets_the_addresses_when_the_source_has_ended() {
    let server = server();
    machine(&server);
    let cluster = at_rest_with(&server, GATE).await;
    let source = launcher("source")
        .finalized()
        .status("Running", "", Some(running()));
    source.put(&server);
    bound(&cluster, 2).await;
    let before = identities(&server);

    launcher("target").on("m").put(&server);
    cluster.rest().await;
    let told = events_of(&cluster, "IPAllocationFail");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("in pod source on node n"), "{told:?}");
    assert_eq!(identities(&server), before);

    let source = launcher("source").finalized().handled();
    let source = source.status("Succeeded", "", Some(ended()));
    source.put(&server);
    let completed = tokio::time::Instant::now();
    let has_target = |state: &mut crate::world::State| {
        let of_target = |object: &&Arc<IpInstance>| {
            let binding = object.spec.binding.as_ref();
            binding.is_some_and(|binding| binding.pod_name == "target")
        };
        state.ip_instances.iter().filter(of_target).count() == 2
    };
    cluster.until("the addresses with the target", has_target).await;

    assert!(completed.elapsed() < std::time::Duration::from_secs(1));
    assert_eq!(identities(&server), before);
    cluster.rest().await;
    // The source is still there, and looked at again: nothing is taken from the target.
    source.label("touched", "yes").put(&server);
    cluster.rest().await;
    assert_eq!(
        object(&server, "10-0-0-1")["spec"]["binding"]["podName"],
        json!("target")
    );
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_be_read_is_asked_for_again() {
    let server = server();
    machine(&server);
    let cluster = at_rest_with(&server, GATE).await;
    for _ in 0..3 {
        server.fault(crate::testing::cluster::Fault {
            method: http::Method::GET,
            about: "virtualmachine",
            answer: hybridnet_service::testing::Answer::status(403, "Forbidden"),
            carried_out: false,
        });
    }

    launcher("virt-launcher-vm-a").put(&server);
    bound(&cluster, 2).await;

    let told = events_of(&cluster, "IPAllocationFail");
    assert!(
        told.len() == 1 && told[0].contains("get VirtualMachineInstance ns/vm"),
        "{told:?}"
    );
    let owner = object(&server, "10-0-0-1")["spec"]["binding"]["referredObject"].clone();
    assert_eq!(owner["kind"], json!("VirtualMachine"));
}
