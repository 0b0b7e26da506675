//! What the manager says on Networks, Subnets and nodes (control-plane spec 6.4).

use anyhow::Result;
use hybridnet_tests::ours::metric;
use serde_json::{Value, json};

use crate::fixture::{manager, on_the_fixture};
use crate::objects::{network, node, own_subnet, pod, subnet, underlay};
use crate::stage::{NETWORK, NODE, POD, SUBNET, Stage, version};

const KEYS: [&str; 6] = [
    "underlay-network-attachment",
    "overlay-network-attachment",
    "bgp-network-attachment",
    "ipv4-address-quota",
    "ipv6-address-quota",
    "dualstack-address-quota",
];

/// Waits until a node has exactly these labels of ours, in the order of [`KEYS`]; `-` for none.
async fn labels(stage: &Stage, node: &str, expected: &str) -> Result<()> {
    let found = |node: &Value| {
        let label = |key: &&str| {
            let value = &node["metadata"]["labels"][format!("networking.alibaba.com/{key}")];
            value.as_str().unwrap_or("-").to_owned()
        };
        KEYS.iter().map(label).collect::<Vec<_>>().join(" ")
    };
    let holds = |node: &Value| found(node) == expected;
    stage
        .is(NODE, node, &format!("labelled {expected}"), holds)
        .await
        .map(drop)
}

const NO_UNDERLAY: &str = "- true - - - -";

