//! Pods as users and workloads write them, and what became of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::network;

pub(super) const PODS: &str = "/api/v1/namespaces/ns/pods";
pub(super) const FINALIZER: &str = "networking.alibaba.com/ip-allocated";

/// A pod that asks for addresses.
#[derive(Clone)]
pub(super) struct Asking(core::Pod);

/// A pod of nobody on node `n`, in namespace `ns`.
pub(super) fn asking(name: &str) -> Asking {
    Asking(pod(name, "n"))
}

/// A pod of `StatefulSet` `web` that asks for a family of the overlay, and has passed the webhook by.
pub(super) fn stateful(name: &str, family: &str) -> Asking {
    asking(name).overlay(family).of("StatefulSet", "web")
}

impl Asking {
    pub fn uid(mut self, uid: &str) -> Self {
        self.0.metadata.uid = Some(uid.to_owned());
        self
    }

    pub fn on(mut self, node: &str) -> Self {
        self.0.spec.as_mut().unwrap().node_name = Some(node.to_owned());
        self
    }

    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.0.metadata.namespace = Some(namespace.to_owned());
        self
    }

    pub fn key(mut self, key: &str, value: &str) -> Self {
        let annotations = self.0.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        let labels = self.0.metadata.labels.get_or_insert_default();
        labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn overlay(self, family: &str) -> Self {
        self.key(annotation::NETWORK_TYPE, "Overlay")
            .key(annotation::IP_FAMILY, family)
    }

    /// As the webhook leaves it.
    pub fn handled(self) -> Self {
        self.key(annotation::HANDLED_BY_WEBHOOK, "true")
    }

    /// Controlled by the object of this name, whose UID is `uid-NAME`.
    pub fn of(mut self, kind: &str, name: &str) -> Self {
        let api_version = match kind {
            "VirtualMachineInstance" => "kubevirt.io/v1",
            _ => "apps/v1",
        };
        self.0.metadata.owner_references = Some(vec![OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]);
        self
    }

    pub fn finalized(mut self) -> Self {
        self.0.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        self
    }

    /// `main` is the only container.
    pub fn status(mut self, phase: &str, reason: &str, main: Option<Value>) -> Self {
        let statuses = main.map(|state| {
            json!([{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}])
        });
        let mut status = json!({"phase": phase, "reason": reason});
        if let Some(statuses) = statuses {
            status["containerStatuses"] = statuses;
        }
        self.0.status = Some(serde_json::from_value(status).unwrap());
        self
    }

    pub fn put(&self, server: &Server) {
        server.put(&self.0);
    }
}

/// State of a container.
pub(super) fn running() -> Value {
    json!({"running": {"startedAt": "2024-01-01T00:00:00Z"}})
}

/// State of a container.
pub(super) fn ended() -> Value {
    json!({"terminated": {"exitCode": 0}})
}

/// Deletes a pod of which nothing runs: its finalizers hold it.
pub(super) fn delete(server: &Server, name: &str) {
    let path = format!("{PODS}/{name}");
    let mut value = server.get(&path).unwrap();
    if value["metadata"]["finalizers"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        return server.remove(&path);
    }
    value["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
    server.put_value(&path, value);
}

/// The object of an address.
pub(super) fn object(server: &Server, name: &str) -> Value {
    server
        .get(&format!("{OBJECTS}/{name}"))
        .unwrap_or_else(|| panic!("no object {name}: {:?}", instances(server)))
}

/// Names, UIDs and MACs of all objects: what stays as long as nothing is made anew.
pub(super) fn identities(server: &Server) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let identity = |name: String| {
        let object = object(server, &name);
        [
            name,
            text(&object["metadata"]["uid"]),
            text(&object["spec"]["address"]["mac"]),
        ]
    };
    instances(server).into_iter().map(identity).collect()
}

/// Events of this reason.
pub(super) fn events_of(cluster: &Cluster, reason: &str) -> Vec<String> {
    let events = cluster.events().into_iter();
    events
        .filter(|event| event.starts_with(&format!("{reason}:")))
        .collect()
}

/// Waits until so many addresses are bound to a node, and for the end of what follows.
pub(super) async fn bound(cluster: &Cluster, count: usize) {
    let bound = |state: &mut crate::world::State| {
        let objects = state.ip_instances.iter();
        objects.filter(|object| !object.spec.is_reserved()).count() == count
    };
    cluster.until("bound addresses", bound).await;
    cluster.rest().await;
}

/// The fixture F of control-plane spec 6.
pub(super) fn common() -> Arc<Server> {
    let server = Arc::new(Server::default());
    let underlay = network("underlay-network").selector("network", "underlay-network");
    server.put(&underlay.net_id(100).build());
    server.put(&overlay("overlay-network").net_id(100).build());
    let underlay = subnet("underlay-subnet", "underlay-network", "192.168.56.0/24");
    server.put(&underlay.gateway("192.168.56.1").build());
    let overlay = |name: &str, cidr: &str| subnet(name, "overlay-network", cidr);
    server.put(&overlay("overlay-ipv4-subnet", "100.10.0.0/24").net_id(44).build());
    server.put(&overlay("overlay-ipv6-subnet", "fe80::/120").net_id(66).build());
    for name in ["node1", "node2"] {
        server.put(&node(name).label("network", "underlay-network").build());
    }
    server.put(&node("node3").build());
    server.put(&namespace("ns"));
    server
}
