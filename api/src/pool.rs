//! `ip-pool` and `mac-pool` of stateful workloads: one section an ordinal (control-plane spec 4.3.6).
//!
//! `192.168.56.101/2001:db8::65,192.168.56.102/2001:db8::66` are the addresses of two dual-stack pods.

use std::net::IpAddr;

use crate::address::{Family, parse_ip};
use crate::mac;

/// What is wrong with a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Nothing between two commas.
    #[error("section {section} of the pool is empty: write one entry for each ordinal, between commas")]
    Empty {
        /// Counted from 0, as ordinals are.
        section: usize,
    },
    /// The workload has more pods than the pool has sections.
    #[error("the pool has no section {ordinal}: it has {sections}; add one for each pod")]
    Short {
        /// Of the pod.
        ordinal: i32,
        /// How many there are.
        sections: usize,
    },
    /// Not an address.
    #[error("{entry:?} in section {section} of the pool is not an IP address")]
    NotAnAddress {
        /// Counted from 0.
        section: usize,
        /// What stands there.
        entry: String,
    },
    /// Neither one address nor one of each family.
    #[error(
        "section {section} of the pool {text:?}: write one address, or an IPv4, a slash and an IPv6 address"
    )]
    Combination {
        /// Counted from 0.
        section: usize,
        /// What stands there.
        text: String,
    },
    /// Not a MAC.
    #[error("{entry:?} in section {section} of the pool is not a MAC address")]
    NotAMac {
        /// Counted from 0.
        section: usize,
        /// What stands there.
        entry: String,
    },
}

/// All sections of an `ip-pool`.
pub fn ip_sections(pool: &str) -> Result<Vec<Vec<IpAddr>>, PoolError> {
    pool.split(',').enumerate().map(ip_section).collect()
}

/// The addresses of the pod with this ordinal. Other sections are not looked at.
pub fn ip_entry(pool: &str, ordinal: i32) -> Result<Vec<IpAddr>, PoolError> {
    ip_section(section(pool, ordinal)?)
}

/// All sections of a `mac-pool`, normalised.
pub fn mac_sections(pool: &str) -> Result<Vec<String>, PoolError> {
    pool.split(',').enumerate().map(mac_section).collect()
}

/// The normalised MAC of the pod with this ordinal. Other sections are not looked at.
pub fn mac_entry(pool: &str, ordinal: i32) -> Result<String, PoolError> {
    mac_section(section(pool, ordinal)?)
}

fn section(pool: &str, ordinal: i32) -> Result<(usize, &str), PoolError> {
    let index = usize::try_from(ordinal).unwrap_or(usize::MAX);
    let found = pool.split(',').nth(index).map(|text| (index, text));
    found.ok_or_else(|| PoolError::Short {
        ordinal,
        sections: pool.split(',').count(),
    })
}

fn ip_section((section, text): (usize, &str)) -> Result<Vec<IpAddr>, PoolError> {
    if text.is_empty() {
        return Err(PoolError::Empty { section });
    }
    let one = |entry: &str| {
        parse_ip(entry).ok_or_else(|| PoolError::NotAnAddress {
            section,
            entry: entry.to_owned(),
        })
    };
    let addresses: Vec<_> = text.split('/').map(one).collect::<Result<_, _>>()?;
    let is_known = match addresses.as_slice() {
        [_] => true,
        [first, second] => (Family::of(*first), Family::of(*second)) == (Family::V4, Family::V6),
        _ => false,
    };
    is_known
        .then_some(addresses)
        .ok_or_else(|| PoolError::Combination {
            section,
            text: text.to_owned(),
        })
}

fn mac_section((section, entry): (usize, &str)) -> Result<String, PoolError> {
    if entry.is_empty() {
        return Err(PoolError::Empty { section });
    }
    mac::normalize(entry).ok_or_else(|| PoolError::NotAMac {
        section,
        entry: entry.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn each_pod_has_its_section() {
        let pool = "192.168.56.10,192.168.56.11/fd00::11,FD00::12";
        assert_eq!(ip_entry(pool, 0), Ok(ips(&["192.168.56.10"])));
        assert_eq!(ip_entry(pool, 1), Ok(ips(&["192.168.56.11", "fd00::11"])));
        assert_eq!(ip_entry(pool, 2), Ok(ips(&["fd00::12"])));
        assert_eq!(ip_sections(pool).map(|sections| sections.len()), Ok(3));
    }

    #[test]
    fn a_section_that_is_missing_empty_or_wrong_is_named() {
        for (pool, ordinal, said) in [
            ("10.0.0.1,10.0.0.2", 2, "no section 2: it has 2"),
            ("10.0.0.1", crate::names::NO_ORDINAL, "no section 2147483647"),
            ("10.0.0.1,,10.0.0.2", 1, "section 1 of the pool is empty"),
            ("abc", 0, "\"abc\" in section 0"),
            ("fe80::10/192.168.56.10", 0, "write one address, or an IPv4"),
            ("10.0.0.1/10.0.0.2", 0, "write one address, or an IPv4"),
            ("10.0.0.1/fd00::1/fd00::2", 0, "write one address, or an IPv4"),
            ("10.0.0.1/", 0, "\"\" in section 0"),
        ] {
            let error = ip_entry(pool, ordinal).unwrap_err().to_string();
            assert!(error.contains(said), "{pool}: {error}");
        }
    }

    #[test]
    fn one_wrong_section_does_not_harm_the_pods_of_others() {
        assert_eq!(ip_entry("10.0.0.1,abc", 0), Ok(ips(&["10.0.0.1"])));
        assert!(ip_sections("10.0.0.1,abc").is_err());
    }

    #[test]
    fn macs_are_normalised() {
        let pool = "00-16-EA-AE-3C-40,08:00:20:0a:8c:6d";
        assert_eq!(mac_entry(pool, 0).as_deref(), Ok("00:16:ea:ae:3c:40"));
        assert_eq!(mac_sections(pool).map(|macs| macs.len()), Ok(2));
        assert_eq!(mac_entry(",", 1), Err(PoolError::Empty { section: 1 }));
        let error = mac_sections("zz").unwrap_err().to_string();
        assert!(error.contains("\"zz\""), "{error}");
    }
}
