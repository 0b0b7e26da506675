//! What a pod asks for itself, and what its namespace and the settings say.

use super::*;

#[test]
fn a_pod_that_says_nothing_gets_the_defaults() {
    let chosen = chosen(&meta("p", json!({})), &cluster()).unwrap();
    let expected = Selection {
        network: None,
        subnets: vec![],
        network_type: NetworkType::Underlay,
        family: PodFamily::Ipv4Only,
        node_selector: BTreeMap::new(),
        retained: false,
    };
    assert_eq!(chosen, expected);
}

#[test]
fn defaults_fill_what_the_winning_level_left_open() {
    let settings = Settings {
        default_network_type: NetworkType::Overlay,
        default_ip_family: PodFamily::DualStack,
        ..Settings::default()
    };
    let family = meta("p", keys(&[("ip-family", "ipv6")]));
    let only_family = chosen_with(&family, &cluster(), &settings, None).unwrap();
    assert_eq!(
        (only_family.network_type, only_family.family),
        (NetworkType::Overlay, PodFamily::Ipv6Only)
    );
    // The default type is for pods without a network, and never overrides one.
    let network = meta("p", keys(&[("specified-network", "under")]));
    let only_network = chosen_with(&network, &cluster(), &settings, None).unwrap();
    assert_eq!(
        (only_network.network_type, only_network.family),
        (NetworkType::Underlay, PodFamily::DualStack)
    );
}

/// Scenario 60: keys of the Namespace.
/// Scenario 115: a pod that only asks for a family.
#[test]
fn levels_win_as_a_whole() {
    let cluster =
        cluster().namespace_with(keys(&[("specified-network", "over"), ("ip-family", "DualStack")]));
    let from_namespace = chosen(&meta("p", json!({})), &cluster).unwrap();
    assert_eq!(from_namespace.network.as_deref(), Some("over"));
    assert_eq!(from_namespace.family, PodFamily::DualStack);
    let own_family = chosen(&meta("p", keys(&[("ip-family", "IPv4")])), &cluster).unwrap();
    assert_eq!(
        (own_family.network, own_family.network_type),
        (None, NetworkType::Underlay)
    );
}

/// Scenario 61: the network from a label.
#[test]
fn labels_say_what_annotations_do_not_but_never_the_family() {
    let mut pod = meta("p", keys(&[("specified-network", "")]));
    let labels = [("specified-network", "over"), ("ip-family", "DualStack")];
    pod.labels = serde_json::from_value(keys(&labels)).ok();
    let chosen = chosen(&pod, &cluster()).unwrap();
    assert_eq!(chosen.network.as_deref(), Some("over"));
    assert_eq!(
        (chosen.network_type, chosen.family),
        (NetworkType::Overlay, PodFamily::Ipv4Only)
    );
}

#[test]
fn subnets_bring_their_network() {
    let pod = meta(
        "p",
        keys(&[("specified-subnet", "u4/u6"), ("ip-family", "dualstack")]),
    );
    let chosen = chosen(&pod, &cluster()).unwrap();
    assert_eq!(chosen.network.as_deref(), Some("under"));
    assert_eq!(chosen.subnets, ["u4", "u6"]);
    assert_eq!(
        chosen.node_selector.get("network").map(String::as_str),
        Some("under")
    );
}

/// Scenario 116: another type than the network's.
/// Scenario 117: subnets that do not go together.
#[test]
fn contradictions_are_errors_that_name_both_sides() {
    for (pairs, said) in [
        (
            vec![("specified-network", "none")],
            vec!["network \"none\" not found"],
        ),
        (
            vec![("specified-network", "broken")],
            vec!["\"broken\" cannot be used", "nonsense"],
        ),
        (
            vec![("specified-subnet", "none")],
            vec!["of the pod", "subnet \"none\" not found"],
        ),
        (vec![("specified-subnet", "u4/")], vec!["subnet \"\" not found"]),
        (
            vec![("specified-subnet", "u4/u6/o6")],
            vec!["u4/u6/o6", "more than two"],
        ),
        (
            vec![("specified-subnet", "u6/u4")],
            vec!["\"u6\" has version \"6\"", "\"4\" must stand there"],
        ),
        (
            vec![("specified-subnet", "u4/o4")],
            vec!["\"o4\" has version \"4\"", "\"6\" must stand there"],
        ),
        (
            vec![("specified-subnet", "u4/o6")],
            vec!["\"u4\" is in network \"under\"", "\"o6\" in \"over\""],
        ),
        (
            vec![("specified-network", "over"), ("specified-subnet", "u4")],
            vec!["is \"over\"", "subnet \"u4\"", "in \"under\""],
        ),
        (
            vec![("specified-network", "under"), ("network-type", "overlay")],
            vec!["\"overlay\"", "is Underlay"],
        ),
        (
            vec![("network-type", "Mesh")],
            vec!["\"Mesh\"", "Underlay, Overlay, GlobalBGP"],
        ),
        (vec![("ip-family", "IPv5")], vec!["\"IPv5\"", "DualStack"]),
    ] {
        let error = chosen(&meta("p", keys(&pairs)), &cluster()).unwrap_err();
        for part in said {
            assert!(error.contains(part), "{pairs:?}: {error}");
        }
    }
}

#[test]
fn an_unknown_namespace_is_an_error_only_when_it_is_asked() {
    let mut cluster = cluster();
    cluster.namespaces.clear();
    assert!(
        chosen(&meta("p", json!({})), &cluster)
            .unwrap_err()
            .contains("namespace \"d\" not found")
    );
    assert!(chosen(&meta("p", keys(&[("network-type", "overlay")])), &cluster).is_ok());
}
