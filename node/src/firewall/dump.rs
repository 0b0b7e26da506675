//! Reads what the kernel holds under our name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_netfilter::nftables::{
    ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementList,
    SetElementMessage, SetMessage, TableAttribute, TableMessage,
};

use netlink_packet_netfilter::NetfilterProtoFamily::Inet;

use super::attributes::{attribute, attributes, number, text};
use super::expressions::LINK_NAME_LEN;
use super::ranges::{highest, predecessor};
use super::socket::{Error, Socket};
use super::table::{Element, Family, NAME, Set, SetKind, Table};
use super::wire;

// Attributes of linux/netfilter/nf_tables.h.
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_DATA_VALUE: u16 = 1;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;

const NF_ACCEPT: u32 = 1;

/// What changes only when our rules do: everything but the elements of the sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Flags of the table; any of them takes it out of work or gives it to another.
    pub flags: u32,
    /// Sets by name.
    pub sets: BTreeMap<String, SetShape>,
    /// Chains by name.
    pub chains: BTreeMap<String, ChainShape>,
}

/// A set without its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetShape {
    /// How the kernel keeps the elements.
    pub flags: u32,
    /// Length of an element.
    pub key_len: u32,
}

/// A chain and what tells its rules from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainShape {
    /// `filter`, `nat`, or nothing for a chain that no hook calls.
    pub kind: String,
    /// Number of the hook.
    pub hook: u32,
    /// Priority at the hook.
    pub priority: i32,
    /// What happens to a packet that no rule decides.
    pub policy: u32,
    /// User data of the rules, in order ([`wire::identity`]).
    pub rules: Vec<Vec<u8>>,
}

impl From<&Table> for Shape {
    fn from(table: &Table) -> Self {
        let set = |set: &Set| SetShape {
            flags: wire::set_flags(set.kind),
            key_len: wire::key_len(set),
        };
        Self {
            flags: 0,
            sets: table
                .sets
                .iter()
                .map(|wanted| (wanted.name.to_string(), set(wanted)))
                .collect(),
            chains: table
                .chains
                .iter()
                .map(|chain| {
                    let shape = ChainShape {
                        kind: chain.kind.to_string(),
                        hook: wire::hook_number(chain.hook),
                        priority: chain.priority,
                        policy: NF_ACCEPT,
                        rules: chain.rules.iter().map(wire::identity).collect(),
                    };
                    (chain.name.to_owned(), shape)
                })
                .collect(),
        }
    }
}

/// Reads the shape of the table; nothing when there is none.
pub fn shape(socket: &mut Socket) -> Result<Option<Shape>, Error> {
    let name = TableMessage {
        attributes: vec![TableAttribute::Name(NAME.to_owned())],
    };
    let Some(table) = socket.get("the table", NfTablesMessage::GetTable(name))? else {
        return Ok(None);
    };
    let mut chains = chains(socket)?;
    read_rules(socket, &mut chains)?;
    let flags = number(&table, NFTA_TABLE_FLAGS).unwrap_or_default();
    Ok(Some(Shape {
        flags,
        sets: sets(socket)?,
        chains,
    }))
}

fn chains(socket: &mut Socket) -> Result<BTreeMap<String, ChainShape>, Error> {
    // The kernel gives the chains of all tables of the family.
    let question = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
    let answers = socket.list("chains", Inet, question)?;
    Ok(answers
        .iter()
        .map(Vec::as_slice)
        .filter(|chain| text(chain, NFTA_CHAIN_TABLE) == Some(NAME))
        .filter_map(|chain| {
            let hook = attribute(chain, NFTA_CHAIN_HOOK).unwrap_or_default();
            let shape = ChainShape {
                kind: text(chain, NFTA_CHAIN_TYPE).unwrap_or_default().to_owned(),
                hook: number(hook, NFTA_HOOK_HOOKNUM).unwrap_or_default(),
                priority: number(hook, NFTA_HOOK_PRIORITY).unwrap_or_default().cast_signed(),
                policy: number(chain, NFTA_CHAIN_POLICY).unwrap_or_default(),
                rules: vec![],
            };
            Some((text(chain, NFTA_CHAIN_NAME)?.to_owned(), shape))
        })
        .collect())
}

fn read_rules(socket: &mut Socket, chains: &mut BTreeMap<String, ChainShape>) -> Result<(), Error> {
    let of_table = RuleMessage {
        attributes: vec![RuleAttribute::Table(NAME.to_owned())],
    };
    for answer in socket.list("rules", Inet, NfTablesMessage::GetRule(of_table))? {
        let rule = answer.as_slice();
        if text(rule, NFTA_RULE_TABLE) != Some(NAME) {
            continue;
        }
        let chain = text(rule, NFTA_RULE_CHAIN).and_then(|name| chains.get_mut(name));
        if let Some(chain) = chain {
            chain
                .rules
                .push(attribute(rule, NFTA_RULE_USERDATA).unwrap_or_default().to_vec());
        }
    }
    Ok(())
}

