//! A subnet's addresses, read from the user's texts and checked (control-plane spec 3.1).

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::error::{Fault, SubnetError};
use crate::family::{Family, number};
use crate::intervals::Intervals;
use crate::spec::SubnetSpec;

/// Checked numbers. Everything lies in the CIDR, except excluded and reserved addresses: outside they
/// mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) family: Family,
    pub(crate) prefix_len: u8,
    pub(crate) start: u128,
    pub(crate) end: u128,
    pub(crate) gateway: Option<u128>,
    excluded: BTreeSet<u128>,
    reserved: BTreeSet<u128>,
}

impl Range {
    /// Reads the range of a subnet; the first fault wins.
    pub(crate) fn parse(spec: &SubnetSpec) -> Result<Self, SubnetError> {
        let field = |name, value: &str| Field {
            subnet: &spec.name,
            name,
            value: value.to_owned(),
        };
        let cidr = Cidr::parse(&field("spec.range.cidr", &spec.cidr))?;
        cidr.check_version(&field("spec.range.version", &spec.version))?;
        let inside = |name, value: &Option<String>| match value.as_deref().unwrap_or_default() {
            "" => Ok(None),
            text => cidr.inside(&field(name, text)).map(Some),
        };
        let start = inside("spec.range.start", &spec.start)?.unwrap_or(cidr.first);
        let end = inside("spec.range.end", &spec.end)?.unwrap_or(cidr.last);
        if start > end {
            let end = cidr.family.address(end);
            let text = cidr.family.address(start).to_string();
            return Err(field("spec.range.start", &text).is(Fault::StartAfterEnd { end }));
        }
        let gateway = inside("spec.range.gateway", &spec.gateway)?;
        let listed = |name, list: &[String]| -> Result<BTreeSet<u128>, SubnetError> {
            list.iter()
                .map(|text| cidr.same_family(&field(name, text)))
                .collect()
        };
        Ok(Self {
            family: cidr.family,
            prefix_len: cidr.prefix_len,
            start,
            end,
            gateway,
            excluded: listed("spec.range.excludeIPs", &spec.excluded)?,
            reserved: listed("spec.range.reservedIPs", &spec.reserved)?,
        })
    }

    /// Whether an address may be used at all, by choice or by assignment.
    pub(crate) fn contains(&self, number: u128) -> bool {
        (self.start..=self.end).contains(&number)
            && self.gateway != Some(number)
            && !self.excluded.contains(&number)
    }

    /// Whether an address is kept for assignment.
    pub(crate) fn is_reserved(&self, number: u128) -> bool {
        self.reserved.contains(&number)
    }

    /// What may be chosen: the range less gateway, excluded and reserved addresses.
    pub(crate) fn allocatable(&self) -> Intervals {
        let mut numbers = Intervals::of(self.start, self.end);
        for number in self.excluded.iter().chain(&self.reserved).chain(&self.gateway) {
            numbers.remove(*number);
        }
        numbers
    }

    /// Whether both have an address in common; excluded ones do not count (control-plane spec 1.6).
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        if self.family != other.family || start > end {
            return false;
        }
        let excluded: BTreeSet<&u128> = self
            .excluded
            .range(start..=end)
            .chain(other.excluded.range(start..=end))
            .collect();
        end - start >= excluded.len() as u128
    }
}

/// One field of one subnet: what an error is about.
struct Field<'a> {
    subnet: &'a str,
    name: &'static str,
    value: String,
}

impl Field<'_> {
    fn is(&self, fault: Fault) -> SubnetError {
        SubnetError {
            subnet: self.subnet.to_owned(),
            field: self.name,
            value: self.value.clone(),
            fault,
        }
    }
}

struct Cidr {
    family: Family,
    prefix_len: u8,
    base: u128,
    /// First usable address.
    first: u128,
    /// Last usable address.
    last: u128,
}

