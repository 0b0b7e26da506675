//! How many addresses a namespace may hold, and where.

use hybridnet_ipam::{Error, Families, State};

use super::{listed, pair, small};
use crate::fixtures::{Cluster, NETWORK, record, subnet};

fn limited(limit: u64) -> Cluster {
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24"), subnet("t", "fd00::/120")]);
    cluster.limit = Some(limit);
    cluster
}

#[test]
fn a_namespace_gets_as_many_addresses_as_its_limit_says() {
    let mut cluster = limited(3);

    assert_eq!(cluster.allocate(Families::DualStack, &[]), "10.0.0.1,fd00::1");
    assert_eq!(cluster.v6(), "fd00::2");
    let before = cluster.ipam.clone();

    assert_eq!(
        cluster.v4(),
        "namespace ns may hold 3 addresses, has 3 and asks for 1 more: raise its annotation \
         networking.alibaba.com/address-limit, or delete pods or retained IPInstances"
    );
    assert!(cluster.ipam == before, "nothing was changed");
    assert_eq!(
        cluster.allocate_for("other/p", Families::DualStack, &[]),
        "10.0.0.2,fd00::3"
    );
    assert_eq!(
        (cluster.ipam.held_by("ns"), cluster.ipam.held_by("other")),
        (3, 2)
    );
    assert_eq!(cluster.ipam.held_by("nobody"), 0);
}

#[test]
fn two_families_are_two_addresses_and_come_together_or_not_at_all() {
    let mut cluster = limited(1);
    let refused = cluster.reserve(Families::DualStack, &[], "ns/p");
    let expected = Error::NamespaceLimit {
        namespace: "ns".into(),
        limit: 1,
        held: 0,
        asked: 2,
    };
    assert_eq!(refused, Err(expected));
    assert_eq!(cluster.v4(), "10.0.0.1");
}

#[test]
fn an_address_counts_from_its_reservation_until_its_object_is_gone() {
    let mut cluster = limited(1);
    let first = cluster
        .reserve(Families::Ipv4Only, &[], "ns/p")
        .expect("there is room");
    // In flight, so of two at the same moment one is refused.
    assert!(cluster.reserve(Families::Ipv4Only, &[], "ns/q").is_err());

    cluster.ipam.rollback(first);
    let second = cluster
        .reserve(Families::Ipv4Only, &[], "ns/q")
        .expect("it was taken back");
    cluster.commit(second);
    assert!(cluster.v4().starts_with("namespace ns may hold 1"));

    cluster.gone("10.0.0.1");
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn a_retained_address_counts_and_is_taken_up_again_without_counting_twice() {
    let mut cluster = limited(1);
    cluster.ipam.adopt(record("ns/p", "10.0.0.7", State::Reserved));

    assert!(
        cluster
            .v4()
            .starts_with("namespace ns may hold 1 addresses, has 1")
    );
    assert_eq!(cluster.assign(None, "10.0.0.7", false, "ns/p"), "10.0.0.7");
    // Also by another pod of the namespace; and when the limit was lowered meanwhile.
    cluster.ipam.adopt(record("ns/p", "10.0.0.7", State::Reserved));
    cluster.limit = Some(0);
    assert_eq!(cluster.assign(None, "10.0.0.7", true, "ns/q"), "10.0.0.7");
    assert_eq!(cluster.ipam.held_by("ns"), 1);
    // A new one it is not to have.
    let refused = cluster.assign(None, "10.0.0.8", true, "ns/q");
    assert!(
        refused.starts_with("namespace ns may hold 0 addresses, has 1"),
        "{refused}"
    );
}

#[test]
fn a_limit_is_over_all_networks() {
    let mut cluster = limited(2);
    let mut elsewhere = record("ns/p", "172.16.0.1", State::Allocated);
    elsewhere.network = "another".into();
    cluster.ipam.adopt(elsewhere.clone());
    assert_eq!(cluster.v4(), "10.0.0.1");
    assert!(cluster.v4().contains("has 2 and asks for 1 more"));
    cluster.ipam.release("another", elsewhere.ip, &elsewhere.owner);
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn a_subnet_of_other_namespaces_is_passed_over_and_refused_by_name() {
    let [a, b] = pair();
    let mut cluster = Cluster::with(&[a.only_for(&["team-a"]), b]);

    assert_eq!(
        cluster.allocate(Families::Ipv4Only, &["a"]),
        "network net: subnet a allows no new addresses to namespace ns: add it to spec.config.allowedNamespaces there, or \
         name another one"
    );
    assert_eq!(cluster.v4(), "10.0.1.2");
    assert_eq!(
        cluster.v4(),
        "network net: no IPv4 subnet with a free address that is not private and allows namespace ns: add an IPv4 subnet, \
         or delete pods"
    );
    // It still counts as room of the network.
    assert_eq!(cluster.network_usage().ipv4.open, 1);
    assert_eq!(
        cluster.allocate_for("team-a/p", Families::Ipv4Only, &[]),
        "10.0.0.2"
    );
}

#[test]
fn a_network_of_other_namespaces_gives_them_nothing() {
    let mut cluster = Cluster {
        allowed_namespaces: vec!["team-a".into()],
        ..Cluster::default()
    };
    assert!(cluster.refresh(&[small()]).is_empty());

    let refused = cluster.reserve(Families::Ipv4Only, &[], "ns/p");
    let expected = Error::NamespaceNotAllowed {
        network: NETWORK.into(),
        subnet: None,
        namespace: "ns".into(),
    };
    assert_eq!(refused, Err(expected.clone()));
    assert_eq!(
        expected.to_string(),
        "network net: it allows no new addresses to namespace ns: add it to spec.config.allowedNamespaces there, or name \
         another one"
    );
    assert!(
        cluster
            .assign(None, "10.0.0.3", true, "ns/p")
            .contains("allows no new addresses")
    );
    assert_eq!(
        cluster.allocate_for("team-a/p", Families::Ipv4Only, &[]),
        "10.0.0.2"
    );

    // Open again, it is open at once.
    cluster.allowed_namespaces.clear();
    assert!(cluster.refresh(&[small()]).is_empty());
    assert_eq!(cluster.v4(), "10.0.0.3");
}

#[test]
fn what_a_namespace_has_stays_its_own_whoever_is_allowed_by_now() {
    let mut cluster = Cluster::with(&[listed().only_for(&["team-a"])]);
    cluster.ipam.adopt(record("ns/p", "192.168.1.5", State::Reserved));

    assert_eq!(cluster.assign(None, "192.168.1.5", false, "ns/p"), "192.168.1.5");
    // An ip-pool takes nothing that is not its namespace's, free or on the reserved list.
    for address in ["192.168.1.2", "192.168.1.3"] {
        let refused = cluster.assign(None, address, true, "ns/p");
        assert!(refused.contains("subnet s allows no new addresses"), "{refused}");
    }
}
