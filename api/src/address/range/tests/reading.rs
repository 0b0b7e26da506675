//! Which texts are read, and what is said of the others.

use super::*;

fn assert_faults(cases: &[(AddressRange, &str)]) {
    for (range, said) in cases {
        let fault = fault(range).replace("spec.range.cidr 192.168.8.0/24", "192.168.8.0/24");
        assert!(fault.contains(said), "{fault}\ninstead of {said}");
    }
}

fn with_gateway(version: &str, gateway: &str) -> AddressRange {
    AddressRange {
        gateway: Some(gateway.to_owned()),
        ..range(version, "192.168.8.0/24")
    }
}

fn reserving(text: &str) -> AddressRange {
    AddressRange {
        reserved_ips: texts(&[text]),
        ..range("4", "192.168.8.0/24")
    }
}

/// Scenario 1: a version that is not supported.
#[test]
fn an_unknown_version_is_the_first_fault() {
    assert_faults(&[(range("123", "x"), "spec.range.version \"123\" is not supported")]);
}

/// Scenario 2: start and end come before the CIDR.
#[test]
fn a_bad_start_or_end_is_named_before_the_cidr_is_looked_at() {
    assert_faults(&[
        (
            between("x", "192.168.8", ""),
            "spec.range.start \"192.168.8\" is not an IP address",
        ),
        (
            between("x", "", "192.168.8"),
            "spec.range.end \"192.168.8\" is not an IP address",
        ),
    ]);
}

/// Scenario 3: a CIDR that is none.
/// Scenario 4: a CIDR with host bits.
/// Scenario 10: a CIDR of one address.
#[test]
fn a_cidr_is_a_network_with_room() {
    assert_faults(&[
        (
            range("4", "192.168.8/24"),
            "spec.range.cidr \"192.168.8/24\" is not a CIDR",
        ),
        (
            range("4", "192.168.8.10/24"),
            "spec.range.cidr \"192.168.8.10/24\" has bits behind its prefix: write 192.168.8.0/24",
        ),
        (
            range("4", "10.0.0.1/32"),
            "is a single address: use a prefix length of at most 30",
        ),
        (
            range("6", "fd00::1/128"),
            "is a single address: use a prefix length of at most 126",
        ),
    ]);
}

/// Scenario 5: start or end outside the CIDR.
/// Scenario 6: start after end.
#[test]
fn start_and_end_lie_in_the_cidr_in_this_order() {
    assert_faults(&[
        (
            between("192.168.8.0/24", "192.168.9.1", ""),
            "spec.range.start \"192.168.9.1\" is not in",
        ),
        (
            between("192.168.8.0/24", "", "192.168.9.1"),
            "spec.range.end \"192.168.9.1\" is not in",
        ),
        (
            between("192.168.8.0/24", "192.168.8.11", "192.168.8.10"),
            "192.168.8.11 is after spec.range.end 192.168.8.10",
        ),
    ]);
}

/// Scenario 7: a gateway of the other family.
#[test]
fn gateway_and_cidr_are_of_the_version() {
    assert_faults(&[
        (
            with_gateway("6", "192.168.8.254"),
            "spec.range.gateway \"192.168.8.254\" is not an IPv6 address",
        ),
        (
            range("6", "192.168.8.0/24"),
            "is not IPv6, as spec.range.version says: use version \"4\"",
        ),
    ]);
}

/// Scenario 8: gateway, reserved or excluded outside.
#[test]
fn gateway_and_lists_are_addresses_of_the_cidr() {
    let v4 = || range("4", "192.168.8.0/24");
    assert_faults(&[
        (
            with_gateway("4", "x"),
            "spec.range.gateway \"x\" is not an IP address",
        ),
        (
            with_gateway("4", "192.168.9.254"),
            "spec.range.gateway \"192.168.9.254\" is not in 192.168.8.0/24",
        ),
        (
            reserving("192.168.8"),
            "spec.range.reservedIPs \"192.168.8\" is not an IP address",
        ),
        (
            reserving("192.168.9.100"),
            "spec.range.reservedIPs \"192.168.9.100\" is not in",
        ),
        (
            excluding(v4(), &["192.168.8"]),
            "spec.range.excludeIPs \"192.168.8\" is not an IP address",
        ),
        (
            excluding(v4(), &["192.168.8.1", "192.168.9.100"]),
            "spec.range.excludeIPs \"192.168.9.100\" is not in",
        ),
    ]);
}

