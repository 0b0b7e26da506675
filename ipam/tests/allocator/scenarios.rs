//! The stateless rows 29 to 52 of the control-plane spec, chapter 6.2.

use hybridnet_ipam::{Error, Families, Family, Release, Standing, State};

use crate::fixtures::{Cluster, NETWORK, Sub, claimant, ip, record, subnet};

const NO_SUBNET: &str =
    "network net: no IPv4 subnet with a free address that is not private: add an IPv4 subnet, or delete pods";

/// Five usable addresses, .2 to .6.
fn small() -> Sub {
    subnet("s", "10.0.0.0/29").gateway("10.0.0.1")
}

/// One usable address each.
fn pair() -> [Sub; 2] {
    [
        subnet("a", "10.0.0.0/30").gateway("10.0.0.1"),
        subnet("b", "10.0.1.0/30").gateway("10.0.1.1"),
    ]
}

/// .2, .5 and .6 by choice, .3 by assignment, .4 not at all.
fn listed() -> Sub {
    subnet("s", "192.168.1.0/29")
        .gateway("192.168.1.1")
        .reserving(&["192.168.1.3"])
        .excluding(&["192.168.1.4"])
}

#[test]
fn a_dual_stack_pod_gets_the_first_address_of_each_family() {
    let mut cluster = Cluster::with(&[
        subnet("v4", "170.16.0.0/24").gateway("170.16.0.1"),
        subnet("v6", "fe20::/120"),
    ]);

    let got = cluster.allocate(Families::DualStack, &[]);

    assert_eq!(got, "170.16.0.2,fe20::1");
    for (name, total, last) in [("v4", 253, "170.16.0.2"), ("v6", 255, "fe20::1")] {
        assert_eq!(cluster.counts(name), (total, 1, total - 1));
        assert_eq!(cluster.usage(name).last_allocated, Some(ip(last)));
    }
}

#[test]
fn usage_of_a_network_is_that_of_its_subnets() {
    let cluster = Cluster::with(&[
        subnet("v4", "100.10.0.0/24").net_id(44),
        subnet("v6", "fe80::/120").net_id(66),
    ]);

    let usage = cluster.network_usage();

    assert_eq!((usage.ipv4.counts.total, usage.ipv6.counts.total), (254, 255));
    assert_eq!((usage.ipv4.counts.used, usage.ipv6.counts.used), (0, 0));
    assert_eq!(
        (usage.dual_stack_available(), usage.dual_stack_open()),
        (254, 254)
    );
    assert_eq!(
        usage.ipv4.last_subnet.as_deref(),
        Some("v4"),
        "the first one before anything was given"
    );
}