impl Cidr {
    fn parse(field: &Field<'_>) -> Result<Self, SubnetError> {
        if field.value.is_empty() {
            return Err(field.is(Fault::Empty));
        }
        let parts = field.value.split_once('/');
        let address = parts.and_then(|(address, _)| address.parse::<IpAddr>().ok());
        let prefix_len = parts.and_then(|(_, prefix)| prefix.parse::<u8>().ok());
        let (Some(address), Some(prefix_len)) = (address, prefix_len) else {
            return Err(field.is(Fault::NotACidr));
        };
        let family = Family::of(address);
        if prefix_len > family.bits() {
            return Err(field.is(Fault::NotACidr));
        }
        let longest = family.bits() - 2;
        if prefix_len > longest {
            return Err(field.is(Fault::TooSmall { longest }));
        }
        let size = u32::from(family.bits() - prefix_len);
        let hosts = u128::MAX >> (128 - size);
        let base = number(address) & !hosts;
        if base != number(address) {
            let base = format!("{}/{prefix_len}", family.address(base));
            return Err(field.is(Fault::HostBits { base }));
        }
        let broadcast = base | hosts;
        let last = if family == Family::V4 {
            broadcast - 1
        } else {
            broadcast
        };
        Ok(Self {
            family,
            prefix_len,
            base,
            first: base + 1,
            last,
        })
    }

    fn check_version(&self, field: &Field<'_>) -> Result<(), SubnetError> {
        let version = match field.value.as_str() {
            "" => return Ok(()),
            "4" => Family::V4,
            "6" => Family::V6,
            _ => return Err(field.is(Fault::UnknownVersion)),
        };
        if version == self.family {
            Ok(())
        } else {
            Err(field.is(Fault::WrongFamily { wanted: self.family }))
        }
    }

    fn same_family(&self, field: &Field<'_>) -> Result<u128, SubnetError> {
        let ip: IpAddr = field.value.parse().map_err(|_| field.is(Fault::NotAnAddress))?;
        if Family::of(ip) == self.family {
            Ok(number(ip))
        } else {
            Err(field.is(Fault::WrongFamily { wanted: self.family }))
        }
    }