/// Scenario 96: nodes and Subnets of the fixture's Networks.
/// Scenario 97: attachments of the fixture's nodes.
/// Scenario 98: quotas of the fixture's nodes.
/// Scenario 30: totals of the fixture's Networks.
#[test]
fn networks_say_their_nodes_and_nodes_their_networks() {
    on_the_fixture("settled", async |cluster| {
        let stage = Stage::new(cluster, "settled").await?;

        let status = |name: &'static str, field: &'static str, value: Value| {
            let holds = move |object: &Value| object["status"][field] == value;
            let stage = &stage;
            async move { stage.is(NETWORK, name, field, holds).await }
        };
        status("underlay-network", "nodeList", json!(["node1", "node2"])).await?;
        status("underlay-network", "subnetList", json!(["underlay-subnet"])).await?;
        status(
            "overlay-network",
            "subnetList",
            json!(["overlay-ipv4-subnet", "overlay-ipv6-subnet"]),
        )
        .await?;
        let holds = |object: &Value| {
            let nodes = object["status"]["nodeList"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            ["node1", "node2", "node3"]
                .iter()
                .all(|name| nodes.contains(&json!(name)))
        };
        let overlay = stage.is(NETWORK, "overlay-network", "nodeList", holds).await?;
        let total = |field: &str| overlay["status"][field]["total"].clone();
        assert_eq!(
            (total("statistics"), total("ipv6Statistics")),
            (json!(254), json!(255))
        );
        for node in ["node1", "node2"] {
            labels(&stage, node, "true true - nonempty empty empty").await?;
        }
        labels(&stage, "node3", NO_UNDERLAY).await
    });
}

/// Scenario 99: a selector that changes.
/// Scenario 100: a node's label that changes.
/// Scenario 107: a label removed by hand.
#[test]
fn the_labels_of_a_node_follow_selector_and_node_and_come_back() {
    on_the_fixture("moves", async |cluster| {
        let stage = Stage::new(cluster, "moves").await?;
        stage.create(node("move-a").labelled("network", "move")).await?;
        stage.create(node("move-b").labelled("network", "moved")).await?;
        stage.create(underlay("move", 11)).await?;
        let range = own_subnet("move", "10.11.0.0/24");
        stage.create(range).await?;
        let member = "true true - nonempty empty empty";
        let select = async |word: &str| {
            let patch = json!({"spec": {"nodeSelector": {"network": word}}});
            stage.change(NETWORK, "move", patch).await
        };
        let relabel = async |value: Value| {
            let patch = json!({"metadata": {"labels": value}});
            stage.change(NODE, "move-a", patch).await
        };

        for (word, a, b) in [
            ("move", member, NO_UNDERLAY),
            ("moved", NO_UNDERLAY, member),
            ("move", member, NO_UNDERLAY),
        ] {
            select(word).await?;
            labels(&stage, "move-a", a).await?;
            labels(&stage, "move-b", b).await?;
        }
        relabel(json!({"network": "nowhere"})).await?;
        labels(&stage, "move-a", NO_UNDERLAY).await?;
        relabel(json!({"network": "move"})).await?;
        labels(&stage, "move-a", member).await?;
        for key in KEYS {
            relabel(json!({format!("networking.alibaba.com/{key}"): null})).await?;
            labels(&stage, "move-a", member).await?;
        }
        Ok(())
    });
}

/// Scenario 101: quotas follow the Subnets.
#[test]
fn the_quotas_of_a_node_follow_the_subnets_of_both_families() {
    on_the_fixture("quotas", async |cluster| {
        let stage = Stage::new(cluster, "quotas").await?;
        stage.create(node("quotas").labelled("network", "quotas")).await?;
        stage.create(underlay("quotas", 12)).await?;
        let four = subnet("quotas-4", "quotas", "10.12.0.0/24").with("spec.range.gateway", "10.12.0.1");
        let six = subnet("quotas-6", "quotas", "fd00:12::/120").with("spec.range.gateway", "fd00:12::1");

        labels(&stage, "quotas", "true true - empty empty empty").await?;
        stage.create(four).await?;
        labels(&stage, "quotas", "true true - nonempty empty empty").await?;
        stage.create(six).await?;
        labels(&stage, "quotas", "true true - nonempty nonempty nonempty").await?;
        stage.delete(SUBNET, "quotas-4").await?;
        labels(&stage, "quotas", "true true - empty nonempty empty").await?;
        stage.delete(SUBNET, "quotas-6").await?;
        labels(&stage, "quotas", "true true - empty empty empty").await
    });
}

/// Scenario 102: the BGP label.
/// Scenario 103: a `GlobalBGP` Network with a mode of another type.
/// Scenario 90: a `GlobalBGP` pod on a node without the label.
#[test]
fn a_node_is_attached_to_bgp_while_it_has_a_bgp_network_and_a_global_one_is_there() {
    on_the_fixture("bgp", async |cluster| {
        let stage = Stage::new(cluster, "bgp").await?;
        stage.create(node("bgp").labelled("network", "bgp")).await?;
        stage
            .create(underlay("bgp", 65000).with("spec.mode", "BGP"))
            .await?;
        labels(&stage, "bgp", "true true - empty empty empty").await?;

        // The webhook would refuse mode and netID.
        let global = network("global", "GlobalBGP")
            .with("spec.mode", "BGP")
            .with("spec.netID", 1);
        stage.create(global).await?;
        labels(&stage, "bgp", "true true true empty empty empty").await?;
        labels(&stage, "node3", NO_UNDERLAY).await?;
        stage
            .is(NETWORK, "global", "nodes", |found| {
                found["status"]["nodeList"] == json!(["bgp"])
            })
            .await?;
        stage.create(subnet("global", "global", "10.13.0.0/24")).await?;

        let asked = |name: &str| pod(name).on("node3").says("network-type", "GlobalBGP");
        stage
            .start(asked("seen").says("handled-by-webhook", "true"), 1)
            .await?;
        stage.create(asked("unseen")).await?;
        stage.told("unseen", &["IPAllocationFail", "node3"]).await?;
        stage.clear(&["seen", "unseen"]).await?;

        stage.delete(SUBNET, "global").await?;
        stage.delete(NETWORK, "global").await?;
        labels(&stage, "bgp", "true true - empty empty empty").await?;
        stage.delete(NETWORK, "bgp").await?;
        labels(&stage, "bgp", NO_UNDERLAY).await
    });
}

/// Scenario 104: the metrics finalizer is removed, never added.
/// Scenario 145: that of a pre-release.
#[test]
fn the_finalizer_of_a_pre_release_does_not_hold_a_network_or_subnet() {
    on_the_fixture("finalizers", async |cluster| {
        let stage = Stage::new(cluster, "finalizers").await?;
        let finalizers = json!(["networking.alibaba.com/metrics-registered"]);
        let old = underlay("old", 14).with("metadata.finalizers", finalizers.clone());
        stage.create(old).await?;
        let range = own_subnet("old", "10.14.0.0/24");
        stage
            .create(range.with("metadata.finalizers", finalizers))
            .await?;
        stage.create(underlay("new", 15)).await?;
        let settled = |found: &Value| found["status"]["statistics"]["total"] == 253;
        stage.is(NETWORK, "old", "counted", settled).await?;
        let new = stage
            .is(NETWORK, "new", "counted", |found| found["status"].is_object())
            .await?;
        assert!(new["metadata"]["finalizers"].is_null(), "{new}");

        stage.remove(SUBNET, "old").await?;
        stage.remove(NETWORK, "old").await?;
        stage.remove(NETWORK, "new").await
    });
}

/// Scenario 106: a node that goes.
#[test]
fn a_node_that_is_about_to_go_is_in_no_list() {
    on_the_fixture("going", async |cluster| {
        let stage = Stage::new(cluster, "going").await?;
        let held = json!(["example.com/held"]);
        stage.create(node("going-a").labelled("network", "going")).await?;
        let going = node("going-b").labelled("network", "going");
        stage.create(going.with("metadata.finalizers", held)).await?;
        stage.create(underlay("going", 16)).await?;
        let list =
            |names: &'static [&'static str]| move |found: &Value| found["status"]["nodeList"] == json!(names);
        stage
            .is(NETWORK, "going", "both nodes", list(&["going-a", "going-b"]))
            .await?;

        stage.delete(NODE, "going-b").await?;

        stage.is(NETWORK, "going", "one node", list(&["going-a"])).await?;
        stage
            .change(NODE, "going-b", json!({"metadata": {"finalizers": null}}))
            .await?;
        stage.gone(NODE, "going-b").await
    });
}

