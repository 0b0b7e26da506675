//! What is known before, written, read back and released.

use hybridnet_ipam::{Families, Release, Standing, State};

use super::{NO_SUBNET, pair, small};
use crate::fixtures::{Cluster, NETWORK, ip, network, record, subnet};

/// Scenario 34: the last address of the status.
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

/// Scenario 36: the last subnet of the status.
#[test]
fn the_search_starts_at_the_last_subnet_of_the_status() {
    let mut cluster = Cluster::default();
    let mut network = network();
    network.last_allocated_subnet = Some("b".into());
    let refused = cluster.ipam.refresh(&network, &pair().map(|subnet| subnet.0));

    assert!(refused.is_empty());
    assert_eq!(cluster.network_usage().ipv4.last_subnet.as_deref(), Some("b"));
    assert_eq!(cluster.v4(), "10.0.1.2");
    assert_eq!(cluster.v4(), "10.0.0.2");
}

/// Scenario 47: a net ID from the network.
#[test]
fn an_address_carries_what_its_object_says() {
    let mut cluster = Cluster::default();
    let mut network = network();
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

/// Scenario 48: a subnet that is too small.
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

/// Scenario 49: an object that nobody sees yet.
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

/// Scenario 52: a release that comes twice.
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
