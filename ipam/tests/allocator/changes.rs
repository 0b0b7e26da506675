//! Objects that come late, change, contradict each other, or go while addresses are in use.

use hybridnet_ipam::{Adoption, Conflict, Families, Record, Release, Standing, State};

use crate::fixtures::{Cluster, NETWORK, ip, record, subnet};

#[test]
fn an_object_of_a_network_that_is_not_loaded_yet_holds_its_address() {
    let mut cluster = Cluster::default();

    let adopted = cluster.ipam.adopt(record("ns/p", "10.0.0.1", State::Allocated));
    let known_to_be_full = cluster.ipam.network_usage(NETWORK);
    assert!(cluster.refresh(&[subnet("s", "10.0.0.0/24")]).is_empty());

    assert_eq!((adopted, known_to_be_full), (Adoption::Outside, None));
    assert_eq!(cluster.counts("s"), (254, 1, 253));
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn a_changed_range_keeps_what_is_in_use_inside_and_outside() {
    // Given three addresses in use.
    let wide = subnet("s", "10.0.0.0/24");
    let mut cluster = Cluster::with(std::slice::from_ref(&wide));
    for _ in 0..3 {
        cluster.v4();
    }

    // When the range shrinks around the second, then grows again.
    assert!(
        cluster
            .refresh(&[wide.clone().between("10.0.0.2", "10.0.0.6")])
            .is_empty()
    );
    assert_eq!(cluster.counts("s"), (5, 2, 3));
    assert_eq!(cluster.v4(), "10.0.0.4");
    assert!(cluster.refresh(&[wide]).is_empty());

    // Then all are still held.
    assert_eq!(cluster.counts("s"), (254, 4, 250));
    assert_eq!(cluster.ipam.holders(NETWORK, ip("10.0.0.1")).len(), 1);
}

#[test]
fn addresses_that_a_range_does_not_have_any_more_are_told() {
    // Given addresses of two subnets of one CIDR, the last of them excluded later.
    let low = subnet("low", "10.0.0.0/24").between("10.0.0.1", "10.0.0.9");
    let high = subnet("s", "10.0.0.0/24").between("10.0.0.10", "10.0.0.30");
    let mut cluster = Cluster::with(&[low.clone(), high.clone()]);
    for address in ["10.0.0.10", "10.0.0.20", "10.0.0.30"] {
        cluster.ipam.adopt(Record {
            subnet: "s".to_owned(),
            ..record("ns/p", address, State::Allocated)
        });
    }
    cluster.v4();
    assert_eq!(
        cluster.ipam.left_behind(NETWORK, "s"),
        [] as [std::net::IpAddr; 0]
    );

    // When the range shrinks at both ends.
    let narrow = high.between("10.0.0.11", "10.0.0.29");
    assert!(cluster.refresh(&[low, narrow]).is_empty());

    // Then its own are told, and not the neighbour's.
    assert_eq!(
        cluster.ipam.left_behind(NETWORK, "s"),
        [ip("10.0.0.10"), ip("10.0.0.30")]
    );
    assert_eq!(
        cluster.ipam.left_behind(NETWORK, "low"),
        [] as [std::net::IpAddr; 0]
    );
}

#[test]
fn a_network_that_comes_back_finds_its_addresses_in_use() {
    let subnets = [subnet("s", "10.0.0.0/24")];
    let mut cluster = Cluster::with(&subnets);
    cluster.v4();

    cluster.ipam.forget(NETWORK);
    assert_eq!(
        cluster.v4(),
        "network net not found: create it, or name another one"
    );
    assert!(cluster.refresh(&subnets).is_empty());

    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn of_two_subnets_with_common_addresses_the_first_one_given_stays() {
    let mut cluster = Cluster::default();
    let (old, new) = (subnet("zebra", "fd00::/64"), subnet("ant", "fd00::/80"));

    let refused = cluster.refresh(&[old.clone(), new.clone()]);
    assert_eq!(
        refused,
        [
            "subnet ant: spec.range.cidr fd00::/80 shares fd00::1 with subnet zebra: change start, end or excludeIPs of one of them"
        ]
    );
    assert_eq!(cluster.allocate(Families::Ipv6Only, &["zebra"]), "fd00::1");

    // When the first is gone the second takes its place, and what is in use stays in use.
    assert!(cluster.refresh(&[new]).is_empty());
    assert_eq!(cluster.v6(), "fd00::2");
    drop(old);
}

#[test]
fn two_objects_for_one_address_keep_it_from_everyone_until_both_are_gone() {
    // Given one address, held by objects in two namespaces.
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24").between("10.0.0.2", "10.0.0.2")]);
    let (one, two) = (
        record("a/p", "10.0.0.2", State::Reserved),
        record("b/p", "10.0.0.2", State::Reserved),
    );
    assert_eq!(cluster.ipam.adopt(one.clone()), Adoption::Held);
    let conflict = Conflict {
        network: NETWORK.into(),
        ip: one.ip,
        owners: vec![one.owner.clone(), two.owner.clone()],
    };
    assert_eq!(
        cluster.ipam.adopt(two.clone()),
        Adoption::Conflict(conflict.clone())
    );
    assert_eq!(
        cluster.ipam.adopt(two.clone()),
        Adoption::Conflict(conflict.clone()),
        "seen again"
    );
    assert_eq!(cluster.ipam.conflicts().collect::<Vec<_>>(), [conflict]);

    // When anyone asks for it, then nobody gets it, not even its pods.
    assert!(
        cluster
            .assign(None, "10.0.0.2", true, "a/p")
            .contains("held by 2 IPInstances at once")
    );

    // When one goes, it is the other's alone; when both are gone, it is free.
    assert_eq!(
        cluster.ipam.release(NETWORK, one.ip, &one.owner),
        Release::StillHeld
    );
    assert_eq!(cluster.ipam.conflicts().count(), 0);
    assert!(cluster.v4().starts_with("network net: no IPv4 subnet"));
    assert_eq!(cluster.ipam.release(NETWORK, two.ip, &two.owner), Release::Freed);
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn an_object_that_appears_for_an_address_in_flight_is_a_conflict() {
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24")]);
    let reservation = cluster
        .reserve(Families::Ipv4Only, &[], "ns/p")
        .expect("there is room");

    let adopted = cluster
        .ipam
        .adopt(record("other/q", "10.0.0.1", State::Allocated));
    assert!(matches!(adopted, Adoption::Conflict(conflict) if conflict.owners.len() == 2));

    // Taken back, the other one's address is not freed with it.
    cluster.ipam.rollback(reservation);
    assert_eq!(cluster.ipam.conflicts().count(), 0);
    assert_eq!(
        cluster.v4(),
        "10.0.0.2",
        "the position is as it was, the address is not"
    );
}

#[test]
fn the_watch_may_be_faster_than_the_commit() {
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24")]);
    let reservation = cluster
        .reserve(Families::Ipv4Only, &[], "ns/p")
        .expect("there is room");
    let object = record("ns/p", "10.0.0.1", State::Allocated);

    // When the object is seen, gone, and its address given to another pod before the commit.
    assert_eq!(cluster.ipam.adopt(object.clone()), Adoption::Held);
    assert_eq!(
        cluster.ipam.release(NETWORK, object.ip, &object.owner),
        Release::Freed
    );
    let taken = cluster.assign(None, "10.0.0.1", false, "ns/q");
    cluster.ipam.commit(reservation);

    // Then the commit does not bring the first pod back.
    let held = cluster.ipam.holders(NETWORK, object.ip);
    assert_eq!((taken.as_str(), held.len()), ("10.0.0.1", 1));
    assert_eq!(held[0].owner.pod, "q");
}

#[test]
fn a_failed_write_whose_object_was_seen_all_the_same_frees_nothing() {
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24")]);
    let reservation = cluster
        .reserve(Families::Ipv4Only, &[], "ns/p")
        .expect("there is room");
    cluster.ipam.adopt(record("ns/p", "10.0.0.1", State::Allocated));

    cluster.ipam.rollback(reservation);

    assert_eq!(cluster.ipam.holders(NETWORK, ip("10.0.0.1")).len(), 1);
    assert_eq!(cluster.v4(), "10.0.0.2");
}

#[test]
fn an_old_event_about_a_retained_address_does_not_end_its_reassignment() {
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24")]);
    let mut retained = record("ns/p", "10.0.0.1", State::Reserved);
    retained.owner.pod_uid = String::new();
    cluster.ipam.adopt(retained.clone());
    let again = cluster
        .reserve_these(Families::Ipv4Only, &[(None, "10.0.0.1")], false, "ns/p")
        .expect("its own");

    cluster.ipam.adopt(retained.clone());
    let standings: Vec<_> = cluster
        .ipam
        .holders(NETWORK, retained.ip)
        .into_iter()
        .map(|held| held.standing)
        .collect();
    assert_eq!(standings, [Standing::Seen(State::Reserved), Standing::InFlight]);

    cluster.ipam.rollback(again);
    let left = cluster.ipam.holders(NETWORK, retained.ip);
    assert_eq!((left.len(), &left[0].owner), (1, &retained.owner));
}

#[test]
fn half_a_dual_stack_write_keeps_what_is_written() {
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24"), subnet("t", "fd00::/64")]);
    let reservation = cluster
        .reserve(Families::DualStack, &[], "ns/p")
        .expect("there is room");

    cluster.ipam.settle(reservation, &[ip("10.0.0.1")]);

    assert_eq!(cluster.allocate(Families::DualStack, &[]), "10.0.0.2,fd00::1");
}

#[test]
fn a_subnet_as_large_as_ipv6_gives_addresses_to_the_last_one() {
    let mut cluster = Cluster::with(&[subnet("s", "::/0").after("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")]);
    assert_eq!(cluster.v6(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!(cluster.v6(), "::1");
    assert_eq!(cluster.counts("s"), (u128::MAX, 2, u128::MAX - 2));
}

#[test]
fn a_reservation_stands_until_an_object_that_fulfilled_it_has_gone() {
    let mut cluster = Cluster::with(&[subnet("s", "10.0.0.0/24")]);
    let reservation = cluster.reserve(Families::Ipv4Only, &[], "ns/p").unwrap();
    let object = record("ns/p", "10.0.0.1", State::Allocated);
    assert!(cluster.ipam.stands("ns", &reservation));

    cluster.ipam.adopt(object.clone());
    assert!(cluster.ipam.stands("ns", &reservation));
    assert!(!cluster.ipam.stands("other", &reservation));

    cluster.ipam.release(NETWORK, object.ip, &object.owner);
    assert!(!cluster.ipam.stands("ns", &reservation));
    cluster.ipam.rollback(reservation);
}
