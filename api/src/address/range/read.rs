//! The user's texts, one field at a time.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::RangeError;
use crate::address::{Family, Interval, IntervalSet, number, parse_cidr, parse_ip};

/// An address, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub name: &'static str,
    pub text: &'a str,
    pub ip: IpAddr,
}

/// Absent and empty are the same thing.
pub(super) fn optional<'a>(
    name: &'static str,
    text: Option<&'a str>,
) -> Result<Option<Field<'a>>, RangeError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => address(name, text).map(Some),
    }
}

pub(super) fn cidr(text: &str) -> Result<IpNetwork, RangeError> {
    let value = text.to_owned();
    let Some(network) = parse_cidr(text) else {
        return Err(RangeError::NotACidr(value));
    };
    let bits = Family::of(network.ip()).bits();
    without_host_bits("spec.range.cidr", text, network)?;
    if network.prefix() == bits {
        let most = bits - 2;
        return Err(RangeError::SingleAddress { value, most });
    }
    Ok(network)
}

pub(super) fn inside(cidr: IpNetwork, field: Option<Field<'_>>) -> Result<(), RangeError> {
    field.map_or(Ok(()), |Field { name, text, ip }| within(cidr, name, text, ip))
}

/// Single addresses and ranges of a list, as one set.
pub(super) fn list(
    cidr: IpNetwork,
    singles: (&'static str, &[String]),
    ranges: (&'static str, &[String]),
) -> Result<IntervalSet, RangeError> {
    let single = |text: &String| {
        let field = address(singles.0, text)?;
        inside(cidr, Some(field))?;
        Ok(Interval::single(number(field.ip)))
    };
    let range = |text: &String| {
        let (first, last) = ends(ranges.0, text)?;
        within(cidr, ranges.0, text, first)?;
        within(cidr, ranges.0, text, last)?;
        Interval::new(number(first), number(last)).ok_or_else(|| RangeError::Backwards {
            field: ranges.0,
            value: text.clone(),
            first,
            last,
        })
    };
    let singles = singles.1.iter().map(single);
    singles.chain(ranges.1.iter().map(range)).collect()
}

/// The ends of `first-last` or of a prefix, in the order in which they stand.
pub(super) fn ends(field: &'static str, text: &str) -> Result<(IpAddr, IpAddr), RangeError> {
    let not_a_range = || RangeError::NotARange {
        field,
        value: text.to_owned(),
    };
    if let Some((first, last)) = text.split_once('-') {
        let ends = parse_ip(first).zip(parse_ip(last));
        return ends.ok_or_else(not_a_range);
    }
    let network = parse_cidr(text).ok_or_else(not_a_range)?;
    without_host_bits(field, text, network)?;
    Ok((network.network(), network.broadcast()))
}

fn address<'a>(name: &'static str, text: &'a str) -> Result<Field<'a>, RangeError> {
    let ip = parse_ip(text).ok_or_else(|| RangeError::NotAnAddress {
        field: name,
        value: text.to_owned(),
    })?;
    Ok(Field { name, text, ip })
}

fn without_host_bits(field: &'static str, text: &str, network: IpNetwork) -> Result<(), RangeError> {
    if network.ip() == network.network() {
        return Ok(());
    }
    Err(RangeError::HostBits {
        field,
        value: text.to_owned(),
        proper: IpNetwork::new(network.network(), network.prefix()).unwrap_or(network),
    })
}

fn within(cidr: IpNetwork, field: &'static str, text: &str, ip: IpAddr) -> Result<(), RangeError> {
    let same_family = Family::of(ip) == Family::of(cidr.ip());
    if same_family && Interval::of(cidr).contains(number(ip)) {
        return Ok(());
    }
    Err(RangeError::Outside {
        field,
        value: text.to_owned(),
        cidr,
    })
}