fn sets(socket: &mut Socket) -> Result<BTreeMap<String, SetShape>, Error> {
    let of_table = SetMessage {
        attributes: vec![SetAttribute::Table(NAME.to_owned())],
    };
    let answers = socket.list("sets", Inet, NfTablesMessage::GetSet(of_table))?;
    Ok(answers
        .iter()
        .map(Vec::as_slice)
        .filter(|set| text(set, NFTA_SET_TABLE) == Some(NAME))
        .filter_map(|set| {
            let shape = SetShape {
                flags: number(set, NFTA_SET_FLAGS).unwrap_or_default(),
                key_len: number(set, NFTA_SET_KEY_LEN)?,
            };
            Some((text(set, NFTA_SET_NAME)?.to_owned(), shape))
        })
        .collect())
}

/// Reads the elements of a set that has the shape of this one; nothing when one of them is none of ours.
pub fn elements(socket: &mut Socket, set: &Set) -> Result<Option<BTreeSet<Element>>, Error> {
    let attributes = vec![
        SetElementList::Table(NAME.to_owned()),
        SetElementList::Set(set.name.to_string()),
    ];
    let question = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
    let answers = socket.list("elements", Inet, question)?;
    let raw = answers
        .iter()
        .filter_map(|answer| attribute(answer, NFTA_SET_ELEM_LIST_ELEMENTS))
        .flat_map(attributes_of_list)
        .collect::<Option<Vec<_>>>();
    Ok(raw.and_then(|raw| understand(set.kind, set.name.family, raw)))
}

/// One element as the kernel shows it.
struct Raw<'a> {
    key: &'a [u8],
    end: Option<&'a [u8]>,
    is_end: bool,
}

fn attributes_of_list(list: &[u8]) -> impl Iterator<Item = Option<Raw<'_>>> {
    attributes(list).map(|(_, element)| {
        let value = |kind| attribute(element, kind).and_then(|key| attribute(key, NFTA_DATA_VALUE));
        let flags = number(element, NFTA_SET_ELEM_FLAGS).unwrap_or_default();
        Some(Raw {
            key: value(NFTA_SET_ELEM_KEY)?,
            end: value(NFTA_SET_ELEM_KEY_END),
            is_end: flags & NFT_SET_ELEM_INTERVAL_END != 0,
        })
    })
}

fn understand(kind: SetKind, family: Family, raw: Vec<Raw<'_>>) -> Option<BTreeSet<Element>> {
    match kind {
        SetKind::Addresses => raw
            .iter()
            .map(|raw| Some(Element::from(address(raw.key)?)))
            .collect(),
        SetKind::Ranges => {
            let ends = raw.iter().map(|raw| Some((address(raw.key)?, !raw.is_end)));
            Some(pair(ends.collect::<Option<Vec<_>>>()?, family))
        }
        SetKind::LinkRanges => raw.iter().map(at_link).collect(),
    }
}

/// Makes ranges of the points where they begin (`true`) and the points behind their ends.
fn pair(mut points: Vec<(IpAddr, bool)>, family: Family) -> BTreeSet<Element> {
    points.sort_unstable();
    let mut ranges = BTreeSet::new();
    let mut open = None;
    for (point, begins) in points {
        if let (Some(first), Some(last)) = (open.take(), predecessor(point)) {
            ranges.insert(Element {
                link: None,
                first,
                last,
            });
        }
        open = begins.then_some(point);
    }
    ranges.extend(open.map(|first| Element {
        link: None,
        first,
        last: highest(family),
    }));
    ranges
}

fn at_link(raw: &Raw<'_>) -> Option<Element> {
    let (link, first) = raw.key.split_at_checked(LINK_NAME_LEN)?;
    let (_, last) = raw.end.unwrap_or(raw.key).split_at_checked(LINK_NAME_LEN)?;
    let link = link.split(|byte| *byte == 0).next()?;
    Some(Element {
        link: Some(String::from_utf8(link.to_vec()).ok()?),
        first: address(first)?,
        last: address(last)?,
    })
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(points: &[(&str, bool)]) -> Vec<String> {
        let points = points
            .iter()
            .map(|(address, begins)| (address.parse().unwrap(), *begins))
            .collect();
        pair(points, Family::V4).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ranges_are_read_in_any_order_with_open_and_touching_ends() {
        for (points, ranges) in [
            (&[][..], &[][..]),
            (
                &[("10.0.1.0", false), ("10.0.0.0", true)],
                &["10.0.0.0-10.0.0.255"],
            ),
            (&[("255.255.255.0", true)], &["255.255.255.0-255.255.255.255"]),
            (
                &[("0.0.0.0", false), ("10.0.0.1", true), ("10.0.0.2", false)],
                &["10.0.0.1"],
            ),
            (
                &[
                    ("10.0.0.0", true),
                    ("10.0.0.8", false),
                    ("10.0.0.8", true),
                    ("10.0.0.9", false),
                ],
                &["10.0.0.0-10.0.0.7", "10.0.0.8"],
            ),
        ] {
            assert_eq!(paired(points), ranges, "{points:?}");
        }
    }
}
