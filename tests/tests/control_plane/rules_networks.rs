//! What the webhook says about Networks and what comes from other clusters (control-plane spec 6.5).

use anyhow::Result;
use serde_json::{Value, json};

use crate::objects::{Object, network, node, object, pod, subnet, underlay};
use crate::stage::{NETWORK, NODE, SUBNET, Stage};
use crate::{on_the_control_plane, overlay};

fn bgp(name: &str) -> Object {
    underlay(name, 65001).with("spec.mode", "BGP").with(
        "spec.config.bgpPeers",
        json!([{"asn": 65002, "address": "192.0.2.1"}]),
    )
}

/// Scenario 125: Overlay Networks that are refused.
/// Scenario 126: Underlay Networks that are refused.
/// Scenario 127: BGP, `GlobalBGP` and modes that are refused.
#[test]
fn a_network_that_breaks_a_rule_is_refused_with_what_is_wrong() {
    on_the_control_plane("networks", async |cluster| {
        overlay(cluster, "networks", "10.62.0.0/24", "fd00:62::/120").await?;
        let stage = Stage::new(cluster, "networks").await?;
        stage
            .create(node("net-a").labelled("network", "net-a").labelled("rack", "1"))
            .await?;
        stage.create(underlay("net-a", 10)).await?;
        stage
            .is(NETWORK, "net-a", "its node", |found| {
                found["status"]["nodeList"] == json!(["net-a"])
            })
            .await?;
        let new = |kind: &str| network("net-wrong", kind);
        let peer = |asn: u32, address: &str| {
            bgp("net-wrong").with("spec.config.bgpPeers", json!([{"asn": asn, "address": address}]))
        };

        for (object, words) in [
            (new("Overlay").with("spec.netID", 9), vec!["overlay"]),
            (new("Overlay"), vec!["net-wrong"]),
            (
                new("Overlay")
                    .with("spec.netID", 9)
                    .with("spec.nodeSelector", json!({"a": "b"})),
                vec!["net-wrong"],
            ),
            (new("Underlay").with("spec.netID", 9), vec!["nodeSelector"]),
            (
                new("Underlay")
                    .with("spec.netID", 9)
                    .with("spec.nodeSelector", json!({"rack": "1"})),
                vec!["net-a"],
            ),
            (bgp("net-wrong").with("spec.netID", Value::Null), vec!["netID"]),
            (
                bgp("net-wrong").with("spec.config", Value::Null),
                vec!["bgpPeers"],
            ),
            (peer(65002, "x"), vec!["x"]),
            (peer(0, "192.0.2.1"), vec!["0"]),
            (new("GlobalBGP").with("spec.netID", 9), vec!["netID"]),
            (
                new("Overlay").with("spec.netID", 9).with("spec.mode", "VLAN"),
                vec!["net-wrong"],
            ),
            (new("Sideways"), vec!["spec.type", "Underlay"]),
            (
                underlay("net-wrong", 9).with("spec.mode", "sideways"),
                vec!["spec.mode", "VLAN"],
            ),
            (underlay("net-wrong", 4095), vec!["4095"]),
        ] {
            stage.refused(object, &words).await?;
        }
        stage.try_create(bgp("net-right")).await?;
        stage.try_create(new("GlobalBGP")).await.map(drop)
    });
}

