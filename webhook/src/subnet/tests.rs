//! Subnets as they come in and go; `change` has how they may change.

mod change;

use std::time::{Duration, Instant};

use hybridnet_api::settings::Settings;
use serde_json::{Value, json};

use crate::fixtures::{self, World, ip_instance, network, one_denied, subnet};

fn overlay() -> Value {
    network("o", json!({"type": "Overlay", "netID": 4}))
}

fn v4(name: &str, cidr: &str) -> Value {
    subnet(
        name,
        json!({"network": "o", "range": {"version": "4", "cidr": cidr}}),
    )
}

fn v6(name: &str, cidr: &str, start: &str, end: &str) -> Value {
    let range = json!({"version": "6", "cidr": cidr, "start": start, "end": end});
    subnet(name, json!({"network": "o", "range": range}))
}

/// 10.0.0.0/24 from one host to another.
fn part(name: &str, start: u8, end: u8) -> Value {
    let mut subnet = v4(name, "10.0.0.0/24");
    subnet["spec"]["range"]["start"] = json!(format!("10.0.0.{start}"));
    subnet["spec"]["range"]["end"] = json!(format!("10.0.0.{end}"));
    subnet
}

fn says(text: &str, name: &str, words: &[&str]) {
    fixtures::says(text, &format!("subnet {name:?}"), words);
}

#[tokio::test]
async fn a_subnet_of_no_network_is_denied() {
    let world = World::plain(&[]);
    for network in ["o", "../subnets/o", "o/status"] {
        let mut orphan = v4("s", "10.0.0.0/24");
        orphan["spec"]["network"] = json!(network);
        assert_eq!(
            world.denied(&orphan).await,
            format!("subnet \"s\": spec.network {network:?} does not exist: create that Network first")
        );
    }
    let lonely = subnet(
        "s",
        json!({"network": "", "range": {"version": "4", "cidr": "10.0.0.0/24"}}),
    );
    says(
        &world.denied(&lonely).await,
        "s",
        &["spec.network is empty: name the Network"],
    );
}

