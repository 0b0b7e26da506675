//! What a pod gets that asks for any address.

use hybridnet_ipam::{Error, Families, Family};

use super::{NO_SUBNET, listed, pair, small};
use crate::fixtures::{Cluster, NETWORK, claimant, ip, subnet};

/// Scenario 29: the first addresses of both families.
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

/// Scenario 30: usage of a fresh network.
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

/// Scenario 31: a hundred IPv6 addresses.
#[test]
fn a_hundred_ipv6_addresses_ascend() {
    let mut cluster = Cluster::with(&[subnet("v6", "fe20::/120")]);

    let got: Vec<_> = (0..100).map(|_| ip(&cluster.v6())).collect();

    assert_eq!(got.first(), Some(&ip("fe20::1")));
    assert!(got.is_sorted_by(|a, b| a < b));
}

/// Scenario 32: no immediate reuse of an address.
#[test]
fn a_released_address_waits_until_the_cursor_comes_round() {
    let mut cluster = Cluster::with(&[small()]);

    let first = [cluster.v4(), cluster.v4()];
    cluster.gone("10.0.0.2");
    let then: Vec<_> = (0..4).map(|_| cluster.v4()).collect();

    assert_eq!(first, ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(then, ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
}

/// Scenario 33: a full subnet.
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

/// Scenario 35: one subnet after the other.
#[test]
fn one_subnet_is_filled_and_then_the_next() {
    let mut cluster = Cluster::with(&pair());

    let got: Vec<_> = (0..3).map(|_| cluster.v4()).collect();
    cluster.gone("10.0.0.2");

    assert_eq!(got, ["10.0.0.2", "10.0.1.2", NO_SUBNET]);
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn subnets_are_searched_by_name_whatever_their_order() {
    let [a, b] = pair();
    let mut cluster = Cluster::with(&[b, a]);
    assert_eq!([cluster.v4(), cluster.v4()], ["10.0.0.2", "10.0.1.2"]);
}

/// Scenario 37: a private subnet.
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

/// Scenario 38: reserved and excluded addresses.
#[test]
fn reserved_and_excluded_addresses_are_never_chosen() {
    let mut cluster = Cluster::with(&[listed()]);

    assert_eq!(cluster.counts("s"), (3, 0, 3));
    let got: Vec<_> = (0..4).map(|_| cluster.v4()).collect();
    assert_eq!(got, ["192.168.1.2", "192.168.1.5", "192.168.1.6", NO_SUBNET]);
}

/// Scenario 43: both families or none.
/// Scenario 51: dual-stack usage without IPv6.
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

/// Scenario 45: the wrong number of subnets.
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

/// Scenario 46: a subnet of the other family.
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

/// Scenario 50: a reserved address in another spelling.
#[test]
fn reserved_addresses_are_compared_as_addresses() {
    let mut cluster = Cluster::with(&[subnet("v6", "fd00::/120").reserving(&["FD00::0005"])]);
    let got: Vec<_> = (0..10).map(|_| cluster.v6()).collect();
    assert!(!got.contains(&"fd00::5".to_owned()), "{got:?}");
    assert_eq!(got.last().map(String::as_str), Some("fd00::b"));
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
