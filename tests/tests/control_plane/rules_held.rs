//! The webhook and pods that have addresses, are many, or come past it (control-plane spec 6.5).

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::ours::Run;
use serde_json::{Value, json};

use crate::crds;
use crate::objects::{object, pod, stateful_set};
use crate::rules_pods::{annotation, known, underlay_of};
use crate::stage::{IP_INSTANCE, NETWORK, POD, STATEFUL_SET, Stage, name, uid};
use crate::{on_the_control_plane, overlay};

/// Scenario 124: a pod that keeps nothing may change its Network.
/// Scenario 118: two retained IPv4 addresses.
#[test]
fn a_pod_with_left_over_addresses_is_admitted_and_one_that_keeps_nothing_moves() {
    on_the_control_plane("kept", async |cluster| {
        let stage = Stage::new(cluster, "kept").await?;
        underlay_of(&stage, "kept", 54).await?;
        underlay_of(&stage, "new", 55).await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        let asked = pod("web-0")
            .on("kept")
            .of(&set)
            .says("specified-network", "kept")
            .says("ip-family", "IPv4");
        let bound = stage.start(asked, 1).await?;
        stage.remove(POD, "web-0").await?;
        stage.reserved("web-0", 1).await?;
        // A second one, as a changed pool has left it under the release 0.8.9.
        let mut second = bound[0].clone();
        second["metadata"] = json!({
            "name": "10-54-0-99", "labels": second["metadata"]["labels"],
            "ownerReferences": second["metadata"]["ownerReferences"]});
        second["spec"]["address"]["ip"] = json!("10.54.0.99/24");
        second["spec"]["binding"]["nodeName"] = json!("");
        second["status"] = Value::Null;
        second["apiVersion"] = json!("networking.alibaba.com/v1");
        second["kind"] = json!("IPInstance");
        stage.create(second).await?;

        let admitted = stage.try_create(pod("web-0").of(&set)).await?;
        assert_eq!(annotation(&admitted, "ip-family"), "IPv4Only");
        let free = pod("web-0")
            .of(&set)
            .says("ip-retain", "false")
            .says("specified-network", "new");
        assert_eq!(
            annotation(&stage.try_create(free).await?, "specified-network"),
            "new"
        );
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Makes the overlay look full to the webhook: the manager is away, and the status says so.
async fn full(cluster: &Cluster, stage: &Stage) -> Result<()> {
    cluster.end_programs("hybridnet-manager").await?;
    let none = json!({"total": 1, "used": 1, "available": 0});
    let status = json!({"statistics": none, "ipv6Statistics": none, "dualStackStatistics": {"available": 0}});
    stage.tell(NETWORK, "overlay", status).await
}

/// Scenario 122: a full overlay refuses at once.
/// Scenario 123: not who keeps an address.
#[test]
fn a_full_overlay_refuses_new_pods_and_takes_those_that_have_their_addresses() {
    on_the_control_plane("full", async |cluster| {
        let stage = Stage::new(cluster, "full").await?;
        let subnets = overlay(cluster, "full", "10.57.0.0/24", "fd00:57::/120").await?;
        underlay_of(&stage, "empty", 58).await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        stage
            .start(
                pod("web-0")
                    .on("node-1")
                    .of(&set)
                    .says("specified-subnet", &subnets),
                2,
            )
            .await?;
        stage.remove(POD, "web-0").await?;
        stage.reserved("web-0", 2).await?;

        full(cluster, &stage).await?;
        stage
            .until("the webhook knows that it is full", async || {
                let refused = stage
                    .refused(pod("p"), &["overlay", "DualStack", "addresses"])
                    .await;
                Ok(refused.map_err(|error| format!("{error:#}")))
            })
            .await?;
        stage.try_create(pod("web-0").of(&set)).await?;
        stage
            .try_create(pod("p").says("network-type", "Underlay"))
            .await?;

        cluster.restart_manager(&Run::default()).await?;
        known(&stage, pod("p")).await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

#[test]
fn a_namespace_at_its_limit_and_a_subnet_of_others_are_refused_at_once() {
    on_the_control_plane("early", async |cluster| {
        let subnets = overlay(cluster, "early", "10.59.0.0/24", "fd00:59::/120").await?;
        let limited = Stage::saying(cluster, "early", &[("address-limit", "2")]).await?;
        let free = Stage::new(cluster, "early-free").await?;
        limited
            .start(pod("a").on("node-1").says("specified-subnet", &subnets), 2)
            .await?;
        limited
            .until("the webhook counts them", async || {
                let refused = limited.refused(pod("b"), &["early", "limit", "2"]).await;
                Ok(refused.map_err(|error| format!("{error:#}")))
            })
            .await?;
        limited.clear(&["a"]).await?;

        let patch = json!({"spec": {"config": {"allowedNamespaces": ["early"]}}});
        free.change(crate::stage::SUBNET, "early-v4", patch).await?;
        free.until("the webhook knows who may", async || {
            let asked = pod("p").says("specified-subnet", &subnets);
            let refused = free.refused(asked, &["early-v4", "early-free"]).await;
            Ok(refused.map_err(|error| format!("{error:#}")))
        })
        .await
    });
}

/// Scenario 143: what an old webhook or none has written.
#[test]
fn a_pod_that_an_old_webhook_or_none_has_seen_gets_what_it_asks_for() {
    on_the_control_plane("bypassed", async |cluster| {
        let stage = Stage::new(cluster, "bypassed").await?;
        let subnets = overlay(cluster, "bypassed", "10.60.0.0/24", "fd00:60::/120").await?;
        let handled = pod("old")
            .on("node-1")
            .past_the_webhook()
            .says("handled-by-webhook", "true");
        let handled = handled
            .says("specified-network", "overlay")
            .says("specified-subnet", &subnets);
        let handled = handled
            .says("network-type", "Overlay")
            .says("ip-family", "DualStack");
        let none = pod("none")
            .on("node-1")
            .past_the_webhook()
            .says("specified-subnet", &subnets);

        for (object, from) in [(handled, "bypassed-v4"), (none, "bypassed-v4")] {
            let found = stage.start(object, 2).await?;
            assert_eq!(found[0]["spec"]["subnet"], from);
        }
        // Whoever writes the annotation by hand does not get past the facts.
        let forged = pod("forged")
            .on("node-1")
            .past_the_webhook()
            .says("handled-by-webhook", "true");
        stage.create(forged.says("specified-network", "nowhere")).await?;
        stage.told("forged", &["IPAllocationFail", "nowhere"]).await?;
        stage.clear(&["old", "none", "forged"]).await
    });
}

/// Scenario 22: the label of a long name.
#[test]
fn a_pod_whose_name_is_longer_than_a_label_is_found_by_the_hash_of_its_name() {
    on_the_control_plane("long", async |cluster| {
        let stage = Stage::new(cluster, "long").await?;
        let subnets = overlay(cluster, "long", "10.61.0.0/24", "fd00:61::/120").await?;
        let long = "a".repeat(70);

        let created = stage
            .create(pod(&long).on("node-1").says("specified-subnet", &subnets))
            .await?;
        let hashed = format!("{}08b2f2b0864bac1ba1585043362cbec9", "a".repeat(31));
        let found = stage
            .until("two addresses", async || {
                let held = stage.held(&hashed).await?;
                Ok(if held.len() == 2 {
                    Ok(held)
                } else {
                    Err(format!("{held:?}"))
                })
            })
            .await?;
        assert_eq!(found[0]["spec"]["binding"]["podUID"], uid(&created));
        assert_eq!(found[0]["spec"]["binding"]["podName"], name(&created));
        stage.remove(POD, &long).await?;
        stage.freed(&hashed).await
    });
}

#[test]
fn an_object_that_is_no_pod_of_ours_is_not_asked_about() {
    on_the_control_plane("foreign", async |cluster| {
        let stage = Stage::new(cluster, "foreign").await?;
        let map = object("v1", "ConfigMap", "map").says("specified-network", "nowhere");
        stage.create(map).await?;
        let ignored = stage
            .try_create(pod("p").past_the_webhook().says("specified-network", "nowhere"))
            .await?;
        assert_eq!(annotation(&ignored, "handled-by-webhook"), "");
        Ok(())
    });
}

/// Scenario 91: what the webhook makes of the next pod of a machine.
#[test]
fn the_next_pod_of_a_machine_is_placed_where_its_addresses_are() {
    on_the_control_plane("machine", async |cluster| {
        let stage = Stage::new(cluster, "machine").await?;
        underlay_of(&stage, "machines", 76).await?;
        for kind in [crds::MACHINE, crds::MACHINE_INSTANCE] {
            crds::serve(&stage, kind).await?;
        }
        cluster
            .apply_chart(&["rbac-manager", "rbac-webhook"], &["vmIPRetain=true"])
            .await?;
        let gate = Run::default().flag("--feature-gates=VMIPRetain=true");
        cluster.restart_manager(&gate).await?;
        cluster.restart_webhook(&gate).await?;
        let machine = stage
            .create(object(crds::MACHINE.0, crds::MACHINE.1, "box"))
            .await?;
        let instance = object(crds::MACHINE_INSTANCE.0, crds::MACHINE_INSTANCE.1, "box");
        let instance = stage.create(instance.of(&machine)).await?;
        let launcher = |name: &str| pod(name).of(&instance);
        let first = launcher("virt-launcher-a")
            .on("machines")
            .says("ip-family", "IPv4");
        stage
            .start(first.says("specified-network", "machines"), 1)
            .await?;
        stage.remove(POD, "virt-launcher-a").await?;

        // Its template says nothing of a network, and its name is another.
        let next = stage
            .until("the webhook knows what the machine keeps", async || {
                let pod = stage.try_create(launcher("virt-launcher-b")).await?;
                let is_kept = annotation(&pod, "specified-network") == "machines";
                Ok(if is_kept {
                    Ok(pod)
                } else {
                    Err(pod["metadata"].to_string())
                })
            })
            .await?;
        assert_eq!(annotation(&next, "ip-family"), "IPv4Only");
        assert_eq!(next["spec"]["nodeSelector"], json!({"network": "machines"}));

        for one in stage.labelled("networking.alibaba.com/vm=box").await? {
            stage.remove(IP_INSTANCE, name(&one)).await?;
        }
        cluster.restart_webhook(&Run::default()).await?;
        cluster.restart_manager(&Run::default()).await.map(drop)
    });
}