/// Scenario 85: a restart writes nothing.
/// Scenario 109: metrics are there after it.
/// Scenario 34: the Subnet goes on after its last address.
#[test]
fn a_manager_that_starts_among_running_pods_writes_nothing_and_goes_on_where_it_was() {
    on_the_fixture("restart", async |cluster| {
        let stage = Stage::new(cluster, "restart").await?;
        stage.underlay(17, own_subnet("restart", "10.17.0.0/24")).await?;
        for name in ["a", "b", "c"] {
            stage.start(pod(name).on("restart"), 1).await?;
            stage.runs(name).await?;
        }
        stage.clear(&["b"]).await?;
        let counted =
            |found: &Value| found["status"]["used"] == 2 && found["status"]["lastAllocatedIP"] == "10.17.0.4";
        let before = stage.is(SUBNET, "restart", "counted", counted).await?;
        cluster.end_programs("hybridnet-manager").await?;
        let mark = cluster.audit_mark()?;

        let running = cluster.start_manager_as(&manager())?;
        cluster.leads(&running).await?;
        let used = "ip_usage{networkName=\"restart\",ipFamily=\"ipv4\",usageType=\"used\"}";
        let of_subnet = "subnet_ip_usage{subnetName=\"restart\",networkName=\"restart\",usageType=\"used\"}";
        stage
            .until("metrics of the Network and its Subnet", async || {
                let text = cluster.metrics(&running)?;
                let found = (metric(&text, used), metric(&text, of_subnet));
                Ok(if found == (Some(2.0), Some(2.0)) {
                    Ok(())
                } else {
                    Err(format!("{found:?} in {text}"))
                })
            })
            .await?;
        let changes: Vec<_> = cluster
            .audited(mark)?
            .into_iter()
            .filter(hybridnet_tests::audit::Request::is_change)
            .collect();
        assert!(changes.is_empty(), "{changes:?}");
        let after = stage.get(SUBNET, "restart").await?.unwrap_or_default();
        assert_eq!(version(&after), version(&before));

        let next = stage.start(pod("d").on("restart"), 1).await?;
        assert_eq!(crate::stage::ip(&next[0]), "10.17.0.5/24");
        for name in ["a", "c", "d"] {
            stage.remove(POD, name).await?;
        }
        Ok(())
    });
}

/// Scenario 105: statistics under churn.
#[test]
fn the_numbers_add_up_at_every_moment_of_a_churn_and_are_right_after_it() {
    on_the_fixture("churn", async |cluster| {
        let stage = Stage::new(cluster, "churn").await?;
        stage.underlay(47, own_subnet("churn", "10.47.0.0/26")).await?;
        let counted = |used: usize| move |found: &Value| found["status"]["used"] == used;

        tokio::select! {
            done = churn(&stage) => done?,
            broken = sums_that_are_wrong(&stage) => anyhow::bail!("{}", broken?),
        }

        stage.is(SUBNET, "churn", "30 in use", counted(30)).await?;
        let used = |found: &Value| found["status"]["statistics"]["used"] == 30;
        stage.is(NETWORK, "churn", "30 in use", used).await?;
        let last: Vec<String> = of_round(3).collect();
        futures::future::try_join_all(last.iter().map(|name| stage.remove(POD, name))).await?;
        stage
            .is(SUBNET, "churn", "none in use", counted(0))
            .await
            .map(drop)
    });
}

fn of_round(round: usize) -> impl Iterator<Item = String> {
    (0..30).map(move |number| format!("p-{round}-{number}"))
}

/// Half of the addresses change hands in every round, while the next pods ask already.
async fn churn(stage: &Stage) -> Result<()> {
    for round in 0..=3 {
        let next = of_round(round).map(|name| async move { stage.create(pod(&name).on("churn")).await });
        let former = round.checked_sub(1).into_iter().flat_map(of_round);
        let former = former.map(|name| async move { stage.remove(POD, &name).await });
        tokio::try_join!(
            futures::future::try_join_all(next),
            futures::future::try_join_all(former)
        )?;
        let mut seen = std::collections::BTreeSet::new();
        for name in of_round(round) {
            let found = stage.bound(&name, 1).await?;
            assert!(seen.insert(crate::stage::ip(&found[0]).to_owned()), "{found:?}");
        }
    }
    Ok(())
}

/// Looks at the Subnet until its numbers do not add up; answers with it.
async fn sums_that_are_wrong(stage: &Stage) -> Result<Value> {
    loop {
        let found = stage.get(SUBNET, "churn").await?.unwrap_or_default();
        let number = |field: &str| found["status"][field].as_i64().unwrap_or_default();
        let (total, used, available) = (number("total"), number("used"), number("available"));
        if used < 0 || available < 0 || used + available != total {
            return Ok(found);
        }
    }
}
