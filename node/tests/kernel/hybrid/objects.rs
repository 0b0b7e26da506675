//! What the API server says: an overlay and an untagged underlay network, each with a subnet of both families.

use std::sync::Arc;

use hybridnet_api::{IpInstance, Network, NodeInfo, Subnet};
use hybridnet_node::view::View;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The underlay's subnets, and their gateways.
pub const UNDERLAY: [(&str, &str); 2] = [("10.0.0.0/24", "10.0.0.1"), ("fd10::/64", "fd10::1")];
/// The overlay's subnets, and an address of each that no pod has.
pub const OVERLAY: [(&str, &str); 2] = [("100.64.0.0/16", "100.64.0.1"), ("fd64::/64", "fd64::1")];

fn object<T: DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

/// The view of node 1 or 2: both belong to the networks, and know of each other.
pub fn view(node: u8) -> View {
    let mut view = View {
        node: format!("node{node}"),
        node_addresses: vec![
            format!("192.168.0.{node}").parse().unwrap(),
            format!("fd02::{node}").parse().unwrap(),
        ],
        ..View::default()
    };
    view.networks = vec![
        network("overlay", json!({"type": "Overlay", "netID": 4})),
        network("vlan", json!({"type": "Underlay", "mode": "VLAN", "netID": 0})),
    ];
    for (network, ranges) in [("overlay", OVERLAY), ("vlan", UNDERLAY)] {
        for (number, (cidr, gateway)) in ranges.into_iter().enumerate() {
            let name = format!("{network}{number}");
            view.subnets.push(subnet(&name, network, cidr, gateway));
        }
    }
    view.node_infos = [1, 2].map(node_info).into();
    view
}

fn network(name: &str, spec: Value) -> Arc<Network> {
    let status = json!({"nodeList": ["node1", "node2"]});
    object(json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "Network",
        "metadata": {"name": name}, "spec": spec, "status": status,
    }))
}

/// A subnet.
pub fn subnet(name: &str, network: &str, cidr: &str, gateway: &str) -> Arc<Subnet> {
    let version = if cidr.contains(':') { "6" } else { "4" };
    object(json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "Subnet",
        "metadata": {"name": name},
        "spec": {"network": network, "range": {"version": version, "cidr": cidr, "gateway": gateway}},
    }))
}

fn node_info(node: u8) -> Arc<NodeInfo> {
    let local = [format!("192.168.0.{node}"), format!("fd02::{node}")];
    object(json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "NodeInfo",
        "metadata": {"name": format!("node{node}")},
        "spec": {"vtepInfo": {
            "ip": local[0], "mac": format!("02:00:00:00:00:0{node}"), "localIPs": local,
        }},
    }))
}

/// An address of a pod that runs on a node, with the prefix length of its subnet.
pub fn instance(node: u8, network: &str, pod: &str, address: &str) -> Arc<IpInstance> {
    let version = if address.contains(':') { "6" } else { "4" };
    object(json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "IPInstance",
        "metadata": {"name": address.replace(['.', ':', '/'], "-"), "namespace": "default"},
        "spec": {
            "network": network, "subnet": "any",
            "address": {"version": version, "ip": address, "netID": 0, "mac": "02:00:00:00:01:01"},
            "binding": {
                "nodeName": format!("node{node}"), "podName": pod, "podUID": pod,
                "referredObject": {"kind": "StatefulSet", "name": "web", "uid": "1"},
            },
        },
    }))
}