/// Scenario 128: what of a Network cannot change.
/// Scenario 129: a Network in use is not deleted.
#[test]
fn a_network_keeps_what_its_addresses_rest_on() {
    on_the_control_plane("network-changes", async |cluster| {
        let stage = Stage::new(cluster, "network-changes").await?;
        stage.create(node("chg").labelled("network", "chg")).await?;
        stage.create(bgp("chg")).await?;
        let spec = |value: Value| json!({"spec": value});
        for (patch, words) in [
            (json!({"type": "GlobalBGP"}), vec!["type"]),
            (json!({"mode": "VLAN"}), vec!["mode"]),
            (json!({"netID": 65009}), vec!["netID"]),
            (json!({"config": null}), vec!["bgpPeers"]),
            (json!({"nodeSelector": null}), vec!["nodeSelector"]),
        ] {
            stage.change_refused(NETWORK, "chg", spec(patch), &words).await?;
        }
        let peers = json!({"config": {"bgpPeers": [{"asn": 65003, "address": "192.0.2.9"}]}});
        stage.change(NETWORK, "chg", spec(peers)).await?;

        stage.create(subnet("chg", "chg", "10.63.0.0/24")).await?;
        stage.create(network("everywhere", "GlobalBGP")).await?;
        stage
            .create(subnet("everywhere", "everywhere", "10.64.0.0/24"))
            .await?;
        let label = "networking.alibaba.com/bgp-network-attachment";
        stage
            .is(NODE, "chg", "attached", |node| {
                node["metadata"]["labels"][label] == "true"
            })
            .await?;
        stays(&stage, "chg", "chg").await?;

        let held = pod("p")
            .on("chg")
            .past_the_webhook()
            .says("network-type", "GlobalBGP")
            .says("ip-family", "IPv4");
        stage.start(held, 1).await?;
        stage.delete(SUBNET, "chg").await?;
        stage.gone(SUBNET, "chg").await?;
        // Its node still announces an address of the global network.
        stays(&stage, "chg", "everywhere").await?;
        stage.clear(&["p"]).await?;
        for (kind, name) in [(SUBNET, "everywhere"), (NETWORK, "everywhere"), (NETWORK, "chg")] {
            stage
                .until("nothing is in the way", async || {
                    Ok(stage
                        .delete(kind, name)
                        .await
                        .map_err(|error| format!("{error:#}")))
                })
                .await?;
        }
        Ok(())
    });
}

async fn stays(stage: &Stage, network: &str, because: &str) -> Result<()> {
    stage
        .until("the Network is in use", async || {
            // A dry run, so that what is allowed too early does no harm.
            let options = kube::api::DeleteParams {
                dry_run: true,
                ..Default::default()
            };
            let answer = stage.api(NETWORK).delete(network, &options).await;
            Ok(match answer.map(drop).map_err(|error| format!("{error:#}")) {
                Err(text) if text.contains(because) && text.contains("denied") => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })
        .await
}

/// Scenario 137: endpoints and certificates of another cluster.
/// Scenario 138: a `RemoteSubnet` that overlaps.
#[test]
fn what_comes_from_another_cluster_is_judged_too() {
    on_the_control_plane("remote", async |cluster| {
        overlay(cluster, "remote", "10.65.0.0/24", "fd00:65::/120").await?;
        let stage = Stage::new(cluster, "remote").await?;
        let version = "multicluster.alibaba.com/v1";
        let other = |endpoint: &str| {
            object(version, "RemoteCluster", "other")
                .with("spec.apiEndpoint", endpoint)
                .with("spec.caData", "Y2E=")
                .with("spec.certData", "Y2VydA==")
                .with("spec.keyData", "a2V5")
        };
        stage.try_create(other("https://1.2.3.4:6443")).await?;
        stage
            .refused(other("1.2.3.4:6443"), &["apiEndpoint", "1.2.3.4:6443"])
            .await?;
        for field in ["caData", "certData", "keyData"] {
            let without = other("https://1.2.3.4:6443").with(&format!("spec.{field}"), "");
            stage.refused(without, &[field]).await?;
        }

        let remote = |cidr: &str| {
            object(version, "RemoteSubnet", "other")
                .with("spec.clusterName", "other")
                .with("spec.networkType", "Overlay")
                .with("spec.range.version", if cidr.contains(':') { "6" } else { "4" })
                .with("spec.range.cidr", cidr)
        };
        stage
            .refused(remote("10.65.0.128/25"), &["10.65.0", "remote-v4"])
            .await?;
        stage.refused(remote("fd00:65::/112"), &["remote-v6"]).await?;
        stage.try_create(remote("10.66.0.0/24")).await.map(drop)
    });
}
