//! Which network a pod gets (control-plane spec 4.3.2).

use serde_json::json;

use super::asking::*;
use super::*;
use crate::fixtures::network;

/// Scenario 56: a plain pod on an underlay node.
#[tokio::test(start_paused = true)]
async fn a_plain_pod_gets_an_address_of_its_nodes_underlay() {
    let server = common();
    let cluster = at_rest(&server).await;

    asking("p").on("node1").put(&server);
    bound(&cluster, 1).await;

    let object = object(&server, "192-168-56-2");
    assert_eq!(object["spec"]["network"], json!("underlay-network"));
    assert_eq!(object["spec"]["subnet"], json!("underlay-subnet"));
    let address = &object["spec"]["address"];
    assert_eq!(
        (
            &address["version"],
            &address["ip"],
            &address["gateway"],
            &address["netID"]
        ),
        (
            &json!("4"),
            &json!("192.168.56.2/24"),
            &json!("192.168.56.1"),
            &json!(100)
        )
    );
    assert_eq!(
        object["spec"]["binding"],
        json!({"referredObject": {"kind": "Pod", "name": "p", "uid": "uid-p"},
            "nodeName": "node1", "podUID": "uid-p", "podName": "p"})
    );
    let labels = &object["metadata"]["labels"];
    let of = |key: &str| labels[format!("networking.alibaba.com/{key}")].clone();
    assert_eq!(
        ["version", "node", "pod", "pod-uid"].map(of),
        [json!("v1.2"), json!("node1"), json!("p"), json!("uid-p")]
    );
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
}

/// Scenario 57: an IPv6 pod of the overlay.
/// Scenario 58: a dual-stack pod has one MAC.
/// Scenario 59: words in any case.
#[tokio::test(start_paused = true)]
async fn families_are_given_as_asked_for_in_any_case() {
    for (type_, family, expected) in [
        ("Overlay", "IPv6", vec!["fe80-0-0-0-0-0-0-1"]),
        ("overlay", "IPv6Only", vec!["fe80-0-0-0-0-0-0-1"]),
        ("overlay", "ipv4", vec!["100-10-0-1"]),
        ("Overlay", "DualStack", vec!["100-10-0-1", "fe80-0-0-0-0-0-0-1"]),
        ("OVERLAY", "dualStack", vec!["100-10-0-1", "fe80-0-0-0-0-0-0-1"]),
    ] {
        let server = common();
        let cluster = at_rest(&server).await;

        let pod = asking("p").on("node3").key(annotation::NETWORK_TYPE, type_);
        pod.key(annotation::IP_FAMILY, family).put(&server);
        bound(&cluster, expected.len()).await;

        let found = identities(&server);
        let names: Vec<_> = found.iter().map(|[name, ..]| name.as_str()).collect();
        assert_eq!(names, expected, "{type_} {family}");
        assert!(found.iter().all(|[_, _, mac]| *mac == found[0][2]), "{found:?}");
    }
}

