//! Objects that no webhook has seen: each is reported where it stands, and everything else works on.

use anyhow::Result;
use serde_json::{Value, json};

use crate::fixture::on_the_fixture;
use crate::objects::{Object, network, node, object, own_subnet, pod, subnet, underlay};
use crate::stage::{IP_INSTANCE, NETWORK, SUBNET, Stage, ip, name};

/// Scenario 48: a Subnet too small among others.
#[test]
fn a_wrong_subnet_says_what_is_wrong_and_the_others_of_its_network_are_used() {
    on_the_fixture("bad-subnets", async |cluster| {
        let stage = Stage::new(cluster, "bad-subnets").await?;
        stage.create(node("bad").labelled("network", "bad")).await?;
        stage.create(underlay("bad", 40)).await?;
        // Named so that it comes last, if they are taken in order.
        let good = subnet("bad-zz", "bad", "10.40.0.0/24").with("spec.range.gateway", "10.40.0.1");
        let of = |name: &str, cidr: &str| subnet(name, "bad", cidr);
        let wrong: [(Object, &str); 7] = [
            (of("bad-host-bits", "10.41.0.7/24"), "10.41.0"),
            (of("bad-small", "10.41.1.0/31"), "31"),
            (
                of("bad-version", "10.41.2.0/24").with("spec.range.version", "6"),
                "10.41.2.0/24",
            ),
            (
                of("bad-start", "10.41.3.0/24").with("spec.range.start", "10.99.0.1"),
                "10.99.0.1",
            ),
            (
                of("bad-gateway", "10.41.4.0/24").with("spec.range.gateway", "10.99.0.1"),
                "10.99.0.1",
            ),
            (
                of("bad-order", "10.41.5.0/24")
                    .with("spec.range.start", "10.41.5.9")
                    .with("spec.range.end", "10.41.5.8"),
                "10.41.5",
            ),
            (
                of("bad-excluded", "10.41.6.0/24")
                    .with("spec.range.excludeIPRanges", json!(["10.41.6.9-here"])),
                "10.41.6.9-here",
            ),
        ];
        for (object, _) in &wrong {
            stage.create(object.clone()).await?;
        }
        stage.create(good).await?;
        // What the schema can see is refused by it, with no webhook at all.
        stage
            .refused(of("bad-text", "rubbish"), &["spec.range.cidr"])
            .await?;

        let found = stage.start(pod("p").on("bad"), 1).await?;
        assert_eq!(found[0]["spec"]["subnet"], "bad-zz");
        for (object, word) in wrong {
            let subnet = Value::from(object);
            let told = stage.condition(SUBNET, name(&subnet), "Ready", "False").await?;
            assert!(
                told.contains(word),
                "{}: {told:?} does not say {word:?}",
                name(&subnet)
            );
            stage.told_of_cluster(name(&subnet), &[word]).await?;
            stage.remove(SUBNET, name(&subnet)).await?;
        }
        stage.clear(&["p"]).await
    });
}

#[test]
fn a_subnet_of_no_network_says_so_and_is_ready_once_there_is_one() {
    on_the_fixture("orphan-subnet", async |cluster| {
        let stage = Stage::new(cluster, "orphan-subnet").await?;
        stage.create(node("late").labelled("network", "late")).await?;
        let range = own_subnet("late", "10.42.0.0/24");
        stage.create(range).await?;
        let told = stage.condition(SUBNET, "late", "Ready", "False").await?;
        assert!(told.contains("late"), "{told}");

        stage.create(underlay("late", 42)).await?;

        stage.condition(SUBNET, "late", "Ready", "True").await?;
        stage.condition(NETWORK, "late", "Ready", "True").await?;
        stage.start(pod("p").on("late"), 1).await?;
        stage.clear(&["p"]).await
    });
}

#[test]
fn a_network_that_cannot_be_says_so_and_the_first_is_used() {
    on_the_fixture("bad-networks", async |cluster| {
        let stage = Stage::new(cluster, "bad-networks").await?;
        stage
            .create(network("second-overlay", "Overlay").with("spec.netID", 5))
            .await?;
        stage
            .refused(network("odd", "Sideways"), &["spec.type", "Underlay"])
            .await?;

        let told = stage
            .condition(NETWORK, "second-overlay", "Conflict", "True")
            .await?;
        assert!(told.contains("overlay-network"), "{told}");
        let found = stage
            .start(pod("p").on("node3").says("network-type", "Overlay"), 1)
            .await?;
        assert_eq!(found[0]["spec"]["network"], "overlay-network");

        stage.clear(&["p"]).await?;
        stage.remove(NETWORK, "second-overlay").await
    });
}

fn instance(name: &str, address: Value) -> Object {
    object(IP_INSTANCE.0, IP_INSTANCE.1, name)
        .labelled("networking.alibaba.com/network", "broken")
        .labelled("networking.alibaba.com/subnet", "broken")
        .with("spec.network", "broken")
        .with("spec.subnet", "broken")
        .with("spec.address", address)
}