#[test]
fn the_entry_of_a_list_of_ranges_that_is_wrong_is_named() {
    let v4 = || range("4", "192.168.8.0/24");
    for (text, said) in [
        (
            "192.168.8.5",
            "is not a range: write 10.0.0.5-10.0.0.9 or 10.0.0.8/29",
        ),
        ("192.168.8.5-", "is not a range"),
        ("192.168.8.5 - 192.168.8.9", "is not a range"),
        ("x-y", "is not a range"),
        ("", "is not a range"),
        ("192.168.8.5-192.168.8.7-192.168.8.9", "is not a range"),
        ("192.168.8.0/33", "is not a range"),
        (
            "192.168.8.9-192.168.8.5",
            "ends before it starts: write 192.168.8.5-192.168.8.9",
        ),
        (
            "192.168.8.9/29",
            "has bits behind its prefix: write 192.168.8.8/29",
        ),
        ("192.168.9.0/29", "is not in 192.168.8.0/24"),
        ("192.168.8.250-192.168.9.5", "is not in 192.168.8.0/24"),
        ("192.168.7.250-192.168.8.5", "is not in 192.168.8.0/24"),
        ("192.168.0.0/16", "is not in 192.168.8.0/24"),
        ("fd00::1-fd00::2", "is not in 192.168.8.0/24"),
        ("192.168.8.1-fd00::2", "is not in 192.168.8.0/24"),
    ] {
        let fine = "192.168.8.100-192.168.8.101";
        assert_faults(&[
            (
                excluding_ranges(v4(), &[fine, text]),
                &format!("spec.range.excludeIPRanges {text:?} {said}"),
            ),
            (
                reserving_ranges(v4(), &[fine, text]),
                &format!("spec.range.reservedIPRanges {text:?} {said}"),
            ),
        ]);
    }
}

/// Scenario 9: a whole range.
#[test]
fn a_whole_range_is_read() {
    let range = AddressRange {
        gateway: Some("192.168.8.254".to_owned()),
        reserved_ips: texts(&["192.168.8.50"]),
        ..excluding(
            between("192.168.8.0/24", "192.168.8.10", "192.168.8.100"),
            &["192.168.8.90"],
        )
    };
    let range = parsed(&range);
    assert_eq!(range.total(), 91 - 2);
    for (last, inside) in [
        (9, false),
        (10, true),
        (50, true),
        (90, false),
        (100, true),
        (101, false),
        (254, false),
    ] {
        let number = at(&format!("192.168.8.{last}"));
        assert_eq!(range.contains(number), inside, "{last}");
    }
}

#[test]
fn ranges_and_single_addresses_of_a_list_are_one_set() {
    let mut range = range("6", "fd00::/64");
    range.exclude_ips = texts(&["fd00::5", "FD00::0007"]);
    range.exclude_ip_ranges = texts(&[
        "fd00::6-fd00::6",
        "fd00::5-fd00::6",
        "fd00::1:0/112",
        "fd00::9/128",
    ]);
    range.reserved_ip_ranges = texts(&["fd00::2:0/112"]);
    let range = parsed(&range);
    let intervals: Vec<_> = range.excluded.iter().collect();
    assert_eq!(
        intervals,
        [
            ("fd00::5", "fd00::7"),
            ("fd00::9", "fd00::9"),
            ("fd00::1:0", "fd00::1:ffff")
        ]
        .map(|(first, last)| Interval::new(at(first), at(last)).unwrap())
    );
    assert!(range.contains(at("fd00::2:1")) && !range.contains(at("fd00::1:1")));
    assert!(!range.free().contains(at("fd00::2:1")), "reserved");
}

#[test]
fn absent_and_empty_bounds_are_the_same() {
    let mut empty = range("4", "10.0.0.0/24");
    (empty.start, empty.end, empty.gateway) = (Some(String::new()), Some(String::new()), Some(String::new()));
    assert_eq!(parsed(&empty), parsed(&range("4", "10.0.0.0/24")));
}

/// Scenario 50: reserved addresses are compared as numbers.
#[test]
fn addresses_are_compared_as_numbers_and_not_as_texts() {
    let mut range = range("6", "fd00::/120");
    range.reserved_ips = texts(&["FD00::0005"]);
    let range = parsed(&range);
    assert_eq!(
        range.reserved.iter().collect::<Vec<_>>(),
        [Interval::single(at("fd00::5"))]
    );
    assert_eq!(range.total(), 254);
}

/// Scenario 10: too small for the allocator.
#[test]
fn too_small_prefixes_and_empty_defaults_are_not_usable() {
    for (range, said) in [
        (
            range("4", "10.0.0.0/31"),
            "10.0.0.0/31 is too small: use a prefix length of at most 30",
        ),
        (range("6", "fd00::/127"), "use a prefix length of at most 126"),
        (
            between("10.0.0.0/24", "10.0.0.255", ""),
            "10.0.0.255 is after spec.range.end 10.0.0.254",
        ),
        (
            between("10.0.0.0/24", "", "10.0.0.0"),
            "10.0.0.1 is after spec.range.end 10.0.0.0",
        ),
    ] {
        let error = parsed(&range).check_usable().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(parsed(&range("4", "10.0.0.0/30")).check_usable(), Ok(()));
}

proptest::proptest! {
    #[test]
    fn no_text_brings_the_parser_down(text in "[0-9a-f.:/ -]{0,40}") {
        let _ = ParsedRange::parse(&excluding_ranges(range("6", "fd00::/64"), &[&text]));
        let _ = ParsedRange::parse(&range("4", &text));
        let _ = entry(&text);
    }
}
