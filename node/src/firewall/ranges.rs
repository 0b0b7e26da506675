//! From subnets, which may lie in each other, to ranges that neither overlap nor touch: what the kernel keeps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::table::Family;

/// The addresses of all subnets of one family, as few ranges, in order; both ends are included.
pub fn merge<'a>(subnets: impl IntoIterator<Item = &'a IpNetwork>, family: Family) -> Vec<(IpAddr, IpAddr)> {
    let mut ranges: Vec<_> = subnets
        .into_iter()
        .filter(|subnet| Family::of(subnet.ip()) == family)
        .map(|subnet| (number(subnet.network()), number(subnet.broadcast())))
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
        .into_iter()
        .map(|(first, last)| (address(first, family), address(last, family)))
        .collect()
}

/// The address after this one, in its family.
pub fn successor(of: IpAddr) -> Option<IpAddr> {
    match of {
        IpAddr::V4(v4) => u32::from(v4)
            .checked_add(1)
            .map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(v6) => u128::from(v6)
            .checked_add(1)
            .map(|next| Ipv6Addr::from(next).into()),
    }
}

/// The address before this one, in its family.
pub fn predecessor(of: IpAddr) -> Option<IpAddr> {
    match of {
        IpAddr::V4(v4) => u32::from(v4)
            .checked_sub(1)
            .map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(v6) => u128::from(v6)
            .checked_sub(1)
            .map(|next| Ipv6Addr::from(next).into()),
    }
}

/// The highest address of a family.
pub fn highest(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::BROADCAST.into(),
        Family::V6 => Ipv6Addr::from(u128::MAX).into(),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn address(number: u128, family: Family) -> IpAddr {
    match family {
        // Numbers of this family come from 32 bits.
        Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(subnets: &[&str]) -> String {
        let subnets: Vec<IpNetwork> = subnets.iter().map(|subnet| subnet.parse().unwrap()).collect();
        Family::BOTH
            .iter()
            .flat_map(|family| merge(&subnets, *family))
            .map(|(first, last)| format!("{first}-{last}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn subnets_that_overlap_or_touch_become_one_range() {
        for (subnets, ranges) in [
            (&[][..], ""),
            (
                &["10.0.0.0/24", "10.0.2.0/24"],
                "10.0.0.0-10.0.0.255 10.0.2.0-10.0.2.255",
            ),
            (&["10.0.1.0/24", "10.0.0.0/24"], "10.0.0.0-10.0.1.255"),
            (
                &["10.0.0.0/16", "10.0.7.0/24", "10.1.0.0/32"],
                "10.0.0.0-10.1.0.0",
            ),
            (&["10.0.0.5/24"], "10.0.0.0-10.0.0.255"),
            (
                &["255.255.255.0/24", "0.0.0.0/32"],
                "0.0.0.0-0.0.0.0 255.255.255.0-255.255.255.255",
            ),
            (&["0.0.0.0/0", "10.0.0.0/8"], "0.0.0.0-255.255.255.255"),
            (&["::/0"], "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            (
                &["fd00::/64", "fd00:0:0:1::/64"],
                "fd00::-fd00::1:ffff:ffff:ffff:ffff",
            ),
            (
                &["255.255.255.255/32", "::/128"],
                "255.255.255.255-255.255.255.255 ::-::",
            ),
        ] {
            assert_eq!(merged(subnets), ranges, "{subnets:?}");
        }
    }

    #[test]
    fn the_ends_of_a_family_have_no_neighbours_beyond() {
        for family in Family::BOTH {
            assert_eq!(successor(highest(family)), None);
            assert_eq!(
                predecessor(highest(family)).and_then(successor),
                Some(highest(family))
            );
        }
        assert_eq!(predecessor("0.0.0.0".parse().unwrap()), None);
        assert_eq!(predecessor("::".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn ranges_hold_what_the_subnets_hold_and_lie_apart(
            subnets in prop::collection::vec((0u32..1 << 10, 22u8..=32), 0..12),
            probe in 0u32..1 << 10,
        ) {
            let subnets: Vec<IpNetwork> = subnets
                .iter()
                .map(|(address, prefix)| IpNetwork::new(Ipv4Addr::from(*address).into(), *prefix).unwrap())
                .collect();
            let probe = IpAddr::V4(probe.into());

            let ranges = merge(&subnets, Family::V4);

            let inside = ranges.iter().any(|(first, last)| (*first..=*last).contains(&probe));
            prop_assert_eq!(inside, subnets.iter().any(|subnet| subnet.contains(probe)));
            for pair in ranges.windows(2) {
                prop_assert!(successor(pair[0].1).unwrap() < pair[1].0);
            }
        }
    }
}
