use hybridnet_api::settings::Settings;
use serde_json::{Value, json};

use crate::fixtures::{self, World, ip_instance, network, node, one_denied, remote, request, subnet};

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

fn with(mut network: Value, field: &str, value: Value) -> Value {
    network["spec"][field] = value;
    network
}

fn says(text: &str, name: &str, words: &[&str]) {
    fixtures::says(text, &format!("network {name:?}"), words);
}

/// Scenario 125: overlay networks that cannot be.
#[tokio::test]
async fn an_overlay_is_the_only_one_has_an_identifier_and_no_selector() {
    let beside = World::plain(&[overlay("first")]);
    let text = beside.denied(&overlay("second")).await;
    says(
        &text,
        "second",
        &["spec.type is Overlay", "\"first\" is that already", "at most one"],
    );
    let alone = World::plain(&[]);
    let text = alone.denied(&with(overlay("o"), "netID", json!(null))).await;
    says(
        &text,
        "o",
        &["spec.netID is missing: give a VXLAN network identifier"],
    );
    let text = alone
        .denied(&with(overlay("o"), "nodeSelector", json!({"a": "b"})))
        .await;
    says(&text, "o", &["spec.nodeSelector is set: leave it out", "Overlay"]);
    assert!(alone.create(&overlay("o")).await.is_ok());
}

#[tokio::test]
async fn of_two_overlays_at_the_same_moment_one_is_denied() {
    let world = World::plain(&[]);
    let (first, second) = (overlay("first"), overlay("second"));
    let answers = tokio::join!(world.create(&first), world.create(&second));
    let text = one_denied(answers);
    assert!(text.contains("at most one"), "{text}");
}

#[tokio::test]
async fn a_dry_run_takes_nothing() {
    let world = World::plain(&[]);
    let mut dry = request("CREATE", Some(&overlay("dry")), None);
    dry.dry_run = Some(true);
    assert!(world.admission.validate(&dry).await.is_ok());
    assert!(world.create(&overlay("wet")).await.is_ok());
}

/// Scenario 126: underlay selectors that cannot be.
#[tokio::test]
async fn a_selector_may_not_reach_a_node_of_another_underlay_network() {
    let world = World::plain(&[
        vlan("first", "a"),
        node("node1", json!({"network": "a", "zone": "z"})),
    ]);
    let text = world
        .denied(&with(vlan("second", "b"), "nodeSelector", json!({})))
        .await;
    says(
        &text,
        "second",
        &["spec.nodeSelector is empty: give the labels of its nodes"],
    );
    let second = network("second", json!({"nodeSelector": {"zone": "z"}, "netID": 101}));
    let words = [
        "spec.nodeSelector matches node \"node1\", which is in network \"first\"",
        "select other nodes",
    ];
    says(&world.denied(&second).await, "second", &words);
    let third = |zone: &str| network("third", json!({"nodeSelector": {"zone": zone}, "netID": 101}));
    assert!(world.create(&third("y")).await.is_ok());
    says(
        &world.denied_change(&third("y"), &third("z")).await,
        "third",
        &words,
    );
}

#[tokio::test]
async fn of_two_selectors_that_move_to_one_node_at_the_same_moment_one_is_denied() {
    let (first, second) = (vlan("first", "a"), vlan("second", "b"));
    let world = World::plain(&[first.clone(), second.clone(), node("node1", json!({"zone": "z"}))]);
    let moved = |network: &Value| with(network.clone(), "nodeSelector", json!({"zone": "z"}));
    let (new_first, new_second) = (moved(&first), moved(&second));
    let answers = tokio::join!(
        world.update(&first, &new_first),
        world.update(&second, &new_second)
    );
    let text = one_denied(answers);
    assert!(text.contains("node1"), "{text}");
}

