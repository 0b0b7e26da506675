//! How a subnet may change: its range may grow where no other subnet is, and shrink where no address is in use.

use std::net::IpAddr;

use kube::ResourceExt;

use super::{MAX_CAPACITY, SubnetFault, holder, mode_of, only_where_it_means_something};
use crate::address::{
    Family, IntervalSet, ParsedRange, RangeError, capacity, from_object_name, number, parse_cidr, parse_ip,
};
use crate::multicluster::RemoteSubnet;
use crate::subnet::AddressRange;
use crate::validation::{allowed, shown};
use crate::{IpInstance, Network, NetworkMode, Subnet};

/// What is beside a subnet that changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// Its Network, if it exists.
    pub network: Option<&'a Network>,
    /// All Subnets; the one that is judged is passed over. Only read when [`changes_addresses`].
    pub others: &'a [Subnet],
    /// All `RemoteSubnet`s; none while clusters are not connected. Only read when [`changes_addresses`].
    pub remote: &'a [RemoteSubnet],
    /// The `IPInstance`s of the subnet, also reserved and terminating ones. Only read when
    /// [`changes_addresses`].
    pub held: &'a [IpInstance],
}

/// Whether an update changes which addresses pods can have: only then must other subnets and the addresses
/// in use be known.
pub fn changes_addresses(old: &Subnet, new: &Subnet) -> bool {
    let written = |subnet: &Subnet| {
        let range = &subnet.spec.range;
        let ends = [range.start.clone(), range.end.clone()].map(Option::unwrap_or_default);
        (ends, range.exclude_ips.clone(), range.exclude_ip_ranges.clone())
    };
    written(old) != written(new)
}

/// Whether a subnet may change. What was stored before a rule existed may stay, and may be deleted.
pub fn update(old: &Subnet, new: &Subnet, beside: &Surroundings<'_>) -> Result<(), SubnetFault> {
    if old.spec == new.spec || new.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    if old.spec.network != new.spec.network {
        let networks = (Some(&old.spec.network), Some(&new.spec.network));
        return Err(changed("network", networks.0, networks.1));
    }
    let mode = mode_of(new, beside.network)?;
    if mode == NetworkMode::Vlan && old.spec.net_id != new.spec.net_id {
        return Err(changed("netID", old.spec.net_id, new.spec.net_id));
    }
    only_where_it_means_something(new, mode)?;
    if old.spec.allowed_namespaces() != new.spec.allowed_namespaces() {
        allowed::check(new.spec.allowed_namespaces())?;
    }
    readable(&old.spec.range, &new.spec.range)?;
    fixed(&old.spec.range, &new.spec.range)?;
    if changes_addresses(old, new) {
        addresses(old, new, beside)?;
    }
    Ok(())
}

// A stored range whose version is not that of its CIDR came in by a gap of the original: it may stay.
fn readable(old: &AddressRange, new: &AddressRange) -> Result<(), SubnetFault> {
    match ParsedRange::parse(new) {
        Ok(_) => Ok(()),
        Err(RangeError::CidrFamily { .. }) if (&old.version, &old.cidr) == (&new.version, &new.cidr) => {
            Ok(())
        }
        Err(_) if old == new => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn fixed(old: &AddressRange, new: &AddressRange) -> Result<(), SubnetFault> {
    let gateway = |range: &AddressRange| range.gateway.clone().filter(|text| !text.is_empty());
    let (before, after) = (gateway(old), gateway(new));
    if before.as_deref().map(canonical) != after.as_deref().map(canonical) {
        return Err(changed("range.gateway", before, after));
    }
    let cidr = |range: &AddressRange| {
        parse_cidr(&range.cidr).map_or_else(|| range.cidr.clone(), |cidr| cidr.to_string())
    };
    if cidr(old) != cidr(new) {
        return Err(changed("range.cidr", Some(&old.cidr), Some(&new.cidr)));
    }
    if old.version != new.version {
        return Err(changed("range.version", Some(&old.version), Some(&new.version)));
    }
    Ok(())
}

fn canonical(text: &str) -> String {
    parse_ip(text).map_or_else(|| text.to_owned(), |ip| ip.to_string())
}

fn addresses(old: &Subnet, new: &Subnet, beside: &Surroundings<'_>) -> Result<(), SubnetFault> {
    // What cannot be read had no addresses.
    let before = ParsedRange::parse(&old.spec.range).ok();
    let Ok(after) = ParsedRange::parse(&new.spec.range) else {
        return Ok(());
    };
    if before.as_ref().is_none_or(|before| before.check_usable().is_ok()) {
        after.check_usable()?;
    }
    let size = capacity(&new.spec.range);
    if size > MAX_CAPACITY && size > capacity(&old.spec.range) {
        return Err(SubnetFault::TooLarge(size));
    }
    let claimed = before.as_ref().map(ParsedRange::claimed).unwrap_or_default();
    left_out(&claimed, &after, beside.held)?;
    let fresh = after.claimed().without(&claimed);
    apart(&fresh, after.family(), &new.name_any(), beside)
}

/// Addresses that the old range had and the new one has not must be free.
fn left_out(before: &IntervalSet, after: &ParsedRange, held: &[IpInstance]) -> Result<(), SubnetFault> {
    let after = (after.family(), after.claimed());
    let is_lost = |instance: &&IpInstance| {
        let ip = instance
            .spec
            .ip()
            .or_else(|| from_object_name(&instance.name_any()));
        ip.is_some_and(|ip: IpAddr| {
            let number = number(ip);
            Family::of(ip) == after.0 && before.contains(number) && !after.1.contains(number)
        })
    };
    let lost: Vec<_> = held.iter().filter(is_lost).map(holder).collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(SubnetFault::LeftOut(lost))
    }
}

/// Addresses that come in must be nobody else's. Those that were shared before are no reason: whoever
/// takes less of them must not be stopped.
fn apart(
    fresh: &IntervalSet,
    family: Family,
    name: &str,
    beside: &Surroundings<'_>,
) -> Result<(), SubnetFault> {
    let shared = |range: &AddressRange| {
        let range = ParsedRange::parse(range)
            .ok()
            .filter(|range| range.family() == family)?;
        family.address(range.claimed().first_shared(fresh)?)
    };
    for other in beside.others.iter().filter(|other| other.name_any() != name) {
        if let Some(at) = shared(&other.spec.range) {
            let (name, other) = (name.to_owned(), other.name_any());
            return Err(SubnetFault::Overlap { name, other, at });
        }
    }
    let remote = beside.remote.iter();
    let mut shared = remote.filter_map(|remote| Some((remote, shared(&remote.spec.range)?)));
    match shared.next() {
        Some((remote, at)) => Err(SubnetFault::Remote {
            name: name.to_owned(),
            other: remote.name_any(),
            cluster: remote.spec.cluster_name.clone().unwrap_or_default(),
            at,
        }),
        None => Ok(()),
    }
}

fn changed(field: &'static str, old: Option<impl ToString>, new: Option<impl ToString>) -> SubnetFault {
    SubnetFault::Changed {
        field,
        old: shown(old),
        new: shown(new),
    }
}
