//! Our rules (datapath spec 8.3), and the sets that they look in (8.2).
//!
//! One table of family `inet`: all that we match and do exists there since Linux 5.2 (the concatenated set of
//! the loop guard since 5.6), one transaction replaces both families, and a dump of it does not walk through
//! kube-proxy's chains, which are in `ip` and `ip6`. Only a kernel built without IPv6 has no `inet`.
//!
//! ```text
//!            conntrack   ours        kube-proxy                             ours  kube-proxy      ours
//! prerouting   -200   ->  -150  ->  DNAT -100  -> route ->  forward 0 both  ->  postrouting -150 -> 100 -> 110
//!                      0x20, 0x40               by mark      reject, drop        0x20 off     masquerade
//! ```
//!
//! - `prerouting` has to know the flow and comes before the route is looked up, as `mangle` of iptables.
//! - `forward`: chains of one hook are asked one after the other, "accept" of one does not bind the next. So
//!   no rule of kube-proxy or Calico comes in our way here, nor ours in theirs.
//! - `postrouting_nat`: of the chains that translate, the first that binds a flow wins. Ours comes last: who
//!   masquerades for a reason of their own (kube-proxy by mark 0x4000) keeps that right, in iptables (100) as
//!   in nftables mode (100).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::Ruleset;
use super::ranges::merge;
use super::table::{
    Action, Chain, ChainKind, Element, End, Family, Hook, LinkName, Match, Rule, Set, SetKind, SetName,
    Table, Way,
};
use crate::kernel::names::{HOST_END_PREFIX, OVERLAY_REPLY};

/// Packets of flows that are translated at both ends: they skip the tables of subnets.
const FULL_NAT: u32 = 0x40;
/// Packets that kube-proxy is about to masquerade (its default bit, 14).
const KUBE_MASQUERADE: u32 = 0x4000;
/// Host ends of pods that were made before the name scheme of today.
const OLD_HOST_END_PREFIX: &str = "h_";

/// Before destinations are translated, after the flow is known.
const MANGLE: i32 = -150;
const FILTER: i32 = 0;
/// After kube-proxy's 100.
const AFTER_SOURCE_NAT: i32 = 110;

/// Subnets of the overlay.
pub const OVERLAY: &str = "overlay";
/// All subnets.
pub const SUBNETS: &str = "subnets";
/// Addresses of all nodes.
pub const NODES: &str = "nodes";
/// Addresses of this node.
pub const OWN: &str = "own";
/// Addresses of the pods that run here.
pub const LOCAL_PODS: &str = "local_pods";
/// Underlay subnets of this node at the links they are reached by.
pub const LOCAL_UNDERLAY: &str = "local_underlay";

impl From<&Ruleset> for Table {
    fn from(ruleset: &Ruleset) -> Self {
        Self {
            sets: sets(ruleset),
            chains: chains(ruleset),
        }
    }
}

fn sets(ruleset: &Ruleset) -> Vec<Set> {
    let both = |family| {
        let subnets = ruleset.overlay.union(&ruleset.underlay);
        let mut sets = vec![
            ranges(OVERLAY, family, &ruleset.overlay),
            ranges(SUBNETS, family, subnets),
            addresses(NODES, family, &ruleset.nodes),
            addresses(OWN, family, &ruleset.own),
            addresses(LOCAL_PODS, family, &ruleset.local_pods),
        ];
        if guards_loops(ruleset) {
            sets.push(link_ranges(LOCAL_UNDERLAY, family, &ruleset.local_underlay));
        }
        sets
    };
    Family::BOTH.into_iter().flat_map(both).collect()
}

/// Without links to guard there are neither rules nor sets for it, and an older kernel will do.
fn guards_loops(ruleset: &Ruleset) -> bool {
    ruleset.local_underlay.values().any(|subnets| !subnets.is_empty())
}

fn addresses(purpose: &'static str, family: Family, members: &BTreeSet<IpAddr>) -> Set {
    let members = members.iter().filter(|address| Family::of(**address) == family);
    Set {
        name: SetName { purpose, family },
        kind: SetKind::Addresses,
        elements: members.map(|address| Element::from(*address)).collect(),
    }
}

fn ranges<'a>(
    purpose: &'static str,
    family: Family,
    members: impl IntoIterator<Item = &'a IpNetwork>,
) -> Set {
    Set {
        name: SetName { purpose, family },
        kind: SetKind::Ranges,
        elements: merge(members, family)
            .into_iter()
            .map(|(first, last)| Element {
                link: None,
                first,
                last,
            })
            .collect(),
    }
}

fn link_ranges(
    purpose: &'static str,
    family: Family,
    members: &BTreeMap<String, BTreeSet<IpNetwork>>,
) -> Set {
    let of_link = |(link, subnets): (&String, &BTreeSet<IpNetwork>)| {
        let link = link.clone();
        merge(subnets, family)
            .into_iter()
            .map(move |(first, last)| Element {
                link: Some(link.clone()),
                first,
                last,
            })
    };
    Set {
        name: SetName { purpose, family },
        kind: SetKind::LinkRanges,
        elements: members.iter().flat_map(of_link).collect(),
    }
}

