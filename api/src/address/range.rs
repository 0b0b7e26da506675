//! A subnet's range, read from the user's texts and checked in the order of the original's
//! `ValidateAddressRange` (control-plane spec 1.6): the first fault wins.

mod error;
mod read;

use std::net::IpAddr;

use ipnetwork::IpNetwork;

pub use error::RangeError;
use read::{Field, cidr, inside, list, optional};

use super::family::{Family, number};
use super::interval::Interval;
use super::interval_set::IntervalSet;
use super::{parse_cidr, parse_ip};
use crate::subnet::AddressRange;

/// Checked numbers; what the user left out is still left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedRange {
    /// The prefix, without host bits.
    pub network: IpNetwork,
    /// First address, if the user names one.
    pub start: Option<u128>,
    /// Last address, if the user names one.
    pub end: Option<u128>,
    /// The gateway.
    pub gateway: Option<u128>,
    /// Addresses that are given on demand only.
    pub reserved: IntervalSet,
    /// Addresses that are never given.
    pub excluded: IntervalSet,
}

impl ParsedRange {
    /// Reads and checks. That the family of the CIDR is the version's comes last: the original does not
    /// ask, so stored objects may be wrong there.
    pub fn parse(range: &AddressRange) -> Result<Self, RangeError> {
        let family =
            Family::from_version(&range.version).ok_or_else(|| RangeError::Version(range.version.clone()))?;
        let start = optional("spec.range.start", range.start.as_deref())?;
        let end = optional("spec.range.end", range.end.as_deref())?;
        let cidr = cidr(&range.cidr)?;
        inside(cidr, start)?;
        inside(cidr, end)?;
        if let (Some(start), Some(end)) = (start, end)
            && number(start.ip) > number(end.ip)
        {
            return Err(RangeError::Empty {
                start: start.ip,
                end: end.ip,
            });
        }
        let gateway = optional("spec.range.gateway", range.gateway.as_deref())?;
        if let Some(gateway) = gateway.filter(|gateway| Family::of(gateway.ip) != family) {
            let value = gateway.text.to_owned();
            return Err(RangeError::GatewayFamily { value, family });
        }
        inside(cidr, gateway)?;
        let reserved = list(
            cidr,
            ("spec.range.reservedIPs", &range.reserved_ips),
            ("spec.range.reservedIPRanges", &range.reserved_ip_ranges),
        )?;
        let excluded = list(
            cidr,
            ("spec.range.excludeIPs", &range.exclude_ips),
            ("spec.range.excludeIPRanges", &range.exclude_ip_ranges),
        )?;
        if Family::of(cidr.ip()) != family {
            return Err(RangeError::CidrFamily { cidr, family });
        }
        let numbers = |field: Option<Field<'_>>| field.map(|field| number(field.ip));
        Ok(Self {
            network: cidr,
            start: numbers(start),
            end: numbers(end),
            gateway: numbers(gateway),
            reserved,
            excluded,
        })
    }

    /// What the allocator asks in addition (control-plane spec 3.1): room beside network and broadcast
    /// address, and an end that does not come before the start when one of them is the default.
    pub fn check_usable(&self) -> Result<(), RangeError> {
        let most = self.family().bits() - 2;
        if self.network.prefix() > most {
            let cidr = self.network;
            return Err(RangeError::TooSmall { cidr, most });
        }
        let ends = (
            self.family().address(self.first()),
            self.family().address(self.last()),
        );
        match ends {
            (Some(start), Some(end)) if self.interval().is_none() => Err(RangeError::Empty { start, end }),
            _ => Ok(()),
        }
    }

    /// Of all addresses.
    pub fn family(&self) -> Family {
        Family::of(self.network.ip())
    }

    /// First address: the given one, or the one after the network address.
    pub fn first(&self) -> u128 {
        let default = number(self.network.network()).saturating_add(1);
        self.start.unwrap_or(default)
    }

    /// Last address: the given one, or the last of the prefix, in IPv4 the one before it (broadcast).
    pub fn last(&self) -> u128 {
        self.end.unwrap_or_else(|| last_usable(self.network))
    }

    /// From first to last; nothing when there is no address at all.
    pub fn interval(&self) -> Option<Interval> {
        Interval::new(self.first(), self.last())
    }

    /// Whether an address can belong to a pod at all: in the interval, not the gateway, not excluded.
    pub fn contains(&self, number: u128) -> bool {
        let within = self.interval().is_some_and(|interval| interval.contains(number));
        within && self.gateway != Some(number) && !self.excluded.contains(number)
    }

    /// All addresses that belong to this range and to no other: the interval less the excluded ones. Gateway
    /// and reserved addresses are part of it.
    pub fn claimed(&self) -> IntervalSet {
        let whole: IntervalSet = self.interval().into_iter().collect();
        whole.without(&self.excluded)
    }

    /// What may be handed out by choice: the interval less gateway, excluded and reserved addresses.
    pub fn free(&self) -> IntervalSet {
        let gateway = self.gateway.map(Interval::single);
        let kept: IntervalSet = gateway.into_iter().chain(self.reserved.iter()).collect();
        self.claimed().without(&kept)
    }

    /// How many addresses [`ParsedRange::free`] has.
    pub fn total(&self) -> u128 {
        self.free().count()
    }

    /// The lowest address that both could hand out: in both intervals and excluded by none. Gateways and
    /// reserved addresses count as shared.
    pub fn first_shared(&self, other: &Self) -> Option<IpAddr> {
        if self.family() != other.family() {
            return None;
        }
        // Most ranges lie apart: their ends tell.
        self.interval()?.intersection(other.interval()?)?;
        let shared = self.claimed().first_shared(&other.claimed())?;
        self.family().address(shared)
    }
}

/// What the original counts before it lets a subnet in: the length of the interval less the number of
/// entries in `excludeIPs`, wherever they lie; 2^63-1 when the CIDR cannot be read. `excludeIPRanges` make a
/// range no smaller, for the original would list all of its addresses should it take the cluster back.
pub fn capacity(range: &AddressRange) -> u128 {
    let Some(network) = parse_cidr(&range.cidr) else {
        return i64::MAX as u128;
    };
    let given = |text: &Option<String>| {
        let ip = parse_ip(text.as_deref().unwrap_or_default())?;
        (Family::of(ip) == Family::of(network.ip())).then(|| number(ip))
    };
    let start = given(&range.start).unwrap_or_else(|| number(network.network()).saturating_add(1));
    let end = given(&range.end).unwrap_or_else(|| last_usable(network));
    let excluded = u128::try_from(range.exclude_ips.len()).unwrap_or(u128::MAX);
    start.abs_diff(end).saturating_add(1).saturating_sub(excluded)
}

/// The addresses of one entry of `excludeIPRanges` or `reservedIPRanges`; nothing when it is not a range.
pub(super) fn entry(text: &str) -> Option<(Family, Interval)> {
    let (first, last) = read::ends("", text).ok()?;
    let interval = Interval::new(number(first), number(last))?;
    (Family::of(first) == Family::of(last)).then_some((Family::of(first), interval))
}

fn last_usable(network: IpNetwork) -> u128 {
    let last = number(network.broadcast());
    match Family::of(network.ip()) {
        Family::V4 => last.saturating_sub(1),
        Family::V6 => last,
    }
}

#[cfg(test)]
mod tests;