#[test]
fn a_hundred_ipv6_addresses_ascend() {
    let mut cluster = Cluster::with(&[subnet("v6", "fe20::/120")]);

    let got: Vec<_> = (0..100).map(|_| ip(&cluster.v6())).collect();

    assert_eq!(got.first(), Some(&ip("fe20::1")));
    assert!(got.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_released_address_waits_until_the_cursor_comes_round() {
    let mut cluster = Cluster::with(&[small()]);

    let first = [cluster.v4(), cluster.v4()];
    cluster.gone("10.0.0.2");
    let then: Vec<_> = (0..4).map(|_| cluster.v4()).collect();

    assert_eq!(first, ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(then, ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
}

#[test]
fn a_full_subnet_says_so_by_name_and_by_search() {
    let mut cluster = Cluster::with(&[small()]);
    for _ in 0..5 {
        cluster.v4();
    }

    let named = cluster.allocate(Families::Ipv4Only, &["s"]);
    let searched = cluster.v4();

    assert_eq!(
        named,
        "network net: no free IPv4 address in subnet s: name another subnet, or delete pods"
    );
    assert_eq!(searched, NO_SUBNET);
}

#[test]
fn the_search_goes_on_after_the_last_address_of_the_status() {
    let mut cluster = Cluster::with(&[small().after("10.0.0.4")]);
    assert_eq!(cluster.v4(), "10.0.0.5");
}

#[test]
fn a_last_address_that_is_not_to_be_chosen_counts_as_none() {
    for odd in ["10.0.0.1", "10.0.7.7", "fd00::1", "garbage", ""] {
        let mut cluster = Cluster::with(&[small().after(odd)]);
        assert_eq!(cluster.v4(), "10.0.0.2", "{odd:?}");
    }
}

#[test]
fn one_subnet_is_filled_and_then_the_next() {
    let mut cluster = Cluster::with(&pair());

    let got: Vec<_> = (0..3).map(|_| cluster.v4()).collect();
    cluster.gone("10.0.0.2");

    assert_eq!(got, ["10.0.0.2", "10.0.1.2", NO_SUBNET]);
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn the_search_starts_at_the_last_subnet_of_the_status() {
    let mut cluster = Cluster::default();
    let mut network = crate::fixtures::network();
    network.last_allocated_subnet = Some("b".into());
    let refused = cluster.ipam.refresh(&network, &pair().map(|subnet| subnet.0));

    assert!(refused.is_empty());
    assert_eq!(cluster.network_usage().ipv4.last_subnet.as_deref(), Some("b"));
    assert_eq!(cluster.v4(), "10.0.1.2");
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn subnets_are_searched_by_name_whatever_their_order() {
    let [a, b] = pair();
    let mut cluster = Cluster::with(&[b, a]);
    assert_eq!([cluster.v4(), cluster.v4()], ["10.0.0.2", "10.0.1.2"]);
}

#[test]
fn a_private_subnet_is_only_for_those_who_name_it() {
    let [a, b] = pair();
    let mut cluster = Cluster::with(&[a.private(), b]);

    assert_eq!(cluster.network_usage().ipv4.counts.available, 2);
    assert_eq!(cluster.network_usage().ipv4.open, 1);
    assert_eq!(cluster.v4(), "10.0.1.2");
    assert_eq!(cluster.v4(), NO_SUBNET);
    assert_eq!(cluster.allocate(Families::Ipv4Only, &["a"]), "10.0.0.2");
}

#[test]
fn a_named_subnet_does_not_move_the_networks_cursor() {
    let mut cluster = Cluster::with(&[subnet("a", "10.0.0.0/24"), subnet("b", "10.0.1.0/24")]);

    cluster.allocate(Families::Ipv4Only, &["b"]);

    assert_eq!(cluster.network_usage().ipv4.last_subnet.as_deref(), Some("a"));
    assert_eq!(cluster.v4(), "10.0.0.1");
}

#[test]
fn reserved_and_excluded_addresses_are_never_chosen() {
    let mut cluster = Cluster::with(&[listed()]);

    assert_eq!(cluster.counts("s"), (3, 0, 3));
    let got: Vec<_> = (0..4).map(|_| cluster.v4()).collect();
    assert_eq!(got, ["192.168.1.2", "192.168.1.5", "192.168.1.6", NO_SUBNET]);
}

#[test]
fn a_reserved_address_is_assigned_by_force_and_never_counts() {
    let mut cluster = Cluster::with(&[listed()]);

    assert_eq!(cluster.assign(None, "192.168.1.3", true, "ns/p"), "192.168.1.3");
    assert_eq!(cluster.counts("s"), (3, 0, 3));

    // Back on the list it takes force again.
    cluster.gone("192.168.1.3");
    assert!(
        cluster
            .assign(None, "192.168.1.3", false, "ns/q")
            .contains("list of reserved addresses")
    );
    assert_eq!(cluster.assign(None, "192.168.1.3", true, "ns/q"), "192.168.1.3");
}

#[test]
fn an_assignment_that_cannot_be_says_why() {
    let mut cluster = Cluster::with(&[listed()]);
    let nowhere = |ip| {
        format!(
            "network net: no IPv4 subnet contains {ip}: give an address of one of its subnets that is neither gateway nor excluded"
        )
    };
    let cases = [
        (None, "192.168.1.3", false, "network net: 192.168.1.3 of subnet s is on the subnet's list of reserved addresses: give another address, or wait until it is free".to_owned()),
        (None, "192.168.1.4", true, nowhere("192.168.1.4")),
        (None, "192.168.1.1", true, nowhere("192.168.1.1")),
        (Some("s"), "192.168.1.4", true, "network net: 192.168.1.4 is not usable in subnet s: it is outside the range, excluded, or the gateway; give another one".to_owned()),
        (Some("t"), "192.168.1.2", true, "network net: no IPv4 subnet t: name one of its IPv4 subnets, or change the pod's ip-family".to_owned()),
        (None, "fd00::1", true, "network net: fd00::1 to assign is not an IPv4 address, as IPv4Only wants it here: give one, IPv4 before IPv6".to_owned()),
    ];
    let before = cluster.ipam.clone();
    for (named, address, force, message) in cases {
        assert_eq!(cluster.assign(named, address, force, "ns/p"), message);
    }
    assert!(cluster.ipam == before, "nothing was changed");
}

#[test]
fn an_address_in_use_is_only_for_its_own_pod() {
    let mut cluster = Cluster::with(&[small()]);
    cluster.ipam.adopt(record("ns/p", "10.0.0.2", State::Allocated));

    assert_eq!(cluster.assign(None, "10.0.0.2", false, "ns/p"), "10.0.0.2");
    let refused = cluster.assign(None, "10.0.0.2", true, "ns/q");
    assert_eq!(
        refused,
        "network net: 10.0.0.2 of subnet s is in use by pod ns/p (IPInstance 10-0-0-2): give another address, or wait until it is free"
    );
}

#[test]
fn a_retained_address_is_taken_over_by_force_within_its_namespace() {
    let mut cluster = Cluster::with(&[small()]);
    cluster.ipam.adopt(record("ns/p", "10.0.0.2", State::Reserved));

    assert!(
        cluster
            .assign(None, "10.0.0.2", false, "ns/q")
            .contains("retained for pod ns/p")
    );
    assert!(
        cluster
            .assign(None, "10.0.0.2", true, "other/q")
            .contains("retained for pod ns/p")
    );
    assert_eq!(cluster.assign(None, "10.0.0.2", true, "ns/q"), "10.0.0.2");
    let held = cluster.ipam.holders(NETWORK, ip("10.0.0.2"));
    assert_eq!(held.len(), 1, "one object, now bound to the other pod");
    assert_eq!(held[0].owner.pod, "q");
}

#[test]
fn a_dual_stack_pod_gets_both_or_none() {
    let mut cluster = Cluster::with(&[small(), subnet("t", "fd00::/126").between("fd00::1", "fd00::1")]);
    assert_eq!(cluster.v6(), "fd00::1");
    let before = cluster.ipam.clone();

    let refused = cluster.allocate(Families::DualStack, &[]);

    assert_eq!(refused, NO_SUBNET.replace("IPv4", "IPv6"));
    assert!(cluster.ipam == before);
    assert_eq!(cluster.network_usage().dual_stack_available(), 0);
    assert_eq!(cluster.network_usage().ipv4.counts.available, 5);
}

#[test]
fn a_dual_stack_assignment_is_both_or_none() {
    let mut cluster = Cluster::with(&[small(), subnet("t", "fd00::/120")]);
    cluster.ipam.adopt(record("ns/p", "10.0.0.2", State::Reserved));
    cluster.ipam.adopt(record("ns/q", "fd00::7", State::Allocated));
    let before = cluster.ipam.clone();

    let both = [(None, "10.0.0.2"), (None, "fd00::7")];
    let refused = cluster.reserve_these(Families::DualStack, &both, true, "ns/p");

    assert!(matches!(refused, Err(Error::NotAvailable { .. })));
    assert!(cluster.ipam == before);
}

#[test]
fn the_number_of_subnets_and_addresses_fits_the_families() {
    let mut cluster = Cluster::with(&[small(), subnet("t", "fd00::/120")]);

    assert_eq!(
        cluster.allocate(Families::Ipv4Only, &["s", "t"]),
        "network net: 2 subnets specified for IPv4Only: name one or none"
    );
    assert_eq!(
        cluster.allocate(Families::DualStack, &["s"]),
        "network net: 1 subnets specified for DualStack: name none, or one of IPv4 and one of IPv6 (v4/v6)"
    );
    assert_eq!(
        cluster.allocate(Families::DualStack, &["s", "t"]),
        "10.0.0.2,fd00::1"
    );
    let one = cluster.reserve_these(Families::DualStack, &[(None, "10.0.0.3")], false, "ns/p");
    assert_eq!(
        one.expect_err("one is not two").to_string(),
        "network net: 1 addresses to assign for DualStack: give two, IPv4 first"
    );
}

#[test]
fn a_subnet_of_the_other_family_is_not_found() {
    let mut cluster = Cluster::with(&[small(), subnet("t", "fd00::/120")]);
    assert_eq!(
        cluster.reserve(Families::Ipv4Only, &["t"], "ns/p"),
        Err(Error::SubnetNotFound {
            network: NETWORK.into(),
            family: Family::V4,
            subnet: "t".into()
        })
    );
}

#[test]
fn an_address_carries_what_its_object_says() {
    let mut cluster = Cluster::default();
    let mut network = crate::fixtures::network();
    network.net_id = Some(100);
    let own = subnet("own", "fd00::/64").gateway("fd00::1").net_id(7);
    assert!(cluster.ipam.refresh(&network, &[small().0, own.0]).is_empty());

    let reservation = cluster
        .reserve(Families::DualStack, &[], "ns/p")
        .expect("there is room");

    let [v4, v6] = reservation.addresses() else {
        panic!("two addresses")
    };
    assert_eq!(
        (v4.net_id, v4.gateway, v4.prefix_len),
        (Some(100), Some(ip("10.0.0.1")), 29)
    );
    assert_eq!(
        (v6.net_id, v6.gateway, v6.prefix_len),
        (Some(7), Some(ip("fd00::1")), 64)
    );
    assert_eq!((v4.subnet.as_str(), v4.instance.as_str()), ("s", "10-0-0-2"));
    assert_eq!(
        (v6.subnet.as_str(), v6.instance.as_str()),
        ("own", "fd00-0-0-0-0-0-0-2")
    );
    cluster.ipam.rollback(reservation);
}

#[test]
fn a_bad_subnet_does_not_stop_the_others() {
    let mut cluster = Cluster::default();

    let refused = cluster.refresh(&[subnet("bad", "10.9.0.0/31"), small()]);

    assert_eq!(
        refused,
        ["subnet bad: spec.range.cidr 10.9.0.0/31 is too small: use a prefix length of at most 30"]
    );
    assert_eq!(cluster.v4(), "10.0.0.2");
    assert_eq!(cluster.ipam.subnet_usage(NETWORK, "bad"), None);
}

#[test]
fn an_allocation_that_the_api_does_not_show_yet_survives_a_refresh() {
    let mut cluster = Cluster::with(&[small()]);
    let first = cluster
        .reserve(Families::Ipv4Only, &[], "ns/p")
        .expect("there is room");

    assert!(cluster.refresh(&[small()]).is_empty());
    assert!(cluster.refresh(&[small().reserving(&["10.0.0.6"])]).is_empty());
    let second = cluster.v4();

    assert_eq!(
        (cluster.commit(first).as_str(), second.as_str()),
        ("10.0.0.2", "10.0.0.3")
    );
}

#[test]
fn reserved_addresses_are_compared_as_addresses() {
    let mut cluster = Cluster::with(&[subnet("v6", "fd00::/120").reserving(&["FD00::0005"])]);
    let got: Vec<_> = (0..10).map(|_| cluster.v6()).collect();
    assert!(!got.contains(&"fd00::5".to_owned()), "{got:?}");
    assert_eq!(got.last().map(String::as_str), Some("fd00::b"));
}

#[test]
fn a_release_that_comes_twice_does_not_free_the_next_pods_address() {
    // Given an address whose object is gone and which another pod has by now, under the same name.
    let mut cluster = Cluster::with(&[small().between("10.0.0.2", "10.0.0.2")]);
    let old = record("ns/old", "10.0.0.2", State::Allocated);
    cluster.ipam.adopt(old.clone());
    assert_eq!(cluster.ipam.release(NETWORK, old.ip, &old.owner), Release::Freed);
    let next = cluster
        .reserve(Families::Ipv4Only, &[], "ns/new")
        .expect("there is room");

    // When the first release comes again while the second is written, written and seen.
    let again = cluster.ipam.release(NETWORK, old.ip, &old.owner);
    assert_eq!(again, Release::NotTheOwner);
    cluster.ipam.commit(next);
    assert_eq!(
        cluster.ipam.release(NETWORK, old.ip, &old.owner),
        Release::NotTheOwner
    );
    let mut new = record("ns/new", "10.0.0.2", State::Allocated);
    new.owner.instance_uid = "another".into();
    cluster.ipam.adopt(new.clone());
    assert_eq!(
        cluster.ipam.release(NETWORK, old.ip, &old.owner),
        Release::NotTheOwner
    );

    // Then it is still the new pod's.
    let held = cluster.ipam.holders(NETWORK, old.ip);
    assert_eq!(
        (held.len(), held[0].standing),
        (1, Standing::Seen(State::Allocated))
    );
    assert_eq!(held[0].owner, new.owner);
    assert_eq!(cluster.v4(), NO_SUBNET);
}

#[test]
fn a_question_without_a_name_is_refused() {
    let mut cluster = Cluster::with(&[small()]);
    for (field, network, namespace, pod) in [
        ("network", "", "ns", "p"),
        ("namespace", NETWORK, "", "p"),
        ("pod", NETWORK, "ns", ""),
    ] {
        let mut request = hybridnet_ipam::Request {
            network: network.into(),
            claimant: claimant("ns/p"),
            ..Default::default()
        };
        (request.claimant.namespace, request.claimant.pod) = (namespace.into(), pod.into());
        assert_eq!(cluster.ipam.allocate(&request), Err(Error::Missing { field }));
    }
    let elsewhere = hybridnet_ipam::Request {
        network: "other".into(),
        claimant: claimant("ns/p"),
        ..Default::default()
    };
    assert_eq!(
        cluster
            .ipam
            .allocate(&elsewhere)
            .expect_err("there is no such network")
            .to_string(),
        "network other not found: create it, or name another one"
    );
}
