//! Packet sockets on one link (packet(7)): whole frames of one protocol.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use super::Heard;
use super::machine::Question;
use super::{arp, ndp};
use crate::mac::Mac;

/// Neighbour discovery has no longer message that we want.
const FRAME_BYTES: usize = 2048;

/// What frames are sent with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    address: LinkAddr,
    pub mac: Mac,
    pub link_local: Option<Ipv6Addr>,
}

impl Port {
    /// The link's addresses, as they are now.
    pub fn of(link: &str) -> io::Result<Option<Self>> {
        let (mut found, mut link_local) = (None, None);
        for entry in getifaddrs()?.filter(|entry| entry.interface_name == link) {
            let Some(address) = entry.address else { continue };
            if let Some(address) = address.as_link_addr() {
                found = found.or_else(|| Some((*address, Mac(address.addr()?))));
            }
            let v6 = address.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::ip);
            link_local = link_local.or_else(|| v6.filter(Ipv6Addr::is_unicast_link_local));
        }
        Ok(found.map(|(address, mac)| Self {
            address,
            mac,
            link_local,
        }))
    }
}

/// Hears and says what belongs to one [`Question`].
#[derive(Debug)]
pub(super) struct Ear {
    socket: UdpSocket,
    v6: bool,
    /// Keeps the link listening to the pod's group.
    _group: Option<Socket>,
}

impl Ear {
    pub fn open(port: &Port, link: &str, question: &Question) -> io::Result<Self> {
        let v6 = matches!(question, Question::V6 { .. });
        let protocol = if v6 { libc::ETH_P_IPV6 } else { libc::ETH_P_ARP };
        let protocol = u16::try_from(protocol).unwrap_or_default().to_be();
        let socket = Socket::new(
            Domain::PACKET,
            Type::RAW.nonblocking().cloexec(),
            Some(Protocol::from(i32::from(protocol))),
        )?;
        if v6 {
            socket.attach_filter(&neighbour_discovery())?;
        }
        bind(socket.as_raw_fd(), &port.address)?;
        // Before it was bound it heard every link, where the same address may be another's by right.
        let socket = std::net::UdpSocket::from(socket);
        while socket.recv(&mut [0; 1]).is_ok() {}
        let group = match question {
            Question::V6 { ip, .. } => Some(listen_to(ndp::solicited_node(*ip), link)?),
            Question::V4 { .. } => None,
        };
        Ok(Self {
            // Tokio has no type for packet sockets. A bound one is read and written like this.
            socket: UdpSocket::from_std(socket)?,
            v6,
            _group: group,
        })
    }

    pub async fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).await.map(|_| ())
    }

    /// The next frame that says something.
    pub async fn hear(&self) -> io::Result<Heard> {
        let mut buffer = [0; FRAME_BYTES];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            let frame = buffer.get(..length).unwrap_or_default();
            let heard = if self.v6 {
                ndp::parse(frame)
            } else {
                arp::parse(frame)
            };
            if let Some(heard) = heard {
                return Ok(heard);
            }
        }
    }
}

/// A busy link's IPv6 traffic stays in the kernel: only solicitations and advertisements pass.
fn neighbour_discovery() -> [SockFilter; 7] {
    const LOAD_BYTE: u16 = 0x30;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 20),
        SockFilter::new(IF_EQUAL, 0, 4, 58),
        SockFilter::new(LOAD_BYTE, 0, 0, 54),
        SockFilter::new(IF_EQUAL, 1, 0, ndp::SOLICITATION.into()),
        SockFilter::new(IF_EQUAL, 0, 1, ndp::ADVERTISEMENT.into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// Others who check the same address speak to its group.
fn listen_to(group: Ipv6Addr, link: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM.cloexec(), None)?;
    socket.join_multicast_v6(&group, if_nametoindex(link)?)?;
    Ok(socket)
}
