//! What is written into a pod that keeps no addresses (control-plane 5.2).

use hybridnet_api::settings::Settings;
use serde_json::{Value, json};

use super::{chart, configured, sub, under, with};
use crate::fixtures::{World, annotations, namespace, network, pod, request, stateful};

const OVERLAY: &str = "networking.alibaba.com/overlay-network-attachment";
const UNDERLAY: &str = "networking.alibaba.com/underlay-network-attachment";
const BGP: &str = "networking.alibaba.com/bgp-network-attachment";
const IPV4_QUOTA: &str = "networking.alibaba.com/ipv4-address-quota";
const IPV6_QUOTA: &str = "networking.alibaba.com/ipv6-address-quota";
const DUAL_STACK_QUOTA: &str = "networking.alibaba.com/dualstack-address-quota";

fn selector(pod: &Value) -> Value {
    pod["spec"]["nodeSelector"].clone()
}

fn annotated(pod: &Value, key: &str) -> Option<String> {
    annotations(pod).remove(key)
}

/// Scenario 110: defaults of the chart fill in.
#[tokio::test]
async fn a_pod_without_keys_gets_the_defaults_and_an_attached_node() {
    let (placed, warnings) = with(&[], chart()).mutated(&pod("p", &[])).await;
    let expected = [
        ("handled-by-webhook", "true"),
        ("ip-family", "IPv4Only"),
        ("network-type", "Overlay"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(annotations(&placed), expected.into());
    assert_eq!(selector(&placed), json!({OVERLAY: "true"}));
    assert!(warnings.is_empty());
}

/// Scenario 111: default Underlay asks for quota.
#[tokio::test]
async fn a_pod_of_any_underlay_network_goes_where_addresses_are_left() {
    for (family, quota) in [
        ("IPv4", IPV4_QUOTA),
        ("ipv6only", IPV6_QUOTA),
        ("DualStack", DUAL_STACK_QUOTA),
    ] {
        let asking = pod("p", &[("ip-family", family)]);
        let (placed, warnings) = with(&[], Settings::default()).mutated(&asking).await;
        assert_eq!(selector(&placed), json!({UNDERLAY: "true", quota: "nonempty"}));
        assert!(warnings.is_empty(), "another spelling is no news: {warnings:?}");
    }
    let (placed, _) = with(&[], Settings::default()).mutated(&pod("p", &[])).await;
    assert_eq!(
        selector(&placed),
        json!({UNDERLAY: "true", IPV4_QUOTA: "nonempty"})
    );
}

/// Scenario 112: a named underlay network selects nodes.
#[tokio::test]
async fn a_pod_of_an_underlay_network_goes_to_its_nodes() {
    let keys = [("specified-network", "under"), ("ip-family", "dualstack")];
    let (placed, warnings) = with(&[], chart()).mutated(&pod("p", &keys)).await;
    assert_eq!(
        selector(&placed),
        json!({"network": "under", DUAL_STACK_QUOTA: "nonempty"})
    );
    assert_eq!(annotated(&placed, "ip-family").as_deref(), Some("DualStack"));
    assert_eq!(annotated(&placed, "network-type").as_deref(), Some("Underlay"));
    assert!(warnings.is_empty(), "another spelling is no news: {warnings:?}");
}

#[tokio::test]
async fn a_pod_of_the_global_bgp_network_goes_to_bgp_nodes() {
    let global = network("global", json!({"type": "GlobalBGP"}));
    let (placed, _) = with(&[global], chart())
        .mutated(&pod("p", &[("network-type", "globalbgp")]))
        .await;
    assert_eq!(selector(&placed), json!({BGP: "true"}));
    assert_eq!(annotated(&placed, "network-type").as_deref(), Some("GlobalBGP"));
}

#[tokio::test]
async fn a_pod_that_names_addresses_or_a_private_subnet_does_not_need_the_quota() {
    let keys = [("specified-network", "under"), ("ip-pool", "10.0.0.7")];
    let (placed, _) = with(&[], chart()).mutated(&stateful("web-0", &keys)).await;
    assert_eq!(selector(&placed), json!({"network": "under"}));
    let (placed, _) = with(&[], chart()).mutated(&pod("web-0", &keys)).await;
    assert_eq!(
        selector(&placed),
        json!({"network": "under", IPV4_QUOTA: "nonempty"}),
        "the pool of a plain pod has no effect"
    );
    let private = configured(sub("p4", "under", "4"), "private", json!(true));
    let (placed, _) = with(&[private], chart())
        .mutated(&pod("p", &[("specified-subnet", "p4")]))
        .await;
    assert_eq!(selector(&placed), json!({"network": "under"}));
}

/// Scenario 114: host network pods get a toleration.
#[tokio::test]
async fn a_pod_of_the_hosts_network_gets_a_toleration_once() {
    let world = with(&[], chart());
    let mut host = pod("p", &[("network-type", "nonsense")]);
    host["spec"]["hostNetwork"] = json!(true);
    let (tolerating, _) = world.mutated(&host).await;
    let expected = json!([
        {"key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule"}
    ]);
    assert_eq!(tolerating["spec"]["tolerations"], expected);
    assert_eq!(tolerating["metadata"], host["metadata"]);
    assert_eq!(world.mutated(&tolerating).await.0, tolerating);
    assert!(world.create(&host).await.is_ok());
}

/// Scenario 115: levels of wishes do not mix.
#[tokio::test]
async fn a_pod_that_says_anything_is_not_read_together_with_its_namespace() {
    let namespaced = || namespace(&[("specified-network", "under"), ("ip-family", "DualStack")]);
    let world = with(&[namespaced()], chart());
    let (own, _) = world.mutated(&pod("p", &[("ip-family", "IPv6")])).await;
    assert_eq!(annotated(&own, "specified-network"), None);
    assert_eq!(annotated(&own, "network-type").as_deref(), Some("Overlay"));
    assert_eq!(annotated(&own, "ip-family").as_deref(), Some("IPv6Only"));

    let (inherited, _) = world.mutated(&pod("p", &[])).await;
    assert_eq!(
        annotated(&inherited, "specified-network").as_deref(),
        Some("under")
    );
    assert_eq!(annotated(&inherited, "ip-family").as_deref(), Some("DualStack"));
}

/// Scenario 119: unknown fields survive the patch.
#[tokio::test]
async fn the_patch_touches_nothing_else() {
    let mut given = pod("p", &[]);
    given["spec"]["fieldOfTheFuture"] = json!({"a": [1, null, {"b~c/d": 1.5e300}]});
    given["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    given["metadata"]["fieldOfTheFuture"] = json!("x");
    given["status"] = json!(null);
    let (placed, _) = with(&[], chart()).mutated(&given).await;
    let mut expected = given;
    expected["spec"]["nodeSelector"][OVERLAY] = json!("true");
    expected["metadata"]["annotations"] = placed["metadata"]["annotations"].clone();
    assert_eq!(placed, expected);
}

#[tokio::test]
async fn what_is_overwritten_is_told() {
    let mut given = pod("p", &[]);
    given["spec"]["nodeSelector"] = json!({OVERLAY: "false"});
    let (placed, warnings) = with(&[], chart()).mutated(&given).await;
    assert_eq!(selector(&placed), json!({OVERLAY: "true"}));
    assert_eq!(
        warnings,
        [format!("nodeSelector {OVERLAY}: \"false\" replaced by \"true\"")]
    );
}

#[tokio::test]
async fn what_the_caches_lack_is_read_live() {
    let late = [under("under"), sub("u4", "under", "4"), namespace(&[])];
    let world = World::behind(&[], &late, chart());
    let (placed, _) = world.mutated(&pod("p", &[("specified-subnet", "u4")])).await;
    assert_eq!(annotated(&placed, "specified-network").as_deref(), Some("under"));
    assert!(world.mutate(&pod("p", &[])).await.is_ok());
    assert!(world.create(&placed).await.is_ok());

    let known = with(&[], chart());
    let named = pod("p", &[("specified-subnet", "u4")]);
    assert!(known.mutate(&named).await.is_ok());
    assert!(known.create(&named).await.is_ok());
    assert!(
        known.api.state().reads.is_empty(),
        "no read for what the caches hold"
    );
}

#[tokio::test]
async fn only_new_pods_are_judged_and_only_as_a_whole() {
    let world = with(&[], chart());
    let bad = pod("p", &[("specified-network", "none")]);
    assert!(world.update(&bad, &bad).await.is_ok());
    let mut binding = request("CREATE", Some(&bad), None);
    binding.sub_resource = Some("binding".to_owned());
    assert!(world.admission.validate(&binding).await.is_ok());
    assert!(world.admission.mutate(&binding).await.is_ok());
}

#[tokio::test]
async fn what_is_no_pod_is_answered_with_400() {
    let world = with(&[], chart());
    let mut broken = pod("p", &[]);
    broken["spec"]["containers"] = json!("many");
    assert_eq!(world.mutate(&broken).await.expect_err("not a list").code, 400);
    assert_eq!(world.create(&broken).await.expect_err("not a list").code, 400);
}
