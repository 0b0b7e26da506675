//! A subnet's range, read from the user's texts and checked in the order of the original's
//! `ValidateAddressRange` (control-plane spec 1.6): the first fault wins.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::family::{Family, number};
use super::interval::{Interval, gaps};
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
    pub reserved: BTreeSet<u128>,
    /// Addresses that are never given.
    pub excluded: BTreeSet<u128>,
}

/// What is wrong with a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Neither 4 nor 6.
    #[error("spec.range.version {0:?} is not supported: use \"4\" or \"6\"")]
    Version(String),
    /// Not an address.
    #[error("{field} {value:?} is not an IP address")]
    NotAnAddress {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// Not a prefix.
    #[error("spec.range.cidr {0:?} is not a CIDR: write it as 10.0.0.0/16 or fd00::/64")]
    NotACidr(String),
    /// Not the first address of the prefix.
    #[error("spec.range.cidr {value:?} has bits behind its prefix: write {proper}")]
    HostBits {
        /// What stands there.
        value: String,
        /// What probably was meant.
        proper: IpNetwork,
    },
    /// A single address.
    #[error("spec.range.cidr {value:?} is a single address: use a prefix length of at most {most}")]
    SingleAddress {
        /// What stands there.
        value: String,
        /// The longest prefix.
        most: u8,
    },
    /// Not in the prefix.
    #[error("{field} {value:?} is not in spec.range.cidr {cidr}")]
    Outside {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        value: String,
        /// The prefix.
        cidr: IpNetwork,
    },
    /// The end comes before the start.
    #[error("spec.range.start {start} is after spec.range.end {end}: no address is available")]
    Empty {
        /// First address, given or by default.
        start: IpAddr,
        /// Last address, given or by default.
        end: IpAddr,
    },
    /// The gateway is of the other family.
    #[error("spec.range.gateway {value:?} is not an {family} address, as spec.range.version says")]
    GatewayFamily {
        /// What stands there.
        value: String,
        /// Of the range.
        family: Family,
    },
    /// The prefix is of the other family.
    #[error(
        "spec.range.cidr {cidr} is not {family}, as spec.range.version says: use version {:?}",
        Family::of(cidr.ip()).version()
    )]
    CidrFamily {
        /// The prefix.
        cidr: IpNetwork,
        /// Of the range.
        family: Family,
    },
    /// Nothing would be left beside network and broadcast address.
    #[error("spec.range.cidr {cidr} is too small: use a prefix length of at most {most}")]
    TooSmall {
        /// The prefix.
        cidr: IpNetwork,
        /// The longest prefix.
        most: u8,
    },
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
        let reserved = all_inside(cidr, "spec.range.reservedIPs", &range.reserved_ips)?;
        let excluded = all_inside(cidr, "spec.range.excludeIPs", &range.exclude_ips)?;
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
        within && self.gateway != Some(number) && !self.excluded.contains(&number)
    }

    /// What may be handed out by choice: the interval less gateway, excluded and reserved addresses.
    pub fn free(&self) -> Vec<Interval> {
        let taken = self.gateway.iter().chain(&self.excluded).chain(&self.reserved);
        let taken = taken.copied().map(Interval::single);
        self.interval()
            .map_or_else(Vec::new, |interval| gaps(interval, taken))
    }

    /// How many addresses [`ParsedRange::free`] has.
    pub fn total(&self) -> u128 {
        let counts = self.free().into_iter().map(Interval::count);
        counts.fold(0, u128::saturating_add)
    }

    /// The lowest address that both could hand out: in both intervals and excluded by none. Gateways and
    /// reserved addresses count as shared.
    pub fn first_shared(&self, other: &Self) -> Option<IpAddr> {
        if self.family() != other.family() {
            return None;
        }
        let both = self.interval()?.intersection(other.interval()?)?;
        let excluded = self.excluded.union(&other.excluded);
        let shared = gaps(both, excluded.copied().map(Interval::single));
        self.family().address(shared.first()?.first())
    }
}

/// What the original counts before it lets a subnet in: the length of the interval less the number of
/// entries in `excludeIPs`, wherever they lie; 2^63-1 when the CIDR cannot be read.
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

fn last_usable(network: IpNetwork) -> u128 {
    let last = number(network.broadcast());
    match Family::of(network.ip()) {
        Family::V4 => last.saturating_sub(1),
        Family::V6 => last,
    }
}

#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'static str,
    text: &'a str,
    ip: IpAddr,
}

// Absent and empty are the same thing.
fn optional<'a>(name: &'static str, text: Option<&'a str>) -> Result<Option<Field<'a>>, RangeError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => address(name, text).map(Some),
    }
}

fn address<'a>(name: &'static str, text: &'a str) -> Result<Field<'a>, RangeError> {
    let ip = parse_ip(text).ok_or_else(|| RangeError::NotAnAddress {
        field: name,
        value: text.to_owned(),
    })?;
    Ok(Field { name, text, ip })
}

fn cidr(text: &str) -> Result<IpNetwork, RangeError> {
    let value = text.to_owned();
    let Some(network) = parse_cidr(text) else {
        return Err(RangeError::NotACidr(value));
    };
    let bits = Family::of(network.ip()).bits();
    if network.ip() != network.network() {
        let proper = IpNetwork::new(network.network(), network.prefix()).unwrap_or(network);
        return Err(RangeError::HostBits { value, proper });
    }
    if network.prefix() == bits {
        return Err(RangeError::SingleAddress {
            value,
            most: bits - 2,
        });
    }
    Ok(network)
}

fn inside(cidr: IpNetwork, field: Option<Field<'_>>) -> Result<(), RangeError> {
    let Some(field) = field else { return Ok(()) };
    let same_family = Family::of(field.ip) == Family::of(cidr.ip());
    if same_family && Interval::of(cidr).contains(number(field.ip)) {
        return Ok(());
    }
    Err(RangeError::Outside {
        field: field.name,
        value: field.text.to_owned(),
        cidr,
    })
}

fn all_inside(cidr: IpNetwork, name: &'static str, texts: &[String]) -> Result<BTreeSet<u128>, RangeError> {
    let one = |text: &String| {
        let field = address(name, text)?;
        inside(cidr, Some(field))?;
        Ok(number(field.ip))
    };
    texts.iter().map(one).collect()
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
