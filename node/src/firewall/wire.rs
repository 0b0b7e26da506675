//! From our words to netlink messages. The crate for these is young: what it calls things is known only here,
//! in [`super::expressions`] and in [`super::socket`].

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook as HookAttribute, InetHookNumber, ListAttribute,
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetDescription, SetElementAttribute,
    SetElementFlags, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage,
};

use super::expressions::{LINK_NAME_LEN, link_name, lower, nested};
use super::ranges::successor;
use super::socket::Change;
use super::table::{COMMENT, Chain, Element, Family, Hook, NAME, Rule, Set, SetKind, SetName, Table};

/// An attribute's length is 16 bits wide, and an IPv6 range at a link takes 84 bytes.
const ELEMENTS_PER_MESSAGE: usize = 500;

/// Kinds of user data that `nft` knows, and one that it passes over.
const UDATA_COMMENT: u8 = 0;
const UDATA_FINGERPRINT: u8 = 0xf0;

/// To be raised when the same rule is written in other instructions than before: then tables that an older
/// release wrote are replaced.
const REVISION: u8 = 1;

const NF_ACCEPT: u32 = 1;
// How `nft` shows elements.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_IFNAME: u32 = 41;
const TYPE_BITS: u32 = 6;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_FIELD_LEN: u16 = 1;
const NFTA_DATA_VALUE: u16 = 1;

/// Puts the whole table in place of whatever has its name.
pub fn replace(table: &Table) -> Vec<Change> {
    let mut changes = vec![
        // Deleting what is not there would fail.
        Change::add("table", NfTablesMessage::NewTable(table_message(false))),
        Change::remove(
            "the former table",
            NfTablesMessage::DeleteTable(table_message(false)),
        ),
        Change::add("table", NfTablesMessage::NewTable(table_message(true))),
    ];
    for (id, set) in (1..).zip(&table.sets) {
        changes.push(Change::add(
            format!("set {}", set.name),
            NfTablesMessage::NewSet(new_set(set, id)),
        ));
        changes.extend(add_elements(set.name, set.kind, set.elements.iter()));
    }
    for chain in &table.chains {
        changes.push(Change::add(
            format!("chain {}", chain.name),
            NfTablesMessage::NewChain(new_chain(chain)),
        ));
        changes.extend(chain.rules.iter().map(|rule| {
            Change::add(
                format!("rule {rule:?} of chain {}", chain.name, rule = rule.to_string()),
                NfTablesMessage::NewRule(new_rule(chain, rule)),
            )
        }));
    }
    changes
}

/// Adds elements to a set; those that are there already are no error.
pub fn add_elements<'a>(
    set: SetName,
    kind: SetKind,
    elements: impl IntoIterator<Item = &'a Element>,
) -> Vec<Change> {
    chunks(set, kind, elements)
        .map(|(what, message)| Change::add(what, NfTablesMessage::NewSetElement(message)))
        .collect()
}

/// Removes elements from a set; one that is not there fails the transaction.
pub fn remove_elements<'a>(
    set: SetName,
    kind: SetKind,
    elements: impl IntoIterator<Item = &'a Element>,
) -> Vec<Change> {
    chunks(set, kind, elements)
        .map(|(what, message)| Change::remove(what, NfTablesMessage::DeleteSetElement(message)))
        .collect()
}

fn chunks<'a>(
    set: SetName,
    kind: SetKind,
    elements: impl IntoIterator<Item = &'a Element>,
) -> impl Iterator<Item = (String, SetElementMessage)> {
    let elements: Vec<_> = elements.into_iter().collect();
    let messages: Vec<_> = elements
        .chunks(ELEMENTS_PER_MESSAGE)
        .map(|chunk| {
            let first = chunk.first().map(ToString::to_string).unwrap_or_default();
            let what = match chunk.len() {
                1 => format!("element {first} of set {set}"),
                more => format!("{more} elements from {first} on of set {set}"),
            };
            let list = chunk
                .iter()
                .flat_map(|element| element_attributes(kind, element))
                .collect();
            let attributes = vec![
                SetElementList::Table(NAME.to_owned()),
                SetElementList::Set(set.to_string()),
                SetElementList::Elements(list),
            ];
            (what, SetElementMessage { attributes })
        })
        .collect();
    messages.into_iter()
}

