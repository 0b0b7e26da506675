//! The name of the `IPInstance` of an address, and back.

use std::net::IpAddr;

use super::parse_ip;

/// IPv4: dots become dashes. IPv6: always eight groups without leading zeros, so that no name starts or
/// ends with a dash (control-plane spec 1.6).
pub fn object_name(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().map(|octet| octet.to_string()).join("-"),
        IpAddr::V6(ip) => ip.segments().map(|group| format!("{group:x}")).join("-"),
    }
}

/// The address that a name of [`object_name`] stands for.
pub fn from_object_name(name: &str) -> Option<IpAddr> {
    let separator = if name.matches('-').count() == 7 { ":" } else { "." };
    parse_ip(&name.replace('-', separator))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    /// Scenario 20: addresses as object names and back.
    /// Scenario 21: names never start or end with a dash.
    #[test]
    fn names_are_those_of_the_original_and_never_start_or_end_with_a_dash() {
        for (address, name) in [
            ("192.168.0.1", "192-168-0-1"),
            ("234e:0:4567::5f", "234e-0-4567-0-0-0-0-5f"),
            ("fe80::1", "fe80-0-0-0-0-0-0-1"),
            ("::1", "0-0-0-0-0-0-0-1"),
            ("2001:db8::", "2001-db8-0-0-0-0-0-0"),
            ("2001:DB8::A", "2001-db8-0-0-0-0-0-a"),
        ] {
            let ip = parse_ip(address).unwrap();
            assert_eq!(object_name(ip), name);
            assert_eq!(from_object_name(name), Some(ip));
        }
    }

    #[test]
    fn other_names_are_no_address() {
        for name in ["", "web-0", "10-0-0", "10-0-0-256", "a-b-c-d-e-f-0-g"] {
            assert_eq!(from_object_name(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_address_survives_being_a_name(bits: u128) {
            let ip = IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical();
            prop_assert_eq!(from_object_name(&object_name(ip)), Some(ip));
        }
    }
}
