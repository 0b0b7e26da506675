//! Pods of no stateful workload: what they get, by which words, and what they give back (control-plane spec 6.3).

use serde_json::{Value, json};

use crate::fixture::on_the_fixture;
use crate::objects::{Object, node, own_subnet, pod, subnet, underlay};
use crate::stage::{IP_INSTANCE, NETWORK, NODE, POD, SUBNET, Stage, ip, mac, name, text, uid, version};

/// Scenario 56: a plain pod's object, field by field.
/// Scenario 142: the labels that an old daemon looks for.
/// Scenario 47: the netID of the Network.
#[test]
fn the_object_of_a_plain_pod_says_everything_about_it() {
    on_the_fixture("plain", async |cluster| {
        let stage = Stage::new(cluster, "plain").await?;

        let pod = stage.create(pod("p").on("node1")).await?;
        let found = stage.bound("p", 1).await?;

        let one = &found[0];
        let prefix = "networking.alibaba.com";
        assert_eq!(
            one["metadata"]["labels"],
            json!({
                format!("{prefix}/version"): "v1.2", format!("{prefix}/network"): "underlay-network",
                format!("{prefix}/subnet"): "underlay-subnet", format!("{prefix}/node"): "node1",
                format!("{prefix}/pod"): "p", format!("{prefix}/pod-uid"): uid(&pod)})
        );
        assert_eq!(
            one["metadata"]["finalizers"],
            json!(["networking.alibaba.com/ip-allocated"])
        );
        assert_eq!(
            one["metadata"]["ownerReferences"],
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid(&pod), "controller": true,
                    "blockOwnerDeletion": false}])
        );
        let spec = &one["spec"];
        assert_eq!(
            (text(&spec["network"]), text(&spec["subnet"])),
            ("underlay-network", "underlay-subnet")
        );
        assert_eq!(spec["address"]["version"], "4");
        assert_eq!(
            (&spec["address"]["gateway"], &spec["address"]["netID"]),
            (&json!("192.168.56.1"), &json!(100))
        );
        assert!(
            ip(one).starts_with("192.168.56.") && ip(one).ends_with("/24"),
            "{one}"
        );
        assert_eq!(name(one), ip(one).trim_end_matches("/24").replace('.', "-"));
        assert_eq!(
            spec["binding"],
            json!({"referredObject": {"kind": "Pod", "name": "p", "uid": uid(&pod)}, "nodeName": "node1",
                   "podUID": uid(&pod), "podName": "p"})
        );
        let selector = format!("{prefix}/node=node1,{prefix}/pod-uid={}", uid(&pod));
        assert_eq!(
            stage.labelled(&selector).await?.len(),
            1,
            "as the daemon of 0.8.9 asks"
        );
        stage
            .told("p", &["IPAllocationSucceed", ip(one).trim_end_matches("/24")])
            .await?;
        stage.clear(&["p"]).await
    });
}

/// Scenario 57: an IPv6 pod of the overlay.
/// Scenario 58: a dual-stack pod, one MAC.
/// Scenario 59: words in any case.
/// Scenario 61: a specified Network brings its type.
#[test]
fn the_words_of_a_pod_choose_network_and_families_in_any_case() {
    on_the_fixture("words", async |cluster| {
        let stage = Stage::new(cluster, "words").await?;
        let (four, six) = ("overlay-ipv4-subnet", "overlay-ipv6-subnet");
        let overlay = |name: &str, family: &str| {
            pod(name)
                .on("node3")
                .says("network-type", "Overlay")
                .says("ip-family", family)
        };
        let cases: [(Object, &[&str]); 8] = [
            (overlay("six", "IPv6"), &[six]),
            (overlay("both", "DualStack"), &[four, six]),
            (overlay("lower", "ipv4"), &[four]),
            (overlay("only", "IPv6Only"), &[six]),
            (
                overlay("mixed", "dualStack").says("network-type", "overlay"),
                &[four, six],
            ),
            (
                pod("label")
                    .on("node3")
                    .labelled("networking.alibaba.com/network-type", "OVERLAY"),
                &[four],
            ),
            (
                pod("named")
                    .on("node1")
                    .labelled("networking.alibaba.com/specified-network", "overlay-network"),
                &[four],
            ),
            (pod("none").on("node2"), &["underlay-subnet"]),
        ];

        for (object, subnets) in cases {
            let created = stage.create(object).await?;
            let found = stage.bound(name(&created), subnets.len()).await?;

            let from: Vec<&str> = found.iter().map(|one| text(&one["spec"]["subnet"])).collect();
            assert_eq!(from, subnets, "{}", name(&created));
            assert!(found.iter().all(|one| mac(one) == mac(&found[0])), "{found:?}");
            assert!(mac(&found[0]).starts_with("02:12:34:"), "{found:?}");
            stage.clear(&[name(&created)]).await?;
        }
        Ok(())
    });
}

