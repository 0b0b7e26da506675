//! What the webhook makes of pods: real requests, through the API server (control-plane spec 6.5).

use anyhow::Result;
use hybridnet_tests::ours::Run;
use serde_json::Value;

use crate::objects::{Object, node, pod, stateful_set, subnet, underlay};
use crate::stage::{POD, STATEFUL_SET, Stage};
use crate::{on_the_control_plane, overlay};

const PREFIX: &str = "networking.alibaba.com";

pub(crate) fn annotation<'a>(pod: &'a Value, key: &str) -> &'a str {
    crate::stage::text(&pod["metadata"]["annotations"][format!("{PREFIX}/{key}")])
}

fn selector(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs.iter().map(|(key, value)| {
        let key = if key.contains('-') {
            format!("{PREFIX}/{key}")
        } else {
            (*key).to_owned()
        };
        (key, Value::from(*value))
    });
    Value::Object(pairs.collect())
}

/// An Underlay network of both families, which the webhook has heard of.
pub(crate) async fn underlay_of(stage: &Stage, name: &str, net_id: i32) -> Result<()> {
    stage.create(node(name).labelled("network", name)).await?;
    stage.create(underlay(name, net_id)).await?;
    let four = subnet(&format!("{name}-4"), name, &format!("10.{net_id}.0.0/24"));
    stage
        .create(four.with("spec.range.gateway", format!("10.{net_id}.0.1")))
        .await?;
    let six = subnet(&format!("{name}-6"), name, &format!("fd00:{net_id}::/120"));
    stage
        .create(six.with("spec.range.gateway", format!("fd00:{net_id}::1")))
        .await?;
    let subnets = format!("{name}-4/{name}-6");
    let probe = pod("probe")
        .says("specified-subnet", &subnets)
        .says("ip-family", "DualStack");
    known(stage, probe).await
}

/// Waits until the webhook takes a pod: its caches follow the API.
pub(crate) async fn known(stage: &Stage, probe: Object) -> Result<()> {
    let probe = Value::from(probe);
    stage
        .until("the webhook knows it", async || {
            Ok(stage
                .try_create(probe.clone())
                .await
                .map(drop)
                .map_err(|error| format!("{error:#}")))
        })
        .await
}

/// Scenario 110: the chart's defaults.
/// Scenario 115: one word of the pod outweighs the Namespace.
/// Scenario 114: a pod of the host's network.
/// Scenario 119: fields that nobody here knows.
#[test]
fn a_pod_is_filled_in_and_nothing_else_of_it_is_touched() {
    on_the_control_plane("filled", async |cluster| {
        overlay(cluster, "filled", "10.50.0.0/24", "fd00:50::/120").await?;
        let stage = Stage::saying(cluster, "filled", &[("specified-network", "nowhere")]).await?;
        let plain = Stage::new(cluster, "filled-plain").await?;

        let filled = plain
            .try_create(pod("p").with("spec.shareProcessNamespace", true))
            .await?;
        let words = ["network-type", "ip-family", "handled-by-webhook"].map(|key| annotation(&filled, key));
        assert_eq!(words, ["Overlay", "DualStack", "true"]);
        assert_eq!(
            filled["spec"]["nodeSelector"],
            selector(&[("overlay-network-attachment", "true")])
        );
        assert_eq!(filled["spec"]["shareProcessNamespace"], true);

        let own = stage.try_create(pod("p").says("ip-family", "IPv6")).await?;
        let words = ["network-type", "ip-family", "specified-network"].map(|key| annotation(&own, key));
        assert_eq!(words, ["Overlay", "IPv6Only", ""]);
        stage.refused(pod("p"), &["nowhere"]).await?;

        let host = |pod: Object| pod.with("spec.hostNetwork", true);
        let tolerated = plain.try_create(host(pod("p"))).await?;
        let ours = |pod: &Value| {
            let all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
            all.into_iter()
                .filter(|one| one["key"] == "node.kubernetes.io/network-unavailable")
                .count()
        };
        assert_eq!(
            (ours(&tolerated), annotation(&tolerated, "handled-by-webhook")),
            (1, "")
        );
        let again = host(pod("p")).with("spec.tolerations", tolerated["spec"]["tolerations"].clone());
        assert_eq!(ours(&plain.try_create(again).await?), 1);
        Ok(())
    });
}

