//! What the webhook says about Subnets (control-plane spec 6.5).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::objects::{Object, node, pod, subnet, underlay};
use crate::stage::{NETWORK, SUBNET, Stage, ip};
use crate::{on_the_control_plane, overlay, past_the_validating_webhook};

fn vlan(name: &str, cidr: &str, gateway: &str) -> Object {
    subnet(name, "vlan", cidr).with("spec.range.gateway", gateway)
}

/// Scenario 130: VLAN Subnets that are refused.
/// Scenario 131: VXLAN and BGP Subnets with a netID.
/// Scenario 132: the limit of a Subnet's size.
#[test]
fn a_subnet_that_does_not_fit_its_network_is_refused() {
    on_the_control_plane("subnets", async |cluster| {
        overlay(cluster, "subnets", "10.67.0.0/24", "fd00:67::/120").await?;
        let stage = Stage::new(cluster, "subnets").await?;
        stage.create(underlay("vlan", 6)).await?;
        stage
            .create(underlay("vlan-none", 0).with("spec.netID", Value::Null))
            .await?;
        let peers = json!([{"asn": 65002, "address": "192.0.2.1"}]);
        let bgp = underlay("bgp-net", 65001)
            .with("spec.mode", "BGP")
            .with("spec.config.bgpPeers", peers);
        stage.create(bgp).await?;
        let good = || vlan("wrong", "10.68.0.0/24", "10.68.0.1");
        let of = |network: &str| subnet("wrong", network, "10.68.0.0/24");

        for (object, words) in [
            (subnet("wrong", "vlan", "10.68.0.0/24"), vec!["gateway"]),
            (
                of("vlan-none").with("spec.range.gateway", "10.68.0.1"),
                vec!["netID"],
            ),
            (good().with("spec.netID", 5), vec!["5", "6"]),
            (
                good().with("spec.config.autoNatOutgoing", true),
                vec!["autoNatOutgoing"],
            ),
            (of("overlay").with("spec.netID", 5), vec!["netID"]),
            (of("bgp-net").with("spec.netID", 5), vec!["netID"]),
            (
                of("overlay").with("spec.range.cidr", "10.68.0.0/15"),
                vec!["131070"],
            ),
            (
                of("overlay").with("spec.range.cidr", "10.68.0.1/32"),
                vec!["10.68.0.1/32"],
            ),
            (of("overlay").with("spec.range.cidr", "10.68.0.0/31"), vec!["31"]),
            (
                of("overlay").with("spec.range.version", "6"),
                vec!["10.68.0.0/24"],
            ),
            (
                of("overlay")
                    .with("spec.range.start", "10.68.0.9")
                    .with("spec.range.end", "10.68.0.8"),
                vec!["10.68.0.9"],
            ),
            (
                of("overlay").with("spec.range.excludeIPRanges", json!(["10.99.0.1-10.99.0.2"])),
                vec!["10.99.0.1"],
            ),
            (
                of("overlay").with("spec.range.reservedIPRanges", json!(["10.68.0.9-10.68.0.8"])),
                vec!["10.68.0.9"],
            ),
            (of(""), vec!["network"]),
        ] {
            stage.refused(object, &words).await?;
        }
        stage.try_create(good()).await?;
        stage
            .try_create(of("overlay").with("spec.range.cidr", "10.68.0.0/16"))
            .await?;
        let six = subnet("right", "overlay", "fd00:68::/64");
        stage
            .try_create(
                six.with("spec.range.start", "fd00:68::1")
                    .with("spec.range.end", "fd00:68::ffff"),
            )
            .await?;
        stage.delete(NETWORK, "vlan").await?;
        stage.delete(NETWORK, "vlan-none").await?;
        stage.delete(NETWORK, "bgp-net").await
    });
}

