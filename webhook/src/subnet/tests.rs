use std::time::{Duration, Instant};

use hybridnet_api::settings::Settings;
use serde_json::{Value, json};

use crate::fixtures::{World, ip_instance, network, subnet};

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

fn world(objects: &[Value]) -> World {
    World::of(objects, Settings::default())
}

#[tokio::test]
async fn a_subnet_of_no_network_is_denied() {
    let world = world(&[]);
    let text = world.denied(&v4("s", "10.0.0.0/24")).await;
    assert_eq!(
        text,
        "subnet \"s\": spec.network \"o\" does not exist: create that Network first"
    );
    let lonely = subnet(
        "s",
        json!({"network": "", "range": {"version": "4", "cidr": "10.0.0.0/24"}}),
    );
    assert!(world.denied(&lonely).await.contains("spec.network is empty"));
}

#[tokio::test]
async fn an_overlap_is_denied_with_the_names_of_both() {
    let world = world(&[
        overlay(),
        v4("old", "10.0.0.0/24"),
        v6("old6", "fd00::/64", "fd00::1", "fd00::ff"),
    ]);
    let text = world.denied(&v4("new", "10.0.0.0/25")).await;
    assert!(
        text.contains("subnet \"new\"") && text.contains("subnet \"old\""),
        "{text}"
    );
    let text = world
        .denied(&v6("new6", "fd00::/64", "fd00::ff", "fd00::1ff"))
        .await;
    assert!(
        text.contains("subnet \"new6\" and subnet \"old6\" both have fd00::ff"),
        "{text}"
    );
    assert!(world.create(&v4("apart", "10.0.1.0/24")).await.is_ok());
    assert!(
        world
            .create(&v6("apart6", "fd00::/64", "fd00::100", "fd00::1ff"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_prefix_inside_of_a_wide_one_is_denied_at_once() {
    let start = Instant::now();
    let world = world(&[overlay(), v6("wide", "fd00::/64", "fd00::1", "fd00::ff")]);
    let text = world
        .denied(&v6("part", "fd00::/80", "fd00::1:0", "fd00::1:ff"))
        .await;
    assert!(text.contains("\"part\"") && text.contains("\"wide\""), "{text}");
    assert!(start.elapsed() < Duration::from_secs(1));
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
        let world = world(&[overlay()]);
        let answers = tokio::join!(world.create(&first), world.create(&second));
        let denied: Vec<_> = [answers.0, answers.1]
            .into_iter()
            .filter_map(Result::err)
            .collect();
        assert_eq!(denied.len(), 1, "{denied:?}");
        let text = &denied[0].message;
        assert!(text.contains("\"a\"") && text.contains("\"b\""), "{text}");
    }
}

#[tokio::test]
async fn a_name_may_be_used_again_after_deletion() {
    let world = world(&[overlay()]);
    assert!(world.create(&v4("a", "10.0.0.0/24")).await.is_ok());
    assert!(world.delete(&v4("a", "10.0.0.0/24")).await.is_ok());
    assert!(world.create(&v4("b", "10.0.0.0/24")).await.is_ok());
}

#[tokio::test]
async fn the_list_is_live_and_the_caches_do_not_count() {
    let world = World::behind(&[], &[overlay()], Settings::default());
    world.store(&v4("late", "10.0.0.0/24"));
    assert!(world.denied(&v4("new", "10.0.0.0/25")).await.contains("\"late\""));
}

#[tokio::test]
async fn what_addresses_rest_on_cannot_change() {
    let world = world(&[overlay()]);
    let old = v6("s", "fd00::/64", "fd00::1", "fd00::ff");
    let with = |field: &str, value: Value| {
        let mut new = old.clone();
        new["spec"]["range"][field] = value;
        new
    };
    for (field, value) in [
        ("start", json!("fd00::2")),
        ("end", json!("fd00::fe")),
        ("gateway", json!("fd00::ffff")),
        ("excludeIPs", json!(["fd00::7"])),
    ] {
        let refusal = world.update(&old, &with(field, value)).await.expect_err(field);
        assert!(
            refusal.code == 403 && refusal.message.contains(field),
            "{refusal}"
        );
    }
    assert!(
        world
            .update(&old, &with("reservedIPs", json!(["fd00::7"])))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_finalizer_of_a_subnet_without_a_network_can_go() {
    let world = world(&[]);
    let mut old = v4("s", "10.0.0.0/24");
    old["metadata"]["finalizers"] = json!(["networking.alibaba.com/metrics-registered"]);
    assert!(world.update(&old, &v4("s", "10.0.0.0/24")).await.is_ok());
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

#[tokio::test]
async fn a_subnet_with_an_address_in_use_stays_and_the_address_is_told() {
    let held = ip_instance("10-0-0-5", "web-0", ("o", "s"));
    let world = world(&[overlay(), held]);
    let refusal = world.delete(&v4("s", "10.0.0.0/24")).await.expect_err("in use");
    assert_eq!(refusal.code, 403);
    assert!(refusal.message.contains("10.0.0.5 (d/10-0-0-5)"), "{refusal}");
    assert!(world.delete(&v4("other", "10.0.1.0/24")).await.is_ok());
}
