//! Neighbour discovery over Ethernet (RFC 4861), as frames. What is heard counts only with hop limit 255 and the
//! right checksum: it comes from this segment (RFC 4861, 7.1).

use std::net::Ipv6Addr;

use super::Heard;
use crate::mac::Mac;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const NEXT_HEADER: u8 = 58;
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const OVERRIDE: u8 = 0x20;
/// Of Ethernet and IPv6.
const HEADERS: usize = 14 + 40;

/// "Who has `target`?", to the group of such addresses. From the unspecified address it is a probe, and tells
/// nobody a MAC (RFC 4862, 5.4.2).
pub(super) fn solicitation(own: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    if !source.is_unspecified() {
        message.extend([SOURCE_MAC, 1]);
        message.extend(own.0);
    }
    frame(own, source, solicited_node(target), message)
}

/// "`ip` is at `own`, whatever you thought", to all.
pub(super) fn announcement(own: Mac, source: Ipv6Addr, ip: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(ip.octets());
    message.extend([TARGET_MAC, 1]);
    message.extend(own.0);
    frame(own, source, ALL_NODES, message)
}

/// The group that those who have an address listen to (RFC 4291, 2.7.1).
pub(super) fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn frame(own: Mac, source: Ipv6Addr, group: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(source, group, &message).to_be_bytes();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum);
    }
    let [.., a, b, c, d] = group.octets();
    let [high, low] = u16::try_from(message.len()).unwrap_or_default().to_be_bytes();
    let mut frame = Vec::with_capacity(HEADERS + message.len());
    frame.extend([0x33, 0x33, a, b, c, d]);
    frame.extend(own.0);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, NEXT_HEADER, 255]);
    frame.extend(source.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// RFC 4443, 2.3. Zero over a message that carries its own.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut sum = u32::from(NEXT_HEADER) + u32::try_from(message.len()).unwrap_or_default();
    for part in [&source.octets()[..], &destination.octets()[..], message] {
        for pair in part.chunks(2) {
            let (high, low) = (pair.first().copied(), pair.get(1).copied());
            sum += u32::from(u16::from_be_bytes([high.unwrap_or(0), low.unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// What a frame says, if it is neighbour discovery as it must be.
pub(super) fn parse(frame: &[u8]) -> Option<Heard> {
    let (headers, rest) = frame.split_first_chunk::<HEADERS>()?;
    let [
        _,
        _,
        _,
        _,
        _,
        _,
        m0,
        m1,
        m2,
        m3,
        m4,
        m5,
        0x86,
        0xdd,
        version,
        _,
        _,
        _,
        high,
        low,
        NEXT_HEADER,
        255,
        addresses @ ..,
    ] = headers
    else {
        return None;
    };
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    let (source, destination): (_, [u8; 16]) = (Ipv6Addr::from(*source), destination.try_into().ok()?);
    let message = rest.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    if version >> 4 != 6 || checksum(source, destination.into(), message) != 0 {
        return None;
    }
    let (head, options) = message.split_at_checked(24)?;
    let [kind, 0, _, _, _, _, _, _, target @ ..] = head else {
        return None;
    };
    let ip = Ipv6Addr::from(<[u8; 16]>::try_from(target).ok()?).into();
    let options = Options(options);
    match *kind {
        ADVERTISEMENT => {
            let mac = options.mac(TARGET_MAC)?;
            Some(Heard::Claims {
                ip,
                mac,
                answers: true,
            })
        }
        SOLICITATION if source.is_unspecified() => {
            let mac = Mac([*m0, *m1, *m2, *m3, *m4, *m5]);
            Some(Heard::Probes { ip, mac })
        }
        _ => None,
    }
}

/// Type, length in units of eight octets, value.
struct Options<'a>(&'a [u8]);

impl Options<'_> {
    /// A length of zero ends the list: whoever sends it means harm (RFC 4861, 4.6).
    fn mac(&self, wanted: u8) -> Option<Mac> {
        let mut rest = self.0;
        while let [kind, length, ..] = rest {
            let (option, next) = rest.split_at_checked(usize::from(*length) * 8)?;
            let value = option.get(2..)?;
            if *kind == wanted {
                return Some(Mac(value.try_into().ok()?));
            }
            rest = next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn a_probe_has_no_source_and_no_mac_and_goes_to_the_group_of_its_target() {
        let probe = solicitation(OWN, Ipv6Addr::UNSPECIFIED, ip("fd00::12:3456"));

        assert_eq!(probe.len(), HEADERS + 24);
        assert_eq!(probe[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!(probe[22..38], [0; 16]);
        assert_eq!(probe[38..54], ip("ff02::1:ff12:3456").octets());
        let heard = Heard::Probes {
            ip: ip("fd00::12:3456").into(),
            mac: OWN,
        };
        assert_eq!(parse(&probe), Some(heard));
    }

    #[test]
    fn a_question_to_the_gateway_carries_our_mac() {
        let question = solicitation(OWN, ip("fe80::1"), ip("fd00::1"));

        assert_eq!(question[HEADERS + 24..], [1, 1, 2, 0, 0, 0, 0, 1]);
        assert_eq!(parse(&question), None, "a question claims nothing");
    }

    #[test]
    fn an_announcement_overrides_and_goes_to_all() {
        let announcement = announcement(OWN, ip("fe80::1"), ip("fd00::5"));

        assert_eq!(announcement[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(announcement[HEADERS], 136);
        assert_eq!(
            announcement[HEADERS + 4],
            0x20,
            "override, not solicited, not a router"
        );
        assert_eq!(announcement[HEADERS + 24..], [2, 1, 2, 0, 0, 0, 0, 1]);
        let heard = Heard::Claims {
            ip: ip("fd00::5").into(),
            mac: OWN,
            answers: true,
        };
        assert_eq!(parse(&announcement), Some(heard));
    }

    #[test]
    fn what_came_through_a_router_or_was_damaged_is_not_heard() {
        let whole = announcement(OWN, ip("fe80::1"), ip("fd00::5"));
        for at in [
            18,
            20,
            21,
            30,
            HEADERS,
            HEADERS + 1,
            HEADERS + 10,
            HEADERS + 25,
            whole.len() - 1,
        ] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged), None, "octet {at}");
        }
    }

    #[test]
    fn an_option_without_a_length_ends_the_list() {
        assert_eq!(Options(&[1, 0, 0, 0, 0, 0, 0, 0]).mac(TARGET_MAC), None);
        assert_eq!(Options(&[2, 0]).mac(TARGET_MAC), None);
        assert_eq!(
            Options(&[14, 1, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 1]).mac(TARGET_MAC),
            Some(OWN)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            options in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = parse(&bytes);
            let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0];
            message.extend([0; 16]);
            message.extend(options);
            let _ = parse(&frame(OWN, Ipv6Addr::LOCALHOST, ALL_NODES, message));
        }
    }
}
