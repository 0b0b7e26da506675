use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn range(version: &str, cidr: &str) -> AddressRange {
    AddressRange {
        version: version.to_owned(),
        cidr: cidr.to_owned(),
        ..AddressRange::default()
    }
}

fn between(cidr: &str, start: &str, end: &str) -> AddressRange {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let version = if cidr.contains(':') { "6" } else { "4" };
    AddressRange {
        start: given(start),
        end: given(end),
        ..range(version, cidr)
    }
}

fn excluding(mut range: AddressRange, excluded: &[&str]) -> AddressRange {
    range.exclude_ips = excluded.iter().map(|&text| text.to_owned()).collect();
    range
}

fn parsed(range: &AddressRange) -> ParsedRange {
    ParsedRange::parse(range).unwrap()
}

fn fault(range: &AddressRange) -> String {
    ParsedRange::parse(range).unwrap_err().to_string()
}

#[test]
fn the_first_fault_is_named_with_its_field_and_value() {
    let with_gateway = |version: &str, gateway: &str| AddressRange {
        gateway: Some(gateway.to_owned()),
        ..range(version, "192.168.8.0/24")
    };
    let reserving = |text: &str| AddressRange {
        reserved_ips: vec![text.to_owned()],
        ..range("4", "192.168.8.0/24")
    };
    for (range, said) in [
        (range("123", "x"), "spec.range.version \"123\""),
        (
            between("x", "192.168.8", ""),
            "spec.range.start \"192.168.8\" is not an IP address",
        ),
        (
            between("x", "", "192.168.8"),
            "spec.range.end \"192.168.8\" is not an IP address",
        ),
        (
            range("4", "192.168.8/24"),
            "spec.range.cidr \"192.168.8/24\" is not a CIDR",
        ),
        (range("4", "192.168.8.10/24"), "write 192.168.8.0/24"),
        (
            range("4", "10.0.0.1/32"),
            "is a single address: use a prefix length of at most 30",
        ),
        (
            range("6", "fd00::1/128"),
            "is a single address: use a prefix length of at most 126",
        ),
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
        (
            with_gateway("4", "x"),
            "spec.range.gateway \"x\" is not an IP address",
        ),
        (
            with_gateway("6", "192.168.8.254"),
            "spec.range.gateway \"192.168.8.254\" is not an IPv6 address",
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
            excluding(range("4", "192.168.8.0/24"), &["192.168.8"]),
            "spec.range.excludeIPs \"192.168.8\" is not an IP address",
        ),
        (
            excluding(range("4", "192.168.8.0/24"), &["192.168.9.100"]),
            "spec.range.excludeIPs \"192.168.9.100\" is not in",
        ),
        (
            range("6", "192.168.8.0/24"),
            "is not IPv6, as spec.range.version says: use version \"4\"",
        ),
    ] {
        let fault = fault(&range).replace("spec.range.cidr 192.168.8.0/24", "192.168.8.0/24");
        assert!(fault.contains(said), "{fault}");
    }
}

#[test]
fn a_whole_range_is_read() {
    let range = AddressRange {
        gateway: Some("192.168.8.254".to_owned()),
        reserved_ips: vec!["192.168.8.50".to_owned()],
        ..excluding(
            between("192.168.8.0/24", "192.168.8.10", "192.168.8.100"),
            &["192.168.8.90"],
        )
    };
    let range = parsed(&range);
    assert_eq!(range.total(), 91 - 2);
    let at = |last: u8| number(IpAddr::from([192, 168, 8, last]));
    for (last, inside) in [
        (9, false),
        (10, true),
        (50, true),
        (90, false),
        (100, true),
        (101, false),
        (254, false),
    ] {
        assert_eq!(range.contains(at(last)), inside, "{last}");
    }
}

#[test]
fn absent_and_empty_bounds_are_the_same() {
    let mut empty = range("4", "10.0.0.0/24");
    (empty.start, empty.end, empty.gateway) = (Some(String::new()), Some(String::new()), Some(String::new()));
    assert_eq!(parsed(&empty), parsed(&range("4", "10.0.0.0/24")));
}

#[test]
fn the_broadcast_address_is_left_out_in_ipv4_only() {
    assert_eq!(parsed(&range("4", "10.0.0.0/29")).total(), 6);
    assert_eq!(parsed(&range("6", "fd00::/125")).total(), 7);
}

#[test]
fn addresses_are_compared_as_numbers_and_not_as_texts() {
    let mut range = range("6", "fd00::/120");
    range.reserved_ips = vec!["FD00::0005".to_owned()];
    let range = parsed(&range);
    assert_eq!(
        range.reserved,
        BTreeSet::from([number("fd00::5".parse().unwrap())])
    );
    assert_eq!(range.total(), 254);
}

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
    ] {
        assert_eq!(capacity(&range), expected, "{range:?}");
    }
}

fn shares(left: &AddressRange, right: &AddressRange) -> bool {
    let (left, right) = (parsed(left), parsed(right));
    let shared = left.first_shared(&right);
    assert_eq!(shared, right.first_shared(&left));
    shared.is_some()
}

#[test]
fn ranges_share_what_neither_excludes() {
    let range = |start: &str, end: &str| between("192.168.1.0/24", start, end);
    let low = range("192.168.1.10", "192.168.1.50");
    assert!(!shares(&low, &range("192.168.1.51", "192.168.1.100")));
    assert!(shares(&low, &range("192.168.1.50", "192.168.1.100")));
    let high = range("192.168.1.49", "192.168.1.100");
    assert!(!shares(
        &low,
        &excluding(high.clone(), &["192.168.1.49", "192.168.1.50"])
    ));
    let last = range("192.168.1.50", "192.168.1.50");
    assert!(shares(&excluding(high, &["192.168.1.100"]), &last));
}

#[test]
fn gateways_and_reserved_addresses_are_shared_too() {
    let mut range = between("10.0.0.0/24", "10.0.0.1", "10.0.0.1");
    range.gateway = Some("10.0.0.1".to_owned());
    range.reserved_ips = vec!["10.0.0.1".to_owned()];
    let shared = parsed(&range).first_shared(&parsed(&range));
    assert_eq!(shared, Some(IpAddr::from([10, 0, 0, 1])));
}

#[test]
fn the_widest_ranges_cost_nothing() {
    let start = Instant::now();
    let (all, part) = (parsed(&range("6", "::/0")), parsed(&range("6", "fd00::/80")));
    assert!(all.first_shared(&part).is_some());
    assert!(all.first_shared(&parsed(&range("4", "0.0.0.0/0"))).is_none());
    assert_eq!(all.total(), u128::MAX);
    assert_eq!(parsed(&range("4", "0.0.0.0/0")).total(), (1 << 32) - 2);
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
}

fn some_range() -> impl Strategy<Value = AddressRange> {
    let excluded = proptest::collection::vec(0_u8..32, 0..6);
    (0_u8..32, 0_u8..32, excluded).prop_map(|(a, b, excluded)| {
        let address = |last: u8| format!("10.0.0.{last}");
        AddressRange {
            exclude_ips: excluded.into_iter().map(address).collect(),
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

    #[test]
    fn totals_are_what_enumeration_finds(range in some_range(), gateway in 0_u8..32) {
        let range = AddressRange { gateway: Some(format!("10.0.0.{gateway}")), ..range };
        let range = parsed(&range);
        let naive = (0_u8..32).filter(|last| range.contains(number(IpAddr::from([10, 0, 0, *last])))).count();
        prop_assert_eq!(range.total(), u128::try_from(naive).unwrap());
    }
}
