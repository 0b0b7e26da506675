//! ARP for IPv4 over Ethernet (RFC 826), as frames. The target's MAC in a request is broadcast too, as the Go
//! project has it (datapath spec 6.3).

use std::net::Ipv4Addr;

use super::Heard;
use crate::mac::Mac;

const BROADCAST: Mac = Mac([0xff; 6]);
/// Ethernet type, hardware Ethernet, protocol IPv4, and the lengths of their addresses.
const PREAMBLE: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Request = 1,
    Reply = 2,
}

/// "Who has `target`?", to everybody. Unspecified `sender`: a probe, which tells nobody anything (RFC 5227).
pub(super) fn request(own: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    frame(Operation::Request, own, sender, target)
}

/// A gratuitous request and a reply: between them every neighbour listens to one (RFC 5227, 3).
pub(super) fn announcement(own: Mac, ip: Ipv4Addr) -> [Vec<u8>; 2] {
    [Operation::Request, Operation::Reply].map(|operation| frame(operation, own, ip, ip))
}

fn frame(operation: Operation, own: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend(BROADCAST.0);
    frame.extend(own.0);
    frame.extend(PREAMBLE);
    frame.extend([0, operation as u8]);
    frame.extend(own.0);
    frame.extend(sender.octets());
    frame.extend(BROADCAST.0);
    frame.extend(target.octets());
    frame
}

/// What a frame says, if it is ARP of ours.
pub(super) fn parse(frame: &[u8]) -> Option<Heard> {
    let (preamble, body) = frame.get(12..42)?.split_at_checked(PREAMBLE.len())?;
    let (operation, addresses) = body.split_first_chunk::<2>()?;
    let (mac, rest) = addresses.split_first_chunk::<6>()?;
    let (sender, rest) = rest.split_first_chunk::<4>()?;
    let target: [u8; 4] = rest.get(6..)?.try_into().ok()?;
    let (mac, sender) = (Mac(*mac), Ipv4Addr::from(*sender));
    if preamble != PREAMBLE || !matches!(operation, [0, 1 | 2]) {
        return None;
    }
    let answers = *operation == [0, 2];
    if !sender.is_unspecified() {
        let ip = sender.into();
        return Some(Heard::Claims { ip, mac, answers });
    }
    let ip = Ipv4Addr::from(target).into();
    (!answers).then_some(Heard::Probes { ip, mac })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const POD: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

    #[test]
    fn a_probe_has_these_bytes() {
        let probe = request(OWN, Ipv4Addr::UNSPECIFIED, POD);

        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 1, // a request
            2, 0, 0, 0, 0, 1, 0, 0, 0, 0, // sender
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 10, 0, 0, 5, // target
        ];
        assert_eq!(probe, expected);
    }

    #[test]
    fn an_announcement_is_a_request_and_a_reply_about_oneself() {
        let [request, reply] = announcement(OWN, POD);

        assert_eq!((request[21], reply[21]), (1, 2));
        for frame in [&request, &reply] {
            assert_eq!(frame[..6], [0xff; 6]);
            assert_eq!(frame[28..32], POD.octets(), "sender");
            assert_eq!(frame[32..38], [0xff; 6]);
            assert_eq!(frame[38..], POD.octets(), "target");
        }
    }

    #[test]
    fn probes_and_claims_are_told_apart() {
        let (ip, mac) = (POD.into(), OWN);

        let probe = parse(&request(OWN, Ipv4Addr::UNSPECIFIED, POD));
        let [asks, answers] = announcement(OWN, POD).map(|frame| parse(&frame));

        assert_eq!(probe, Some(Heard::Probes { ip, mac }));
        assert_eq!(
            asks,
            Some(Heard::Claims {
                ip,
                mac,
                answers: false
            })
        );
        assert_eq!(
            answers,
            Some(Heard::Claims {
                ip,
                mac,
                answers: true
            })
        );
    }

    #[test]
    fn padding_is_fine_and_a_cut_frame_says_nothing() {
        let mut frame = request(OWN, POD, POD);
        assert_eq!(parse(&frame[..41]), None);
        frame.resize(60, 0);
        assert!(parse(&frame).is_some());
        frame[17] = 0xdd;
        assert_eq!(parse(&frame), None, "not IPv4");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
