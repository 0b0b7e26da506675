//! The wires: a router with a bridge for the cluster, and a host outside behind it.
//!
//! ```text
//!   control .10   node-1 .21   node-2 .22  …        192.168.56.0/24   fd00:56::/64
//!       └────────────┴─────┬──────┘
//!                       router ── outside           198.51.100.0/24   2001:db8:100::/64
//! ```
//! Every box is a network namespace, so clusters of other prefixes may use the same addresses beside it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::netns::{self, Addresses};

/// Addresses of Services, IPv4 and IPv6, as the API server's flag wants them.
pub const SERVICES: &str = "10.96.0.0/16,fd00:10:96::/112";
/// The first of each: the API server's own Service.
pub const FIRST_SERVICES: [&str; 2] = ["10.96.0.1", "fd00:10:96::1"];

/// One cluster's namespaces, by name.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: String,
    nodes: usize,
}

impl Topology {
    /// Of a cluster of this name with so many nodes.
    pub fn new(prefix: &str, nodes: usize) -> Self {
        Self {
            prefix: prefix.to_owned(),
            nodes,
        }
    }

    fn router(&self) -> String {
        format!("{}-router", self.prefix)
    }

    /// The namespace of the host outside.
    pub fn outside(&self) -> String {
        format!("{}-outside", self.prefix)
    }

    /// The namespace of the control plane.
    pub fn control(&self) -> String {
        format!("{}-control", self.prefix)
    }

    /// The namespace of a node, counted from 1.
    pub fn node(&self, number: usize) -> String {
        format!("{}-node-{number}", self.prefix)
    }

    /// All namespaces.
    pub fn namespaces(&self) -> Vec<String> {
        let nodes = (1..=self.nodes).map(|number| self.node(number));
        [self.router(), self.outside(), self.control()]
            .into_iter()
            .chain(nodes)
            .collect()
    }

    /// Makes namespaces, links, addresses and routes.
    pub fn create(&self) -> Result<()> {
        let mut added = String::new();
        for name in self.namespaces() {
            let _ = writeln!(added, "netns add {name}");
        }
        netns::ip(None, &added)?;
        let router = self.router();
        netns::ip(Some(&router), &self.router_lines())?;
        netns::sysctl(
            &router,
            &[
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv6/conf/all/forwarding", "1"),
            ],
        )?;
        for (name, address, gateway) in self.hosts() {
            netns::ip(Some(&name), &host_lines(address, gateway))?;
        }
        // What every Kubernetes node must have set before a network plugin comes.
        for number in 1..=self.nodes {
            let forwarding = [
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv6/conf/all/forwarding", "1"),
            ];
            netns::sysctl(&self.node(number), &forwarding)?;
        }
        Ok(())
    }

    fn router_lines(&self) -> String {
        let mut lines = String::from("link set lo up\nlink add br0 type bridge\n");
        let lan = std::iter::once(("control".to_owned(), self.control()))
            .chain((1..=self.nodes).map(|number| (format!("node{number}"), self.node(number))));
        for (port, name) in lan {
            let _ = writeln!(lines, "link add {port} type veth peer name eth0 netns {name}");
            let _ = writeln!(lines, "link set {port} master br0 up");
        }
        let _ = writeln!(
            lines,
            "link add outside type veth peer name eth0 netns {}",
            self.outside()
        );
        for (link, address) in [("br0", lan_address(1)), ("outside", outside_address(1))] {
            let _ = writeln!(lines, "addr add {}/24 dev {link}", address.v4);
            let _ = writeln!(lines, "addr add {}/64 dev {link} nodad", address.v6);
            let _ = writeln!(lines, "link set {link} up");
        }
        lines
    }

    /// Namespace, address and default gateway of each machine.
    fn hosts(&self) -> Vec<(String, Addresses, Addresses)> {
        let nodes = (1..=self.nodes).map(|number| (self.node(number), node_address(number), lan_address(1)));
        let control = (self.control(), control_address(), lan_address(1));
        let outside = (self.outside(), outside_host(), outside_address(1));
        [control, outside].into_iter().chain(nodes).collect()
    }
}

fn host_lines(address: Addresses, gateway: Addresses) -> String {
    format!(
        "link set lo up\naddr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n\
         route add default via {}\nroute add default via {}\n",
        address.v4, address.v6, gateway.v4, gateway.v6
    )
}

fn lan_address(last: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(192, 168, 56, last),
        v6: Ipv6Addr::new(0xfd00, 0x56, 0, 0, 0, 0, 0, u16::from(last)),
    }
}

fn outside_address(last: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(198, 51, 100, last),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, u16::from(last)),
    }
}

/// The control plane's address.
pub fn control_address() -> Addresses {
    lan_address(10)
}

/// A node's address, counted from 1.
pub fn node_address(number: usize) -> Addresses {
    lan_address(u8::try_from(20 + number).unwrap_or(u8::MAX))
}

/// The address of the host outside.
pub fn outside_host() -> Addresses {
    outside_address(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_hangs_on_the_router() {
        let topology = Topology::new("hyt-a", 2);

        let lines = topology.router_lines();

        for name in ["hyt-a-control", "hyt-a-node-1", "hyt-a-node-2", "hyt-a-outside"] {
            assert!(
                lines.contains(&format!("peer name eth0 netns {name}\n")),
                "{name} in {lines}"
            );
        }
        assert_eq!(topology.namespaces().len(), 5);
    }

    #[test]
    fn machines_have_distinct_addresses_in_both_families() {
        let hosts = Topology::new("hyt-a", 3).hosts();

        let mut v4: Vec<_> = hosts.iter().map(|(_, address, _)| address.v4).collect();
        let mut v6: Vec<_> = hosts.iter().map(|(_, address, _)| address.v6).collect();
        v4.sort();
        v4.dedup();
        v6.sort();
        v6.dedup();

        assert_eq!((v4.len(), v6.len()), (hosts.len(), hosts.len()));
    }
}
