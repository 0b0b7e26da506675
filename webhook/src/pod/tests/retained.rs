//! Pods that come again and keep their addresses.

use serde_json::{Value, json};

use super::{chart, says, with};
use crate::fixtures::{annotations, ip_instance, namespace, pod, prefixed, stateful};

fn held_under() -> Value {
    ip_instance("10-0-0-5", "web-0", ("under", "u4"))
}

fn held_over() -> Value {
    ip_instance("10-0-0-5", "web-0", ("over", "o4"))
}

fn annotated(pod: &Value, key: &str) -> Option<String> {
    annotations(pod).remove(key)
}

/// Scenario 113: a retained underlay address decides.
#[tokio::test]
async fn a_pod_that_keeps_addresses_goes_to_their_network_without_quota() {
    let world = with(&[held_under()], chart());
    let (placed, warnings) = world.mutated(&stateful("web-0", &[])).await;
    assert_eq!(placed["spec"]["nodeSelector"], json!({"network": "under"}));
    assert_eq!(annotated(&placed, "specified-network").as_deref(), Some("under"));
    assert!(warnings.is_empty());
    assert!(world.create(&placed).await.is_ok(), "what was mutated passes");
}

#[tokio::test]
async fn a_template_that_moved_on_does_not_cost_a_pod_its_addresses() {
    let world = with(&[held_over()], chart());
    let keys = [("specified-network", "under"), ("specified-subnet", "u4")];
    let (placed, warnings) = world.mutated(&stateful("web-0", &keys)).await;
    assert_eq!(annotated(&placed, "specified-network").as_deref(), Some("over"));
    assert_eq!(annotated(&placed, "specified-subnet"), None);
    assert_eq!(
        warnings,
        [
            "specified-network: \"under\" replaced by \"over\": the pod keeps its addresses",
            "specified-subnet: \"u4\" ignored: the pod keeps its addresses in network \"over\"",
        ]
    );
    assert!(world.create(&placed).await.is_ok(), "what was mutated passes");
}

#[tokio::test]
async fn a_label_of_the_template_stays_and_the_annotation_overrules_it() {
    let six = ip_instance("fd00-0-0-0-0-0-0-5", "web-0", ("over", "o6"));
    let world = with(&[held_over(), six], chart());
    let mut moved = stateful("web-0", &[]);
    moved["metadata"]["labels"] = prefixed(&[("specified-subnet", "u4")]);
    let (placed, warnings) = world.mutated(&moved).await;
    assert_eq!(placed["metadata"]["labels"], moved["metadata"]["labels"]);
    assert_eq!(annotated(&placed, "specified-subnet").as_deref(), Some("o4/o6"));
    assert!(
        matches!(warnings.as_slice(), [one] if one.contains("\"u4\" ignored")),
        "{warnings:?}"
    );
    assert!(world.create(&placed).await.is_ok(), "what was mutated passes");
}

/// Scenario 118: two addresses of one family are tolerated (spec 0, New).
/// Scenario 144: a left-over of the original does no harm.
#[tokio::test]
async fn left_overs_do_not_hold_a_pod_back() {
    let mut left = ip_instance("10-0-0-6", "web-0", ("over", "o4"));
    left["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut bound = held_over();
    bound["spec"]["binding"] = json!({"nodeName": "node1"});
    let world = with(&[left, bound], chart());
    let keys = [("specified-network", "over"), ("ip-pool", "10.0.0.5")];
    for keys in [&[][..], &keys] {
        let (placed, warnings) = world.mutated(&stateful("web-0", keys)).await;
        assert_eq!(annotated(&placed, "ip-family").as_deref(), Some("IPv4Only"));
        assert_eq!(annotated(&placed, "specified-network").as_deref(), Some("over"));
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(world.create(&placed).await.is_ok());
    }
}

#[tokio::test]
async fn addresses_in_two_networks_are_named() {
    let six = ip_instance("fd00-0-0-0-0-0-0-5", "web-0", ("under", "u6"));
    let refusal = with(&[held_over(), six], chart())
        .mutate(&stateful("web-0", &[]))
        .await
        .expect_err("torn apart");
    assert_eq!(refusal.code, 500);
    says(
        &refusal.message,
        &[
            "10-0-0-5 of network \"over\"",
            "fd00-0-0-0-0-0-0-5 of network \"under\"",
            "delete one of",
        ],
    );
}

/// Scenario 124: addresses that are given up hold nothing.
#[tokio::test]
async fn addresses_that_are_given_up_do_not_hold_a_pod_back() {
    let world = with(&[held_under()], chart());
    let moved = [("specified-network", "over"), ("ip-retain", "false")];
    assert!(world.create(&stateful("web-0", &moved)).await.is_ok());
    // With retention on, mutation has named the network that it keeps.
    let (placed, _) = world.mutated(&stateful("web-0", &moved[..1])).await;
    assert_eq!(annotated(&placed, "specified-network").as_deref(), Some("under"));

    let text = world.denied(&stateful("web-0", &moved[..1])).await;
    says(
        &text,
        &[
            "pod \"web-0\"",
            "keeps 10.0.0.5/24 of network \"under\"",
            "specified-network is \"over\"",
            "set networking.alibaba.com/ip-retain to \"false\"",
        ],
    );
    let text = world
        .denied(&stateful("web-0", &[("specified-subnet", "u6")]))
        .await;
    says(
        &text,
        &[
            "of subnet \"u4\"",
            "specified-subnet is \"u6\"",
            "name the former",
        ],
    );
}

#[tokio::test]
async fn a_pod_keeps_what_its_namespace_may_not_have_any_more() {
    let mut others = super::cluster();
    for object in &mut others {
        object["spec"]["config"] = json!({"allowedNamespaces": ["elsewhere"]});
    }
    let limited = namespace(&[("address-limit", "0")]);
    let world = crate::fixtures::World::of(&[others.as_slice(), &[limited, held_over()]].concat(), chart());
    for keys in [
        &[][..],
        &[("specified-subnet", "o4")],
        &[("specified-network", "over"), ("ip-pool", "10.0.0.5")],
    ] {
        let (placed, _) = world.mutated(&stateful("web-0", keys)).await;
        assert!(world.create(&placed).await.is_ok(), "{keys:?}");
    }
    says(
        &world.denied(&stateful("web-1", &[])).await,
        &["network \"over\" gives no addresses to namespace \"d\""],
    );
}

#[tokio::test]
async fn a_virtual_machine_keeps_its_addresses_in_a_pod_of_another_name() {
    let mut settings = chart();
    settings.gates.vm_ip_retain = true;
    let mut held = ip_instance("10-0-0-5", "x", ("under", "u4"));
    held["metadata"]["labels"] = prefixed(&[("vm", "mine")]);
    let world = with(&[held], settings);
    let owner = |kind: &str, name: &str| json!([{"apiVersion": "kubevirt.io/v1", "kind": kind, "name": name, "uid": "u", "controller": true}]);
    let instance = json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": {"name": "i", "ownerReferences": owner("VirtualMachine", "mine")}});
    let path = "/apis/kubevirt.io/v1/namespaces/d/virtualmachineinstances/i";
    world.api.state().put(path, instance);
    let mut launcher = pod("virt-launcher-mine-abcde", &[]);
    launcher["metadata"]["ownerReferences"] = owner("VirtualMachineInstance", "i");

    let (placed, _) = world.mutated(&launcher).await;
    assert_eq!(annotated(&placed, "specified-network").as_deref(), Some("under"));
    assert_eq!(placed["spec"]["nodeSelector"], json!({"network": "under"}));
    assert!(world.create(&placed).await.is_ok());
}
