//! What a namespace may have: so many addresses, and only of Subnets and Networks that allow it.

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use serde_json::json;

use crate::fixture::on_the_fixture;
use crate::objects::{node, own_subnet, pod, stateful_set, subnet, underlay};
use crate::stage::{POD, STATEFUL_SET, SUBNET, Stage, text};

/// Pods of the namespace that have an address, waited for until they are so many.
async fn holders(stage: &Stage, count: usize) -> Result<Vec<String>> {
    stage
        .until(&format!("{count} addresses"), async || {
            let held = stage.labelled("networking.alibaba.com/pod").await?;
            let names = held
                .iter()
                .map(|one| text(&one["spec"]["binding"]["podName"]).to_owned());
            let names: Vec<String> = names.collect();
            Ok(if names.len() == count {
                Ok(names)
            } else {
                Err(format!("{names:?}"))
            })
        })
        .await
}

#[test]
fn a_namespace_gets_exactly_as_many_addresses_as_its_limit_even_all_at_once() {
    on_the_fixture("limit", async |cluster| {
        let stage = Stage::saying(cluster, "limit", &[("address-limit", "5")]).await?;
        let names: Vec<String> = (0..12).map(|number| format!("p-{number}")).collect();

        futures::future::try_join_all(names.iter().map(|name| stage.create(pod(name).on("node1")))).await?;
        let first = holders(&stage, 5).await?;
        let refused: Vec<&String> = names.iter().filter(|name| !first.contains(name)).collect();
        for name in &refused {
            stage.told(name, &["IPAllocationFail", "limit", "5"]).await?;
        }
        assert_eq!(holders(&stage, 5).await?.len(), 5);

        stage.remove(POD, &first[0]).await?;
        stage
            .until("another has the address", async || {
                let now = holders(&stage, 5).await?;
                Ok(if now.contains(&first[0]) {
                    Err(format!("{now:?}"))
                } else {
                    Ok(())
                })
            })
            .await?;
        let everybody: Vec<&str> = names.iter().map(String::as_str).collect();
        stage.clear(&everybody).await
    });
}

