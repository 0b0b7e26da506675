//! One subnet of a network: its checked range and its pool.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::cursor::Cursor;
use crate::error::{Fault, SubnetError};
use crate::family::{Family, number};
use crate::holding::Holding;
use crate::pool::Pool;
use crate::range::Range;
use crate::spec::SubnetSpec;
use crate::usage::{Counts, SubnetUsage};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub(crate) net_id: Option<i32>,
    pub(crate) private: bool,
    pub(crate) range: Range,
    pub(crate) pool: Pool,
}

impl Subnet {
    /// Builds the pool around the addresses that are held. What it was before keeps its position, and
    /// with the same range all of its pool.
    pub(crate) fn load(
        spec: &SubnetSpec,
        range: Range,
        old: Option<Self>,
        held: &BTreeMap<IpAddr, Holding>,
    ) -> Self {
        let (net_id, private) = (spec.net_id, spec.private);
        let mut cursor = match old {
            Some(old) if old.range == range => {
                return Self {
                    net_id,
                    private,
                    ..old
                };
            }
            Some(old) if old.range.family == range.family => old.pool.cursor,
            _ => Cursor::default(),
        };
        let allocatable = range.allocatable();
        let last = spec.last_allocated.as_ref().and_then(|text| text.parse().ok());
        let last = last.filter(|ip| Family::of(*ip) == range.family).map(number);
        cursor.restrict(last, |at| allocatable.contains(*at));
        let bounds = range.family.address(range.start)..=range.family.address(range.end);
        let in_use = held.range(bounds).map(|(ip, _)| number(*ip));
        Self {
            net_id,
            private,
            pool: Pool::new(allocatable, in_use, cursor),
            range,
        }
    }

    pub(crate) fn usage(&self) -> SubnetUsage {
        let (total, available) = (self.pool.total(), self.pool.available());
        SubnetUsage {
            counts: Counts {
                total,
                used: total - available,
                available,
            },
            last_allocated: self
                .pool
                .cursor
                .get()
                .map(|last| self.range.family.address(*last)),
        }
    }
}

/// Reads the subnets of a network in the given order: of two with a common address the first one stays.
pub(crate) fn accept<'a>(
    network: &str,
    subnets: &'a [SubnetSpec],
) -> (Vec<(&'a SubnetSpec, Range)>, Vec<SubnetError>) {
    let mut accepted: Vec<(&SubnetSpec, Range)> = Vec::new();
    let mut refused = Vec::new();
    let mut names = BTreeSet::new();
    for spec in subnets {
        let fresh = names.insert(&spec.name);
        let checked = check_names(network, spec, fresh).and_then(|()| Range::parse(spec));
        match checked.and_then(|range| check_overlap(spec, range, &accepted)) {
            Ok(range) => accepted.push((spec, range)),
            Err(error) => refused.push(error),
        }
    }
    (accepted, refused)
}

fn check_names(network: &str, spec: &SubnetSpec, fresh: bool) -> Result<(), SubnetError> {
    let (field, value, fault) = if spec.name.is_empty() {
        ("metadata.name", &spec.name, Fault::Empty)
    } else if spec.network != network {
        (
            "spec.network",
            &spec.network,
            Fault::OtherNetwork {
                network: network.to_owned(),
            },
        )
    } else if !fresh {
        ("metadata.name", &spec.name, Fault::Duplicate)
    } else {
        return Ok(());
    };
    Err(SubnetError {
        subnet: spec.name.clone(),
        field,
        value: value.clone(),
        fault,
    })
}

fn check_overlap(
    spec: &SubnetSpec,
    range: Range,
    accepted: &[(&SubnetSpec, Range)],
) -> Result<Range, SubnetError> {
    let Some((other, theirs)) = accepted.iter().find(|(_, theirs)| theirs.overlaps(&range)) else {
        return Ok(range);
    };
    let text = |number| theirs.family.address(number);
    let fault = Fault::Overlap {
        other: other.name.clone(),
        range: format!("{}-{}", text(theirs.start), text(theirs.end)),
    };
    Err(SubnetError {
        subnet: spec.name.clone(),
        field: "spec.range.cidr",
        value: spec.cidr.clone(),
        fault,
    })
}
