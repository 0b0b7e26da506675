//! How many addresses there are.

use proptest::prelude::*;

use super::*;

#[test]
fn the_broadcast_address_is_left_out_in_ipv4_only() {
    assert_eq!(parsed(&range("4", "10.0.0.0/29")).total(), 6);
    assert_eq!(parsed(&range("6", "fd00::/125")).total(), 7);
}

/// Scenario 11: capacity of a range.
/// Scenario 12: capacity of odd CIDRs.
/// Scenario 13: excluded addresses outside count all the same.
#[test]
fn capacity_counts_as_the_original_does() {
    let all = "192.168.0.0/24";
    for (range, expected) in [
        (between(all, "", ""), 254),
        (between(all, "192.168.0.100", ""), 155),
        (between(all, "192.168.0.100", "192.168.0.200"), 101),
        (
            excluding(
                between(all, "192.168.0.100", "192.168.0.200"),
                &["192.168.0.101", "192.168.0.102"],
            ),
            99,
        ),
        (range("4", "fake"), 9_223_372_036_854_775_807),
        (range("4", "0.1.0.0/22"), 1022),
        (between("0.0.1.1/24", "0.0.1.100", ""), 155),
        (
            excluding(
                between("0.1.0.0/22", "0.1.0.100", "0.1.0.200"),
                &["0.1.1.1", "0.1.1.2"],
            ),
            99,
        ),
        (range("4", "10.0.0.0/15"), 131_070),
        (between("fd00::/64", "fd00::1", "fd00::ffff"), 65_535),
        (range("6", "::/0"), u128::MAX),
        // The original does not know these ranges, and must be able to take over.
        (
            excluding_ranges(range("4", "10.0.0.0/15"), &["10.1.0.0/16"]),
            131_070,
        ),
    ] {
        assert_eq!(capacity(&range), expected, "{range:?}");
    }
}

#[test]
fn the_widest_ranges_have_a_count() {
    assert_eq!(parsed(&range("6", "::/0")).total(), u128::MAX);
    assert_eq!(parsed(&range("4", "0.0.0.0/0")).total(), (1 << 32) - 2);
    let halved = excluding_ranges(range("6", "fd00::/8"), &["fd80::/9"]);
    assert_eq!(parsed(&halved).total(), (1 << 119) - 1);
}

proptest! {
    #[test]
    fn totals_are_what_enumeration_finds(
        bounds in (0_u8..32, 0_u8..32),
        single in proptest::collection::vec(0_u8..32, 0..4),
        excluded in proptest::collection::vec((0_u8..32, 0_u8..32), 0..3),
        reserved in proptest::collection::vec((0_u8..32, 0_u8..32), 0..3),
        gateway in 0_u8..32,
    ) {
        let address = |last: u8| format!("10.0.0.{last}");
        let ranges = |ends: &[(u8, u8)]| -> Vec<String> {
            ends.iter().map(|(a, b)| format!("{}-{}", address(*a.min(b)), address(*a.max(b)))).collect()
        };
        let range = AddressRange {
            gateway: Some(address(gateway)),
            exclude_ips: single.iter().map(|last| address(*last)).collect(),
            exclude_ip_ranges: ranges(&excluded),
            reserved_ip_ranges: ranges(&reserved),
            ..between("10.0.0.0/27", &address(bounds.0.min(bounds.1)), &address(bounds.0.max(bounds.1)))
        };
        let range = parsed(&range);
        let has = |ends: &[(u8, u8)], last: u8| ends.iter().any(|(a, b)| (*a.min(b)..=*a.max(b)).contains(&last));
        let mut total = 0;
        for last in 0..32_u8 {
            let inside = (bounds.0.min(bounds.1)..=bounds.0.max(bounds.1)).contains(&last);
            let usable = inside && last != gateway && !single.contains(&last) && !has(&excluded, last);
            prop_assert_eq!(range.contains(at(&address(last))), usable);
            let free = usable && !has(&reserved, last);
            prop_assert_eq!(range.free().contains(at(&address(last))), free);
            total += u128::from(free);
        }
        prop_assert_eq!(range.total(), total);
    }
}