/// Scenario 133: Subnets that overlap, and that share a CIDR.
/// Scenario 136: an IPv6 overlap is seen at once.
#[test]
fn overlaps_are_found_by_interval_however_large_the_prefix() {
    on_the_control_plane("intervals", async |cluster| {
        overlay(cluster, "intervals", "10.69.0.0/24", "fd00:69::/120").await?;
        let stage = Stage::new(cluster, "intervals").await?;
        stage.create(underlay("interval", 69)).await?;
        let part = |name: &str, network: &str, first: &str, last: &str| {
            let part = subnet(name, network, "10.70.0.0/24").with("spec.range.gateway", "10.70.0.1");
            part.with("spec.range.start", first).with("spec.range.end", last)
        };
        stage
            .create(part("part-a", "interval", "10.70.0.10", "10.70.0.99"))
            .await?;
        let range = subnet("huge", "overlay", "fd00:70::/64");
        stage
            .create(
                range
                    .with("spec.range.start", "fd00:70::1")
                    .with("spec.range.end", "fd00:70::ffff"),
            )
            .await?;

        stage
            .refused(
                subnet("part-b", "interval", "10.70.0.0/25").with("spec.range.gateway", "10.70.0.1"),
                &["part-a"],
            )
            .await?;
        stage
            .refused(subnet("part-b", "overlay", "10.70.0.0/24"), &["part-a"])
            .await?;
        stage
            .refused(
                part("part-b", "interval", "10.70.0.99", "10.70.0.150"),
                &["part-a"],
            )
            .await?;
        stage
            .try_create(part("part-b", "interval", "10.70.0.100", "10.70.0.150"))
            .await?;

        let started = Instant::now();
        for (cidr, first, last) in [
            ("fd00:70::/80", "fd00:70::2:1", "fd00:70::2:ff"),
            ("fd00:70::/32", "fd00:70:1::1", "fd00:70:1::ff"),
        ] {
            let other = subnet("inside", "overlay", cidr).with("spec.range.start", first);
            let other = other.with("spec.range.end", last);
            stage.refused(other, &["huge"]).await?;
        }
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        stage.delete(SUBNET, "part-a").await?;
        stage.delete(SUBNET, "huge").await
    });
}

/// Scenario 134: what of a Subnet cannot change, and what can.
#[test]
fn a_subnet_keeps_its_place_and_may_change_its_range_where_nothing_is_lost() {
    on_the_control_plane("subnet-changes", async |cluster| {
        let stage = Stage::new(cluster, "subnet-changes").await?;
        overlay(cluster, "grown", "10.71.0.0/24", "fd00:71::/120").await?;
        let range = |value: Value| json!({"spec": {"range": value}});
        let narrow =
            json!({"start": "10.71.0.10", "end": "10.71.0.19", "excludeIPs": ["10.71.0.12", "10.71.0.13"]});
        stage.change(SUBNET, "grown-v4", range(narrow)).await?;
        stage.create(underlay("elsewhere", 71)).await?;
        for (patch, words) in [
            (range(json!({"cidr": "10.71.0.0/25"})), vec!["cidr"]),
            (range(json!({"gateway": "10.71.0.1"})), vec!["gateway"]),
            (range(json!({"version": "6"})), vec!["version"]),
            (json!({"spec": {"network": "elsewhere"}}), vec!["network"]),
            (range(json!({"end": "10.72.0.9"})), vec!["10.72.0.9"]),
        ] {
            stage.change_refused(SUBNET, "grown-v4", patch, &words).await?;
        }
        for patch in [
            range(json!({"excludeIPs": ["10.71.0.13", "10.71.0.12"]})),
            range(json!({"reservedIPs": ["10.71.0.19"]})),
            json!({"spec": {"config": {"private": true}}}),
            json!({"spec": {"config": {"private": false}}}),
        ] {
            stage.change(SUBNET, "grown-v4", patch).await?;
        }
        stage.delete(NETWORK, "elsewhere").await
    });
}

#[test]
fn a_range_grows_and_shrinks_around_the_addresses_in_use() {
    on_the_control_plane("shrink", async |cluster| {
        let stage = Stage::new(cluster, "shrink").await?;
        let subnets = overlay(cluster, "around", "10.72.0.0/24", "fd00:72::/120").await?;
        let range = |value: Value| json!({"spec": {"range": value}});
        stage
            .change(
                SUBNET,
                "around-v4",
                range(json!({"start": "10.72.0.50", "end": "10.72.0.50"})),
            )
            .await?;
        stage
            .is(SUBNET, "around-v4", "counted", |found| {
                found["status"]["total"] == 1
            })
            .await?;
        let asked = |name: &str| pod(name).on("node-1").says("specified-subnet", &subnets);

        let first = stage.start(asked("first"), 2).await?;
        assert_eq!(ip(&first[0]), "10.72.0.50/24");
        stage.create(asked("second")).await?;
        stage.told("second", &["IPAllocationFail"]).await?;
        for out in [
            json!({"start": "10.72.0.51", "end": "10.72.0.60"}),
            json!({"excludeIPs": ["10.72.0.50"]}),
            json!({"excludeIPRanges": ["10.72.0.50-10.72.0.51"], "end": "10.72.0.60"}),
        ] {
            stage
                .change_refused(SUBNET, "around-v4", range(out), &["10.72.0.50"])
                .await?;
        }
        // Who waits gets an address by the range that grows.
        stage
            .change(SUBNET, "around-v4", range(json!({"end": "10.72.0.51"})))
            .await?;
        assert_eq!(ip(&stage.bound("second", 2).await?[0]), "10.72.0.51/24");
        stage.clear(&["first"]).await?;
        stage
            .change(SUBNET, "around-v4", range(json!({"start": "10.72.0.51"})))
            .await?;
        stage
            .is(SUBNET, "around-v4", "counted", |found| {
                found["status"]["total"] == 1
            })
            .await?;
        stage.clear(&["second"]).await
    });
}

