//! A node, two of its pods, what lies behind its tunnel, and what lies behind its NIC.
//!
//! ```text
//! pod A --hybrA--+                +--eth0---------- outside: 203.0.113.9, and node 2's NIC 192.0.2.2
//!                +---- node ------+--eth0.vxlan4--- tunnel: pods of 100.65/16, and node 2's 192.0.2.2
//! pod B --hybrB--+  192.0.2.1     +--eth0.10------- underlay
//! ```
//! Only the names of links matter to the rules, so plain veths stand in for the tunnel and the VLAN.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use hybridnet_node::firewall::converge;

use crate::everything;
use crate::net::Netns;

/// As long as a reply may take; none takes a hundredth of it.
const LIMIT: Duration = Duration::from_secs(2);

/// The namespaces.
pub struct Site {
    /// Where our table is.
    pub node: Netns,
    /// Overlay pod on the node.
    pub pod_a: Netns,
    /// Another, with an address of an underlay too.
    pub pod_b: Netns,
    /// Behind the NIC.
    pub outside: Netns,
    /// Behind the tunnel.
    pub tunnel: Netns,
    /// Behind the VLAN link.
    pub underlay: Netns,
}

/// The addresses of one family.
#[derive(Clone, Copy)]
pub struct Addresses {
    /// `4` or `6`, for commands.
    pub version: u8,
    /// The node.
    pub node: &'static str,
    /// Another node, both behind the NIC and behind the tunnel.
    pub other_node: &'static str,
    /// Some host behind the NIC.
    pub host: &'static str,
    /// A host that no route but the tunnel's leads to.
    pub nowhere: &'static str,
    /// Overlay pod on the node.
    pub pod_a: &'static str,
    /// Another.
    pub pod_b: &'static str,
    /// Overlay pod behind the tunnel.
    pub remote_pod: &'static str,
    /// All overlay pods.
    pub overlay: &'static str,
    /// Underlay pod on the node.
    pub underlay_pod: &'static str,
    /// Underlay pod that is not on the node.
    pub absent_pod: &'static str,
    /// A host behind the VLAN link.
    pub underlay_host: &'static str,
}

/// Both families.
pub const FAMILIES: [Addresses; 2] = [
    Addresses {
        version: 4,
        node: "192.0.2.1",
        other_node: "192.0.2.2",
        host: "203.0.113.9",
        nowhere: "198.51.100.1",
        pod_a: "100.64.0.7",
        pod_b: "100.64.0.8",
        remote_pod: "100.65.0.9",
        overlay: "100.64.0.0/16",
        underlay_pod: "10.10.0.7",
        absent_pod: "10.10.0.99",
        underlay_host: "10.99.0.2",
    },
    Addresses {
        version: 6,
        node: "2001:db8::1",
        other_node: "2001:db8::2",
        host: "2001:db8:113::9",
        nowhere: "2001:db8:51::1",
        pod_a: "fd00:64::7",
        pod_b: "fd00:64::8",
        remote_pod: "fd00:65::9",
        overlay: "fd00:64::/64",
        underlay_pod: "fd00:10::7",
        absent_pod: "fd00:10::99",
        underlay_host: "fd00:99::2",
    },
];

impl Site {
    /// Everything connected, our table loaded.
    pub fn new() -> Self {
        let site = Self {
            node: Netns::new("node"),
            pod_a: Netns::new("a"),
            pod_b: Netns::new("b"),
            outside: Netns::new("outside"),
            tunnel: Netns::new("tunnel"),
            underlay: Netns::new("underlay"),
        };
        for (link, namespace) in [
            ("hybrA", &site.pod_a),
            ("hybrB", &site.pod_b),
            ("eth0", &site.outside),
            ("eth0.vxlan4", &site.tunnel),
            ("eth0.10", &site.underlay),
        ] {
            let peer = namespace.name();
            site.node.sh(&format!(
                "ip link add {link} type veth peer name nic netns {peer}; ip link set {link} up"
            ));
            namespace.sh("ip link set nic up");
        }
        for family in FAMILIES {
            site.address(&family);
        }
        site.load();
        site
    }

