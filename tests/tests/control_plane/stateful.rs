//! Pods of a `StatefulSet`: their addresses stay (control-plane spec 6.3).

use anyhow::Result;
use serde_json::{Value, json};

use crate::fixture::{manager, on_the_fixture};
use crate::objects::{Object, pod, stateful_set};
use crate::stage::{IP_INSTANCE, POD, STATEFUL_SET, Stage, ip, mac, name, text, uid, version};

const FINALIZER: &str = "networking.alibaba.com/ip-allocated";

/// Ends a pod of a stateful workload and waits until its addresses are kept.
async fn end(stage: &Stage, pod: &str, count: usize) -> Result<Vec<Value>> {
    stage.remove(POD, pod).await?;
    stage.reserved(pod, count).await
}

/// Scenario 63: the object belongs to the workload.
/// Scenario 64: what is left of a deleted pod.
/// Scenario 65: the successor on another node.
#[test]
fn the_address_of_a_stateful_pod_stays_for_its_successor_on_another_node() {
    on_the_fixture("stateful", async |cluster| {
        let stage = Stage::new(cluster, "stateful").await?;
        let set = stage.create(stateful_set("fake", 5)).await?;

        let bound = stage.start(pod("pod-4").on("node1").of(&set), 1).await?;
        let one = &bound[0];
        assert_eq!(
            one["spec"]["binding"]["referredObject"],
            json!({"kind": "StatefulSet", "name": "fake", "uid": uid(&set)})
        );
        assert_eq!(one["metadata"]["ownerReferences"][0]["kind"], "StatefulSet");
        assert_eq!(one["spec"]["binding"]["stateful"]["index"], 4);
        let first = stage.get(POD, "pod-4").await?.unwrap_or_default();
        assert_eq!(first["metadata"]["finalizers"], json!([FINALIZER]));
        // As the daemon tells.
        let status =
            json!({"nodeName": "node1", "podName": "pod-4", "podNamespace": "stateful", "sandboxID": "box"});
        stage.tell(IP_INSTANCE, name(one), status).await?;

        let kept = &end(&stage, "pod-4", 1).await?[0];
        assert_eq!((name(kept), uid(kept)), (name(one), uid(one)));
        assert_eq!(kept["spec"]["binding"]["podName"], "pod-4");
        assert_eq!(text(&kept["spec"]["binding"]["podUID"]), "");
        for label in ["networking.alibaba.com/node", "networking.alibaba.com/pod-uid"] {
            assert!(kept["metadata"]["labels"][label].is_null(), "{kept}");
        }
        let cleared = |one: &Value| {
            let status = &one["status"];
            let fields = ["nodeName", "podName", "podNamespace", "sandboxID"];
            fields.iter().all(|field| text(&status[field]).is_empty())
                && !text(&status["updateTimestamp"]).is_empty()
        };
        stage
            .is(IP_INSTANCE, name(one), "status cleared", cleared)
            .await?;
        stage
            .told("pod-4", &["IPReserveSucceed", ip(one).trim_end_matches("/24")])
            .await?;

        let again = &stage.start(pod("pod-4").on("node2").of(&set), 1).await?[0];
        assert_eq!(
            (name(again), uid(again), mac(again)),
            (name(one), uid(one), mac(one))
        );
        assert_eq!(again["spec"]["binding"]["nodeName"], "node2");
        assert_eq!(
            again["metadata"]["labels"]["networking.alibaba.com/node"],
            "node2"
        );
        stage.end_workload(STATEFUL_SET, "fake").await
    });
}

