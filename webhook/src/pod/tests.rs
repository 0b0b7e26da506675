use hybridnet_api::NetworkType;
use hybridnet_api::selection::PodFamily;
use hybridnet_api::settings::Settings;
use serde_json::{Value, json};

use crate::fixtures::{World, annotations, ip_instance, network, pod, request, stateful, subnet};

fn chart() -> Settings {
    Settings {
        default_network_type: NetworkType::Overlay,
        ..Settings::default()
    }
}

fn counted(mut network: Value, available: i32) -> Value {
    let count = json!({"total": 9, "used": 9 - available, "available": available});
    network["status"] = json!({"statistics": count, "ipv6Statistics": count, "dualStackStatistics": count});
    network
}

fn under(name: &str) -> Value {
    counted(
        network(name, json!({"nodeSelector": {"network": name}, "netID": 100})),
        0,
    )
}

fn over(available: i32) -> Value {
    counted(network("over", json!({"type": "Overlay", "netID": 4})), available)
}

fn sub(name: &str, network: &str, version: &str) -> Value {
    let cidr = if version == "4" {
        "10.0.0.0/24"
    } else {
        "fd00::/112"
    };
    subnet(
        name,
        json!({"network": network, "range": {"version": version, "cidr": cidr}}),
    )
}

fn cluster() -> Vec<Value> {
    vec![
        under("under"),
        over(5),
        sub("u4", "under", "4"),
        sub("u6", "under", "6"),
        sub("o4", "over", "4"),
        sub("o6", "over", "6"),
    ]
}

fn with(objects: &[Value], settings: Settings) -> World {
    World::of(&[cluster().as_slice(), objects].concat(), settings)
}

fn selector(pod: &Value) -> Value {
    pod["spec"]["nodeSelector"].clone()
}

const OVERLAY: &str = "networking.alibaba.com/overlay-network-attachment";
const UNDERLAY: &str = "networking.alibaba.com/underlay-network-attachment";
const IPV4_QUOTA: &str = "networking.alibaba.com/ipv4-address-quota";
const DUAL_STACK_QUOTA: &str = "networking.alibaba.com/dualstack-address-quota";

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

    let (placed, _) = with(&[], Settings::default()).mutated(&pod("p", &[])).await;
    assert_eq!(
        selector(&placed),
        json!({UNDERLAY: "true", IPV4_QUOTA: "nonempty"})
    );
}

#[tokio::test]
async fn a_pod_of_an_underlay_network_goes_to_its_nodes() {
    let keys = [("specified-network", "under"), ("ip-family", "dualstack")];
    let (placed, warnings) = with(&[], chart()).mutated(&pod("p", &keys)).await;
    assert_eq!(
        selector(&placed),
        json!({"network": "under", DUAL_STACK_QUOTA: "nonempty"})
    );
    assert_eq!(
        annotations(&placed).get("ip-family").map(String::as_str),
        Some("DualStack")
    );
    assert!(warnings.is_empty(), "another spelling is no news: {warnings:?}");
}

#[tokio::test]
async fn a_pod_that_keeps_or_names_addresses_does_not_need_the_quota() {
    let held = ip_instance("10-0-0-5", "web-0", ("under", "u4"));
    let (placed, _) = with(&[held], chart()).mutated(&stateful("web-0", &[])).await;
    assert_eq!(selector(&placed), json!({"network": "under"}));
    assert_eq!(
        annotations(&placed).get("specified-network").map(String::as_str),
        Some("under")
    );
    let keys = [("specified-network", "under"), ("ip-pool", "10.0.0.7")];
    let (placed, _) = with(&[], chart()).mutated(&stateful("web-0", &keys)).await;
    assert_eq!(selector(&placed), json!({"network": "under"}));
}

#[tokio::test]
async fn a_pod_of_the_hosts_network_gets_a_toleration_once() {
    let world = with(&[], chart());
    let mut host = pod("p", &[]);
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

#[tokio::test]
async fn the_patch_touches_nothing_else() {
    let mut given = pod("p", &[]);
    given["spec"]["fieldOfTheFuture"] = json!({"a": [1]});
    given["spec"]["nodeSelector"] = json!({"disk": "ssd"});
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
    assert!(
        matches!(warnings.as_slice(), [one] if one.contains("\"false\" replaced by \"true\"")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn a_template_that_moved_on_does_not_cost_a_pod_its_addresses() {
    let held = ip_instance("10-0-0-5", "web-0", ("over", "o4"));
    let world = with(&[held], chart());
    let keys = [("specified-network", "under"), ("specified-subnet", "u4")];
    let (placed, warnings) = world.mutated(&stateful("web-0", &keys)).await;
    let annotations = annotations(&placed);
    assert_eq!(
        annotations.get("specified-network").map(String::as_str),
        Some("over")
    );
    assert!(!annotations.contains_key("specified-subnet"));
    assert!(
        warnings.len() == 2 && warnings.iter().any(|one| one.contains("\"u4\" removed")),
        "{warnings:?}"
    );
    assert!(world.create(&placed).await.is_ok(), "what was mutated passes");
}

#[tokio::test]
async fn a_contradiction_is_answered_with_500_before_and_403_after_mutation() {
    let world = with(&[], chart());
    for (keys, said) in [
        (
            vec![("specified-network", "under"), ("network-type", "Overlay")],
            "is Underlay",
        ),
        (vec![("specified-subnet", "u4/o6")], "in network \"under\""),
        (vec![("specified-subnet", "u6/u4")], "\"4\" must stand there"),
        (vec![("specified-subnet", "u4/u6/o4")], "more than two"),
        (vec![("specified-subnet", "none")], "subnet \"none\" not found"),
        (vec![("specified-network", "none")], "network \"none\" not found"),
        (vec![("network-type", "Mesh")], "\"Mesh\""),
        (
            vec![("network-type", "Overlay"), ("ip-family", "IPv5")],
            "\"IPv5\"",
        ),
    ] {
        let refusal = world.mutate(&pod("p", &keys)).await.expect_err(said);
        assert!(refusal.code == 500 && refusal.message.contains(said), "{refusal}");
        let text = world.denied(&pod("p", &keys)).await;
        assert!(text.contains(said), "{text}");
    }
}

#[tokio::test]
async fn what_the_caches_lack_is_read_live() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}});
    let world = World::behind(
        &[],
        &[under("under"), sub("u4", "under", "4"), namespace],
        chart(),
    );
    let (placed, _) = world.mutated(&pod("p", &[("specified-subnet", "u4")])).await;
    assert_eq!(
        annotations(&placed).get("specified-network").map(String::as_str),
        Some("under")
    );
    assert!(world.mutate(&pod("p", &[])).await.is_ok());
    assert!(world.create(&placed).await.is_ok());
    world.api.state().reads.clear();
    let known = with(&[], chart());
    assert!(
        known
            .mutate(&pod("p", &[("specified-subnet", "u4")]))
            .await
            .is_ok()
    );
    assert!(
        known.api.state().reads.is_empty(),
        "no read for what the caches hold"
    );
}

