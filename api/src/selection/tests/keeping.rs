//! Addresses that a pod keeps.

use super::*;

/// Scenario 67: both families kept without annotations.
/// Scenario 68: new addresses for a pod that does not retain.
#[test]
fn kept_addresses_win_over_everything_that_the_pod_says() {
    let cluster = cluster().holding("web-0", &[instance("b", "over", "6"), instance("a", "over", "4")]);
    let pod = stateful(
        "web-0",
        keys(&[("specified-network", "under"), ("specified-subnet", "u4")]),
    );
    let kept = chosen(&pod, &cluster).unwrap();
    assert_eq!(
        (kept.network.as_deref(), kept.network_type),
        (Some("over"), NetworkType::Overlay)
    );
    assert!(kept.retained && kept.subnets.is_empty());
    assert_eq!(kept.family, PodFamily::DualStack);
    let anew = stateful(
        "web-0",
        keys(&[("specified-network", "under"), ("ip-retain", "false")]),
    );
    assert_eq!(chosen(&anew, &cluster).unwrap().network.as_deref(), Some("under"));
    let plain = meta("web-0", keys(&[("specified-network", "under")]));
    assert_eq!(
        chosen(&plain, &cluster).unwrap().network.as_deref(),
        Some("under")
    );
}

#[test]
fn one_kept_address_keeps_its_family() {
    for (version, family) in [("4", PodFamily::Ipv4Only), ("6", PodFamily::Ipv6Only)] {
        let cluster = cluster().holding("web-0", &[instance("a", "over", version)]);
        assert_eq!(
            chosen(&stateful("web-0", json!({})), &cluster).unwrap().family,
            family
        );
    }
}

#[test]
fn terminating_addresses_and_those_of_a_network_that_is_gone() {
    let mut leaving = instance("a", "over", "4");
    leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let cluster_with_leaving = cluster().holding("web-0", &[leaving]);
    assert!(
        !chosen(&stateful("web-0", json!({})), &cluster_with_leaving)
            .unwrap()
            .retained
    );
    let lost = cluster().holding("web-0", &[instance("a", "gone", "4")]);
    assert!(
        chosen(&stateful("web-0", json!({})), &lost)
            .unwrap_err()
            .contains("\"gone\" not found")
    );
}

/// Scenario 118: two retained addresses of one family.
/// Scenario 144: a left-over beside the bound address.
#[test]
fn left_overs_of_the_same_family_do_not_stop_a_pod() {
    let cluster = |instances: &[IpInstance]| cluster().holding("web-0", instances);
    let pod = stateful("web-0", json!({}));
    let old = created(instance("a", "over", "4"), 1);
    let young = created(instance("b", "under", "4"), 2);
    let network = |instances: &[IpInstance]| chosen(&pod, &cluster(instances)).unwrap().network.unwrap();
    assert_eq!(network(&[old.clone(), young.clone()]), "under");
    assert_eq!(network(&[bound(old.clone()), young.clone()]), "over");
    assert_eq!(
        network(&[instance("b", "under", "4"), instance("a", "over", "4")]),
        "over"
    );
}

/// Scenario 144: a left-over, and a pool.
#[test]
fn with_left_overs_and_a_pool_the_asked_family_counts() {
    let both = [instance("a", "over", "4"), instance("b", "over", "4")];
    let pool = keys(&[("ip-pool", "10.0.0.1/fd00::1"), ("ip-family", "DualStack")]);
    let pod = stateful("web-0", pool);
    let ambiguous = chosen(&pod, &cluster().holding("web-0", &both)).unwrap();
    assert_eq!(
        (ambiguous.family, ambiguous.network.as_deref()),
        (PodFamily::DualStack, Some("over"))
    );
}

#[test]
fn a_workload_may_go_over_to_a_pool_of_other_families() {
    let one = cluster().holding("web-0", &[instance("a", "over", "4")]);
    let pool = |pairs: &[(&str, &str)]| stateful("web-0", keys(pairs));
    let family = |pod: &ObjectMeta| chosen(pod, &one).unwrap().family;

    let asked = pool(&[("ip-pool", "10.0.0.1/fd00::1"), ("ip-family", "DualStack")]);
    assert_eq!(family(&asked), PodFamily::DualStack);

    let silent = pool(&[("ip-pool", "10.0.0.1")]);
    assert_eq!(family(&silent), PodFamily::Ipv4Only);
}

