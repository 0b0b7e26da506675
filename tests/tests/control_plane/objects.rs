//! Objects as a user writes them: JSON, so that wrong ones can be written as well.

use serde_json::{Map, Value, json};

/// An object under construction.
#[derive(Debug, Clone)]
pub(crate) struct Object(Value);

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        object.0
    }
}

/// Any object.
pub(crate) fn object(version: &str, kind: &str, name: &str) -> Object {
    Object(json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}}))
}

impl Object {
    /// Sets a field, `spec.range.start`; what lacks above it is made.
    pub(crate) fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.0;
        for key in path.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[key];
        }
        *place = value.into();
        self
    }

    /// An annotation of ours, without its prefix.
    pub(crate) fn says(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][format!("networking.alibaba.com/{key}")] = value.into();
        self
    }

    /// A label.
    pub(crate) fn labelled(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = value.into();
        self
    }

    /// Placed on a node, as a scheduler does.
    pub(crate) fn on(self, node: &str) -> Self {
        self.with("spec.nodeName", node)
    }

    /// Controlled by an object that is in the API.
    pub(crate) fn of(self, owner: &Value) -> Self {
        let reference = json!([{
            "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}]);
        self.with("metadata.ownerReferences", reference)
    }

    /// Out of reach of the pod webhooks.
    pub(crate) fn past_the_webhook(self) -> Self {
        self.labelled("webhook.hybridnet.io/ignore", "true")
    }
}

/// A pod that nobody has placed yet.
pub(crate) fn pod(name: &str) -> Object {
    object("v1", "Pod", name)
        .with("spec.terminationGracePeriodSeconds", 0)
        .with("spec.containers", json!([{"name": "c", "image": "none"}]))
}

/// A workload whose pods the test makes itself.
pub(crate) fn stateful_set(name: &str, replicas: u32) -> Object {
    let labels = json!({"app": name});
    object("apps/v1", "StatefulSet", name).with(
        "spec",
        json!({
            "replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels},
                         "spec": {"containers": [{"name": "c", "image": "none"}]}}}),
    )
}

/// A node that no kubelet speaks for.
pub(crate) fn node(name: &str) -> Object {
    object("v1", "Node", name)
}

/// An Underlay network of the nodes whose label `network` is its name.
pub(crate) fn underlay(name: &str, net_id: i32) -> Object {
    network(name, "Underlay")
        .with("spec.netID", net_id)
        .with("spec.nodeSelector", json!({"network": name}))
}

/// A network of a type.
pub(crate) fn network(name: &str, kind: &str) -> Object {
    object("networking.alibaba.com/v1", "Network", name).with("spec.type", kind)
}

/// A Subnet; its IP version follows from the CIDR.
pub(crate) fn subnet(name: &str, network: &str, cidr: &str) -> Object {
    let version = if cidr.contains(':') { "6" } else { "4" };
    object("networking.alibaba.com/v1", "Subnet", name)
        .with("spec.network", network)
        .with("spec.range.version", version)
        .with("spec.range.cidr", cidr)
}

/// The Subnet of a network of its own name, with the first address as its gateway.
pub(crate) fn own_subnet(name: &str, cidr: &str) -> Object {
    let base = cidr.split('/').next().unwrap_or_default();
    let gateway = format!("{}1", base.trim_end_matches('0'));
    subnet(name, name, cidr).with("spec.range.gateway", gateway)
}