fn element_attributes(kind: SetKind, element: &Element) -> Vec<ListAttribute<SetElementAttribute>> {
    let key = |bytes| SetElementAttribute::Key(DataAttribute::Value(bytes));
    let first = ListAttribute::Element(vec![key(octets(element.first))]);
    match kind {
        SetKind::Addresses => vec![first],
        SetKind::Ranges => {
            // The end is the first address that is outside; a range to the top of the family has none.
            let end = successor(element.last).map(|end| {
                let flags = SetElementAttribute::Flags(SetElementFlags::IntervalEnd);
                ListAttribute::Element(vec![key(octets(end)), flags])
            });
            std::iter::once(first).chain(end).collect()
        }
        SetKind::LinkRanges => {
            let link = link_name(element.link.as_deref().unwrap_or_default());
            let at_link = |address| [link.clone(), octets(address)].concat();
            let end = DefaultNla::new(NFTA_DATA_VALUE, at_link(element.last));
            vec![ListAttribute::Element(vec![
                key(at_link(element.first)),
                SetElementAttribute::KeyEnd(vec![end]),
            ])]
        }
    }
}

fn octets(address: std::net::IpAddr) -> Vec<u8> {
    match address {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn table_message(with_comment: bool) -> TableMessage {
    let mut attributes = vec![TableAttribute::Name(NAME.to_owned())];
    if with_comment {
        attributes.push(TableAttribute::UserData(user_data(UDATA_COMMENT, &text(COMMENT))));
    }
    TableMessage { attributes }
}

fn new_set(set: &Set, id: u32) -> SetMessage {
    let (address_type, address_len) = match set.name.family {
        Family::V4 => (TYPE_IPV4, 4),
        Family::V6 => (TYPE_IPV6, 16),
    };
    let mut attributes = vec![
        SetAttribute::Table(NAME.to_owned()),
        SetAttribute::Name(set.name.to_string()),
        SetAttribute::Flags(SetFlags::from_bits_retain(set_flags(set.kind))),
        SetAttribute::KeyLen(key_len(set)),
        SetAttribute::Id(id),
    ];
    if set.kind == SetKind::LinkRanges {
        let lens = [u32::try_from(LINK_NAME_LEN).unwrap_or_default(), address_len];
        let field = |len: u32| {
            let len = DefaultNla::new(NFTA_SET_FIELD_LEN, len.to_be_bytes().to_vec());
            nested(NFTA_LIST_ELEM, &[len])
        };
        attributes.push(SetAttribute::Description(vec![SetDescription::Concat(
            lens.map(field).to_vec(),
        )]));
        attributes.push(SetAttribute::KeyType(TYPE_IFNAME << TYPE_BITS | address_type));
    } else {
        attributes.push(SetAttribute::KeyType(address_type));
    }
    SetMessage { attributes }
}

/// How the kernel shows the flags of a set of this kind.
pub fn set_flags(kind: SetKind) -> u32 {
    let flags = match kind {
        SetKind::Addresses => SetFlags::empty(),
        SetKind::Ranges => SetFlags::Interval,
        SetKind::LinkRanges => SetFlags::Interval | SetFlags::Concat,
    };
    flags.bits()
}

/// Length of a key of this set, in bytes.
pub fn key_len(set: &Set) -> u32 {
    let address = match set.name.family {
        Family::V4 => 4,
        Family::V6 => 16,
    };
    let link = if set.kind == SetKind::LinkRanges {
        LINK_NAME_LEN
    } else {
        0
    };
    address + u32::try_from(link).unwrap_or_default()
}

fn new_chain(chain: &Chain) -> ChainMessage {
    let hook = vec![
        HookAttribute::Number(InetHookNumber::from(hook_number(chain.hook)).into()),
        HookAttribute::Priority(chain.priority.cast_unsigned()),
    ];
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(NAME.to_owned()),
            ChainAttribute::Name(chain.name.to_owned()),
            ChainAttribute::Type(chain.kind.to_string()),
            ChainAttribute::Hook(hook),
            ChainAttribute::Policy(NF_ACCEPT),
        ],
    }
}