#[test]
fn a_dual_stack_pod_torn_between_networks_is_an_error() {
    let cluster = cluster().holding(
        "web-0",
        &[instance("a", "over", "4"), instance("b", "under", "6")],
    );
    let error = chosen(&stateful("web-0", json!({})), &cluster).unwrap_err();
    assert!(
        error.contains("\"over\"") && error.contains("\"under\""),
        "{error}"
    );
}

/// Scenario 91: the next pod of a virtual machine.
#[test]
fn addresses_of_a_virtual_machine_are_kept_only_behind_the_gate() {
    let cluster = cluster().holding("vm mine", &[instance("a", "over", "4")]);
    let pod = meta("virt-launcher-mine-x", json!({}));
    let mut settings = Settings::default();
    assert!(
        !chosen_with(&pod, &cluster, &settings, Some("mine"))
            .unwrap()
            .retained
    );
    settings.gates.vm_ip_retain = true;
    assert!(
        chosen_with(&pod, &cluster, &settings, Some("mine"))
            .unwrap()
            .retained
    );
    assert!(!chosen_with(&pod, &cluster, &settings, None).unwrap().retained);
}

/// Scenario 22: a long pod name as label.
#[test]
fn long_pod_names_are_looked_up_by_their_label() {
    const LABEL: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa08b2f2b0864bac1ba1585043362cbec9";
    let cluster = cluster().holding(LABEL, &[instance("a", "over", "4")]);
    assert!(
        chosen(&stateful(&"a".repeat(70), json!({})), &cluster)
            .unwrap()
            .retained
    );
}

#[test]
fn preferred_addresses_are_one_of_each_family_ipv4_first() {
    let held: Vec<_> = [("a", "6"), ("b", "4"), ("c", "6"), ("d", "4")]
        .map(|(name, version)| Arc::new(instance(name, "n", version)))
        .to_vec();
    let names: Vec<_> = preferred(&held)
        .iter()
        .map(|instance| instance.name_any())
        .collect();
    assert_eq!(names, ["b", "a"]);
}

/// Scenario 27: IPv4 before IPv6, else as they came.
#[test]
fn kept_addresses_are_told_ipv4_first_and_in_their_order() {
    let held = [("a", "6"), ("b", "4"), ("c", "6"), ("d", "4")]
        .map(|(name, version)| instance(name, "over", version));
    let cluster = cluster().holding("web-0", &held);
    let pod = stateful("web-0", json!({}));
    let subject = Subject {
        namespace: "d",
        name: "web-0",
        metadata: &pod,
        vm: None,
    };
    let kept = kept(&subject, &cluster, &Settings::default());
    let names: Vec<_> = kept.iter().map(|instance| instance.name_any()).collect();
    assert_eq!(names, ["b", "d", "a", "c"]);
}

#[test]
fn a_stateful_pod_that_runs_a_virtual_machine_keeps_the_addresses_of_its_name() {
    let mut settings = Settings::default();
    settings.gates.vm_ip_retain = true;
    let cluster = cluster()
        .holding("web-0", &[instance("a", "over", "4")])
        .holding("vm mine", &[instance("b", "under", "4")]);
    let network = |annotations: Value| {
        let pod = stateful("web-0", annotations);
        let chosen = chosen_with(&pod, &cluster, &settings, Some("mine")).unwrap();
        (chosen.network, chosen.retained)
    };
    assert_eq!(network(json!({})), (Some("over".to_owned()), true));
    assert_eq!(network(keys(&[("ip-retain", "false")])), (None, false));
}

#[test]
fn a_pool_means_nothing_to_a_virtual_machine() {
    let mut settings = Settings::default();
    settings.gates.vm_ip_retain = true;
    let both = [instance("a", "over", "6"), instance("b", "over", "6")];
    let cluster = cluster().holding("vm mine", &both);
    let pod = meta(
        "virt-launcher-mine-x",
        keys(&[("ip-pool", "10.0.0.1"), ("ip-family", "IPv4")]),
    );
    let chosen = chosen_with(&pod, &cluster, &settings, Some("mine")).unwrap();
    assert_eq!(chosen.family, PodFamily::Ipv6Only);
}
