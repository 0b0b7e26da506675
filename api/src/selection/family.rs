//! How many addresses a pod gets, and of which families.

use std::fmt;

use crate::address::Family;

/// Families of a pod's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodFamily {
    /// One IPv4 address.
    #[default]
    Ipv4Only,
    /// One IPv6 address.
    Ipv6Only,
    /// One of each, IPv4 first.
    DualStack,
}

impl PodFamily {
    /// What users may write, for messages.
    pub const WORDS: &'static str = "IPv4, IPv4Only, IPv6, IPv6Only, DualStack";

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4Only => "IPv4Only",
            Self::Ipv6Only => "IPv6Only",
            Self::DualStack => "DualStack",
        }
    }

    /// As users write it: in any case, `IPv4` for `IPv4Only`.
    pub fn parse_ignoring_case(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "ipv4" | "ipv4only" => Some(Self::Ipv4Only),
            "ipv6" | "ipv6only" => Some(Self::Ipv6Only),
            "dualstack" => Some(Self::DualStack),
            _ => None,
        }
    }

    /// The families, IPv4 first.
    pub const fn families(self) -> &'static [Family] {
        match self {
            Self::Ipv4Only => &[Family::V4],
            Self::Ipv6Only => &[Family::V6],
            Self::DualStack => &[Family::V4, Family::V6],
        }
    }
}

impl fmt::Display for PodFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