    fn inside(&self, field: &Field<'_>) -> Result<u128, SubnetError> {
        let address = self.same_family(field)?;
        let hosts = u128::MAX >> (128 - u32::from(self.family.bits() - self.prefix_len));
        if address & !hosts == self.base {
            return Ok(address);
        }
        let cidr = format!("{}/{}", self.family.address(self.base), self.prefix_len);
        Err(field.is(Fault::OutsideCidr { cidr }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(cidr: &str) -> SubnetSpec {
        SubnetSpec {
            name: "s".into(),
            cidr: cidr.into(),
            ..SubnetSpec::default()
        }
    }

    fn between(cidr: &str, start: &str, end: &str, excluded: &[&str]) -> Range {
        let spec = SubnetSpec {
            start: Some(start.into()),
            end: Some(end.into()),
            excluded: excluded.iter().map(ToString::to_string).collect(),
            ..subnet(cidr)
        };
        Range::parse(&spec).expect("a good range")
    }

    #[test]
    fn defaults_leave_out_network_and_broadcast_address() {
        for (cidr, count) in [
            ("192.168.0.0/24", 254),
            ("fe20::/120", 255),
            ("10.0.0.0/30", 2),
            ("0.0.0.0/0", 4_294_967_294),
        ] {
            let range = Range::parse(&subnet(cidr)).expect("a good range");
            assert_eq!(range.allocatable().count(), count, "{cidr}");
        }
        let all = Range::parse(&subnet("::/0")).expect("a good range");
        assert_eq!(all.allocatable().count(), u128::MAX);
    }

    #[test]
    fn texts_are_compared_as_addresses() {
        let spec = SubnetSpec {
            reserved: vec!["FD00::0005".into()],
            ..subnet("fd00::/120")
        };
        let range = Range::parse(&spec).expect("a good range");
        let five = number("fd00::5".parse().expect("an address"));
        assert!(range.is_reserved(five) && range.contains(five));
        assert!(!range.allocatable().contains(five));
    }

    #[test]
    fn a_fault_names_subnet_field_value_and_the_way_out() {
        let some = |text: &str| Some(text.to_owned());
        let base = subnet("10.0.0.0/24");
        let cases = [
            (subnet(""), "subnet s: spec.range.cidr \"\" must not be empty"),
            (
                subnet("10.0.0/24"),
                "subnet s: spec.range.cidr \"10.0.0/24\" is not a CIDR: write address/prefix length, such as 10.0.0.0/24",
            ),
            (
                subnet("10.0.0.0/33"),
                "subnet s: spec.range.cidr \"10.0.0.0/33\" is not a CIDR: write address/prefix length, such as 10.0.0.0/24",
            ),
            (
                subnet("10.0.0.9/24"),
                "subnet s: spec.range.cidr \"10.0.0.9/24\" has host bits set: write 10.0.0.0/24",
            ),
            (
                subnet("10.0.0.0/31"),
                "subnet s: spec.range.cidr \"10.0.0.0/31\" is too small: the longest prefix is /30",
            ),
            (
                subnet("fd00::/127"),
                "subnet s: spec.range.cidr \"fd00::/127\" is too small: the longest prefix is /126",
            ),
            (
                SubnetSpec {
                    version: "5".into(),
                    ..base.clone()
                },
                "subnet s: spec.range.version \"5\" is not an IP version: write \"4\" or \"6\"",
            ),
            (
                SubnetSpec {
                    version: "6".into(),
                    ..base.clone()
                },
                "subnet s: spec.range.version \"6\" is not IPv4, the family of the subnet's CIDR",
            ),
            (
                SubnetSpec {
                    start: some("10.0"),
                    ..base.clone()
                },
                "subnet s: spec.range.start \"10.0\" is not an IP address",
            ),
            (
                SubnetSpec {
                    end: some("10.0.1.7"),
                    ..base.clone()
                },
                "subnet s: spec.range.end \"10.0.1.7\" is not in 10.0.0.0/24: choose an address in it",
            ),
            (
                SubnetSpec {
                    start: some("10.0.0.9"),
                    end: some("10.0.0.8"),
                    ..base.clone()
                },
                "subnet s: spec.range.start \"10.0.0.9\" is after the end 10.0.0.8: the range has no address",
            ),
            (
                SubnetSpec {
                    gateway: some("fd00::1"),
                    ..base.clone()
                },
                "subnet s: spec.range.gateway \"fd00::1\" is not IPv4, the family of the subnet's CIDR",
            ),
            (
                SubnetSpec {
                    reserved: vec!["x".into()],
                    ..base.clone()
                },
                "subnet s: spec.range.reservedIPs \"x\" is not an IP address",
            ),
            (
                SubnetSpec {
                    excluded: vec!["y".into()],
                    ..base
                },
                "subnet s: spec.range.excludeIPs \"y\" is not an IP address",
            ),
        ];
        for (spec, message) in cases {
            assert_eq!(Range::parse(&spec).expect_err(message).to_string(), message);
        }
    }

    #[test]
    fn ranges_overlap_by_addresses_that_neither_excludes() {
        let cidr = "192.168.1.0/24";
        let low = between(cidr, "192.168.1.10", "192.168.1.50", &[]);
        let cases = [
            (between(cidr, "192.168.1.51", "192.168.1.100", &[]), false),
            (between(cidr, "192.168.1.50", "192.168.1.100", &[]), true),
            (
                between(
                    cidr,
                    "192.168.1.49",
                    "192.168.1.100",
                    &["192.168.1.49", "192.168.1.50"],
                ),
                false,
            ),
            (
                between(cidr, "192.168.1.49", "192.168.1.100", &["192.168.1.100"]),
                true,
            ),
            (Range::parse(&subnet("fd00::/64")).expect("a good range"), false),
        ];
        for (other, expected) in cases {
            assert_eq!(
                (low.overlaps(&other), other.overlaps(&low)),
                (expected, expected),
                "{other:?}"
            );
        }
        let wide = Range::parse(&subnet("fd00::/64")).expect("a good range");
        assert!(wide.overlaps(&wide.clone()));
    }
}
