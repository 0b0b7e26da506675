//! A plan for people: logs, `--print-plan` and the tests' snapshots. The words are those of `ip(8)`.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use super::{Path, Plan, Problem, Route, Segment, Sysctl, Table, Target, Vlan, Vxlan};

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(vxlan) = &self.vxlan {
            write!(f, "{vxlan}")?;
        }
        for (link, segment) in &self.segments {
            writeln!(f, "segment {link}{segment}")?;
        }
        for (table, content) in &self.tables {
            writeln!(f, "table {table}")?;
            content
                .routes
                .iter()
                .try_for_each(|route| writeln!(f, "  {route}"))?;
        }
        writeln!(f, "subnets {}", words(&self.subnets))?;
        self.paths
            .iter()
            .try_for_each(|(range, path)| writeln!(f, "path {range}: {path}"))?;
        for (link, addresses) in &self.proxy_neighbours {
            writeln!(f, "proxy {link}: {}", words(addresses))?;
        }
        for (link, end) in &self.pods {
            writeln!(f, "pod {link}: {}", words(&end.addresses))?;
        }
        for (path, value) in &self.sysctls {
            writeln!(f, "sysctl {path} {value}")?;
        }
        let rules = &self.firewall;
        writeln!(f, "firewall tunnel {}", rules.vxlan.as_deref().unwrap_or("none"))?;
        writeln!(f, "  overlay {}", words(&rules.overlay))?;
        writeln!(f, "  underlay {}", words(&rules.underlay))?;
        writeln!(f, "  nodes {}", words(&rules.nodes))?;
        writeln!(f, "  own {}", words(&rules.own))?;
        writeln!(f, "  local pods {}", words(&rules.local_pods))?;
        for (link, ranges) in &rules.local_underlay {
            writeln!(f, "  guarded {link} {}", words(ranges))?;
        }
        self.problems
            .iter()
            .try_for_each(|problem| writeln!(f, "problem {problem}"))
    }
}

impl Display for Vxlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            parent,
            vni,
            mac,
            local,
            port,
            mtu,
            addresses,
            peers,
        } = self;
        write!(
            f,
            "link {name} type vxlan id {vni} dev {parent} local {local} dstport {port}"
        )?;
        writeln!(f, " address {mac} mtu {mtu}")?;
        addresses
            .iter()
            .try_for_each(|address| writeln!(f, "  address {address}"))?;
        peers
            .iter()
            .try_for_each(|(mac, ip)| writeln!(f, "  peer {mac} dst {ip}"))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToOverlay => f.write_str("to overlay"),
            Self::OverlayMark => f.write_str("overlay mark"),
            Self::FromSubnet(cidr) => write!(f, "from {cidr}"),
        }
    }
}

impl Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let destination = self.destination;
        match &self.target {
            Target::Link {
                name,
                link_scope,
                source,
            } => {
                write!(f, "{destination} dev {name}")?;
                if *link_scope {
                    f.write_str(" scope link")?;
                }
                source.map_or(Ok(()), |source| write!(f, " src {source}"))
            }
            Target::Gateway { via, name } => write!(f, "{destination} via {via} dev {name}"),
            Target::Throw => write!(f, "throw {destination}"),
        }
    }
}

impl Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Vlan { parent, id }) = &self.vlan {
            write!(f, " type vlan id {id} dev {parent}")?;
        }
        self.lends
            .iter()
            .try_for_each(|(range, pods)| write!(f, " lent one of {range}: {}", words(pods)))
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} mtu {}", self.mode, self.link, self.mtu)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        write!(f, ", answered for on {}", words(&self.answers_on))
    }
}

impl Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(value) => write!(f, "= {value}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
        }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.about, self.message, self.reason)
    }
}

fn words(items: &BTreeSet<impl Display>) -> String {
    if items.is_empty() {
        return "none".into();
    }
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}
