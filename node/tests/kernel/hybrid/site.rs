//! Two nodes with overlay and underlay pods, a switch, a router and the world.
//!
//! ```text
//! pods --node 1-- eth0 --+                  +-- router -- outside 203.0.113.9
//!                        +-- switch: n1, n2, r
//! pods --node 2-- eth0 --+
//! ```
//! The switch is one untagged segment with the nodes' own range, 192.168.0.0/24, and the underlay's, 10.0.0.0/24. The
//! router has an address in both.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use hybridnet_api::pod::host_link_name;
use hybridnet_node::firewall;
use hybridnet_node::kernel::Kernel;
use hybridnet_node::kernel::apply::Report;
use hybridnet_node::kernel::diff::Removals;
use hybridnet_node::kernel::pods::NewPod;
use hybridnet_node::mac::Mac;
use hybridnet_node::plan::{HostEnd, Plan, plan};
use hybridnet_node::view::View;
use ipnetwork::IpNetwork;
use socket2::SockRef;

use super::objects::{instance, view};
use crate::net::Netns;
use crate::plans::{dress, ip, kernel, mac};

/// The world, in both families.
pub const OUTSIDE: [&str; 2] = ["203.0.113.9", "fd99::9"];
/// Proxies wait for up to 0.8 s before they answer, and a question is asked again after one.
const LIMIT: Duration = Duration::from_secs(8);
/// More than fits into a packet, or into the tunnel's.
const WORD: usize = 60_000;

/// A node as the daemon sees it.
pub struct Node {
    pub namespace: Netns,
    pub kernel: Kernel,
    pub view: View,
    number: u8,
}

/// A pod, with an address of each family.
pub struct Pod {
    pub namespace: Netns,
    pub addresses: [&'static str; 2],
}

/// All namespaces.
pub struct Site {
    pub switch: Netns,
    pub router: Netns,
    pub outside: Netns,
    pub nodes: [Node; 2],
}

impl Site {
    /// Everything connected; the nodes know their networks and have no pods.
    pub async fn new() -> Self {
        Self::new_with(|_| {}).await
    }

    /// As [`Self::new`], with another view of the API on each node.
    pub async fn new_with(change: impl Fn(&mut View)) -> Self {
        let (switch, router, outside) = (Netns::new("switch"), Netns::new("router"), Netns::new("out"));
        switch.sh("ip link add br0 type bridge; ip link set br0 up");
        let nodes = [Netns::new("node"), Netns::new("node")];
        for (number, node) in (1..).zip(&nodes) {
            plug(&switch, &format!("n{number}"), node, &mac(number).to_string());
            dress(node, number);
        }
        plug(&switch, "r", &router, "02:00:00:00:00:fe");
        router.sh(&format!(
            "ip link set eth0 up
             ip address add 192.168.0.254/24 dev eth0; ip address add 10.0.0.1/24 dev eth0
             ip address add fd02::fe/64 dev eth0 nodad; ip address add fd10::1/64 dev eth0 nodad
             ip link add world type veth peer name eth0 netns {}
             ip link set world up
             ip address add 203.0.113.1/24 dev world; ip address add fd99::1/64 dev world nodad",
            outside.name()
        ));
        outside.sh("ip link set eth0 up
             ip address add 203.0.113.9/24 dev eth0; ip address add fd99::9/64 dev eth0 nodad
             ip route add default via 203.0.113.1; ip route add default via fd99::1");
        let [first, second] = nodes;
        Self {
            switch,
            router,
            outside,
            nodes: [
                Node::new(first, 1, &change).await,
                Node::new(second, 2, &change).await,
            ],
        }
    }
}

/// A port of the switch, with a link `eth0` on the other side.
fn plug(switch: &Netns, port: &str, device: &Netns, address: &str) {
    switch.sh(&format!(
        "ip link add {port} type veth peer name eth0 address {address} netns {}
         ip link set {port} master br0 up",
        device.name()
    ));
}

impl Node {
    async fn new(namespace: Netns, number: u8, change: impl Fn(&mut View)) -> Self {
        let kernel = kernel(&namespace).await;
        let mut node = Self {
            namespace,
            kernel,
            view: view(number),
            number,
        };
        change(&mut node.view);
        node.pass().await;
        node
    }

    /// One pass of the daemon, none of whose steps may fail.
    pub async fn pass(&self) -> Report {
        let report = self.try_pass().await;
        let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, Vec::<String>::new());
        report
    }

