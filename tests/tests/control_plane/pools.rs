//! `ip-pool` and `mac-pool`: an entry an ordinal (control-plane spec 4.3.6, 6.3).

use anyhow::Result;
use serde_json::{Value, json};

use crate::fixture::on_the_fixture;
use crate::objects::{Object, object, own_subnet, pod, stateful_set};
use crate::stage::{IP_INSTANCE, POD, STATEFUL_SET, Stage, ip, mac, name, uid};

/// A pod of the overlay.
fn pooled(name: &str, set: &Value, pool: &str) -> Object {
    let pod = pod(name).on("node3").of(set);
    pod.says("specified-network", "overlay-network")
        .says("ip-pool", pool)
}

async fn restart(stage: &Stage, pod: Object, former: &str) -> Result<Vec<Value>> {
    stage.remove(POD, former).await?;
    stage.start(pod, 1).await
}

/// Scenario 70: an address an ordinal.
#[test]
fn every_ordinal_gets_its_entry_of_the_pool() {
    on_the_fixture("pool", async |cluster| {
        let stage = Stage::new(cluster, "pool").await?;
        let set = stage.create(stateful_set("pod-sts", 3)).await?;
        let pool = "100.10.0.150,100.10.0.160,100.10.0.170";

        for (ordinal, expected) in ["100.10.0.150/24", "100.10.0.160/24", "100.10.0.170/24"]
            .iter()
            .enumerate()
        {
            let found = stage
                .start(pooled(&format!("pod-sts-{ordinal}"), &set, pool), 1)
                .await?;
            assert_eq!(ip(&found[0]), *expected);
        }
        stage.end_workload(STATEFUL_SET, "pod-sts").await
    });
}