/// Scenario 60: the Namespace's words.
#[test]
fn a_pod_without_own_words_follows_its_namespace() {
    on_the_fixture("namespace-words", async |cluster| {
        let words = [("network-type", "overlay"), ("ip-family", "dualstack")];
        let stage = Stage::saying(cluster, "namespace-words", &words).await?;

        let found = stage.start(pod("p").on("node1"), 2).await?;

        assert!(
            found
                .iter()
                .all(|one| one["spec"]["network"] == "overlay-network"),
            "{found:?}"
        );
        stage.clear(&["p"]).await
    });
}

/// Scenario 62: the Subnet that pod or Namespace names.
#[test]
fn a_named_subnet_is_used_whoever_names_it() {
    on_the_fixture("subnets", async |cluster| {
        let stage = Stage::saying(cluster, "subnets", &[("specified-subnet", "three-2")]).await?;
        stage.create(node("three").labelled("network", "three")).await?;
        stage.create(underlay("three", 3)).await?;
        for number in 1..=3 {
            let cidr = format!("10.3.{number}.0/24");
            let one = subnet(&format!("three-{number}"), "three", &cidr);
            stage
                .create(one.with("spec.range.gateway", format!("10.3.{number}.1")))
                .await?;
        }

        let by_namespace = stage.start(pod("a").on("three"), 1).await?;
        let by_pod = stage
            .start(pod("b").on("three").says("specified-subnet", "three-3"), 1)
            .await?;
        let label = pod("c")
            .on("three")
            .labelled("networking.alibaba.com/specified-subnet", "three-1");
        let by_label = stage.start(label, 1).await?;

        let from = [by_namespace, by_pod, by_label].map(|found| text(&found[0]["spec"]["subnet"]).to_owned());
        assert_eq!(from, ["three-2", "three-3", "three-1"]);
        stage.clear(&["a", "b", "c"]).await
    });
}

/// Scenario 83: a plain pod goes.
/// Scenario 105: statistics follow.
#[test]
fn the_statistics_follow_a_pod_that_comes_and_goes() {
    on_the_fixture("statistics", async |cluster| {
        let stage = Stage::new(cluster, "statistics").await?;
        stage.underlay(5, own_subnet("counted", "10.5.0.0/29")).await?;
        let counts = async |used: i64| {
            let all = move |total: &Value| total["used"] == used && total["available"] == 5 - used;
            stage
                .is(SUBNET, "counted", "counts", |subnet| all(&subnet["status"]))
                .await?;
            stage
                .is(NETWORK, "counted", "counts", |network| {
                    all(&network["status"]["statistics"])
                })
                .await
        };
        counts(0).await?;

        stage.start(pod("a").on("counted"), 1).await?;
        counts(1).await?;
        stage.start(pod("b").on("counted"), 1).await?;
        counts(2).await?;
        let status = stage.get(SUBNET, "counted").await?.unwrap_or_default();
        assert_eq!(status["status"]["lastAllocatedIP"], "10.5.0.3");
        stage.clear(&["a"]).await?;
        counts(1).await?;
        stage.clear(&["b"]).await?;
        counts(0).await.map(drop)
    });
}

/// Scenario 75: pools of a plain pod.
#[test]
fn pools_mean_nothing_for_a_plain_pod() {
    on_the_fixture("plain-pools", async |cluster| {
        let stage = Stage::new(cluster, "plain-pools").await?;
        let pools = pod("p-0")
            .on("node1")
            .says("ip-pool", "192.168.56.200")
            .says("mac-pool", "00:16:ea:ae:3c:40");

        let found = stage.start(pools, 1).await?;

        assert_ne!(ip(&found[0]), "192.168.56.200/24");
        assert!(mac(&found[0]).starts_with("02:12:34:"), "{found:?}");
        let pod = stage.get(POD, "p-0").await?.unwrap_or_default();
        assert!(pod["metadata"]["finalizers"].is_null(), "{pod}");
        stage.clear(&["p-0"]).await
    });
}

/// Scenario 79: a completed pod gives its address back.
/// Scenario 80: not before every container has told its end.
/// Scenario 81: an evicted pod of a `ReplicaSet` gives it back.
#[test]
fn a_pod_that_will_not_run_again_gives_its_address_back_and_says_so() {
    on_the_fixture("ended", async |cluster| {
        let stage = Stage::new(cluster, "ended").await?;
        let job =
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job", "uid": "7-job"}});
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "set", "uid": "7-set"}});
        let before = stage.start(pod("job").on("node1").of(&job), 1).await?;
        stage.start(pod("evicted").on("node1").of(&set), 1).await?;

        stage.tell(POD, "job", json!({"phase": "Succeeded"})).await?;
        stage.fence("node2").await?;
        assert_eq!(
            version(&stage.bound("job", 1).await?[0]),
            version(&before[0]),
            "nothing is known of its container"
        );
        stage.stopped("job", "Succeeded").await?;
        stage
            .tell(POD, "evicted", json!({"phase": "Failed", "reason": "Evicted"}))
            .await?;

        for pod in ["job", "evicted"] {
            stage.freed(pod).await?;
            stage.told(pod, &["IPReleaseSucceed"]).await?;
        }
        stage.clear(&["job", "evicted"]).await
    });
}

