//! Links of one network namespace, by name: two messages of rtnetlink(7), small enough to write by hand.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFF_UP: u32 = 1;
/// Of both `nlmsghdr` and `ifinfomsg`.
const HEADER: usize = 16;

/// What we need to know of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether it is set up (not: whether it has a carrier).
    pub up: bool,
    /// Its MAC in lower-case colon form.
    pub mac: String,
}

/// Moves this process to another network namespace. The plugin has one thread and one namespace to look
/// into, so it never needs to come back. The host's own is refused like what is none: a path that leads
/// there has outlived its pod, and the host's links are not ours.
pub fn enter(netns: &Path) -> io::Result<()> {
    let (file, own) = (File::open(netns)?, std::fs::metadata("/proc/self/ns/net")?);
    let found = file.metadata()?;
    if (found.dev(), found.ino()) == (own.dev(), own.ino()) {
        return Err(Errno::EINVAL.into());
    }
    Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
}

/// The link called `name`, if there is one.
pub fn get(name: &str) -> io::Result<Option<Link>> {
    match call(RTM_GETLINK, NLM_F_REQUEST, name) {
        Ok(answer) => Ok(parse_link(&answer)),
        Err(Errno::ENODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the link called `name`; one that is not there is removed already.
pub fn delete(name: &str) -> io::Result<()> {
    match call(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, name) {
        Ok(_) | Err(Errno::ENODEV) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn call(kind: u16, flags: u16, name: &str) -> nix::Result<Vec<u8>> {
    let route = SockProtocol::NetlinkRoute;
    let socket: OwnedFd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        route,
    )?;
    send(socket.as_raw_fd(), &message(kind, flags, name), MsgFlags::empty())?;
    let mut answer = vec![0; 32 << 10];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    match (u16_at(&answer, 4), i32_at(&answer, HEADER)) {
        (Some(NLMSG_ERROR), Some(0)) | (Some(RTM_NEWLINK), _) => Ok(answer),
        (Some(NLMSG_ERROR), Some(code)) => Err(Errno::from_raw(-code)),
        _ => Err(Errno::EBADMSG),
    }
}

fn message(kind: u16, flags: u16, name: &str) -> Vec<u8> {
    let attribute = 4 + name.len() + 1;
    let total = 2 * HEADER + attribute.next_multiple_of(4);
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&u32::try_from(total).unwrap_or_default().to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.resize(2 * HEADER, 0);
    bytes.extend_from_slice(&u16::try_from(attribute).unwrap_or_default().to_ne_bytes());
    bytes.extend_from_slice(&IFLA_IFNAME.to_ne_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(total, 0);
    bytes
}

fn parse_link(answer: &[u8]) -> Option<Link> {
    let up = u32::from_ne_bytes(answer.get(HEADER + 8..HEADER + 12)?.try_into().ok()?) & IFF_UP != 0;
    let mut rest = answer.get(2 * HEADER..)?;
    let mut mac = String::new();
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let value = rest.get(4..usize::from(length))?;
        if kind == IFLA_ADDRESS {
            mac = value
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect::<Vec<_>>()
                .join(":");
        }
        rest = rest
            .get(usize::from(length).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Some(Link { up, mac })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_link_is_found_with_its_address() {
        let link = get("lo").unwrap().unwrap();

        assert_eq!(link.mac, "00:00:00:00:00:00");
    }

    #[test]
    fn a_link_that_does_not_exist_is_absent_and_as_good_as_removed() {
        assert_eq!(get("hyt-nowhere").unwrap(), None);
    }

    #[test]
    fn a_message_has_the_length_that_it_says() {
        for name in ["lo", "eth0", "fifteen-letters"] {
            let bytes = message(RTM_GETLINK, NLM_F_REQUEST, name);

            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(usize::from(u16_at(&bytes, 0).unwrap()), bytes.len());
        }
    }

    #[test]
    fn a_cut_answer_is_no_link() {
        assert_eq!(parse_link(&[0; 20]), None);
        let mut answer = vec![0; 2 * HEADER];
        answer.extend_from_slice(&100_u16.to_ne_bytes());
        answer.extend_from_slice(&IFLA_ADDRESS.to_ne_bytes());
        assert_eq!(parse_link(&answer), None, "an attribute longer than the answer");
    }
}
