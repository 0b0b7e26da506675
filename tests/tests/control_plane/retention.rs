//! How long addresses stay: workloads of any kind, workloads that end, ordinals that are scaled away.

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::ours::{Manager, metric};
use serde_json::{Value, json};

use crate::crds::{self, STATEFUL_THING, stateful_thing};
use crate::fixture::{manager, on_the_fixture};
use crate::objects::{Object, pod, stateful_set};
use crate::stage::{IP_INSTANCE, POD, STATEFUL_SET, Stage, ip, name, uid, version};

/// A manager that looks for what nobody needs every second, and waits but two.
async fn collecting(cluster: &Cluster, more: &str) -> Result<Manager> {
    let run = manager()
        .flag("--collector-interval=1s")
        .flag("--collector-grace=2s");
    cluster
        .restart_manager(&if more.is_empty() { run } else { run.flag(more) })
        .await
}

fn lasting(workload: Object, ttl: &str) -> Object {
    workload.says("retained-ip-ttl", ttl)
}

async fn run_and_end(stage: &Stage, pods: &[&str], owner: &Value) -> Result<Vec<Value>> {
    for one in pods {
        stage.start(pod(one).on("node1").of(owner), 1).await?;
    }
    let mut kept = Vec::new();
    for one in pods {
        stage.remove(POD, one).await?;
        kept.extend(stage.reserved(one, 1).await?);
    }
    Ok(kept)
}

#[test]
fn addresses_of_ordinals_that_are_scaled_away_go_after_their_time_and_no_others() {
    on_the_fixture("ttl", async |cluster| {
        let stage = Stage::new(cluster, "ttl").await?;
        collecting(cluster, "").await?;
        let short = stage.create(lasting(stateful_set("short", 2), "3s")).await?;
        let long = stage.create(lasting(stateful_set("long", 2), "1h30m")).await?;
        let none = stage.create(stateful_set("none", 2)).await?;
        for (set, pods) in [
            (&short, ["short-0", "short-1"]),
            (&long, ["long-0", "long-1"]),
            (&none, ["none-0", "none-1"]),
        ] {
            stage
                .change(STATEFUL_SET, name(set), json!({"spec": {"replicas": 1}}))
                .await?;
            run_and_end(&stage, &pods, set).await?;
        }

        stage.freed("short-1").await?;
        stage.told("short", &["AddressExpired", "short-1"]).await?;
        for kept in ["short-0", "long-0", "long-1", "none-0", "none-1"] {
            stage.reserved(kept, 1).await?;
        }
        stage
            .change(STATEFUL_SET, "short", json!({"spec": {"replicas": 2}}))
            .await?;
        stage.start(pod("short-1").on("node1").of(&short), 1).await?;
        for set in ["short", "long", "none"] {
            stage.end_workload(STATEFUL_SET, set).await?;
        }
        cluster.restart_manager(&manager()).await.map(drop)
    });
}

#[test]
fn the_time_of_a_retained_address_runs_on_while_no_manager_is_there() {
    on_the_fixture("ttl-restart", async |cluster| {
        let stage = Stage::new(cluster, "ttl-restart").await?;
        let set = stage.create(lasting(stateful_set("web", 1), "2s")).await?;
        stage
            .change(STATEFUL_SET, "web", json!({"spec": {"replicas": 0}}))
            .await?;
        let kept = run_and_end(&stage, &["web-0"], &set).await?;
        stage
            .is(IP_INSTANCE, name(&kept[0]), "reserved at a time", |one| {
                one["status"]["updateTimestamp"].is_string()
            })
            .await?;

        collecting(cluster, "").await?;

        stage.gone(IP_INSTANCE, name(&kept[0])).await?;
        stage.end_workload(STATEFUL_SET, "web").await?;
        cluster.restart_manager(&manager()).await.map(drop)
    });
}