#[tokio::test]
async fn pools_are_judged_section_by_section() {
    let world = with(&[], chart());
    let keys = |pool| vec![("specified-network", "under"), pool];
    let good = keys(("ip-pool", "192.168.56.10,192.168.56.11"));
    let allowed = world
        .create(&stateful("web-0", &good))
        .await
        .expect("a good pool");
    assert!(allowed.warnings.is_empty());
    for (keys, said) in [
        (vec![("ip-pool", "192.168.56.10")], "without a network"),
        (
            keys(("ip-pool", "1.1.1.1,,1.1.1.2")),
            "section 1 of the pool is empty",
        ),
        (keys(("ip-pool", "1.1.1.1,x")), "\"x\" in section 1"),
        (keys(("mac-pool", "zz")), "\"zz\""),
        (
            keys(("mac-pool", "00:16:ea:ae:3c:40,")),
            "section 1 of the pool is empty",
        ),
    ] {
        let text = world.denied(&stateful("web-0", &keys)).await;
        assert!(text.contains(said), "{text}");
    }
    let odd = keys(("ip-pool", "192.168.56.10,192.168.56.10,fd00::1"));
    let warnings = world
        .create(&stateful("web-0", &odd))
        .await
        .expect("odd but allowed")
        .warnings;
    assert!(matches!(warnings.as_slice(), [twice, family]
        if twice.contains("192.168.56.10 is listed twice") && family.contains("section 2 is not IPv4Only")));
}

#[tokio::test]
async fn a_full_overlay_takes_only_pods_that_have_addresses() {
    let full = |objects: &[Value]| World::of(&[&[over(0), under("under")], objects].concat(), chart());
    let text = full(&[]).denied(&pod("p", &[])).await;
    assert!(text.contains("\"over\" has no IPv4Only addresses left"), "{text}");
    assert!(
        full(&[])
            .create(&pod("p", &[("network-type", "Underlay")]))
            .await
            .is_ok()
    );
    let held = ip_instance("10-0-0-5", "web-0", ("over", "o4"));
    assert!(full(&[held]).create(&stateful("web-0", &[])).await.is_ok());
    let pooled = stateful(
        "web-1",
        &[("specified-network", "over"), ("ip-pool", "10.0.0.1,10.0.0.2")],
    );
    assert!(full(&[]).create(&pooled).await.is_ok());
    let none = World::of(&[under("under")], chart());
    assert!(none.denied(&pod("p", &[])).await.contains("no Overlay network"));
    let fresh = World::of(
        &[network("over", json!({"type": "Overlay", "netID": 4}))],
        chart(),
    );
    assert!(
        fresh.create(&pod("p", &[])).await.is_ok(),
        "its numbers are not known yet"
    );
}

#[tokio::test]
async fn addresses_that_are_given_up_do_not_hold_a_pod_back() {
    let held = ip_instance("10-0-0-5", "web-0", ("under", "u4"));
    let world = with(&[held], chart());
    let moved = [("specified-network", "over"), ("ip-retain", "false")];
    assert!(world.create(&stateful("web-0", &moved)).await.is_ok());
    let text = world.denied(&stateful("web-0", &moved[..1])).await;
    assert!(text.contains("keeps 10.0.0.5/24 of network \"under\""), "{text}");
    let text = world
        .denied(&stateful("web-0", &[("specified-subnet", "u6")]))
        .await;
    assert!(
        text.contains("of subnet \"u4\", but asks for subnet u6"),
        "{text}"
    );
}

#[tokio::test]
async fn left_overs_do_not_hold_a_pod_back() {
    let held = [
        ip_instance("10-0-0-5", "web-0", ("over", "o4")),
        ip_instance("10-0-0-6", "web-0", ("over", "o4")),
    ];
    let (placed, _) = with(&held, chart()).mutated(&stateful("web-0", &[])).await;
    assert_eq!(
        annotations(&placed).get("ip-family").map(String::as_str),
        Some(PodFamily::Ipv4Only.as_str())
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