/// The kernel's number of a hook.
pub fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => InetHookNumber::PreRouting,
        Hook::Forward => InetHookNumber::Forward,
        Hook::Postrouting => InetHookNumber::PostRouting,
    }
    .into()
}

fn new_rule(chain: &Chain, rule: &Rule) -> RuleMessage {
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(NAME.to_owned()),
            RuleAttribute::Chain(chain.name.to_owned()),
            RuleAttribute::Expressions(lower(rule).into_iter().map(Into::into).collect()),
            RuleAttribute::UserData(identity(rule)),
        ],
    }
}

/// What we write beside a rule to know it again: its comment, which `nft` shows, and a fingerprint of all it
/// says. The kernel's own copy of a rule cannot be compared: kernels add to what they were given.
pub fn identity(rule: &Rule) -> Vec<u8> {
    let fingerprint = fingerprint(&rule.to_string()).to_be_bytes();
    [
        user_data(UDATA_COMMENT, &text(rule.comment)),
        user_data(UDATA_FINGERPRINT, &fingerprint),
    ]
    .concat()
}

/// FNV-1a, which stays the same from release to release.
fn fingerprint(text: &str) -> u64 {
    std::iter::once(REVISION)
        .chain(text.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

fn user_data(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = u8::try_from(value.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![kind, len];
    bytes.extend(value.iter().take(len.into()));
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::fixtures::overlay_and_underlay;

    #[test]
    fn rules_that_say_something_else_have_another_identity() {
        let table = Table::from(&overlay_and_underlay());
        let rules: Vec<_> = table.chains.iter().flat_map(|chain| &chain.rules).collect();

        let identities: std::collections::BTreeSet<_> = rules.iter().map(|rule| identity(rule)).collect();

        assert_eq!(identities.len(), rules.len());
    }

    #[test]
    fn the_same_rule_has_the_same_identity_in_every_release() {
        let table = Table::from(&overlay_and_underlay());
        let rule = table
            .chains
            .first()
            .and_then(|chain| chain.rules.first())
            .unwrap();

        let identity = identity(rule);

        assert_eq!(identity.len(), 2 + rule.comment.len() + 1 + 2 + 8);
        assert_eq!(fingerprint(""), 0xaf63_bc4c_8601_b62c, "FNV-1a of the byte 1");
    }

    #[test]
    fn many_elements_are_sent_in_messages_that_fit_their_length_field() {
        let elements: Vec<Element> = (0..1201u32)
            .map(|i| Element {
                link: Some("eth0.100".into()),
                first: std::net::Ipv6Addr::from(u128::from(i) << 64).into(),
                last: std::net::Ipv6Addr::from((u128::from(i) << 64) + 7).into(),
            })
            .collect();
        let set = SetName {
            purpose: "local_underlay",
            family: Family::V6,
        };

        let changes = add_elements(set, SetKind::LinkRanges, &elements);

        assert_eq!(changes.len(), 3);
        for change in changes {
            assert!(change.len() < usize::from(u16::MAX), "{change:?}");
        }
    }

    #[test]
    fn a_range_to_the_top_of_the_family_has_no_end() {
        let element = |first: &str, last: &str| Element {
            link: None,
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
        };

        let count = |element| element_attributes(SetKind::Ranges, &element).len();

        assert_eq!(count(element("10.0.0.0", "10.0.0.255")), 2);
        assert_eq!(count(element("255.255.255.0", "255.255.255.255")), 1);
        assert_eq!(count(element("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), 1);
    }
}
