use serde_json::{Value, json};

use super::*;

fn network(name: &str, spec: Value) -> Network {
    serde_json::from_value(json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "Network",
        "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn on_nodes(mut network: Network, nodes: &[&str]) -> Network {
    network.status.get_or_insert_default().node_list = nodes.iter().map(|&node| node.to_owned()).collect();
    network
}

fn overlay(name: &str) -> Network {
    network(name, json!({"type": "Overlay", "netID": 4}))
}

fn vlan(name: &str, value: &str) -> Network {
    network(name, json!({"nodeSelector": {"network": value}, "netID": 100}))
}

fn bgp(name: &str) -> Network {
    let peer = json!({"asn": 65001, "address": "10.0.0.1"});
    network(
        name,
        json!({"type": "Underlay", "mode": "BGP", "nodeSelector": {"network": name}, "netID": 65000,
               "config": {"bgpPeers": [peer]}}),
    )
}

fn nodes() -> Vec<NodeLabels> {
    let labels = |value: &str| BTreeMap::from([("network".to_owned(), value.to_owned())]);
    vec![
        ("node1".to_owned(), labels("a")),
        ("node2".to_owned(), labels("b")),
        ("node3".to_owned(), BTreeMap::new()),
    ]
}

fn refused(network: &Network, beside: &[Network]) -> String {
    let nodes = nodes();
    let beside = Surroundings {
        networks: beside,
        nodes: &nodes,
    };
    create(network, &beside).unwrap_err().to_string()
}

#[test]
fn each_kind_of_network_comes_in() {
    let global = network("global", json!({"type": "GlobalBGP", "mode": "GlobalBGP"}));
    let untagged = network("untagged", json!({"nodeSelector": {"network": "b"}, "netID": 0}));
    for network in [overlay("o"), vlan("v", "a"), bgp("b"), global, untagged] {
        let beside = Surroundings {
            networks: std::slice::from_ref(&network),
            nodes: &nodes(),
        };
        assert_eq!(create(&network, &beside), Ok(()), "{network:?}");
    }
}

/// Scenario 125: a second Overlay network.
#[test]
fn a_second_network_of_a_unique_type_is_refused_with_the_firsts_name() {
    assert!(refused(&overlay("second"), &[overlay("first")]).contains("network \"first\" is that already"));
    let global = |name| network(name, json!({"type": "GlobalBGP"}));
    assert!(refused(&global("second"), &[global("first")]).contains("\"first\""));
}

/// Scenario 125: an Overlay network without netID or with selector.
/// Scenario 126: an Underlay network without selector.
/// Scenario 127: what BGP networks need, modes of other types.
#[test]
fn fields_that_are_missing_or_mean_nothing_are_named() {
    let peer = |address: &str, asn: i32| {
        let mut network = bgp("b");
        network.spec.config =
            serde_json::from_value(json!({"bgpPeers": [{"asn": asn, "address": address}]})).ok();
        network
    };
    let without = |field: &str| {
        let mut spec = serde_json::to_value(bgp("b").spec).unwrap();
        spec.as_object_mut().unwrap().remove(field);
        network("b", spec)
    };
    let selector = json!({"network": "a"});
    for (network, said) in [
        (network("x", json!({})), "spec.nodeSelector is empty"),
        (
            network("x", json!({"type": "overlay", "netID": 4})),
            "unknown network type \"overlay\"",
        ),
        (
            network("x", json!({"type": "Overlay"})),
            "spec.netID is missing: give a VXLAN network identifier, which a VXLAN network needs",
        ),
        (
            network(
                "x",
                json!({"type": "Overlay", "netID": 4, "nodeSelector": selector}),
            ),
            "spec.nodeSelector is set: leave it out, every node is in the Overlay network",
        ),
        (
            network("x", json!({"type": "Overlay", "netID": 4, "mode": "VLAN"})),
            "spec.mode is VLAN, which is not for spec.type Overlay: leave it out, or use VXLAN",
        ),
        (
            network("x", json!({"nodeSelector": selector, "mode": "Bridge"})),
            "unknown network mode \"Bridge\"",
        ),
        (
            network("x", json!({"nodeSelector": selector, "mode": "VXLAN"})),
            "is not for spec.type Underlay: leave it out, or use VLAN or BGP",
        ),
        (
            network("x", json!({"type": "GlobalBGP", "netID": 5})),
            "spec.netID is 5: leave it out",
        ),
        (
            network("x", json!({"type": "GlobalBGP", "nodeSelector": selector})),
            "every node is in the GlobalBGP network",
        ),
        (
            network("x", json!({"type": "GlobalBGP", "mode": "BGP"})),
            "is not for spec.type GlobalBGP",
        ),
        (
            network("x", json!({"type": "Overlay", "netID": 16_777_216})),
            "from 1 to 16777215",
        ),
        (
            network("x", json!({"type": "Overlay", "netID": 0})),
            "from 1 to 16777215",
        ),
        (
            network("x", json!({"nodeSelector": selector, "netID": 4095})),
            "use a VLAN ID from 0 to 4094",
        ),
        (
            without("netID"),
            "spec.netID is missing: give an AS number, which a BGP network needs",
        ),
        (without("config"), "spec.config.bgpPeers is empty"),
        (peer("x", 65001), "address \"x\" is not an IP address"),
        (peer("10.0.0.1", 0), "asn of 10.0.0.1 is 0"),
        (
            network(&"x".repeat(64), json!({"type": "Overlay", "netID": 4})),
            "metadata.name has 64 characters",
        ),
    ] {
        let text = refused(&network, &[]);
        assert!(text.contains(said), "{text}");
    }
}

/// Scenario 126: a selector that hits another network's node.
#[test]
fn a_node_has_one_underlay_network() {
    let text = refused(&vlan("second", "a"), &[on_nodes(vlan("first", "x"), &["node1"])]);
    assert!(
        text.contains("node \"node1\", which is in network \"first\""),
        "{text}"
    );
    // Not listed in its status yet.
    assert!(refused(&vlan("second", "a"), &[vlan("first", "a")]).contains("\"first\""));
    let beside = [
        on_nodes(vlan("first", "b"), &["node2"]),
        on_nodes(overlay("o"), &["node1"]),
    ];
    let nodes = nodes();
    let beside = Surroundings {
        networks: &beside,
        nodes: &nodes,
    };
    assert_eq!(create(&vlan("second", "a"), &beside), Ok(()));
}

fn changed_to(old: &Network, spec: Value, beside: &[Network]) -> Result<(), String> {
    let nodes = nodes();
    let beside = Surroundings {
        networks: beside,
        nodes: &nodes,
    };
    update(old, &network(&old.name_any(), spec), &beside).map_err(|fault| fault.to_string())
}

/// Scenario 128: type, mode or netID changed.
#[test]
fn type_mode_and_net_id_stay() {
    let old = vlan("v", "a");
    for (spec, said) in [
        (
            json!({"type": "Overlay", "netID": 100}),
            "spec.type cannot change from nothing to \"Overlay\"",
        ),
        (
            json!({"nodeSelector": {"network": "a"}, "netID": 100, "mode": "BGP"}),
            "spec.mode cannot change from nothing to \"BGP\"",
        ),
        (
            json!({"nodeSelector": {"network": "a"}, "netID": 101}),
            "spec.netID cannot change from \"100\" to \"101\"",
        ),
        (
            json!({"nodeSelector": {"network": "a"}}),
            "spec.netID cannot change from \"100\" to nothing",
        ),
        (json!({"netID": 100}), "spec.nodeSelector is empty"),
        (
            json!({"nodeSelector": {"network": "a"}, "type": "x", "netID": 100}),
            "unknown network type",
        ),
        (
            json!({"nodeSelector": {"network": "a"}, "mode": "x", "netID": 100}),
            "unknown network mode",
        ),
    ] {
        let text = changed_to(&old, spec, &[]).unwrap_err();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_default_may_be_spelled_out() {
    let spelled = json!({"nodeSelector": {"network": "a"}, "netID": 100, "type": "Underlay", "mode": "VLAN"});
    assert_eq!(changed_to(&vlan("v", "a"), spelled, &[]), Ok(()));
}

#[test]
fn the_selector_may_change_to_nodes_that_are_free() {
    let spec = |value: &str| json!({"nodeSelector": {"network": value}, "netID": 100});
    assert_eq!(changed_to(&vlan("v", "a"), spec("b"), &[]), Ok(()));
    let other = on_nodes(vlan("other", "b"), &["node2"]);
    let text = changed_to(&vlan("v", "a"), spec("b"), &[other]).unwrap_err();
    assert!(text.contains("node \"node2\""), "{text}");
}

/// Scenario 128: a BGP network updated without config.
#[test]
fn a_bgp_network_keeps_peers_and_may_change_them() {
    let spec = |config: Value| json!({"type": "Underlay", "mode": "BGP", "nodeSelector": {"network": "b"}, "netID": 65000, "config": config});
    let old = bgp("b");
    let other = json!({"bgpPeers": [{"asn": 65009, "address": "fd00::1"}]});
    assert_eq!(changed_to(&old, spec(other), &[]), Ok(()));
    for (config, said) in [
        (json!(null), "bgpPeers is empty"),
        (json!({}), "bgpPeers is empty"),
        (json!({"bgpPeers": [{"asn": 1, "address": "x"}]}), "address \"x\""),
        (
            json!({"bgpPeers": [{"asn": 0, "address": "10.0.0.1"}]}),
            "asn of 10.0.0.1 is 0",
        ),
    ] {
        let text = changed_to(&old, spec(config), &[]).unwrap_err();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn allowed_namespaces_are_names_and_may_change_in_any_mode() {
    let allowing = |name: &str| {
        let mut spec = serde_json::to_value(vlan("v", "a").spec).unwrap();
        spec["config"] = json!({"allowedNamespaces": [name]});
        spec
    };
    let said = "spec.config.allowedNamespaces \"Team A\" is not the name of a namespace";
    assert!(refused(&network("v", allowing("Team A")), &[]).contains(said));
    let text = changed_to(&vlan("v", "a"), allowing("Team A"), &[]).unwrap_err();
    assert!(text.contains(said), "{text}");
    assert_eq!(changed_to(&vlan("v", "a"), allowing("team-a"), &[]), Ok(()));
    // What was stored is not judged again.
    let stored = network("v", allowing("Team A"));
    let mut spec = allowing("Team A");
    spec["nodeSelector"] = json!({"network": "b"});
    assert_eq!(changed_to(&stored, spec, &[]), Ok(()));
}

#[test]
fn what_is_as_it_was_or_is_being_deleted_is_not_judged() {
    let bad = network("bad", json!({"type": "nonsense"}));
    assert_eq!(update(&bad, &bad, &Surroundings::default()), Ok(()));
    let mut terminating = network("bad", json!({"type": "Overlay"}));
    terminating.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
    assert_eq!(update(&bad, &terminating, &Surroundings::default()), Ok(()));
}

/// Scenario 129: a Network with a Subnet is deleted.
#[test]
fn a_network_with_subnets_stays() {
    let subnet = |name: &str, network: &str| {
        let mut subnet = Subnet::new(name, crate::SubnetSpec::default());
        subnet.spec.network = network.to_owned();
        subnet
    };
    let subnets = [subnet("s1", "o"), subnet("s2", "other"), subnet("s3", "o")];
    let dependants = Dependants {
        subnets: &subnets,
        ..Dependants::default()
    };
    let text = delete(&overlay("o"), &dependants).unwrap_err().to_string();
    assert_eq!(text, "it has subnets: delete s1, s3 first");
    assert_eq!(delete(&overlay("p"), &dependants), Ok(()));
}

/// Scenario 129: addresses announced by its nodes.
#[test]
fn a_bgp_network_stays_while_its_nodes_announce_global_addresses() {
    let global = network("global", json!({"type": "GlobalBGP"}));
    let bgp = on_nodes(bgp("b"), &["node1"]);
    assert_eq!(
        global_bgp_beside(&bgp, std::slice::from_ref(&global)).as_deref(),
        Some("global")
    );
    assert_eq!(
        global_bgp_beside(&vlan("v", "a"), std::slice::from_ref(&global)),
        None
    );
    assert_eq!(global_bgp_beside(&bgp, &[overlay("o")]), None);

    let on = |node: &str| {
        let mut instance = IpInstance::new("10-0-0-1", crate::IpInstanceSpec::default());
        instance.spec.network = "global".to_owned();
        instance.spec.address.ip = "10.0.0.1/24".to_owned();
        instance.metadata.labels = Some(BTreeMap::from([(label::NODE.to_owned(), node.to_owned())]));
        instance
    };
    let judged = |node: &str| {
        let announced = [on(node)];
        let dependants = Dependants {
            announced: &announced,
            ..Dependants::default()
        };
        delete(&bgp, &dependants).map_err(|fault| fault.to_string())
    };
    assert_eq!(judged("node2"), Ok(()));
    let text = judged("node1").unwrap_err();
    assert!(
        text.contains("node \"node1\" announces 10.0.0.1/24 of network \"global\""),
        "{text}"
    );
}
