//! Particular addresses.

use hybridnet_ipam::{Error, Families, State};

use super::{listed, small};
use crate::fixtures::{Cluster, NETWORK, ip, record, subnet};

/// Scenario 39: a reserved address assigned by force.
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

/// Scenario 40: addresses that cannot be assigned.
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

/// Scenario 41: an address in use.
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

/// Scenario 42: a retained address.
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

/// Scenario 44: one half of an assignment is taken.
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
