//! One step from what the kernel holds to what a plan wants. Steps name links; numbers are looked up when a
//! step is taken, since a step before it may have made the link.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::names::{HOST_END_PREFIX, is_subnet_table};
use super::state::{Family, Forward, Route, Rule, Way};
use crate::mac::Mac;
use crate::newcomers::Held;

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Write a sysctl.
    Sysctl {
        /// Path under `/proc/sys`.
        path: String,
        /// Text to write.
        value: String,
    },
    /// Make the VXLAN link and set it up.
    AddTunnel(NewTunnel),
    /// Make an 802.1Q link and set it up.
    AddVlan(NewVlan),
    /// Delete a link.
    DeleteLink {
        /// Its name.
        name: String,
    },
    /// Change properties of a link that stays.
    SetLink(LinkChange),
    /// Change the outer source address of a VXLAN link.
    SetLocal {
        /// Name of the link.
        name: String,
        /// Its identifier, which the kernel wants to hear again.
        vni: u32,
        /// New address.
        local: IpAddr,
    },
    /// Install the filter that rewrites the overlay's broadcasts.
    InstallFilter {
        /// Name of the VXLAN link.
        link: String,
    },
    /// Add an address without a prefix route.
    AddAddress {
        /// Name of the link.
        link: String,
        /// Address and prefix length.
        ip: IpNetwork,
    },
    /// Add an address of scope link without a prefix route, and take it out of the local table.
    LendAddress {
        /// Name of the link.
        link: String,
        /// Address and prefix length.
        ip: IpNetwork,
    },
    /// Take an address of a link out of the local table.
    DisownAddress {
        /// Name of the link.
        link: String,
        /// Address and prefix length.
        ip: IpNetwork,
    },
    /// Remove an address.
    DeleteAddress {
        /// Name of the link.
        link: String,
        /// Address and prefix length.
        ip: IpNetwork,
    },
    /// Set the one destination of a MAC.
    ReplaceForward(Forward),
    /// Add a destination to those of a MAC.
    AppendForward(Forward),
    /// Remove one destination of a MAC.
    DeleteForward(Forward),
    /// Answer neighbour queries for an address.
    AddProxy {
        /// Name of the link.
        link: String,
        /// The address.
        ip: IpAddr,
    },
    /// Stop answering.
    DeleteProxy {
        /// Name of the link.
        link: String,
        /// The address.
        ip: IpAddr,
    },
    /// Add a route or replace that of the same destination and metric.
    ReplaceRoute(Route),
    /// Remove a route.
    DeleteRoute(Route),
    /// Add a policy rule.
    AddRule(Rule),
    /// Remove a policy rule.
    DeleteRule(Rule),
}

/// New properties of a link; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Name of the link.
    pub name: String,
    /// MAC.
    pub mac: Option<Mac>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Set it up.
    pub up: bool,
}

/// A VXLAN link that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTunnel {
    /// Name of the link.
    pub name: String,
    /// Name of the link below.
    pub parent: String,
    /// Identifier.
    pub vni: u32,
    /// UDP port.
    pub port: u16,
    /// Its MAC.
    pub mac: Mac,
    /// Outer source address.
    pub local: IpAddr,
    /// Largest inner packet in bytes.
    pub mtu: u32,
}

/// An 802.1Q link that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVlan {
    /// Name of the link.
    pub name: String,
    /// Name of the link below.
    pub parent: String,
    /// VLAN identifier.
    pub id: u16,
}

impl LinkChange {
    /// Whether there is anything to do.
    pub fn is_empty(&self) -> bool {
        self.mac.is_none() && self.mtu.is_none() && !self.up
    }
}

impl Change {
    /// The address that is served no more, or by another link, after this step.
    pub fn lost_address(&self) -> Option<IpAddr> {
        match self {
            Self::DeleteProxy { ip, .. } => Some(*ip),
            Self::ReplaceRoute(Route {
                destination,
                way: Way::Link { name, .. },
                ..
            }) if name.starts_with(HOST_END_PREFIX) => Some(destination.ip()),
            _ => None,
        }
    }

    /// Whether a pod that came after the plan was made would lose by this step.
    pub fn hurts(&self, newcomers: &Held<'_>) -> bool {
        let comes_by = self.lost_address().and_then(|ip| newcomers.link_of(ip));
        match self {
            Self::ReplaceRoute(_) => comes_by.is_some_and(|link| self.needs_link() != Some(link)),
            _ => comes_by.is_some(),
        }
    }

    /// Whether this removes something that no daemon of either project ever wrote: a route over a router, or to
    /// several, in the tables that all packets are looked up in (datapath spec 4.3).
    pub fn takes_from_another(&self) -> bool {
        let Self::DeleteRoute(route) = self else {
            return false;
        };
        let over_router = match &route.way {
            Way::Link { gateway, .. } => gateway.is_some(),
            Way::Several(_) | Way::Other => true,
            Way::Throw => false,
        };
        over_router && (!is_subnet_table(route.table) || route.destination.prefix() != 0)
    }