#[test]
fn kept_addresses_count_and_are_taken_up_again_at_the_limit() {
    on_the_fixture("limit-kept", async |cluster| {
        let stage = Stage::saying(cluster, "limit-kept", &[("address-limit", "1")]).await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        stage.start(pod("web-0").on("node1").of(&set), 1).await?;
        stage.remove(POD, "web-0").await?;
        stage.reserved("web-0", 1).await?;

        stage.create(pod("plain").on("node1")).await?;
        stage.told("plain", &["IPAllocationFail", "limit"]).await?;
        stage.start(pod("web-0").on("node2").of(&set), 1).await?;

        stage.remove(POD, "plain").await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

#[test]
fn a_limit_that_is_raised_serves_who_waits_and_one_that_cannot_be_read_is_none() {
    on_the_fixture("limit-raised", async |cluster| {
        let stage = Stage::saying(cluster, "limit-raised", &[("address-limit", "0")]).await?;
        let limit = async |word: &str| {
            let patch = json!({"metadata": {"annotations": {"networking.alibaba.com/address-limit": word}}});
            stage
                .change(crate::stage::Kind("v1", "Namespace"), "limit-raised", patch)
                .await
        };
        stage.create(pod("a").on("node1")).await?;
        stage.told("a", &["IPAllocationFail", "limit"]).await?;

        limit("1").await?;
        stage.bound("a", 1).await?;
        stage.create(pod("b").on("node1")).await?;
        stage.told("b", &["IPAllocationFail", "limit"]).await?;
        limit("many").await?;
        stage.bound("b", 1).await?;

        stage.clear(&["a", "b"]).await
    });
}

/// An Underlay network of one node with two Subnets, of which the first is for `NAME-a` only.
async fn parted(cluster: &Cluster, name: &str, net_id: i32) -> Result<[Stage; 2]> {
    let stages = [
        Stage::new(cluster, &format!("{name}-a")).await?,
        Stage::new(cluster, &format!("{name}-b")).await?,
    ];
    let stage = &stages[0];
    stage.create(node(name).labelled("network", name)).await?;
    stage.create(underlay(name, net_id)).await?;
    let own = subnet(&format!("{name}-1"), name, &format!("10.{net_id}.1.0/24"))
        .with("spec.range.gateway", format!("10.{net_id}.1.1"))
        .with("spec.config.allowedNamespaces", json!([format!("{name}-a")]));
    stage.create(own).await?;
    Ok(stages)
}

#[test]
fn a_subnet_for_one_namespace_is_skipped_by_others_and_refused_to_who_names_it() {
    on_the_fixture("allowed", async |cluster| {
        let [own, other] = parted(cluster, "allowed", 31).await?;

        own.start(pod("p").on("allowed"), 1).await?;
        other.create(pod("p").on("allowed")).await?;
        other.told("p", &["IPAllocationFail"]).await?;
        let open = subnet("allowed-2", "allowed", "10.31.2.0/24").with("spec.range.gateway", "10.31.2.1");
        own.create(open).await?;
        let found = other.bound("p", 1).await?;
        assert_eq!(found[0]["spec"]["subnet"], "allowed-2");

        other
            .create(pod("named").on("allowed").says("specified-subnet", "allowed-1"))
            .await?;
        other
            .told("named", &["IPAllocationFail", "allowed-1", "allowed-b"])
            .await?;
        let set = other.create(stateful_set("web", 1)).await?;
        let pooled = pod("web-0").on("allowed").of(&set).says("ip-pool", "10.31.1.9");
        other.create(pooled).await?;
        other.told("web-0", &["IPAllocationFail", "allowed-b"]).await?;

        own.clear(&["p"]).await?;
        other.clear(&["p", "named"]).await?;
        other.end_workload(STATEFUL_SET, "web").await
    });
}

#[test]
fn an_address_that_a_namespace_has_stays_its_own_when_the_subnet_is_closed_to_it() {
    on_the_fixture("closed", async |cluster| {
        let [own, other] = parted(cluster, "closed", 32).await?;
        let allow = async |names: serde_json::Value| {
            let patch = json!({"spec": {"config": {"allowedNamespaces": names}}});
            own.change(SUBNET, "closed-1", patch).await
        };
        allow(json!([])).await?;
        let set = other.create(stateful_set("web", 1)).await?;
        let before = other.start(pod("web-0").on("closed").of(&set), 1).await?;

        allow(json!(["closed-a"])).await?;
        other.remove(POD, "web-0").await?;
        other.reserved("web-0", 1).await?;
        let after = other.start(pod("web-0").on("closed").of(&set), 1).await?;

        assert_eq!(crate::stage::uid(&after[0]), crate::stage::uid(&before[0]));
        other.create(pod("new").on("closed")).await?;
        other.told("new", &["IPAllocationFail"]).await?;
        other.clear(&["new"]).await?;
        other.end_workload(STATEFUL_SET, "web").await
    });
}

#[test]
fn a_network_for_one_namespace_is_refused_to_others() {
    on_the_fixture("network-allowed", async |cluster| {
        let (own, other) = (
            Stage::new(cluster, "network-a").await?,
            Stage::new(cluster, "network-b").await?,
        );
        own.create(node("only").labelled("network", "only")).await?;
        let network = underlay("only", 33).with("spec.config.allowedNamespaces", json!(["network-a"]));
        own.create(network).await?;
        let range = own_subnet("only", "10.33.0.0/24");
        own.create(range).await?;

        own.start(pod("p").on("only"), 1).await?;
        other.create(pod("p").on("only")).await?;
        other
            .told("p", &["IPAllocationFail", "only", "network-b"])
            .await?;

        own.clear(&["p"]).await?;
        other.clear(&["p"]).await
    });
}
