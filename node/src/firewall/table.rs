//! An nftables table as a value: the words that our rules are written in. `rules` makes it, `print` shows it in the
//! language of `nft`, `wire` sends it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// The name of our table, of family `inet`.
pub const NAME: &str = "hybridnet";
/// What a reader of `nft list ruleset` should know.
pub const COMMENT: &str = "written by hybridnet-daemon, changes by hand are undone";

/// A whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What the rules look addresses up in.
    pub sets: Vec<Set>,
    /// The rules, by the hook that they are called from.
    pub chains: Vec<Chain>,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// The name of a set: its purpose and the family of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetName {
    /// What the addresses have in common.
    pub purpose: &'static str,
    /// The family of the addresses; a set has one.
    pub family: Family,
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        write!(f, "{}{family}", self.purpose)
    }
}

/// A named set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, and so its family.
    pub name: SetName,
    /// What an element is.
    pub kind: SetKind,
    /// The elements; ranges of one set (and link) neither overlap nor touch.
    pub elements: BTreeSet<Element>,
}

/// What a set holds, and so how the kernel keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// Single addresses, hashed.
    Addresses,
    /// Ranges of addresses.
    Ranges,
    /// Ranges of addresses, each at a link.
    LinkRanges,
}

/// One element of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The link, where the set has one.
    pub link: Option<String>,
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address, itself included.
    pub last: IpAddr,
}

impl From<IpAddr> for Element {
    fn from(address: IpAddr) -> Self {
        Self {
            link: None,
            first: address,
            last: address,
        }
    }
}

/// A chain that a hook of the kernel calls; what no rule decides is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// What its rules may do.
    pub kind: ChainKind,
    /// Who calls it.
    pub hook: Hook,
    /// When, among all chains of the hook: lower is earlier.
    pub priority: i32,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// What the rules of a chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// See all packets.
    Filter,
    /// See the first packet of a flow, and translate its addresses.
    Nat,
}

/// A point in the way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Came in, not routed yet.
    Prerouting,
    /// Routed through this machine.
    Forward,
    /// About to leave.
    Postrouting,
}

/// Does something with the packets that match all of its conditions, and counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The conditions, cheapest first.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
    /// What it is for.
    pub comment: &'static str,
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The packet is of the family. Comes before each condition on addresses.
    Family(Family),
    /// It came in or goes out by a link.
    Link {
        /// In or out.
        way: Way,
        /// Which link.
        name: LinkName,
        /// Every other link instead.
        not: bool,
    },
    /// An address of the packet is in a set.
    Address {
        /// Which address.
        end: End,
        /// The set.
        set: SetName,
        /// Not in the set instead.
        not: bool,
    },
    /// The link it came in by together with its destination is in a set.
    LinkAndDestination {
        /// A set of [`SetKind::LinkRanges`].
        set: SetName,
    },
    /// The flow's first packet, as it came and before any translation, had its destination in a set.
    OriginalDestination {
        /// The set.
        set: SetName,
        /// Not in the set instead.
        not: bool,
    },
    /// Who answers in this flow, after all translation, is in a set.
    ReplySource {
        /// The set.
        set: SetName,
    },
    /// The destination is no address of this machine.
    DestinationNotLocal,
    /// The packet belongs to a known flow (established or related), or it does not.
    KnownFlow(bool),
    /// Both addresses of the flow are translated, or neither is; a flow with one of them is neither.
    Translated(bool),
    /// All of these bits of the packet's mark are clear.
    MarkClear(u32),
}

/// By which way a packet meets a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It came in by the link.
    In,
    /// It goes out by the link.
    Out,
}

/// Names links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkName {
    /// The link of this name.
    Exactly(String),
    /// Links whose names begin so.
    Prefix(&'static str),
}

/// One of the two addresses of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Destination,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets these bits of the packet's mark.
    Mark(u32),
    /// Clears these bits of the packet's mark.
    Unmark(u32),
    /// Leaves this chain.
    Return,
    /// Translates the source to the address of the link it leaves by.
    Masquerade,
    /// Drops the packet, and tells the sender that the host is unreachable.
    Reject,
    /// Drops the packet.
    Drop,
}
