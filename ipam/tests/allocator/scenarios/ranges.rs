//! Ranges that change, and ranges within them.

use hybridnet_ipam::{Families, State};

use crate::fixtures::{Cluster, NETWORK, ip, record, subnet};

/// Scenario 53: start and end of a range changed.
#[test]
fn a_changed_range_has_a_new_total() {
    let whole = subnet("s", "192.168.56.0/24").gateway("192.168.56.1");
    let mut cluster = Cluster::with(std::slice::from_ref(&whole));
    assert_eq!(cluster.counts("s"), (253, 0, 253));

    let changed = whole.between("192.168.56.21", "192.168.56.50");
    assert!(cluster.refresh(&[changed]).is_empty());

    assert_eq!(cluster.counts("s"), (30, 0, 30));
    assert_eq!(cluster.v4(), "192.168.56.21");
}

/// Scenario 54: addresses reserved, then others excluded.
#[test]
fn reserved_and_excluded_addresses_leave_the_total() {
    let base = subnet("s", "fe20::/120");
    let five = ["fe20::11", "fe20::12", "fe20::13", "fe20::14", "fe20::15"];
    let other = ["fe20::21", "fe20::22", "fe20::23", "fe20::24", "fe20::25"];
    let mut cluster = Cluster::with(std::slice::from_ref(&base));

    for (change, total) in [
        (base.clone(), 255),
        (base.clone().reserving(&five), 250),
        (base.clone().reserving(&five).excluding(&other), 245),
        (
            base.clone()
                .reserving_ranges(&["fe20::11-fe20::15"])
                .excluding_ranges(&["fe20::20/125"]),
            242,
        ),
        (base.between("fe20::21", "fe20::50"), 48),
    ] {
        assert!(cluster.refresh(&[change]).is_empty());
        assert_eq!(cluster.counts("s"), (total, 0, total));
    }
}

/// Scenario 55: subnets and their network come and go.
#[test]
fn a_network_may_be_without_subnets_and_may_go() {
    let (v4, v6) = (
        subnet("v4", "192.167.56.0/24").gateway("192.167.56.1"),
        subnet("v6", "fe90::/120"),
    );
    let mut cluster = Cluster::with(&[]);
    let totals = |cluster: &Cluster| {
        let usage = cluster.network_usage();
        (usage.ipv4.counts.total, usage.ipv6.counts.total)
    };
    assert_eq!(totals(&cluster), (0, 0));
    assert!(cluster.refresh(std::slice::from_ref(&v4)).is_empty());
    assert_eq!(totals(&cluster), (253, 0));
    assert!(cluster.refresh(&[v4, v6]).is_empty());
    assert_eq!(totals(&cluster), (253, 255));
    assert!(cluster.refresh(&[]).is_empty());
    assert_eq!(totals(&cluster), (0, 0));
    assert_eq!(cluster.network_usage().ipv6.last_subnet, None);
    assert_eq!(cluster.ipam.subnet_usage(NETWORK, "v4"), None);

    cluster.ipam.forget(NETWORK);
    assert_eq!(cluster.ipam.network_usage(NETWORK), None);
}

#[test]
fn a_range_that_grows_gives_its_new_addresses_and_keeps_its_position() {
    let small = subnet("s", "10.0.0.0/24").between("10.0.0.10", "10.0.0.12");
    let mut cluster = Cluster::with(std::slice::from_ref(&small));
    assert_eq!([cluster.v4(), cluster.v4()], ["10.0.0.10", "10.0.0.11"]);

    assert!(
        cluster
            .refresh(&[small.between("10.0.0.8", "10.0.0.13")])
            .is_empty()
    );

    let got: Vec<_> = (0..4).map(|_| cluster.v4()).collect();
    assert_eq!(got, ["10.0.0.12", "10.0.0.13", "10.0.0.8", "10.0.0.9"]);
    assert_eq!(cluster.counts("s"), (6, 6, 0));
}

#[test]
fn ranges_that_are_reserved_or_excluded_are_never_chosen() {
    let ranges = subnet("s", "fd00::/64")
        .excluding_ranges(&["fd00::/68", "fd00:0:0:0:1000::-fd00::1fff:ffff:ffff:ffff"])
        .reserving_ranges(&["fd00::2000:0:0:0/68"]);
    let mut cluster = Cluster::with(&[ranges]);

    // As large as they are, they cost nothing.
    assert_eq!(cluster.v6(), "fd00::3000:0:0:0");
    assert_eq!(cluster.counts("s").0, 13 << 60);
    let reserved = [(None, "fd00::2000:0:0:5")];
    let excluded = [(None, "fd00::1000:0:0:5")];
    let mut assign = |wanted: &[_], force| {
        let reservation = cluster.reserve_these(Families::Ipv6Only, wanted, force, "ns/p");
        reservation
            .map(|reservation| cluster.commit(reservation))
            .map_err(|error| error.to_string())
    };
    assert!(
        assign(&reserved, false)
            .unwrap_err()
            .contains("list of reserved addresses")
    );
    assert_eq!(assign(&reserved, true).as_deref(), Ok("fd00::2000:0:0:5"));
    assert!(
        assign(&excluded, true)
            .unwrap_err()
            .contains("no IPv6 subnet contains")
    );
}

#[test]
fn an_address_that_is_excluded_while_in_use_stays_its_pods_and_leaves_the_numbers() {
    let base = subnet("s", "10.0.0.0/29");
    let mut cluster = Cluster::with(std::slice::from_ref(&base));
    cluster.ipam.adopt(record("ns/p", "10.0.0.2", State::Allocated));
    assert_eq!(cluster.counts("s"), (6, 1, 5));

    assert!(
        cluster
            .refresh(&[base.clone().excluding_ranges(&["10.0.0.2/31"])])
            .is_empty()
    );
    assert_eq!(cluster.counts("s"), (4, 0, 4));
    assert_eq!(cluster.ipam.holders(NETWORK, ip("10.0.0.2")).len(), 1);

    // Back in the range it is in use, not free.
    assert!(cluster.refresh(&[base]).is_empty());
    assert_eq!(cluster.counts("s"), (6, 1, 5));
}
