use hybridnet_api::settings::Settings;
use serde_json::{Value, json};

use crate::fixtures::{World, ip_instance, network, node, request, subnet};

fn overlay(name: &str) -> Value {
    network(name, json!({"type": "Overlay", "netID": 4}))
}

fn vlan(name: &str, value: &str) -> Value {
    network(name, json!({"nodeSelector": {"network": value}, "netID": 100}))
}

fn bgp(name: &str) -> Value {
    let peers = json!([{"asn": 65001, "address": "10.0.0.1"}]);
    let spec = json!({"mode": "BGP", "netID": 65000, "nodeSelector": {"network": name}, "config": {"bgpPeers": peers}});
    let mut network = network(name, spec);
    network["status"] = json!({"nodeList": ["node1"]});
    network
}

fn world(objects: &[Value]) -> World {
    World::of(objects, Settings::default())
}

#[tokio::test]
async fn a_second_overlay_is_denied_with_the_names_of_both() {
    let world = world(&[overlay("first")]);
    let text = world.denied(&overlay("second")).await;
    assert!(
        text.contains("network \"second\"") && text.contains("network \"first\" is that already"),
        "{text}"
    );
}

#[tokio::test]
async fn of_two_overlays_at_the_same_moment_one_is_denied() {
    let world = world(&[]);
    let (first, second) = (overlay("first"), overlay("second"));
    let answers = tokio::join!(world.create(&first), world.create(&second));
    let denied: Vec<_> = [answers.0, answers.1]
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert!(denied[0].message.contains("at most one"), "{denied:?}");
}

#[tokio::test]
async fn a_dry_run_takes_nothing() {
    let world = world(&[]);
    let mut dry = request("CREATE", Some(&overlay("dry")), None);
    dry.dry_run = Some(true);
    assert!(world.admission.validate(&dry).await.is_ok());
    assert!(world.create(&overlay("wet")).await.is_ok());
}

#[tokio::test]
async fn a_selector_may_not_reach_a_node_of_another_underlay_network() {
    let world = world(&[
        vlan("first", "a"),
        node("node1", json!({"network": "a", "zone": "z"})),
    ]);
    let second = network("second", json!({"nodeSelector": {"zone": "z"}, "netID": 101}));
    assert!(
        world
            .denied(&second)
            .await
            .contains("node \"node1\", which is in network \"first\"")
    );
    let free = network("third", json!({"nodeSelector": {"zone": "y"}, "netID": 101}));
    assert!(world.create(&free).await.is_ok());
    let old = network("third", json!({"nodeSelector": {"zone": "y"}, "netID": 101}));
    let new = network("third", json!({"nodeSelector": {"zone": "z"}, "netID": 101}));
    let refusal = world
        .update(&old, &new)
        .await
        .expect_err("the selector reaches node1");
    assert!(
        refusal.code == 403 && refusal.message.contains("node1"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_bgp_network_updated_without_config_is_denied_and_not_a_crash() {
    let mut new = bgp("b");
    new["spec"]["config"] = json!(null);
    let refusal = world(&[bgp("b")])
        .update(&bgp("b"), &new)
        .await
        .expect_err("peers are missing");
    assert!(
        refusal.code == 403 && refusal.message.contains("bgpPeers is empty"),
        "{refusal}"
    );
}

#[tokio::test]
async fn type_mode_and_net_id_cannot_change() {
    let world = world(&[]);
    for (field, value) in [
        ("type", json!("Overlay")),
        ("mode", json!("BGP")),
        ("netID", json!(7)),
    ] {
        let mut new = vlan("v", "a");
        new["spec"][field] = value;
        let refusal = world.update(&vlan("v", "a"), &new).await.expect_err(field);
        assert!(
            refusal.code == 403 && refusal.message.contains(field),
            "{refusal}"
        );
    }
    let mut labelled = vlan("v", "a");
    labelled["metadata"]["finalizers"] = json!(["x"]);
    assert!(world.update(&vlan("v", "a"), &labelled).await.is_ok());
    assert!(
        world.api.state().reads.is_empty(),
        "nothing is listed for what does not touch a selector"
    );
}

#[tokio::test]
async fn a_network_with_a_subnet_stays() {
    let of_network = subnet(
        "s",
        json!({"network": "o", "range": {"version": "4", "cidr": "10.0.0.0/24"}}),
    );
    let world = world(&[overlay("o"), of_network]);
    let refusal = world.delete(&overlay("o")).await.expect_err("it has a subnet");
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (403, "network \"o\": it has subnets: delete s first")
    );
    assert!(world.delete(&overlay("p")).await.is_ok());
}

#[tokio::test]
async fn a_network_stays_for_a_subnet_that_was_allowed_a_moment_ago() {
    let world = world(&[overlay("o")]);
    let fresh = subnet(
        "s",
        json!({"network": "o", "range": {"version": "4", "cidr": "10.0.0.0/24"}}),
    );
    assert!(world.create(&fresh).await.is_ok());
    assert!(world.delete(&overlay("o")).await.is_err());
}

#[tokio::test]
async fn a_bgp_network_stays_while_its_nodes_announce_global_addresses() {
    let global = network("global", json!({"type": "GlobalBGP"}));
    let held = ip_instance("10-0-0-5", "p", ("global", "s"));
    let refusal = world(&[bgp("b"), global.clone(), held])
        .delete(&bgp("b"))
        .await
        .expect_err("announced");
    assert!(
        refusal
            .message
            .contains("node \"node1\" announces 10.0.0.5/24 of network \"global\""),
        "{refusal}"
    );
    let elsewhere = ip_instance("10-0-0-5", "p", ("other", "s"));
    assert!(
        world(&[bgp("b"), global, elsewhere])
            .delete(&bgp("b"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_is_no_network_is_answered_with_400() {
    let world = world(&[]);
    let mut broken = overlay("o");
    broken["spec"]["netID"] = json!("four");
    assert_eq!(world.create(&broken).await.expect_err("not a number").code, 400);
    let nothing = request("CREATE", Some(&overlay("o")), None);
    let without = crate::review::Request {
        object: None,
        ..nothing
    };
    assert_eq!(
        world
            .admission
            .validate(&without)
            .await
            .expect_err("nothing")
            .code,
        400
    );
}
