//! Rules in the language of the kernel's virtual machine: each condition loads something into a register and
//! compares it there; the first that fails ends the rule. The instructions are those that `nft` compiles the
//! same rule to, so that it can show ours.

use netlink_packet_core::{DefaultNla, NLA_F_NESTED};
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator, Payload, Register,
    Verdict, VerdictAttribute,
};

use super::table::{Action, End, Family, LinkName, Match, Rule, SetName, Way};

/// Size of a link's name in the kernel, the zero at its end included.
pub const LINK_NAME_LEN: usize = 16;

// linux/netfilter/nf_tables.h and nf_conntrack_common.h: what the crate has no names for.
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_LOOKUP_F_INV: u32 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const NF_DROP: u32 = 0;
const RTN_LOCAL: u32 = 2;

const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_DIRECTION: u16 = 3;
const NFT_CT_STATE: u32 = 0;
const NFT_CT_STATUS: u32 = 2;
const NFT_CT_SRC_IP: u32 = 19;
const NFT_CT_DST_IP: u32 = 20;
const NFT_CT_SRC_IP6: u32 = 21;
const NFT_CT_DST_IP6: u32 = 22;
const IP_CT_DIR_ORIGINAL: u8 = 0;
const IP_CT_DIR_REPLY: u8 = 1;
const STATE_ESTABLISHED_RELATED: u32 = 0b110;
const STATUS_SRC_NAT_DST_NAT: u32 = 0b11_0000;

const NFTA_FIB_DREG: u16 = 1;
const NFTA_FIB_RESULT: u16 = 2;
const NFTA_FIB_FLAGS: u16 = 3;
const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
const NFTA_FIB_F_DADDR: u32 = 2;

const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;

const NFTA_REJECT_TYPE: u16 = 1;
const NFTA_REJECT_ICMP_CODE: u16 = 2;
const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
const NFT_REJECT_ICMPX_HOST_UNREACH: u8 = 2;

/// The instructions of a rule.
pub fn lower(rule: &Rule) -> Vec<Expressions> {
    let mut code: Vec<_> = rule.matches.iter().flat_map(condition).collect();
    code.push(counter());
    code.extend(action(rule.action));
    code
}

fn condition(condition: &Match) -> Vec<Expressions> {
    match condition {
        Match::Family(family) => {
            vec![
                load_meta(MetaKey::Nfproto, Register::Reg1),
                equal(vec![nfproto(*family)]),
            ]
        }
        Match::Link { way, name, not } => {
            let key = match way {
                Way::In => MetaKey::Iifname,
                Way::Out => MetaKey::Oifname,
            };
            let name = match name {
                LinkName::Exactly(name) => link_name(name),
                LinkName::Prefix(prefix) => prefix.as_bytes().to_vec(),
            };
            vec![
                load_meta(key, Register::Reg1),
                if *not { not_equal(name) } else { equal(name) },
            ]
        }
        Match::Address { end, set, not } => {
            vec![
                load_address(*end, set.family, Register::Reg1),
                look_up(*set, *not),
            ]
        }
        Match::LinkAndDestination { set } => vec![
            load_meta(MetaKey::Iifname, Register::Reg1),
            // The name fills the first register of 16 bytes.
            load_address(End::Destination, set.family, Register::Reg2),
            look_up(*set, false),
        ],
        Match::OriginalDestination { set, not } => {
            let key = match set.family {
                Family::V4 => NFT_CT_DST_IP,
                Family::V6 => NFT_CT_DST_IP6,
            };
            vec![load_flow(key, Some(IP_CT_DIR_ORIGINAL)), look_up(*set, *not)]
        }
        Match::ReplySource { set } => {
            let key = match set.family {
                Family::V4 => NFT_CT_SRC_IP,
                Family::V6 => NFT_CT_SRC_IP6,
            };
            vec![load_flow(key, Some(IP_CT_DIR_REPLY)), look_up(*set, false)]
        }
        Match::DestinationNotLocal => vec![load_address_type(), not_equal(native(RTN_LOCAL))],
        Match::KnownFlow(known) => {
            let any = if *known {
                not_equal(native(0))
            } else {
                equal(native(0))
            };
            vec![
                load_flow(NFT_CT_STATE, None),
                mask(STATE_ESTABLISHED_RELATED, 0),
                any,
            ]
        }
        Match::Translated(both) => {
            let wanted = if *both { STATUS_SRC_NAT_DST_NAT } else { 0 };
            vec![
                load_flow(NFT_CT_STATUS, None),
                mask(STATUS_SRC_NAT_DST_NAT, 0),
                equal(native(wanted)),
            ]
        }
        Match::MarkClear(bits) => {
            vec![
                load_meta(MetaKey::Mark, Register::Reg1),
                mask(*bits, 0),
                equal(native(0)),
            ]
        }
    }
}