/// Scenario 130: VLAN subnets that cannot be.
/// Scenario 131: netIDs where there are none.
#[tokio::test]
async fn each_mode_has_its_fields() {
    let nodes = json!({"network": "x"});
    let peers = json!({"bgpPeers": [{"asn": 65001, "address": "10.0.0.1"}]});
    let world = World::plain(&[
        overlay(),
        network("six", json!({"netID": 6, "nodeSelector": nodes})),
        network("none", json!({"nodeSelector": nodes})),
        network(
            "bgp",
            json!({"mode": "BGP", "netID": 65000, "nodeSelector": nodes, "config": peers}),
        ),
    ]);
    let of = |network: &str, more: Value| {
        let mut spec = json!({"network": network, "range": {"version": "4", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"}});
        for (key, value) in more.as_object().expect("fields") {
            spec[key] = value.clone();
        }
        subnet("s", spec)
    };
    let without = json!({"range": {"version": "4", "cidr": "10.0.0.0/24"}});
    for (subnet, words) in [
        (
            of("six", without),
            "spec.range.gateway is missing: give the fabric's router",
        ),
        (
            of("none", json!({})),
            "spec.netID is missing: give the VLAN ID here or in network \"none\"",
        ),
        (
            of("six", json!({"netID": 5})),
            "spec.netID is 5, but network \"six\" has 6: leave it out",
        ),
        (
            of("six", json!({"config": {"autoNatOutgoing": false}})),
            "spec.config.autoNatOutgoing is false: leave it out, only VXLAN networks masquerade, and this is VLAN",
        ),
        (of("o", json!({"netID": 4})), "spec.netID is 4: leave it out"),
        (of("bgp", json!({"netID": 7})), "spec.netID is 7: leave it out"),
        (
            of("bgp", json!({"config": {"autoNatOutgoing": true}})),
            "autoNatOutgoing is true: leave it out",
        ),
        (
            of("o", json!({"config": {"allowedNamespaces": ["*"]}})),
            "spec.config.allowedNamespaces \"*\" is not the name of a namespace",
        ),
    ] {
        says(&world.denied(&subnet).await, "s", &[words]);
    }
    for subnet in [of("six", json!({})), of("none", json!({"netID": 9}))] {
        assert!(world.create(&subnet).await.is_ok(), "{subnet}");
        assert!(world.delete(&subnet).await.is_ok());
    }
}

/// Scenario 132: at most 65536 addresses.
#[tokio::test]
async fn a_subnet_has_at_most_65536_addresses() {
    let world = World::plain(&[overlay()]);
    let text = world.denied(&v4("s", "10.0.0.0/15")).await;
    says(
        &text,
        "s",
        &["spec.range has 131070 addresses, and 65536 is the most: set spec.range.start"],
    );
    assert!(world.create(&v4("wide", "10.0.0.0/16")).await.is_ok());
    assert!(
        world
            .create(&v6("six", "fd00::/64", "fd00::1", "fd00::ff"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn ranges_that_make_no_sense_are_denied_with_field_value_and_remedy() {
    let world = World::plain(&[overlay()]);
    let with = |field: &str, value: Value| {
        let mut subnet = v4("s", "10.0.0.0/24");
        subnet["spec"]["range"][field] = value;
        subnet
    };
    for (subnet, words) in [
        (with("version", json!("5")), ["\"5\"", "\"4\""]),
        (
            with("version", json!("6")),
            ["spec.range.cidr 10.0.0.0/24 is not IPv6", "use version \"4\""],
        ),
        (
            with("cidr", json!("10.0.0/24")),
            ["spec.range.cidr \"10.0.0/24\"", "write it as"],
        ),
        (
            with("cidr", json!("10.0.0.7/24")),
            ["spec.range.cidr \"10.0.0.7/24\"", "write 10.0.0.0/24"],
        ),
        (
            with("cidr", json!("10.0.0.0/31")),
            ["10.0.0.0/31 is too small", "at most 30"],
        ),
        (
            with("start", json!("10.0.1.1")),
            ["spec.range.start \"10.0.1.1\"", "10.0.0.0/24"],
        ),
        (
            with("gateway", json!("fd00::1")),
            ["spec.range.gateway \"fd00::1\"", "IPv4"],
        ),
        (
            with("reservedIPs", json!(["10.0.0"])),
            ["spec.range.reservedIPs", "\"10.0.0\""],
        ),
        (
            with("excludeIPRanges", json!(["10.0.0.9-10.0.0.1"])),
            ["spec.range.excludeIPRanges", "10.0.0.9"],
        ),
    ] {
        says(&world.denied(&subnet).await, "s", &words);
    }
}

/// Scenario 133: CIDRs and ranges beside each other.
#[tokio::test]
async fn an_overlap_is_denied_with_the_names_of_both() {
    let world = World::plain(&[
        overlay(),
        network("other", json!({"netID": 7, "nodeSelector": {"a": "b"}})),
        part("old", 10, 99),
        v6("old6", "fd00::/64", "fd00::1", "fd00::ff"),
    ]);
    let text = world.denied(&v4("new", "10.0.0.0/25")).await;
    says(
        &text,
        "new",
        &["10.0.0.0/25", "10.0.0.0/24 of subnet \"old\": use the same CIDR"],
    );
    let mut elsewhere = v4("new", "10.0.0.0/24");
    elsewhere["spec"]["network"] = json!("other");
    elsewhere["spec"]["range"]["gateway"] = json!("10.0.0.1");
    let text = world.denied(&elsewhere).await;
    says(
        &text,
        "new",
        &[
            "10.0.0.0/24",
            "subnet \"old\" of network \"o\"",
            "only subnets of one network",
        ],
    );
    let text = world.denied(&part("new", 99, 150)).await;
    says(
        &text,
        "new",
        &["subnet \"new\" and subnet \"old\" both have 10.0.0.99: set spec.range.start"],
    );
    let text = world
        .denied(&v6("new6", "fd00::/64", "fd00::ff", "fd00::1ff"))
        .await;
    says(&text, "new6", &["subnet \"old6\" both have fd00::ff"]);
    for apart in [
        part("apart", 100, 150),
        v4("far", "10.0.1.0/24"),
        v6("apart6", "fd00::/64", "fd00::100", "fd00::1ff"),
    ] {
        assert!(world.create(&apart).await.is_ok(), "{apart}");
    }
}

/// Scenario 136: wide IPv6 prefixes at once.
#[tokio::test]
async fn wide_prefixes_are_compared_at_once() {
    let world = World::plain(&[overlay(), v6("wide", "fd00::/64", "fd00::1", "fd00::ff")]);
    let inside = v6("part", "fd00::/80", "fd00::1:0", "fd00::1:ff");
    let (mut widest, mut half) = (
        v6("a", "fd00::/32", "fd00::1", "fd00::9"),
        v6("b", "fd00::/33", "fd00::1", "fd00::9"),
    );
    for subnet in [&mut widest, &mut half] {
        subnet["spec"]["range"]["excludeIPRanges"] = json!(["fd00:0:1::/48"]);
    }
    let beside = World::plain(&[overlay(), widest.clone()]);
    let start = Instant::now();
    says(&world.denied(&inside).await, "part", &["\"wide\""]);
    says(&beside.denied(&half).await, "b", &["\"a\""]);
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn of_two_at_the_same_moment_one_is_denied_with_the_others_name() {
    for (first, second) in [
        (v4("a", "10.0.0.0/24"), v4("b", "10.0.0.0/24")),
        (
            v6("a", "fd00::/64", "fd00::1", "fd00::9"),
            v6("b", "fd00::/64", "fd00::5", "fd00::ff"),
        ),
    ] {
        let world = World::plain(&[overlay()]);
        let answers = tokio::join!(world.create(&first), world.create(&second));
        let text = one_denied(answers);
        assert!(text.contains("\"a\"") && text.contains("\"b\""), "{text}");
    }
}

#[tokio::test]
async fn a_name_may_be_used_again_after_deletion() {
    let world = World::plain(&[overlay()]);
    assert!(world.create(&v4("a", "10.0.0.0/24")).await.is_ok());
    assert!(world.delete(&v4("a", "10.0.0.0/24")).await.is_ok());
    assert!(world.create(&v4("b", "10.0.0.0/24")).await.is_ok());
}

#[tokio::test]
async fn the_list_is_live_and_the_caches_do_not_count() {
    let world = World::behind(&[], &[overlay()], Settings::default());
    world.store(&v4("late", "10.0.0.0/24"));
    says(
        &world.denied(&v4("new", "10.0.0.0/25")).await,
        "new",
        &["\"late\""],
    );
}

/// Scenario 135: a subnet with a reserved address stays.
#[tokio::test]
async fn a_subnet_with_an_address_in_use_stays_and_the_address_is_told() {
    let held = ip_instance("10-0-0-5", "web-0", ("o", "s"));
    let world = World::plain(&[overlay(), held]);
    let refusal = world.delete(&v4("s", "10.0.0.0/24")).await.expect_err("in use");
    assert_eq!(refusal.code, 403);
    says(
        &refusal.message,
        "s",
        &["10.0.0.5 (d/10-0-0-5)", "delete their pods or IPInstances first"],
    );
    assert!(world.delete(&v4("other", "10.0.1.0/24")).await.is_ok());
}

#[tokio::test]
async fn a_subnet_whose_name_is_no_label_comes_in_never_and_goes_always() {
    let world = World::plain(&[overlay()]);
    let long = v4(&"s".repeat(64), "10.0.0.0/24");
    assert!(
        world
            .denied(&long)
            .await
            .contains("metadata.name has 64 characters: use at most 63")
    );
    assert!(world.delete(&long).await.is_ok());
}