async fn taken(stage: &Stage, addresses: &[&str]) -> Result<()> {
    let found = stage.start(pod("p").on("broken"), 1).await?;
    assert!(
        !addresses.contains(&ip(&found[0])),
        "{} is another's",
        ip(&found[0])
    );
    stage.clear(&["p"]).await
}

#[test]
fn an_address_whose_object_is_broken_is_reported_there_and_given_to_nobody() {
    on_the_fixture("broken", async |cluster| {
        let stage = Stage::new(cluster, "broken").await?;
        stage.underlay(43, own_subnet("broken", "10.43.0.0/24")).await?;

        for (name, ip, word) in [
            // Its name says .2, its address .3: both are kept back.
            ("10-43-0-2", "10.43.0.3/24", "10.43.0.3"),
            ("10-43-0-4", "rubbish", "rubbish"),
            ("no-address-at-all", "10.43.0.5/24", "10.43.0.5"),
            ("10-43-0-6", "", "spec.address.ip"),
        ] {
            let address = json!({"version": "4", "ip": ip, "mac": "02:12:34:00:00:01"});
            stage.create(instance(name, address)).await?;
            stage.told(name, &["InvalidSpec", word]).await?;
        }
        let all = [
            "10.43.0.2/24",
            "10.43.0.3/24",
            "10.43.0.4/24",
            "10.43.0.5/24",
            "10.43.0.6/24",
        ];
        taken(&stage, &all).await?;
        for name in ["10-43-0-2", "10-43-0-4", "no-address-at-all", "10-43-0-6"] {
            stage.remove(IP_INSTANCE, name).await?;
        }
        Ok(())
    });
}

#[test]
fn an_address_that_a_shrinking_range_leaves_behind_stays_its_own_and_comes_back_with_the_range() {
    on_the_fixture("shrunk", async |cluster| {
        let stage = Stage::new(cluster, "shrunk").await?;
        stage.underlay(44, own_subnet("shrunk", "10.44.0.0/24")).await?;
        let used = stage.start(pod("used").on("shrunk"), 1).await?;
        assert_eq!(ip(&used[0]), "10.44.0.2/24");

        stage
            .change(
                SUBNET,
                "shrunk",
                json!({"spec": {"range": {"start": "10.44.0.100"}}}),
            )
            .await?;
        let counted = |found: &Value| found["status"]["total"] == 155 && found["status"]["used"] == 0;
        stage.is(SUBNET, "shrunk", "counted anew", counted).await?;
        let told = stage.condition(SUBNET, "shrunk", "Conflict", "True").await?;
        assert!(told.contains("10.44.0.2"), "{told}");
        let next = stage.start(pod("next").on("shrunk"), 1).await?;
        assert_eq!(ip(&next[0]), "10.44.0.100/24");
        stage.bound("used", 1).await?;
        let patch = json!({"spec": {"range": {"start": "10.44.0.1"}}});
        stage.change(SUBNET, "shrunk", patch).await?;
        let counted = |found: &Value| found["status"]["total"] == 253 && found["status"]["used"] == 2;
        stage.is(SUBNET, "shrunk", "counted with both", counted).await?;
        stage.condition(SUBNET, "shrunk", "Conflict", "False").await?;
        stage.clear(&["used", "next"]).await
    });
}

#[test]
fn excluded_and_reserved_ranges_are_left_out() {
    on_the_fixture("several", async |cluster| {
        let stage = Stage::new(cluster, "several").await?;
        let range = own_subnet("several", "10.45.0.0/27")
            .with(
                "spec.range.excludeIPRanges",
                json!(["10.45.0.2-10.45.0.9", "10.45.0.16/28"]),
            )
            .with("spec.range.excludeIPs", json!(["10.45.0.10"]))
            .with("spec.range.reservedIPRanges", json!(["10.45.0.11-10.45.0.12"]));
        stage.underlay(45, range).await?;
        stage
            .is(SUBNET, "several", "counted", |found| {
                found["status"]["total"] == 3
            })
            .await?;

        for (name, expected) in [
            ("a", "10.45.0.13/27"),
            ("b", "10.45.0.14/27"),
            ("c", "10.45.0.15/27"),
        ] {
            assert_eq!(ip(&stage.start(pod(name).on("several"), 1).await?[0]), expected);
        }
        let told = stage.condition(SUBNET, "several", "Exhausted", "True").await?;
        assert!(!told.is_empty());
        stage.condition(NETWORK, "several", "Exhausted", "True").await?;
        stage.clear(&["a", "b", "c"]).await?;
        stage
            .condition(SUBNET, "several", "Exhausted", "False")
            .await
            .map(drop)
    });
}