/// Scenario 66: a container that still runs.
#[test]
fn nothing_is_reserved_while_a_container_runs() {
    on_the_fixture("runs", async |cluster| {
        let stage = Stage::new(cluster, "runs").await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        let before = stage.start(pod("web-0").on("node1").of(&set), 1).await?;
        stage.runs("web-0").await?;

        stage.delete_within(POD, "web-0", 30).await?;
        stage.fence("node2").await?;
        assert_eq!(version(&stage.bound("web-0", 1).await?[0]), version(&before[0]));

        stage.stopped("web-0", "Running").await?;
        stage.reserved("web-0", 1).await?;
        let let_go = |pod: &Value| pod["metadata"]["finalizers"].is_null();
        stage.is(POD, "web-0", "without our finalizer", let_go).await?;
        stage.remove(POD, "web-0").await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 67: both addresses without annotations.
#[test]
fn a_successor_without_annotations_keeps_both_addresses_of_the_overlay() {
    on_the_fixture("both", async |cluster| {
        let stage = Stage::new(cluster, "both").await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        let asked = pod("web-0")
            .on("node1")
            .of(&set)
            .says("specified-network", "overlay-network");

        let first = stage.start(asked.says("ip-family", "DualStack"), 2).await?;
        end(&stage, "web-0", 2).await?;
        let second = stage.start(pod("web-0").on("node3").of(&set), 2).await?;

        let known = |found: &[Value]| -> Vec<(String, String, String)> {
            let all = found.iter().map(|one| (name(one), uid(one), mac(one)));
            all.map(|(name, uid, mac)| (name.to_owned(), uid.to_owned(), mac.to_owned()))
                .collect()
        };
        assert_eq!(known(&first), known(&second));
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 68: `ip-retain: "false"` on the successor.
/// Scenario 78: a `mac-pool` that comes later.
#[test]
fn a_successor_that_does_not_want_the_address_gets_another() {
    on_the_fixture("retain", async |cluster| {
        let stage = Stage::new(cluster, "retain").await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        let first = stage.start(pod("web-0").on("node1").of(&set), 1).await?;
        end(&stage, "web-0", 1).await?;

        let pooled = pod("web-0")
            .on("node1")
            .of(&set)
            .says("mac-pool", "00:16:ea:ae:3c:41");
        let kept = stage.start(pooled, 1).await?;
        assert_eq!(
            (uid(&kept[0]), mac(&kept[0])),
            (uid(&first[0]), mac(&first[0])),
            "written once"
        );
        end(&stage, "web-0", 1).await?;

        let other = stage
            .start(pod("web-0").on("node1").of(&set).says("ip-retain", "false"), 1)
            .await?;
        assert_ne!(ip(&other[0]), ip(&first[0]));
        stage.gone(IP_INSTANCE, name(&first[0])).await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 81: an evicted pod of a `StatefulSet` reserves.
#[test]
fn an_evicted_stateful_pod_keeps_its_address_and_lets_go() {
    on_the_fixture("evicted", async |cluster| {
        let stage = Stage::new(cluster, "evicted").await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        stage.start(pod("web-0").on("node1").of(&set), 1).await?;

        stage
            .tell(POD, "web-0", json!({"phase": "Failed", "reason": "Evicted"}))
            .await?;
        let kept = stage.reserved("web-0", 1).await?;
        let let_go = |pod: &Value| pod["metadata"]["finalizers"].is_null();
        stage.is(POD, "web-0", "without our finalizer", let_go).await?;
        stage
            .change(POD, "web-0", json!({"metadata": {"labels": {"new": "label"}}}))
            .await?;
        stage.fence("node2").await?;

        assert_eq!(
            version(&stage.reserved("web-0", 1).await?[0]),
            version(&kept[0]),
            "reserved once"
        );
        stage.remove(POD, "web-0").await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 94: an orphan is known by its address.
#[test]
fn the_address_of_an_orphan_is_kept_for_the_workload_that_owns_it() {
    on_the_fixture("orphan", async |cluster| {
        let stage = Stage::new(cluster, "orphan").await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        let before = stage.start(pod("web-0").on("node1").of(&set), 1).await?;

        stage
            .change(POD, "web-0", json!({"metadata": {"ownerReferences": null}}))
            .await?;
        let kept = end(&stage, "web-0", 1).await?;

        assert_eq!(uid(&kept[0]), uid(&before[0]));
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 69: kept against the default.
/// Scenario 82: a pod that the label selector leaves out.
#[test]
fn the_flags_of_the_manager_say_what_is_kept_and_whom_it_serves() {
    on_the_fixture("flags", async |cluster| {
        let stage = Stage::new(cluster, "flags").await?;
        let flags = manager()
            .flag("--default-ip-retain=false")
            .flag("--pod-label-selector=unserved!=true");
        cluster.restart_manager(&flags).await?;
        let set = stage.create(stateful_set("web", 2)).await?;
        let asked =
            |name: &str, word: &str| -> Object { pod(name).on("node1").of(&set).says("ip-retain", word) };

        stage
            .create(pod("unserved").on("node1").labelled("unserved", "true"))
            .await?;
        let kept = stage.start(asked("web-0", "true"), 1).await?;
        let lost = stage.start(pod("web-1").on("node1").of(&set), 1).await?;
        assert!(stage.held("unserved").await?.is_empty());
        end(&stage, "web-0", 1).await?;
        stage.remove(POD, "web-1").await?;
        let again = stage.start(asked("web-0", "true"), 1).await?;
        let other = stage.start(pod("web-1").on("node1").of(&set), 1).await?;

        assert_eq!(uid(&again[0]), uid(&kept[0]));
        assert_ne!(ip(&other[0]), ip(&lost[0]));
        stage.remove(POD, "unserved").await?;
        stage.end_workload(STATEFUL_SET, "web").await?;
        cluster.restart_manager(&manager()).await.map(drop)
    });
}