/// Scenario 63: a workload of a kind that only the flag names.
/// Scenario 65: its successor on another node.
#[test]
fn a_workload_of_a_custom_kind_keeps_its_addresses_until_it_is_gone() {
    on_the_fixture("custom", async |cluster| {
        let stage = Stage::new(cluster, "custom").await?;
        crds::serve(&stage, STATEFUL_THING).await?;
        crds::allow(&stage, STATEFUL_THING).await?;
        let running = collecting(cluster, "--stateful-workload-kinds=StatefulSet,StatefulThing").await?;
        let thing = stage.create(stateful_thing("thing")).await?;
        let other = stage.create(lasting(stateful_thing("other"), "2s")).await?;

        let bound = stage.start(pod("thing-1").on("node1").of(&thing), 1).await?;
        assert_eq!(
            bound[0]["spec"]["binding"]["referredObject"]["kind"],
            "StatefulThing"
        );
        assert_eq!(
            bound[0]["metadata"]["ownerReferences"][0]["apiVersion"],
            "example.com/v1"
        );
        run_and_end(&stage, &["other-7"], &other).await?;
        stage.remove(POD, "thing-1").await?;
        // A kind without replicas wants no ordinal in particular.
        stage.freed("other-7").await?;
        stage.reserved("thing-1", 1).await?;
        let again = stage.start(pod("thing-1").on("node2").of(&thing), 1).await?;
        assert_eq!(uid(&again[0]), uid(&bound[0]));

        // The workload goes, and the garbage collector has forgotten its address.
        stage.remove(POD, "thing-1").await?;
        stage.reserved("thing-1", 1).await?;
        stage.delete(STATEFUL_THING, "thing").await?;
        stage.freed("thing-1").await?;
        let text = cluster.metrics(&running)?;
        let repaired: f64 = text
            .lines()
            .filter(|line| line.starts_with("hybridnet_manager_repairs_total") && line.contains("done"))
            .filter_map(|line| metric(line, line.rsplit_once(' ')?.0))
            .sum();
        assert!(repaired >= 1.0, "{text}");
        stage.delete(STATEFUL_THING, "other").await?;
        cluster.restart_manager(&manager()).await.map(drop)
    });
}

#[test]
fn addresses_of_a_workload_that_is_gone_are_given_back_and_those_of_an_unreadable_one_are_kept() {
    on_the_fixture("leaks", async |cluster| {
        let stage = Stage::new(cluster, "leaks").await?;
        let set = stage.create(stateful_set("web", 2)).await?;
        // Of a kind that nobody serves: perhaps it is only not served now.
        let away = json!({"apiVersion": "away.example.com/v1", "kind": "StatefulSet", "metadata": {"name": "away", "uid": "7-a"}});
        run_and_end(&stage, &["web-0"], &set).await?;
        run_and_end(&stage, &["away-0"], &away).await?;
        let bound = stage.start(pod("plain").on("node1"), 1).await?;
        stage.delete(STATEFUL_SET, "web").await?;
        // Somebody has taken our finalizer away: the address would be free while the pod still has it.
        stage
            .change(
                IP_INSTANCE,
                name(&bound[0]),
                json!({"metadata": {"finalizers": null}}),
            )
            .await?;

        collecting(cluster, "").await?;

        stage.freed("web-0").await?;
        let ours = json!(["networking.alibaba.com/ip-allocated"]);
        let again = stage
            .is(IP_INSTANCE, name(&bound[0]), "our finalizer", |one| {
                one["metadata"]["finalizers"] == ours
            })
            .await?;
        assert_eq!((uid(&again), ip(&again)), (uid(&bound[0]), ip(&bound[0])));
        let kept = stage.reserved("away-0", 1).await?;
        stage.fence("node1").await?;
        assert_eq!(version(&stage.reserved("away-0", 1).await?[0]), version(&kept[0]));
        stage.clear(&["plain"]).await?;
        stage.remove(IP_INSTANCE, name(&kept[0])).await?;
        cluster.restart_manager(&manager()).await.map(drop)
    });
}

#[test]
fn a_workload_that_is_made_anew_under_its_name_takes_over_what_was_kept() {
    on_the_fixture("adopted", async |cluster| {
        let stage = Stage::new(cluster, "adopted").await?;
        let first = stage.create(stateful_set("web", 1)).await?;
        let kept = run_and_end(&stage, &["web-0"], &first).await?;
        // As `--cascade=orphan` leaves it, with the garbage collector's strike.
        stage.remove(STATEFUL_SET, "web").await?;
        stage
            .change(
                IP_INSTANCE,
                name(&kept[0]),
                json!({"metadata": {"ownerReferences": null}}),
            )
            .await?;

        let second = stage.create(stateful_set("web", 1)).await?;
        let bound = stage.start(pod("web-0").on("node2").of(&second), 1).await?;

        assert_eq!(uid(&bound[0]), uid(&kept[0]));
        assert_eq!(bound[0]["metadata"]["ownerReferences"][0]["uid"], uid(&second));
        assert_eq!(bound[0]["spec"]["binding"]["referredObject"]["uid"], uid(&second));
        stage.end_workload(STATEFUL_SET, "web").await
    });
}
