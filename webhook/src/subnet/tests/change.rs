//! How a subnet may change: it grows where nobody is, and shrinks where nothing is in use.

use serde_json::{Value, json};

use super::{overlay, part, says, v4, v6};
use crate::fixtures::{World, ip_instance, network, one_denied, request};

const MISSING: &str = "spec.config.allowedNamespaces: \"a\" not there (yet): check the name";

fn ranged(subnet: &Value, field: &str, value: Value) -> Value {
    let mut new = subnet.clone();
    new["spec"]["range"][field] = value;
    new
}

/// Scenario 134: what may change and what may not.
#[tokio::test]
async fn what_addresses_rest_on_cannot_change_and_the_rest_can() {
    let mut old = v6("s", "fd00::/64", "fd00::1", "fd00::ff");
    old["spec"]["range"]["excludeIPs"] = json!(["fd00::7", "FD00::0008"]);
    let world = World::plain(&[
        overlay(),
        network("p", json!({"type": "Overlay", "netID": 5})),
        old.clone(),
    ]);
    for (field, value, words) in [
        (
            "gateway",
            json!("fd00::fe"),
            "spec.range.gateway cannot change from nothing to \"fd00::fe\"",
        ),
        (
            "cidr",
            json!("fd00::/65"),
            "spec.range.cidr cannot change from \"fd00::/64\" to \"fd00::/65\"",
        ),
        ("version", json!("4"), "version"),
    ] {
        says(
            &world.denied_change(&old, &ranged(&old, field, value)).await,
            "s",
            &[words],
        );
    }
    let mut moved = old.clone();
    moved["spec"]["network"] = json!("p");
    let text = world.denied_change(&old, &moved).await;
    says(
        &text,
        "s",
        &[
            "spec.network cannot change from \"o\" to \"p\"",
            "create another subnet",
        ],
    );

    let mut switched = old.clone();
    switched["spec"]["config"] =
        json!({"private": true, "autoNatOutgoing": false, "allowedNamespaces": ["a"]});
    for new in [
        switched,
        ranged(&old, "excludeIPs", json!(["fd00::8", "fd00::7"])),
        ranged(&old, "reservedIPs", json!(["fd00::9"])),
        ranged(&old, "reservedIPRanges", json!(["fd00::20-fd00::2f"])),
    ] {
        let allowed = world.update(&old, &new).await.expect("it may change");
        let list = &new["spec"]["config"]["allowedNamespaces"];
        let doubts = if list.is_null() {
            vec![]
        } else {
            vec![MISSING.to_owned()]
        };
        assert_eq!(allowed.warnings, doubts, "{new}");
    }
}

#[tokio::test]
async fn a_subnet_grows_where_no_other_is() {
    let old = part("s", 10, 50);
    let world = World::plain(&[overlay(), old.clone(), part("beside", 100, 150)]);
    for (start, end) in [(10, 99), (2, 50), (151, 200)] {
        assert!(
            world.update(&old, &part("s", start, end)).await.is_ok(),
            "{start} to {end}"
        );
    }
    let text = world.denied_change(&old, &part("s", 10, 100)).await;
    says(
        &text,
        "s",
        &[
            "subnet \"beside\"",
            "10.0.0.100",
            "set spec.range.start and spec.range.end",
        ],
    );
}

#[tokio::test]
async fn a_subnet_shrinks_where_no_address_is_in_use() {
    let old = part("s", 10, 50);
    let held = ip_instance("10-0-0-40", "web-0", ("o", "s"));
    let world = World::plain(&[overlay(), old.clone(), held]);
    assert!(world.update(&old, &part("s", 20, 40)).await.is_ok());
    for excluded in [
        json!({"excludeIPs": ["10.0.0.39"]}),
        json!({"excludeIPRanges": ["10.0.0.41-10.0.0.49"]}),
    ] {
        let mut new = old.clone();
        for (key, value) in excluded.as_object().expect("fields") {
            new["spec"]["range"][key] = value.clone();
        }
        assert!(world.update(&old, &new).await.is_ok(), "{new}");
    }
    for new in [
        part("s", 10, 39),
        part("s", 41, 50),
        ranged(&old, "excludeIPs", json!(["10.0.0.40"])),
        ranged(&old, "excludeIPRanges", json!(["10.0.0.32/28"])),
    ] {
        let text = world.denied_change(&old, &new).await;
        says(
            &text,
            "s",
            &[
                "10.0.0.40 (d/10-0-0-40)",
                "delete their pods or IPInstances first",
            ],
        );
    }
}

#[tokio::test]
async fn of_two_that_grow_into_each_other_at_the_same_moment_one_is_denied() {
    let (low, high) = (part("low", 10, 50), part("high", 100, 150));
    let world = World::plain(&[overlay(), low.clone(), high.clone()]);
    let (new_low, new_high) = (part("low", 10, 80), part("high", 70, 150));
    let answers = tokio::join!(world.update(&low, &new_low), world.update(&high, &new_high));
    let text = one_denied(answers);
    assert!(text.contains("\"low\"") && text.contains("\"high\""), "{text}");
}

#[tokio::test]
async fn a_dry_run_of_a_growth_takes_nothing() {
    let old = part("s", 10, 50);
    let world = World::plain(&[overlay(), old.clone()]);
    let mut dry = request("UPDATE", Some(&part("s", 10, 90)), Some(&old));
    dry.dry_run = Some(true);
    assert!(world.admission.validate(&dry).await.is_ok());
    assert!(world.create(&part("new", 60, 90)).await.is_ok());
}

#[tokio::test]
async fn addresses_are_only_counted_when_the_range_changes() {
    let old = part("s", 10, 50);
    let world = World::plain(&[overlay(), old.clone()]);
    let mut private = old.clone();
    private["spec"]["config"] = json!({"private": true});
    assert!(world.update(&old, &private).await.is_ok());
    assert_eq!(
        world.api.state().reads,
        ["/apis/networking.alibaba.com/v1/networks/o"]
    );
}

/// Scenario 139: a finalizer of an orphan can go.
#[tokio::test]
async fn the_finalizer_of_a_subnet_without_a_network_can_go() {
    let world = World::plain(&[]);
    let mut old = v4("s", "10.0.0.0/24");
    old["metadata"]["finalizers"] = json!(["networking.alibaba.com/metrics-registered"]);
    assert!(world.update(&old, &v4("s", "10.0.0.0/24")).await.is_ok());
    let mut bad = v4("s", "nonsense");
    bad["spec"]["range"]["version"] = json!(4);
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert!(
        world.update(&bad, &labelled).await.is_ok(),
        "a bad one is as bad as before"
    );

    let mut private = old.clone();
    private["spec"]["config"] = json!({"private": true});
    assert_eq!(
        world.update(&old, &private).await.expect_err("no network").code,
        500
    );
    private["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    private["spec"]["network"] = json!("gone");
    world.store(&network("gone", json!({"type": "Overlay", "netID": 4})));
    assert!(world.update(&old, &private).await.is_ok());
}