    /// (Re)loads our table.
    pub fn load(&self) {
        self.node.within(|| converge(&everything())).unwrap();
    }

    fn address(&self, of: &Addresses) {
        let Addresses {
            version,
            node,
            other_node,
            host,
            nowhere,
            pod_a,
            pod_b,
            remote_pod,
            ..
        } = of;
        let Addresses {
            underlay_pod,
            absent_pod,
            underlay_host,
            ..
        } = of;
        let ip = format!("ip -{version}");
        // IPv6 answers for an address only at the link that has it.
        self.node.sh(&format!(
            "for link in hybrA hybrB eth0 eth0.vxlan4 eth0.10; do {ip} address add {node} dev $link; done
             {ip} route add {other_node} dev eth0; {ip} route add {host} dev eth0
             {ip} route add {pod_a} dev hybrA; {ip} route add {pod_b} dev hybrB
             {ip} route add {underlay_pod} dev hybrB; {ip} route add {absent_pod} dev eth0.10
             {ip} route add {underlay_host} dev eth0.10
             {ip} route add {remote_pod} dev eth0.vxlan4; {ip} route add {nowhere} dev eth0.vxlan4
             {ip} rule add pref 10 fwmark 0x20/0x20 lookup 40001
             {ip} route add default dev eth0.vxlan4 table 40001"
        ));
        for (namespace, addresses) in [
            (&self.pod_a, &[pod_a][..]),
            (&self.pod_b, &[pod_b, underlay_pod]),
            (&self.outside, &[other_node, host]),
            (&self.tunnel, &[remote_pod, other_node]),
            (&self.underlay, &[underlay_host]),
        ] {
            for address in addresses {
                namespace.sh(&format!("{ip} address add {address} dev nic"));
            }
            namespace.sh(&format!(
                "{ip} route add {node} dev nic; {ip} route add default via {node} dev nic"
            ));
        }
    }

    /// Packets that the rule with this comment has seen, in both families.
    pub fn seen(&self, comment: &str) -> u64 {
        let rules = self.node.sh("nft list table inet hybridnet");
        let packets = |line: &str| {
            line.split("packets ")
                .nth(1)?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        };
        rules
            .lines()
            .filter(|line| line.contains(comment))
            .filter_map(packets)
            .sum()
    }
}

/// A server on port 80 of an address.
pub struct Server(TcpListener);

impl Server {
    /// Listens.
    pub fn new(namespace: &Netns, address: &str) -> Self {
        let address = SocketAddr::new(address.parse().unwrap(), 80);
        Self(namespace.within(|| TcpListener::bind(address)).unwrap())
    }

    /// Connects to it from elsewhere, at the address by which the client knows it, and sees that both hear the
    /// other. The client may have to come from a certain address.
    pub fn talk(&self, client: &Netns, to: &str) -> io::Result<Talk> {
        let client = connect(client, to, 80)?;
        let (server, seen_from) = self.0.accept()?;
        server.set_read_timeout(Some(LIMIT))?;
        let mut talk = Talk {
            client,
            server,
            seen_from: seen_from.ip(),
        };
        talk.again()?;
        Ok(talk)
    }
}

/// Connects from a namespace.
pub fn connect(from: &Netns, to: &str, port: u16) -> io::Result<TcpStream> {
    let to = SocketAddr::new(to.parse().unwrap(), port);
    let stream = from.within(|| TcpStream::connect_timeout(&to, LIMIT))?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// A connection, both ends.
pub struct Talk {
    client: TcpStream,
    server: TcpStream,
    /// Who the server thinks the client is.
    pub seen_from: IpAddr,
}

impl Talk {
    /// Sends in both directions.
    pub fn again(&mut self) -> io::Result<()> {
        let mut heard = [0; 4];
        self.client.write_all(b"ping")?;
        self.server.read_exact(&mut heard)?;
        self.server.write_all(b"pong")?;
        self.client.read_exact(&mut heard)
    }
}
