//! Takes away what the Go daemon left (datapath spec 8.2, 8.3, 10.1): its chains and their jumps in the tables
//! of `iptables-nft`, and its ipsets. To be done once our table does their work.
//!
//! Rules that were written by `iptables-legacy` are out of reach: the kernel hands those out only through socket
//! options that are not safe to call. They are noticed all the same, as they keep their ipsets in use.

use std::io;
use std::time::Duration;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage,
};
use netlink_packet_netfilter::{NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem};

use super::attributes::{attribute, attributes, long, text};
use super::socket::{Change, Error, Socket};

const FAMILIES: [NetfilterProtoFamily; 2] = [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6];
/// Tables of iptables that it wrote to.
const TABLES: [&str; 3] = ["nat", "mangle", "filter"];
/// Its chains, and those of its releases before 0.2.
const CHAINS: [&str; 8] = [
    "HYBRIDNET-PREROUTING",
    "HYBRIDNET-FORWARD",
    "HYBRIDNET-POSTROUTING",
    "HYBRIDNET-POD-TO-NODE-MARK",
    "HYBRIDNET-FROM-RULE-SKIP",
    "RAMA-PREROUTING",
    "RAMA-FORWARD",
    "RAMA-POSTROUTING",
];
/// Its sets. In IPv6 `inet6:` comes before the name, and while it filled one a `-` came after.
const SETS: [&str; 5] = [
    "HYBR-OVERLAY-NET",
    "HYBR-ALL",
    "HYBR-NODE-IP",
    "HYBR-LOCAL-POD-IP",
    "HYBR-LOCAL-UNDERLAY-NET",
];

const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_DATA: u16 = 2;
/// Data of an immediate, verdict of data, chain of a verdict.
const TO_CHAIN_OF_VERDICT: [u16; 2] = [2, 2];
const NFTA_VERDICT_CHAIN: u16 = 2;

const NFNL_SUBSYS_IPSET: u8 = 6;
const IPSET_CMD_DESTROY: u8 = 3;
const IPSET_ATTR_PROTOCOL: u16 = 1;
const IPSET_ATTR_SETNAME: u16 = 2;
/// What kernels since 2011 speak.
const IPSET_PROTOCOL: u8 = 6;

/// The kernel lets go of the sets a moment after the rules that use them: it frees rules in the background.
const PATIENCE: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(500),
];

/// What was found and taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Chains, each as `ip nat HYBRIDNET-POSTROUTING`.
    pub chains: Vec<String>,
    /// Sets.
    pub sets: Vec<String>,
    /// Sets that something still uses: rules that `iptables-legacy` wrote are still there, and go on matching
    /// with the addresses of the moment when the Go daemon ended.
    pub in_use: Vec<String>,
}

impl Removed {
    /// What an operator has to do about the rest; nothing when nothing is left.
    pub fn advice(&self) -> Option<String> {
        (!self.in_use.is_empty()).then(|| {
            format!(
                "rules of the former daemon in iptables-legacy still use the ipsets {}: remove its chains \
                 HYBRIDNET-* and the jumps to them by iptables-legacy and ip6tables-legacy, or restart the node",
                self.in_use.join(", ")
            )
        })
    }
}

/// Removes it all; what is not there is no error, and rules of others keep their place. Blocking, in the network
/// namespace of this thread, for a second at most when ipsets are in use.
pub fn remove() -> Result<Removed, Error> {
    let mut socket = Socket::open()?;
    let mut removed = Removed::default();
    for family in FAMILIES {
        let chains = chains(&mut socket, family)?;
        for table in TABLES {
            let of_table: Vec<_> = chains
                .iter()
                .filter(|(of, _)| of == table)
                .map(|(_, name)| name)
                .collect();
            if of_table.is_empty() {
                continue;
            }
            let mut changes = jumps(&mut socket, family, table)?;
            changes.extend(of_table.iter().map(|chain| flush(table, chain)));
            changes.extend(of_table.iter().map(|chain| delete(table, chain)));
            let changes: Vec<_> = changes.into_iter().map(|change| change.of(family)).collect();
            socket.commit(&changes)?;
            removed.chains.extend(
                of_table
                    .iter()
                    .map(|chain| format!("{} {table} {chain}", word(family))),
            );
        }
    }
    destroy_sets(&mut socket, &mut removed)?;
    Ok(removed)
}

fn word(family: NetfilterProtoFamily) -> &'static str {
    if family == NetfilterProtoFamily::IPv6 {
        "ip6"
    } else {
        "ip"
    }
}

