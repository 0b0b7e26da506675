//! Full networks (control-plane 5.4, step 7).

use serde_json::{Value, json};

use super::{chart, configured, counted, over, says, sub, under};
use crate::fixtures::{World, ip_instance, network, pod, stateful};

fn left(mut subnet: Value, available: i32) -> Value {
    subnet["status"] = json!({"total": 9, "used": 9 - available, "available": available});
    subnet
}

/// Its range changed after it was counted.
fn grown(mut subnet: Value) -> Value {
    subnet["metadata"]["generation"] = json!(3);
    subnet["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "reason": "Used", "message": "",
        "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    subnet
}

fn o4(available: i32) -> Value {
    left(sub("o4", "over", "4"), available)
}

fn o6(available: i32) -> Value {
    left(sub("o6", "over", "6"), available)
}

fn world(objects: &[Value]) -> World {
    World::of(&[&[under("under")], objects].concat(), chart())
}

/// Scenario 122: a full overlay refuses plain pods.
#[tokio::test]
async fn a_full_overlay_refuses_a_pod_and_an_underlay_network_does_not() {
    for objects in [
        vec![over(0)],
        vec![over(0), o4(0)],
        vec![over(0), o4(3)],
        vec![over(3), o4(0), o6(3)],
    ] {
        let text = world(&objects).denied(&pod("p", &[])).await;
        says(
            &text,
            &[
                "pod \"p\"",
                "Overlay network \"over\" has no IPv4 addresses left for IPv4Only pods of namespace \"d\"",
                "add a Subnet to it, or delete pods",
            ],
        );
        let elsewhere = pod("p", &[("network-type", "Underlay")]);
        assert!(world(&objects).create(&elsewhere).await.is_ok());
    }
    let dual = pod("p", &[("ip-family", "DualStack")]);
    says(
        &world(&[over(3), o4(3), o6(0)]).denied(&dual).await,
        &["no IPv6 addresses left for DualStack pods"],
    );
}

/// Scenario 123: a full overlay takes pods with addresses.
#[tokio::test]
async fn a_full_overlay_takes_pods_that_keep_or_name_addresses() {
    let held = ip_instance("10-0-0-5", "web-0", ("over", "o4"));
    let full = world(&[over(0), o4(0), held]);
    assert!(full.create(&stateful("web-0", &[])).await.is_ok());
    let keys = [("specified-network", "over"), ("ip-pool", "10.0.0.1,10.0.0.2")];
    assert!(full.create(&stateful("web-1", &keys)).await.is_ok());
    says(
        &full.denied(&stateful("web-1", &[])).await,
        &["no IPv4 addresses left"],
    );
}

#[tokio::test]
async fn a_type_that_nobody_has_is_refused() {
    says(
        &World::of(&[under("under")], chart()).denied(&pod("p", &[])).await,
        &[
            "there is no Overlay network",
            "create one",
            "networking.alibaba.com/network-type",
        ],
    );
}

#[tokio::test]
async fn numbers_that_are_not_known_yet_count_as_room() {
    let unknown = || network("over", json!({"type": "Overlay", "netID": 4}));
    for objects in [
        vec![unknown()],
        vec![unknown(), sub("o4", "over", "4")],
        // A subnet that was made or grew a moment ago, before its network counts it.
        vec![over(0), o4(0), sub("fresh", "over", "4")],
        vec![over(0), grown(o4(0))],
        // The caches know the network's numbers, and not its subnets.
        vec![over(5)],
    ] {
        assert!(
            world(&objects).create(&pod("p", &[])).await.is_ok(),
            "{objects:?}"
        );
    }
}

#[tokio::test]
async fn private_and_foreign_subnets_are_no_room_for_a_pod_that_does_not_name_them() {
    let private = configured(o4(5), "private", json!(true));
    let foreign = configured(o4(5), "allowedNamespaces", json!(["elsewhere"]));
    for passed_over in [private.clone(), foreign] {
        let world = world(&[over(5), passed_over]);
        says(
            &world.denied(&pod("p", &[])).await,
            &[
                "network \"over\" has no IPv4 Subnet for namespace \"d\"",
                "\"o4\"",
                "specified-subnet",
            ],
        );
    }
    let named = pod("p", &[("specified-subnet", "o4")]);
    assert!(
        world(&[counted(over(5), 5), private])
            .create(&named)
            .await
            .is_ok()
    );
    let own = configured(o4(5), "allowedNamespaces", json!(["d"]));
    assert!(world(&[over(5), own]).create(&pod("p", &[])).await.is_ok());
}

#[tokio::test]
async fn a_full_subnet_that_is_named_is_waited_for_while_the_network_has_room() {
    let named = pod("p", &[("specified-subnet", "o4")]);
    assert_eq!(
        world(&[over(5), o4(0), left(sub("spare", "over", "4"), 5)])
            .warned(&named)
            .await,
        ["specified-subnet: \"o4\" has no address left: the pod waits until one is free"]
    );
    says(
        &world(&[over(0), o4(0)]).denied(&named).await,
        &["no IPv4 addresses left"],
    );
    assert_eq!(world(&[over(0), o4(1)]).warned(&named).await, [""; 0]);
}
