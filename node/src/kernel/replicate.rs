//! Broadcasts and multicasts of the overlay go to one MAC, `ff:ff:ff:ff:ff:f1`, whose forwarding entries are
//! all other nodes; the all-zero default entry would also flood what is sent to unknown nodes.
//!
//! The Go project rewrites the destination with a `prio` qdisc, `u32` and `pedit`. The same is one rule at the
//! egress hook of nftables (Linux 5.16), which needs none of these modules:
//!
//! ```text
//! table netdev hybridnet_replication {
//!     chain replicate {
//!         type filter hook egress device "eth0.vxlan4" priority 0;
//!         ether daddr & 01:00:00:00:00:00 != 0 ether daddr set ff:ff:ff:ff:ff:f1
//!     }
//! }
//! ```
//! A qdisc that the Go project left does the same once more and may stay. Where the kernel has no such hook,
//! the default entry must do ([`Replication::Unsupported`](super::state::Replication)): the frames then keep
//! their destinations, which nodes of both projects accept.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, DevHookNumber, Expressions, Hook, HookNumber,
    Immediate, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage, TableAttribute,
    TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::names::REPLICATION;

const TABLE: &str = "hybridnet_replication";
const CHAIN: &str = "replicate";
/// `NFNL_SUBSYS_NFTABLES`, which a batch is for.
const NFTABLES: u16 = 10;
/// Payload base: the link-layer header.
const LINK_LAYER: u32 = 0;

/// Whether the filter is in place on that link. Blocks; for a thread in the link's namespace.
pub(super) fn is_installed(link: &str) -> io::Result<bool> {
    let attributes = vec![
        RuleAttribute::Table(TABLE.into()),
        RuleAttribute::Chain(CHAIN.into()),
    ];
    let get = message(
        NfTablesMessage::GetRule(RuleMessage { attributes }),
        NLM_F_REQUEST | NLM_F_DUMP,
        1,
    );
    let rules = match exchange(&wire(vec![get]), 1) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
        other => other?,
    };
    let tag = RuleAttribute::UserData(comment(link));
    let is_ours = |rule: &RuleMessage| rule.attributes.contains(&tag);
    Ok(rules.len() == 1 && rules.iter().all(is_ours))
}

/// Installs the filter, in the place of whatever there was. Blocks; for a thread in the link's namespace.
pub(super) fn install(link: &str) -> io::Result<()> {
    let table = || TableMessage {
        attributes: vec![TableAttribute::Name(TABLE.into())],
    };
    let steps = [
        NfTablesMessage::NewTable(table()),
        NfTablesMessage::DeleteTable(table()),
        NfTablesMessage::NewTable(table()),
        NfTablesMessage::NewChain(chain(link)),
        NfTablesMessage::NewRule(rule(link)),
    ];
    let mut batch = vec![control(ControlMessage::BatchBegin, 0)];
    let mut sequence = 0;
    for step in steps {
        sequence += 1;
        batch.push(message(
            step,
            NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND,
            sequence,
        ));
    }
    if let Some(last) = batch.last_mut() {
        last.header.flags |= NLM_F_ACK;
    }
    batch.push(control(ControlMessage::BatchEnd, sequence + 1));
    exchange(&wire(batch), sequence).map(|_| ())
}

fn chain(link: &str) -> ChainMessage {
    let hook = vec![
        Hook::Number(HookNumber::Dev(DevHookNumber::Egress)),
        Hook::Priority(0),
        Hook::NetDeviceName(link.into()),
    ];
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.into()),
            ChainAttribute::Name(CHAIN.into()),
            ChainAttribute::Type("filter".into()),
            ChainAttribute::Hook(hook),
        ],
    }
}

/// The group bit is the lowest of the first octet on the wire.
fn rule(link: &str) -> RuleMessage {
    let value = |octets: &[u8]| DataAttribute::Value(octets.to_vec());
    let expressions = [
        Expressions::Payload(vec![
            Payload::DestinationRegister(Register::Reg1),
            Payload::Base(LINK_LAYER),
            Payload::Offset(0),
            Payload::Len(1),
        ]),
        Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(1),
            Bitwise::Mask(value(&[1])),
            Bitwise::Xor(value(&[0])),
        ]),
        Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(Operator::Equal),
            Cmp::Data(value(&[1])),
        ]),
        Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Reg1),
            Immediate::Data(value(&REPLICATION.0)),
        ]),
        Expressions::Payload(vec![
            Payload::SourceRegister(Register::Reg1),
            Payload::Base(LINK_LAYER),
            Payload::Offset(0),
            Payload::Len(6),
        ]),
    ];
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(CHAIN.into()),
            RuleAttribute::Expressions(expressions.map(Into::into).to_vec()),
            RuleAttribute::UserData(comment(link)),
        ],
    }
}

/// What `nft list` shows as a comment, and how the rule is known to be of this link.
fn comment(link: &str) -> Vec<u8> {
    const COMMENT: u8 = 0;
    let text = format!("broadcasts of {link}\0");
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[COMMENT, length], text.as_bytes()].concat()
}

fn message(inner: NfTablesMessage, flags: u16, sequence: u32) -> NetlinkMessage<NetfilterMessage> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::NetDev, 0, 0);
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, inner));
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message
}

fn control(inner: ControlMessage, sequence: u32) -> NetlinkMessage<NetfilterMessage> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES);
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, inner));
    message.header.flags = NLM_F_REQUEST;
    message.header.sequence_number = sequence;
    message
}

fn wire(messages: Vec<NetlinkMessage<NetfilterMessage>>) -> Vec<u8> {
    let mut wire = vec![];
    for mut message in messages {
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        wire.extend(octets);
    }
    wire
}

/// Sends requests and gathers rules until the kernel is done with the request numbered `last`, or refuses.
fn exchange(wire: &[u8], last: u32) -> io::Result<Vec<RuleMessage>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.send_to(wire, &SocketAddr::new(0, 0), 0)?;
    let mut rules = vec![];
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest).map_err(io::Error::other)?;
            let length = usize::try_from(message.header.length)
                .unwrap_or(usize::MAX)
                .next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                NetlinkPayload::Error(_) if message.header.sequence_number == last => return Ok(rules),
                NetlinkPayload::Done(_) => return Ok(rules),
                NetlinkPayload::InnerMessage(NetfilterMessage {
                    inner: NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)),
                    ..
                }) => rules.push(rule),
                _ => {}
            }
        }
    }
}
