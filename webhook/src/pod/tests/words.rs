//! Words of a pod that contradict each other or the cluster (control-plane 5.1, 5.4 steps 2, 3 and 6).

use super::{chart, says, with};
use crate::fixtures::{pod, prefixed};

const NETWORK: &str = "networking.alibaba.com/specified-network";
const SUBNET: &str = "networking.alibaba.com/specified-subnet";
const TYPE: &str = "networking.alibaba.com/network-type";
const FAMILY: &str = "networking.alibaba.com/ip-family";

/// Scenario 116: another type than the network's.
/// Scenario 117: subnets that do not go together.
#[tokio::test]
async fn a_contradiction_is_answered_with_500_before_and_403_after_mutation() {
    let world = with(&[], chart());
    for (keys, words) in [
        (
            vec![("specified-network", "under"), ("network-type", "Overlay")],
            [
                TYPE,
                "\"Overlay\"",
                "network \"under\" is Underlay: leave the type out",
            ],
        ),
        (
            vec![("specified-subnet", "u4/o6")],
            [
                SUBNET,
                "\"u4\" is in network \"under\" and \"o6\" in \"over\"",
                "name subnets of one network",
            ],
        ),
        (
            vec![("specified-subnet", "u6/u4")],
            [
                SUBNET,
                "subnet \"u6\" has version \"6\", and \"4\" must stand there",
                "write an IPv4 subnet, a slash",
            ],
        ),
        (
            vec![("specified-subnet", "u4/u6/o4")],
            [
                SUBNET,
                "\"u4/u6/o4\" names more than two",
                "use one, or v4subnet/v6subnet",
            ],
        ),
        (
            vec![("specified-subnet", "none")],
            [
                SUBNET,
                "subnet \"none\" not found",
                "create it, or name another one",
            ],
        ),
        (
            vec![("specified-network", "over"), ("specified-subnet", "u4")],
            [
                NETWORK,
                "\"over\", but subnet \"u4\" of",
                "is in \"under\": name one of the two",
            ],
        ),
        (
            vec![("specified-network", "none")],
            [
                NETWORK,
                "network \"none\" not found",
                "create it, or name another one",
            ],
        ),
        (vec![("network-type", "Mesh")], [TYPE, "\"Mesh\"", "Overlay"]),
        (
            vec![("network-type", "Overlay"), ("ip-family", "IPv5")],
            [FAMILY, "\"IPv5\" is not known", "DualStack"],
        ),
    ] {
        let asking = pod("p", &keys);
        let refusal = world.mutate(&asking).await.expect_err("a contradiction");
        assert_eq!(refusal.code, 500, "{refusal}");
        for text in [refusal.message, world.denied(&asking).await] {
            says(&text, &words);
            says(&text, &["pod \"p\": "]);
        }
    }
}

#[tokio::test]
async fn a_label_is_as_good_as_an_annotation_and_the_annotation_wins() {
    let world = with(&[], chart());
    let mut labelled = pod("p", &[]);
    labelled["metadata"]["labels"] = prefixed(&[("network-type", "Underlay"), ("specified-network", "none")]);
    says(&world.denied(&labelled).await, &["network \"none\" not found"]);
    labelled["metadata"]["annotations"] = prefixed(&[("specified-network", "under")]);
    assert!(world.create(&labelled).await.is_ok());
}

#[tokio::test]
async fn a_pod_that_the_server_has_yet_to_name_is_known_by_the_beginning_of_its_name() {
    let mut unnamed = pod("", &[("network-type", "Mesh")]);
    unnamed["metadata"]["generateName"] = "web-5d8f-".into();
    says(
        &with(&[], chart()).denied(&unnamed).await,
        &["pod \"web-5d8f-*\": "],
    );
}

#[tokio::test]
async fn subnets_of_other_families_than_asked_for_are_told() {
    let world = with(&[], chart());
    for (subnets, family) in [("u6", "IPv4Only"), ("u4/u6", "IPv4Only"), ("u4", "DualStack")] {
        let warnings = world
            .warned(&pod("p", &[("specified-subnet", subnets), ("ip-family", family)]))
            .await;
        assert!(
            matches!(warnings.as_slice(), [one] if one.contains(&format!("{subnets:?} not {family}"))),
            "{warnings:?}"
        );
    }
    let fitting = [("specified-subnet", "u4/u6"), ("ip-family", "DualStack")];
    assert_eq!(world.warned(&pod("p", &fitting)).await, [""; 0]);
}

#[tokio::test]
async fn a_word_that_is_no_boolean_is_told() {
    let warned = |pod| async move { with(&[], chart()).warned(&pod).await };
    let perhaps = [("ip-retain", "perhaps")];
    let warnings = warned(crate::fixtures::stateful("web-0", &perhaps)).await;
    assert_eq!(
        warnings,
        ["ip-retain: \"perhaps\" is neither \"true\" nor \"false\": the default, true, counts"]
    );
    let warnings = warned(pod("p", &perhaps)).await;
    assert_eq!(
        warnings,
        ["ip-retain: without effect, it is for pods of StatefulSet"]
    );
}
