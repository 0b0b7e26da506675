//! IPv4 and IPv6 as a parameter: addresses as numbers of one width.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// How many bits an address has.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address with this number; a number too large for IPv4 is the last address.
    pub(crate) fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            Self::V6 => Ipv6Addr::from(number).into(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The families that a pod wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Families {
    /// One IPv4 address.
    #[default]
    Ipv4Only,
    /// One IPv6 address.
    Ipv6Only,
    /// One address of each, IPv4 first; both or none.
    DualStack,
}

impl Families {
    /// The families in the order of results.
    pub fn list(self) -> &'static [Family] {
        match self {
            Self::Ipv4Only => &[Family::V4],
            Self::Ipv6Only => &[Family::V6],
            Self::DualStack => &[Family::V4, Family::V6],
        }
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Only => "IPv4",
            Self::Ipv6Only => "IPv6",
            Self::DualStack => "DualStack",
        })
    }
}

/// The address as a number.
pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The name of the `IPInstance` of an address: dots or colons become dashes, IPv6 with all eight groups
/// (control-plane spec 1.6, `ToDNSFormat`).
pub(crate) fn instance_name(ip: IpAddr) -> String {
    let parts: Vec<String> = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().iter().map(u8::to_string).collect(),
        IpAddr::V6(ip) => ip.segments().iter().map(|group| format!("{group:x}")).collect(),
    };
    parts.join("-")
}