/// Scenario 127: BGP networks and modes that cannot be.
#[tokio::test]
async fn each_mode_has_its_fields() {
    let world = World::plain(&[]);
    let peers = |asn: i32, address: &str| json!({"bgpPeers": [{"asn": asn, "address": address}]});
    for (network, words) in [
        (
            with(bgp("n"), "netID", json!(null)),
            "spec.netID is missing: give an AS number",
        ),
        (
            with(bgp("n"), "config", json!(null)),
            "spec.config.bgpPeers is empty: give the routers",
        ),
        (
            with(bgp("n"), "config", peers(65001, "x")),
            "spec.config.bgpPeers: address \"x\" is not an IP address: write that of the router",
        ),
        (
            with(bgp("n"), "config", peers(0, "10.0.0.1")),
            "spec.config.bgpPeers: asn of 10.0.0.1 is 0: use a number above 0",
        ),
        (
            network("n", json!({"type": "GlobalBGP", "netID": 7})),
            "spec.netID is 7: leave it out",
        ),
        (
            with(overlay("n"), "mode", json!("VLAN")),
            "spec.mode is VLAN, which is not for spec.type Overlay: leave it out, or use VXLAN",
        ),
        (
            with(overlay("n"), "mode", json!("Mesh")),
            "\"Mesh\": use one of VLAN, BGP, VXLAN, GlobalBGP",
        ),
        (
            with(overlay("n"), "type", json!("overlay")),
            "\"overlay\": use one of Underlay, Overlay, GlobalBGP",
        ),
        (
            with(vlan("n", "a"), "netID", json!(4095)),
            "spec.netID is 4095: use a VLAN ID from 0 to 4094",
        ),
        (
            with(overlay("n"), "netID", json!(16_777_216)),
            "16777216: use a VXLAN network identifier from 1",
        ),
        (
            with(overlay("n"), "config", json!({"allowedNamespaces": ["Team"]})),
            "spec.config.allowedNamespaces \"Team\" is not the name of a namespace: write whole names",
        ),
    ] {
        says(&world.denied(&network).await, "n", &[words]);
    }
    for network in [
        bgp("n"),
        network("n", json!({"type": "GlobalBGP"})),
        vlan("v", "a"),
    ] {
        assert!(world.create(&network).await.is_ok(), "{network}");
    }
}

/// Scenario 128: type, mode and netID stay.
#[tokio::test]
async fn type_mode_and_net_id_cannot_change() {
    let world = World::plain(&[]);
    for (field, value, words) in [
        (
            "type",
            json!("Overlay"),
            "spec.type cannot change from nothing to \"Overlay\"",
        ),
        (
            "mode",
            json!("BGP"),
            "spec.mode cannot change from nothing to \"BGP\"",
        ),
        (
            "netID",
            json!(7),
            "spec.netID cannot change from \"100\" to \"7\"",
        ),
        (
            "netID",
            json!(null),
            "spec.netID cannot change from \"100\" to nothing",
        ),
    ] {
        let text = world
            .denied_change(&vlan("v", "a"), &with(vlan("v", "a"), field, value))
            .await;
        says(&text, "v", &[words, "create another network"]);
    }
    let spelled_out = with(vlan("v", "a"), "mode", json!("VLAN"));
    assert!(world.update(&vlan("v", "a"), &spelled_out).await.is_ok());
    assert!(
        world.api.state().reads.is_empty(),
        "nothing is listed for what does not touch a selector"
    );
}

/// Scenario 128: a BGP network without config.
#[tokio::test]
async fn a_bgp_network_updated_without_config_is_denied_and_not_a_crash() {
    let bare = with(bgp("b"), "config", json!(null));
    let text = World::plain(&[bgp("b")]).denied_change(&bgp("b"), &bare).await;
    says(&text, "b", &["spec.config.bgpPeers is empty: give the routers"]);
}

#[tokio::test]
async fn an_allowed_namespace_that_is_not_there_is_told() {
    let world = World::plain(&[]);
    let open_to = |names: Value| with(overlay("o"), "config", json!({"allowedNamespaces": names}));
    assert_eq!(world.warned(&open_to(json!(["d"]))).await, [""; 0]);
    let slip = open_to(json!(["d", "e", "f"]));
    let changed = world.update(&overlay("o"), &slip).await.expect("it is allowed");
    assert_eq!(
        changed.warnings,
        ["spec.config.allowedNamespaces: \"e\" and 1 more not there (yet): check the name"]
    );
}