/// Its chains of a family, as table and name.
fn chains(socket: &mut Socket, family: NetfilterProtoFamily) -> Result<Vec<(String, String)>, Error> {
    let question = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
    let answers = socket.list("chains of iptables", family, question)?;
    let of_table = |chain: &Vec<u8>| {
        let (table, name) = (text(chain, NFTA_CHAIN_TABLE)?, text(chain, NFTA_CHAIN_NAME)?);
        let theirs = TABLES.contains(&table) && CHAINS.contains(&name);
        theirs.then(|| (table.to_owned(), name.to_owned()))
    };
    Ok(answers.iter().filter_map(of_table).collect())
}

/// Removes the rules of a table that lead to one of its chains, whatever chain they are in.
fn jumps(socket: &mut Socket, family: NetfilterProtoFamily, table: &str) -> Result<Vec<Change>, Error> {
    let of_table = RuleMessage {
        attributes: vec![RuleAttribute::Table(table.to_owned())],
    };
    let answers = socket.list("rules of iptables", family, NfTablesMessage::GetRule(of_table))?;
    let jump = |rule: &Vec<u8>| {
        let (chain, handle) = (text(rule, NFTA_RULE_CHAIN)?, long(rule, NFTA_RULE_HANDLE)?);
        let target = target(rule).filter(|target| CHAINS.contains(target))?;
        let attributes = vec![
            RuleAttribute::Table(table.to_owned()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Handle(handle),
        ];
        let what = format!("the jump from {chain} to {target} in table {table}");
        Some(Change::remove(
            what,
            NfTablesMessage::DeleteRule(RuleMessage { attributes }),
        ))
    };
    Ok(answers.iter().filter_map(jump).collect())
}

/// The chain that a rule leads to.
fn target(rule: &[u8]) -> Option<&str> {
    attributes(attribute(rule, NFTA_RULE_EXPRESSIONS)?).find_map(|(_, expression)| {
        let mut inner = attribute(expression, NFTA_EXPR_DATA)?;
        for kind in TO_CHAIN_OF_VERDICT {
            inner = attribute(inner, kind)?;
        }
        text(inner, NFTA_VERDICT_CHAIN)
    })
}

/// A rule without a handle stands for all of its chain.
fn flush(table: &str, chain: &str) -> Change {
    let attributes = vec![
        RuleAttribute::Table(table.to_owned()),
        RuleAttribute::Chain(chain.to_owned()),
    ];
    let message = NfTablesMessage::DeleteRule(RuleMessage { attributes });
    Change::remove(format!("the rules of chain {chain} in table {table}"), message)
}

fn delete(table: &str, chain: &str) -> Change {
    let attributes = vec![
        ChainAttribute::Table(table.to_owned()),
        ChainAttribute::Name(chain.to_owned()),
    ];
    let message = NfTablesMessage::DeleteChain(ChainMessage { attributes });
    Change::remove(format!("chain {chain} in table {table}"), message)
}

fn destroy_sets(socket: &mut Socket, removed: &mut Removed) -> Result<(), Error> {
    removed.in_use = set_names().collect();
    for pause in PATIENCE {
        std::thread::sleep(pause);
        for name in std::mem::take(&mut removed.in_use) {
            match socket.tell(destroy(&name))? {
                Ok(()) => removed.sets.push(name),
                Err(error) if is_absent(&error) => {}
                Err(_in_use) => removed.in_use.push(name),
            }
        }
        if removed.in_use.is_empty() {
            break;
        }
    }
    Ok(())
}

fn set_names() -> impl Iterator<Item = String> {
    let of_family = |family| SETS.into_iter().map(move |name| format!("{family}{name}"));
    let both = ["", "inet6:"].into_iter().flat_map(of_family);
    both.flat_map(|name| [name.clone(), format!("{name}-")])
}

fn destroy(name: &str) -> NetfilterMessageInner {
    NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::Other(NFNL_SUBSYS_IPSET),
        message_type: IPSET_CMD_DESTROY,
        attributes: vec![
            DefaultNla::new(IPSET_ATTR_PROTOCOL, vec![IPSET_PROTOCOL]),
            DefaultNla::new(IPSET_ATTR_SETNAME, [name.as_bytes(), &[0]].concat()),
        ],
    }
}

/// No such set, or a kernel without ipset.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::EINVAL | libc::EOPNOTSUPP)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_a_set_had_fits_the_kernels_limit() {
        let names: Vec<_> = set_names().collect();

        assert_eq!(names.len(), 20);
        assert!(names.contains(&"inet6:HYBR-LOCAL-UNDERLAY-NET-".to_owned()));
        assert!(names.iter().all(|name| name.len() < 32));
    }

    #[test]
    fn there_is_advice_only_when_something_is_left() {
        let left = Removed {
            in_use: vec!["HYBR-ALL".into()],
            ..Removed::default()
        };

        assert_eq!(Removed::default().advice(), None);
        assert!(
            left.advice()
                .is_some_and(|advice| advice.contains("HYBR-ALL") && advice.contains("iptables-legacy"))
        );
    }
}
