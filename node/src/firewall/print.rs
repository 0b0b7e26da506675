//! Shows a table in the language of `nft`: what this prints, `nft -f` would load as the same table.

use std::fmt;

use super::table::{
    Action, COMMENT, Chain, ChainKind, Element, End, Family, Hook, LinkName, Match, NAME, Rule, Set, SetKind,
    Table, Way,
};

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {NAME} {{")?;
        writeln!(f, "\tcomment \"{COMMENT}\"")?;
        for set in &self.sets {
            writeln!(f, "\n{set}")?;
        }
        for chain in &self.chains {
            writeln!(f, "\n{chain}")?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match self.name.family {
            Family::V4 => "ipv4_addr",
            Family::V6 => "ipv6_addr",
        };
        let (link, flags) = match self.kind {
            SetKind::Addresses => ("", ""),
            SetKind::Ranges => ("", "\n\t\tflags interval"),
            SetKind::LinkRanges => ("ifname . ", "\n\t\tflags interval"),
        };
        write!(f, "\tset {} {{\n\t\ttype {link}{address}{flags}", self.name)?;
        if !self.elements.is_empty() {
            let elements: Vec<_> = self.elements.iter().map(Element::to_string).collect();
            write!(f, "\n\t\telements = {{ {} }}", elements.join(",\n\t\t\t     "))?;
        }
        write!(f, "\n\t}}")
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(link) = &self.link {
            write!(f, "\"{link}\" . ")?;
        }
        write!(f, "{}", self.first)?;
        if self.first == self.last {
            Ok(())
        } else {
            write!(f, "-{}", self.last)
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            kind,
            hook,
            priority,
            rules,
        } = self;
        write!(
            f,
            "\tchain {name} {{\n\t\ttype {kind} hook {hook} priority {priority}; policy accept;"
        )?;
        for rule in rules {
            write!(f, "\n\t\t{rule}")?;
        }
        write!(f, "\n\t}}")
    }
}

impl fmt::Display for ChainKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        })
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Forward => "forward",
            Self::Postrouting => "postrouting",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        write!(f, "counter {} comment \"{}\"", self.action, self.comment)
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Family(Family::V4) => write!(f, "meta nfproto ipv4"),
            Self::Family(Family::V6) => write!(f, "meta nfproto ipv6"),
            Self::Link { way, name, not } => {
                let way = match way {
                    Way::In => "iifname",
                    Way::Out => "oifname",
                };
                match name {
                    LinkName::Exactly(name) => write!(f, "{way} {}\"{name}\"", unless(*not)),
                    LinkName::Prefix(prefix) => write!(f, "{way} {}\"{prefix}*\"", unless(*not)),
                }
            }
            Self::Address { end, set, not } => {
                let end = match end {
                    End::Source => "saddr",
                    End::Destination => "daddr",
                };
                write!(f, "{} {end} {}@{set}", protocol(set.family), unless(*not))
            }
            Self::LinkAndDestination { set } => {
                write!(f, "iifname . {} daddr @{set}", protocol(set.family))
            }
            Self::OriginalDestination { set, not } => {
                write!(
                    f,
                    "ct original {} daddr {}@{set}",
                    protocol(set.family),
                    unless(*not)
                )
            }
            Self::ReplySource { set } => write!(f, "ct reply {} saddr @{set}", protocol(set.family)),
            Self::DestinationNotLocal => write!(f, "fib daddr type != local"),
            Self::KnownFlow(true) => write!(f, "ct state & (established | related) != 0"),
            Self::KnownFlow(false) => write!(f, "ct state & (established | related) == 0"),
            Self::Translated(true) => write!(f, "ct status & (snat | dnat) == (snat | dnat)"),
            Self::Translated(false) => write!(f, "ct status & (snat | dnat) == 0"),
            Self::MarkClear(bits) => write!(f, "meta mark & {bits:#x} == 0"),
        }
    }
}

fn unless(not: bool) -> &'static str {
    if not { "!= " } else { "" }
}

fn protocol(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(bits) => write!(f, "meta mark set meta mark | {bits:#x}"),
            Self::Unmark(bits) => write!(f, "meta mark set meta mark & {:#x}", !bits),
            Self::Return => write!(f, "return"),
            Self::Masquerade => write!(f, "masquerade"),
            Self::Reject => write!(f, "reject with icmpx host-unreachable"),
            Self::Drop => write!(f, "drop"),
        }
    }
}
