//! Hears of changes to our table that we did not make.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};

use super::attributes::text;
use super::socket::{Error, HEADER_LEN, is_ours, messages};
use super::table::NAME;

const NFNLGRP_NFTABLES: u32 = 7;
const NFPROTO_INET: u8 = 1;
const NFT_MSG_NEWGEN: u8 = 15;
/// In every message but that of a generation, the first kind of attribute is the table's name.
const NFTA_TABLE_NAME: u16 = 1;
/// kube-proxy writes thousands of rules at once, and we hear of each.
const BUFFER: usize = 4 << 20;
const RECEIVE: usize = 1 << 16;

/// A wake-up for each change of our table that another made, and when changes may have been missed. Ends when
/// the socket breaks.
pub struct Events {
    socket: TokioSocket,
}

/// Listens in the network namespace of this thread, from now on. Needs a runtime.
pub fn events() -> Result<Events, Error> {
    subscribe().map(|socket| Events { socket }).map_err(Error::Socket)
}

fn subscribe() -> io::Result<TokioSocket> {
    let mut events = TokioSocket::new(NETLINK_NETFILTER)?;
    let socket = events.socket_mut();
    if setsockopt(socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &BUFFER)?;
    }
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.add_membership(NFNLGRP_NFTABLES)?;
    Ok(events)
}

impl Stream for Events {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        loop {
            let mut datagram = Vec::with_capacity(RECEIVE);
            match ready!(self.socket.poll_recv(context, &mut datagram)) {
                Ok(()) if concerns_us(&datagram) => return Poll::Ready(Some(())),
                Ok(()) => {}
                // Messages were lost; one of them may have been for us.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Poll::Ready(Some(())),
                Err(error) => return ended(&error),
            }
        }
    }
}

fn ended(error: &io::Error) -> Poll<Option<()>> {
    tracing::warn!(%error, "nftables events ended");
    Poll::Ready(None)
}

/// Whether another wrote to our table.
fn concerns_us(datagram: &[u8]) -> bool {
    messages(datagram).any(|message| {
        let [kind, _] = message.message_type().to_le_bytes();
        let (header, attributes) = message.payload().split_at_checked(HEADER_LEN).unwrap_or_default();
        kind != NFT_MSG_NEWGEN
            && !is_ours(message.port_number())
            && header.first() == Some(&NFPROTO_INET)
            && text(attributes, NFTA_TABLE_NAME) == Some(NAME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, family: u8, port: u32, table: &str) -> Vec<u8> {
        let name = [table.as_bytes(), &[0]].concat();
        let len = u16::try_from(4 + name.len()).unwrap();
        let mut attribute = [&len.to_ne_bytes()[..], &NFTA_TABLE_NAME.to_ne_bytes(), &name].concat();
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        let length = u32::try_from(16 + HEADER_LEN + attribute.len()).unwrap();
        let header = [
            length.to_ne_bytes(),
            [kind, 10, 0, 0],
            0u32.to_ne_bytes(),
            port.to_ne_bytes(),
        ]
        .concat();
        [&header[..], &[family, 0, 0, 0], &attribute].concat()
    }

    #[test]
    fn only_what_others_do_to_our_table_wakes_us() {
        for (name, datagram, wakes) in [
            ("a table deleted", message(2, 1, 4711, "hybridnet"), true),
            (
                "an element of ours added by another",
                message(12, 1, 4711, "hybridnet"),
                true,
            ),
            ("our own write", message(12, 1, 0x4859_0001, "hybridnet"), false),
            ("another table", message(2, 1, 4711, "filter"), false),
            (
                "our name in another family",
                message(2, 2, 4711, "hybridnet"),
                false,
            ),
            ("a generation", message(15, 1, 4711, "hybridnet"), false),
            ("nothing", vec![], false),
            (
                "half a message",
                message(2, 1, 4711, "hybridnet")[..20].to_vec(),
                false,
            ),
        ] {
            assert_eq!(concerns_us(&datagram), wakes, "{name}");
        }
    }

    #[test]
    fn the_second_message_of_a_datagram_counts_too() {
        let datagram = [
            message(2, 2, 4711, "kube-proxy"),
            message(2, 1, 4711, "hybridnet"),
        ]
        .concat();

        assert!(concerns_us(&datagram));
    }
}
