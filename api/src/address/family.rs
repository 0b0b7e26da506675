//! The two families, and addresses as numbers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4: 32 bits.
    V4,
    /// IPv6: 128 bits.
    V6,
}

impl Family {
    /// The family of an address; an IPv4-mapped IPv6 address counts as IPv4.
    pub const fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Reads `"4"` or `"6"`, as `spec.range.version` and `spec.address.version` have it.
    pub fn from_version(version: &str) -> Option<Self> {
        match version {
            "4" => Some(Self::V4),
            "6" => Some(Self::V6),
            _ => None,
        }
    }

    /// `"4"` or `"6"`.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
        }
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address with this number; nothing when the number is too large for the family.
    pub fn address(self, number: u128) -> Option<IpAddr> {
        match self {
            Self::V4 => u32::try_from(number)
                .ok()
                .map(|bits| Ipv4Addr::from_bits(bits).into()),
            Self::V6 => Some(Ipv6Addr::from_bits(number).into()),
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

/// The address as a number; the family says how wide it is.
pub const fn number(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_bits() as u128,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_survives_being_a_number(bits: u128, v4: u32) {
            let v6 = IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical();
            prop_assert_eq!(Family::of(v6).address(number(v6)), Some(v6));
            let v4 = IpAddr::from(Ipv4Addr::from_bits(v4));
            prop_assert_eq!(Family::V4.address(number(v4)), Some(v4));
        }
    }

    #[test]
    fn a_number_beyond_the_family_is_no_address() {
        assert_eq!(Family::V4.address(1 << 32), None);
    }
}
