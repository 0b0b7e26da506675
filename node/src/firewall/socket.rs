//! One conversation with the kernel's nftables: transactions and questions. Blocking; the socket belongs to
//! the network namespace of the thread that opens it.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkMessage,
};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket as NetlinkSocket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Number of nftables among the parts of netfilter.
const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// Our port ids begin with these 16 bits: above every process id, which the kernel gives as port ids, and not
/// negative as what it gives next. So [`super::events`] knows our own changes by their sender.
const PORTS: u32 = 0x4859_0000;
/// The kernel sends at most 32 KiB at once.
const RECEIVE: usize = 1 << 16;

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A change of the rules that did not come to pass, or rules that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket, or it broke.
    #[error("netfilter socket: {0}")]
    Socket(#[source] io::Error),
    /// The kernel refused a transaction; nothing of it was done.
    #[error("nftables: {change}: {source}")]
    Refused {
        /// The change that it refused.
        change: String,
        /// Why.
        source: io::Error,
    },
    /// A list could not be read.
    #[error("nftables: list {what}: {source}")]
    List {
        /// What was listed.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Others kept changing the rules of this machine while we read ours.
    #[error("nftables: the rules of this machine change faster than they can be read; it is tried again")]
    Busy,
    /// The table is not there yet.
    #[error("nftables: table inet hybridnet is not loaded yet; wait for the daemon to be ready")]
    NotLoaded,
    /// The thread that did it is gone.
    #[error("the thread that wrote the firewall ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// One step of a transaction.
#[derive(Debug)]
pub struct Change {
    what: String,
    removes: bool,
    family: NetfilterProtoFamily,
    message: NfTablesMessage,
}

impl Change {
    /// Adds something, or leaves it when it is there.
    pub fn add(what: impl Into<String>, message: NfTablesMessage) -> Self {
        Self {
            what: format!("add {}", what.into()),
            removes: false,
            family: NetfilterProtoFamily::Inet,
            message,
        }
    }

    /// Removes something that is there.
    pub fn remove(what: impl Into<String>, message: NfTablesMessage) -> Self {
        Self {
            what: format!("remove {}", what.into()),
            removes: true,
            family: NetfilterProtoFamily::Inet,
            message,
        }
    }

    /// The same in a table of another family than ours.
    pub fn of(self, family: NetfilterProtoFamily) -> Self {
        Self { family, ..self }
    }

    /// Length of its attributes on the wire.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        netlink_packet_core::Emitable::buffer_len(&self.message)
    }
}

/// The attributes of one message that came as an answer; [`super::attributes`] reads them.
pub type Attributes = Vec<u8>;

/// A socket, and the number of the next message.
pub struct Socket {
    inner: NetlinkSocket,
    sequence: u32,
}

/// Whether a message comes from a [`Socket`] of ours.
pub fn is_ours(port: u32) -> bool {
    port & 0xffff_0000 == PORTS
}

impl Socket {
    /// Opens a socket in the namespace of this thread.
    pub fn open() -> Result<Self, Error> {
        let mut inner = NetlinkSocket::new(NETLINK_NETFILTER).map_err(Error::Socket)?;
        bind(&mut inner).map_err(Error::Socket)?;
        // The kernel answers at once or not at all.
        setsockopt(&inner, sockopt::ReceiveTimeout, &TimeVal::seconds(10))
            .map_err(|e| Error::Socket(e.into()))?;
        // Refusals quote the header of what they refuse, not all of it.
        inner.set_cap_ack(true).map_err(Error::Socket)?;
        Ok(Self { inner, sequence: 1 })
    }

    /// Makes all changes or none.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let begin = self.sequence;
        let mut wire = vec![];
        let (control, request) = (NetfilterProtoFamily::Unspec, NLM_F_REQUEST);
        push(
            &mut wire,
            control,
            NFNL_SUBSYS_NFTABLES,
            ControlMessage::BatchBegin,
            request,
            begin,
        );
        let mut last = begin;
        for (index, change) in changes.iter().enumerate() {
            last += 1;
            let add = if change.removes {
                0
            } else {
                NLM_F_CREATE | NLM_F_APPEND
            };
            // Refusals come unasked, and one answer at the end says that there were none.
            let ack = if index + 1 == changes.len() { NLM_F_ACK } else { 0 };
            let message = change.message.clone();
            push(&mut wire, change.family, 0, message, request | add | ack, last);
        }
        push(
            &mut wire,
            control,
            NFNL_SUBSYS_NFTABLES,
            ControlMessage::BatchEnd,
            request,
            last + 1,
        );
        self.sequence = last + 2;
        self.send(&wire)?;
        self.outcome(begin, last, changes)
    }

    /// Asks for everything of a kind in a family; `Busy` when a change came between its parts.
    pub fn list(
        &mut self,
        what: &'static str,
        family: NetfilterProtoFamily,
        question: NfTablesMessage,
    ) -> Result<Vec<Attributes>, Error> {
        self.ask(family, question, NLM_F_DUMP)?
            .map_err(|source| refused(what, source))
    }

    /// Asks for one object of family `inet`; nothing when there is no such.
    pub fn get(
        &mut self,
        what: &'static str,
        question: NfTablesMessage,
    ) -> Result<Option<Attributes>, Error> {
        match self.ask(NetfilterProtoFamily::Inet, question, NLM_F_ACK)? {
            Ok(mut answers) => Ok(answers.pop()),
            Err(source) if source.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(source) => Err(refused(what, source)),
        }
    }

    /// Tells another part of netfilter to do something; the inner result is its answer. What is not there
    /// counts as refused.
    pub fn tell(&mut self, message: NetfilterMessageInner) -> Result<io::Result<()>, Error> {
        let answer = self.ask(NetfilterProtoFamily::Unspec, message, NLM_F_ACK | NLM_F_EXCL)?;
        Ok(answer.map(|_| ()))
    }

    fn ask(
        &mut self,
        family: NetfilterProtoFamily,
        message: impl Into<NetfilterMessageInner>,
        flags: u16,
    ) -> Result<io::Result<Vec<Attributes>>, Error> {
        let sequence = self.sequence;
        self.sequence += 1;
        let mut wire = vec![];
        push(&mut wire, family, 0, message, NLM_F_REQUEST | flags, sequence);
        self.send(&wire)?;
        let (mut answers, mut interrupted) = (vec![], false);
        loop {
            let datagram = self.receive()?;
            for message in messages(&datagram).filter(|message| message.sequence_number() == sequence) {
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_ERROR if let Some(source) = refusal(&message) => return Ok(Err(source)),
                    NLMSG_DONE | NLMSG_ERROR if interrupted => return Err(Error::Busy),
                    NLMSG_DONE | NLMSG_ERROR => return Ok(Ok(answers)),
                    _ => answers.extend(answer(&message)),
                }
            }
        }
    }

    /// Waits until the kernel has answered for the messages from `begin` to `last`.
    fn outcome(&self, begin: u32, last: u32, changes: &[Change]) -> Result<(), Error> {
        loop {
            let datagram = self.receive()?;
            for message in messages(&datagram).filter(|message| message.message_type() == NLMSG_ERROR) {
                let sequence = message.sequence_number();
                match refusal(&message) {
                    Some(source) if (begin..=last).contains(&sequence) => {
                        let index = usize::try_from(sequence - begin)
                            .unwrap_or_default()
                            .checked_sub(1);
                        let change = index
                            .and_then(|index| changes.get(index))
                            .map(|change| &change.what);
                        let change = change
                            .cloned()
                            .unwrap_or_else(|| "take the transaction".to_owned());
                        return Err(Error::Refused { change, source });
                    }
                    None if sequence == last => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    fn send(&self, wire: &[u8]) -> Result<(), Error> {
        // A transaction is one datagram. Without the capability in the machine's own user namespace the limit
        // cannot be lifted, and most transactions fit all the same.
        let wanted = wire.len().saturating_mul(2);
        if setsockopt(&self.inner, sockopt::SndBufForce, &wanted).is_err() {
            setsockopt(&self.inner, sockopt::SndBuf, &wanted).map_err(|e| Error::Socket(e.into()))?;
        }
        self.inner
            .send_to(wire, &SocketAddr::new(0, 0), 0)
            .map_err(Error::Socket)?;
        Ok(())
    }

    fn receive(&self) -> Result<Vec<u8>, Error> {
        let mut datagram = Vec::with_capacity(RECEIVE);
        self.inner.recv_from(&mut datagram, 0).map_err(Error::Socket)?;
        Ok(datagram)
    }
}

fn bind(socket: &mut NetlinkSocket) -> io::Result<()> {
    for _ in 0..=u16::MAX {
        let port = PORTS | u32::from(NEXT_PORT.fetch_add(1, Ordering::Relaxed));
        match socket.bind(&SocketAddr::new(port, 0)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn push(
    wire: &mut Vec<u8>,
    family: NetfilterProtoFamily,
    resource: u16,
    inner: impl Into<NetfilterMessageInner>,
    flags: u16,
    sequence: u32,
) {
    let header = NetfilterHeader::new(family, 0, resource);
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, inner));
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let start = wire.len();
    wire.resize(start + message.buffer_len(), 0);
    if let Some(tail) = wire.get_mut(start..) {
        message.serialize(tail);
    }
}

/// The messages of a datagram, up to the first that is cut off.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(datagram).ok()?;
        let len = usize::try_from(message.length()).ok()?.next_multiple_of(4);
        datagram = datagram.get(len..).unwrap_or_default();
        Some(message)
    })
}

fn refused(what: &'static str, source: io::Error) -> Error {
    Error::List { what, source }
}

/// Why something was refused; nothing for an acknowledgement.
fn refusal(message: &NetlinkBuffer<&[u8]>) -> Option<io::Error> {
    match message
        .payload()
        .first_chunk()
        .map(|code| i32::from_ne_bytes(*code))
    {
        Some(0) => None,
        Some(code) => Some(io::Error::from_raw_os_error(code.saturating_abs())),
        None => Some(io::ErrorKind::InvalidData.into()),
    }
}

fn answer(message: &NetlinkBuffer<&[u8]>) -> Option<Attributes> {
    message.payload().get(HEADER_LEN..).map(<[u8]>::to_vec)
}

/// Family, version and resource, before the attributes.
pub const HEADER_LEN: usize = 4;