    /// One pass of the daemon.
    pub async fn try_pass(&self) -> Report {
        self.kernel.newcomers().settle().await;
        let (machine, seen) = self.kernel.look().await.unwrap();
        let view = View {
            machine,
            ..self.view.clone()
        };
        let plan = plan(&view);
        let report = self.kernel.converge_from(seen, &plan, Removals::Allowed).await;
        self.namespace
            .within(|| firewall::converge(&plan.firewall))
            .unwrap();
        report.unwrap()
    }

    /// What it comes to now.
    pub async fn plan(&self) -> Plan {
        let machine = self.kernel.observe().await.unwrap();
        plan(&View {
            machine,
            ..self.view.clone()
        })
    }

    /// A pod as an ADD makes it, and the pass that follows.
    pub async fn add(&mut self, network: &str, name: &str, addresses: [&'static str; 2]) -> Pod {
        let lengths = if network == "vlan" { [24, 64] } else { [16, 64] };
        let pod = Netns::new("pod");
        let link = host_link_name("default", name);
        let plan = self.plan().await;
        for (address, length) in addresses.iter().zip(lengths) {
            let address = format!("{address}/{length}");
            let path = plan.path_of(address.parse::<IpNetwork>().unwrap()).unwrap();
            if address.contains('.') {
                let mtu = path.mtu;
                self.namespace.sh(&format!(
                    "ip link add {link} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}",
                    pod.name()
                ));
                pod.sh("ip link set eth0 up");
            }
            let nodad = if address.contains(':') { "nodad" } else { "" };
            pod.sh(&format!(
                "ip address add {address} dev eth0 noprefixroute {nodad}"
            ));
            self.view.own.push(instance(self.number, network, name, &address));
        }
        let path = plan.path_of(format!("{}/{}", addresses[0], lengths[0]).parse().unwrap());
        let answers_on: Vec<_> = path.unwrap().answers_on.iter().cloned().collect();
        let end = HostEnd {
            addresses: addresses.iter().map(|address| ip(address)).collect(),
        };
        let new = NewPod {
            link: &link,
            end: &end,
            answers_on: &answers_on,
            local_direct: 39_999,
        };
        self.kernel.add_pod(&new).await.unwrap();
        pod.sh("ip route add 169.254.1.1 dev eth0 scope link
             ip route add default via 169.254.1.1
             ip route add default via fe80::ecee:eeff:feee:eeee dev eth0");
        self.pass().await;
        Pod {
            namespace: pod,
            addresses,
        }
    }

    /// Forgets a pod: its addresses and its namespace.
    pub async fn remove(&mut self, pod: Pod) {
        self.view.own.retain(|instance| {
            let ip = instance.spec.ip().map(|ip| ip.to_string());
            !pod.addresses.iter().any(|address| ip.as_deref() == Some(address))
        });
        drop(pod);
        self.pass().await;
    }

    /// Answers the kernel's questions for these addresses, from here on.
    pub async fn answer(&self, known: BTreeMap<IpAddr, Mac>) {
        let responder = self.kernel.responder().await.unwrap();
        tokio::spawn(async move {
            let lookup = move |ip| known.get(&ip).copied();
            responder.run(&lookup, Duration::from_hours(1)).await;
        });
    }
}

/// Who the server takes the client for, after both said more than a packet holds.
pub fn talk(client: &Netns, server: &Netns, address: &str) -> IpAddr {
    let seen = try_talk(client, server, address, 80);
    seen.map_err(|error| format!("to {address}: {error}")).unwrap()
}

/// As [`talk`], to a port that may lead elsewhere.
pub fn try_talk(client: &Netns, server: &Netns, address: &str, port: u16) -> std::io::Result<IpAddr> {
    let any: IpAddr = if address.contains(':') { "::" } else { "0.0.0.0" }
        .parse()
        .unwrap();
    let listener = server.within(|| TcpListener::bind(SocketAddr::new(any, 80)))?;
    let to = SocketAddr::new(address.parse().unwrap(), port);
    let mut client = client.within(|| TcpStream::connect_timeout(&to, LIMIT))?;
    let (mut server, seen_from) = listener.accept()?;
    // A program that another test starts has it too, from fork to exec, and would keep the port for so long.
    SockRef::from(&listener).shutdown(Shutdown::Read)?;
    client.set_read_timeout(Some(LIMIT))?;
    server.set_read_timeout(Some(LIMIT))?;
    exchange(&mut client, &mut server)?;
    exchange(&mut server, &mut client)?;
    Ok(seen_from.ip().to_canonical())
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
    let mut heard = vec![0; WORD];
    let mut from = from.try_clone()?;
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || from.write_all(&vec![7; WORD]));
        to.read_exact(&mut heard)?;
        sender
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