/// Scenario 60: the words of the namespace.
#[tokio::test(start_paused = true)]
async fn a_pod_without_words_follows_its_namespace() {
    let server = common();
    let mut namespace = namespace("ns");
    namespace.metadata.annotations = Some(
        [
            (annotation::NETWORK_TYPE, "overlay"),
            (annotation::IP_FAMILY, "dualstack"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
    );
    server.put(&namespace);
    let cluster = at_rest(&server).await;

    asking("p").on("node1").put(&server);
    bound(&cluster, 2).await;

    assert_eq!(instances(&server), ["100-10-0-1", "fe80-0-0-0-0-0-0-1"]);
}

/// Scenario 61: a label names the network.
#[tokio::test(start_paused = true)]
async fn a_label_that_names_a_network_is_enough() {
    let server = common();
    let cluster = at_rest(&server).await;

    let named = asking("p").on("node1");
    named
        .label(annotation::SPECIFIED_NETWORK, "overlay-network")
        .put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["100-10-0-1"]);
}

/// Scenario 62: the second of three subnets.
#[tokio::test(start_paused = true)]
async fn a_subnet_is_named_by_the_pod_or_its_namespace() {
    let server = common();
    for (name, cidr) in [("second", "192.168.57.0/24"), ("third", "192.168.58.0/24")] {
        server.put(&subnet(name, "underlay-network", cidr).build());
    }
    let mut other = namespace("other");
    other.metadata.annotations =
        Some([(annotation::SPECIFIED_SUBNET.to_owned(), "second".to_owned())].into());
    server.put(&other);
    let cluster = at_rest(&server).await;

    let named = asking("p")
        .on("node1")
        .key(annotation::SPECIFIED_SUBNET, "second");
    named.put(&server);
    asking("q").on("node2").in_namespace("other").put(&server);
    bound(&cluster, 2).await;

    let mut subnets: Vec<_> = server
        .paths("/ipinstances/")
        .iter()
        .map(|path| server.get(path).unwrap()["spec"]["subnet"].clone())
        .collect();
    subnets.dedup();
    assert_eq!(subnets, [json!("second")]);
}

/// Scenario 89: the node belongs to another network than the pod asks for.
#[tokio::test(start_paused = true)]
async fn a_pod_on_a_node_that_its_network_does_not_reach_is_told() {
    let server = common();
    server.put(&network("other").selector("network", "other").build());
    server.put(&subnet("other-subnet", "other", "192.168.60.0/24").build());
    let cluster = at_rest(&server).await;

    for (name, handled) in [("slipped", false), ("stale", true)] {
        let pod = asking(name)
            .on("node1")
            .key(annotation::SPECIFIED_NETWORK, "other");
        let pod = if handled { pod.handled() } else { pod };
        pod.put(&server);
    }
    cluster.rest().await;

    assert_eq!(instances(&server), Vec::<String>::new());
    let told = events_of(&cluster, "IPAllocationFail");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter()
            .all(|event| event.contains("network other") && event.contains("node1")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_node_is_labelled_again_gets_its_address() {
    let server = common();
    server.put(&node("node1").build());
    let cluster = at_rest(&server).await;
    let stale = asking("p").on("node1").handled();
    stale
        .key(annotation::SPECIFIED_NETWORK, "underlay-network")
        .put(&server);
    cluster.rest().await;
    assert_eq!(instances(&server), Vec::<String>::new());

    server.put(&node("node1").label("network", "underlay-network").build());
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["192-168-56-2"]);
}

/// Scenario 90: the global BGP network on a node without its label.
#[tokio::test(start_paused = true)]
async fn the_node_of_a_bgp_pod_is_looked_at_only_if_the_scheduler_was_not_told() {
    let server = common();
    server.put(&network("global").type_("GlobalBGP").build());
    server.put(&subnet("global-subnet", "global", "10.9.0.0/24").build());
    let cluster = at_rest(&server).await;
    let bgp = |name: &str| {
        asking(name)
            .on("node1")
            .key(annotation::NETWORK_TYPE, "GlobalBGP")
    };

    bgp("slipped").put(&server);
    bgp("placed").handled().put(&server);
    bound(&cluster, 1).await;

    assert_eq!(
        object(&server, "10-9-0-1")["spec"]["binding"]["podName"],
        json!("placed")
    );
    let told = events_of(&cluster, "IPAllocationFail");
    assert!(told.len() == 1 && told[0].contains("no BGP network"), "{told:?}");
}

/// Scenario 143: a pod that no webhook has seen, and one that an old one has.
#[tokio::test(start_paused = true)]
async fn a_stateful_pod_that_slipped_by_is_completed_like_one_that_the_webhook_saw() {
    let server = common();
    let cluster = at_rest(&server).await;

    let slipped = asking("web-0").on("node3").of("StatefulSet", "web");
    slipped.overlay("DualStack").put(&server);
    let seen = asking("web-1").on("node3").of("StatefulSet", "web");
    seen.overlay("DualStack").handled().put(&server);
    bound(&cluster, 4).await;

    let pod = server.get(&format!("{PODS}/web-0")).unwrap();
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations[annotation::IP_FAMILY], json!("DualStack"));
    assert_eq!(annotations[annotation::HANDLED_BY_WEBHOOK], json!("true"));
    assert_eq!(pod["metadata"]["finalizers"], json!([FINALIZER]));
    let writes = cluster.writes();
    let patched = |name: &str| {
        let line = format!("PATCH {PODS}/{name}");
        writes.iter().filter(|write| **write == line).count()
    };
    assert_eq!((patched("web-0"), patched("web-1")), (1, 1));
}
