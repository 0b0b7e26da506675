//! One question to a new pod: does it answer (datapath spec 2.9)? The first probe goes out at once, the next
//! ones soon after, since a pod usually answers within a millisecond and its ADD waits for it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::kernel::names::is_global_unicast;

/// Pauses after the first probes; the last one repeats until [`LIMIT`].
const PAUSES: [Duration; 6] = [
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
    Duration::from_millis(320),
    Duration::from_millis(640),
];
const LIMIT: Duration = Duration::from_secs(5);

/// Several pings to one pod may be under way, of an ADD and of the one that follows it.
static IDENTIFIERS: AtomicU16 = AtomicU16::new(0);

/// What became of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// The pod answered.
    Answered,
    /// This node has no address of the family to ask from.
    NoSource,
    /// It did not answer within five seconds.
    Silent {
        /// Probes that were sent.
        attempts: usize,
    },
}

/// Asks `ip` until it answers. Needs a raw socket (`CAP_NET_RAW`).
pub async fn ping(ip: IpAddr) -> io::Result<Echo> {
    let Some(socket) = connect(ip)? else {
        return Ok(Echo::NoSource);
    };
    let identifier = IDENTIFIERS.fetch_add(1, Ordering::Relaxed);

    let end = Instant::now() + LIMIT;
    let mut attempts = 0;
    while Instant::now() < end {
        let pause = PAUSES.get(attempts).or(PAUSES.last()).copied().unwrap_or(LIMIT);
        // The kernel may refuse while it still looks for the neighbour; the next probe says more.
        let _ = socket.send(&request(ip.is_ipv6(), identifier, attempts)).await;
        attempts += 1;
        let until = end.min(Instant::now() + pause);
        if timeout_at(until, hear(&socket, ip.is_ipv6(), identifier))
            .await
            .is_ok()
        {
            return Ok(Echo::Answered);
        }
    }
    Ok(Echo::Silent { attempts })
}

/// A connected socket hears only the pod. Nothing when the kernel finds no address to send from.
fn connect(ip: IpAddr) -> io::Result<Option<UdpSocket>> {
    let (domain, protocol) = match ip {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
    match socket.connect(&SocketAddr::new(ip, 0).into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => return Ok(None),
        Err(error) => return Err(error),
    }
    let source = socket.local_addr()?.as_socket().map(|source| source.ip());
    if !source.is_some_and(is_global_unicast) {
        return Ok(None);
    }
    // Tokio has no type for raw sockets. A connected one is read and written like this.
    UdpSocket::from_std(socket.into()).map(Some)
}

async fn hear(socket: &UdpSocket, v6: bool, identifier: u16) {
    let mut buffer = [0; 256];
    loop {
        // Errors such as "host unreachable" are not the answer, and not the end.
        let length = socket.recv(&mut buffer).await.unwrap_or_default();
        if is_answer(buffer.get(..length).unwrap_or_default(), v6, identifier) {
            return;
        }
    }
}

/// An echo request without data. The kernel fills in the checksum of `ICMPv6`, not that of ICMP.
fn request(v6: bool, identifier: u16, sequence: usize) -> [u8; 8] {
    let [id_high, id_low] = identifier.to_be_bytes();
    let [sequence_high, sequence_low] = u16::try_from(sequence).unwrap_or_default().to_be_bytes();
    let kind = if v6 { 128 } else { 8 };
    let mut message = [kind, 0, 0, 0, id_high, id_low, sequence_high, sequence_low];
    if !v6 {
        let sum = checksum(&message).to_be_bytes();
        [message[2], message[3]] = sum;
    }
    message
}

/// RFC 1071, of an even number of octets.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks_exact(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// Raw IPv4 sockets deliver the IP header too.
fn is_answer(packet: &[u8], v6: bool, identifier: u16) -> bool {
    let header = if v6 {
        0
    } else {
        packet.first().map_or(0, |first| usize::from(first & 0xf) * 4)
    };
    let kind = if v6 { 129 } else { 0 };
    let [high, low] = identifier.to_be_bytes();
    matches!(packet.get(header..), Some([k, 0, _, _, h, l, ..]) if (*k, *h, *l) == (kind, high, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_up_to_zero() {
        for (identifier, sequence) in [(0, 0), (0xffff, 1), (0x1234, 0xffff)] {
            assert_eq!(checksum(&request(false, identifier, sequence)), 0);
        }
        assert_eq!(request(true, 0x0102, 3), [128, 0, 0, 0, 1, 2, 0, 3]);
    }

    #[test]
    fn only_the_reply_with_our_identifier_is_the_answer() {
        let v4 = |kind, identifier: u8| {
            let mut packet = vec![0x45; 20];
            packet.extend([kind, 0, 0, 0, 0, identifier, 0, 0]);
            packet
        };

        assert!(is_answer(&v4(0, 7), false, 7));
        assert!(!is_answer(&v4(0, 8), false, 7));
        assert!(!is_answer(&v4(8, 7), false, 7), "our own request, looped back");
        assert!(is_answer(&[129, 0, 0, 0, 0, 7, 0, 0], true, 7));
        assert!(!is_answer(&[], false, 7) && !is_answer(&[0x4f], false, 7) && !is_answer(&[129], true, 7));
    }
}
