//! Address arithmetic: numbers of one width for both families, so that IPv4 and IPv6 are a parameter and
//! never two functions. Nothing here enumerates: a /0 costs what a /30 does.
//!
//! ```text
//! AddressRange (texts) ──► ParsedRange (checked numbers) ──► Interval ──► aligned prefixes
//! ```

mod blocks;
mod family;
mod interval;
mod interval_set;
mod name;
mod range;

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

pub use blocks::{BlocksError, excluded_blocks};
pub use family::{Family, number};
pub use interval::{Interval, gaps, merged};
pub use interval_set::IntervalSet;
pub use name::{from_object_name, object_name};
pub use range::{ParsedRange, RangeError, capacity};

/// Reads an address as Go does: an IPv4-mapped IPv6 address is an IPv4 address.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Reads an address, a slash and the number of its leading bits that count. Host bits are kept.
pub fn parse_cidr(text: &str) -> Option<IpNetwork> {
    let (ip, prefix) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    // `IpNetwork` itself would take a mask, a sign, or nothing at all.
    if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    IpNetwork::new(ip, prefix.parse().ok()?).ok()
}

/// The address after this one; nothing after the last one of the family.
pub fn next(ip: IpAddr) -> Option<IpAddr> {
    Family::of(ip).address(number(ip).checked_add(1)?)
}

/// The address before this one; nothing before the first one of the family.
pub fn previous(ip: IpAddr) -> Option<IpAddr> {
    Family::of(ip).address(number(ip).checked_sub(1)?)
}

/// The order of two addresses; addresses of different families have none.
pub fn compare(left: IpAddr, right: IpAddr) -> Option<Ordering> {
    (Family::of(left) == Family::of(right)).then(|| number(left).cmp(&number(right)))
}

/// How many addresses lie between the two, both included, in any order; 0 when the families differ.
pub fn count(left: IpAddr, right: IpAddr) -> u128 {
    if Family::of(left) == Family::of(right) {
        number(left).abs_diff(number(right)).saturating_add(1)
    } else {
        0
    }
}

/// The last address of a prefix: all host bits one.
pub fn last(network: IpNetwork) -> IpAddr {
    network.broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        parse_ip(text).unwrap()
    }

    /// Scenario 17: the next address.
    #[test]
    fn counting_stops_at_both_ends_of_a_family() {
        assert_eq!(next(ip("192.168.0.255")), Some(ip("192.168.1.0")));
        assert_eq!(next(ip("AB12::FFFF")), Some(ip("ab12::1:0")));
        assert_eq!(next(ip("::ffff:10.0.0.1")), Some(ip("10.0.0.2")));
        assert_eq!(previous(ip("10.1.0.0")), Some(ip("10.0.255.255")));
        for end in ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            assert_eq!(next(ip(end)), None);
        }
        for start in ["0.0.0.0", "::"] {
            assert_eq!(previous(ip(start)), None);
        }
    }

    /// Scenario 17: the next address of small IPv6 numbers.
    #[test]
    fn small_ipv6_numbers_stay_ipv6() {
        assert_eq!(next(ip("::1")), Some(ip("::2")));
        assert_eq!(next(ip("::ffff")), Some(ip("::1:0")));
    }

    /// Scenario 18: the order of two addresses.
    #[test]
    fn only_addresses_of_one_family_have_an_order() {
        assert_eq!(compare(ip("192.168.0.2"), ip("fe80::1")), None);
        assert_eq!(compare(ip("10.0.0.2"), ip("10.0.0.5")), Some(Ordering::Less));
        assert_eq!(compare(ip("10.0.0.10"), ip("10.0.0.5")), Some(Ordering::Greater));
        assert_eq!(
            compare(ip("10.0.0.10"), ip("::ffff:10.0.0.10")),
            Some(Ordering::Equal)
        );
    }

    /// Scenario 19: how many addresses lie between two.
    #[test]
    fn counts_do_not_depend_on_the_order_and_reach_beyond_64_bits() {
        assert_eq!(count(ip("AB12::123"), ip("AB12::210")), 238);
        assert_eq!(count(ip("AB12::210"), ip("AB12::123")), 238);
        assert_eq!(count(ip("10.0.0.1"), ip("AB12::123")), 0);
        let wide = count(
            ip("2001:db8:acad:3::ff"),
            ip("2001:db8:acad:3:ffff:ffff:ffff:fffe"),
        );
        assert_eq!(wide, (1 << 64) - (1 << 8));
    }

    #[test]
    fn a_cidr_is_an_address_and_a_number_of_bits() {
        for text in [
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.0.0",
            "10.0.0/8",
            "fe80::/129",
            "fe80::%eth0/64",
            "",
        ] {
            assert_eq!(parse_cidr(text), None, "{text}");
        }
        assert_eq!(parse_cidr("fe80::1/64").unwrap().to_string(), "fe80::1/64");
    }

    #[test]
    fn the_last_address_has_all_host_bits_set() {
        let network = parse_cidr("2021:23::/64").unwrap();
        assert_eq!(last(network), ip("2021:23::ffff:ffff:ffff:ffff"));
        assert_eq!(last(parse_cidr("192.168.3.0/24").unwrap()), ip("192.168.3.255"));
    }
}
