//! One subnet of a network: its checked range and its pool.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::address::{Family, ParsedRange, number, parse_ip};

use crate::error::{Fault, SubnetError};
use crate::holding::Holding;
use crate::intervals::Intervals;
use crate::pool::Pool;
use crate::spec::SubnetSpec;
use crate::usage::{Counts, SubnetUsage};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub(crate) net_id: Option<i32>,
    pub(crate) private: bool,
    pub(crate) allowed_namespaces: Vec<String>,
    pub(crate) range: ParsedRange,
    pub(crate) pool: Pool,
}

impl Subnet {
    /// Builds the pool around the addresses that are held. What it was before keeps its position, and
    /// with the same range all of its pool.
    pub(crate) fn load(
        spec: &SubnetSpec,
        range: ParsedRange,
        old: Option<Self>,
        held: &BTreeMap<IpAddr, Holding>,
    ) -> Self {
        let pool = match old {
            Some(old) if old.range == range => old.pool,
            old => Self::pool(spec, &range, old, held),
        };
        Self {
            net_id: spec.net_id,
            private: spec.private,
            allowed_namespaces: spec.allowed_namespaces.clone(),
            range,
            pool,
        }
    }

    fn pool(
        spec: &SubnetSpec,
        range: &ParsedRange,
        old: Option<Self>,
        held: &BTreeMap<IpAddr, Holding>,
    ) -> Pool {
        let family = range.family();
        let old = old.filter(|old| old.range.family() == family);
        let mut cursor = old.map(|old| old.pool.cursor).unwrap_or_default();
        let allocatable: Intervals = range.free().iter().collect();
        let last = spec.last_allocated.as_deref().and_then(parse_ip);
        let last = last.filter(|ip| Family::of(*ip) == family).map(number);
        cursor.restrict(last, |at| allocatable.contains(*at));
        let bounds = family.address(range.first()).zip(family.address(range.last()));
        let in_use = bounds
            .into_iter()
            .flat_map(|(first, last)| held.range(first..=last));
        Pool::new(allocatable, in_use.map(|(ip, _)| number(*ip)), cursor)
    }

    /// The address that comes next.
    pub(crate) fn next(&self) -> Option<IpAddr> {
        self.pool.next().and_then(|number| self.address(number))
    }

    /// The address with this number.
    pub(crate) fn address(&self, number: u128) -> Option<IpAddr> {
        self.range.family().address(number)
    }

    pub(crate) fn usage(&self) -> SubnetUsage {
        let (total, available) = (self.pool.total(), self.pool.available());
        SubnetUsage {
            counts: Counts {
                total,
                used: total - available,
                available,
            },
            last_allocated: self.pool.cursor.get().and_then(|last| self.address(*last)),
        }
    }
}

/// Reads the subnets of a network in the given order: of two with a common address the first one stays.
pub(crate) fn accept<'a>(
    network: &str,
    subnets: &'a [SubnetSpec],
) -> (Vec<(&'a SubnetSpec, ParsedRange)>, Vec<SubnetError>) {
    let mut accepted: Vec<(&SubnetSpec, ParsedRange)> = Vec::new();
    let mut refused = Vec::new();
    let mut names = BTreeSet::new();
    for spec in subnets {
        let fresh = names.insert(&spec.name);
        let checked = check_names(network, spec, fresh).and_then(|()| parse(spec));
        match checked.and_then(|range| check_overlap(range, &accepted)) {
            Ok(range) => accepted.push((spec, range)),
            Err(fault) => refused.push(SubnetError {
                subnet: spec.name.clone(),
                fault,
            }),
        }
    }
    (accepted, refused)
}

fn check_names(network: &str, spec: &SubnetSpec, fresh: bool) -> Result<(), Fault> {
    if spec.name.is_empty() {
        return Err(Fault::NoName);
    }
    if spec.network != network {
        return Err(Fault::OtherNetwork {
            given: spec.network.clone(),
            network: network.to_owned(),
        });
    }
    if fresh { Ok(()) } else { Err(Fault::Duplicate) }
}

fn parse(spec: &SubnetSpec) -> Result<ParsedRange, Fault> {
    let range = ParsedRange::parse(&spec.range)?;
    range.check_usable()?;
    Ok(range)
}

fn check_overlap(range: ParsedRange, accepted: &[(&SubnetSpec, ParsedRange)]) -> Result<ParsedRange, Fault> {
    let overlap = |(other, theirs): &(&SubnetSpec, ParsedRange)| {
        let shared = theirs.first_shared(&range)?;
        Some(Fault::Overlap {
            other: other.name.clone(),
            shared,
            cidr: range.network.to_string(),
        })
    };
    match accepted.iter().find_map(overlap) {
        Some(fault) => Err(fault),
        None => Ok(range),
    }
}