/// Scenario 110: the chart's default family.
/// Scenario 111: default Underlay.
#[test]
fn the_defaults_of_the_webhook_are_those_of_its_environment() {
    on_the_control_plane("defaults", async |cluster| {
        overlay(cluster, "defaults", "10.51.0.0/24", "fd00:51::/120").await?;
        let stage = Stage::new(cluster, "defaults").await?;

        for (kind, family, expected) in [
            (
                "Overlay",
                "IPv4",
                selector(&[("overlay-network-attachment", "true")]),
            ),
            (
                "",
                "",
                selector(&[
                    ("underlay-network-attachment", "true"),
                    ("ipv4-address-quota", "nonempty"),
                ]),
            ),
        ] {
            let run = Run::default()
                .variable("DEFAULT_NETWORK_TYPE", kind)
                .variable("DEFAULT_IP_FAMILY", family);
            cluster.restart_webhook(&run).await?;
            let filled = stage.try_create(pod("p")).await?;
            assert_eq!(annotation(&filled, "ip-family"), "IPv4Only");
            assert_eq!(filled["spec"]["nodeSelector"], expected, "{kind}");
        }
        cluster.restart_webhook(&Run::default()).await
    });
}

/// Scenario 112: a named Underlay Network, dual-stack.
/// Scenario 113: a retained Underlay address.
/// Scenario 116: a type that contradicts the Network.
/// Scenario 117: Subnets that do not go together.
#[test]
fn a_pod_of_an_underlay_network_goes_to_its_nodes() {
    on_the_control_plane("underlay", async |cluster| {
        let stage = Stage::new(cluster, "underlay").await?;
        underlay_of(&stage, "racked", 52).await?;
        underlay_of(&stage, "stacked", 53).await?;
        let named = |name: &str| pod(name).says("specified-network", "racked");

        let filled = stage
            .try_create(named("p").says("ip-family", "DualStack"))
            .await?;
        assert_eq!(
            filled["spec"]["nodeSelector"],
            selector(&[("network", "racked"), ("dualstack-address-quota", "nonempty")])
        );
        stage
            .refused(
                named("p").says("network-type", "Overlay"),
                &["racked", "Overlay", "Underlay"],
            )
            .await?;
        let both = |text: &str| {
            pod("p")
                .says("ip-family", "DualStack")
                .says("specified-subnet", text)
        };
        stage
            .refused(both("racked-4/stacked-6"), &["racked", "stacked"])
            .await?;
        stage.refused(both("racked-6/racked-4"), &["racked-6"]).await?;
        stage
            .refused(both("racked-4/racked-6/stacked-4"), &["specified-subnet"])
            .await?;
        stage.refused(both("racked-4/nothing"), &["nothing"]).await?;

        let set = stage.create(stateful_set("web", 1)).await?;
        stage
            .start(named("web-0").on("racked").of(&set).says("ip-family", "IPv4"), 1)
            .await?;
        stage.remove(POD, "web-0").await?;
        stage.reserved("web-0", 1).await?;
        let kept = stage
            .until("the webhook knows what is kept", async || {
                let pod = stage.try_create(pod("web-0").of(&set)).await?;
                let is_kept = annotation(&pod, "specified-network") == "racked";
                Ok(if is_kept {
                    Ok(pod)
                } else {
                    Err(pod["metadata"].to_string())
                })
            })
            .await?;
        assert_eq!(kept["spec"]["nodeSelector"], selector(&[("network", "racked")]));
        assert_eq!(annotation(&kept, "ip-family"), "IPv4Only");
        let moved = pod("web-0")
            .of(&set)
            .says("ip-retain", "false")
            .says("specified-network", "stacked");
        assert_eq!(
            annotation(&stage.try_create(moved).await?, "specified-network"),
            "stacked"
        );
        stage.end_workload(STATEFUL_SET, "web").await
    });
}

/// Scenario 120: a pool of several sections.
/// Scenario 121: pools that cannot be meant.
#[test]
fn pools_are_read_section_by_section() {
    on_the_control_plane("pools", async |cluster| {
        let stage = Stage::new(cluster, "pools").await?;
        underlay_of(&stage, "pooled", 56).await?;
        let set = stage.create(stateful_set("web", 2)).await?;
        let named = || {
            pod("web-0")
                .of(&set)
                .says("specified-network", "pooled")
                .says("ip-family", "IPv4")
        };

        stage
            .try_create(named().says("ip-pool", "10.56.0.10,10.56.0.11"))
            .await?;
        stage
            .try_create(
                named()
                    .says("ip-family", "DualStack")
                    .says("ip-pool", "10.56.0.10/fd00:56::10"),
            )
            .await?;
        stage
            .refused(
                pod("web-0").of(&set).says("ip-pool", "10.56.0.10"),
                &["ip-pool", "specified-network"],
            )
            .await?;
        stage
            .refused(named().says("ip-pool", "10.56.0.10,,10.56.0.11"), &["ip-pool"])
            .await?;
        stage
            .refused(named().says("ip-pool", "10.56.0.10,zz"), &["ip-pool", "zz"])
            .await?;
        stage
            .refused(named().says("mac-pool", "zz"), &["mac-pool", "zz"])
            .await?;
        stage.delete(STATEFUL_SET, "web").await
    });
}