    /// The link that must exist for this step; where there is none the step waits for the next pass.
    pub fn needs_link(&self) -> Option<&str> {
        match self {
            Self::AddTunnel(NewTunnel { parent: name, .. })
            | Self::AddVlan(NewVlan { parent: name, .. })
            | Self::SetLink(LinkChange { name, .. })
            | Self::SetLocal { name, .. }
            | Self::InstallFilter { link: name }
            | Self::AddAddress { link: name, .. }
            | Self::LendAddress { link: name, .. }
            | Self::DisownAddress { link: name, .. }
            | Self::DeleteAddress { link: name, .. }
            | Self::ReplaceForward(Forward { link: name, .. })
            | Self::AppendForward(Forward { link: name, .. })
            | Self::DeleteForward(Forward { link: name, .. })
            | Self::AddProxy { link: name, .. }
            | Self::DeleteProxy { link: name, .. }
            | Self::DeleteLink { name }
            | Self::ReplaceRoute(Route {
                way: Way::Link { name, .. },
                ..
            }) => Some(name),
            Self::Sysctl { .. }
            | Self::ReplaceRoute(_)
            | Self::DeleteRoute(_)
            | Self::AddRule(_)
            | Self::DeleteRule(_) => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { path, value } => write!(f, "sysctl {path} = {value}"),
            Self::AddTunnel(new) => {
                let NewTunnel {
                    name,
                    parent,
                    vni,
                    port,
                    mac,
                    local,
                    mtu,
                } = new;
                write!(
                    f,
                    "add link {name} vni {vni} port {port} dev {parent} local {local} address {mac} mtu {mtu}"
                )
            }
            Self::AddVlan(NewVlan { name, parent, id }) => {
                write!(f, "add link {name} vlan {id} dev {parent}")
            }
            Self::DeleteLink { name } => write!(f, "delete link {name}"),
            Self::SetLink(change) => {
                write!(f, "set link {}", change.name)?;
                if let Some(mac) = change.mac {
                    write!(f, " address {mac}")?;
                }
                if let Some(mtu) = change.mtu {
                    write!(f, " mtu {mtu}")?;
                }
                if change.up { f.write_str(" up") } else { Ok(()) }
            }
            Self::SetLocal { name, local, .. } => write!(f, "set link {name} local {local}"),
            Self::InstallFilter { link } => write!(f, "add replication filter on {link}"),
            Self::AddAddress { link, ip } => write!(f, "add address {ip} on {link}"),
            Self::LendAddress { link, ip } => write!(f, "lend address {ip} to {link}"),
            Self::DisownAddress { link, ip } => {
                write!(f, "take address {ip} of {link} out of the local table")
            }
            Self::DeleteAddress { link, ip } => write!(f, "delete address {ip} on {link}"),
            Self::ReplaceForward(entry) => write!(f, "replace forwarding entry {entry}"),
            Self::AppendForward(entry) => write!(f, "append forwarding entry {entry}"),
            Self::DeleteForward(entry) => write!(f, "delete forwarding entry {entry}"),
            Self::AddProxy { link, ip } => write!(f, "add proxy neighbour {ip} on {link}"),
            Self::DeleteProxy { link, ip } => write!(f, "delete proxy neighbour {ip} on {link}"),
            Self::ReplaceRoute(route) => write!(f, "replace route {route}"),
            Self::DeleteRoute(route) => write!(f, "delete route {route}"),
            Self::AddRule(rule) => write!(f, "add rule {rule}"),
            Self::DeleteRule(rule) => write!(f, "delete rule {rule}"),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dst {} on {}", self.mac, self.to, self.link)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in table {}", self.destination, self.table)?;
        match &self.way {
            Way::Link {
                name,
                gateway: Some(via),
                ..
            } => write!(f, " via {via} dev {name}"),
            Way::Link { name, .. } => write!(f, " dev {name}"),
            Way::Throw => f.write_str(" throw"),
            Way::Several(_) | Way::Other => Ok(()),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        write!(f, "{family} {}:", self.priority)?;
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        if self.mark != 0 || self.mask != 0 {
            write!(f, " fwmark {:#x}/{:#x}", self.mark, self.mask)?;
        }
        write!(f, " lookup {}", self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::super::diff::host_end_route;
    use super::*;
    use crate::newcomers::Newcomers;

    /// Datapath scenario 41: a foreign route with a gateway in 40000.
    #[test]
    fn a_route_that_we_never_write_is_told_of_when_it_goes() {
        let route = |table, destination: &str, via: Option<&str>| {
            Change::DeleteRoute(Route {
                destination: destination.parse().unwrap(),
                way: Way::Link {
                    name: "eth0".into(),
                    gateway: via.map(|via| via.parse().unwrap()),
                    link_scope: false,
                },
                ..host_end_route(table, "eth0", [10, 0, 0, 5].into())
            })
        };
        let router = Some("192.168.0.254");
        let cases = [
            (route(40_000, "10.9.0.0/16", router), true),
            (route(40_000, "0.0.0.0/0", router), true),
            (route(40_000, "10.9.0.0/16", None), false),
            (route(10_000, "10.9.0.0/16", router), true),
            // As a VLAN has it.
            (route(10_000, "0.0.0.0/0", router), false),
        ];
        for (change, expected) in cases {
            assert_eq!(change.takes_from_another(), expected, "{change}");
        }
    }

    #[tokio::test]
    async fn a_step_hurts_a_newcomer_if_its_address_is_served_no_more_or_by_another_link() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let newcomers = Newcomers::default();
        newcomers.admit("hybr2", [ip("10.0.0.5")]).await;
        let proxy = |text| Change::DeleteProxy {
            link: "eth0.vxlan4".into(),
            ip: ip(text),
        };
        let route = |link: &str, text| Change::ReplaceRoute(host_end_route(39_999, link, ip(text)));
        let cases = [
            (proxy("10.0.0.5"), true),
            (proxy("10.0.0.6"), false),
            (route("hybr1", "10.0.0.5"), true),
            (route("hybr2", "10.0.0.5"), false),
            (route("hybr1", "10.0.0.6"), false),
            (route("eth0.vxlan4", "10.0.0.5"), false),
        ];

        let held = newcomers.hold().await;

        for (change, expected) in cases {
            assert_eq!(change.hurts(&held), expected, "{change}");
        }
    }
}
