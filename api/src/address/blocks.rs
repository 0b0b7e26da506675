//! Which parts of a CIDR belong to no pod (datapath spec 4.8): their packets take the way of any other.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::family::{Family, number};
use super::interval::{Interval, gaps, merged};
use super::range::entry;
use super::{parse_cidr, parse_ip};
use crate::subnet::AddressRange;

/// Ranges that do not add up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocksError {
    /// Not a prefix.
    #[error("spec.range.cidr {0:?} is not a CIDR")]
    NotACidr(String),
    /// Not an address.
    #[error("{0:?} in spec.range is not an IP address")]
    NotAnAddress(String),
    /// Neither `first-last` nor a prefix.
    #[error("{0:?} in spec.range.excludeIPRanges is not a range")]
    NotARange(String),
    /// Starts or ends elsewhere, or ends before it starts.
    #[error("spec.range {start} to {end} is not a range inside {cidr}")]
    NotInside {
        /// First address.
        start: IpAddr,
        /// Last address.
        end: IpAddr,
        /// The prefix.
        cidr: IpNetwork,
    },
    /// Two subnets share addresses.
    #[error("ranges of subnets of {cidr} overlap at {at}")]
    Overlap {
        /// A shared address.
        at: IpAddr,
        /// The prefix.
        cidr: IpNetwork,
    },
}

/// For the ranges of all subnets with one CIDR, the first one's gateway first: what lies outside of the
/// ranges (when any of them has a start or an end), the gateway and the excluded addresses, as the fewest
/// aligned prefixes from low to high. Reserved addresses are not part of it: pods may have them.
pub fn excluded_blocks<'a>(
    ranges: impl IntoIterator<Item = &'a AddressRange>,
) -> Result<Vec<IpNetwork>, BlocksError> {
    let ranges: Vec<_> = ranges.into_iter().collect();
    let Some(first) = ranges.first() else {
        return Ok(Vec::new());
    };
    let cidr = parse_cidr(&first.cidr).ok_or_else(|| BlocksError::NotACidr(first.cidr.clone()))?;
    let whole = Interval::of(cidr);
    let family = Family::of(cidr.ip());

    let mut used = Vec::new();
    for range in &ranges {
        used.extend(bounded(range, cidr)?);
    }
    used.sort_unstable();
    let mut blocked = outside(whole, &used, cidr)?;
    let gateway = first.gateway.iter().filter(|text| !text.is_empty());
    for text in gateway.chain(ranges.iter().flat_map(|range| &range.exclude_ips)) {
        let ip = address(text)?;
        let inside = Family::of(ip) == family && whole.contains(number(ip));
        blocked.extend(inside.then(|| Interval::single(number(ip))));
    }
    for text in ranges.iter().flat_map(|range| &range.exclude_ip_ranges) {
        let (of, interval) = entry(text).ok_or_else(|| BlocksError::NotARange(text.clone()))?;
        blocked.extend(interval.intersection(whole).filter(|_| of == family));
    }
    Ok(merged(blocked)
        .into_iter()
        .flat_map(|block| block.cover(family))
        .collect())
}

// The range of a subnet that gives a start or an end. The missing one is the end of the whole prefix.
fn bounded(range: &AddressRange, cidr: IpNetwork) -> Result<Option<Interval>, BlocksError> {
    let given = |text: &Option<String>| match text.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => address(text).map(Some),
    };
    let (start, end) = (given(&range.start)?, given(&range.end)?);
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    let (start, end) = (start.unwrap_or(cidr.network()), end.unwrap_or(cidr.broadcast()));
    let whole = Interval::of(cidr);
    let is_inside = |ip: IpAddr| Family::of(ip) == Family::of(cidr.ip()) && whole.contains(number(ip));
    Interval::new(number(start), number(end))
        .filter(|_| is_inside(start) && is_inside(end))
        .map(Some)
        .ok_or(BlocksError::NotInside { start, end, cidr })
}

fn outside(whole: Interval, used: &[Interval], cidr: IpNetwork) -> Result<Vec<Interval>, BlocksError> {
    if used.is_empty() {
        return Ok(Vec::new());
    }
    for pair in used.windows(2) {
        if let [left, right] = pair
            && let Some(shared) = left.intersection(*right)
        {
            let at = Family::of(cidr.ip()).address(shared.first()).unwrap_or(cidr.ip());
            return Err(BlocksError::Overlap { at, cidr });
        }
    }
    Ok(gaps(whole, used.iter().copied()))
}