fn action(action: Action) -> Vec<Expressions> {
    let mark = |keep, set| {
        vec![
            load_meta(MetaKey::Mark, Register::Reg1),
            mask(keep, set),
            store_meta(MetaKey::Mark),
        ]
    };
    match action {
        Action::Mark(bits) => mark(!bits, bits),
        Action::Unmark(bits) => mark(!bits, 0),
        Action::Return => vec![verdict(Verdict::Return)],
        Action::Masquerade => vec![other("masq", vec![])],
        Action::Reject => vec![other(
            "reject",
            vec![
                number(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH),
                DefaultNla::new(NFTA_REJECT_ICMP_CODE, vec![NFT_REJECT_ICMPX_HOST_UNREACH]),
            ],
        )],
        Action::Drop => vec![verdict(Verdict::Other(NF_DROP))],
    }
}

/// A link's name as the kernel compares it. One that is too long to be a link's stays too long, and is refused.
pub fn link_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(LINK_NAME_LEN.max(bytes.len()), 0);
    bytes
}

fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => NFPROTO_IPV4,
        Family::V6 => NFPROTO_IPV6,
    }
}

fn native(number: u32) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

fn load_meta(key: MetaKey, into: Register) -> Expressions {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(into)])
}

fn store_meta(key: MetaKey) -> Expressions {
    Expressions::Meta(vec![Meta::Key(key), Meta::SourceRegister(Register::Reg1)])
}

fn load_address(end: End, family: Family, into: Register) -> Expressions {
    let (offset, len) = match (family, end) {
        (Family::V4, End::Source) => (12, 4),
        (Family::V4, End::Destination) => (16, 4),
        (Family::V6, End::Source) => (8, 16),
        (Family::V6, End::Destination) => (24, 16),
    };
    Expressions::Payload(vec![
        Payload::DestinationRegister(into),
        Payload::Base(NFT_PAYLOAD_NETWORK_HEADER),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
}

fn load_flow(key: u32, direction: Option<u8>) -> Expressions {
    let mut attributes = vec![
        number(NFTA_CT_KEY, key),
        number(NFTA_CT_DREG, Register::Reg1.into()),
    ];
    attributes.extend(direction.map(|direction| DefaultNla::new(NFTA_CT_DIRECTION, vec![direction])));
    other("ct", attributes)
}

fn load_address_type() -> Expressions {
    other(
        "fib",
        vec![
            number(NFTA_FIB_DREG, Register::Reg1.into()),
            number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE),
            number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR),
        ],
    )
}

fn look_up(set: SetName, not: bool) -> Expressions {
    let mut attributes = vec![
        Lookup::Set(set.to_string()),
        Lookup::SourceRegister(Register::Reg1),
    ];
    if not {
        attributes.push(Lookup::Flags(NFT_LOOKUP_F_INV));
    }
    Expressions::Lookup(attributes)
}

/// Register 1 becomes `(register & keep) ^ flip`.
fn mask(keep: u32, flip: u32) -> Expressions {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(4),
        Bitwise::Mask(DataAttribute::Value(native(keep))),
        Bitwise::Xor(DataAttribute::Value(native(flip))),
    ])
}

fn equal(value: Vec<u8>) -> Expressions {
    compare(Operator::Equal, value)
}

fn not_equal(value: Vec<u8>) -> Expressions {
    compare(Operator::NotEqual, value)
}

fn compare(operator: Operator, value: Vec<u8>) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value)),
    ])
}

fn verdict(verdict: Verdict) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(verdict)])),
    ])
}

fn counter() -> Expressions {
    let zero = |kind| DefaultNla::new(kind, 0u64.to_be_bytes().to_vec());
    other(
        "counter",
        vec![zero(NFTA_COUNTER_BYTES), zero(NFTA_COUNTER_PACKETS)],
    )
}

fn other(name: &str, attributes: Vec<DefaultNla>) -> Expressions {
    Expressions::Other {
        expression_type: name.to_owned(),
        attributes,
    }
}

/// An attribute that holds attributes.
pub fn nested(kind: u16, inside: &[DefaultNla]) -> DefaultNla {
    use netlink_packet_core::Emitable;
    let mut value = vec![0; inside.buffer_len()];
    inside.emit(&mut value);
    DefaultNla::new(kind | NLA_F_NESTED, value)
}
