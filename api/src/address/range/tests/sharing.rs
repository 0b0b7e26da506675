//! What two ranges share.

use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

fn shares(left: &AddressRange, right: &AddressRange) -> bool {
    let (left, right) = (parsed(left), parsed(right));
    let shared = left.first_shared(&right);
    assert_eq!(shared, right.first_shared(&left));
    shared.is_some()
}

/// Scenario 14: ranges that touch or lie apart.
/// Scenario 15: excluded addresses are not shared.
#[test]
fn ranges_share_what_neither_excludes() {
    let range = |start: &str, end: &str| between("192.168.1.0/24", start, end);
    let low = range("192.168.1.10", "192.168.1.50");
    assert!(!shares(&low, &range("192.168.1.51", "192.168.1.100")));
    assert!(shares(&low, &range("192.168.1.50", "192.168.1.100")));
    let high = range("192.168.1.49", "192.168.1.100");
    for excluded in [
        excluding(high.clone(), &["192.168.1.49", "192.168.1.50"]),
        excluding_ranges(high.clone(), &["192.168.1.49-192.168.1.50"]),
        excluding_ranges(high.clone(), &["192.168.1.32/27"]),
    ] {
        assert!(!shares(&low, &excluded), "{excluded:?}");
    }
    let last = range("192.168.1.50", "192.168.1.50");
    assert!(shares(&excluding(high, &["192.168.1.100"]), &last));
}

#[test]
fn gateways_and_reserved_addresses_are_shared_too() {
    let mut range = between("10.0.0.0/24", "10.0.0.1", "10.0.0.1");
    range.gateway = Some("10.0.0.1".to_owned());
    range.reserved_ips = texts(&["10.0.0.1"]);
    let range = reserving_ranges(range, &["10.0.0.0/24"]);
    let shared = parsed(&range).first_shared(&parsed(&range));
    assert_eq!(shared, Some(IpAddr::from([10, 0, 0, 1])));
}

#[test]
fn families_share_nothing() {
    assert!(!shares(&range("6", "::/0"), &range("4", "0.0.0.0/0")));
}

fn some_range() -> impl Strategy<Value = AddressRange> {
    let excluded = proptest::collection::vec(0_u8..32, 0..6);
    let excluded_ranges = proptest::collection::vec((0_u8..32, 0_u8..32), 0..2);
    (0_u8..32, 0_u8..32, excluded, excluded_ranges).prop_map(|(a, b, excluded, ranges)| {
        let address = |last: u8| format!("10.0.0.{last}");
        let ranges = ranges
            .iter()
            .map(|(a, b)| format!("{}-{}", address(*a.min(b)), address(*a.max(b))));
        AddressRange {
            exclude_ips: excluded.into_iter().map(address).collect(),
            exclude_ip_ranges: ranges.collect(),
            ..between("10.0.0.0/27", &address(a.min(b)), &address(a.max(b)))
        }
    })
}

proptest! {
    #[test]
    fn what_is_shared_is_what_enumeration_finds(left in some_range(), right in some_range()) {
        let (left, right) = (parsed(&left), parsed(&right));
        let has = |range: &ParsedRange, last: u8| range.contains(number(IpAddr::from([10, 0, 0, last])));
        let naive = (0_u8..32).find(|last| has(&left, *last) && has(&right, *last));
        prop_assert_eq!(left.first_shared(&right), naive.map(|last| IpAddr::from([10, 0, 0, last])));
    }

    /// Enumeration would never end here.
    ///
    /// Scenario 16: wide IPv6 ranges are compared at once.
    #[test]
    #[test]
    fn prefixes_of_any_width_share_what_the_longer_one_has(bits: u128, wide in 1_u8..=126, more in 0_u8..=125) {
        let narrow = wide.saturating_add(more).min(126);
        let prefix = |length: u8| {
            let host_bits = u128::MAX.checked_shr(u32::from(length)).unwrap_or_default();
            // An address that begins with zeros only may be an IPv4 one in disguise.
            let network = (bits | 1 << 127) & !host_bits;
            (network, format!("{}/{length}", Ipv6Addr::from_bits(network)))
        };
        let (outer_first, outer) = prefix(wide);
        let (inner_first, inner) = prefix(narrow);
        let (outer, inner) = (parsed(&range("6", &outer)), parsed(&range("6", &inner)));
        let expected = Ipv6Addr::from_bits(outer_first.max(inner_first) + 1);
        prop_assert_eq!(outer.first_shared(&inner), Some(expected.into()));
        prop_assert_eq!(inner.first_shared(&outer), Some(expected.into()));

        // Excluded whole, nothing is left to share, but the network address that a longer prefix leaves out.
        let without = AddressRange { exclude_ip_ranges: vec![inner.network.to_string()], ..range("6", &outer.network.to_string()) };
        prop_assert_eq!(parsed(&without).first_shared(&inner), None);
    }
}
