//! What can be wrong with a range: where it stands, what stands there, and what should.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::address::Family;

/// What is wrong with a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Neither 4 nor 6.
    #[error("spec.range.version {0:?} is not supported: use \"4\" or \"6\"")]
    Version(String),
    /// Not an address.
    #[error("{field} {value:?} is not an IP address: write one such as 10.0.0.5 or fd00::5")]
    NotAnAddress {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// Neither `first-last` nor a prefix.
    #[error("{field} {value:?} is not a range: write 10.0.0.5-10.0.0.9 or 10.0.0.8/29")]
    NotARange {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// The last address comes before the first.
    #[error("{field} {value:?} ends before it starts: write {last}-{first}")]
    Backwards {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What stands first.
        first: IpAddr,
        /// What stands last.
        last: IpAddr,
    },
    /// Not a prefix.
    #[error("spec.range.cidr {0:?} is not a CIDR: write it as 10.0.0.0/16 or fd00::/64")]
    NotACidr(String),
    /// Not the first address of the prefix.
    #[error("{field} {value:?} has bits behind its prefix: write {proper}")]
    HostBits {
        /// Where it stands.
        field: &'static str,
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
    #[error(
        "{field} {value:?} is not in spec.range.cidr {cidr}: leave it out, or use addresses of that prefix"
    )]
    Outside {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        value: String,
        /// The prefix.
        cidr: IpNetwork,
    },
    /// The end comes before the start.
    #[error("spec.range.start {start} is after spec.range.end {end}, so no address is available: swap them")]
    Empty {
        /// First address, given or by default.
        start: IpAddr,
        /// Last address, given or by default.
        end: IpAddr,
    },
    /// The gateway is of the other family.
    #[error(
        "spec.range.gateway {value:?} is not an {family} address, as spec.range.version says: use one that is"
    )]
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