fn address(text: &str) -> Result<IpAddr, BlocksError> {
    parse_ip(text).ok_or_else(|| BlocksError::NotAnAddress(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: Option<u8>, end: Option<u8>) -> AddressRange {
        let address = |last: u8| format!("192.168.3.{last}");
        AddressRange {
            version: "4".to_owned(),
            cidr: "192.168.3.0/24".to_owned(),
            start: start.map(address),
            end: end.map(address),
            ..AddressRange::default()
        }
    }

    fn blocks(ranges: &[AddressRange]) -> Vec<String> {
        let blocks = excluded_blocks(ranges).unwrap();
        blocks
            .iter()
            .map(|block| block.to_string().trim_start_matches("192.168.3").to_owned())
            .collect()
    }

    #[test]
    fn a_whole_prefix_has_its_gateway_only() {
        let mut whole = range(None, None);
        assert!(blocks(std::slice::from_ref(&whole)).is_empty());
        whole.gateway = Some("192.168.3.1".to_owned());
        assert_eq!(blocks(&[whole]), [".1/32"]);
        assert_eq!(excluded_blocks([]), Ok(Vec::new()));
    }

    #[test]
    fn what_lies_outside_of_a_range_is_blocked() {
        let expected = [
            ".0/26", ".64/27", ".96/30", ".201/32", ".202/31", ".204/30", ".208/28", ".224/27",
        ];
        let mut one = range(Some(100), Some(200));
        one.gateway = Some("192.168.3.1".to_owned());
        assert_eq!(blocks(&[one]), expected);
        let two = [range(Some(151), Some(200)), range(Some(100), Some(150))];
        assert_eq!(blocks(&two), expected);
    }

    #[test]
    fn holes_between_ranges_are_blocked() {
        let three = [
            range(Some(100), Some(150)),
            range(Some(152), Some(200)),
            range(Some(208), Some(223)),
        ];
        assert_eq!(
            blocks(&three),
            [
                ".0/26", ".64/27", ".96/30", ".151/32", ".201/32", ".202/31", ".204/30", ".224/27"
            ]
        );
    }

    #[test]
    fn excluded_addresses_are_glued_to_what_is_blocked_beside_them() {
        let mut three = [
            range(Some(100), Some(150)),
            range(Some(151), Some(200)),
            range(Some(208), Some(223)),
        ];
        three[0].gateway = Some("192.168.3.1".to_owned());
        three[1].exclude_ips = [50, 120, 121, 160, 207, 224]
            .map(|last| format!("192.168.3.{last}"))
            .to_vec();
        assert_eq!(
            blocks(&three),
            [
                ".0/26", ".64/27", ".96/30", ".120/31", ".160/32", ".201/32", ".202/31", ".204/30", ".224/27"
            ]
        );
        three[0].exclude_ip_ranges = vec!["192.168.3.101-192.168.3.127".to_owned(), "fd00::/64".to_owned()];
        three[2].exclude_ip_ranges = vec!["192.168.3.208/29".to_owned()];
        assert_eq!(
            blocks(&three),
            [
                ".0/26", ".64/27", ".96/30", ".101/32", ".102/31", ".104/29", ".112/28", ".160/32",
                ".201/32", ".202/31", ".204/30", ".208/29", ".224/27"
            ]
        );
        let single = AddressRange {
            cidr: "192.168.3.100/32".to_owned(),
            exclude_ips: vec!["192.168.3.100".to_owned()],
            ..AddressRange::default()
        };
        assert_eq!(blocks(&[single]), [".100/32"]);
    }

    #[test]
    fn an_open_end_reaches_to_the_end_of_the_prefix() {
        assert_eq!(blocks(&[range(Some(128), None)]), [".0/25"]);
        assert_eq!(blocks(&[range(None, Some(127))]), [".128/25"]);
    }

    #[test]
    fn only_the_first_gateway_counts_and_reserved_addresses_do_not() {
        let mut two = [range(None, None), range(None, None)];
        two[1].gateway = Some("192.168.3.254".to_owned());
        two[1].reserved_ips = vec!["192.168.3.7".to_owned()];
        assert!(blocks(&two).is_empty());
    }

    #[test]
    fn ranges_that_do_not_add_up_are_errors() {
        let overlapping = [range(Some(10), Some(50)), range(Some(50), Some(60))];
        let error = excluded_blocks(&overlapping).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ranges of subnets of 192.168.3.0/24 overlap at 192.168.3.50"
        );
        for (start, end) in [
            ("192.168.4.1", "192.168.4.2"),
            ("192.168.3.9", "192.168.3.8"),
            ("::1", "::2"),
        ] {
            let range = AddressRange {
                start: Some(start.to_owned()),
                end: Some(end.to_owned()),
                ..range(None, None)
            };
            let error = excluded_blocks([&range]).unwrap_err();
            assert!(matches!(error, BlocksError::NotInside { .. }), "{error}");
        }
        let range = AddressRange {
            exclude_ips: vec!["x".to_owned()],
            ..range(None, None)
        };
        assert_eq!(
            excluded_blocks([&range]),
            Err(BlocksError::NotAnAddress("x".to_owned()))
        );
        let range = AddressRange {
            exclude_ips: Vec::new(),
            exclude_ip_ranges: vec!["192.168.3.9".to_owned()],
            ..range
        };
        assert_eq!(
            excluded_blocks([&range]),
            Err(BlocksError::NotARange("192.168.3.9".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn an_address_is_blocked_exactly_when_no_pod_can_have_it(
            bounds in proptest::collection::btree_set(0_u8.., 2..=6),
            excluded in proptest::collection::btree_set(0_u8.., 0..5),
        ) {
            let bounds: Vec<_> = bounds.into_iter().collect();
            let mut ranges: Vec<_> =
                bounds.chunks_exact(2).map(|pair| range(Some(pair[0]), Some(pair[1]))).collect();
            ranges[0].exclude_ips = excluded.iter().map(|last| format!("192.168.3.{last}")).collect();
            let blocks = excluded_blocks(&ranges).unwrap();
            for last in 0..=255_u8 {
                let ip = IpAddr::from([192, 168, 3, last]);
                let used = bounds.chunks_exact(2).any(|pair| (pair[0]..=pair[1]).contains(&last));
                let is_blocked = blocks.iter().filter(|block| block.contains(ip)).count();
                prop_assert_eq!(is_blocked, usize::from(!used || excluded.contains(&last)));
            }
        }
    }
}