fn chains(ruleset: &Ruleset) -> Vec<Chain> {
    let vxlan = ruleset.vxlan.as_deref();
    let both = |rule: &dyn Fn(Family) -> Rule| Family::BOTH.map(rule).to_vec();
    let when = |wanted: bool, rules: Vec<Rule>| if wanted { rules } else { vec![] };
    let overlay = vxlan.is_some();
    let vxlan = LinkName::Exactly(vxlan.unwrap_or_default().to_owned());

    let mut marks = when(overlay, both(&mark_replies_to_nodes));
    marks.extend(both(&mark_full_nat));
    let mut forward = when(overlay, both(&|family| reject_unknown(family, &vxlan)));
    forward.extend(when(guards_loops(ruleset), both(&drop_loops)));
    let unmark = when(overlay, both(&unmark_replies_to_nodes));
    let mut nat = when(overlay, vec![stay(HOST_END_PREFIX), stay(OLD_HOST_END_PREFIX)]);
    nat.extend(when(overlay, both(&|family| masquerade(family, &vxlan))));

    let chain = |name, kind, hook, priority, rules| Chain {
        name,
        kind,
        hook,
        priority,
        rules,
    };
    vec![
        chain("prerouting", ChainKind::Filter, Hook::Prerouting, MANGLE, marks),
        chain("forward", ChainKind::Filter, Hook::Forward, FILTER, forward),
        chain(
            "postrouting",
            ChainKind::Filter,
            Hook::Postrouting,
            MANGLE,
            unmark,
        ),
        chain(
            "postrouting_nat",
            ChainKind::Nat,
            Hook::Postrouting,
            AFTER_SOURCE_NAT,
            nat,
        ),
    ]
}

/// What an overlay pod answers to a node that asked it goes back through the tunnel, as the question came. The
/// test of the original destination is for IPVS, whose translations conntrack does not show: such a flow came
/// to an address of ours, and its answer goes back from it. An untracked packet is not marked: nobody can say
/// whether it answers anything.
fn answers_a_node(family: Family) -> Vec<Match> {
    vec![
        Match::Family(family),
        source(OVERLAY, family),
        destination(NODES, family, false),
        Match::KnownFlow(true),
        Match::Translated(false),
        Match::OriginalDestination {
            set: SetName { purpose: OWN, family },
            not: true,
        },
    ]
}

fn mark_replies_to_nodes(family: Family) -> Rule {
    let mut matches = answers_a_node(family);
    matches.push(Match::DestinationNotLocal);
    Rule {
        matches,
        action: Action::Mark(OVERLAY_REPLY),
        comment: "mark overlay pod -> node back traffic",
    }
}

fn unmark_replies_to_nodes(family: Family) -> Rule {
    Rule {
        matches: answers_a_node(family),
        action: Action::Unmark(OVERLAY_REPLY),
        comment: "remove overlay pod -> node back traffic mark",
    }
}

/// A pod that was reached by a translated destination and sees a translated source (a `NodePort`) answers by the
/// way the question came, not by that of its subnet.
fn mark_full_nat(family: Family) -> Rule {
    let set = SetName {
        purpose: SUBNETS,
        family,
    };
    Rule {
        matches: vec![
            Match::Translated(true),
            Match::Family(family),
            Match::ReplySource { set },
        ],
        action: Action::Mark(FULL_NAT),
        comment: "match full NATed pod traffic",
    }
}

/// Pods of a network without NAT send everything into the tunnel; nobody there knows such a destination.
fn reject_unknown(family: Family, vxlan: &LinkName) -> Rule {
    Rule {
        matches: vec![
            leaves_by(vxlan.clone(), false),
            Match::Family(family),
            destination(SUBNETS, family, true),
            destination(NODES, family, true),
            Match::KnownFlow(false),
        ],
        action: Action::Reject,
        comment: "hybridnet overlay vxlan if egress filter rule",
    }
}

/// An underlay pod that is not here is not reached through us: the network would send the packet back to us.
/// For each link only with the subnets that the ruleset gives it.
fn drop_loops(family: Family) -> Rule {
    Rule {
        matches: vec![
            Match::Family(family),
            Match::LinkAndDestination {
                set: SetName {
                    purpose: LOCAL_UNDERLAY,
                    family,
                },
            },
            destination(LOCAL_PODS, family, true),
            Match::MarkClear(KUBE_MASQUERADE),
        ],
        action: Action::Drop,
        comment: "drop endless underlay traffic because of route loop",
    }
}

/// What goes to a pod of this node keeps its source.
fn stay(prefix: &'static str) -> Rule {
    Rule {
        matches: vec![leaves_by(LinkName::Prefix(prefix), false)],
        action: Action::Return,
        comment: "skip masquerade if traffic is to local pod",
    }
}

fn masquerade(family: Family, vxlan: &LinkName) -> Rule {
    Rule {
        matches: vec![
            leaves_by(vxlan.clone(), true),
            Match::Family(family),
            source(OVERLAY, family),
        ],
        action: Action::Masquerade,
        comment: "hybridnet overlay nat-outgoing masquerade rule",
    }
}

fn source(purpose: &'static str, family: Family) -> Match {
    Match::Address {
        end: End::Source,
        set: SetName { purpose, family },
        not: false,
    }
}

fn destination(purpose: &'static str, family: Family, not: bool) -> Match {
    Match::Address {
        end: End::Destination,
        set: SetName { purpose, family },
        not,
    }
}

fn leaves_by(name: LinkName, not: bool) -> Match {
    Match::Link {
        way: Way::Out,
        name,
        not,
    }
}

#[cfg(test)]
mod tests;