#[tokio::test]
async fn what_is_as_bad_as_it_was_or_is_going_is_not_judged() {
    let bad = network(
        "o",
        json!({"type": "Mesh", "netID": -1, "nodeSelector": {"a": 7}}),
    );
    let world = World::plain(&[]);
    let mut new = bad.clone();
    new["metadata"]["finalizers"] = json!(["x"]);
    new["status"] = json!({"nodeList": ["node1"]});
    assert!(world.update(&bad, &new).await.is_ok());
    new["spec"]["netID"] = json!(-2);
    assert!(world.update(&bad, &new).await.is_err());
    new["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(world.update(&bad, &new).await.is_ok());
    let mut status = request("UPDATE", Some(&overlay("o")), Some(&vlan("o", "a")));
    status.sub_resource = Some("status".to_owned());
    assert!(world.admission.validate(&status).await.is_ok());
}

/// Scenario 129: a network in use stays.
#[tokio::test]
async fn a_network_with_a_subnet_stays() {
    let of_network = subnet(
        "s",
        json!({"network": "o", "range": {"version": "4", "cidr": "10.0.0.0/24"}}),
    );
    let world = World::plain(&[overlay("o"), of_network]);
    let refusal = world.delete(&overlay("o")).await.expect_err("it has a subnet");
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (403, "network \"o\": it has subnets: delete s first")
    );
    assert!(world.delete(&overlay("p")).await.is_ok());
}

#[tokio::test]
async fn a_network_stays_for_a_subnet_that_was_allowed_a_moment_ago() {
    let world = World::plain(&[overlay("o")]);
    let fresh = subnet(
        "s",
        json!({"network": "o", "range": {"version": "4", "cidr": "10.0.0.0/24"}}),
    );
    assert!(world.create(&fresh).await.is_ok());
    assert!(world.delete(&overlay("o")).await.is_err());
}

/// Scenario 129: a BGP network whose nodes announce.
#[tokio::test]
async fn a_bgp_network_stays_while_its_nodes_announce_global_addresses() {
    let global = network("global", json!({"type": "GlobalBGP"}));
    let held = ip_instance("10-0-0-5", "p", ("global", "s"));
    let refusal = World::plain(&[bgp("b"), global.clone(), held])
        .delete(&bgp("b"))
        .await
        .expect_err("announced");
    says(
        &refusal.message,
        "b",
        &[
            "node \"node1\" announces 10.0.0.5/24 of network \"global\"",
            "move these pods away first",
        ],
    );
    let elsewhere = ip_instance("10-0-0-5", "p", ("other", "s"));
    assert!(
        World::plain(&[bgp("b"), global, elsewhere])
            .delete(&bgp("b"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_overlay_that_carries_traffic_to_other_clusters_stays() {
    let east = remote(
        "RemoteCluster",
        "east",
        json!({"apiEndpoint": "https://1.2.3.4:6443"}),
    );
    let mut settings = Settings::default();
    settings.gates.multi_cluster = true;
    let connected = World::of(&[overlay("o"), east.clone()], settings.clone());
    let refusal = connected
        .delete(&overlay("o"))
        .await
        .expect_err("clusters are connected");
    assert_eq!(refusal.code, 403);
    says(
        &refusal.message,
        "o",
        &[
            "carries the traffic to RemoteCluster \"east\"",
            "delete all RemoteClusters first",
        ],
    );
    assert!(connected.delete(&vlan("v", "a")).await.is_ok());
    assert!(
        World::of(&[], settings).delete(&overlay("o")).await.is_ok(),
        "the kind is not served"
    );
    assert!(
        World::plain(&[east]).delete(&overlay("o")).await.is_ok(),
        "the gate is off"
    );
}

#[tokio::test]
async fn what_is_no_network_is_answered_with_400() {
    let world = World::plain(&[]);
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
