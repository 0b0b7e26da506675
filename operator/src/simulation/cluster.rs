//! The objects that a history begins with, and those that users add: small pools, so that they run dry.

use std::collections::BTreeMap;

use hybridnet_api::names::annotation;
use serde_json::{Value, json};

use super::resource::{Resource, text, uid_of};
use super::server::Server;

/// Two namespaces whose objects bear the same names, and one that users do not touch.
pub const NAMESPACES: [&str; 3] = ["x", "y", "fill"];
/// Nodes; the first one belongs to the underlay.
pub const NODES: [&str; 2] = ["n1", "n2"];
/// What a node of the underlay is labelled with.
pub const UNDERLAY_LABEL: &str = "network";

/// A Subnet that users may add.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Of the Subnet.
    pub name: &'static str,
    network: &'static str,
    cidr: &'static str,
    start: &'static str,
    end: &'static str,
    gateway: &'static str,
    private: bool,
}

const fn range(
    name: &'static str,
    cidr: &'static str,
    start: &'static str,
    end: &'static str,
    gateway: &'static str,
) -> Range {
    let network = if name.as_bytes()[0] == b'o' { "o" } else { "u" };
    let private = matches!(name.as_bytes()[name.len() - 1], b'p');
    Range {
        name,
        network,
        cidr,
        start,
        end,
        gateway,
        private,
    }
}

/// All of them; the first five are there from the beginning.
pub const RANGES: [Range; 9] = [
    range("o4a", "10.0.0.0/28", "10.0.0.1", "10.0.0.3", ""),
    range("o4p", "10.0.2.0/28", "10.0.2.1", "10.0.2.2", ""),
    range("o6a", "fd00::/120", "fd00::1", "fd00::3", ""),
    range("u4a", "10.1.0.0/28", "10.1.0.1", "10.1.0.4", "10.1.0.1"),
    range("u6a", "fd01::/120", "fd01::1", "fd01::2", ""),
    range("o4b", "10.0.1.0/28", "10.0.1.1", "10.0.1.3", "10.0.1.2"),
    range("o6b", "fd00::100/120", "fd00::101", "fd00::102", ""),
    range("u4b", "10.1.1.0/28", "10.1.1.1", "10.1.1.2", ""),
    // Has addresses of the first one: it slipped past the webhook.
    range("o4x", "10.0.0.0/28", "10.0.0.3", "10.0.0.5", ""),
];

/// Pools of addresses that workloads name; they share them.
pub const POOLS: [&str; 2] = ["10.0.0.1,10.0.0.2,10.0.0.3", "10.0.0.2,10.0.0.3,10.0.0.4"];

/// The cluster before anything happens; `limit` says how many addresses the second namespace may hold.
pub fn begin(server: &mut Server, limit: Option<usize>) {
    for name in NAMESPACES {
        let mut namespace = json!({"metadata": {"name": name}});
        if let Some(limit) = limit.filter(|_| name == NAMESPACES[1]) {
            namespace["metadata"]["annotations"] = json!({annotation::ADDRESS_LIMIT: limit.to_string()});
        }
        add(server, Resource::Namespace, namespace);
    }
    for (at, name) in NODES.iter().enumerate() {
        let labels = if at == 0 {
            json!({UNDERLAY_LABEL: "a"})
        } else {
            json!({})
        };
        add(
            server,
            Resource::Node,
            json!({"metadata": {"name": name, "labels": labels}}),
        );
    }
    add(server, Resource::Network, network("o"));
    add(server, Resource::Network, network("u"));
    for range in &RANGES[..5] {
        add(server, Resource::Subnet, subnet(range));
    }
}

/// Adds an object unless it is there.
pub fn add(server: &mut Server, resource: Resource, object: Value) {
    // That it is there is as good.
    let _ = server.create(resource, object);
}

/// A Network: `o` is the overlay, the others are underlays of the labelled nodes.
pub fn network(name: &str) -> Value {
    let spec = if name == "o" {
        json!({"type": "Overlay", "netID": 4})
    } else {
        json!({"type": "Underlay", "netID": 7, "nodeSelector": {UNDERLAY_LABEL: "a"}})
    };
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A Subnet.
pub fn subnet(range: &Range) -> Value {
    let version = if range.cidr.contains(':') { "6" } else { "4" };
    let mut object = json!({
        "metadata": {"name": range.name},
        "spec": {
            "network": range.network,
            "range": {"version": version, "cidr": range.cidr, "start": range.start, "end": range.end},
        },
    });
    if !range.gateway.is_empty() {
        object["spec"]["range"]["gateway"] = json!(range.gateway);
    }
    if range.private {
        object["spec"]["config"] = json!({"private": true});
    }
    object
}

/// What the pods of one owner ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish {
    /// `Overlay` or `Underlay`.
    pub type_: &'static str,
    /// `IPv4`, `IPv6` or `DualStack`.
    pub family: &'static str,
    /// Names one or more Subnets, or none.
    pub subnet: Option<&'static str>,
    /// Whether the webhook has seen the pod.
    pub handled: bool,
    /// Whether addresses are kept.
    pub retain: bool,
    /// The addresses of the pods of a workload, by ordinal.
    pub pool: Option<&'static str>,
}

impl Wish {
    /// As a pod says it.
    pub fn annotations(&self) -> Value {
        let mut all: BTreeMap<&str, &str> = [
            (annotation::NETWORK_TYPE, self.type_),
            (annotation::IP_FAMILY, self.family),
        ]
        .into();
        all.extend(self.subnet.map(|name| (annotation::SPECIFIED_SUBNET, name)));
        all.extend(self.handled.then_some((annotation::HANDLED_BY_WEBHOOK, "true")));
        all.extend((!self.retain).then_some((annotation::IP_RETAIN, "false")));
        all.extend(self.pool.map(|pool| (annotation::IP_POOL, pool)));
        json!(all)
    }

    /// Where such a pod is scheduled.
    pub fn node(&self, other: bool) -> &'static str {
        if other && self.type_ == "Overlay" {
            NODES[1]
        } else {
            NODES[0]
        }
    }
}

/// A pod on a node.
pub fn pod(namespace: &str, name: &str, node: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {"nodeName": node, "containers": [{"name": "main"}]},
        "status": {"phase": "Pending"},
    })
}

/// A `StatefulSet`; its template is what its pods say.
pub fn stateful_set(namespace: &str, name: &str, replicas: u64, wish: &Wish) -> Value {
    let template = json!({"metadata": {"annotations": wish.annotations()}});
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"replicas": replicas, "template": template, "nodeName": wish.node(false)},
    })
}

/// The reference of a pod to the `StatefulSet` that controls it.
pub fn controller(set: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": text(set, "/metadata/name"),
        "uid": uid_of(set), "controller": true, "blockOwnerDeletion": true})
}

/// Whether a pod will not run again.
pub fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}