/// Scenario 84: a running pod is not served again.
/// Scenario 82: pods of the host's network, and without a node.
#[test]
fn a_pod_that_needs_nothing_is_left_alone() {
    on_the_fixture("alone", async |cluster| {
        let stage = Stage::new(cluster, "alone").await?;
        let before = stage.start(pod("running").on("node1"), 1).await?;
        stage.runs("running").await?;
        stage
            .tell(
                POD,
                "running",
                json!({"podIP": "192.168.56.9", "podIPs": [{"ip": "192.168.56.9"}]}),
            )
            .await?;

        stage
            .create(pod("host").on("node1").with("spec.hostNetwork", true))
            .await?;
        stage.create(pod("unplaced")).await?;
        stage
            .change(POD, "running", json!({"metadata": {"labels": {"new": "label"}}}))
            .await?;
        stage.fence("node1").await?;

        assert_eq!(version(&stage.bound("running", 1).await?[0]), version(&before[0]));
        for other in ["host", "unplaced"] {
            assert!(stage.held(other).await?.is_empty(), "{other}");
            assert_eq!(stage.events(other).await?, Vec::<String>::new());
        }
        stage.clear(&["running", "host", "unplaced"]).await
    });
}

/// Scenario 86: two namespaces, one address.
/// Scenario 108: the last address empties every node's quota.
#[test]
fn of_two_pods_and_one_address_the_second_waits_until_the_first_is_gone() {
    on_the_fixture("last", async |cluster| {
        let (one, two) = (
            Stage::new(cluster, "last-1").await?,
            Stage::new(cluster, "last-2").await?,
        );
        for place in ["last-a", "last-b"] {
            one.create(node(place).labelled("network", "last")).await?;
        }
        one.create(underlay("last", 6)).await?;
        let range = own_subnet("last", "10.6.0.0/30");
        one.create(range).await?;
        let quota = async |word: &str| {
            for place in ["last-a", "last-b"] {
                let label = "networking.alibaba.com/ipv4-address-quota";
                one.is(NODE, place, word, |node| {
                    node["metadata"]["labels"][label] == word
                })
                .await?;
            }
            anyhow::Ok(())
        };
        quota("nonempty").await?;

        tokio::try_join!(
            one.create(pod("p").on("last-a")),
            two.create(pod("p").on("last-b"))
        )?;
        let first = one.until("one of them has it", async || {
            let held = (one.held("p").await?, two.held("p").await?);
            Ok(match (held.0.len(), held.1.len()) {
                (1, 0) => Ok(true),
                (0, 1) => Ok(false),
                _ => Err(format!("{held:?}")),
            })
        });
        let (winner, loser) = if first.await? { (&one, &two) } else { (&two, &one) };
        loser.told("p", &["IPAllocationFail"]).await?;
        quota("empty").await?;
        winner.clear(&["p"]).await?;
        loser.bound("p", 1).await?;
        loser.clear(&["p"]).await?;
        quota("nonempty").await
    });
}

/// Scenario 89: a specified Network that the node is not in.
#[test]
fn a_specified_network_of_other_nodes_is_an_error_that_names_both() {
    on_the_fixture("elsewhere", async |cluster| {
        let stage = Stage::new(cluster, "elsewhere").await?;
        stage.underlay(7, own_subnet("elsewhere", "10.7.0.0/24")).await?;

        stage
            .create(
                pod("p")
                    .on("elsewhere")
                    .says("specified-network", "underlay-network"),
            )
            .await?;
        stage
            .told("p", &["IPAllocationFail", "underlay-network", "elsewhere"])
            .await?;

        assert!(stage.held("p").await?.is_empty());
        stage.clear(&["p"]).await
    });
}

/// Scenario 95: an address of a Network that is gone.
#[test]
fn an_address_of_a_network_that_is_gone_can_be_deleted() {
    on_the_fixture("gone", async |cluster| {
        let stage = Stage::new(cluster, "gone").await?;
        let address = crate::objects::object("networking.alibaba.com/v1", "IPInstance", "10-99-0-9")
            .with(
                "metadata.finalizers",
                json!(["networking.alibaba.com/ip-allocated"]),
            )
            .with("spec.network", "gone")
            .with("spec.subnet", "gone")
            .with(
                "spec.address",
                json!({"version": "4", "ip": "10.99.0.9/24", "mac": "02:12:34:00:00:01"}),
            );
        stage.create(address).await?;

        stage.remove(IP_INSTANCE, "10-99-0-9").await
    });
}
