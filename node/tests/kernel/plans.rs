//! Nodes with a link `eth0`, and the plans for them.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use hybridnet_node::kernel::Kernel;
use hybridnet_node::kernel::apply::Report;
use hybridnet_node::kernel::diff::Removals;
use hybridnet_node::kernel::netns::Netns as Entered;
use hybridnet_node::mac::Mac;
use hybridnet_node::plan::{HostEnd, Plan, Route, Sysctl, Table, TableRoutes, Target, Vxlan};
use ipnetwork::IpNetwork;

use crate::net::Netns;

/// Name of the overlay's link.
pub const VX: &str = "eth0.vxlan4";

pub fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// MAC of a node's `eth0`.
pub fn mac(node: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, node])
}

/// Makes a node, whose `eth0` is one end of a pair with `wire`, in the namespace as well.
pub fn node(number: u8) -> Netns {
    let namespace = Netns::new("node");
    namespace.sh(&format!(
        "ip link add eth0 address {} type veth peer name wire
         ip link set wire up",
        mac(number)
    ));
    dress(&namespace, number);
    namespace
}

/// Gives a node's `eth0` its addresses and default routes, and sets it up.
pub fn dress(namespace: &Netns, number: u8) {
    namespace.sh(&format!(
        "ip link set eth0 up
         ip address add 192.168.0.{number}/24 dev eth0
         ip address add fd02::{number}/64 dev eth0 nodad
         ip route add default via 192.168.0.254
         ip route add default via fd02::fe"
    ));
}

/// What is in a node's namespace, by its kernel, which removes what nobody wants at once.
pub async fn kernel(namespace: &Netns) -> Kernel {
    patient_kernel(namespace).await.with_grace(Duration::ZERO)
}

/// The kernel as the daemon has it.
pub async fn patient_kernel(namespace: &Netns) -> Kernel {
    let path = format!("/var/run/netns/{}", namespace.name());
    let entered = Entered::open(Path::new(&path)).unwrap();
    Kernel::open(entered, "/proc/sys").await.unwrap()
}

/// Makes a plan true and wants no step to fail.
pub async fn converge(kernel: &Kernel, plan: &Plan) -> Report {
    let report = kernel.converge(plan, Removals::Allowed).await.unwrap();
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, Vec::<String>::new());
    report
}

/// What a pass did, in words.
pub fn words(report: &Report) -> Vec<String> {
    report.changes.iter().map(ToString::to_string).collect()
}

/// Two subnets, IPv4 and IPv6, on the nodes 1 and 2. Node 1's pods: `10.244.0.1x`, node 2's: `10.244.0.2x`.
pub fn plan(node: u8) -> Plan {
    let other = 3 - node;
    let mut plan = Plan {
        vxlan: Some(Vxlan {
            name: VX.into(),
            parent: "eth0".into(),
            vni: 4,
            mac: mac(node),
            local: ip(&format!("192.168.0.{node}")),
            port: 8472,
            mtu: 1450,
            addresses: [
                net(&format!("192.168.0.{node}/24")),
                net(&format!("fd02::{node}/64")),
            ]
            .into(),
            peers: [(mac(other), ip(&format!("192.168.0.{other}")))].into(),
        }),
        ..Plan::default()
    };
    plan.tables
        .insert(Table::ToOverlay, over_tunnel(&["10.244.0.0/16", "fd10::/64"]));
    plan.tables
        .insert(Table::OverlayMark, over_tunnel(&["0.0.0.0/0", "::/0"]));
    for (range, destination) in [("10.244.0.0/16", "0.0.0.0/0"), ("fd10::/64", "::/0")] {
        plan.tables
            .insert(Table::FromSubnet(net(range)), over_tunnel(&[destination]));
        plan.subnets.insert(net(range));
    }
    for (path, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv4/neigh/eth0.vxlan4/app_solicit", "1"),
        ("net/ipv6/neigh/eth0.vxlan4/app_solicit", "1"),
        ("net/ipv6/conf/eth0.vxlan4/accept_ra", "0"),
        ("net/ipv6/conf/eth0.vxlan4/proxy_ndp", "1"),
    ] {
        plan.sysctls.insert(path.into(), Sysctl::Exactly(value.into()));
    }
    plan.proxy_neighbours.insert(VX.into(), [].into());
    plan
}

/// A pod that runs on the plan's node.
pub fn add_pod(plan: &mut Plan, link: &str, addresses: &[&str]) {
    let addresses: std::collections::BTreeSet<_> = addresses.iter().map(|text| ip(text)).collect();
    plan.proxy_neighbours.get_mut(VX).unwrap().extend(&addresses);
    plan.pods.insert(link.into(), HostEnd { addresses });
}

fn over_tunnel(destinations: &[&str]) -> TableRoutes {
    let route = |destination: &&str| Route {
        destination: net(destination),
        target: Target::Link {
            name: VX.into(),
            link_scope: false,
            source: None,
        },
    };
    TableRoutes {
        routes: destinations.iter().map(route).collect(),
    }
}