/// Scenario 71: a changed entry replaces the address.
/// Scenario 72: an unchanged entry keeps the object.
#[test]
fn a_pool_that_changes_changes_the_address_and_one_that_does_not_keeps_the_object() {
    on_the_fixture("changed-pool", async |cluster| {
        let stage = Stage::new(cluster, "changed-pool").await?;
        let set = stage.create(stateful_set("web", 2)).await?;
        let first = stage
            .start(pooled("web-0", &set, "100.10.0.151,100.10.0.161"), 1)
            .await?;

        let same = restart(
            &stage,
            pooled("web-0", &set, "100.10.0.151,100.10.0.161"),
            "web-0",
        )
        .await?;
        assert_eq!((uid(&same[0]), mac(&same[0])), (uid(&first[0]), mac(&first[0])));

        let other = restart(
            &stage,
            pooled("web-0", &set, "100.10.0.152,100.10.0.161"),
            "web-0",
        )
        .await?;
        assert_eq!(ip(&other[0]), "100.10.0.152/24");
        stage.gone(IP_INSTANCE, "100-10-0-151").await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 73: entries that cannot be used.
/// Scenario 74: dual-stack entries in the wrong order.
#[test]
fn an_entry_that_cannot_be_used_is_told_and_nothing_is_taken() {
    on_the_fixture("wrong-pool", async |cluster| {
        let stage = Stage::new(cluster, "wrong-pool").await?;
        let set = stage.create(stateful_set("web", 9)).await?;
        let both = |name: &str, pool: &str| pooled(name, &set, pool).says("ip-family", "DualStack");

        for (object, words) in [
            (
                pooled("web-2", &set, "100.10.0.153,100.10.0.154"),
                vec!["web-2", "2"],
            ),
            (
                pooled("web-1", &set, "100.10.0.153,,100.10.0.154"),
                vec!["ip-pool"],
            ),
            (pooled("web-0", &set, "abc"), vec!["abc"]),
            (pooled("nameless", &set, "100.10.0.153"), vec!["ip-pool"]),
            (pooled("web-3", &set, "1,2,3,10.77.0.1"), vec!["10.77.0.1"]),
            (both("web-4", "1,2,3,4,fe80::40/100.10.0.153"), vec!["fe80::40"]),
        ] {
            let pod = stage.create(object).await?;
            let told = stage.told(name(&pod), &["IPAllocationFail"]).await?;
            let any = words.iter().any(|word| told.contains(word));
            assert!(any, "one of {words:?} in {told}");
            assert!(stage.held(name(&pod)).await?.is_empty(), "{pod}");
            stage.remove(POD, name(&pod)).await?;
        }
        let found = stage.start(both("web-0", "100.10.0.153/fe80::40"), 2).await?;
        assert_eq!(
            (ip(&found[0]), ip(&found[1])),
            ("100.10.0.153/24", "fe80::40/120")
        );
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 76: a MAC an ordinal, and it stays.
/// Scenario 77: a MAC is taken within a Network only.
#[test]
fn every_ordinal_gets_its_mac_and_no_two_pods_of_a_network_have_one() {
    on_the_fixture("macs", async |cluster| {
        let stage = Stage::new(cluster, "macs").await?;
        let set = stage.create(stateful_set("web", 3)).await?;
        let other = stage.create(stateful_set("other", 1)).await?;
        let macs = ["00:16:ea:ae:3c:40", "08:00:20:0a:8c:6d", "08:00:20:0a:0a:40"];
        let asked = |name: &str| pod(name).on("node1").of(&set).says("mac-pool", &macs.join(","));

        for (ordinal, expected) in macs.iter().enumerate() {
            let name = format!("web-{ordinal}");
            assert_eq!(mac(&stage.start(asked(&name), 1).await?[0]), *expected);
        }
        let again = restart(&stage, pod("web-1").on("node2").of(&set), "web-1").await?;
        assert_eq!(mac(&again[0]), macs[1]);

        let same = pod("other-0")
            .of(&other)
            .says("mac-pool", &macs[0].replace(':', "-"));
        stage.create(same.clone().on("node2")).await?;
        stage.told("other-0", &["IPAllocationFail", macs[0]]).await?;
        assert!(stage.held("other-0").await?.is_empty());
        stage.remove(POD, "other-0").await?;
        let elsewhere = stage
            .start(same.on("node3").says("specified-network", "overlay-network"), 1)
            .await?;
        assert_eq!(mac(&elsewhere[0]), macs[0]);
        stage.end_workload(STATEFUL_SET, "other").await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 39: a reserved address is given by name.
#[test]
fn a_reserved_address_is_given_to_the_pool_that_names_it_and_an_excluded_one_is_not() {
    on_the_fixture("reserved", async |cluster| {
        let stage = Stage::new(cluster, "reserved").await?;
        let range = own_subnet("reserved", "10.8.0.0/29")
            .with("spec.range.reservedIPs", json!(["10.8.0.3"]))
            .with("spec.range.excludeIPs", json!(["10.8.0.4"]));
        stage.underlay(8, range).await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        let asked = |pool: &str| pod("web-0").on("reserved").of(&set).says("ip-pool", pool);

        let found = stage.start(asked("10.8.0.3"), 1).await?;
        assert_eq!(ip(&found[0]), "10.8.0.3/29");
        stage.remove(POD, "web-0").await?;
        stage.create(asked("10.8.0.4")).await?;
        stage.told("web-0", &["IPAllocationFail", "10.8.0.4"]).await?;
        stage.remove(POD, "web-0").await?;

        let plain = stage.start(pod("plain").on("reserved"), 1).await?;
        assert_eq!(ip(&plain[0]), "10.8.0.2/29");
        stage.clear(&["plain"]).await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// An address that a former pool has left behind, as the release 0.8.9 does.
fn left_over(set: &Value, address: &str, node: &str) -> Object {
    let key = |name: &str| format!("networking.alibaba.com/{name}");
    let labels = json!({
        key("version"): "v1.2", key("network"): "overlay-network", key("subnet"): "overlay-ipv4-subnet",
        key("pod"): "web-0"});
    object(
        "networking.alibaba.com/v1",
        "IPInstance",
        &address.replace('.', "-"),
    )
    .of(set)
    .with("metadata.labels", labels)
    .with("metadata.finalizers", json!([key("ip-allocated")]))
    .with("spec.network", "overlay-network")
    .with("spec.subnet", "overlay-ipv4-subnet")
    .with(
        "spec.address",
        json!({"version": "4", "ip": format!("{address}/24"), "netID": 44, "mac": "02:12:34:00:01:02"}),
    )
    .with(
        "spec.binding",
        json!({"referredObject": {"kind": "StatefulSet", "name": "web", "uid": set["metadata"]["uid"]},
                   "nodeName": node, "podName": "web-0", "stateful": {"index": 0}}),
    )
}

/// Scenario 144: a left-over of a changed pool.
#[test]
fn of_two_addresses_of_one_family_the_wanted_one_is_kept_and_the_other_deleted() {
    on_the_fixture("left-over", async |cluster| {
        let stage = Stage::new(cluster, "left-over").await?;
        let set = stage.create(stateful_set("web", 1)).await?;

        for (asked, expected) in [
            (pooled("web-0", &set, "100.10.0.155"), "100.10.0.155/24"),
            (pod("web-0").on("node3").of(&set), "100.10.0.156/24"),
        ] {
            stage.create(left_over(&set, "100.10.0.155", "")).await?;
            // The one that its pod had last: its node is still told.
            stage.create(left_over(&set, "100.10.0.156", "node3")).await?;

            stage.create(asked).await?;
            let found = stage.bound("web-0", 1).await?;
            assert_eq!(ip(&found[0]), expected);
            stage.remove(POD, "web-0").await?;
            stage.remove(IP_INSTANCE, name(&found[0])).await?;
        }
        stage.end_workload(STATEFUL_SET, "web").await
    });
}