#[test]
fn a_range_does_not_grow_into_another_subnet() {
    on_the_control_plane("collide", async |cluster| {
        let stage = Stage::new(cluster, "collide").await?;
        stage.create(underlay("collide", 73)).await?;
        let part = |name: &str, first: &str, last: &str| {
            let part = subnet(name, "collide", "10.73.0.0/24").with("spec.range.gateway", "10.73.0.1");
            part.with("spec.range.start", first).with("spec.range.end", last)
        };
        stage.create(part("left", "10.73.0.10", "10.73.0.19")).await?;
        stage.create(part("right", "10.73.0.30", "10.73.0.39")).await?;
        let end = |last: &str| json!({"spec": {"range": {"end": last}}});

        stage
            .change_refused(SUBNET, "left", end("10.73.0.30"), &["right"])
            .await?;
        stage.change(SUBNET, "left", end("10.73.0.29")).await?;
        stage
            .change_refused(
                SUBNET,
                "right",
                json!({"spec": {"range": {"start": "10.73.0.29"}}}),
                &["left"],
            )
            .await?;
        stage.delete(SUBNET, "left").await?;
        stage.delete(SUBNET, "right").await?;
        Ok(())
    });
}

/// Scenario 135: a Subnet in use is not deleted.
#[test]
fn a_subnet_in_use_is_not_deleted_and_its_addresses_are_named() {
    on_the_control_plane("in-use", async |cluster| {
        let stage = Stage::new(cluster, "in-use").await?;
        let subnets = overlay(cluster, "used", "10.74.0.0/24", "fd00:74::/120").await?;
        let set = stage.create(crate::objects::stateful_set("web", 1)).await?;
        stage
            .start(
                pod("web-0")
                    .on("node-1")
                    .of(&set)
                    .says("specified-subnet", &subnets),
                2,
            )
            .await?;
        stage.remove(crate::stage::POD, "web-0").await?;
        stage.reserved("web-0", 2).await?;

        let error = format!("{:#}", stage.delete(SUBNET, "used-v4").await.unwrap_err());
        assert!(error.contains("10.74.0.1"), "{error}");

        stage.end_workload(crate::stage::STATEFUL_SET, "web").await?;
        stage
            .until("nothing is in the way", async || {
                Ok(stage
                    .delete(SUBNET, "used-v4")
                    .await
                    .map_err(|error| format!("{error:#}")))
            })
            .await
    });
}

/// Scenario 139: a finalizer comes off a Subnet whose Network is gone.
#[test]
fn the_finalizer_of_a_subnet_whose_network_is_gone_can_be_taken_away() {
    on_the_control_plane("bereft", async |cluster| {
        let stage = Stage::new(cluster, "bereft").await?;
        stage.create(node("bereft").labelled("network", "bereft")).await?;
        past_the_validating_webhook(cluster, async || {
            let held = subnet("bereft", "bereft", "10.75.0.0/24")
                .with("metadata.finalizers", json!(["example.com/held"]));
            stage
                .until("made", async || {
                    Ok(stage
                        .create(held.clone())
                        .await
                        .map(drop)
                        .map_err(|error| format!("{error:#}")))
                })
                .await
        })
        .await?;

        let words = json!({"metadata": {"labels": {"new": "label"}}});
        stage.change(SUBNET, "bereft", words).await?;
        stage.delete(SUBNET, "bereft").await?;
        stage
            .change(SUBNET, "bereft", json!({"metadata": {"finalizers": null}}))
            .await?;
        stage.gone(SUBNET, "bereft").await
    });
}
